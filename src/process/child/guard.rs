//! A running child that is ended and reaped on every way out.
//!
//! The ids of processes and groups are reused, so a group may only be signalled while its
//! id is certain to be its own. That is the case until its leader, the child, is reaped:
//! an exited process keeps its id until its parent has waited for it, and until then the
//! kernel gives that id to no other process or group. So the exit of a child is detected
//! without reaping it (pidfd, `WNOWAIT`); all signals are sent before it is reaped, and
//! none afterwards.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use wait_timeout::ChildExt;

use crate::process::stop::poll_timeout;

/// How often a child is polled if the kernel has no pidfd (before 5.3).
pub(super) const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How long an exited or killed child is waited for. The kernel does not release it while
/// it is in uninterruptible sleep, on a dead network share for example.
const REAPING: Duration = Duration::from_secs(2);

/// The number of running children.
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Children that were killed and could not be reaped in time. They are reaped when the
/// next child is started, if they have exited by then.
static LEFT: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The number of child processes that this program runs now.
pub fn running() -> u64 {
    RUNNING.load(Ordering::Relaxed)
}

/// A running child that is ended and reaped when it goes out of scope.
pub(super) struct Guard {
    pub(super) child: Child,
    /// Becomes readable when the child exits.
    pub(super) pidfd: Option<OwnedFd>,
    /// Its id may be reused from then on.
    is_reaped: bool,
}

impl Guard {
    /// Starts a child in a new process group.
    pub(super) fn spawn(command: &mut Command, wants_input: bool) -> io::Result<Self> {
        command
            .stdin(if wants_input {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A new group: Ctrl-C in the terminal is meant for this program, which
            // decides what its children do; and signals to the group also reach the
            // child's own children.
            .process_group(0);
        die_with_parent(command);
        reap_left();
        let mut guard = Guard {
            child: command.spawn()?,
            pidfd: None,
            is_reaped: false,
        };
        RUNNING.fetch_add(1, Ordering::Relaxed);
        guard.pidfd = guard
            .pid()
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(guard)
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().filter(|_| !self.is_reaped) {
            // If the group is already gone, there is nothing to do.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Whether the child has exited. It remains a zombie, so that its id and that of its
    /// group stay reserved.
    pub(super) fn has_exited(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(self.pid().ok_or(NO_PID)?), options) {
            Ok(status) => Ok(status.is_some()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the child's exit; returns whether it has exited.
    pub(super) fn await_exit(&self, limit: Duration) -> io::Result<bool> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.has_exited()? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            match &self.pidfd {
                Some(pidfd) => {
                    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
                    // After an interrupted poll the loop just runs once more.
                    let _ = rustix::event::poll(&mut fds, Some(&poll_timeout(left)));
                }
                None => std::thread::sleep(left.min(EXIT_CHECK_INTERVAL)),
            }
        }
    }

    /// Sends SIGTERM to the child's group and kills what is left: the child after
    /// `grace`, its own children once it is gone. A child that still does not exit is
    /// abandoned and logged.
    pub(super) fn end(&mut self, grace: Duration) -> io::Result<()> {
        if !grace.is_zero() {
            self.signal(Signal::TERM);
            self.await_exit(grace)?;
        }
        self.signal(Signal::KILL);
        match self.reap() {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
            status => status.map(|_| ()),
        }
    }

    /// Reaps a child that has exited or was killed. From then on its group gets no
    /// signal.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if the kernel does not release it: it is abandoned.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait_timeout(REAPING)?;
        self.is_reaped = true;
        if let Some(status) = status {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
            return Ok(status);
        }
        let id = self.child.id();
        warn!("process {id} does not end, though it was killed: it is left behind");
        left().extend(self.pid());
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn left() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps abandoned children that have exited since.
fn reap_left() {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    left().retain(
        |pid| match rustix::process::waitid(WaitId::Pid(*pid), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => true,
            Ok(Some(_)) | Err(_) => {
                debug!("process {} has ended after all", pid.as_raw_nonzero());
                RUNNING.fetch_sub(1, Ordering::Relaxed);
                false
            }
        },
    );
}

/// Process ids are positive.
const NO_PID: io::ErrorKind = io::ErrorKind::InvalidData;

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            // A failure has been logged.
            let _ = self.reap();
        }
    }
}

/// Makes the kernel kill the child when the thread that started it ends: the last defence
/// against orphans if this program is killed. Every child is waited for by the thread
/// that started it, so a thread only ends before its child if it crashes.
#[allow(unsafe_code)] // `pre_exec` has no safe form; see SAFETY.
fn die_with_parent(command: &mut Command) {
    let parent = Some(rustix::process::getpid());
    // SAFETY: between fork and exec only async-signal-safe calls are allowed;
    // the closure makes two system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // A parent that died before that no longer sends the signal.
            if rustix::process::getppid() != parent {
                return Err(rustix::io::Errno::SRCH.into());
            }
            Ok(())
        });
    }
}

#[cfg(test)]
pub(super) fn nothing_is_left() -> bool {
    left().is_empty()
}
