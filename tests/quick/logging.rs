//! The content of a log file. It is one test, since a process has one logger.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::eventually;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vast_threatbus::observe::logging::{Format, Logging, Verbosity, init};

/// Long enough for anything that takes a second.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_log_file_gets_the_chosen_levels_with_utc_times_after_what_it_held() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("bridge.log");
    fs::write(&path, "an earlier run\n").expect("a file");
    let file = Some((path.clone(), Verbosity::Info));
    let logging = Logging {
        format: Format::Text,
        console: None,
        file,
    };
    let start = OffsetDateTime::now_utc();
    init(&logging).expect("the first logger");
    log::error!("first");
    log::debug!("hidden");
    log::info!("second");
    assert!(init(&logging).is_err(), "a second logger must be refused");

    check_lines(&path, start);
    check_moved(&path);
}

/// A log file that was moved away is closed within a second, without a signal, and without a line
/// that would be written to it.
fn check_moved(path: &Path) {
    let moved = path.with_extension("1");
    let before = fs::read(path).expect("the log");
    fs::rename(path, &moved).expect("rename");
    assert!(eventually(LIMIT, || path.exists()), "no new file");
    assert_eq!(fs::read(path).expect("a new file"), b"");
    log::info!("third");
    let text = fs::read_to_string(path).expect("the log");
    assert!(text.ends_with("[INFO] third\n"), "{text}");
    assert_eq!(fs::read(&moved).expect("the old log"), before);
}

fn check_lines(path: &Path, start: OffsetDateTime) {
    let text = fs::read_to_string(path).expect("the log");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "an earlier run");
    assert_eq!(lines.len(), 3, "{text}");
    for (line, rest) in lines[1..].iter().zip(["[ERROR] first", "[INFO] second"]) {
        let (moment, message) = line.split_once(' ').expect("a time and a message");
        assert_eq!(message, rest);
        assert!(moment.ends_with('Z'), "{moment}");
        let moment = OffsetDateTime::parse(moment, &Rfc3339).expect("a time by RFC 3339");
        assert!((moment - start).abs() < time::Duration::minutes(1));
    }
}
