use super::*;
use crate::indicator::timestamp;

fn holds(condition: &Condition, event: &str) -> bool {
    condition.holds(event)
}

fn about(subject: Subject, place: TestedPlace, negated: bool, check: Check) -> Condition {
    Condition::Test(Test {
        subject,
        place,
        negated,
        check,
    })
}

fn is(place: TestedPlace, check: Check) -> Condition {
    Condition::Test(Test::new(place, check))
}

fn address(text: &str) -> Check {
    Check::Holds(vec![Observable::of_address(text).expect("an address")])
}

fn domain(text: &str) -> Check {
    Check::Holds(vec![Observable::of_domain(text).expect("a domain")])
}

fn text(property: Property, text: &str) -> Check {
    Check::Holds(vec![Observable::text(property, text).expect("a value")])
}

const EVENT: &str = r#"{"ts": "2024-03-05T09:00:00.250000000", "host": "A.example:80",
    "uri": "/x%7e", "id": {"orig_h": "192.0.2.1", "resp_h": "198.51.100.7", "resp_p": 80},
    "id.orig_p": "1024/tcp", "user_agent": "192.0.2.77", "answers": ["203.0.113.1"],
    "proto": "tcp", "service": "ssl,http", "nothing": null}"#;

#[test]
fn tests_examine_the_places_of_their_property() {
    let any = TestedPlace::Kind(Kind::Address);
    let port = |of, order, number| is(TestedPlace::Field(of), Check::Number(order, vec![number]));
    let like = |pattern| Check::Like(Like::new(pattern, true));
    let protocol = |name: &str| {
        is(
            TestedPlace::Field(Field::Protocol),
            Check::OneOf(vec![name.into()]),
        )
    };
    for (condition, expected) in [
        (is(any, address("192.0.2.0/24")), true),
        (is(any, address("192.0.2.77")), false),
        (is(any, address("203.0.113.1")), true),
        (is(TestedPlace::Source, address("192.0.2.1")), true),
        (is(TestedPlace::Destination, address("192.0.2.1")), false),
        (is(TestedPlace::Destination, domain("a.example")), true),
        (is(TestedPlace::Source, domain("a.example")), false),
        (port(Field::DestinationPort, Operator::Equal, 80), true),
        (port(Field::SourcePort, Operator::Greater, 1023), true),
        (port(Field::SourcePort, Operator::Less, 1024), false),
        (
            is(TestedPlace::Field(Field::FileSize), Check::Exists),
            false,
        ),
        (protocol("tcp"), true),
        (protocol("http"), true),
        (protocol("ipv4"), true),
        (protocol("ipv6"), false),
        (is(TestedPlace::Kind(Kind::Domain), like("A.%")), true),
        (is(TestedPlace::Kind(Kind::Domain), like("%:80")), true),
        (is(TestedPlace::Request, like("https://a.example/x~")), true),
        (
            is(TestedPlace::Request, like("http://a.example:80/%")),
            true,
        ),
        (is(TestedPlace::Request, like("/x%7e")), true),
        (is(TestedPlace::Request, like("/y")), false),
        (
            about(
                Subject::Domain,
                TestedPlace::Kind(Kind::Domain),
                true,
                domain("b.example"),
            ),
            true,
        ),
        (
            about(
                Subject::Domain,
                TestedPlace::Kind(Kind::Domain),
                true,
                domain("a.example"),
            ),
            false,
        ),
        // A missing value passes no test, not even a negated one.
        (
            about(
                Subject::Mac,
                TestedPlace::Kind(Kind::Text(Property::Mac)),
                true,
                text(Property::Mac, "00:53:00:00:00:01"),
            ),
            false,
        ),
    ] {
        assert_eq!(holds(&condition, EVENT), expected, "{condition:?}");
    }
}

#[test]
fn the_name_of_a_file_follows_its_path() {
    let event = r#"{"fileinfo": {"filename": "/DL/x/b.exe", "size": 5}}"#;
    let named = |name| Condition::Test(Test::file_named(name).expect("a name"));
    let place = TestedPlace::Kind(Kind::Text(Property::FileName));
    for (condition, expected) in [
        (named("b.exe"), true),
        (named("B.EXE"), true),
        (named("x\\b.exe"), true),
        (named(".exe"), false),
        (named("y/b.exe"), false),
        (is(place, Check::Like(Like::new("b%", true))), true),
        (is(place, Check::Like(Like::new("x%", true))), false),
        (is(place, Check::InFolder("dl/x".into())), true),
        (is(place, Check::InFolder("l/x".into())), false),
    ] {
        assert_eq!(holds(&condition, event), expected, "{condition:?}");
    }
}

#[test]
fn a_file_that_an_equal_hash_identifies_may_have_no_name() {
    let hash = "00112233445566778899aabbccddeeff";
    let hashed = Observable::text(Property::Md5, hash).expect("a hash");
    let condition = Condition::file_with_hash_named(&hashed, "b.exe").expect("a name");
    for (file, expected) in [
        (format!(r#"{{"md5": "{hash}"}}"#), true),
        (
            format!(r#"{{"md5": "{hash}", "filename": "/x/B.exe"}}"#),
            true,
        ),
        (
            format!(r#"{{"md5": "{hash}", "filename": "c.exe"}}"#),
            false,
        ),
        (r#"{"filename": "b.exe"}"#.to_owned(), false),
    ] {
        let event = format!(r#"{{"fileinfo": {file}}}"#);
        assert_eq!(holds(&condition, &event), expected, "{event}");
    }
}

#[test]
fn parts_are_joined_and_times_are_bounds() {
    let yes = is(TestedPlace::Kind(Kind::Domain), Check::Exists);
    let no = is(TestedPlace::Kind(Kind::Text(Property::Mac)), Check::Exists);
    for (condition, expected) in [
        (Condition::All(vec![yes.clone(), no.clone()]), false),
        (Condition::Any(vec![no.clone(), yes.clone()]), true),
        (Condition::All(vec![]), true),
        (Condition::Any(vec![]), false),
    ] {
        assert_eq!(holds(&condition, EVENT), expected, "{condition:?}");
    }
    let time = |text| timestamp(text).expect("a time");
    let (at, later) = (
        time("2024-03-05T09:00:00.25Z"),
        time("2024-03-05T09:00:01Z"),
    );
    for event in [
        EVENT,
        r#"{"ts": 1709629200.5}"#,
        r#"{"timestamp": "2024-03-05T10:00:00.250000+0100"}"#,
        r#"{"@timestamp": "2024-03-05 09:00:00.25"}"#,
    ] {
        assert!(holds(&Condition::During(at, later), event), "{event}");
        assert!(!holds(&Condition::During(later, later), event), "{event}");
    }
    assert!(!holds(&Condition::During(at, later), "{}"));
    assert!(!holds(&Condition::All(vec![]), "no event"));
}

#[test]
fn tests_on_a_subject_hold_for_one_object() {
    let event = r#"{"src_ip": "192.0.2.23", "dest_ip": "203.0.113.66", "dns": {"rrname": "a.example",
        "answers": [{"rrname": "b.example", "rrtype": "A", "rdata": "192.0.2.99"}]}}"#;
    let ip = |negated, text| {
        about(
            Subject::Ipv4,
            TestedPlace::Kind(Kind::Address),
            negated,
            address(text),
        )
    };
    let name = |negated, text| {
        about(
            Subject::Domain,
            TestedPlace::Kind(Kind::Domain),
            negated,
            domain(text),
        )
    };
    let answer = Observable::Answer("192.0.2.99".into());
    let answer = about(
        Subject::Domain,
        TestedPlace::Kind(Kind::Answer),
        false,
        Check::Holds(vec![answer]),
    );
    let all = |parts: Vec<Condition>| Condition::All(parts);
    for (condition, expected) in [
        (
            all(vec![ip(false, "192.0.2.0/24"), ip(true, "192.0.2.23")]),
            true,
        ),
        (
            all(vec![ip(false, "192.0.2.16/28"), ip(true, "192.0.2.23")]),
            false,
        ),
        (
            all(vec![ip(false, "192.0.2.23"), ip(false, "203.0.113.66")]),
            false,
        ),
        // They need not for different subjects, and not in an `OR`.
        (
            all(vec![ip(false, "192.0.2.23"), name(true, "b.example")]),
            true,
        ),
        (
            Condition::Any(vec![
                all(vec![ip(false, "192.0.2.23"), ip(false, "203.0.113.66")]),
                all(vec![name(false, "a.example"), name(true, "b.example")]),
            ]),
            true,
        ),
        (
            all(vec![
                Condition::Any(vec![name(false, "a.example"), name(false, "b.example")]),
                name(true, "a.example"),
                name(true, "b.example"),
            ]),
            false,
        ),
        // The answers belong to all names of the record.
        (all(vec![name(false, "a.example"), answer.clone()]), true),
        (all(vec![name(false, "c.example"), answer]), false),
    ] {
        assert_eq!(holds(&condition, event), expected, "{condition:?}");
    }
}

#[test]
fn an_address_is_of_the_tested_family() {
    let event = r#"{"src_ip": "2001:db8::1", "dest_ip": "2001:db8::2"}"#;
    let test =
        |subject, negated, check| about(subject, TestedPlace::Kind(Kind::Address), negated, check);
    for (condition, expected) in [
        (test(Subject::Ipv4, true, address("192.0.2.1")), false),
        (test(Subject::Ipv4, false, Check::Exists), false),
        (test(Subject::Ipv6, false, Check::Exists), true),
        (test(Subject::Ipv6, true, address("2001:db8::1")), true),
        (test(Subject::Ipv4, false, address("2001:db8::1")), true),
        (
            test(Subject::Ipv4, false, Check::Like(Like::new("2001:%", true))),
            false,
        ),
    ] {
        assert_eq!(holds(&condition, event), expected, "{condition:?}");
    }
    let event = r#"{"src_ip": "192.0.2.1"}"#;
    for (check, expected) in [("::/0", false), ("::ffff:192.0.2.1", true)] {
        let condition = test(Subject::Ipv6, false, address(check));
        assert_eq!(holds(&condition, event), expected, "{check}");
    }
}

#[test]
fn an_equal_hash_identifies_the_file() {
    let file = |property, negated, value: &str| {
        let place = TestedPlace::Kind(Kind::Text(property));
        about(Subject::File, place, negated, text(property, value))
    };
    let size = |order, size| {
        let check = Check::Number(order, vec![size]);
        about(
            Subject::File,
            TestedPlace::Field(Field::FileSize),
            false,
            check,
        )
    };
    let (md5, sha1) = ("0".repeat(32), "1".repeat(40));
    let md5 = || file(Property::Md5, false, &md5);
    let other = || file(Property::Md5, false, &"2".repeat(32));
    let sha1 = || file(Property::Sha1, false, &sha1);
    let name = |negated, name| file(Property::FileName, negated, name);
    let event = format!(
        r#"{{"files": [{{"md5": "{}", "size": 5}}, {{"filename": "/x/b.exe"}}]}}"#,
        "0".repeat(32)
    );
    for (condition, expected) in [
        (vec![md5(), sha1()], true),
        (vec![md5(), name(false, "a.exe")], true),
        (vec![md5(), name(true, "a.exe")], false),
        (vec![md5(), size(Operator::Equal, 5)], true),
        (vec![md5(), size(Operator::Less, 5)], false),
        (vec![other(), sha1()], false),
        (vec![sha1(), name(false, "b.exe")], false),
        (vec![name(false, "b.exe"), size(Operator::Equal, 5)], false),
        (
            vec![Condition::Any(vec![md5(), other()]), name(false, "a.exe")],
            true,
        ),
        // The identifying test is in the other alternative.
        (
            vec![Condition::Any(vec![
                Condition::All(vec![md5(), other()]),
                Condition::All(vec![name(false, "a.exe"), size(Operator::Equal, 5)]),
            ])],
            false,
        ),
    ] {
        let condition = Condition::All(condition);
        assert_eq!(holds(&condition, &event), expected, "{condition:?}");
    }
}

#[test]
fn very_many_objects_and_tests_do_not_take_long() {
    let names: Vec<String> = (0..2000).map(|n| format!("\"h{n}.example\"")).collect();
    let event = format!(r#"{{"answers": [{}]}}"#, names.join(","));
    let tests = |range: std::ops::Range<usize>| {
        let names = range.map(|n| {
            let name = format!("h{n}.example");
            about(
                Subject::Domain,
                TestedPlace::Kind(Kind::Domain),
                n % 2 == 0,
                domain(&name),
            )
        });
        Condition::Any(names.collect())
    };
    let condition = Condition::All((0..20).map(|n| tests(n * 20..n * 20 + 20)).collect());
    let started = std::time::Instant::now();
    assert!(holds(&condition, &event));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
