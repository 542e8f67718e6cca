//! Notifies the service manager of the program's state: the protocol of sd_notify(3),
//! over the socket in `NOTIFY_SOCKET`. Without that variable nothing is sent.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use log::warn;

use super::ticker::{Ticker, Wake};

/// How long the thread for the bus may be silent before the watchdog is no longer
/// notified. Its longest wait is a pause of 30 s between two tries.
const SILENCE_OF_RECEIVER: Duration = Duration::from_secs(90);

/// The manager that started this process, if it wants notifications.
static MANAGER: OnceLock<Option<Manager>> = OnceLock::new();
static READY: AtomicBool = AtomicBool::new(false);
static STOPPING: AtomicBool = AtomicBool::new(false);
/// When the thread for the bus was last active; `None` if there is no such thread.
static LAST_BEAT: Mutex<Option<Instant>> = Mutex::new(None);

/// Reports that the program is ready. Only the first call counts.
pub fn ready(status: &str) {
    if !READY.swap(true, Ordering::Relaxed) {
        tell(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }
}

/// Reports that the program is stopping. Only the first call counts.
pub fn stopping() {
    if !STOPPING.swap(true, Ordering::Relaxed) {
        tell("STOPPING=1\nSTATUS=stopping\n");
    }
}

/// The thread for the bus is active.
pub fn beat() {
    *LAST_BEAT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// The thread for the bus has ended normally.
pub fn no_more_beats() {
    *LAST_BEAT.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn is_alive(last_beat: Option<Instant>, now: Instant) -> bool {
    last_beat.is_none_or(|last| now.saturating_duration_since(last) < SILENCE_OF_RECEIVER)
}

fn tell(text: &str) {
    let manager = MANAGER.get_or_init(|| {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        Manager::at(&name)
            .inspect_err(|error| warn!("NOTIFY_SOCKET cannot be used: {error}"))
            .ok()
    });
    if let Some(Err(error)) = manager.as_ref().map(|manager| manager.send(text)) {
        warn!("the service manager cannot be notified: {error}");
    }
}

/// Makes a status one line.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The service manager's socket.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// A path, or with a leading `@` a name in the abstract namespace.
    fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => {
                let reason = "it is neither a path from / nor a name behind @";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
        };
        let socket = UnixDatagram::unbound()?;
        // Nothing here may hang because of the manager.
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(Manager { socket, address })
    }

    fn send(&self, text: &str) -> io::Result<()> {
        let sent = self.socket.send_to_addr(text.as_bytes(), &self.address)?;
        if sent == text.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

/// Notifies the service manager regularly that all is well, if it requests that:
/// `WATCHDOG_USEC` is set for this process. Ends when the result is dropped.
///
/// # Errors
/// The system has no thread left.
pub fn start_watchdog() -> io::Result<Ticker> {
    let variable = |name| std::env::var(name).ok();
    let pause = pause(
        variable("WATCHDOG_USEC").as_deref(),
        variable("WATCHDOG_PID").as_deref(),
        std::process::id(),
    );
    let Some(pause) = pause else {
        return Ok(Ticker::none());
    };
    Ticker::start("watchdog", pause, |wake| {
        if wake == Wake::End {
            return;
        }
        let last = *LAST_BEAT.lock().unwrap_or_else(PoisonError::into_inner);
        if is_alive(last, Instant::now()) {
            tell("WATCHDOG=1\n");
        } else {
            warn!("the thread that talks to the bus makes no progress any more");
        }
    })
}

/// How often to notify: twice per timeout of the manager, as sd_watchdog_enabled(3)
/// recommends.
fn pause(microseconds: Option<&str>, meant_for: Option<&str>, own: u32) -> Option<Duration> {
    let microseconds: u64 = microseconds?.trim().parse().ok()?;
    let is_ours = meant_for.is_none_or(|pid| pid.trim().parse() == Ok(own));
    let pause = Duration::from_micros(microseconds / 2);
    (is_ours && !pause.is_zero()).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_notified() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let name = format!("vast-threatbus-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        for (socket, name) in [
            (UnixDatagram::bind(&path), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&address), format!("@{name}").into()),
        ] {
            let socket = socket.expect("a socket");
            Manager::at(&name)
                .and_then(|manager| manager.send("READY=1\n"))
                .expect("somebody listens");
            let mut bytes = [0; 100];
            let length = socket.recv(&mut bytes).expect("a datagram");
            assert_eq!(&bytes[..length], b"READY=1\n");
        }
        for bad in ["relative", "vsock:2:1234", ""] {
            assert!(Manager::at(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_watchdog_is_notified_twice_in_its_time_if_it_is_ours() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(pause(Some("2000000"), None, 7), second);
        assert_eq!(pause(Some("2000000"), Some("7"), 7), second);
        for (time, pid) in [
            (Some("2000000"), Some("8")),
            (None, None),
            (Some("soon"), None),
            (Some("0"), None),
            (Some("1"), None),
        ] {
            assert_eq!(pause(time, pid, 7), None);
        }
    }

    #[test]
    fn a_thread_that_hangs_is_noticed() {
        let now = Instant::now();
        assert!(is_alive(None, now + SILENCE_OF_RECEIVER));
        assert!(is_alive(Some(now), now + SILENCE_OF_RECEIVER / 2));
        assert!(!is_alive(Some(now), now + SILENCE_OF_RECEIVER));
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("a\nREADY=0"), "a READY=0");
    }
}
