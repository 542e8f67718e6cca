//! Signals: the first one drains, the second one ends.

use std::thread::JoinHandle;
use std::time::Duration;

use log::info;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::stop::Stop;

/// How long running queries may take after the first signal.
pub const GRACE: Duration = Duration::from_secs(5);

/// The thread that waits for signals.
pub struct Watcher {
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Starts to watch for SIGINT, SIGTERM and SIGHUP.
    ///
    /// # Errors
    /// The system refuses the handlers or the thread.
    pub fn start(stop: Stop) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
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
