//! Signals: the first one drains, the second one ends. SIGUSR1 shows the status.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::info;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use crate::observe::metrics::Metrics;
use crate::observe::status;
use crate::process::notify;
use crate::process::stop::Stop;

/// How long running queries may take after the first signal.
pub const GRACE: Duration = Duration::from_secs(5);

/// The thread that waits for signals.
pub struct Watcher {
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Starts to watch for SIGINT, SIGTERM, SIGHUP and SIGUSR1.
    ///
    /// # Errors
    /// The system refuses the handlers or the thread.
    pub fn start(stop: Stop, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let started = Instant::now();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if signal == SIGUSR1 {
                        status::log(&metrics, started.elapsed());
                        continue;
                    }
                    notify::stopping();
                    let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                    if stop.is_draining() {
                        info!("{name} again: ending at once");
                        stop.now();
                    } else {
                        info!(
                            "{name}: stopping; running queries may take {} s",
                            GRACE.as_secs()
                        );
                        stop.drain(GRACE);
                    }
                }
            })?;
        Ok(Watcher { handle, thread })
    }

    /// Ends the thread.
    pub fn end(self) {
        self.handle.close();
        // It only sleeps and sets the stop; there is nothing to learn from it.
        let _ = self.thread.join();
    }
}
