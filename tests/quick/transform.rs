//! `--transform-context`: what happens for every way in which the command can end.

use crate::support::Scratch;
use crate::support::broker::BrokerKind;
use crate::support::messages::Ioc;
use crate::support::observed::Reader;
use crate::support::paths;
use crate::support::scene::{LIMIT, Scene, engine, request};
use crate::support::standin::Standin;
use serde_json::{Value, json};

/// A transformation by this script for `sh`, with these arguments.
fn sh(script: &str, arguments: &str) -> String {
    let script = shlex::try_quote(script).expect("no NUL");
    format!("sh -c {script} sh {arguments}")
}

/// One sighting through this transformation, to the bus.
fn transformed(kind: BrokerKind, command: &str) -> (Scene, Value) {
    let arguments = ["--transform-context", command];
    let mut scene = Scene::with(
        kind,
        engine(&[("a.example", 1)]),
        &arguments,
        Reader::Patient,
    );
    scene.publish(1, "a.example");
    let context = scene.contexts(1).pop();
    let context = context.unwrap_or_else(|| panic!("no sighting:\n{}", scene.bridge.log()));
    (scene, context)
}

/// Checks that if this command fails, a sighting on the bus keeps its context, and a sink gets
/// nothing; the log has the reason and the indicator's id.
fn fails(command: &str, reason: &str) {
    let (mut scene, context) = transformed(BrokerKind::Ports, command);
    assert_eq!(context, request("a.example", 0));
    let line = scene
        .bridge
        .wait_for_log("--transform-context failed", LIMIT);
    assert!(line.contains(reason), "{line}");
    assert!(
        line.contains(&crate::support::messages::stix_id(1)),
        "{line}"
    );
    let counters = scene.end();
    assert!(counters.contains("transforms_failed=1"), "{counters}");
    assert!(counters.contains("sightings_sent=1"), "{counters}");

    let arguments = ["--transform-context", command, "--sink=STDOUT"];
    let mut scene = Scene::start(engine(&[("a.example", 1)]), &arguments);
    let id = scene.publish(1, "a.example");
    let line = scene
        .bridge
        .wait_for_log("--transform-context failed", LIMIT);
    assert!(line.contains(reason) && line.contains(&id), "{line}");
    let counters = scene.end();
    assert!(counters.contains("transforms_failed=1"), "{counters}");
    assert!(!counters.contains("sightings_sent"), "{counters}");
    assert_eq!(scene.bridge.rest(LIMIT), [""; 0]);
}

#[test]
fn the_output_replaces_the_context_on_both_protocols() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let command = sh(r#"printf '{"was": %s}' "$(cat)""#, "");
        let (_, context) = transformed(kind, &command);
        assert_eq!(context, json!({"was": request("a.example", 0)}), "{kind:?}");
    }
}

#[test]
fn fever_makes_an_alert_of_an_event() {
    if paths::fever().is_none() {
        return;
    }
    let event = json!({
        "timestamp": "2024-03-05T09:00:15.075954+0000",
        "flow_id": 42,
        "event_type": "http",
        "src_ip": "192.0.2.10",
        "src_port": 52535,
        "dest_ip": "198.51.100.7",
        "dest_port": 80,
        "proto": "TCP",
        "http": {"hostname": "evil.example.net", "url": "/x", "http_method": "GET"},
    });
    let engine = Standin::holding(&[("suricata.http", std::slice::from_ref(&event))]);
    let command = "fever alertify --alert-prefix 'MY PREFIX' --extra-key my-ioc --ioc %ioc";
    let mut scene = Scene::start(engine, &["--transform-context", command]);
    scene.publish(1, "evil.example.net");
    let context = scene.contexts(1).pop();
    let context = context.unwrap_or_else(|| panic!("no sighting:\n{}", scene.bridge.log()));
    assert_eq!(context["event_type"], "alert", "{context}");
    let signature = context["alert"]["signature"].as_str().unwrap_or_default();
    assert!(signature.starts_with("MY PREFIX"), "{context}");
    assert_eq!(context["_extra"]["my-ioc"], "evil.example.net", "{context}");
    assert_eq!(context["http"]["hostname"], "evil.example.net", "{context}");
    assert!(!scene.end().contains("transforms_failed"));
}

#[test]
fn a_mistake_in_the_call_of_fever_keeps_the_context() {
    if paths::fever().is_none() {
        return;
    }
    let (mut scene, context) = transformed(BrokerKind::Ports, "fever no-such-command");
    assert_eq!(context, request("a.example", 0));
    assert!(scene.end().contains("transforms_failed=1"));
}

#[test]
fn an_exit_status_keeps_the_context() {
    fails(
        &sh("cat; echo sorry >&2; exit 3", ""),
        "exit status 3, sorry",
    );
}

#[test]
fn a_signal_keeps_the_context() {
    fails(&sh("cat; kill -9 $$", ""), "signal 9");
}

#[test]
fn output_that_is_not_json_keeps_the_context() {
    fails("echo this is no json", "JSON");
}

#[test]
fn two_documents_keep_the_context() {
    fails(&sh("cat; echo '{}'", ""), "JSON");
}

#[test]
fn no_output_keeps_the_context() {
    fails("true", "JSON");
}

#[test]
fn bytes_that_are_not_utf8_keep_the_context() {
    fails(&sh(r#"printf '"\256"'"#, ""), "UTF-8");
}

#[test]
fn a_command_need_not_read_its_input() {
    let mut event = request("a.example", 0);
    event["user_agent"] = json!("x".repeat(300_000));
    let engine = Standin::holding(&[("zeek.http", &[event])]);
    let arguments = ["-T", "echo '[1.50, null]'", "-S", "STDOUT"];
    let mut scene = Scene::start(engine, &arguments);
    scene.publish(1, "a.example");
    // In compact form, with every digit as it was printed.
    assert_eq!(scene.bridge.line(LIMIT).as_deref(), Some("[1.50,null]"));
    assert!(!scene.end().contains("transforms_failed"));
}

#[test]
fn what_else_a_command_prints_is_not_on_standard_output() {
    let command = sh("cat; echo noise >&2", "");
    let arguments = ["-S", "stdout", "-T", &command];
    let mut scene = Scene::start(engine(&[("a.example", 2)]), &arguments);
    scene.publish(1, "a.example");
    let lines = scene.bridge.lines(2, LIMIT);
    assert_eq!(lines.len(), 2);
    scene.end();
    assert_eq!(scene.bridge.rest(LIMIT), [""; 0]);
    for line in &lines {
        let context: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(context["host"], "a.example");
    }
}

#[test]
fn placeholders_are_replaced_inside_arguments() {
    let command = sh(
        r#"printf '["%s", "%s", "%s", "%s"]' "$#" "$1" "$2" "$3""#,
        "%ioc --x=%ioc/%matchtype '%iocs %'",
    );
    let (_, context) = transformed(BrokerKind::Ports, &command);
    let expected = json!(["3", "a.example", "--x=a.example/RETRO", "a.examples %"]);
    assert_eq!(context, expected);
}

#[test]
fn a_hostile_ioc_is_one_argument_and_nothing_else() {
    let proof = Scratch::new();
    let touched = proof.path().join("touched");
    let ioc = format!(
        r#"%matchtype' "$(touch {path})" `touch {path}` ; touch {path} | x %ioc \ *"#,
        path = touched.display()
    );
    let mut event = request("a.example", 0);
    event["user_agent"] = json!(ioc);
    let engine = Standin::holding(&[("zeek.http", &[event])]);
    let command = sh(
        r#"printf '%s' "$#:$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/.*/"&"/'"#,
        "%ioc",
    );
    let mut scene = Scene::start(engine, &["--transform-context", &command]);
    scene.publisher.publish_indicator(1, Ioc::Program(&ioc));
    let context = scene.contexts(1).pop();
    let hex: String = format!("1:{ioc}")
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(context, Some(json!(hex)), "{}", scene.bridge.log());
    assert!(!touched.exists());
}

#[test]
fn a_transformation_sees_only_the_harmless_part_of_the_environment() {
    let command = sh(r#"printf '"%s"' "${TEST_PROCESS-unset}""#, "");
    let (_, context) = transformed(BrokerKind::Ports, &command);
    assert_eq!(context, "unset");
}

#[test]
fn a_sighting_does_not_wait_for_the_next_transformation() {
    let go = Scratch::new();
    let file = go.path().join("go");
    // The second one waits for the file.
    let script = r#"context=$(cat); case $context in *C1*) until [ -e "$1" ]; do sleep 0.05; done;; esac; echo "$context""#;
    let command = sh(script, &file.display().to_string());
    let mut scene = Scene::start(
        engine(&[("a.example", 2)]),
        &["-T", &command, "-S", "STDOUT"],
    );
    scene.publish(1, "a.example");
    assert_eq!(
        scene.bridge.lines(1, LIMIT).len(),
        1,
        "{}",
        scene.bridge.log()
    );
    std::fs::write(&file, "").expect("written");
    assert_eq!(scene.bridge.lines(1, LIMIT).len(), 1);
}
