//! Processes that end with the test, however it ends.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use wait_timeout::ChildExt;

use super::eventually;

/// How long it may take until all threads of a process are stopped.
const FREEZING: Duration = Duration::from_secs(10);

/// Runs a command to its end with this standard input, which it may leave unread.
pub fn fed(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a command of a test can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it was started")
}

/// A process in its own group. When this is dropped, the whole group is killed and reaped;
/// if the test process itself dies, a guard in the group kills it.
pub struct Group {
    leader: Child,
    guard: Child,
    // The guard waits for its end of file, which the kernel ensures whatever happens to
    // this process.
    _lifeline: ChildStdin,
}

impl Group {
    /// Starts `command` as the leader of a new process group.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut leader = command.process_group(0).spawn()?;
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL 0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .process_group(i32::try_from(leader.id()).expect("a pid fits"))
            .spawn();
        let mut guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                leader.kill()?;
                leader.wait()?;
                return Err(error);
            }
        };
        let lifeline = guard.stdin.take().expect("the guard's input is a pipe");
        Ok(Self {
            leader,
            guard,
            _lifeline: lifeline,
        })
    }

    /// The process that leads the group.
    pub fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.leader.id()
    }

    /// Signals the leader only, unless it has been reaped.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.leader.try_wait(), Ok(None)) {
            rustix::process::kill_process(as_pid(self.leader.id()), signal)
                .expect("a child that was not waited for can be signalled");
        }
    }

    /// Stops the leader (SIGSTOP) and waits until all its threads are stopped, which the
    /// signal does not do.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        let is_frozen = || {
            let threads = std::fs::read_dir(&tasks).expect("a child that was not waited for");
            threads.flatten().all(|thread| {
                // A thread that is gone counts as stopped.
                std::fs::read_to_string(thread.path().join("stat"))
                    .map_or(true, |stat| stat.contains(") T "))
            })
        };
        assert!(eventually(FREEZING, is_frozen), "it does not stop");
    }

    /// Waits for the leader, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.leader
            .wait_timeout(limit)
            .expect("a child can be waited for")
    }

    /// The other members of the group that are alive, without the guard.
    pub fn others(&self) -> Vec<u32> {
        Process::all()
            .filter(|process| process.group == self.leader.id() && !process.zombie)
            .map(|process| process.pid)
            .filter(|&pid| pid != self.leader.id() && pid != self.guard.id())
            .collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The guard is in the group and not reaped, so the number still belongs to the
        // group.
        let _ = rustix::process::kill_process_group(as_pid(self.leader.id()), Signal::KILL);
        let _ = self.leader.wait();
        let _ = self.guard.wait();
    }
}

fn as_pid(pid: u32) -> Pid {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("the number of a process is positive")
}

/// A line of `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The number of its parent.
    pub parent: u32,
    /// The number of its process group.
    pub group: u32,
    /// Ended, but not reaped.
    pub zombie: bool,
}

impl Process {
    /// Every process of the machine.
    pub fn all() -> impl Iterator<Item = Process> {
        std::fs::read_dir("/proc")
            .expect("/proc is there")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Process::read)
    }

    /// One process, if it is there.
    pub fn read(pid: u32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // PID (NAME) STATE PARENT GROUP …, and the name may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        Some(Process {
            pid,
            zombie: matches!(fields.next()?, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    }

    /// The processes below `ancestor`, zombies too.
    pub fn descendants(ancestor: u32) -> Vec<Process> {
        let all: Vec<Process> = Process::all().collect();
        let mut found: Vec<Process> = Vec::new();
        let mut parents = vec![ancestor];
        while let Some(parent) = parents.pop() {
            for process in all.iter().filter(|process| process.parent == parent) {
                parents.push(process.pid);
                found.push(*process);
            }
        }
        found
    }

    /// The live processes whose environment contains this `NAME=VALUE`, which does not
    /// change with the parent or the group.
    pub fn with_environment(assignment: &str) -> Vec<u32> {
        Process::all()
            .filter(|process| {
                std::fs::read(format!("/proc/{}/environ", process.pid)).is_ok_and(|environment| {
                    environment
                        .split(|&byte| byte == 0)
                        .any(|entry| entry == assignment.as_bytes())
                })
            })
            .map(|process| process.pid)
            .collect()
    }
}

/// Kills a process that a test left behind, if it is still there.
pub fn kill(pid: u32) {
    let _ = rustix::process::kill_process(as_pid(pid), Signal::KILL);
}

/// A figure of `/proc/PID/status` that is in kibibytes (`VmRSS`, `VmHWM`), in
/// bytes.
pub fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// How many TCP sockets these processes listen on.
pub fn listeners(pids: &[u32]) -> usize {
    let mut listening = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(3) == Some(&"0A") {
                listening.extend(words.get(9).map(|inode| format!("socket:[{inode}]")));
            }
        }
    }
    let open = pids.iter().flat_map(|pid| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
        files.into_iter().flatten().flatten()
    });
    open.filter_map(|file| std::fs::read_link(file.path()).ok())
        .filter(|target| listening.contains(&*target.to_string_lossy()))
        .count()
}
