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
    let none = HashSet::new();
    let mut evaluator = Evaluator::new(&query, &none, &concepts, &schema, type_name);
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
        (r#"uery == "www.example.com""#, true),
        (r#"zeek.dn.query == "www.example.com""#, false),
        (r#""example" in query"#, true),
        (r#""example" == query"#, false),
        (r#"query ~ /^www\..*com$/"#, false),
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
        let none = HashSet::new();
        let evaluator = Evaluator::new(&query, &none, &concepts, &schema, "zeek.dns");
        assert_eq!(evaluator.verdict(), expected, "{text}");
    }
}

#[test]
fn bad_lines_match_nothing_and_bad_bytes_are_no_obstacle() {
    assert!(!matches("! 1.2.3.4", "zeek.dns", "{\"a\": "));
    let concepts = Concepts::default();
    let schema = Schema::default();
    let query = parse("192.0.2.1", &Dialect::default()).expect("an address");
    let none = HashSet::new();
    let mut evaluator = Evaluator::new(&query, &none, &concepts, &schema, "zeek.http");
    assert!(evaluator.matches(b"{\"user_agent\": \"\xae\", \"id.orig_h\": \"192.0.2.1\"}"));
}

#[test]
fn types_are_queried_wherever_they_are() {
    let files = r#"{"tx_hosts": ["192.0.2.1", "::ffff:192.0.2.7"], "conn_uids": ["C1"],
        "source": "HTTP", "sha256": "ab", "seen_bytes": 53, "mime": ["192.0.2.9"]}"#;
    for (query, expected) in [
        (r#":string == "HTTP""#, true),
        (r#":string in ["x", "ab"]"#, true),
        (r#""TT" in :string"#, true),
        (r#":string == "C1""#, false),
        (r#""C1" in :string"#, false),
        (r#":string == "192.0.2.1""#, false),
        (r#""C1" in :list<string>"#, true),
        (r#":list<string> ni "C1""#, true),
        (r#""C" in :list<string>"#, false),
        (r#""192.0.2.1" in :list<string>"#, false),
        ("192.0.2.7 in :list<addr>", true),
        ("192.0.2.9 in :list<addr>", false),
        ("192.0.2.0/24 in :list<addr>", false),
        (":addr in [192.0.2.1]", false),
        (":count in [1, 53]", true),
        (":count in [1]", false),
        (r#"["C1"] in conn_uids"#, false),
        (r#"conn_uids == ["C1"]"#, false),
        (r#"source ~ /HTTP/"#, false),
    ] {
        assert_eq!(matches(query, "zeek.files", files), expected, "{query}");
    }
}

#[test]
fn parts_are_found_at_the_beginning_and_not_where_hashes_are_the_index() {
    let long = format!(r#"{{"http": {{"url": "{}needle"}}}}"#, "ü".repeat(509));
    assert!(matches(r#""needle" in http.url"#, "suricata.http", &long));
    let longer = long.replace("needle", "xneedle");
    assert!(!matches(
        r#""needle" in http.url"#,
        "suricata.http",
        &longer
    ));
    let file = r#"{"fileinfo": {"md5": "abcd", "filename": "abcd"}}"#;
    for (query, expected) in [
        (r#""bc" in fileinfo.md5"#, false),
        (r#"fileinfo.md5 == "abcd""#, true),
        (r#""bc" in filename"#, true),
    ] {
        assert_eq!(
            matches(query, "suricata.fileinfo", file),
            expected,
            "{query}"
        );
    }
    assert!(!matches(
        r#""bc" in :string"#,
        "suricata.fileinfo",
        r#"{"fileinfo": {"sha1": "abc"}}"#
    ));
    let kind = r#"{"dns": {"type": "query"}}"#;
    assert!(!matches(r#":string == "query""#, "suricata.dns", kind));
}

#[test]
fn bytes_that_are_no_text_are_told_apart() {
    let text = lossless(b"a\xaeb");
    assert_ne!(text, lossless(b"a\xafb"));
    assert_eq!(text.chars().count(), 3);
    assert_eq!(lossless("ü".as_bytes()), "ü");
}
