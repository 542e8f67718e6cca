//! `--log-format json` gives the facts of a message not only as words, but also as fields.

use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::messages::stix_indicator;
use crate::support::standin::Standin;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// The log of a run, one record from each line.
fn records(bridge: Bridge) -> Vec<Value> {
    let bridge = bridge.args(["--log-format", "json", "--loglevel", "debug"]);
    let mut bridge = bridge.run();
    bridge.wait(LIMIT);
    let log = bridge.log();
    let lines = log.lines();
    let records = lines.map(|line| serde_json::from_str(line).expect("JSON alone"));
    records.collect()
}

/// The record whose message holds this text.
fn record<'a>(records: &'a [Value], text: &str) -> &'a Value {
    let holds = |one: &&Value| {
        one["message"]
            .as_str()
            .is_some_and(|all| all.contains(text))
    };
    let found = records.iter().find(holds);
    found.unwrap_or_else(|| panic!("no message with {text}: {records:#?}"))
}

fn id(n: u64) -> String {
    let id = stix_indicator(n, "[domain-name:value = 'a.example']", None)["id"].clone();
    id.as_str().expect("an id").to_owned()
}

#[test]
fn what_is_not_searched_is_reported_with_file_line_indicator_and_reason() {
    let mut broken = stix_indicator(3, "[domain-name:value = 'a.example']", None);
    broken["pattern"] = json!("[domain-name:value = ");
    let all = [
        stix_indicator(1, "[domain-name:value = 'www.example.com']", None),
        stix_indicator(2, "[mutex:name = 'x']", None),
        broken,
        stix_indicator(4, "[ipv4-addr:value = '192.0.2.7']", None),
    ];
    let lines: String = all.iter().map(|one| format!("{one}\n")).collect();
    let records = records(
        Bridge::bare()
            .file("feed.jsonl", lines)
            .file("ours", "192.0.2.7\n")
            .file("eve.json", "{\"event_type\": \"dns\"}\nno event\n")
            .args(["--indicators", "feed.jsonl", "--allow", "ours"])
            .args(["--events", "eve.json"]),
    );
    let unsupported = record(&records, "is unsupported");
    assert_eq!(unsupported["indicator"], id(2));
    assert_eq!(unsupported["level"], "INFO");
    let reason = unsupported["reason"].as_str().expect("a reason");
    assert!(
        unsupported["message"]
            .as_str()
            .is_some_and(|text| text.ends_with(reason))
    );
    let rejected = record(&records, "is rejected");
    assert_eq!(
        (&rejected["indicator"], &rejected["file"], &rejected["line"]),
        (&json!(id(3)), &json!("feed.jsonl"), &json!(3))
    );
    assert!(rejected["reason"].is_string());
    let allowed = record(&records, "is not searched");
    assert_eq!(
        (&allowed["indicator"], &allowed["kind"], &allowed["file"]),
        (&json!(id(4)), &json!("ipv4"), &json!("ours"))
    );
    let line = record(&records, "such line(s) so far");
    assert_eq!(line["file"], "eve.json");
    assert!(line["line"].is_u64(), "{line}");
    assert!(line["reason"].is_string());
    let read = record(&records, "is read");
    assert_eq!(
        (&read["indicator"], &read["kind"]),
        (&json!(id(1)), &json!("domain"))
    );
}

#[test]
fn what_an_engine_refuses_is_reported_with_engine_kind_and_reason() {
    let faults = json!({"refuse_values": ["www.example.com"]});
    let engine = Standin::with_samples().with("faults", faults);
    let indicator = stix_indicator(1, "[domain-name:value = 'www.example.com']", None);
    let records = records(
        Bridge::between("127.0.0.1:9", &engine)
            .file("feed.jsonl", format!("{indicator}\n"))
            .args(["--indicators", "feed.jsonl"]),
    );
    let failed = record(&records, "is not matched");
    assert_eq!(failed["level"], "ERROR");
    assert_eq!(
        (&failed["indicator"], &failed["kind"], &failed["engine"]),
        (&json!(id(1)), &json!("domain"), &json!("VAST"))
    );
    assert!(
        failed["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("VAST refuses"))
    );
}
