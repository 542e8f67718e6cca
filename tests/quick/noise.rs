//! What sightings contain, and how many of them are sent: `--output sighting`, `--allow`,
//! `--aggregate` and `--max-sightings-per-minute`.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::eventually;
use crate::support::messages::stix_indicator;
use crate::support::observed::{Observed, Reader};
use crate::support::scene::{LIMIT, Scene, engine};
use serde_json::{Value, json};

/// This many requests, one on each line.
fn requests(count: usize) -> String {
    let event = |n: usize| {
        let event = json!({
            "timestamp": format!("2024-03-05T09:00:{:02}.000000+0000", n % 60), "flow_id": n,
            "event_type": "http", "src_ip": "192.0.2.10", "src_port": 50000 + n,
            "dest_ip": format!("198.51.100.{}", n % 3), "dest_port": 80, "proto": "TCP",
            "http": {"hostname": "evil.example", "url": "/x"},
        });
        format!("{event}\n")
    };
    (0..count).map(event).collect()
}

/// A run over this many requests, which ends by itself.
fn hunt(indicators: &str, count: usize) -> Bridge {
    Bridge::bare()
        .file("eve.json", requests(count))
        .file("indicators", indicators)
        .args(["--events", "eve.json", "--indicators", "indicators"])
}

/// What a run prints.
fn printed(bridge: Bridge) -> (Vec<Value>, Observed) {
    let mut bridge = bridge.run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let lines = bridge.rest(LIMIT);
    let parse = |line: &String| serde_json::from_str(line).expect("a line of JSON");
    (lines.iter().map(parse).collect(), bridge)
}

#[test]
fn a_sighting_says_what_it_is() {
    let mut indicator = stix_indicator(1, "[domain-name:value = 'evil.example']", None);
    indicator["name"] = json!("A name");
    indicator["labels"] = json!(["one", "two"]);
    let bridge = hunt(&format!("{indicator}\n"), 1).args(["--output", "sighting"]);
    let (sightings, _) = printed(bridge);
    assert_eq!(sightings.len(), 1);
    let sighting = &sightings[0];
    assert_eq!(sighting["ts"], "2024-03-05T09:00:00Z");
    assert_eq!(sighting["match_type"], "RETRO");
    assert_eq!(sighting["source"], "eve.json");
    let matched = json!({"path": "http.hostname", "value": "evil.example"});
    assert_eq!(sighting["matched"], matched);
    assert_eq!(sighting["context"]["flow_id"], 0);
    let told = &sighting["indicator"];
    assert_eq!(told["id"], indicator["id"]);
    assert_eq!(told["pattern"], indicator["pattern"]);
    assert_eq!(told["kind"], "domain");
    assert_eq!(
        (&told["name"], &told["labels"]),
        (&indicator["name"], &indicator["labels"])
    );
}

#[test]
fn a_sink_gets_the_same_as_standard_output() {
    let bridge = hunt("evil.example\n", 3);
    let out = bridge.directory().join("out");
    let sink = format!("tee -a {}", out.display());
    let (_, _bridge) = printed(bridge.args(["--output", "sighting", "--sink", &sink]));
    let text = std::fs::read_to_string(&out).expect("the output");
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let sighting: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(sighting["indicator"]["value"], "evil.example");
        assert_eq!(sighting["matched"]["path"], "http.hostname");
    }
}

#[test]
fn what_is_allowed_is_not_searched() {
    let indicators = "evil.example\n198.51.100.1\n198.51.100.0/30\n127.0.0.1\n10.0.0.0/7\n";
    let warning_list = json!({
        "name": "ours", "type": "cidr", "version": 1, "description": "x",
        "list": ["198.51.100.0/31"],
    });
    let bridge = hunt(indicators, 6)
        .file("ours.txt", ".example\n")
        .file("misp.json", warning_list.to_string())
        .args(["--allow", "ours.txt", "--allow", "misp.json"]);
    let (contexts, bridge) = printed(bridge);
    // In the network 198.51.100.0/30 only .2 is not allowed.
    let addresses: Vec<&Value> = contexts.iter().map(|context| &context["dest_ip"]).collect();
    assert_eq!(addresses, ["198.51.100.2", "198.51.100.2"]);
    let log = bridge.log();
    assert!(
        log.contains("indicators_allowed=4")
            && log.contains("sightings_allowed=4")
            && log.contains("by state: matched against events 1, allowed 4;"),
        "{log}"
    );
    assert!(
        log.contains("(evil.example) is not searched: ours.txt allows it"),
        "{log}"
    );
    assert!(
        log.contains("(198.51.100.1) is not searched: misp.json allows it"),
        "{log}"
    );
    let warning = log
        .lines()
        .find(|line| line.contains("10.0.0.0/7"))
        .unwrap_or_default();
    assert!(
        warning.contains("[WARN]") && warning.contains("--no-allow-defaults"),
        "{log}"
    );
    let (_, bridge) = printed(hunt("127.0.0.1\n", 1).arg("--no-allow-defaults"));
    assert!(
        !bridge.log().contains("indicators_allowed"),
        "{}",
        bridge.log()
    );
}

#[test]
fn a_list_of_parts_of_values_is_refused_by_its_name() {
    let list = json!({"name": "Parts", "type": "substring", "list": ["evil"]});
    let mut bridge = hunt("evil.example\n", 1)
        .file("parts.json", list.to_string())
        .args(["--allow", "parts.json"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(2), "{}", bridge.log());
    let log = bridge.log();
    assert!(log.contains("Parts") && log.contains("substring"), "{log}");
}

#[test]
fn sightings_of_an_indicator_are_sent_as_one() {
    let (contexts, bridge) =
        printed(hunt("evil.example\n192.0.2.10\n", 30).args(["--aggregate", "3600"]));
    // For each of the two, the first at once, and one at the end that counts all of them.
    assert_eq!(contexts.len(), 4);
    let counts: Vec<&Value> = contexts
        .iter()
        .map(|one| &one["x_threatbus_aggregate"])
        .collect();
    let expected = json!({
        "count": 30, "first_seen": "2024-03-05T09:00:00Z", "last_seen": "2024-03-05T09:00:29Z",
    });
    assert_eq!(counts, [&Value::Null, &Value::Null, &expected, &expected]);
    assert!(
        contexts.iter().all(|context| context["flow_id"] == 0),
        "{contexts:?}"
    );
    let log = bridge.log();
    assert!(
        log.contains("sightings_found=60") && log.contains("sightings_sent=4"),
        "{log}"
    );
}

#[test]
fn counts_that_wait_outlive_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("indicators"), "evil.example\n").expect("a file");
    std::fs::write(at("eve.json"), requests(5)).expect("a file");
    let start = || {
        let bridge = Bridge::bare().args(["--follow", "--aggregate", "3600", "-l", "info"]);
        let bridge = bridge.arg("--state-dir").arg(at("state"));
        let bridge = bridge.arg("--indicators").arg(at("indicators"));
        bridge.arg("--events").arg(at("eve.json")).run()
    };
    let mut bridge = start();
    assert!(bridge.line(LIMIT).is_some(), "{}", bridge.log());
    let is_noted = || {
        let journal = std::fs::read(at("state/held-back")).unwrap_or_default();
        journal.windows(3).any(|part| part == b"\n5 ")
    };
    assert!(eventually(LIMIT, is_noted), "{}", bridge.log());
    bridge.signal(Signal::KILL);
    bridge.wait(LIMIT);
    // So what the next run reports was not found by it.
    std::fs::write(at("eve.json"), "").expect("a file");
    let mut bridge = start();
    let line = bridge.line(LIMIT).expect("what was held back");
    let reported: Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!(reported["flow_id"], 0);
    let expected = json!({
        "count": 5, "first_seen": "2024-03-05T09:00:00Z", "last_seen": "2024-03-05T09:00:04Z",
    });
    assert_eq!(reported["x_threatbus_aggregate"], expected);
    bridge.wait_for_log("held back sightings of 1 indicator(s)", LIMIT);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
    let mut bridge = start();
    bridge.wait_for_log("read 1 indicator(s)", LIMIT);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
    assert!(!bridge.log().contains("held back"), "{}", bridge.log());
}

#[test]
fn above_the_limit_of_a_minute_sightings_are_only_counted() {
    let bridge = hunt("evil.example\n", 30).args(["--max-sightings-per-minute", "10"]);
    let (sightings, _) = printed(bridge.args(["--output", "sighting"]));
    assert_eq!(sightings.len(), 11);
    assert!(
        sightings[..10]
            .iter()
            .all(|sighting| sighting.get("count").is_none())
    );
    assert_eq!(sightings[10]["count"], 20);
    assert_eq!(sightings[10]["first_seen"], "2024-03-05T09:00:10Z");
}

#[test]
fn sightings_of_an_indicator_have_one_id_on_the_bus() {
    // Each broker reads sightings with the library `stix2`, and drops what that refuses.
    let mut scene = Scene::start(engine(&[("a.example", 5)]), &["--aggregate", "2"]);
    let id = scene.publish(1, "a.example");
    let sightings = scene.sightings.collect_sightings(2, LIMIT);
    assert_eq!(sightings.len(), 2, "{}", scene.bridge.log());
    let (first, second) = (&sightings[0], &sightings[1]);
    assert_eq!(first["sighting_of_ref"], id);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["created"], second["created"]);
    assert!(
        second["modified"].as_str() > first["modified"].as_str(),
        "{second}"
    );
    assert_eq!(
        (&first["count"], &second["count"]),
        (&Value::Null, &json!(5))
    );
    assert_eq!(second["first_seen"], "2024-03-05T09:00:00.25Z");
    assert_eq!(second["last_seen"], "2024-03-05T09:00:04.25Z");
    let matched = json!({"path": "host", "value": "a.example"});
    assert_eq!(first["x_threatbus_matched"], matched);
    scene.end();
}

#[test]
fn a_legacy_bus_has_the_counts_in_the_context() {
    let engine = engine(&[("a.example", 5)]);
    let arguments = ["--aggregate", "1"];
    let mut scene = Scene::with(BrokerKind::Legacy, engine, &arguments, Reader::Patient);
    scene.publish(1, "a.example");
    let contexts = scene.contexts(2);
    assert_eq!(contexts.len(), 2, "{}", scene.bridge.log());
    assert_eq!(contexts[0].get("x_threatbus_aggregate"), None);
    assert_eq!(contexts[1]["x_threatbus_aggregate"]["count"], 5);
    std::thread::sleep(Duration::from_millis(10));
    scene.end();
}
