use super::*;

#[test]
fn the_object_in_a_line_is_found() {
    for (line, expected) in [
        ("\u{feff}{\"a\": 1}", Some("{\"a\": 1}")),
        (
            "<13>Mar  5 10:00:00 sensor suricata[7]: {\"a\": {\"b\": 1}}",
            Some("{\"a\": {\"b\": 1}}"),
        ),
        ("host {0}: { \"a\": 1}", Some("{ \"a\": 1}")),
        ("{\"a\": 1},", Some("{\"a\": 1}")),
        ("{\"a\": 1} ]", Some("{\"a\": 1}")),
        ("@cee: {}", Some("{}")),
        // These are not changed.
        ("{\"a\": 1", None),
        ("no json", None),
        ("", None),
    ] {
        assert_eq!(within(line), expected, "{line}");
    }
}

#[test]
fn events_are_extracted_from_exports() {
    let event = r#"{"src_ip":"192.0.2.1"}"#;
    for line in [
        r#"{"_index":"logs","_id":"1","_source":{"src_ip":"192.0.2.1"},"sort":[1]}"#,
        r#"{"preview":false,"offset":0,"result":{"src_ip":"192.0.2.1"}}"#,
        r#"{"result":{"_raw":"{\"src_ip\":\"192.0.2.1\"}","src_ip":"x"}}"#,
        r#"{"_raw":"{\"src_ip\":\"192.0.2.1\"}","host":"splunk"}"#,
    ] {
        assert_eq!(unwrapped(line), event, "{line}");
    }
    for line in [
        event,
        r#"{"result":"ok","src_ip":"192.0.2.1"}"#,
        r#"{"_raw":"Mar 5 text","src_ip":"192.0.2.1"}"#,
        "no json",
    ] {
        assert_eq!(unwrapped(line), line);
    }
    // A `_raw` that is not an event leaves the fields.
    let line = r#"{"result":{"_raw":"text","src_ip":"x"}}"#;
    assert_eq!(unwrapped(line), r#"{"_raw":"text","src_ip":"x"}"#);
}

#[test]
fn the_event_that_a_shipper_read_is_extracted_from_its_text() {
    let event = r#"{"src_ip":"192.0.2.1"}"#;
    for line in [
        r#"{"@timestamp":"x","message":"{\"src_ip\":\"192.0.2.1\"}","host":{"ip":["192.0.2.9"]}}"#,
        r#"{"message":"two words","event":{"original":"{\"src_ip\":\"192.0.2.1\"}\n"}}"#,
        r#"{"event.original":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"log":"{\"src_ip\":\"192.0.2.1\"}\n","stream":"stdout"}"#,
        r#"{"MESSAGE":"{\"src_ip\":\"192.0.2.1\"}","_PID":"1"}"#,
        r#"{"version":"1.1","short_message":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"message":"May  1 h suricata[7]: {\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"event":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"labels":{},"line":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"topic":"x","payload":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"textPayload":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"_time":1,"_raw":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"host":"h","msg":" @cee: {\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"raw_event":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"TimeGenerated":"x","RawData":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"body":"{\"src_ip\":\"192.0.2.1\"}"}"#,
        r#"{"rule":{},"full_log":"{\"src_ip\":\"192.0.2.1\"}"}"#,
    ] {
        assert_eq!(original(line).as_deref(), Some(event), "{line}");
    }
    let bytes: Vec<String> = event.bytes().map(|byte| byte.to_string()).collect();
    let bytes = format!(r#"{{"_PID":"1","MESSAGE":[{}]}}"#, bytes.join(","));
    assert_eq!(original(&bytes).as_deref(), Some(event));
    let pretty = r#"{"message":"{\n  \"a\": 1\r\n}"}"#;
    assert_eq!(original(pretty).as_deref(), Some("{   \"a\": 1  }"));
    for line in [
        event,
        r#"{"message":"two words"}"#,
        r#"{"message":{"src_ip":"{"}}"#,
        r#"{"alert":{"message":"{\"src_ip\":\"192.0.2.1\"}"}}"#,
        "\"{",
        r#"{"message":"a set of {\\ and {0}"}"#,
    ] {
        assert_eq!(original(line), None, "{line}");
    }
}

#[test]
fn lines_of_a_table_that_a_shipper_has_read_are_told_from_events() {
    let row = "1709632800.123456\tC1\t192.0.2.1";
    for object in [
        r#"{"@timestamp":"x","message":"1709632800.123456\tC1\t192.0.2.1","host":{"name":"a"}}"#,
        r#"{"log":"1709632800.123456\u0009C1\u0009192.0.2.1","stream":"stdout"}"#,
        r#"{"message":"-","event":{"original":"1709632800.123456\tC1\t192.0.2.1"}}"#,
        r#"{"message":"May  1 h zeek: 1709632800.123456\tC1\t192.0.2.1"}"#,
    ] {
        let expected = Some(ShippedLine::Row(row.to_owned()));
        assert_eq!(shipped_line(object), expected, "{object}");
    }
    for object in [
        r##"{"message":"#fields\tts\tuid"}"##,
        r##"{"log":"#separator \\x09\n","stream":"stdout"}"##,
        r##"{"message":"#close\t2024-03-05-11-00-00"}"##,
    ] {
        assert_eq!(shipped_line(object), Some(ShippedLine::Header), "{object}");
    }
    for object in [
        r#"{"message":"1709632800.123456 C1 192.0.2.1"}"#,
        r#"{"message":"a\tb"}"#,
        r##"{"message":"#1: a text","url":"/#open"}"##,
        r#"{"message":"1709632800.123456\tC1\t192.0.2.1","id.orig_h":"192.0.2.1"}"#,
        r#"{"payload_printable":"1709632800.123456\tC1"}"#,
        r#"{"message":"1\\"#,
    ] {
        assert_eq!(shipped_line(object), None, "{object}");
    }
}

#[test]
fn every_object_of_a_line_is_found() {
    let (a, b, plain) = (
        r#"{"ts":1,"a":{"b":{}}}"#,
        r#"{"timestamp":"x"}"#,
        r#"{"a":1}"#,
    );
    for (line, expected, is_whole) in [
        (format!("{a}{b}"), &[a, b][..], true),
        (
            format!("{plain} {plain},{plain}\r{b}\u{1e}"),
            &[plain, plain, plain, b],
            true,
        ),
        (format!("17 <13>1 - {a}18 <13>1 - {b}"), &[a, b], true),
        (format!("{plain} and text"), &[plain], true),
        // Where one is broken, only what begins like an event is one.
        (format!("{{\"ts\":2,\"c\":{b}"), &[b], false),
        (format!("{{\"ts\":2,\"c\":\"x{a}"), &[a], false),
        (format!("{{\"ts\":2,\"c\":{plain}"), &[], false),
        (format!("{plain},\"c\":{plain}}}"), &[], false),
        (format!("\"c\":{plain}}}"), &[], true),
        ("text".to_owned(), &[], true),
    ] {
        assert_eq!(several(&line), (expected.to_vec(), is_whole), "{line}");
    }
    // It takes no more than a few looks at a line.
    let hostile = "{\"ts\":[".repeat(1 << 18);
    assert_eq!(several(&hostile), (vec![], false));
}

#[test]
fn actions_of_the_bulk_api_are_no_events() {
    for line in [
        r#"{"index":{"_index":"logs","_id":"1"}}"#,
        r#"{ "create" : {} }"#,
        r#"{"update":{"_id":"1","_routing":"x","retry_on_conflict":3}}"#,
        r#"{"delete":{"_index":"192.0.2.1","_type":"_doc"}}"#,
    ] {
        assert!(is_bulk_action(line), "{line}");
    }
    for line in [
        r#"{"index":{"_index":"logs","src_ip":"192.0.2.1"}}"#,
        r#"{"index":{"_index":"logs"},"src_ip":"192.0.2.1"}"#,
        r#"{"index":"logs"}"#,
        r#"{"created":{}}"#,
        r#"{"doc":{"_id":"1"}}"#,
        "{\"index\":{}",
        "{}",
        "index",
    ] {
        assert!(!is_bulk_action(line), "{line}");
    }
}

#[test]
fn a_wrapping_is_recognised_by_its_first_member() {
    assert!(may_be_wrapped(r#"{"_index":"x"}"#));
    assert!(may_be_wrapped(r#"{ "result": {}}"#));
    assert!(!may_be_wrapped(r#"{"_path":"conn"}"#));
    assert!(!may_be_wrapped(r#"{"timestamp":"x"}"#));
    assert!(!may_be_wrapped(r#"{"_indexes":1}"#));
    assert!(!may_be_wrapped("_index"));
}

#[test]
fn the_object_in_a_line_that_is_a_text_is_found() {
    for (line, expected) in [
        (r#""{\"a\": 1}\n""#, Some(r#"{"a": 1}"#)),
        ("\u{feff}\"{}\"", Some("{}")),
        (r#""text""#, None),
        (r#""{\"a\": 1}" and more"#, None),
        (r#"{"a": 1}"#, None),
        ("\"{", None),
    ] {
        assert_eq!(quoted(line).as_deref(), expected, "{line}");
    }
}
