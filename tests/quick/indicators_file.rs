//! Indicators from files in place of the bus: every format of file gives the same retro hunt, and no
//! bus is needed.

use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::messages::{legacy_intel, stix_indicator};
use crate::support::standin::Standin;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// A retro hunt with these indicators; nothing listens where the bus would be.
fn hunt(engine: &Standin, indicators: &str) -> Bridge {
    Bridge::between("127.0.0.1:9", engine)
        .file("indicators", indicators)
        .args(["--indicators", "indicators"])
}

fn stix() -> Vec<Value> {
    vec![
        stix_indicator(1, "[domain-name:value = 'www.example.com']", None),
        stix_indicator(2, "[ipv4-addr:value = '203.0.113.80']", None),
        stix_indicator(3, "[ipv4-addr:value = '203.0.113.200']", None),
    ]
}

#[test]
fn every_form_of_file_gives_the_same_sightings() {
    let engine = Standin::with_samples();
    let lines = |all: &[Value]| all.iter().map(|one| format!("{one}\n")).collect::<String>();
    let legacy = [
        legacy_intel("1", 11, &["www.example.com"], "ADD"),
        legacy_intel("2", 2, &["203.0.113.80"], "ADD"),
        legacy_intel("3", 2, &["203.0.113.200"], "ADD"),
    ];
    let bundle = json!({
        "type": "bundle",
        "id": "bundle--00000000-0000-4000-8000-000000000001",
        "objects": stix(),
    });
    let mut expected: Option<Vec<String>> = None;
    for file in [
        "www.example.com\n203.0.113.80 \n\n# none\n203.0.113.200\n".to_owned(),
        lines(&stix()),
        lines(&legacy),
        format!("{:#}", json!(stix())),
        format!("{bundle:#}"),
        bundle.to_string(),
    ] {
        let mut bridge = hunt(&engine, &file).run();
        assert!(bridge.wait(LIMIT).success(), "{file}\n{}", bridge.log());
        let mut found = bridge.rest(LIMIT);
        found.sort();
        assert!(!found.is_empty(), "{file}\n{}", bridge.log());
        assert_eq!(expected.get_or_insert(found.clone()), &found, "{file}");
        let summary = bridge.wait_for_log("summary: ", LIMIT);
        assert!(
            summary.contains("3 indicator(s) by kind: domain 1, ipv4 2"),
            "{summary}"
        );
        assert!(!bridge.log().contains("Threat Bus"), "{}", bridge.log());
    }
}

#[test]
fn what_is_not_an_indicator_is_counted_and_the_rest_is_matched() {
    let engine = Standin::with_samples();
    let file = format!(
        "{}\n{}\nnot json\n{}\n{}\n",
        stix_indicator(1, "[domain-name:value = 'www.example.com']", None),
        stix_indicator(2, "[ipv4-addr:value = '999.1.1.1']", None),
        stix_indicator(3, "[windows-registry-key:key = 'HKLM']", None),
        json!({"type": "malware", "id": "malware--1"}),
    );
    let mut bridge = hunt(&engine, &file).run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(!bridge.rest(LIMIT).is_empty(), "{}", bridge.log());
    let summary = bridge.wait_for_log("summary: ", LIMIT);
    assert!(summary.contains("matched against events 1,"), "{summary}");
    assert!(summary.contains("unsupported 1"), "{summary}");
    assert!(summary.contains("rejected "), "{summary}");
}

#[test]
fn no_match_is_status_3_with_the_option_and_0_without() {
    let engine = Standin::with_samples();
    for (file, arguments, status) in [
        ("203.0.113.200\n", &["--exit-code"][..], 3),
        ("203.0.113.200\n", &[], 0),
        ("203.0.113.80\n", &["--exit-code"], 0),
        ("", &["--exit-code"], 3),
    ] {
        let mut bridge = hunt(&engine, file).args(arguments).run();
        assert_eq!(bridge.wait(LIMIT).code(), Some(status), "{}", bridge.log());
    }
}

#[test]
fn a_query_that_fails_makes_the_run_incomplete() {
    let engine =
        Standin::with_samples().with("faults", json!({"refuse_values": ["www.example.com"]}));
    let mut bridge = hunt(&engine, "www.example.com\n203.0.113.80\n").run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    // The other indicator is reported all the same.
    assert!(!bridge.rest(LIMIT).is_empty(), "{}", bridge.log());
    let summary = bridge.wait_for_log("summary: ", LIMIT);
    assert!(summary.contains("failed 1;"), "{summary}");
}

#[test]
fn sightings_go_to_a_sink_that_is_named() {
    let engine = Standin::with_samples();
    let bridge = hunt(&engine, "203.0.113.80\n");
    let out = bridge.directory().join("out");
    let mut bridge = bridge
        .args(["--sink", &format!("tee -a {}", out.display())])
        .args(["--retro-match-max-events", "1"])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
    let summary = bridge.wait_for_log("summary: ", LIMIT);
    assert!(summary.contains("1 sighting(s), 1 delivered"), "{summary}");
}

#[test]
fn a_large_file_is_matched_whole() {
    let engine = Standin::with_samples();
    let file: String = (0..20_000)
        .map(|n| format!("host{n}.invalid\n"))
        .chain(["www.example.com\n".to_owned()])
        .collect();
    let mut bridge = hunt(&engine, &file).args(["-l", "info"]).run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(!bridge.rest(LIMIT).is_empty());
    let summary = bridge.wait_for_log("summary: ", LIMIT);
    assert!(
        summary.contains("matched against events 20001;"),
        "{summary}"
    );
}

#[test]
fn metrics_are_written_when_the_run_ends() {
    let engine = Standin::with_samples();
    let bridge = hunt(&engine, "203.0.113.80\n203.0.113.200\n")
        .file(
            "config.yaml",
            "metrics: {filename: metrics.log, interval: 3600}\n",
        )
        .args(["--metrics-prometheus", "bridge.prom"]);
    let directory = bridge.directory().to_owned();
    let mut bridge = bridge.run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let sightings = bridge.rest(LIMIT).len();
    let read = |name| std::fs::read_to_string(directory.join(name)).expect("it is written");
    let line = read("metrics.log");
    assert_eq!(line.lines().count(), 1, "{line}");
    for field in [
        "vast-threatbus,host=",
        " added_iocs=2,",
        ",retro_matches_per_ioc_min=0,",
        &format!(",retro_matches_per_ioc_max={sightings},"),
        ",retro_query_time_per_ioc_avg=",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    let found = format!(",sightings_found={sightings},");
    assert!(line.contains(&found), "{line}");
    // Its numbers would be out of date from now on.
    assert!(!directory.join("bridge.prom").exists());
}

#[test]
fn an_address_with_a_port_is_one_end_of_a_connection_in_every_mode() {
    let flow = |n: u64, port: u16| {
        json!({
            "timestamp": "2024-03-05T09:00:00.250000000", "event_type": "flow", "flow_id": n,
            "src_ip": "10.0.0.1", "src_port": 443, "dest_ip": "198.51.100.7", "dest_port": port,
        })
    };
    let events = [flow(1, 443), flow(2, 80)];
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let engine = Standin::holding(&[("suricata.flow", &events)]);
    for mode in ["exact", "standard", "thorough"] {
        let in_files = Bridge::bare()
            .file("events.json", &lines)
            .file("indicators", "198.51.100.7:443\n")
            .args(["--indicators", "indicators", "--events", "events.json"]);
        let in_engine = hunt(&engine, "198.51.100.7:443\n").arg("--retro-match");
        for bridge in [in_files, in_engine] {
            let mut bridge = bridge.args(["--match", mode]).run();
            assert!(bridge.wait(LIMIT).success(), "{mode}\n{}", bridge.log());
            let found = bridge.rest(LIMIT).into_iter();
            let found = found.map(|line| {
                let event: Value = serde_json::from_str(&line).expect("an event");
                event["flow_id"].clone()
            });
            assert_eq!(found.collect::<Vec<_>>(), [1], "{mode}\n{}", bridge.log());
        }
    }
}
