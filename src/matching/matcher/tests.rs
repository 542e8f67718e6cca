mod random_pairs;

use super::*;
use crate::observable::{Property, of_line};

/// The positions of the observables that are found in a line.
fn held(observables: &[Observable], line: &str) -> Vec<usize> {
    let mut matcher = Matcher::new(Fields::Named, true);
    let slots: Vec<Slot> = observables.iter().map(|one| matcher.insert(one)).collect();
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    matcher
        .matches(line, &mut scratch, &mut out)
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let found = slots.iter().enumerate();
    let found = found.filter(|(_, slot)| out.contains(slot));
    found.map(|(number, _)| number).collect()
}

fn value(line: &str) -> Observable {
    let mut values = of_line(line).unwrap_or_else(|error| panic!("{error}"));
    values.remove(0)
}

fn holds(wanted: &str, line: &str) -> bool {
    !held(&[value(wanted)], line).is_empty()
}

#[test]
fn a_name_is_found_in_all_its_places() {
    for line in [
        r#"{"dns": {"rrname": "Evil.example."}}"#,
        r#"{"dns.rrname": "evil.example"}"#,
        r#"{"dns": {"queries": [{"rrname": "x"}, {"rrname": "evil.example"}]}}"#,
        r#"{"query": "EVIL.example"}"#,
        r#"{"dns": {"query": "evil.example"}}"#,
        r#"{"event_type": "alert", "http": {"hostname": "evil.example:8080"}}"#,
        r#"{"tls": {"sni": "evil.example"}}"#,
        r#"{"tls": {"subject": "C=US, CN=evil.example"}}"#,
        r#"{"subject": "CN=Evil.example,O=x"}"#,
        r#"{"answers": ["192.0.2.1", "evil.example"]}"#,
        r#"{"dns": {"answers": [{"rrtype": "CNAME", "rdata": "evil.example"}]}}"#,
        r#"{"dns": {"answers": [{"rdata": "evil.example", "rrtype": "MX"}]}}"#,
        r#"{"dns": {"rrtype": "ANY", "grouped": {"CNAME": ["evil.example"]}}}"#,
        r#"{"http": {"url": "http://evil.example/x"}}"#,
        r#"{"uri": "evil.example:443"}"#,
        r#"{"referrer": "https://u@EVIL.example:8443/x?y"}"#,
        r#"{"san.dns": ["evil.example"]}"#,
        r#"{"dns": {"question": {"name": "evil.example"}}}"#,
        r#"{"query": "ev\u0069l.example"}"#,
        r#"{"query": "evil.example", "n": 1e3}"#,
    ] {
        assert!(holds("evil.example", line), "{line}");
    }
    for line in [
        r#"{"query": "notevil.example"}"#,
        r#"{"query": "evil.example.org"}"#,
        r#"{"query": "www.evil.example"}"#,
        r#"{"uri": "/?q=evil.example"}"#,
        r#"{"alert": {"signature": "evil.example"}}"#,
        r#"{"dns": {"answers": [{"rrtype": "TXT", "rdata": "evil.example"}]}}"#,
        r#"{"answers": ["TXT 12 evil.example"]}"#,
        r#"{"user_agent": "evil.example"}"#,
    ] {
        assert!(!holds("evil.example", line), "{line}");
    }
    assert!(holds(
        "bücher.example",
        r#"{"query": "xn--bcher-kva.example"}"#
    ));
    assert!(holds("*.evil.example", r#"{"query": "WWW.evil.example."}"#));
    assert!(!holds("*.evil.example", r#"{"query": "evil.example"}"#));
}

#[test]
fn an_address_is_found_in_all_its_places() {
    for line in [
        r#"{"src_ip": "192.0.2.1"}"#,
        r#"{"id.orig_h": "::ffff:192.0.2.1"}"#,
        r#"{"id_orig_h": "192.0.2.1"}"#,
        r#"{"x": {"Remote_Addr": "192.0.2.1"}}"#,
        r#"{"tx_hosts": ["192.0.2.1"]}"#,
        r#"{"host": "192.0.2.1:8080"}"#,
        r#"{"xff": "10.0.0.1, 192.0.2.1"}"#,
        r#"{"dns": {"grouped": {"A": ["192.0.2.1"]}}}"#,
        r#"{"dns": {"rrtype": "A", "rdata": "192.0.2.1"}}"#,
        r#"{"referrer": "http://192.0.2.1/"}"#,
        r#"{"helo": "[192.0.2.1]"}"#,
        r#"{"source": {"ip": ["192.0.2.1"]}}"#,
    ] {
        assert!(holds("192.0.2.1", line), "{line}");
        assert!(holds("192.0.2.0/24", line), "{line}");
    }
    for line in [
        r#"{"src_ip": "192.0.2.10"}"#,
        r#"{"version": "192.0.2.1"}"#,
        r#"{"uri": "/?ip=192.0.2.1"}"#,
        r#"{"alert": {"signature": "ET CNC 192.0.2.1"}}"#,
        r#"{"dns": {"answers": [{"rrtype": "TXT", "rdata": "192.0.2.1"}]}}"#,
    ] {
        assert!(!holds("192.0.2.1", line), "{line}");
    }
}

#[test]
fn an_address_with_a_port_is_one_end() {
    for (line, expected) in [
        (
            r#"{"src_ip": "192.0.2.1", "src_port": 80, "dest_port": 9}"#,
            true,
        ),
        (r#"{"dest_port": 80, "dest_ip": "192.0.2.1"}"#, true),
        (r#"{"id.resp_h": "192.0.2.1", "id.resp_p": 80}"#, true),
        (r#"{"id.resp_h": "192.0.2.1", "id.resp_p": "80/tcp"}"#, true),
        (r#"{"source": {"ip": "192.0.2.1", "port": 80}}"#, true),
        (
            r#"{"src_ip": "192.0.2.1", "src_port": 81, "dest_port": 80}"#,
            false,
        ),
        (r#"{"src_ip": "192.0.2.1", "dest_port": 80}"#, false),
        (r#"{"src_ip": "192.0.2.2", "src_port": 80}"#, false),
    ] {
        assert_eq!(holds("192.0.2.1:80", line), expected, "{line}");
    }
}

#[test]
fn a_url_is_a_host_and_a_target() {
    let eve = |host: &str, url: &str| {
        serde_json::json!({"dest_port": 8081, "http": {"hostname": host, "url": url}}).to_string()
    };
    for (url, line, expected) in [
        ("http://evil.example/x", eve("EVIL.example", "/x"), true),
        ("https://evil.example/x", eve("evil.example", "/x"), true),
        ("evil.example/x", eve("evil.example", "/x"), true),
        ("ftp://evil.example/x", eve("evil.example", "/x"), false),
        ("http://evil.example:80/x", eve("evil.example", "/x"), true),
        (
            "http://evil.example:8081/x",
            eve("evil.example", "/x"),
            true,
        ),
        (
            "http://evil.example:8081/x",
            eve("evil.example:8081", "/x"),
            true,
        ),
        ("http://evil.example:9/x", eve("evil.example", "/x"), false),
        (
            "http://evil.example:8081/x",
            eve("evil.example:9", "/x"),
            false,
        ),
        ("http://evil.example", eve("evil.example", "/"), true),
        ("http://evil.example", eve("evil.example", "/x"), false),
        ("http://evil.example/x#y", eve("evil.example", "/x"), true),
        ("http://evil.example/%7ex", eve("evil.example", "/~x"), true),
        ("http://evil.example/x", eve("evil.example", "/x1"), false),
        ("http://evil.example/x", eve("evil.example", "/X"), false),
        ("http://evil.example/x", eve("notevil.example", "/x"), false),
        (
            "http://evil.example/x",
            eve("x", "http://evil.example/x"),
            true,
        ),
        (
            "http://evil.example:8081/x",
            eve("x", "http://evil.example/x"),
            false,
        ),
        ("http://192.0.2.1/x", eve("192.0.2.1", "/x"), true),
        (
            "http://[2001:db8::1]/x",
            eve("[2001:DB8::1]:80", "/x"),
            true,
        ),
        (
            "http://evil.example/x",
            r#"{"uri": "/x", "host": "evil.example"}"#.into(),
            true,
        ),
        ("http://evil.example/x", r#"{"uri": "/x"}"#.into(), false),
        (
            "http://evil.example/x",
            r#"{"referrer": "https://evil.example/x"}"#.into(),
            true,
        ),
        (
            "http://evil.example/x",
            r#"{"url": {"full": "http://evil.example/x"}}"#.into(),
            true,
        ),
        (
            "http://evil.example/x?y",
            r#"{"url": {"query": "y", "path": "/x", "domain": "evil.example"}}"#.into(),
            true,
        ),
        (
            "http://evil.example/x",
            r#"{"url": {"query": "y", "path": "/x", "domain": "evil.example"}}"#.into(),
            false,
        ),
    ] {
        assert_eq!(holds(url, &line), expected, "{url} {line}");
    }
    let target = [Observable::of_url("/x?y").expect("a target")];
    assert_eq!(held(&target, r#"{"uri": "/x?y"}"#), [0]);
    assert_eq!(held(&target, r#"{"http": {"url": "http://a/x?y"}}"#), [0]);
    assert!(held(&target, r#"{"uri": "/x"}"#).is_empty());
}

#[test]
fn texts_are_found_in_the_places_of_their_property() {
    let text = |property, value: &str| Observable::text(property, value).expect("a value");
    let sha1 = "ad4f6ece325fd62deab646808df90af065f36a2c";
    let fingerprint = "AD:4f:6e:ce:32:5f:d6:2d:ea:b6:46:80:8d:f9:0a:f0:65:f3:6a:2c";
    let observables = [
        text(Property::Sha1, sha1),
        text(Property::CertificateSha1, sha1),
        value(sha1),
        text(Property::FileName, "Evil.exe"),
        text(Property::FileName, "tmp\\evil.exe"),
        value("a@evil.example"),
        text(Property::EmailRecipient, "a@evil.example"),
        text(Property::Mac, "00-0a-95-9d-68-16"),
        text(Property::CertificateSubject, "CN=x, O=y"),
        text(Property::UserAgent, "Bad/1.0"),
    ];
    for (line, expected) in [
        (
            format!(r#"{{"fileinfo": {{"sha1": "{sha1}"}}}}"#),
            &[0, 2][..],
        ),
        (format!(r#"{{"sha1": "{sha1}"}}"#), &[0, 2]),
        (
            format!(r#"{{"tls": {{"fingerprint": "{fingerprint}"}}}}"#),
            &[1, 2],
        ),
        (format!(r#"{{"md5": "{sha1}"}}"#), &[2]),
        (r#"{"fileinfo": {"filename": "/a/EVIL.exe"}}"#.into(), &[3]),
        (
            r#"{"smb": {"filename": "x\\tmp\\evil.exe"}}"#.into(),
            &[3, 4],
        ),
        (
            r#"{"fileinfo": {"filename": "/a/notevil.exe"}}"#.into(),
            &[],
        ),
        (
            r#"{"smtp": {"rcpt_to": ["<A@evil.example>"]}}"#.into(),
            &[5, 6],
        ),
        (r#"{"from": "\"X\" <a@evil.example>"}"#.into(), &[5]),
        (r#"{"mac": "00:0A:95:9D:68:16"}"#.into(), &[7]),
        (r#"{"tls": {"subject": "O=y,CN=x"}}"#.into(), &[8]),
        (r#"{"user_agent": "Bad/1.0"}"#.into(), &[9]),
        (r#"{"user_agent": "bad/1.0"}"#.into(), &[]),
    ] {
        assert_eq!(held(&observables, &line), expected, "{line}");
    }
}

#[test]
fn answers_count_with_the_option() {
    let line = r#"{"query": "x", "answers": ["evil.example", "192.0.2.1"]}"#;
    let observables = [
        value("evil.example"),
        value("192.0.2.1"),
        Observable::of_answer("192.0.2.1").expect("an answer"),
    ];
    assert_eq!(held(&observables, line), [0, 1, 2]);
    let mut matcher = Matcher::new(Fields::Named, false);
    let slots = observables.each_ref().map(|one| matcher.insert(one));
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    matcher
        .matches(line, &mut scratch, &mut out)
        .expect("an event");
    assert_eq!(out, slots[2..]);
}

#[test]
fn the_place_of_a_value_is_known() {
    let mut matcher = Matcher::new(Fields::Named, true);
    let slot = matcher.insert(&value("evil.example"));
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let line = r#"{"dns": {"queries": [{"rrname": "EVIL.example"}]}, "query": "evil.example."}"#;
    matcher
        .matches(line, &mut scratch, &mut out)
        .expect("an event");
    assert_eq!(out, [slot]);
    let found: Vec<(String, &str)> = scratch.holdings().map(|one| (one.path, one.text)).collect();
    let expected = [
        ("dns.queries.rrname", "EVIL.example"),
        ("query", "evil.example."),
    ];
    assert_eq!(found, expected.map(|(path, text)| (path.to_owned(), text)));
}

#[test]
fn changes_count_from_the_next_event_on() {
    let mut matcher = Matcher::new(Fields::Named, true);
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let line = r#"{"query": "a.example", "src_ip": "192.0.2.1"}"#;
    matcher
        .matches(line, &mut scratch, &mut out)
        .expect("an event");
    assert!(out.is_empty());
    let (name, address) = (value("a.example"), value("192.0.2.1"));
    let slots = [matcher.insert(&name), matcher.insert(&address)];
    matcher
        .matches(line, &mut scratch, &mut out)
        .expect("an event");
    assert_eq!(out, slots);
    assert_eq!(matcher.remove(&name), Some(slots[0]));
    matcher
        .matches(line, &mut scratch, &mut out)
        .expect("an event");
    assert_eq!(out, slots[1..]);
    assert!(
        matcher
            .matches("{\"query\": ", &mut scratch, &mut out)
            .is_err()
    );
    assert!(out.is_empty() && scratch.holdings().next().is_none());
}
