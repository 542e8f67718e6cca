//! The node of the stand-in: present, away or frozen, according to a file. Tests should put
//! that file in place by renaming it, so that it is never seen half written.

use std::net::IpAddr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::ending::Ending;

/// How often a waiting call checks for the node.
const LOOK: Duration = Duration::from_millis(10);

/// The node of a configuration.
#[derive(Debug)]
pub struct Node {
    endpoint: String,
    down_file: Option<PathBuf>,
}

/// How the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Killed, or stopped in an orderly way.
    Away {
        orderly: bool,
    },
    Frozen,
}

impl Node {
    /// A node that answers at this endpoint unless the file exists.
    pub fn new(endpoint: &str, down_file: Option<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.to_string(),
            down_file,
        }
    }

    fn state(&self) -> State {
        let Some(file) = &self.down_file else {
            return State::Up;
        };
        match std::fs::read_to_string(file) {
            Err(_) => State::Up,
            Ok(text) => match text.trim() {
                "frozen" => State::Frozen,
                "sigterm" => State::Away { orderly: true },
                _ => State::Away { orderly: false },
            },
        }
    }

    /// Whether the node has gone away (and forgotten what it holds in memory).
    pub fn is_away(&self) -> bool {
        matches!(self.state(), State::Away { .. })
    }

    /// Reaches the node at an endpoint, or at the one it has.
    ///
    /// # Errors
    /// The ending of a call that cannot reach it.
    pub fn connect(&self, endpoint: Option<&str>) -> Result<(), Ending> {
        let endpoint = endpoint.unwrap_or(&self.endpoint);
        let wanted = split(endpoint).ok_or_else(|| invalid(endpoint))?;
        let own = split(&self.endpoint).ok_or_else(|| invalid(&self.endpoint))?;
        crate::complain(&format!("connecting to VAST node {endpoint}"));
        if wanted != own {
            return Err(unreachable(wanted, !is_host(wanted.0)));
        }
        while self.state() == State::Frozen {
            sleep(LOOK);
        }
        match self.state() {
            State::Away { .. } => Err(unreachable(wanted, false)),
            State::Up | State::Frozen => Ok(()),
        }
    }

    /// Ends the node, as if it was killed, where it can be away.
    ///
    /// # Errors
    /// When the file that says so cannot be written.
    pub fn die(&self) -> std::io::Result<()> {
        match &self.down_file {
            Some(file) => std::fs::write(file, "killed"),
            None => Ok(()),
        }
    }

    /// Checks for the node during a call; a frozen one is waited for.
    ///
    /// # Errors
    /// The ending of a running call whose node goes away.
    pub fn look(&self) -> Result<(), Ending> {
        loop {
            match self.state() {
                State::Up => return Ok(()),
                State::Away { orderly: true } => return Err(Ending::silent(0)),
                State::Away { orderly: false } => return Err(lost()),
                State::Frozen => sleep(LOOK),
            }
        }
    }

    /// Waits, and checks for the node meanwhile.
    ///
    /// # Errors
    /// As [`Node::look`].
    pub fn pause(&self, duration: Duration) -> Result<(), Ending> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.look()?;
            sleep(left.min(LOOK));
        }
    }

    /// Waits until a signal or the loss of the node ends the call.
    pub fn hang(&self) -> Ending {
        loop {
            if let Err(ending) = self.look() {
                return ending;
            }
            sleep(LOOK);
        }
    }
}

/// Host and port; `localhost` and its addresses are the same host.
fn split(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let host = match host {
        "" | "localhost" | "127.0.0.1" | "::1" | "[::1]" => "127.0.0.1",
        other => other,
    };
    Some((host, port.parse().ok()?))
}

fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

fn unreachable((host, port): (&str, u16), unknown: bool) -> Ending {
    let reason = if unknown {
        "no such host"
    } else {
        "ip_connect failed"
    };
    Ending::error(&format!(
        "cannot_connect_to_node: \"{reason}\" \"{host}\" {port}"
    ))
}

fn invalid(endpoint: &str) -> Ending {
    Ending::error(&format!("unspecified: invalid endpoint \"{endpoint}\""))
}

fn lost() -> Ending {
    crate::complain("export json received error message: exit_reason(remote_link_unreachable)");
    Ending::error("exit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_line(node: &Node, endpoint: &str) -> Option<String> {
        match node.connect(Some(endpoint)) {
            Err(Ending::Exit { message, .. }) => message,
            _ => None,
        }
    }

    #[test]
    fn endpoints_are_told_apart() {
        let node = Node::new("localhost:42000", None);
        for same in [
            "localhost:42000",
            "127.0.0.1:42000",
            ":42000",
            "[::1]:42000",
        ] {
            assert_eq!(last_line(&node, same), None, "{same}");
        }
        for (endpoint, line) in [
            (
                "127.0.0.1:49999",
                "!! cannot_connect_to_node: \"ip_connect failed\" \"127.0.0.1\" 49999",
            ),
            (
                "nosuchhost:42000",
                "!! cannot_connect_to_node: \"no such host\" \"nosuchhost\" 42000",
            ),
            ("x", "!! unspecified: invalid endpoint \"x\""),
            ("x:70000", "!! unspecified: invalid endpoint \"x:70000\""),
        ] {
            assert_eq!(last_line(&node, endpoint).as_deref(), Some(line));
        }
    }

    #[test]
    fn a_file_takes_the_node_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("down");
        let node = Node::new("localhost:42000", Some(file.clone()));
        assert!(node.look().is_ok() && !node.is_away());
        std::fs::write(&file, "").expect("written");
        assert!(node.is_away() && node.connect(None).is_err());
        assert!(matches!(node.look(), Err(Ending::Exit { status: 1, .. })));
        std::fs::write(&file, "sigterm\n").expect("written");
        assert!(matches!(node.look(), Err(Ending::Exit { status: 0, .. })));
        assert!(matches!(node.hang(), Ending::Exit { status: 0, .. }));
        std::fs::remove_file(&file).expect("removed");
        assert!(node.pause(Duration::from_millis(1)).is_ok());
    }
}
