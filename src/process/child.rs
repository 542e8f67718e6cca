//! Runs other programs: `vast`, the context transformation, a sink command.
//!
//! One call runs one child on the calling thread, from start until it is reaped. It
//! writes standard input, passes on standard output as it arrives, stores the end of
//! standard error, and enforces a deadline, all in one `poll` loop without helper
//! threads. The child is gone on every way out: if it did not exit on its own, its
//! process group gets SIGTERM, SIGKILL a moment later, and is waited for, within a limit
//! so that no thread hangs on a child that the kernel does not release. If this program
//! itself dies, the kernel kills its children (parent-death signal).

mod guard;
pub mod resident;

use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::process::stop::{Stop, poll_timeout};
use guard::{EXIT_CHECK_INTERVAL, Guard};

pub use guard::running;

/// How much of a child's standard error is stored for the log, in bytes.
pub const STDERR_KEPT: usize = 4096;

/// How long a child may take to exit after SIGTERM before it is killed. The engine's own
/// shutdown takes 0.9 s (measured, `vast` 2020.12.16).
const TERMINATION_GRACE: Duration = Duration::from_secs(2);

/// The bytes read from a pipe at once: the capacity of a pipe.
const CHUNK: usize = 64 * 1024;

/// How often standard error is read in one go, 4 kB each. A child that writes it faster
/// than it is read must not keep the limits from being checked.
const STDERR_PIECES: usize = 64;

/// What the consumer of a child's output requests next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More output.
    Continue,
    /// No more output: end the child.
    Enough,
}

/// How a child ended.
#[derive(Debug)]
pub enum ChildEnd {
    /// It exited.
    Exited(ExitStatus),
    /// It was ended at its time limit.
    TimedOut,
    /// It was ended because the program stops.
    Stopped,
    /// It was ended because there was enough output.
    Enough,
}

/// The result of running a child.
#[derive(Debug)]
pub struct ChildOutcome {
    /// How it ended.
    pub end: ChildEnd,
    /// The last [`STDERR_KEPT`] bytes of its standard error.
    pub stderr: Vec<u8>,
}

impl ChildOutcome {
    /// The last line of standard error that is not blank.
    pub fn last_words(&self) -> String {
        last_words(&self.stderr)
    }
}

/// The last line of this text that is not blank.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("nothing on standard error")
        .to_owned()
}

/// An exit status in words: "exit status 1", "signal 9".
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The limits of a child.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// How long it may run, without the time for consuming its output; `None` =
    /// unlimited.
    pub time: Option<Duration>,
    /// The program's stop: draining shortens the time to the rest of the grace period,
    /// "now" ends the child at once.
    pub stop: &'a Stop,
}

/// Other options for a child.
#[derive(Clone, Copy)]
pub struct RunOptions {
    /// How long it may take to exit after SIGTERM before it is killed.
    pub grace: Duration,
    /// After this time without output, the consumer is called with none, and may end the
    /// child; `None` = never.
    pub silence: Option<Duration>,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            grace: TERMINATION_GRACE,
            silence: None,
        }
    }
}

/// The variables that children inherit. They do not get the rest of this program's
/// environment.
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// A command for `program` with a clean environment.
pub fn command(program: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs `command` with `input` on standard input until it has exited and its
/// standard output is read, calling `consume` with each piece of it. The input is in memory:
/// reading it never waits.
///
/// # Errors
/// The program cannot be started, or the system refuses a pipe.
pub fn run(
    command: &mut Command,
    input: impl BufRead,
    limits: Limits<'_>,
    consume: impl FnMut(&[u8]) -> Flow,
) -> io::Result<ChildOutcome> {
    run_in(RunOptions::default(), command, input, limits, consume)
}

/// Like [`run`], with options.
///
/// # Errors
/// The same as for [`run`].
pub fn run_in(
    options: RunOptions,
    command: &mut Command,
    mut input: impl BufRead,
    limits: Limits<'_>,
    consume: impl FnMut(&[u8]) -> Flow,
) -> io::Result<ChildOutcome> {
    let started = Instant::now();
    let mut child = Guard::spawn(command, !input.fill_buf()?.is_empty())?;
    let mut pipes = Pipes::take(&mut child.child, &mut input, options.silence)?;
    let end = match pipes.pump(started, limits, consume, &child)? {
        Some(end) => {
            child.end(options.grace)?;
            end
        }
        None => ChildEnd::Exited(child.reap()?),
    };
    drain_stderr(&mut pipes.stderr, &mut pipes.stderr_tail);
    Ok(ChildOutcome {
        end,
        stderr: pipes.stderr_tail,
    })
}

/// Collects a child's whole standard output, up to `most` bytes.
///
/// # Errors
/// The same as for [`run`]. Output beyond `most` ends the child with [`ChildEnd::Enough`].
pub fn run_to_end(
    command: &mut Command,
    input: impl BufRead,
    limits: Limits<'_>,
    most: usize,
) -> io::Result<(ChildOutcome, Vec<u8>)> {
    let mut output = Vec::new();
    let outcome = run(command, input, limits, |piece| {
        if output.len() + piece.len() > most {
            return Flow::Enough;
        }
        output.extend_from_slice(piece);
        Flow::Continue
    })?;
    Ok((outcome, output))
}

/// The time that the limits leave.
enum TimeLeft {
    Until(Option<Duration>),
    Over(ChildEnd),
}

fn time_left(started: Instant, not_counted: Duration, limits: Limits<'_>) -> TimeLeft {
    if limits.stop.is_now() {
        return TimeLeft::Over(ChildEnd::Stopped);
    }
    let now = Instant::now();
    let mut left = limits.time.map(|time| {
        time.saturating_add(not_counted)
            .saturating_sub(now.saturating_duration_since(started))
    });
    if left == Some(Duration::ZERO) {
        return TimeLeft::Over(ChildEnd::TimedOut);
    }
    if let Some(deadline) = limits.stop.drained_by() {
        let grace = deadline.saturating_duration_since(now);
        if grace.is_zero() {
            return TimeLeft::Over(ChildEnd::Stopped);
        }
        left = Some(left.map_or(grace, |left| left.min(grace)));
    }
    TimeLeft::Until(left)
}

/// The three pipes of a child, and their state.
struct Pipes<'a> {
    stdin: Option<std::process::ChildStdin>,
    unsent: &'a mut dyn BufRead,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<ChildStderr>,
    stderr_tail: Vec<u8>,
    /// Time spent in `consume`, which is not counted: the child cannot help a slow
    /// reader.
    time_consuming: Duration,
    silence: Option<Duration>,
    /// When output last arrived, or the consumer was last called for silence.
    heard: Instant,
    buffer: Vec<u8>,
}

impl<'a> Pipes<'a> {
    fn take(
        child: &mut Child,
        input: &'a mut dyn BufRead,
        silence: Option<Duration>,
    ) -> io::Result<Self> {
        let pipes = Pipes {
            stdin: child.stdin.take(),
            unsent: input,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            stderr_tail: Vec::new(),
            time_consuming: Duration::ZERO,
            silence,
            heard: Instant::now(),
            buffer: vec![0; CHUNK],
        };
        if let Some(pipe) = &pipes.stdin {
            set_nonblocking(pipe)?;
        }
        if let Some(pipe) = &pipes.stdout {
            set_nonblocking(pipe)?;
        }
        if let Some(pipe) = &pipes.stderr {
            set_nonblocking(pipe)?;
        }
        Ok(pipes)
    }

    /// Transfers bytes until the child exits or a limit is reached; `None` if it has
    /// exited and its output is read. Closing its output is not the end: such a child may
    /// still read its input and write to standard error.
    fn pump(
        &mut self,
        started: Instant,
        limits: Limits<'_>,
        mut consume: impl FnMut(&[u8]) -> Flow,
        child: &Guard,
    ) -> io::Result<Option<ChildEnd>> {
        let mut exited = false;
        loop {
            let left = match time_left(started, self.time_consuming, limits) {
                TimeLeft::Over(end) => return Ok(Some(end)),
                TimeLeft::Until(left) => left,
            };
            let left = match &child.pidfd {
                // The pipes of an exited child are emptied without waiting.
                _ if exited => Some(Duration::ZERO),
                Some(_) => self.until_silence(left),
                None => {
                    Some(left.map_or(EXIT_CHECK_INTERVAL, |left| left.min(EXIT_CHECK_INTERVAL)))
                }
            };
            let ready = self.wait(child.pidfd.as_ref().filter(|_| !exited), left, limits.stop)?;
            if !exited && (ready.exited || child.pidfd.is_none()) {
                exited = child.has_exited()?;
            }
            self.feed()?;
            drain_stderr(&mut self.stderr, &mut self.stderr_tail);
            match self.forward(&mut consume)? {
                ReadStep::Enough => return Ok(Some(ChildEnd::Enough)),
                ReadStep::Nothing if exited => return Ok(None),
                ReadStep::Nothing if self.is_silent() => {
                    if self.consume(0, &mut consume) == Flow::Enough {
                        return Ok(Some(ChildEnd::Enough));
                    }
                }
                ReadStep::Some | ReadStep::Nothing => {}
            }
        }
    }

    /// The shorter of this time and the time until the consumer is called for silence.
    fn until_silence(&self, left: Option<Duration>) -> Option<Duration> {
        let Some(silence) = self.silence else {
            return left;
        };
        let silence = silence.saturating_sub(self.heard.elapsed());
        Some(left.map_or(silence, |left| left.min(silence)))
    }

    fn is_silent(&self) -> bool {
        self.silence
            .is_some_and(|silence| self.heard.elapsed() >= silence)
    }

    /// Passes on this many bytes of the buffer, without counting the time.
    fn consume(&mut self, count: usize, consume: &mut impl FnMut(&[u8]) -> Flow) -> Flow {
        let before = Instant::now();
        let flow = consume(&self.buffer[..count]);
        self.time_consuming += before.elapsed();
        self.heard = Instant::now();
        flow
    }

    fn wait(
        &self,
        pidfd: Option<&OwnedFd>,
        left: Option<Duration>,
        stop: &Stop,
    ) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(5);
        // Draining changes the deadline, "now" ends the wait.
        let gate = if stop.is_draining() {
            stop.now_fd()
        } else {
            stop.drain_fd()
        };
        fds.push(PollFd::from_borrowed_fd(gate, PollFlags::IN));
        if let Some(pipe) = &self.stdout {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some(pipe) = &self.stderr {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some(pipe) = &self.stdin {
            fds.push(PollFd::new(pipe, PollFlags::OUT));
        }
        let pidfd_at = pidfd.map(|pidfd| {
            fds.push(PollFd::new(pidfd, PollFlags::IN));
            fds.len() - 1
        });
        match rustix::event::poll(&mut fds, left.map(poll_timeout).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Ready {
            exited: pidfd_at.is_some_and(|at| !fds[at].revents().is_empty()),
        })
    }

    /// Writes as much to standard input as fits. A child that does not read its input is
    /// not an error: many commands do not need it.
    fn feed(&mut self) -> io::Result<()> {
        while let Some(pipe) = &mut self.stdin {
            let next = self.unsent.fill_buf()?;
            match pipe.write(next) {
                Ok(0) => self.stdin = None,
                Ok(count) => self.unsent.consume(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => self.stdin = None,
            }
        }
        Ok(())
    }

    /// Reads a piece of standard output and passes it on.
    fn forward(&mut self, consume: &mut impl FnMut(&[u8]) -> Flow) -> io::Result<ReadStep> {
        let Some(pipe) = &mut self.stdout else {
            return Ok(ReadStep::Nothing);
        };
        match pipe.read(&mut self.buffer) {
            Ok(0) => {
                self.stdout = None;
                Ok(ReadStep::Nothing)
            }
            Ok(count) => Ok(match self.consume(count, consume) {
                Flow::Continue => ReadStep::Some,
                Flow::Enough => ReadStep::Enough,
            }),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(ReadStep::Nothing),
                _ => Err(error),
            },
        }
    }
}

/// Reads what is available on standard error, and stores the end of it in `tail`.
fn drain_stderr(stderr: &mut Option<ChildStderr>, tail: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    for _ in 0..STDERR_PIECES {
        let Some(pipe) = stderr else {
            return;
        };
        match pipe.read(&mut buffer) {
            Ok(0) => *stderr = None,
            Ok(count) => {
                tail.extend_from_slice(&buffer[..count]);
                let surplus = tail.len().saturating_sub(STDERR_KEPT);
                tail.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => *stderr = None,
        }
    }
}

struct Ready {
    exited: bool,
}

/// The result of one read of standard output.
enum ReadStep {
    Some,
    Nothing,
    Enough,
}

fn set_nonblocking(pipe: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok(())
}

#[cfg(test)]
mod tests;
