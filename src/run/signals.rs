//! Signals: the first one drains, the second one ends at once. SIGUSR1 logs the status.
//! SIGHUP means the end of a terminal or, without a terminal, a request to reopen files.

use std::fs::{self, File};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{debug, info};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use crate::observe::metrics::Metrics;
use crate::observe::status;
use crate::process::notify;
use crate::process::stop::Stop;

/// How long running queries may take after the first signal.
pub const GRACE: Duration = Duration::from_secs(5);

/// Another signal within this time after the first is part of it: `timeout` and `kill 0`
/// send signals to the process and to its group.
const SAME: Duration = Duration::from_secs(1);

/// The thread that waits for signals.
pub struct Watcher {
    handle: Handle,
    thread: JoinHandle<()>,
    ended_by: Arc<OnceLock<&'static str>>,
}

impl Watcher {
    /// Starts watching for SIGINT, SIGTERM, SIGUSR1 and SIGHUP. A SIGHUP that was ignored
    /// at the start (`nohup`) stays ignored. If SIGHUP does not mean the end, it calls
    /// `reload`.
    ///
    /// # Errors
    /// The system refuses the handlers or the thread.
    pub fn start(
        stop: Stop,
        metrics: Arc<Metrics>,
        mut reload: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Self> {
        let started = Instant::now();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !is_ignored(SIGHUP, &status) {
            signals.add_signal(SIGHUP)?;
        }
        let mut state = EarlierSignals::new(has_terminal());
        let handle = signals.handle();
        let ended_by = Arc::new(OnceLock::new());
        let first = ended_by.clone();
        let watch = move || {
            for signal in signals.forever() {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                match state.take(signal, Instant::now(), stop.is_draining()) {
                    Wish::Status => status::log(&metrics, started.elapsed()),
                    Wish::Reload => {
                        info!("{name}: reopening files");
                        reload();
                    }
                    Wish::Same => {
                        debug!("{name} again within a second: it counts as the same signal");
                    }
                    Wish::End => {
                        info!(
                            "{name}: stopping; running queries may take {} s",
                            GRACE.as_secs()
                        );
                        notify::stopping();
                        first.get_or_init(|| name);
                        stop.drain(GRACE);
                    }
                    Wish::EndNow => {
                        info!("{name} again: ending at once");
                        notify::stopping();
                        stop.now();
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        Ok(Watcher {
            handle,
            thread: thread.spawn(watch)?,
            ended_by,
        })
    }

    /// Ends the thread; returns the name of the signal that ended the run, if one did.
    pub fn end(self) -> Option<&'static str> {
        self.handle.close();
        // Its result does not matter: it only waits and sets the stop.
        let _ = self.thread.join();
        self.ended_by.get().copied()
    }
}

/// What a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Status,
    Reload,
    End,
    /// A repetition of the request to end.
    Same,
    EndNow,
}

/// What to remember of earlier signals.
struct EarlierSignals {
    has_terminal: bool,
    first: Option<Instant>,
}

impl EarlierSignals {
    fn new(has_terminal: bool) -> Self {
        EarlierSignals {
            has_terminal,
            first: None,
        }
    }

    fn take(&mut self, signal: i32, now: Instant, is_draining: bool) -> Wish {
        let is_same = |first: Instant| now.saturating_duration_since(first) < SAME;
        match signal {
            SIGUSR1 => Wish::Status,
            SIGHUP if !self.has_terminal => Wish::Reload,
            _ if self.first.is_some_and(is_same) => Wish::Same,
            _ if is_draining => Wish::EndNow,
            _ => {
                self.first = Some(now);
                Wish::End
            }
        }
    }
}

/// Whether this process has a terminal that can hang up; services and containers do not.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether a signal is ignored, see proc_pid_status(5).
fn is_ignored(signal: i32, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_ends_at_once_unless_it_is_the_first_again() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut state = EarlierSignals::new(false);
        assert_eq!(state.take(SIGUSR1, after(0), false), Wish::Status);
        assert_eq!(state.take(SIGTERM, after(100), false), Wish::End);
        assert_eq!(state.take(SIGTERM, after(101), true), Wish::Same);
        assert_eq!(state.take(SIGINT, after(1050), true), Wish::Same);
        assert_eq!(state.take(SIGINT, after(1100), true), Wish::EndNow);
    }

    #[test]
    fn what_ends_already_ends_at_once() {
        let mut state = EarlierSignals::new(true);
        assert_eq!(state.take(SIGINT, Instant::now(), true), Wish::EndNow);
    }

    #[test]
    fn sighup_is_an_end_at_a_terminal_alone() {
        let now = Instant::now();
        assert_eq!(
            EarlierSignals::new(true).take(SIGHUP, now, false),
            Wish::End
        );
        let mut service = EarlierSignals::new(false);
        assert_eq!(service.take(SIGHUP, now, false), Wish::Reload);
        assert_eq!(service.take(SIGHUP, now, true), Wish::Reload);
    }

    #[test]
    fn what_is_ignored_is_read_from_its_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(1, status) && is_ignored(13, status));
        assert!(!is_ignored(2, status) && !is_ignored(1, ""));
    }
}
