//! The program's stop, which wakes every blocking wait.
//!
//! Stopping has two steps. *Draining*: no new work is accepted, and running work may
//! finish until the grace period is over. *Now*: children are killed, waits end. Each
//! step closes one pipe end and one channel, so a thread that waits in `poll`, in
//! `zmq_poll` or on a channel wakes at once, and no thread has to poll a flag.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags};

/// One step of stopping: closed once, visible to all.
struct Latch {
    /// Readable (end of file) once the latch is closed.
    pipe: UnixStream,
    /// Disconnected once the latch is closed.
    channel: Receiver<std::convert::Infallible>,
    held: Mutex<Option<(UnixStream, Sender<std::convert::Infallible>)>>,
}

impl Latch {
    fn new() -> std::io::Result<Self> {
        let (pipe, other_end) = UnixStream::pair()?;
        let (sender, channel) = bounded(0);
        Ok(Latch {
            pipe,
            channel,
            held: Mutex::new(Some((other_end, sender))),
        })
    }

    fn close(&self) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn is_closed(&self) -> bool {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

struct Inner {
    drain: Latch,
    now: Latch,
    /// The end of draining; set by the call that starts it.
    drained_by: OnceLock<Instant>,
    unwanted: AtomicBool,
}

/// A handle on the program's stop. Clones share one state.
#[derive(Clone)]
pub struct Stop(Arc<Inner>);

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop")
            .field("is_draining", &self.is_draining())
            .field("is_now", &self.is_now())
            .finish()
    }
}

impl Stop {
    /// Makes the two latches.
    ///
    /// # Errors
    /// The system has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Stop(Arc::new(Inner {
            drain: Latch::new()?,
            now: Latch::new()?,
            drained_by: OnceLock::new(),
            unwanted: AtomicBool::new(false),
        })))
    }

    /// Starts draining: no new work, and running work has `grace` to finish.
    pub fn drain(&self, grace: Duration) {
        self.0
            .drained_by
            .get_or_init(|| Instant::now().checked_add(grace).unwrap_or_else(far_future));
        self.0.drain.close();
    }

    /// Ends everything at once.
    pub fn now(&self) {
        self.drain(Duration::ZERO);
        self.0.now.close();
    }

    /// Ends everything at once, since nobody needs the rest.
    pub fn unwanted(&self) {
        self.0.unwanted.store(true, Ordering::Relaxed);
        self.now();
    }

    /// The log level for work left undone at the end.
    pub fn level_of_rest(&self) -> log::Level {
        if self.0.unwanted.load(Ordering::Relaxed) {
            log::Level::Debug
        } else {
            log::Level::Warn
        }
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.0.drain.is_closed()
    }

    /// Whether everything must end at once.
    pub fn is_now(&self) -> bool {
        self.0.now.is_closed()
    }

    /// The end of the grace period, once draining has begun.
    pub fn drained_by(&self) -> Option<Instant> {
        self.0.drained_by.get().copied()
    }

    /// A descriptor that becomes readable when draining begins.
    pub fn drain_fd(&self) -> BorrowedFd<'_> {
        self.0.drain.pipe.as_fd()
    }

    /// A descriptor that becomes readable when everything must end.
    pub fn now_fd(&self) -> BorrowedFd<'_> {
        self.0.now.pipe.as_fd()
    }

    /// A channel that is disconnected when draining begins.
    pub fn drain_channel(&self) -> &Receiver<std::convert::Infallible> {
        &self.0.drain.channel
    }

    /// A channel that is disconnected when everything must end.
    pub fn now_channel(&self) -> &Receiver<std::convert::Infallible> {
        &self.0.now.channel
    }

    /// Sleeps for `pause`, or until draining begins. Returns whether it has begun.
    pub fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            if self.is_draining() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut fds = [PollFd::from_borrowed_fd(self.drain_fd(), PollFlags::IN)];
            // After an interrupted poll the loop just runs once more.
            let _ = rustix::event::poll(&mut fds, Some(&poll_timeout(left)));
        }
    }

    /// Tries with growing pauses, the first of them before the first try, until `attempt`
    /// succeeds; `false` if draining begins first.
    pub fn retry(&self, mut attempt: impl FnMut() -> bool) -> bool {
        let mut backoff = Backoff::new();
        while !self.sleep(backoff.pause()) {
            if attempt() {
                return true;
            }
        }
        false
    }
}

/// A time beyond any run of this program, for sums that overflow.
fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(100 * 365 * 86_400)
}

/// A duration for `poll`.
pub(crate) fn poll_timeout(duration: Duration) -> rustix::event::Timespec {
    rustix::event::Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Growing pauses between tries: 0.5 s, doubling to 30 s unless another limit is set, each
/// shortened by up to a quarter at random, so that many bridges do not reconnect in step
/// after an outage.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

    /// Starts with the shortest pause.
    pub fn new() -> Self {
        Backoff::between(Self::FIRST, Self::LONGEST_BACKOFF)
    }

    /// Pauses from `first` to `longest`.
    pub fn between(first: Duration, longest: Duration) -> Self {
        Backoff {
            first,
            next: first,
            longest,
        }
    }

    /// Something went well: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause, twice as long as the last one.
    pub fn pause(&mut self) -> Duration {
        self.pause_by(random_fraction())
    }

    /// Like [`Backoff::pause`], with a given random number from 0 to 1.
    pub fn pause_by(&mut self, random: f64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(1.0 - 0.25 * random)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new()
    }
}

/// A number from 0 to 1, random enough for jitter: derived from the keys of the standard
/// library's hash maps.
fn random_fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    bits as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_wakes_a_sleeper_and_sets_a_deadline() {
        let stop = Stop::new().expect("two socket pairs");
        assert!(!stop.sleep(Duration::from_millis(1)));
        assert_eq!(stop.drained_by(), None);
        let other = stop.clone();
        let waiter = std::thread::spawn(move || other.sleep(Duration::from_secs(60)));
        stop.drain(Duration::from_secs(5));
        assert!(waiter.join().expect("no panic"));
        assert!(stop.is_draining() && !stop.is_now());
        assert!(stop.drained_by().expect("draining") > Instant::now());
        assert!(stop.drain_channel().recv().is_err());
    }

    #[test]
    fn it_is_tried_until_it_succeeds_or_the_program_ends() {
        let stop = Stop::new().expect("two socket pairs");
        assert!(stop.retry(|| true));
        stop.drain(Duration::ZERO);
        assert!(!stop.retry(|| unreachable!("it ends")));
    }

    #[test]
    fn now_closes_both_gates_and_keeps_the_first_deadline() {
        let stop = Stop::new().expect("two socket pairs");
        stop.drain(Duration::from_secs(60));
        let first = stop.drained_by();
        stop.now();
        assert!(stop.is_draining() && stop.is_now());
        assert_eq!(stop.drained_by(), first);
        assert!(stop.now_channel().recv().is_err());
    }

    #[test]
    fn pauses_double_to_half_a_minute() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..9).map(|_| backoff.pause()).collect();
        for (step, pause) in pauses.iter().enumerate() {
            let full = Duration::from_millis(500 << step.min(6)).min(Duration::from_secs(30));
            assert!(*pause <= full, "{step}: {pause:?}");
            assert!(*pause >= full.mul_f64(0.75), "{step}: {pause:?}");
        }
    }
}
