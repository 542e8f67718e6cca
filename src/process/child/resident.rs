//! A child that keeps running: the thread that started it repeatedly writes its input and
//! reads its output. Like every child it is ended, with its own children, when it goes
//! out of scope.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::guard::{EXIT_CHECK_INTERVAL, Guard};
use super::{CHUNK, drain_stderr, last_words, set_nonblocking};
use crate::process::stop::{Stop, poll_timeout};

/// A running child and its three pipes.
pub struct Resident {
    guard: Guard,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    stderr_tail: Vec<u8>,
    buffer: Vec<u8>,
}

/// The result of one turn.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The number of input bytes written to the pipe.
    pub written: usize,
    /// The output that was read.
    pub output: &'a [u8],
    /// Whether the output has ended: it is closed, or the child has exited and everything
    /// is read.
    pub ended: bool,
}

impl Resident {
    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started, or the system refuses a pipe.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut guard = Guard::spawn(command, true)?;
        let stdin = guard.child.stdin.take();
        let stdout = guard.child.stdout.take();
        let stderr = guard.child.stderr.take();
        if let (Some(stdin), Some(stdout), Some(stderr)) = (&stdin, &stdout, &stderr) {
            set_nonblocking(stdin)?;
            set_nonblocking(stdout)?;
            set_nonblocking(stderr)?;
        }
        Ok(Resident {
            guard,
            stdin,
            stdout,
            stderr,
            stderr_tail: Vec::new(),
            buffer: vec![0; CHUNK],
        })
    }

    /// Writes as much of `input` as fits and reads what is available, waiting for either
    /// up to `limit`, or until the program stops.
    ///
    /// # Errors
    /// A pipe fails.
    pub fn turn(&mut self, input: &[u8], limit: Duration, stop: &Stop) -> io::Result<Turn<'_>> {
        let exited = self.wait(!input.is_empty(), limit, stop)?;
        let written = self.feed(input);
        drain_stderr(&mut self.stderr, &mut self.stderr_tail);
        let count = self.read()?;
        let ended = self.stdout.is_none() || (exited && count == 0);
        Ok(Turn {
            written,
            output: &self.buffer[..count],
            ended,
        })
    }

    /// Closes the child's input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Whether more can be written: neither end of the input is known to be closed.
    pub fn takes_input(&self) -> bool {
        self.stdin.is_some()
    }

    /// The number of input bytes that the child has not read yet.
    pub fn unread(&self) -> usize {
        let unread = self.stdin.as_ref().map(rustix::io::ioctl_fionread);
        // If the pipe cannot tell, everything counts as read.
        let unread = unread.and_then(Result::ok).unwrap_or_default();
        usize::try_from(unread).unwrap_or(usize::MAX)
    }

    /// Waits for the child's exit; `None` if it has not exited in time.
    ///
    /// # Errors
    /// The system refuses.
    pub fn exit(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        if !self.guard.await_exit(limit)? {
            return Ok(None);
        }
        drain_stderr(&mut self.stderr, &mut self.stderr_tail);
        self.guard.reap().map(Some)
    }

    /// Whether the child has exited.
    pub fn has_exited(&self) -> bool {
        self.guard.has_exited().unwrap_or(true)
    }

    /// The last line of standard error that is not blank.
    pub fn last_words(&mut self) -> String {
        drain_stderr(&mut self.stderr, &mut self.stderr_tail);
        last_words(&self.stderr_tail)
    }

    /// Closes the input, and ends the child if it does not exit within `grace`.
    pub fn retire(mut self, grace: Duration) {
        self.close_input();
        let until = std::time::Instant::now() + grace;
        // Unread output must not keep it from exiting.
        while self.stdout.is_some() && !self.has_exited() {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || self.wait_output(left).is_err() || self.read().is_err() {
                break;
            }
            drain_stderr(&mut self.stderr, &mut self.stderr_tail);
        }
        // After an error it is killed when it goes out of scope.
        let left = until.saturating_duration_since(std::time::Instant::now());
        if !matches!(self.exit(left), Ok(Some(_))) {
            let _ = self.guard.end(Duration::ZERO);
        }
    }

    /// Waits until there is something to do; returns whether the child has exited.
    fn wait(&self, has_input: bool, limit: Duration, stop: &Stop) -> io::Result<bool> {
        let gate = if stop.is_draining() {
            stop.now_fd()
        } else {
            stop.drain_fd()
        };
        let mut fds = vec![PollFd::from_borrowed_fd(gate, PollFlags::IN)];
        self.push_outputs(&mut fds);
        if let Some(pipe) = self.stdin.as_ref().filter(|_| has_input) {
            fds.push(PollFd::new(pipe, PollFlags::OUT));
        }
        self.poll(&mut fds, limit)?;
        self.guard.has_exited()
    }

    fn wait_output(&self, limit: Duration) -> io::Result<()> {
        let mut fds = Vec::new();
        self.push_outputs(&mut fds);
        self.poll(&mut fds, limit)
    }

    fn push_outputs<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let Some(pipe) = &self.stdout {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some(pipe) = &self.stderr {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        let pidfd: Option<&OwnedFd> = self.guard.pidfd.as_ref();
        if let Some(pidfd) = pidfd {
            fds.push(PollFd::new(pidfd, PollFlags::IN));
        }
    }

    fn poll(&self, fds: &mut [PollFd<'_>], limit: Duration) -> io::Result<()> {
        let limit = match self.guard.pidfd {
            Some(_) => limit,
            None => limit.min(EXIT_CHECK_INTERVAL),
        };
        match rustix::event::poll(fds, Some(&poll_timeout(limit))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn feed(&mut self, input: &[u8]) -> usize {
        let mut written = 0;
        while let Some(pipe) = self.stdin.as_mut().filter(|_| written < input.len()) {
            match pipe.write(&input[written..]) {
                Ok(count) => written += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => break,
                    // The child has closed its end.
                    _ => self.stdin = None,
                },
            }
        }
        written
    }

    fn read(&mut self) -> io::Result<usize> {
        let Some(pipe) = &mut self.stdout else {
            return Ok(0);
        };
        match pipe.read(&mut self.buffer) {
            Ok(0) => {
                self.stdout = None;
                Ok(0)
            }
            Ok(count) => Ok(count),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Resident {
        let mut command = Command::new("/bin/sh");
        Resident::start(command.args(["-c", script])).expect("sh starts")
    }

    /// Reads the child's output until it has this many bytes, or has ended.
    fn hear(child: &mut Resident, mut input: &[u8], bytes: usize) -> (Vec<u8>, bool) {
        let stop = Stop::new().expect("two socket pairs");
        let (until, mut heard) = (Instant::now() + LIMIT, Vec::new());
        while Instant::now() < until {
            let turn = child.turn(input, Duration::from_secs(1), &stop);
            let turn = turn.expect("pipes");
            input = &input[turn.written..];
            heard.extend_from_slice(turn.output);
            if turn.ended || heard.len() >= bytes {
                return (heard, turn.ended);
            }
        }
        panic!("heard {heard:?} only");
    }

    #[test]
    fn it_is_fed_and_heard_more_than_once() {
        let mut child = shell("while read line; do echo \"<$line>\"; done; echo end; exit 3");
        assert_eq!(hear(&mut child, b"a\n", 4), (b"<a>\n".to_vec(), false));
        assert_eq!(hear(&mut child, b"b\n", 4), (b"<b>\n".to_vec(), false));
        assert_eq!(child.unread(), 0);
        child.close_input();
        let (rest, ended) = hear(&mut child, b"", usize::MAX);
        assert_eq!((&rest[..], ended), (&b"end\n"[..], true));
        let status = child.exit(LIMIT).expect("a status");
        assert_eq!(status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn more_than_the_pipes_hold_goes_through() {
        let mut child = shell("exec cat");
        let input = vec![b'x'; 1_000_000];
        let (output, ended) = hear(&mut child, &input, input.len());
        assert!(output == input && !ended);
    }

    #[test]
    fn what_the_child_has_not_read_is_known() {
        let mut child = shell("sleep 600");
        let stop = Stop::new().expect("two socket pairs");
        let turn = child.turn(b"12345", LIMIT, &stop).expect("a pipe");
        assert_eq!(turn.written, 5);
        assert_eq!(child.unread(), 5);
        let started = Instant::now();
        child.retire(Duration::from_millis(100));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn one_that_goes_away_ends_the_turn() {
        let mut child = shell("echo oops >&2; exit 1");
        let (output, ended) = hear(&mut child, b"x", usize::MAX);
        assert!(output.is_empty() && ended);
        let status = child.exit(LIMIT).expect("a status");
        assert_eq!(status.and_then(|status| status.code()), Some(1));
        assert_eq!(child.last_words(), "oops");
    }
}
