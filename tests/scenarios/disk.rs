//! A full disk for everything that the bridge writes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::brokers::end;
use super::tally::{DOMAIN, Tally, engine};
use super::{LIMIT, Outcome};
use crate::support::Scratch;
use crate::support::bridge::program;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::{Observed, Reader};
use crate::support::paths;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;

/// A disk of 1 MiB for one process and its children, in a mount namespace that ends
/// with them: nothing stays mounted, whatever happens.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// The shell that mounts it and then becomes the program.
    fn command(scratch: &Scratch, program: &Path) -> (Command, SmallDisk) {
        let disk = scratch.path().join("disk");
        std::fs::create_dir(&disk).expect("a directory");
        let mut command = paths::clean_command("unshare", scratch.path());
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let script = "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]);
        command.arg(&disk).arg(program);
        (command, SmallDisk(disk))
    }

    /// Whether this system allows it.
    fn is_allowed() -> bool {
        let scratch = Scratch::new();
        let (mut command, _) = Self::command(&scratch, Path::new("true"));
        let output = command.output();
        let allowed = output.as_ref().is_ok_and(|output| output.status.success());
        if !allowed {
            paths::skipped(format_args!("no disk can be mounted here: {output:?}"));
        }
        allowed
    }

    fn file(&self, name: &str) -> OsString {
        self.0.join(name).into_os_string()
    }

    /// The path of a file as this process sees it.
    fn seen(&self, bridge: &Observed, name: &str) -> PathBuf {
        let inside = self.0.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", bridge.pid()))
            .join(inside)
            .join(name)
    }
}

/// A state directory, a log file and metrics on a full disk: sightings wait, the workers
/// are held back, and all sightings are sent when the broker is back. `None` if no small
/// disk can be made.
pub fn full(kind: BrokerKind, sightings: u64) -> Option<Outcome> {
    if !SmallDisk::is_allowed() {
        return None;
    }
    let mut broker = Broker::start(kind);
    let engine = engine(sightings).with("faults", serde_json::json!({"delay_seconds": 1.0}));
    let mut subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let (mut bridge, disk) = start(&broker, &engine);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    engine.wait_for_exports(1, LIMIT);
    broker.kill();
    bridge.wait_for_log("the spool cannot be written", LIMIT);
    // The log and the metrics are on the same disk, and keep failing.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(bridge.is_running(), "{}", bridge.log());
    let spooled = used(&disk.seen(&bridge, "state/spool"));
    assert!(spooled > 200_000, "{spooled} bytes in the spool");
    broker.restart();
    assert!(subscriber.renew());
    let mut tally = Tally::new();
    tally.take(kind, &subscriber, sightings, LIMIT);
    let mut outcome = tally.outcome(1, sightings);
    outcome = outcome.noted(&format!("{} KiB were spooled", spooled >> 10));
    let counters = end(&mut bridge);
    assert!(!counters.contains("sightings_lost"), "{counters}");
    Some(outcome)
}

fn start(broker: &Broker, engine: &Standin) -> (Observed, SmallDisk) {
    let scratch = Scratch::new();
    let (mut command, disk) = SmallDisk::command(&scratch, &program());
    let config = format!(
        "logging: {{file: true, filename: {:?}, file_verbosity: debug}}\n\
         metrics: {{interval: 1, filename: {:?}}}\n",
        disk.file("log"),
        disk.file("metrics")
    );
    let config = scratch.write("config.yaml", config);
    command
        .arg("--retro-match")
        .args(["-v", engine.endpoint(), "-b"])
        .arg(engine.path())
        .args(["-t", &broker.endpoint(), "-c"])
        .arg(config)
        .arg("--state-dir")
        .arg(disk.file("state"))
        .arg("--metrics-prometheus")
        .arg(disk.file("metrics.prom"));
    (Observed::start(command, scratch, Reader::Patient), disk)
}

fn used(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| {
        panic!("{}: {error}", folder.display());
    });
    entries
        .flatten()
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
