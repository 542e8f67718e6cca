//! Values, ids and topics from outside that mean something to a query language, an argument parser,
//! a shell, a file system, a terminal or a template. To this program they are always just text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::Scratch;
use crate::support::bed::{Bed, LIMIT, QUIET, context, expected_context, indicator_of};
use crate::support::broker::BrokerKind;
use crate::support::messages::{Ioc, indicator, indicator_id, legacy_intel, stix_indicator};
use crate::support::query_judge::{self, Value as Asked};
use crate::support::standin::Standin;
use serde_json::{Value, json};
use vast_threatbus::bus::management::read_subscription;

/// One kind of broker for each protocol.
const BOTH: [BrokerKind; 2] = [BrokerKind::Legacy, BrokerKind::Ports];

/// The values of `tests/samples/hostile.jsonl`.
fn values() -> Vec<String> {
    let lines = include_str!("../samples/hostile.jsonl").lines();
    let values: Vec<String> = lines
        .map(|line| serde_json::from_str(line).expect("a JSON string"))
        .collect();
    assert!(values.len() >= 200, "{}", values.len());
    values
}

/// The texts and values that a query searches, in order, each once.
fn queried_values(query: &str) -> Result<Vec<Asked>, String> {
    let mut values: Vec<Asked> = Vec::new();
    for value in query_judge::parse(query)?
        .into_iter()
        .flat_map(|found| found.values)
    {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

/// The type of an Intel object that names a user agent, which can be any text.
const USER_AGENT: u32 = 15;

/// The values that a query can hold: no literal can have control characters, or a backslash at its
/// end (measured on VAST).
fn values_of_queries() -> Vec<String> {
    let mut values = values();
    values.retain(|value| !value.contains(|c: char| c.is_ascii_control()));
    values.retain(|value| !value.ends_with('\\'));
    assert!(values.len() >= 150, "{}", values.len());
    values
}

/// Events with one of the values each, as the name of a program.
fn events_of(values: &[String]) -> Vec<Value> {
    let event = |(n, value): (usize, &String)| json!({"ts": "2024-03-05T09:37:18", "uid": format!("P{n}"), "user_agent": value});
    values.iter().enumerate().map(event).collect()
}

/// An indicator for this name of a program.
fn of_program(kind: BrokerKind, n: u64, value: &str) -> Value {
    match kind {
        BrokerKind::Legacy => legacy_intel(&n.to_string(), USER_AGENT, &[value], "ADD"),
        _ => {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            stix_indicator(n, &format!("[user-agent:value = '{value}']"), None)
        }
    }
}

/// A transformation that records its arguments, each ended by a NUL, and changes nothing.
fn recorder(scratch: &Scratch) -> String {
    let folder = scratch.path().join("arguments");
    std::fs::create_dir(&folder).expect("a directory");
    let script = scratch.write(
        "record.sh",
        "file=$(mktemp \"$1/XXXXXXXX\"); shift; printf '%s\\0' \"$@\" > \"$file\"; exec cat\n",
    );
    format!(
        "sh {} {} %ioc --x=%ioc/%matchtype",
        script.display(),
        folder.display()
    )
}

/// The arguments of each recorded run.
fn recorded(scratch: &Scratch) -> Vec<Vec<String>> {
    let folder = std::fs::read_dir(scratch.path().join("arguments")).expect("listed");
    folder
        .map(|entry| {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            let text = String::from_utf8(bytes).expect("what came in was UTF-8");
            let arguments = text.strip_suffix('\0').expect("an end");
            arguments.split('\0').map(str::to_owned).collect()
        })
        .collect()
}

fn hostile_values(kind: BrokerKind, arguments: &[&str]) {
    let values = values_of_queries();
    let events = events_of(&values);
    let engine = Standin::holding(&[("zeek.http", &events)]);
    let scratch = Scratch::new();
    let record = recorder(&scratch);
    let arguments = [arguments, &["--transform-context", &record]].concat();
    let mut bed = Bed::start(kind, engine, &arguments);
    let mut expected = Vec::new();
    for (n, (value, event)) in (0..).zip(values.iter().zip(&events)) {
        // It is also sent as an address, which it is not: then nothing is queried.
        let address = match kind {
            BrokerKind::Legacy => legacy_intel("a", 2, &[value], "ADD"),
            _ => indicator(kind, 1_000_000 + n, Ioc::Ip(value)),
        };
        if !is_address(value) {
            bed.publisher.send_indicator(&address);
        }
        bed.publisher.send_indicator(&of_program(kind, n, value));
        expected.push((indicator_id(kind, n), expected_context(kind, event)));
    }
    expect(&bed, expected);
    check_queries(&bed, &values);
    check_arguments(&scratch, &values);
    check_log(&bed.bridge.log());
    check_files(&bed);
}

/// Expects exactly these sightings, and waits long, since a busy machine may need that for hundreds
/// of processes.
fn expect(bed: &Bed, expected: Vec<(String, Value)>) {
    let kind = bed.kind();
    let found = bed.subscriber.collect_sightings(expected.len(), LIMIT * 10);
    let more = bed
        .subscriber
        .drain(QUIET)
        .into_iter()
        .map(|(_, sighting)| sighting);
    let mut found: Vec<String> = found
        .into_iter()
        .chain(more)
        .map(|sighting| {
            format!(
                "{} {}",
                indicator_of(kind, &sighting),
                context(kind, &sighting)
            )
        })
        .collect();
    let mut expected: Vec<String> = expected
        .into_iter()
        .map(|(id, context)| format!("{id} {context}"))
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    let missing: Vec<_> = expected.iter().filter(|one| !found.contains(one)).collect();
    assert!(
        missing.is_empty(),
        "{kind:?}: {} missing: {missing:.300?}",
        missing.len()
    );
    assert!(
        found == expected,
        "{kind:?}: {} instead of {}",
        found.len(),
        expected.len()
    );
}

/// Whether it is an address or a network, and so not a wrong value of an address.
fn is_address(value: &str) -> bool {
    let address = value.split_once('/').map_or(value, |(address, _)| address);
    address.parse::<std::net::IpAddr>().is_ok()
}

/// Each argument of each call is one that this program writes. Each query searches values of the
/// list and nothing else, and together they search all of them.
fn check_queries(bed: &Bed, values: &[String]) {
    let known: BTreeSet<&str> = values.iter().map(String::as_str).collect();
    let mut queried = BTreeSet::new();
    for call in bed.engine.exports() {
        assert_eq!(call.end.map(|(exit, _)| exit), Some(0), "{call:?}");
        assert_eq!(call.arguments[..2], ["-e", bed.engine.endpoint()]);
        for argument in &call.arguments[2..] {
            let ours = [
                "export",
                "--caf.scheduler.max-threads=1",
                "--read=-",
                "json",
            ];
            assert!(ours.contains(&argument.as_str()), "{call:?}");
        }
        let query = call.stdin.as_deref().expect("the query comes on stdin");
        for value in queried_values(query).unwrap_or_else(|e| panic!("{e}: {query}")) {
            match value {
                Asked::Text(text) => {
                    assert!(known.contains(text.as_str()), "{text:?} in {query}");
                    queried.insert(text);
                }
                other => panic!("{other:?} in {query}"),
            }
        }
    }
    let missing: Vec<_> = values
        .iter()
        .filter(|value| !queried.contains(value.as_str()))
        .collect();
    assert!(missing.is_empty(), "never queried: {missing:?}");
}

/// The transformation ran once for each sighting. The value was one argument, unchanged, and a part
/// of another.
fn check_arguments(scratch: &Scratch, values: &[String]) {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for arguments in recorded(scratch) {
        let [ioc, inside] = &arguments[..] else {
            panic!("{} arguments: {arguments:?}", arguments.len());
        };
        assert_eq!(*inside, format!("--x={ioc}/RETRO"));
        *found.entry(ioc.clone()).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> = values.iter().map(|value| (value.clone(), 1)).collect();
    assert!(found == expected, "{found:?}");
}

/// No line is forged, and nothing moves the cursor or is hidden.
fn check_log(log: &str) {
    for line in log.lines() {
        let time = line.as_bytes();
        assert!(
            time.len() > 24 && time[4] == b'-' && time[10] == b'T' && time[23] == b'Z',
            "{line:?}"
        );
        let levels = ["[DEBUG]", "[INFO]", "[WARN]", "[ERROR]"];
        assert!(
            levels.iter().any(|level| line[24..].contains(level)),
            "{line:?}"
        );
    }
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{2028}'..='\u{202e}').contains(&c)
            || ('\u{2060}'..='\u{2069}').contains(&c)
            || "\u{ad}\u{61c}\u{feff}".contains(c)
    };
    let found = log.lines().find(|line| line.contains(hidden));
    assert!(found.is_none(), "{found:?}");
}

/// The directory that it runs in, which is also its home and its directory for temporary files, is
/// as empty as it was.
fn check_files(bed: &Bed) {
    let directory = format!("/proc/{}/cwd/", bed.bridge.pid());
    let entries = std::fs::read_dir(Path::new(&directory)).expect("it runs");
    let entries: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    assert!(entries.is_empty(), "{entries:?}");
}

#[test]
fn hostile_values_one_by_one() {
    for kind in BOTH {
        hostile_values(kind, &["--batch-size", "1"]);
    }
}

#[test]
fn hostile_values_together() {
    for kind in BOTH {
        hostile_values(kind, &[]);
    }
}

/// Ids of the legacy bus can be any text, and come back unchanged; such ids of STIX-2 are refused.
#[test]
fn hostile_ids() {
    for kind in BOTH {
        let scratch = Scratch::new();
        let record = recorder(&scratch);
        let mut bed = Bed::start(
            kind,
            Standin::with_samples(),
            &["--transform-context", &record],
        );
        let seen = "updates.example.com";
        for id in values() {
            let message = match kind {
                BrokerKind::Legacy => legacy_intel(&id, 11, &[seen], "ADD"),
                _ => {
                    let mut message = stix_indicator(1, &Ioc::Domain(seen).pattern(), None);
                    message["id"] = json!(id);
                    message
                }
            };
            bed.publisher.send_indicator(&message);
        }
        let query = format!("\"{seen}\" == net.domain || \"{seen}\" == net.hostname");
        let events = bed.engine.answer(&query);
        let accepted = values().into_iter().filter(|id| match kind {
            BrokerKind::Legacy => true,
            _ => id.starts_with("indicator--"),
        });
        let expected = accepted.flat_map(|id| {
            let contexts = events.iter().map(|event| expected_context(kind, event));
            contexts
                .map(|context| (id.clone(), context))
                .collect::<Vec<_>>()
        });
        expect(&bed, expected.collect());
        for call in bed.engine.exports() {
            let query = call.query().expect("a query");
            let queried = queried_values(query).expect("a query");
            assert_eq!(queried, [Asked::Text(seen.to_owned())]);
        }
        check_log(&bed.bridge.log());
        check_files(&bed);
    }
}

/// A topic's name is put into requests, into a file with one topic a line, and into the log.
#[test]
fn hostile_topics() {
    for topic in values() {
        let reply = json!({
            "topic": topic, "pub_port": 1, "sub_port": 2, "status": "success",
        });
        match read_subscription(reply.to_string().as_bytes(), "localhost") {
            Ok(subscription) => {
                assert_eq!(subscription.topic, topic);
                assert!(
                    topic.bytes().all(|byte| byte.is_ascii_graphic()),
                    "{topic:?}"
                );
            }
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            }
        }
    }
}

#[test]
fn the_judge_of_queries_tells_values_from_the_language() {
    let text = |text: &str| Asked::Text(text.to_owned());
    let plain = |text: &str| Asked::Plain(text.to_owned());
    assert_eq!(queried_values("1.2.3.4"), Ok(vec![plain("1.2.3.4")]));
    let query = r#":addr in [1.2.3.4, ::1] || "a\" || \\x" == net.domain && #timestamp > 2009-11-19T08:00:00"#;
    let expected = vec![
        plain("1.2.3.4"),
        plain("::1"),
        text(r#"a" || \\x"#),
        plain("2009-11-19T08:00:00"),
    ];
    assert_eq!(queried_values(query), Ok(expected));
    for broken in [
        "",
        "\"a",
        "\"a\" ==",
        "net.uri in []",
        "net.uri in [\"a\" \"b\"]",
        "1.2.3.4 5.6.7.8",
        "--write=x",
        "(1.2.3.4",
    ] {
        assert!(query_judge::parse(broken).is_err(), "{broken}");
    }
}

/// Searches in texts use text from outside, and so do searches for a value in more places. A query
/// contains parts of that text only as literals, and beside them only known names.
#[test]
fn hostile_parts_of_texts() {
    use vast_threatbus::engine::vast::query::Query;
    use vast_threatbus::engine::vast::version::VastVersion;
    use vast_threatbus::indicator::{MatchExpansion, Message};
    use vast_threatbus::matching::Mode;
    use vast_threatbus::protocol::stix::message::read;
    let wider = MatchExpansion {
        answers: true,
        subdomains: true,
        url_hosts: true,
        ends: true,
    };
    let names = [
        "net.domain",
        "net.hostname",
        "net.uri",
        "zeek.dns.answers",
        ":addr",
    ];
    let (mut searched, mut looked_up) = (0, 0);
    for value in values() {
        let quoted = value.replace('\\', r"\\").replace('\'', r"\'");
        for pattern in [
            format!("[url:value LIKE '%{quoted}%']"),
            format!("[url:value MATCHES '{quoted}']"),
            format!("[domain-name:value = '{quoted}']"),
            format!("[url:value = 'http://{quoted}']"),
        ] {
            let message = read(&stix_indicator(1, &pattern, None).to_string());
            let Ok(Message::Match { mut indicator, .. }) = message else {
                continue;
            };
            wider.expand(&mut indicator);
            let version = VastVersion::unknown();
            let query = match &indicator.selection {
                Some(selection) => {
                    Query::selecting(selection, &version, Some("#timestamp"), Mode::Exact)
                }
                None => Query::any_of(&indicator.observables, &version),
            };
            // A text that no literal can contain is not queried, nor one that excludes no event.
            let Some(query) = query else {
                continue;
            };
            let parsed = query_judge::parse(&query.text());
            let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {query:?}"));
            for predicate in parsed {
                let field = predicate.field.as_deref();
                assert!(field.is_none_or(|name| names.contains(&name)), "{query:?}");
                for value_of_query in predicate.values {
                    match value_of_query {
                        Asked::Text(text) => {
                            let text = text.strip_prefix('.').unwrap_or(&text);
                            let whole = format!("http://{value}");
                            let is_part =
                                whole.contains(text) || whole.to_lowercase().contains(text);
                            // It can be the ASCII form of a name, in which nothing is hostile.
                            let plain =
                                |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                            let is_name = text.bytes().all(plain);
                            assert!(is_part || is_name, "{text:?} in {query:?}");
                        }
                        // The host of a URL can be an address.
                        Asked::Plain(text) => assert!(value.contains(&text), "{query:?}"),
                        other => panic!("{other:?} in {query:?}"),
                    }
                }
            }
            match indicator.selection {
                Some(_) => searched += 1,
                None => looked_up += 1,
            }
        }
    }
    assert!(searched > 200 && looked_up > 80, "{searched} {looked_up}");
}
