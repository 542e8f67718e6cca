//! The name of this machine.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use crate::process::child::{self, Limits};
use crate::process::stop::Stop;

/// How long the system may take to resolve a name, which may use the network.
const RESOLVE_TIME: Duration = Duration::from_secs(2);

/// The kernel's host name (by a system call: a hardened service cannot read /proc/sys).
pub fn node_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// The fully qualified name, determined as in the original (`socket.getfqdn()` of
/// Python): the name that the system has for the address of the host name.
pub fn full_name() -> String {
    let name = node_name();
    let addresses = (name.as_str(), 0).to_socket_addrs();
    let Some(address) = addresses.ok().and_then(|mut all| all.next()) else {
        return name;
    };
    let names = names_of(address.ip()).unwrap_or_default();
    let found = qualified(address.ip(), &names).or_else(|| {
        // A container image may lack this program.
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        qualified(address.ip(), &hosts)
    });
    found.unwrap_or(name)
}

/// The names that the system has for an address, as a line of a hosts file.
fn names_of(address: IpAddr) -> Option<String> {
    let stop = Stop::new().ok()?;
    let limits = Limits {
        time: Some(RESOLVE_TIME),
        stop: &stop,
    };
    let mut command = child::command(Path::new("getent"));
    command.args(["hosts", &address.to_string()]);
    let (_, output) = child::run_to_end(&mut command, std::io::empty(), limits, 4096).ok()?;
    String::from_utf8(output).ok()
}

/// The first name with a dot on the first line for this address, or else the first name.
fn qualified(address: IpAddr, hosts: &str) -> Option<String> {
    let mut lines = hosts.lines().map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace()
    });
    let mut names = lines.find_map(|mut words| {
        let is_it = words.next()?.parse() == Ok(address);
        is_it.then_some(words)
    })?;
    let with_dot = names.clone().find(|name| name.contains('.'));
    with_dot.or(names.next()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_its_domain_where_the_system_knows_it() {
        let hosts = "127.0.0.1 localhost # sensor.comment.example\n\
                     10.0.0.7\tsensor sensor.example\n10.0.0.7 later.example\n";
        let name = |address: &str| qualified(address.parse().expect("an address"), hosts);
        assert_eq!(name("10.0.0.7").as_deref(), Some("sensor.example"));
        assert_eq!(name("127.0.0.1").as_deref(), Some("localhost"));
        assert_eq!(name("10.0.0.8"), None);
    }
}
