//! Threads that do something at intervals until they are dropped.

use std::convert::Infallible;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

/// Why the thread has woken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The pause is over.
    Pause,
    /// The ticker was dropped; this is the last time.
    End,
}

/// A thread that wakes up after each pause, and again when this is dropped, which
/// waits for it.
#[derive(Debug, Default)]
pub struct Ticker {
    running: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// No thread, if there is nothing to do.
    pub fn none() -> Self {
        Ticker::default()
    }

    /// Starts a thread with this name that calls `tick` whenever it wakes.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        name: &str,
        pause: Duration,
        mut tick: impl FnMut(Wake) + Send + 'static,
    ) -> io::Result<Self> {
        let (running, ended) = bounded::<Infallible>(0);
        let run = move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                tick(Wake::Pause);
            }
            tick(Wake::End);
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        Ok(Ticker {
            running: Some(running),
            thread: Some(thread.spawn(run)?),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been logged.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn wakes_after_each_pause_and_again_at_the_end() {
        let (sender, wakings) = unbounded();
        let tick = move |wake| sender.send(wake).expect("the test listens");
        let ticker = Ticker::start("test", Duration::from_millis(1), tick).expect("a thread");
        for _ in 0..3 {
            assert_eq!(wakings.recv(), Ok(Wake::Pause));
        }
        drop(ticker);
        let rest: Vec<Wake> = wakings.iter().collect();
        assert_eq!(rest.last(), Some(&Wake::End));
        let ends = rest.iter().filter(|wake| **wake == Wake::End);
        assert_eq!(ends.count(), 1);
    }
}
