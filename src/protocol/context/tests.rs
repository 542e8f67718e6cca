use super::*;

fn context(json: &str) -> Context<'_> {
    Context::new(json).expect("an object")
}

#[test]
fn times_are_read_in_every_form_that_engines_print() {
    for (text, python, stix) in [
        (
            "2009-11-18T17:00:51.841527040",
            "2009-11-18 17:00:51.841527",
            "2009-11-18T17:00:51.841527Z",
        ),
        (
            "2009-11-18 17:00:51",
            "2009-11-18 17:00:51",
            "2009-11-18T17:00:51Z",
        ),
        (
            "2009-11-18T17:00:51.5Z",
            "2009-11-18 17:00:51.500000+00:00",
            "2009-11-18T17:00:51.500000Z",
        ),
        (
            "2009-11-18T17:00:51+02:30",
            "2009-11-18 17:00:51+02:30",
            "2009-11-18T14:30:51Z",
        ),
        (
            "2009-11-18T17:00:51.123456-0500",
            "2009-11-18 17:00:51.123456-05:00",
            "2009-11-18T22:00:51.123456Z",
        ),
        (
            "2009-11-18 17:00:51 +01",
            "2009-11-18 17:00:51+01:00",
            "2009-11-18T16:00:51Z",
        ),
        (
            "2009-11-18 17:00:51.5 UTC",
            "2009-11-18 17:00:51.500000+00:00",
            "2009-11-18T17:00:51.500000Z",
        ),
    ] {
        let time = EventTime::parse(text).unwrap_or_else(|| panic!("{text} is a time"));
        assert_eq!(time.as_python(), python);
        assert_eq!(time.as_stix(), stix);
    }
    for text in ["", "yesterday", "2009-13-18T17:00:51", "2009-11-18"] {
        assert_eq!(EventTime::parse(text), None, "{text}");
    }
}

#[test]
fn ts_wins_over_timestamp_and_seconds_count() {
    let time = |json| context(json).time().map(|time| time.as_stix());
    let expected = Some("2009-11-18T17:00:51Z".to_owned());
    assert_eq!(
        time(r#"{"timestamp": "2010-01-01T00:00:00", "ts": "2009-11-18T17:00:51"}"#),
        expected
    );
    assert_eq!(
        time(r#"{"ts": null, "timestamp": "2009-11-18T17:00:51"}"#),
        expected
    );
    assert_eq!(time(r#"{"ts": 1258563651.0}"#), expected);
    assert_eq!(time(r#"{"ts": "soon"}"#), None);
    assert_eq!(time(r#"{"ts": 1258563651000}"#), expected);
    assert_eq!(time(r#"{"@timestamp": "2009-11-18T17:00:51Z"}"#), expected);
    assert_eq!(time(r#"{"dns": {"ts": "2009-11-18T17:00:51"}}"#), expected);
    assert_eq!(time(r#"{"uid": "C1"}"#), None);
    assert_eq!(EventTime::from_seconds(f64::NAN), None);
    assert_eq!(EventTime::from_seconds(1e300), None);
}

#[test]
fn dotted_keys_nest_and_clashes_stay_flat() {
    for (flat, nested) in [
        (
            r#"{"a":1,"b.c":2,"b.d.e":[3.10]}"#,
            r#"{"a":1,"b":{"c":2,"d":{"e":[3.10]}}}"#,
        ),
        (r#"{"a":1,"a.b":2}"#, r#"{"a":1,"a.b":2}"#),
        (r#"{"a.b":2,"a":1}"#, r#"{"a.b":2,"a":1}"#),
        (
            r#"{"a.b":1,"a.b.c":2,"a.d":3}"#,
            r#"{"a":{"b":1,"d":3},"a.b.c":2}"#,
        ),
        (r#"{"a..b":1,".c":2,"d.":3}"#, r#"{"a..b":1,".c":2,"d.":3}"#),
        (r#"{"a":{"b.c":1}}"#, r#"{"a":{"b.c":1}}"#),
        (r#"{"x.y":1,"x.y":2}"#, r#"{"x":{"y":2}}"#),
    ] {
        assert_eq!(context(flat).unflattened().as_str(), nested);
    }
}

#[test]
fn old_ports_become_numbers_at_the_top_only() {
    let json = r#"{"p":"53/udp","q":"443/?","r":"80/tcp","s":"x/udp","t":"99999/tcp","u":["1/udp"],"v":"053/udp"}"#;
    let expected =
        r#"{"p":53,"q":443,"r":80,"s":"x/udp","t":"99999/tcp","u":["1/udp"],"v":"053/udp"}"#;
    assert_eq!(context(json).with_plain_ports().as_str(), expected);
    let untouched = r#"{ "a" : "53" }"#;
    assert_eq!(context(untouched).with_plain_ports().as_str(), untouched);
}

#[test]
fn lines_that_are_no_object_are_refused() {
    for line in ["", "[1]", "\"x\"", "{", "{}x", "nan", "{\"a\": 1"] {
        assert!(Context::new(line).is_err(), "{line}");
    }
}

#[test]
fn a_commands_output_is_one_value_in_one_line() {
    let pretty = b"\n{\n  \"a b\": [ 1,\t2.50 ],\n  \"c\": \"x \\\" y\"\n}\n".to_vec();
    let context = Context::from_command(pretty).expect("JSON");
    assert_eq!(context.as_str(), r#"{"a b":[1,2.50],"c":"x \" y"}"#);
    for bad in [&b""[..], b"{} {}", b"\xff", b"nothing"] {
        assert!(Context::from_command(bad.to_vec()).is_err());
    }
}

#[test]
fn a_source_is_added_or_replaced() {
    let source = "\"VAST\"";
    let with = |json| {
        let with = context(json).with_member("source", source).expect("JSON");
        with.as_str().to_owned()
    };
    assert_eq!(with("{}"), r#"{"source":"VAST"}"#);
    assert_eq!(
        with(r#"{"source": 1, "n": 1e3}"#),
        r#"{"n":1e3,"source":"VAST"}"#
    );
    let text = Context::from_command(b"\"text\"".to_vec()).expect("JSON");
    let text = text.with_member("source", source).expect("JSON");
    assert_eq!(text.as_str(), "\"text\"");
}

proptest::proptest! {
    #[test]
    fn unflattening_loses_no_value(keys in proptest::collection::hash_set("[ab.]{1,6}", 0..8)) {
        let members: Vec<String> = keys.iter().enumerate()
            .map(|(number, key)| format!("{}:{number}", serde_json::json!(key)))
            .collect();
        let json = format!("{{{}}}", members.join(","));
        let nested = context(&json).unflattened();
        let value: serde_json::Value = serde_json::from_str(nested.as_str()).expect("valid");
        for (number, key) in keys.iter().enumerate() {
            let found = value.get(key)
                .or_else(|| value.pointer(&format!("/{}", key.replace('.', "/"))));
            proptest::prop_assert_eq!(found, Some(&serde_json::json!(number)));
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = EventTime::parse(&text);
        if let Ok(context) = Context::new(&text) {
            let _ = context.clone().with_plain_ports().unflattened().time();
            let _ = context.with_member("source", "1");
        }
    }
}
