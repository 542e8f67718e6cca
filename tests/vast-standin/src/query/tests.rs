use proptest::prelude::*;

use super::*;

fn query(text: &str) -> Query {
    parse(text, &Dialect::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn only(text: &str) -> Predicate {
    let mut query = query(text);
    assert_eq!(query.root, Node::Leaf(0), "{text}");
    query.predicates.remove(0)
}

fn texts(values: &[&str]) -> HashSet<String> {
    values.iter().map(|value| value.to_string()).collect()
}

#[test]
fn both_sides_can_hold_the_field() {
    for text in [
        r#""x" == net.domain"#,
        r#"net.domain == "x""#,
        "net.domain==\"x\"",
    ] {
        let predicate = only(text);
        assert_eq!(predicate.extractor, Extractor::Field("net.domain".into()));
        assert!(matches!(predicate.test, Test::OneOf(ref v) if *v == texts(&["x"])));
        assert!(!predicate.negated);
    }
    assert!(only(r#""x" != host"#).negated);
}

#[test]
fn a_backslash_is_itself_but_before_a_quote() {
    let predicate = only(r#"net.domain in ["a\"b", "c\\d", "c\d", "e'f", "ü.de", "\u00fc"]"#);
    let expected = texts(&["a\"b", r"c\\d", r"c\d", "e'f", "ü.de", r"\u00fc"]);
    assert!(matches!(predicate.test, Test::OneOf(ref v) if *v == expected));
    assert_eq!(query("\"a\" == host || \"a\" == url").iocs().len(), 1);
}

#[test]
fn addresses_stand_bare_and_mapped_ones_are_ipv4() {
    for text in [
        "192.0.2.1",
        ":addr == ::ffff:192.0.2.1",
        ":addr in [192.0.2.1]",
    ] {
        let predicate = only(text);
        assert_eq!(predicate.extractor, Extractor::Address);
        let expected: HashSet<IpAddr> = ["192.0.2.1".parse().expect("an address")].into();
        assert!(matches!(predicate.test, Test::Address(ref v) if *v == expected));
    }
    assert!(matches!(only(":addr in 10.0.0.0/8").test, Test::Network(_)));
    assert!(matches!(only("ff02::fb").test, Test::Address(_)));
    assert!(matches!(
        only("net.src.ip in 2001:db8::/32").test,
        Test::Network(_)
    ));
}

#[test]
fn conjunction_binds_tighter() {
    let tree = query("1.1.1.1 || 2.2.2.2 && ! (3.3.3.3 || 4.4.4.4)").root;
    let expected = Node::Any(vec![
        Node::Leaf(0),
        Node::All(vec![
            Node::Leaf(1),
            Node::Not(Box::new(Node::Any(vec![Node::Leaf(2), Node::Leaf(3)]))),
        ]),
    ]);
    assert_eq!(tree, expected);
}

#[test]
fn the_time_and_the_type_have_extractors() {
    let predicate = only("#timestamp > 2009-11-19T08:00:00");
    assert_eq!(predicate.extractor, Extractor::Time);
    assert!(matches!(
        predicate.test,
        Test::Time(Comparison::Greater, 1_258_617_600_000_000_000)
    ));
    assert!(matches!(only("#type ~ /.*/").test, Test::Pattern(_)));
    assert!(matches!(
        only(r#"#type == "zeek.http""#).test,
        Test::OneOf(_)
    ));
    assert!(
        matches!(only(r"#type ~ /a\/b\.c/").test, Test::Pattern(ref p) if p.as_str() == r"a/b\.c")
    );
    assert!(matches!(only("uri ~ /a/").test, Test::Never(_)));
    let number = only("80 < net.dst.port");
    assert!(matches!(number.test, Test::Number(Comparison::Greater, _)));
}

#[test]
fn the_dialect_decides_on_the_extractors() {
    assert!(parse("192.0.2.1 in :list<ip>", &Dialect::default()).is_err());
    let three = Dialect {
        address_extractor: ":ip".into(),
        time_extractors: vec![":timestamp".into()],
    };
    assert!(parse(":ip == 192.0.2.1", &three).is_ok());
    assert!(parse(":timestamp > 2009-11-19T08:00:00", &three).is_ok());
    assert!(parse("192.0.2.1 in :list<ip>", &three).is_ok());
    for text in [":addr == 192.0.2.1", "#timestamp > 2009-11-19T08:00:00"] {
        assert_eq!(
            parse(text, &three).err(),
            Some(QueryError::Syntax),
            "{text}"
        );
        assert!(parse(text, &Dialect::default()).is_ok(), "{text}");
    }
}

#[test]
fn types_have_extractors() {
    assert!(matches!(
        only(r#""x" in :list<string>"#),
        Predicate { extractor: Extractor::Texts, test: Test::Contains(ref x), .. } if x == "x"
    ));
    assert!(matches!(
        only(r#":list<string> ni "x""#),
        Predicate { extractor: Extractor::Texts, test: Test::Contains(ref x), .. } if x == "x"
    ));
    let addresses = only("192.0.2.1 in :list<addr>");
    assert_eq!(addresses.extractor, Extractor::Addresses);
    assert!(matches!(addresses.test, Test::Address(_)));
    for (text, extractor) in [
        (r#":string == "x""#, Extractor::Text),
        (r#":string in ["x", "y"]"#, Extractor::Text),
        (r#""x" in :string"#, Extractor::Text),
        (":count in [80, 443]", Extractor::Count),
    ] {
        assert_eq!(only(text).extractor, extractor, "{text}");
    }
    for text in [
        ":addr in [10.0.0.0/8]",
        ":addr in [192.0.2.1, 10.0.0.0/8]",
        "10.0.0.0/8 in :list<addr>",
        r#"["x", "y"] in answers"#,
        r#"answers == ["x"]"#,
    ] {
        assert!(matches!(only(text).test, Test::Never(_)), "{text}");
    }
}

#[test]
fn a_group_that_the_engine_has_not_is_named() {
    assert_eq!(
        parse("host ~ /(?i)a/", &Dialect::default()).err(),
        Some(QueryError::Pattern("(?i)a".to_owned()))
    );
    assert!(parse("host ~ /(?:a)/", &Dialect::default()).is_ok());
}

#[test]
fn what_is_not_described_does_not_parse() {
    let deep = format!("{}1.2.3.4{}", "(".repeat(10_000), ")".repeat(10_000));
    let cases = [
        "\"evil",
        "foo bar",
        "999.2.3.4",
        "net.domain in [",
        "net.domain in []",
        "\"x\"",
        "foo",
        "10.0.0.0/8",
        "1.2.3.4 1.2.3.4",
        "1.2.3.4 ||",
        "|| 1.2.3.4",
        "(1.2.3.4",
        "1.2.3.4)",
        ":addr == \"x\"",
        ":addr in [1.2.3.4, \"x\"]",
        ":string != \"x\"",
        ":string ~ /x/",
        ":list<string> == \"x\"",
        ":list<string> in [\"x\"]",
        "\"x\" in :list",
        "\"x\" in :list<addr>",
        "192.0.2.1 in :list<string>",
        "192.0.2.1 in tx_hosts",
        ":port == 80",
        "#type in [\"x\"]",
        "\"a\tb\" == host",
        "\"a\\\" == host",
        "host ni \"x\"",
        "\"x\" == \"y\"",
        "host == url",
        "host ~ \"x\"",
        "host ~ /(/",
        "host ~ /x",
        "host in [\"a\",]",
        "host in [\"a\" \"b\"]",
        "1.2.3.4%eth0",
        "true",
        "in",
        "host in \"x\"",
        "#type > \"x\"",
        "#timestamp > 5",
        "host and url",
        "'x' == host",
        "1.2.3.4 && true",
        "!",
        "",
        "fe80::1%1",
        "1.2.3.4 \0",
        deep.as_str(),
    ];
    for text in cases {
        let expected = if text.is_empty() {
            QueryError::Empty
        } else {
            QueryError::Syntax
        };
        assert_eq!(
            parse(text, &Dialect::default()).err(),
            Some(expected),
            "{text:.80}"
        );
    }
    assert_eq!(
        parse(" \n ", &Dialect::default()).err(),
        Some(QueryError::Empty)
    );
}

/// The literal for a text without control characters that ends with no backslash
/// and has none before a quote.
fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

proptest! {
    #[test]
    fn no_input_panics(text in any::<String>()) {
        let _ = parse(&text, &Dialect::default());
    }

    #[test]
    fn no_near_query_panics(parts in proptest::collection::vec(
        prop::sample::select(vec![
            "\"a\"", "1.2.3.4", "::1", "10.0.0.0/8", ":addr", "#type", "#timestamp", "net.domain",
            "in", "==", "!=", "~", "/x/", "[", "]", ",", "(", ")", "&&", "||", "!", "<", "5", "\"",
            "\\", "2009-11-19T08:00:00", " ", "ü",
        ]), 0..12))
    {
        let _ = parse(&parts.join(" "), &Dialect::default());
        let _ = parse(&parts.concat(), &Dialect::default());
    }

    #[test]
    fn every_text_survives_as_a_literal(values in proptest::collection::vec(r#"([^"\\\x00-\x1f\x7f]|\\[a-z/]|\\\\x|")*"#, 1..5)) {
        let list: Vec<String> = values.iter().map(|value| literal(value)).collect();
        let text = format!("net.domain in [{}]", list.join(", "));
        let query = parse(&text, &Dialect::default()).expect("a list of literals");
        let expected: HashSet<String> = values.into_iter().collect();
        prop_assert_eq!(query.iocs(), expected);
    }
}
