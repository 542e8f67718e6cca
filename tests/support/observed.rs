//! An observed process: its output, its children, and its exit.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Scratch;
use super::eventually;
use super::process::{self, Group, Process};

/// How much of standard output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// All of it.
    Patient,
    /// This many lines; then the pipe is closed, as by `head`.
    GoneAfter(usize),
    /// Nothing, with the pipe open: the process blocks at some point.
    Stuck,
}

/// A running process, in its own group and with its own mark in the environment.
///
/// When this is dropped, the process and everything that it started are killed.
pub struct Observed {
    group: Group,
    marks: [String; 2],
    lines: Receiver<String>,
    // Kept open if nothing reads it.
    _unread: Option<std::process::ChildStdout>,
    log: Arc<Log>,
    // Removed after the process has ended.
    scratch: Scratch,
}

/// The standard error so far.
#[derive(Default)]
struct Log {
    state: Mutex<(String, bool)>,
    grown: Condvar,
}

impl Log {
    /// Waits until `found` returns something for the text, at most for `limit`, and at most
    /// until the text ends.
    fn wait<T>(&self, limit: Duration, found: impl Fn(&str, bool) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = found(&state.0, state.1) {
                return Some(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.1 {
                return None;
            }
            (state, _) = self
                .grown
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn collect(&self, mut from: impl BufRead) {
        let mut line = Vec::new();
        loop {
            line.clear();
            let ended = !matches!(from.read_until(b'\n', &mut line), Ok(1..));
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.0.push_str(&String::from_utf8_lossy(&line));
            state.1 = ended;
            drop(state);
            self.grown.notify_all();
            if ended {
                return;
            }
        }
    }
}

impl Observed {
    /// Starts a command; its standard input is empty. `scratch` lives as long as
    /// the process.
    pub fn start(mut command: Command, scratch: Scratch, reader: Reader) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        // A process may clear the environment of its children except for the home
        // directory, which belongs to this test.
        let marks = [
            format!("TEST_PROCESS={id}"),
            format!("HOME={}", scratch.path().display()),
        ];
        command
            .env("TEST_PROCESS", id)
            .env("HOME", scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut group = Group::spawn(&mut command)
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let log = Arc::new(Log::default());
        let (lines, unread) = observe(group.leader(), reader, Arc::clone(&log));
        Self {
            group,
            marks,
            lines,
            _unread: unread,
            log,
            scratch,
        }
    }

    /// The working directory, which is the home as well.
    pub fn directory(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// The next line of standard output, if it arrives within `limit`.
    pub fn line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// `count` lines of standard output; fewer if `limit` is over first.
    pub fn lines(&self, count: usize, limit: Duration) -> Vec<String> {
        let deadline = Instant::now() + limit;
        std::iter::from_fn(|| self.line(deadline.saturating_duration_since(Instant::now())))
            .take(count)
            .collect()
    }

    /// All lines of standard output up to its end, or to the end of `limit`.
    pub fn rest(&self, limit: Duration) -> Vec<String> {
        self.lines(usize::MAX, limit)
    }

    /// Its standard error so far.
    pub fn log(&self) -> String {
        let state = self.log.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The first line on standard error with this text.
    ///
    /// # Panics
    ///
    /// If it does not arrive within `limit`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> String {
        self.wait_for_logs(text, 1, limit).remove(0)
    }

    /// The first `count` lines on standard error with this text.
    ///
    /// # Panics
    ///
    /// If they do not arrive within `limit`.
    pub fn wait_for_logs(&self, text: &str, count: usize, limit: Duration) -> Vec<String> {
        let found = self.log.wait(limit, |log, _| {
            let lines = log.lines().filter(|line| line.contains(text));
            let lines: Vec<String> = lines.take(count).map(str::to_owned).collect();
            (lines.len() == count).then_some(lines)
        });
        found.unwrap_or_else(|| panic!("no {count} × {text:?} in the log:\n{}", self.log()))
    }

    /// Waits until its status shows this counter; repeatedly requests the status with
    /// SIGUSR1.
    ///
    /// # Panics
    ///
    /// If the counter does not reach this value within `limit`.
    pub fn wait_for_counter(&mut self, name: &str, value: u64, limit: Duration) {
        // The last counter is not followed by anything.
        let between = format!(" {name}={value} ");
        let last = format!(" {name}={value}\n");
        let come = eventually(limit, || {
            self.signal(Signal::USR1);
            let log = self.log();
            log.contains(&between) || log.contains(&last)
        });
        assert!(come, "{name} does not come to {value}:\n{}", self.log());
    }

    /// The number of lines on standard error with this text.
    pub fn count_logs(&self, text: &str) -> usize {
        let log = self.log();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// The number of sightings of each answered indicator, according to the log.
    pub fn answers(&self) -> Vec<(String, u64)> {
        let log = self.log();
        let answers = log.lines().filter_map(|line| {
            let (_, answer) = line.split_once("] indicator ")?;
            let (id, count) = answer.split_once(": ")?;
            let count = count.strip_suffix(" sighting(s)")?.parse().ok()?;
            Some((id.to_owned(), count))
        });
        answers.collect()
    }

    /// Signals the process, not its children.
    pub fn signal(&mut self, signal: Signal) {
        self.group.signal(signal);
    }

    /// Waits until the process and its output end.
    ///
    /// # Panics
    ///
    /// If it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let Some(status) = self.group.wait(limit) else {
            panic!("still running after {limit:?}; its log:\n{}", self.log());
        };
        // A child that outlives it may hold the pipe open, so the wait is limited.
        self.log
            .wait(Duration::from_secs(1), |_, ended| ended.then_some(()));
        status
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.group.wait(Duration::ZERO).is_none()
    }

    /// The live processes below it.
    pub fn children(&self) -> Vec<u32> {
        let below = Process::descendants(self.pid());
        below.iter().filter(|p| !p.zombie).map(|p| p.pid).collect()
    }

    /// The processes below it that ended and were not reaped.
    pub fn zombies(&self) -> Vec<u32> {
        let below = Process::descendants(self.pid());
        below.iter().filter(|p| p.zombie).map(|p| p.pid).collect()
    }

    /// Every live process that it started, directly or indirectly, even with another parent
    /// or group.
    pub fn offspring(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self
            .marks
            .iter()
            .flat_map(|mark| Process::with_environment(mark))
            .collect();
        pids.extend(self.group.others());
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|&pid| pid != self.pid());
        pids
    }

    /// Whether all processes that it started end within `limit`.
    pub fn leaves_nothing(&self, limit: Duration) -> bool {
        eventually(limit, || self.offspring().is_empty())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        process::memory(self.pid(), "VmRSS").expect("the process is running")
    }

    /// The most that resident memory ever was, in bytes.
    pub fn peak_resident(&self) -> u64 {
        process::memory(self.pid(), "VmHWM").expect("the process is running")
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // The group kills the rest.
        for pid in self.offspring() {
            process::kill(pid);
        }
    }
}

/// Reads standard output and standard error on separate threads, which end with the pipes.
fn observe(
    child: &mut Child,
    reader: Reader,
    log: Arc<Log>,
) -> (Receiver<String>, Option<std::process::ChildStdout>) {
    let stderr = child.stderr.take().expect("standard error is a pipe");
    std::thread::spawn(move || log.collect(BufReader::new(stderr)));

    let stdout = child.stdout.take().expect("standard output is a pipe");
    let (sender, lines) = mpsc::channel();
    let wanted = match reader {
        Reader::Patient => usize::MAX,
        Reader::GoneAfter(count) => count,
        Reader::Stuck => return (lines, Some(stdout)),
    };
    std::thread::spawn(move || {
        for line in read_lines(stdout).take(wanted) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (lines, None)
}

/// The lines of a pipe without their ends, with invalid UTF-8 replaced.
fn read_lines(pipe: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(pipe)
        .split(b'\n')
        .map_while(Result::ok)
        .map(|line| String::from_utf8_lossy(&line).into_owned())
}
