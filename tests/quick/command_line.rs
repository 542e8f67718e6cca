//! Mistakes that are found at the start: an exit status and a message with the fix, before anything
//! is started.

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind, free_ports};
use crate::support::scene::{LIMIT, engine};
use crate::support::standin::Down;

/// With these arguments added, the bridge ends with status 2 and a message with all of these words;
/// neither the engine nor the broker notices anything.
fn refused(arguments: &[&str], words: &[&str]) {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let mut bridge = Bridge::start(&broker, &engine, arguments);
    assert_eq!(bridge.wait(LIMIT).code(), Some(2), "{}", bridge.log());
    let log = bridge.log();
    for word in words {
        assert!(log.contains(word), "no {word:?} in {log}");
    }
    assert!(log.starts_with("vast-threatbus: "), "{log}");
    assert!(engine.calls().is_empty(), "{:?}", engine.calls());
    assert!(
        !broker.log().contains("stix2/indicator"),
        "{}",
        broker.log()
    );
    assert_eq!(bridge.rest(LIMIT), [""; 0]);
}

#[test]
fn unbalanced_quotes_in_a_command() {
    let reason = "a quote is not closed";
    refused(
        &["--transform-context", "jq '.x"],
        &["--transform-context", reason],
    );
    refused(&["--sink", "logger \"x"], &["--sink", reason]);
}

#[test]
fn commands_that_do_not_exist() {
    let reason = "cannot find `no-such-command` in PATH";
    refused(
        &["--transform-context", "no-such-command"],
        &["--transform-context", reason],
    );
    refused(&["--sink", "no-such-command %ioc"], &["--sink", reason]);
}

#[test]
fn an_engine_that_is_missing_or_not_a_program() {
    refused(
        &["--vast-binary", "/nonexistent/vast"],
        &["--vast-binary", "there is no file `/nonexistent/vast`"],
    );
    refused(
        &["--vast-binary", "/dev/null"],
        &["--vast-binary", "`/dev/null` is not an executable file"],
    );
}

#[test]
fn endpoints_without_a_port() {
    refused(
        &["--vast", "localhost"],
        &["--vast", "localhost", "without a port"],
    );
    refused(
        &["--threatbus", "localhost"],
        &["--threatbus", "localhost", "without a port"],
    );
    refused(&["--vast", "localhost:70000"], &["--vast", "70000"]);
}

#[test]
fn an_engine_that_does_not_come_in_time_is_named() {
    for (down, reason) in [
        (Some(Down::Killed), "cannot_connect_to_node"),
        (Some(Down::Frozen), "no answer in"),
        (None, "no such host"),
    ] {
        let broker = Broker::start(BrokerKind::Ports);
        let engine = engine(&[]);
        let endpoint = match down {
            Some(down) => {
                engine.down(down);
                engine.endpoint()
            }
            None => "no-such-host.invalid:42000",
        };
        let mut bridge = Bridge::bare()
            .args(["--retro-match", "--connect-timeout=1", "--vast", endpoint])
            .arg("--vast-binary")
            .arg(engine.path())
            .args(["-t", &broker.endpoint()])
            .run();
        assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
        let line = bridge.wait_for_log("cannot reach VAST", LIMIT);
        for word in [endpoint, "status` for", reason, "--vast"] {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
        assert!(
            !broker.log().contains("stix2/indicator"),
            "{}",
            broker.log()
        );
        assert!(bridge.leaves_nothing(LIMIT));
    }
}

#[test]
fn a_bus_that_does_not_come_in_time_is_named() {
    let engine = engine(&[]);
    let [port] = free_ports();
    let endpoint = format!("127.0.0.1:{port}");
    let mut bridge = Bridge::between(&endpoint, &engine)
        .arg("--connect-timeout=1")
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
    let line = bridge.wait_for_log("[ERROR]", LIMIT);
    assert!(
        line.contains(&endpoint) && line.contains("--threatbus"),
        "{line}"
    );
    assert!(bridge.leaves_nothing(LIMIT));
}

#[test]
fn a_folder_of_configuration_files_is_one_configuration() {
    let bridge = Bridge::bare()
        .file("list", "a.example\n")
        .file("eve.json", "")
        .args(["--config", "conf.d"]);
    let folder = bridge.directory().join("conf.d");
    std::fs::create_dir(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("10-all.yaml", "loglevel: error\nevents: eve.json\n");
    write("20-here.yaml", "indicators: list\nloglevel: info\n");
    let mut bridge = bridge.run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let log = bridge.log();
    assert!(log.contains("configured by conf.d"), "{log}");
    let note = "conf.d/20-here.yaml, line 2: loglevel overrides that in \
                conf.d/10-all.yaml, line 1";
    assert!(log.contains(note), "{log}");
}
