//! The files of metrics: up to date while the bridge runs, removed when it has ended well, and
//! different when it has not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::bridge::{Bridge, program};
use crate::support::broker::{Broker, BrokerKind};
use crate::support::eventually;
use crate::support::messages::stix_indicator;
use crate::support::paths;
use crate::support::scene::engine;
use crate::support::standin::Standin;
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(60);

/// So often that a test can wait for a change.
const OFTEN: &str = "metrics: {interval: 0.1, filename: metrics.log}\n";

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("it is there");
    metadata.permissions().mode() & 0o777
}

#[test]
fn numbers_are_there_while_it_runs_and_gone_afterwards() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let bridge = Bridge::between(&broker.endpoint(), &engine)
        .file("config.yaml", OFTEN)
        .args(["--metrics-prometheus", "x.prom", "--sensor-name", "west"]);
    let path = bridge.directory().join("x.prom");
    let mut bridge = bridge.run();
    let text = || fs::read_to_string(&path).unwrap_or_default();
    for sample in [
        "\nvast_threatbus_engine_up{bridge=\"west\",engine=\"VAST\"} 1\n",
        "\nvast_threatbus_bus_up{bridge=\"west\"} 1\n",
        "\nvast_threatbus_last_heartbeat_timestamp_seconds{bridge=\"west\"} ",
        ",protocol=\"stix2\"} 1\n",
    ] {
        let is_there = eventually(LIMIT, || text().contains(sample));
        assert!(is_there, "{sample}\n{}", text());
    }
    // Nothing has come yet, which must not look like a time in 1970.
    assert!(!text().contains("last_indicator_timestamp_seconds{"));
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(!path.exists());
}

/// After an end that needs attention the file stays, and says that neither engine nor bus is up.
#[test]
fn a_file_that_is_left_behind_says_that_nothing_is_up() {
    let engine = Standin::with_samples();
    let bridge = Bridge::between("127.0.0.1:9", &engine)
        .file("config.yaml", OFTEN)
        .args(["--metrics-prometheus", "x.prom", "--connect-timeout", "0.3"]);
    let path = bridge.directory().join("x.prom");
    let mut bridge = bridge.run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
    let text = fs::read_to_string(&path).expect("it is left");
    let ups = text.lines().filter(|line| line.contains("_up{"));
    let ups: Vec<_> = ups.map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(ups, [Some("0"), Some("0")], "{text}");
    assert!(text.contains("/config\",engine=\"VAST\"} 0\n"), "{text}");
}

#[test]
fn a_feed_that_cannot_be_used_is_counted_until_it_can() {
    let bridge = Bridge::bare()
        .file("config.yaml", OFTEN)
        .file("good.txt", "www.example.com\n")
        .file("bad.json", "{\"a\": 1}\n")
        .file("eve.json", "{\"event_type\": \"dns\"}\n")
        .args(["--indicators", "good.txt", "bad.json", "--follow"])
        .args(["--events", "eve.json", "--metrics-prometheus", "x.prom"])
        .args(["--sensor-name", "west"]);
    let folder = bridge.directory().to_owned();
    let mut bridge = bridge.run();
    let shows = |number: u8| {
        let sample = format!("\nvast_threatbus_unusable_feeds{{bridge=\"west\"}} {number}\n");
        let text = || fs::read_to_string(folder.join("x.prom")).unwrap_or_default();
        assert!(
            eventually(LIMIT, || text().contains(&sample)),
            "{sample}\n{}",
            text()
        );
    };
    shows(1);
    fs::write(folder.join("bad.json"), "irc.example.org\n").expect("it can be written");
    shows(0);
    fs::write(folder.join("good.txt"), "{\"a\": 1}\n").expect("it can be written");
    shows(1);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

/// The name of this host as the original, which was written in Python, determined it.
fn full_name() -> Option<String> {
    let script = "import socket; print(socket.getfqdn())";
    let output = Command::new("python3").args(["-c", script]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        paths::skipped("there is no python3 to determine the host's name");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn other_users_can_read_metrics_whatever_the_umask() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("it can be written");
    };
    write("config.yaml", OFTEN);
    let indicator = stix_indicator(1, "[domain-name:value = 'www.example.com']", None);
    write("indicators", &indicator.to_string());
    write(
        "events.json",
        "{\"event_type\": \"dns\", \"dns\": {\"rrname\": \"www.example.com\"}}\n",
    );
    let run = |bus: &[&str]| {
        let status = Command::new("/bin/sh")
            .args(["-c", "umask 077; exec \"$0\" \"$@\""])
            .arg(program())
            .args(["--config", "config.yaml", "--metrics-prometheus", "x.prom"])
            .args(["--events", "events.json"])
            .args(bus)
            .current_dir(directory.path())
            .output()
            .expect("sh runs");
        status.status.code()
    };
    // One run that ends well, and one that leaves its file behind.
    assert_eq!(run(&["--indicators", "indicators"]), Some(0));
    let influx = directory.path().join("metrics.log");
    assert_eq!(mode(&influx), 0o644);
    let line = fs::read_to_string(&influx).expect("a line");
    if let Some(name) = full_name() {
        let start = format!("vast-threatbus,host={name} ");
        assert!(line.starts_with(&start), "{start}: {line}");
    }
    for field in [
        " added_iocs=1,",
        ",indicators_queried=1,",
        ",indicators_matched=1,",
        ",sightings_kind_domain=1,",
        ",answer_time_max=",
        ",sighting_age=",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    assert_eq!(
        run(&["--threatbus", "127.0.0.1:9", "--connect-timeout", "0.1"]),
        Some(69)
    );
    assert_eq!(mode(&directory.path().join("x.prom")), 0o644);
}

/// Alerts and the dashboard use only numbers that exist: a rule with another name would never fire,
/// and nobody would notice.
#[test]
fn alerts_and_dashboard_name_numbers_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(root.join(file)).expect(file);
    let documentation = read("docs/operations.md");
    let mut named = 0;
    for file in ["alerts.yaml", "alerts-test.yaml", "dashboard.json"] {
        let text = read(&format!("packaging/monitoring/{file}"));
        for (at, start) in text.match_indices("vast_threatbus_") {
            let letter = |c: char| !c.is_ascii_lowercase() && c != '_';
            let name = text[at..].split(letter).next().unwrap_or(start);
            let ends = ["_bucket", "_sum", "_count"];
            let stem = ends.iter().find_map(|end| name.strip_suffix(end));
            let row = format!("\n| `{}` |", stem.unwrap_or(name));
            assert!(documentation.contains(&row), "{file}: {name}");
            named += 1;
        }
    }
    assert!(named > 60, "only {named} names found");
}
