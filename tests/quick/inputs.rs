//! Inputs that are not plain files.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::scene::LIMIT;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

/// How long an end may take if nothing delays it.
const SOON: Duration = Duration::from_secs(4);

/// A bridge in a directory with a named pipe for indicators and one for events.
fn with_pipes(arguments: &[&str]) -> Bridge {
    let bridge = Bridge::bare()
        .file("iocs", "a.example\n")
        .file("eve.json", "{\"host\": \"a.example\"}\n");
    for name in ["pipe-iocs", "pipe-eve"] {
        let path = bridge.directory().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).expect("a named pipe");
    }
    bridge.args(arguments)
}

fn write(path: &Path, text: &str) {
    // Opening waits until the pipe is read.
    let pipe = OpenOptions::new().write(true).open(path);
    let written = pipe.and_then(|mut pipe| pipe.write_all(text.as_bytes()));
    written.expect("somebody reads");
}

#[test]
fn a_pipe_that_nobody_writes_to_does_not_hold_up_the_end() {
    // A run that would end by itself is not complete then.
    for (arguments, expected) in [
        (
            &["--indicators", "pipe-iocs", "--events", "eve.json"][..],
            75,
        ),
        (&["--indicators", "iocs", "--events", "pipe-eve"], 75),
        (
            &["--indicators", "iocs", "--events", "pipe-eve", "--follow"],
            0,
        ),
    ] {
        let mut bridge = with_pipes(arguments).args(["-l", "debug"]).run();
        // It is at the pipe a moment after it has its signal handler.
        std::thread::sleep(Duration::from_millis(500));
        assert!(bridge.is_running(), "{}", bridge.log());
        bridge.signal(Signal::TERM);
        let status = bridge.wait(SOON);
        assert_eq!(
            status.code(),
            Some(expected),
            "{arguments:?}: {}",
            bridge.log()
        );
    }
}

#[test]
fn a_check_of_pipes_does_not_wait() {
    let arguments = [
        "--indicators",
        "pipe-iocs",
        "--events",
        "pipe-eve",
        "--check",
    ];
    let mut bridge = with_pipes(&arguments).run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    let table = bridge.rest(LIMIT).join("\n");
    assert_eq!(
        table.matches("what is written to it is read").count(),
        2,
        "{table}"
    );
}

#[test]
fn what_is_written_to_a_pipe_is_read_whole() {
    for follow in [&[][..], &["--follow"]] {
        let arguments = ["--indicators", "pipe-iocs", "--events", "pipe-eve"];
        let bridge = with_pipes(&arguments).args(follow);
        let folder = bridge.directory().to_owned();
        let mut bridge = bridge.run();
        write(&folder.join("pipe-iocs"), "a.example\n");
        let events = "{\"host\": \"a.example\"}\n".repeat(100);
        write(&folder.join("pipe-eve"), &events);
        assert_eq!(bridge.lines(100, LIMIT).len(), 100, "{}", bridge.log());
        assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    }
}

/// 400 MB in one line once took as much memory.
#[test]
fn a_line_without_an_end_takes_no_memory() {
    const MOST: u64 = 80 << 20;
    let arguments = ["--indicators", "pipe-iocs", "--events", "pipe-eve"];
    let bridge = with_pipes(&arguments);
    let folder = bridge.directory().to_owned();
    let mut bridge = bridge.run();
    let pipe = OpenOptions::new()
        .write(true)
        .open(folder.join("pipe-iocs"));
    let mut pipe = pipe.expect("somebody reads");
    for _ in 0..200 {
        pipe.write_all(&[b'a'; 1 << 20]).expect("it is read on");
    }
    let peak = bridge.peak_resident();
    assert!(peak < MOST, "{peak} bytes");
    pipe.write_all(b"\na.example\n").expect("it is read on");
    drop(pipe);
    write(&folder.join("pipe-eve"), "{\"host\": \"a.example\"}\n");
    assert_eq!(bridge.lines(1, LIMIT).len(), 1, "{}", bridge.log());
    bridge.wait(LIMIT);
}
