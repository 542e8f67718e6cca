use super::*;

const LINES: Detected = Detected::Format(LogFormat::JsonLines);
const TOP: Detected = Detected::Format(LogFormat::JsonArray(Place::Top));
const ZEEK: Detected = Detected::Format(LogFormat::Zeek);

#[test]
fn the_form_is_told_by_the_first_bytes() {
    for (text, expected) in [
        ("{\"a\": 1}\n{", LINES),
        ("\u{feff}\r\n{\"a\": 1}\n", LINES),
        ("no json\n[1]\n", LINES),
        ("[2024-03-05] {\"a\": 1}\n", LINES),
        ("# a comment\n{}\n", LINES),
        // The rest of a line that was cut short.
        ("{\"a\": \n{\"b\": 1}\n", LINES),
        ("[{\"a\": 1}", TOP),
        ("[\n  {", TOP),
        ("[ ]", TOP),
        ("{\n  \"a\": 1\n}\n", TOP),
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
        "{\n  \"a\": 1,\n",
    ] {
        assert_eq!(detect(text.as_bytes(), false), Detected::More, "{text}");
        let Detected::Format(_) = detect(text.as_bytes(), true) else {
            panic!("{text}");
        };
    }
    let answer = "{\"took\": 1, \"hits\": {\"hits\": [{\"_source\": {}}]}}";
    let Detected::Format(LogFormat::JsonArray(Place::Within(path))) =
        detect(answer.as_bytes(), false)
    else {
        panic!("no answer");
    };
    assert_eq!(path, ["hits", "hits"]);
}

#[test]
fn a_long_first_line_is_one_of_json_lines() {
    let text = format!("{{\"a\": \"{}", "x".repeat(BEGINNING));
    assert_eq!(detect(text.as_bytes(), false), LINES);
}

proptest::proptest! {
    #[test]
    fn any_beginning_is_told_apart(text in "[#\\[{}\",:a \\n\\x00-]{0,20}") {
        let _ = detect(text.as_bytes(), false);
        assert_ne!(detect(text.as_bytes(), true), Detected::More);
    }
}
