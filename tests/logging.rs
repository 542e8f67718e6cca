//! What a log file holds. One test, since a process has one logger.

use std::fs;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vast_threatbus::observe::logging::{Format, Logging, Verbosity, init};

#[test]
fn a_log_file_gets_the_asked_levels_with_utc_times_behind_what_it_held() {
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

    let text = fs::read_to_string(&path).expect("the log");
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
