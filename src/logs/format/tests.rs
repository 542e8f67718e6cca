use proptest::prelude::*;

use super::*;
use crate::logs::lines::{AtEnd, Block, Fill};

const LINES: Detected = Detected::Format(LogFormat::JsonLines);
const TOP: Detected = Detected::Format(LogFormat::JsonArray);
const ZEEK: Detected = Detected::Format(LogFormat::Zeek);

/// An event as JSON, or why a line is none.
pub fn text_of(event: Result<Event<'_>, NoEvent<'_>>) -> String {
    match event {
        Ok(Event::Json(line)) => line.to_owned(),
        Ok(Event::Row(row)) => {
            let mut json = String::new();
            zeek_json::print(&row, &mut json);
            json
        }
        Err(no) => no.reason.to_string(),
    }
}

#[test]
fn the_first_bytes_show_the_format() {
    for (text, expected) in [
        ("{\"a\": 1}\n{", LINES),
        ("\u{feff}\r\n{\"a\": 1}\n", LINES),
        ("no json\n[1]\n", LINES),
        ("[2024-03-05] {\"a\": 1}\n", LINES),
        ("# a comment\n{}\n", LINES),
        // The rest of a truncated line.
        ("{\"a\": \n{\"b\": 1}\n", LINES),
        ("[{\"a\": 1}", TOP),
        ("[\n  {", TOP),
        ("[ ]\n", TOP),
        ("[[{\"a\": 1}]]\n", TOP),
        ("{\n  \"a\": 1,\n", TOP),
        ("{\"a\": {\n\t\"b\": 1}}\n", TOP),
        ("#separator \\x09\n", ZEEK),
        ("\0\0#fields\ta\n", ZEEK),
    ] {
        assert_eq!(detect(text.as_bytes(), false), expected, "{text}");
    }
    for text in [
        "",
        " \n",
        "\u{feff}",
        "[",
        // It could be UTF-16.
        "[\0\u{1}",
        "#",
        "{\"a\": 1",
        "{\n",
    ] {
        assert_eq!(detect(text.as_bytes(), false), Detected::More, "{text}");
        let Detected::Format(_) = detect(text.as_bytes(), true) else {
            panic!("{text}");
        };
    }
    for response in [
        "{\"took\": 1, \"hits\": {\"hits\": [{\"_source\": {}}]}}",
        "{\"Records\": [{",
    ] {
        assert_eq!(detect(response.as_bytes(), false), TOP);
    }
}

#[test]
fn a_long_first_line_is_one_of_json_lines() {
    let text = format!("{{\"a\": \"{}", "x".repeat(BEGINNING));
    assert_eq!(detect(text.as_bytes(), false), LINES);
}

/// Responses, arrays and objects, mostly broken.
pub fn beginnings() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\n",
        " ",
        "#",
        "x",
        "1",
        "\\",
        "\0",
        "\u{feff}",
        "\"results\": [",
        "\"hits\": {",
        "\"hits\": [",
        "{\"a\": 1}",
        "{\"a\":",
        "#fields\ta",
        "#sep",
        "BZh91AY",
        "{\n",
        "\"a\": \"",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(known.map(str::as_bytes).map(<[u8]>::to_vec).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
        1 => Just([&[b'x'; 257][..], b"ustar"].concat()),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

#[test]
fn every_event_comes_whether_in_a_response_or_behind_it() {
    let events = ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"];
    let response = "{\"count\":1,\"value\":[{\"a\":2}]}";
    for text in [
        format!("{}\n{response}\n{}\n", events[0], events[2]),
        format!("[{}]\n{response}\n{}\n", events[0], events[2]),
        format!(
            "{{\"Records\":[{}]}}\n{response}\n{}\n",
            events[0], events[2]
        ),
        format!("{{\n \"a\":1\n}}\n{response}\n{}\n", events[2]),
        format!(
            "#separator \\x09\n{}\n{response}\n{}\n",
            events[0], events[2]
        ),
        format!(
            "{{\"index\":{{}}}}\n{}\n{{\"delete\":{{\"_id\":\"1\"}}}}\n{response}\n{}",
            events[0], events[2]
        ),
    ] {
        let (mut cutter, mut block) = (Cutter::default(), Block::default());
        let (mut reader, mut read) = (text.as_bytes(), Vec::new());
        while let Cut::Block(mut parser) = cutter
            .next(&mut reader, &mut block, Fill::Full, AtEnd::Finish)
            .expect("memory does not fail")
        {
            parser.each(block.bytes(), |event| match event {
                Ok(Event::Json(line)) => read.push(line.to_owned()),
                other => panic!("{text}: {other:?}"),
            });
        }
        assert_eq!(read, events, "{text}");
    }
}

proptest! {
    #[test]
    fn every_beginning_has_a_format(text in "[#\\[{}\",:a \\n\\x00-]{0,20}") {
        let _ = detect(text.as_bytes(), false);
        assert_ne!(detect(text.as_bytes(), true), Detected::More);
    }

    #[test]
    fn the_format_of_a_beginning_is_that_of_all_longer_ones(text in beginnings()) {
        let mut before = Detected::More;
        for end in 0..=text.len() {
            let now = detect(&text[..end], false);
            prop_assert!(before == Detected::More || now == before, "{before:?}, {now:?} at {end}");
            before = now;
        }
        prop_assert!(before == Detected::More || detect(&text, true) == before);
    }
}
