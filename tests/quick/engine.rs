//! The queries that the bridge sends to the engine, and what it makes of every kind of answer.

use std::os::unix::fs::PermissionsExt;

use crate::support::Scratch;
use crate::support::broker::BrokerKind;
use crate::support::eventually;
use crate::support::messages::{self, Ioc};
use crate::support::observed::Reader;
use crate::support::scene::{LIMIT, Scene, engine, request, uids};
use crate::support::standin::{Down, Standin};
use serde_json::{Value, json};

const QUERY: &str = r#""a.example" == net.domain || "a.example" == net.hostname"#;

/// Faults that happen to one query only.
fn once(engine: Standin, mut faults: Value) -> Standin {
    faults["once_file"] = json!(engine.file("once"));
    engine.with("faults", faults)
}

/// Whether every event of `a.example` was reported exactly once.
fn all_once(contexts: &[Value], count: usize) -> bool {
    let expected: Vec<Value> = (0..count).map(|n| request("a.example", n)).collect();
    uids(contexts) == uids(&expected)
}

#[test]
fn the_query_is_passed_on_standard_input_alone() {
    let mut scene = Scene::start(engine(&[("a.example", 1)]), &[]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(1), [request("a.example", 0)]);
    let calls = scene.engine.exports();
    let [call] = &calls[..] else {
        panic!("one query expected: {calls:?}");
    };
    let endpoint = scene.engine.endpoint();
    assert_eq!(
        call.arguments,
        [
            "-e",
            endpoint,
            "export",
            "--caf.scheduler.max-threads=1",
            "--read=-",
            "json"
        ]
    );
    assert_eq!(call.stdin.as_deref(), Some(QUERY));
}

#[test]
fn low_priority_is_requested_where_the_engine_has_it() {
    for (version, expected) in [
        ("2020.12.16", false),
        ("2021.12.16", true),
        ("v3.0.0", true),
    ] {
        let engine = engine(&[("a.example", 1)]).with("version", json!(version));
        let mut scene = Scene::start(engine, &[]);
        scene.publish(1, "a.example");
        assert_eq!(scene.contexts(1).len(), 1, "{}", scene.bridge.log());
        let call = &scene.engine.exports()[0];
        assert_eq!(call.is("--low-priority"), expected, "{version}: {call:?}");
        assert!(call.is("--caf.scheduler.max-threads=1"), "{call:?}");
    }
}

#[test]
fn addresses_in_a_list_have_the_name_of_their_type_in_the_engine() {
    for (version, extractor) in [("v2.4.1", ":addr"), ("v3.0.0", ":ip")] {
        let engine = engine(&[("a.example", 1)])
            .with("version", json!(version))
            .with(
                "faults",
                json!({"only_values": ["a.example"], "delay_seconds": 1.0}),
            );
        let mut scene = Scene::start(engine, &["--max-background-tasks=1"]);
        scene.publish(1, "a.example");
        scene.engine.wait_for_exports(1, LIMIT);
        // They wait for the only worker, and are then queried together.
        scene.publisher.publish_indicator(2, Ioc::Ip("192.0.2.1"));
        scene.publisher.publish_indicator(3, Ioc::Ip("2001:db8::1"));
        scene.wait_for_answers(3);
        let calls = scene.engine.exports();
        let expected = format!("{extractor} in [192.0.2.1, 2001:db8::1]");
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert_eq!(calls[1].query(), Some(&*expected));
        assert_eq!(calls[1].end, Some((0, 0)));
    }
}

#[test]
fn max_events_is_given_where_there_is_a_limit() {
    let mut scene = Scene::start(engine(&[("a.example", 5)]), &["--retro-match-max-events=3"]);
    scene.publish(1, "a.example");
    scene.wait_for_answers(1);
    assert!(scene.engine.exports()[0].is("--max-events=3"));
    assert!(all_once(&scene.contexts(3), 3));
    assert!(scene.end().contains("sightings_sent=3"));
}

#[test]
fn max_events_is_left_out_for_0() {
    let engine = engine(&[("a.example", 5)]).with("zero_means_none", json!(true));
    let mut scene = Scene::start(engine, &["--retro-match-max-events=0"]);
    scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(5), 5));
    let call = &scene.engine.exports()[0];
    assert!(!call.arguments.iter().any(|a| a.contains("max-events")));
}

#[test]
fn lines_are_handled_as_they_come() {
    let engine = engine(&[("a.example", 3)]).with("faults", json!({"delay_per_line_seconds": 1.5}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(1), [request("a.example", 0)]);
    assert_eq!(scene.engine.exports()[0].end, None, "the query is over");
    assert_eq!(scene.contexts(2).len(), 2);
}

#[test]
fn a_query_that_takes_too_long_is_killed_and_what_it_found_counts() {
    let engine = engine(&[("a.example", 2), ("b.example", 1)]).with(
        "faults",
        json!({"hang_on": ["a.example"], "ignore_sigterm": true}),
    );
    let mut scene = Scene::start(engine, &["--retro-match-timeout=1"]);
    let id = scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(2), 2));
    let line = scene.bridge.wait_for_log("took longer than 1.0 s", LIMIT);
    assert!(
        line.contains(&id) && line.contains("2 sighting(s)"),
        "{line}"
    );
    assert!(scene.bridge.children().is_empty());
    // It was killed, and so could not record its end.
    assert_eq!(scene.engine.exports()[0].end, None);
    assert!(scene.contexts_until(2, "b.example").is_empty());
    assert!(scene.end().contains("indicators_timed_out=1"));
}

#[test]
fn a_timeout_of_0_means_no_timeout() {
    let engine = engine(&[("a.example", 1)]).with("faults", json!({"delay_seconds": 2.5}));
    let mut scene = Scene::start(engine, &["--retro-match-timeout=0"]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(1).len(), 1);
    assert!(!scene.end().contains("timed_out"));
}

#[test]
fn noise_on_standard_error_holds_nothing_up() {
    let engine = engine(&[("a.example", 2)]).with("faults", json!({"stderr_bytes": 2_000_000}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(2), 2));
    scene.wait_for_answers(1);
    assert!(scene.end().contains("indicators_queried=1"));
}

/// A program that answers `version` and `status`, and does this in an export.
fn script(scratch: &Scratch, export: &str) -> String {
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n\
         version) echo '{{\"VAST\": \"2021.01.28\"}}' ;;\n\
         *status) echo '{{}}' ;;\n\
         *) cat > /dev/null; {export} ;;\nesac\n"
    );
    let path = scratch.write("engine", text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("an own file can be changed");
    path.display().to_string()
}

#[test]
fn the_end_of_standard_error_is_logged_with_the_exit_status() {
    let scratch = Scratch::new();
    let export = "i=0; while [ $i -lt 1000 ]; do echo complaint $i. >&2; i=$((i+1)); done; exit 9";
    let program = script(&scratch, export);
    let mut scene = Scene::start(engine(&[]), &["--vast-binary", &program]);
    let id = scene.publish(1, "a.example");
    let line = scene.bridge.wait_for_log("is not matched", LIMIT);
    assert!(
        line.contains(&id) && line.contains("exit status 9"),
        "{line}"
    );
    assert!(line.contains("complaint 999."), "{line}");
    let tail = scene.bridge.wait_for_log("on standard error", LIMIT);
    // 4 kB hold some 270 of these.
    assert!(tail.contains("complaint 800."), "{tail}");
    assert!(!tail.contains("complaint 500."), "{tail}");
    let counters = scene.end();
    assert!(counters.contains("indicators_failed=1"), "{counters}");
    assert!(counters.contains("queries=3"), "{counters}");
}

#[test]
fn a_query_that_dies_by_a_signal_is_repeated() {
    let engine = once(
        engine(&[("a.example", 4)]),
        json!({"die_after_lines": 2, "die_signal": 11}),
    );
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("signal 11", LIMIT);
    assert!(all_once(&scene.contexts(4), 4));
    scene.wait_for_answers(1);
    let counters = scene.end();
    assert!(counters.contains("sightings_sent=4"), "{counters}");
    assert!(counters.contains("queries_interrupted=1"), "{counters}");
}

#[test]
fn half_a_line_is_no_event_and_the_query_is_repeated() {
    let engine = once(engine(&[("a.example", 4)]), json!({"half_line": true}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(4), 4));
    scene.wait_for_answers(1);
    let counters = scene.end();
    assert!(counters.contains("sightings_sent=4"), "{counters}");
    assert!(!counters.contains("lines_rejected"), "{counters}");
}

#[test]
fn a_node_that_stops_in_mid_query_costs_no_sighting() {
    let engine = once(
        engine(&[("a.example", 4)]),
        json!({"exit_zero_after_lines": 1}),
    );
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(4), 4));
    scene.wait_for_answers(1);
    assert!(scene.end().contains("sightings_sent=4"));
}

#[test]
fn an_engine_that_never_says_how_much_it_sent_is_believed_after_some_tries() {
    let scratch = Scratch::new();
    let program = script(
        &scratch,
        r#"echo '{"ts": "2024-03-05T09:00:00", "uid": "C0"}'"#,
    );
    let mut scene = Scene::start(engine(&[]), &["--vast-binary", &program]);
    scene.publish(1, "a.example");
    scene.wait_for_answers(1);
    assert_eq!(scene.contexts(1).len(), 1);
    let counters = scene.end();
    assert!(counters.contains("sightings_sent=1"), "{counters}");
    assert!(counters.contains("indicators_queried=1"), "{counters}");
}

#[test]
fn a_line_that_is_no_object_is_logged_and_the_rest_is_read() {
    let bad = format!("oops {}", "x".repeat(1000));
    let engine = engine(&[("a.example", 2)]).with("faults", json!({"bad_line": bad}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(2), 2));
    let line = scene.bridge.wait_for_log("oops", LIMIT);
    let shown = line.matches('x').count();
    assert!((190..=200).contains(&shown), "{shown}: {line}");
    scene.wait_for_answers(1);
    assert!(scene.end().contains("lines_rejected=1"));
}

#[test]
fn an_endless_line_is_cut() {
    let engine = engine(&[("a.example", 1), ("b.example", 1)]).with(
        "faults",
        json!({"only_values": ["a.example"], "flood": "one_line"}),
    );
    let mut scene = Scene::start(engine, &["--retro-match-timeout=5"]);
    scene.publish(1, "a.example");
    let line = scene.bridge.wait_for_log("too long to read", LIMIT);
    assert!(line.len() < 500, "{line}");
    scene.bridge.wait_for_log("took longer than", LIMIT);
    let peak = scene.bridge.peak_resident();
    assert!(peak < 80 << 20, "{peak}");
    assert!(scene.contexts_until(2, "b.example").is_empty());
}

#[test]
fn a_line_of_100_kilobytes_arrives_whole_on_both_protocols() {
    let mut event = request("a.example", 0);
    event["user_agent"] = json!("agent ".repeat(17_000));
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let engine = Standin::holding(&[("zeek.http", std::slice::from_ref(&event))]);
        let mut scene = Scene::with(kind, engine, &[], Reader::Patient);
        scene.publish(1, "a.example");
        // Not compared by `assert_eq!`, which would print it.
        assert!(scene.contexts(1) == [event.clone()], "{kind:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_replaced() {
    let mut scene = Scene::start(Standin::with_samples(), &[]);
    scene.publish(1, "legacy.example.com");
    let contexts = scene.contexts(1);
    assert_eq!(contexts.len(), 1, "{}", scene.bridge.log());
    assert!(contexts[0].to_string().contains('\u{fffd}'), "{contexts:?}");
}

#[test]
fn a_child_that_closes_its_output_and_stays_is_ended_in_time() {
    let engine = engine(&[("a.example", 2)]).with("faults", json!({"close_stdout_and_stay": true}));
    let mut scene = Scene::start(engine, &["--retro-match-timeout=1"]);
    scene.publish(1, "a.example");
    assert!(all_once(&scene.contexts(2), 2));
    scene.bridge.wait_for_log("took longer than", LIMIT);
    assert!(scene.bridge.children().is_empty());
}

#[test]
fn a_refused_query_is_reported_with_its_indicator_and_others_continue() {
    let engine =
        engine(&[("b.example", 1)]).with("faults", json!({"refuse_values": ["a.example"]}));
    let mut scene = Scene::start(engine, &[]);
    let id = scene.publish(1, "a.example");
    let line = scene.bridge.wait_for_log("VAST refuses the query", LIMIT);
    assert!(line.contains(&id) && line.contains("parse_error"), "{line}");
    assert!(scene.contexts_until(2, "b.example").is_empty());
    assert!(scene.end().contains("indicators_failed=1"));
}

/// The node goes away like this while a query runs whose first event was reported. When it is back,
/// every event is reported exactly once.
fn interrupted(down: Down) {
    let engine = engine(&[("a.example", 4)]).with("faults", json!({"delay_per_line_seconds": 0.5}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    let mut contexts = scene.contexts(1);
    scene.engine.down(down);
    scene.bridge.wait_for_log("is away", LIMIT);
    scene.engine.up();
    scene.bridge.wait_for_log("is back", LIMIT);
    contexts.extend(scene.contexts(3));
    assert!(all_once(&contexts, 4), "{contexts:?}");
    scene.wait_for_answers(1);
    let counters = scene.end();
    assert!(counters.contains("sightings_sent=4"), "{counters}");
    assert!(counters.contains("indicators_queried=1"), "{counters}");
    assert!(!counters.contains("dropped"), "{counters}");
}

#[test]
fn a_node_that_is_killed_in_mid_query_is_queried_again() {
    interrupted(Down::Killed);
}

#[test]
fn a_node_that_is_stopped_in_mid_query_is_queried_again() {
    interrupted(Down::Stopped);
}

#[test]
fn a_frozen_node_is_queried_again_when_its_query_has_timed_out() {
    let mut scene = Scene::start(engine(&[("a.example", 3)]), &["--retro-match-timeout=1"]);
    scene.engine.down(Down::Frozen);
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is away", LIMIT);
    scene.engine.up();
    assert!(all_once(&scene.contexts(3), 3));
    scene.wait_for_answers(1);
    let counters = scene.end();
    assert!(!counters.contains("timed_out"), "{counters}");
}

#[test]
fn a_query_continues_when_a_frozen_node_thaws() {
    let mut scene = Scene::start(engine(&[("a.example", 3)]), &[]);
    scene.engine.down(Down::Frozen);
    scene.publish(1, "a.example");
    scene.engine.wait_for_exports(1, LIMIT);
    scene.engine.up();
    assert!(all_once(&scene.contexts(3), 3));
    assert_eq!(scene.engine.exports().len(), 1);
}

#[test]
fn indicators_that_come_while_the_node_is_away_wait_for_it() {
    let mut scene = Scene::start(engine(&[("a.example", 1), ("b.example", 1)]), &[]);
    scene.engine.down(Down::Killed);
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is away", LIMIT);
    scene.publish(2, "b.example");
    scene.engine.up();
    assert_eq!(scene.contexts(2).len(), 2);
    let counters = scene.end();
    assert!(counters.contains("sightings_sent=2"), "{counters}");
}

#[test]
fn a_removal_takes_out_what_waits_for_the_node_on_both_protocols() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let engine = engine(&[("a.example", 1), ("b.example", 1)]);
        let mut scene = Scene::with(kind, engine, &[], Reader::Patient);
        scene.engine.down(Down::Killed);
        scene.publish(1, "a.example");
        scene.bridge.wait_for_log("is away", LIMIT);
        let removal = messages::removal(kind, 1, Ioc::Domain("a.example"));
        scene.publisher.send_indicator(&removal);
        scene.bridge.wait_for_log("withdrawn", LIMIT);
        scene.engine.up();
        assert!(scene.contexts_until(2, "b.example").is_empty(), "{kind:?}");
        let counters = scene.end();
        assert!(counters.contains("sightings_sent=1"), "{counters}");
    }
}

#[test]
fn a_removal_during_its_query_keeps_it_from_being_queried_again() {
    let engine = engine(&[("a.example", 3), ("b.example", 1)])
        .with("faults", json!({"delay_per_line_seconds": 0.5}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(1).len(), 1);
    let removal = messages::removal(BrokerKind::Ports, 1, Ioc::Domain("a.example"));
    scene.publisher.send_indicator(&removal);
    // It is received after the removal, so once it is queried, the removal has been
    // processed.
    scene.publish(2, "c.example");
    scene.engine.wait_for_exports(2, LIMIT);
    scene.engine.down(Down::Killed);
    scene
        .bridge
        .wait_for_log("was withdrawn while it was queried", LIMIT);
    scene.engine.up();
    scene.contexts_until(3, "b.example");
    let calls = scene.engine.exports();
    let queries = calls.iter().filter_map(|call| call.query());
    assert_eq!(
        queries.filter(|query| query.contains("a.example")).count(),
        1
    );
}

#[test]
fn the_start_waits_for_an_engine_that_comes_in_time() {
    use crate::support::bridge::Bridge;
    use crate::support::broker::Broker;
    use crate::support::peer::{Publisher, Subscriber};

    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[("a.example", 1)]);
    engine.down(Down::Killed);
    let sightings = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let bridge = Bridge::start(&broker, &engine, &[]);
    bridge.wait_for_log("is not ready", LIMIT);
    engine.up();
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("a.example"));
    assert_eq!(sightings.collect_sightings(1, LIMIT).len(), 1);
}

#[test]
fn a_busy_engine_gets_no_more_queries_at_once_than_allowed() {
    let hosts: Vec<String> = (0..12).map(|n| format!("h{n}.example")).collect();
    let events: Vec<(&str, usize)> = hosts.iter().map(|host| (&**host, 1)).collect();
    let engine = engine(&events).with("faults", json!({"delay_seconds": 0.5}));
    let mut scene = Scene::start(engine, &["--max-background-tasks=2", "--batch-size=1"]);
    for (n, host) in (1..).zip(&hosts) {
        scene.publish(n, host);
    }
    let mut most = 0;
    assert!(eventually(LIMIT, || {
        most = most.max(scene.bridge.children().len());
        scene.bridge.count_logs(" sighting(s)") == hosts.len()
    }));
    assert_eq!(most, 2);
    assert_eq!(scene.contexts(12).len(), 12);
}
