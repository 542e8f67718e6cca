use super::*;
use crate::query::{Dialect, parse};

const TABLE: &[u8] = br#"[
    {"concept": {"name": "net.domain", "description": "", "fields":
        ["zeek.dns.query", "zeek.dns.answers", "suricata.dns.dns.rrname"], "concepts": []}},
    {"concept": {"name": "net.src.ip", "description": "", "fields": ["zeek.dns.id.orig_h"],
        "concepts": []}}
]"#;

const DNS: &str = r#"{"ts": "2024-03-01T12:00:00.5", "id.orig_h": "::ffff:192.0.2.1",
    "id": {"resp_h": "2001:db8::1"}, "id.resp_p": 53, "query": "www.example.com",
    "answers": ["evil.example.net", "203.0.113.9"], "duration": "1.5ms", "rejected": false,
    "rcode": null, "host": "203.0.113.10"}"#;

fn matches(query: &str, type_name: &str, event: &str) -> bool {
    let concepts = Concepts::parse(TABLE).expect("a table");
    let query = parse(query, &Dialect::default()).expect(query);
    let schema = Schema::default();
    let mut evaluator = Evaluator::new(&query, &concepts, &schema, type_name);
    let first = evaluator.matches(event.as_bytes());
    // The second pass uses the layout that the first one made.
    assert_eq!(first, evaluator.matches(event.as_bytes()));
    first
}

#[test]
fn fields_are_found_by_concept_name_and_suffix() {
    for (query, expected) in [
        (r#""www.example.com" == net.domain"#, true),
        (r#"net.domain in ["a", "www.example.com"]"#, true),
        (r#"zeek.dns.query == "www.example.com""#, true),
        (r#"query == "www.example.com""#, true),
        (r#"uery == "www.example.com""#, false),
        (r#""example" in query"#, true),
        (r#""example" == query"#, false),
        (r#"query ~ /^www\..*com$/"#, true),
        (r#""x" == nosuch.concept"#, false),
        (r#"rejected == false"#, true),
        (r#"id.resp_p == 53"#, true),
        (r#"id.resp_p < 53"#, false),
        (r#"id.resp_p in [80, 53]"#, true),
        (r#""53" == id.resp_p"#, false),
    ] {
        assert_eq!(matches(query, "zeek.dns", DNS), expected, "{query}");
    }
    let nested = r#"{"dns": {"rrname": "www.example.com"}}"#;
    assert!(matches(
        r#""www.example.com" == net.domain"#,
        "suricata.dns",
        nested
    ));
    assert!(!matches(
        r#""www.example.com" == net.domain"#,
        "suricata.other",
        nested
    ));
}

#[test]
fn addresses_match_in_address_fields_alone() {
    for (query, expected) in [
        ("192.0.2.1", true),
        ("::ffff:192.0.2.1", true),
        ("2001:db8:0::1", true),
        (":addr in [198.51.100.1, 192.0.2.1]", true),
        (":addr in 192.0.2.0/24", true),
        ("net.src.ip in 192.0.2.0/24", true),
        ("net.src.ip == 2001:db8::1", false),
        ("203.0.113.9", false),
        ("203.0.113.10", false),
        (r#"id.orig_h == "::ffff:192.0.2.1""#, false),
    ] {
        assert_eq!(matches(query, "zeek.dns", DNS), expected, "{query}");
    }
}

#[test]
fn elements_of_lists_match_by_membership_alone() {
    for query in [
        r#""evil.example.net" == net.domain"#,
        r#"net.domain in ["evil.example.net"]"#,
        r#"answers == "evil.example.net""#,
    ] {
        assert!(!matches(query, "zeek.dns", DNS), "{query}");
    }
    for (query, expected) in [
        (r#""evil.example.net" in zeek.dns.answers"#, true),
        (r#""evil.example.net" in net.domain"#, true),
        (r#""203.0.113.9" in answers"#, true),
        // The whole element, and not a part of it.
        (r#""example.net" in zeek.dns.answers"#, false),
        (r#""203.0.113.9" in zeek.http.answers"#, false),
    ] {
        assert_eq!(matches(query, "zeek.dns", DNS), expected, "{query}");
    }
}

#[test]
fn connectives_types_and_times() {
    for (query, expected) in [
        (r#"#type == "zeek.dns" && 192.0.2.1"#, true),
        (r#"#type == "zeek.http" && 192.0.2.1"#, false),
        (r#"#type != "zeek.http""#, true),
        (r#"#type ~ /^zeek/"#, true),
        (r#"! 192.0.2.1 || ! 192.0.2.2"#, true),
        (r#"! (192.0.2.1 || 192.0.2.2)"#, false),
        ("#timestamp > 2024-03-01T12:00:00 && 192.0.2.1", true),
        ("#timestamp > 2024-03-01T12:00:00.5", false),
        ("#timestamp >= 2024-03-01T12:00:00.500", true),
        (r#"query != "x""#, true),
        (r#"query != "www.example.com""#, false),
        (r#"nosuch != "x""#, false),
        (r#"duration == "1.5ms""#, false),
    ] {
        assert_eq!(matches(query, "zeek.dns", DNS), expected, "{query}");
    }
    assert!(!matches(
        "#timestamp > 2024-03-01T12:00:00",
        "zeek.dns",
        "{\"a\": 1}"
    ));
}

#[test]
fn the_type_alone_can_decide() {
    let concepts = Concepts::default();
    let schema = Schema::default();
    for (text, expected) in [
        ("#type ~ /.*/", Verdict::Every),
        (r#"#type == "zeek.http""#, Verdict::None),
        (r#"#type == "zeek.http" && 1.2.3.4"#, Verdict::None),
        (r#"#type == "zeek.dns" && 1.2.3.4"#, Verdict::Open),
        (r#"#type == "zeek.dns" || 1.2.3.4"#, Verdict::Every),
        (r#"! #type == "zeek.http""#, Verdict::Every),
    ] {
        let query = parse(text, &Dialect::default()).expect(text);
        let evaluator = Evaluator::new(&query, &concepts, &schema, "zeek.dns");
        assert_eq!(evaluator.verdict(), expected, "{text}");
    }
}

#[test]
fn bad_lines_match_nothing_and_bad_bytes_are_no_obstacle() {
    assert!(!matches("! 1.2.3.4", "zeek.dns", "{\"a\": "));
    let concepts = Concepts::default();
    let schema = Schema::default();
    let query = parse("192.0.2.1", &Dialect::default()).expect("an address");
    let mut evaluator = Evaluator::new(&query, &concepts, &schema, "zeek.http");
    assert!(evaluator.matches(b"{\"user_agent\": \"\xae\", \"id.orig_h\": \"192.0.2.1\"}"));
}
