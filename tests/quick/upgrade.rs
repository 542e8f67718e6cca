//! Upgrades from the originals: their configuration files, the command lines of their systemd units
//! and their environment variables work unchanged.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use crate::support::bridge::{Bridge, program};
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::{Observed, Reader};
use crate::support::peer::Publisher;
use crate::support::standin::Standin;
use crate::support::{Scratch, paths};
use rustix::process::Signal;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// The keys of 2020.11, as its example has them.
const OF_2020: &str = r#"
vast: "localhost:42000"
vast_binary: vast
threatbus: "localhost:13370"
snapshot: 1
loglevel: INFO
retro_match: true
retro_match_max_events: 0
unflatten: true
max_background_tasks: 50
transform_context: fever alertify --alert-prefix 'OLD ALERT' --extra-key ioc --ioc %ioc
sink: STDOUT
"#;

/// The keys of 2022.5, as its example has them.
const OF_2022: &str = r#"
logging:
  console: true
  console_verbosity: INFO
  file: true
  file_verbosity: DEBUG
  filename: bridge.log
metrics:
  interval: 1
  filename: metrics.log
vast: "localhost:42000"
vast_binary: vast
threatbus: "localhost:13370"
snapshot: 1
live_match: false
matcher_name: null
retro_match: true
retro_match_max_events: 0
retro_match_timeout: 30.
transform_context: fever alertify --alert-prefix 'OLD ALERT' --extra-key ioc --ioc %ioc
sink: STDOUT
max_background_tasks: 50
"#;

/// The name of a program, its configuration, and the broker of its time.
type Original<'a> = (&'a str, &'a str, BrokerKind);

/// Starts this program under the name of the original, as its unit does
/// (`ExecStart=DIRECTORY/NAME -c DIRECTORY/NAME.yaml`). `fever` and `vast` are found in PATH, and
/// the environment names the servers.
fn start((name, config, _): Original<'_>, broker: &Broker, engine: &Standin) -> Observed {
    let scratch = Scratch::new();
    let file = format!("{name}.yaml");
    scratch.write(&file, config);
    // This is not about `fever`, so a stand-in hands on what it gets.
    scratch.write("fever", "#!/bin/sh\n[ \"$1\" = alertify ] && exec cat\n");
    let fever = scratch.path().join("fever");
    fs::set_permissions(fever, fs::Permissions::from_mode(0o755)).expect("our own file");
    let place = |name: &str| scratch.path().join(name);
    symlink(program(), place(name)).expect("a link");
    let mut path = scratch.path().as_os_str().to_owned();
    path.push(":");
    path.push(engine.path().parent().expect("it is in a directory"));
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = paths::clean_command(place(name), scratch.path());
    command
        .arg("-c")
        .arg(place(&file))
        .env("PATH", path)
        .env("VAST_THREATBUS_VAST", engine.endpoint())
        .env("VAST_THREATBUS_THREATBUS", broker.endpoint());
    Observed::start(command, scratch, Reader::Patient)
}

/// An indicator from the bus becomes a line on standard output.
fn works(original: Original<'_>) {
    let broker = Broker::start(original.2);
    let engine = Standin::with_samples();
    let mut publisher = Publisher::connect(&broker);
    let mut bridge = start(original, &broker, &engine);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("irc.example.org"));
    let line = bridge
        .line(LIMIT)
        .unwrap_or_else(|| panic!("{}", bridge.log()));
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert!(line.contains("irc.example.org"), "{event}");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

#[test]
fn a_file_and_a_unit_of_2020_work_unchanged() {
    works(("pyvast-threatbus", OF_2020, BrokerKind::Legacy));
}

#[test]
fn a_file_and_a_unit_of_2022_work_unchanged() {
    works(("vast-threatbus", OF_2022, BrokerKind::Ports));
}

#[test]
fn the_examples_of_the_originals_work_unchanged() {
    let Some(shared) = paths::shared() else {
        return;
    };
    for (name, file, kind) in [
        ("pyvast-threatbus", "config-2020.yaml", BrokerKind::Legacy),
        ("vast-threatbus", "config-2022.yaml", BrokerKind::Ports),
    ] {
        let config = fs::read_to_string(shared.join("threatbus").join(file)).expect(file);
        works((name, &config, kind));
    }
}

#[test]
fn variables_of_the_original_override_its_file() {
    let scratch = Scratch::new();
    scratch.write("config.yaml", OF_2022);
    scratch.write("iocs.txt", "irc.example.org\n");
    let output = paths::clean_command(program(), scratch.path())
        .env("VAST_THREATBUS_LOGGING__CONSOLE_VERBOSITY", "DEBUG")
        .env("VAST_THREATBUS_LOGGING__FILE", "false")
        .env("VAST_THREATBUS_METRICS__FILENAME", "other.log")
        .env("VAST_THREATBUS_METRICS__INTERVAL", "5")
        .env("VAST_THREATBUS_TRANSFORM_CONTEXT", "cat")
        .env("VAST_THREATBUS_RETRO_MATCH", "true")
        .args(["--indicators", "iocs.txt", "--events"])
        .arg(paths::repository().join("tests/samples/events/suricata.dns.json"))
        .output()
        .expect("the program was built");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("[DEBUG]"), "{log}");
    assert!(!scratch.path().join("bridge.log").exists());
    let metrics = fs::read_to_string(scratch.path().join("other.log")).expect("written");
    assert!(metrics.contains(" added_iocs=1,"), "{metrics}");
}

/// What `--migrate` makes of a file.
fn migrated(scratch: &Scratch, config: &str) -> String {
    let path = scratch.write("old.yaml", config);
    let output = paths::clean_command(program(), scratch.path())
        .arg("--migrate")
        .arg(path)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn migrated_files_of_both_generations_are_accepted_and_mean_the_same() {
    let scratch = Scratch::new();
    let mut files = vec![OF_2020.to_owned(), OF_2022.to_owned()];
    if let Some(shared) = paths::shared() {
        for file in ["config-2020.yaml", "config-2022.yaml"] {
            files.push(fs::read_to_string(shared.join("threatbus").join(file)).expect(file));
        }
    }
    for config in files {
        let new = migrated(&scratch, &config);
        // Nothing of these files is left out or changed.
        let rest = new.strip_prefix(&config).expect("the same beginning");
        assert!(rest.starts_with("# migrated: more is found here"), "{rest}");
        assert_eq!(rest.lines().count(), 2, "{rest}");
    }
    let config = OF_2022
        .replace("retro_match: true\n", "")
        .replace("snapshot: 1\n", "");
    let new = migrated(&scratch, &config);
    assert!(
        new.contains("\nretro_match: true\n") && new.contains("\nsnapshot: 30\n"),
        "{new}"
    );
    assert_eq!(new.matches("\n# migrated: ").count(), 3, "{new}");
}

#[test]
fn a_file_of_2022_that_relies_on_its_defaults_causes_a_warning() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = Standin::holding(&[]);
    let words = "and leaves out retro_match (true there, false here) and snapshot (30 there";
    for (text, warns) in [
        ("metrics: {interval: 10}\n", true),
        ("loglevel: info\n", false),
        (
            "metrics: {interval: 10}\nretro_match: false\nsnapshot: 0\n",
            false,
        ),
    ] {
        let mut bridge = Bridge::bare()
            .file("config.yaml", text)
            .args(["-v", engine.endpoint(), "-t", &broker.endpoint(), "-b"])
            .arg(engine.path())
            .run();
        bridge.wait_for_log("subscribed to", LIMIT);
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
        let warned = bridge
            .log()
            .lines()
            .any(|line| line.contains("[WARN]") && line.contains(words));
        assert_eq!(warned, warns, "{}", bridge.log());
    }
}
