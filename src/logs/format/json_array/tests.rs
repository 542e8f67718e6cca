use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Returns a few bytes at a time.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(buffer.len()).min(self.0.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn lines(text: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for step in [1, 7, INPUT] {
        let mut flatten = Flatten::default();
        let mut read = String::new();
        flatten
            .over(&mut Slowly(text, step), AtEnd::Finish)
            .read_to_string(&mut read)
            .expect("memory does not fail");
        all.push(read);
    }
    assert!(all.iter().all(|read| *read == all[0]), "{all:?}");
    all[0].lines().map(str::to_owned).collect()
}

#[test]
fn arrays_become_lines_however_they_are_printed() {
    for text in [
        r#"[{"a":1,"b":"]}"},{"a":2,"b":"\"{"}]"#,
        "[\n{\"a\":1,\"b\":\"]}\"},\n{\"a\":2,\"b\":\"\\\"{\"}\n]\n",
        "\u{feff}[\r\n  {\r\n    \"a\":1,\r\n    \"b\":\"]}\"\r\n  },\r\n  {\"a\":2,\"b\":\"\\\"{\"}]",
        "{\n  \"a\":1,\n  \"b\":\"]}\"\n}\n{\n  \"a\":2,\n  \"b\":\"\\\"{\"\n}\n",
        r#"[{"a":1,"b":"]}"}][{"a":2,"b":"\"{"}]"#,
    ] {
        assert_eq!(
            lines(text.as_bytes()),
            [r#"{"a":1,"b":"]}"}"#, r#"{"a":2,"b":"\"{"}"#],
            "{text}"
        );
    }
}

#[test]
fn responses_give_the_events_in_them() {
    let elastic = json!({
        "took": 3, "hits": {"total": {"value": 2, "hits": [1]}, "max": "hits:[{",
        "hits": [{"_source": {"a": 1}}, {"_source": {"a": 2}}]}, "x": [{"no": 1}],
    });
    let splunk = json!({"fields": [{"name": "a"}], "results": [{"a": 1}, {"a": 2}]});
    let wrapped = [r#"{"_source":{"a":1}}"#, r#"{"_source":{"a":2}}"#];
    let plain = [r#"{"a":1}"#, r#"{"a":2}"#];
    let list = |key: &str| (json!({"count": 2, key: [{"a": 1}, {"a": 2}]}), plain);
    let lists = ["events", "value", "Records", "logEvents"].map(list);
    for (value, expected) in [(elastic, wrapped), (splunk, plain)]
        .into_iter()
        .chain(lists)
    {
        for text in [value.to_string(), format!("{value:#}")] {
            assert!(begins_with_response(text.as_bytes()), "{text}");
            let squeezed = lines(text.repeat(2).as_bytes())
                .iter()
                .map(|line| line.replace(": ", ":"))
                .collect::<Vec<_>>();
            assert_eq!(squeezed, [expected, expected].concat(), "{text}");
        }
    }
    for text in [
        r#"{"hits":{"hits":3}} {"hits":{"hits":[{}]}}"#,
        r#"{"results":"none"}"#,
        r#"{"results":[]}"#,
        r#"{"a":{"results":[{}]}}"#,
        r#"{"timestamp":"x","events":[{}]}"#,
        r#"{"event_type":"x","value":[{}]}"#,
        r#"{"hits":{"a":["#,
    ] {
        assert!(!begins_with_response(text.as_bytes()), "{text}");
    }
}

#[test]
fn responses_and_plain_events_may_follow_each_other() {
    let (plain, answer) = (
        r#"{"a":1}"#,
        r#"{"took":1,"hits":{"hits":[{"a":2}],"x":[3]}}"#,
    );
    let with_results = r#"{"results":[{"a":3}],"events":[{"a":4},5],"x":{"y":[{}]}}"#;
    let event = r#"{"ts":1,"results":[{"a":3}]}"#;
    let all = [plain, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":4}"#, "5", event];
    let text = [plain, answer, with_results, event];
    assert_eq!(lines(text.join("\n").as_bytes()), all);
    assert_eq!(lines(text.join("").as_bytes()), all);
    assert_eq!(lines(format!("[{}]", text.join(",")).as_bytes()), all);
    // What is neither becomes a line of its own.
    let text = format!("{answer}\nhost x: {plain}, no\n\n{plain}\n");
    let other = format!("host x: {plain}, no");
    assert_eq!(lines(text.as_bytes()), [r#"{"a":2}"#, &other, plain]);
    // After others, a response without events has none; one that is cut off is not dropped.
    let empty = r#"{"hits":{"hits":[ ]}}"#;
    let text = format!("{empty}\n{answer}\n{empty}\n{{\"results\": ");
    assert_eq!(
        lines(text.as_bytes()),
        [empty, r#"{"a":2}"#, r#"{"results": "#]
    );
}

#[test]
fn what_is_around_an_array_is_kept_if_it_is_an_event() {
    let text = r#"{"app":1,"events":[{"a":1},{"a":2}],"x":{"y":[{}]},"value":[{"a":3}],"ts":1}"#;
    let whole = r#"{"app":1,"events":[],"x":{"y":[{}]},"value":[],"ts":1}"#;
    let (one, two, three) = (r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#);
    assert_eq!(
        lines(format!("{text}{one}").as_bytes()),
        [one, two, three, whole, one]
    );
    let event = r#"{"dest_ip":"x","events":[{"a":1}]}"#;
    assert_eq!(lines(event.as_bytes()), [event]);
}

#[test]
fn the_beginning_of_a_response_waits_for_the_rest() {
    let mut flatten = Flatten::default();
    let mut read = |mut text: &[u8]| {
        let mut lines = String::new();
        let mut reader = flatten.over(&mut text, AtEnd::Keep);
        reader
            .read_to_string(&mut lines)
            .expect("memory does not fail");
        lines
    };
    assert_eq!(read(br#"{"results":"#), "");
    assert_eq!(read(br#"[{"a":1},{"#), "{\"a\":1}\n{");
    assert_eq!(read(br#""a":2}],"#), "\"a\":2}\n");
    assert_eq!(read(br#""x":1}{"a":3}"#), "{\"a\":3}\n");
}

#[test]
fn what_is_held_back_has_a_limit() {
    let long = format!("{{\"a\":\"{}", "x".repeat(2 * LONGEST_LINE));
    let text = format!("{long}\",\"results\":[{{\"b\":1}}]}}\n{{\"b\":2}}");
    let mut flatten = Flatten::default();
    let (mut input, mut all) = (text.as_bytes(), Vec::new());
    let mut reader = flatten.over(&mut input, AtEnd::Finish);
    let read = reader.read_to_end(&mut all);
    read.expect("memory does not fail");
    drop(reader);
    let capacity = flatten.output.capacity();
    assert!(capacity < 3 * LONGEST_LINE, "{capacity}");
    assert!(all.ends_with(b"]}\n{\"b\":2}\n"));
}

#[test]
fn a_line_that_is_a_response_or_an_array_has_its_events() {
    for (line, events) in [
        (
            r#"{"Records": [{"a":1},{"a":2}]}"#,
            Some("{\"a\":1}\n{\"a\":2}\n"),
        ),
        (
            r#"{"took":1,"hits":{"hits":[{"a":1}]}}"#,
            Some("{\"a\":1}\n"),
        ),
        (r#"{"took":1,"hits":{"hits":[]}}"#, None),
        (r#"[{"a":1},{"a":2}]"#, Some("{\"a\":1}\n{\"a\":2}\n")),
        (r#"{"timestamp":"x","events":[{}]}"#, None),
        (r#"{"a":{"events":[{}]}}"#, None),
        (r#"{"events":["x"]}"#, None),
        (r#"{"hits":["x"]}"#, None),
        (r#"[2024-03-05] {"a":1}"#, None),
        ("", None),
    ] {
        assert_eq!(events_of_line(line).as_deref(), events, "{line}");
    }
}

#[test]
fn what_is_not_an_object_becomes_its_own_line() {
    assert_eq!(
        lines(b"[1, \"a\", {\"b\": 1}, null]"),
        ["1", "\"a\"", "{\"b\": 1}", "null"]
    );
}

#[test]
fn a_broken_event_ends_with_its_line() {
    assert_eq!(
        lines(b"[\n{\"a\": \"x\n{\"b\": 1},\n{\"c\": 1}"),
        ["{\"a\": \"x", "{\"b\": 1}", "{\"c\": 1}"]
    );
    let deep = [&b"{\"a\":"[..], &b"[".repeat(1000), b"\n{\"b\":1}"].concat();
    assert_eq!(lines(&deep).last().map(String::as_str), Some("{\"b\":1}"));
}

#[test]
fn an_event_that_is_cut_off_costs_no_other() {
    let event: Value = json!({"a": 1, "b": {"c": [2, {"d": "x"}], "e": true}, "f": []});
    let event = format!("{event:#}");
    let whole: String = event.lines().map(str::trim_start).collect();
    for end in 1..event.len() {
        let text = format!("{}\n{event}\n{event}", &event[..end]);
        let read = lines(text.as_bytes());
        let count = read.iter().filter(|line| **line == whole).count();
        // The next one can be the value that is missing.
        let before = event[..end].trim_end();
        let is_open = before.ends_with([':', '[']) || before.ends_with("2,");
        assert_eq!(count, if is_open { 1 } else { 2 }, "{text}: {read:?}");
    }
}

#[test]
fn a_response_that_is_cut_off_costs_no_other() {
    let hit = |n: u32| json!({"_id": "x", "_source": {"ts": n}});
    let response = json!({"took": 1, "hits": {"total": 3, "hits": [hit(1), hit(2)]}});
    let response = format!("{response:#}");
    let first = response.find("ts").expect("it is there");
    for end in first..response.rfind('2').expect("it is there") {
        let text = format!("{}\n{response}", &response[..end]);
        let read = lines(text.as_bytes());
        let has = |n: u32| {
            read.iter()
                .filter(|line| line.ends_with(&format!("\"ts\": {n}}}}}")))
                .count()
        };
        let before = response[..end].trim_end();
        if !before.ends_with([':', '[', ',']) {
            assert!(has(1) >= 1 && has(2) == 1, "{text}: {read:?}");
        }
    }
}

fn event() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\],: \n\u{fc}]{0,8}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z\"]{1,3}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::hash_map("[a-z]{1,3}", value, 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn every_event_of_an_array_comes(
        events in prop::collection::vec(event(), 0..5),
        pretty: bool,
    ) {
        let array = Value::from(events.clone());
        let text = if pretty { format!("{array:#}") } else { array.to_string() };
        let read: Vec<Value> = lines(text.as_bytes())
            .iter()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        prop_assert_eq!(read, events);
    }

    #[test]
    fn no_bytes_panic(text in "[\\[\\]{}\",:a \n\\\\]{0,60}") {
        let _ = lines(text.as_bytes());
    }
}
