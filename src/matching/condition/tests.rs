use super::*;

fn test(place: Place, check: Check) -> Condition {
    Condition::Test(Test {
        place,
        negated: false,
        check,
    })
}

fn negated(place: Place, check: Check) -> Condition {
    Condition::Test(Test {
        place,
        negated: true,
        check,
    })
}

const EVENT: &str = r#"{"ts": "2024-03-05T09:00:00.250000000", "host": "a.example",
    "id": {"orig_h": "192.0.2.1", "resp_h": "198.51.100.7", "resp_p": 80},
    "id.orig_p": "1024/tcp", "user_agent": "192.0.2.77", "answers": ["203.0.113.1"],
    "proto": "tcp", "fileinfo.filename": "/x/b.exe", "nothing": null}"#;

#[test]
fn tests_look_where_the_property_stands() {
    let network = |text: &str| Check::Networks(vec![Network::parse(text).expect("a network")]);
    let texts = |text: &str| vec![text.to_owned()];
    let any = Place::Kind(Kind::Address);
    let field = Place::Field;
    for (condition, expected) in [
        (test(any, network("192.0.2.0/24")), true),
        (test(any, network("192.0.2.77/32")), false),
        (test(any, network("203.0.113.1/32")), false),
        (
            test(field(Field::SourceAddress), network("192.0.2.1/32")),
            true,
        ),
        (
            test(field(Field::DestinationAddress), network("192.0.2.1/32")),
            false,
        ),
        (
            test(
                field(Field::DestinationPort),
                Check::Number(Order::Equal, vec![80]),
            ),
            true,
        ),
        (
            test(
                field(Field::SourcePort),
                Check::Number(Order::Greater, vec![1023]),
            ),
            true,
        ),
        (
            test(
                field(Field::SourcePort),
                Check::Number(Order::Less, vec![1024]),
            ),
            false,
        ),
        (test(field(Field::FileSize), Check::Exists), false),
        (
            test(field(Field::Protocol), Check::OneOfAnyCase(texts("TCP"))),
            true,
        ),
        (
            test(Place::Kind(Kind::Domain), Check::Like("a.%".into())),
            true,
        ),
        (test(Place::Kind(Kind::Url), Check::Like("%".into())), false),
        (
            negated(Place::Kind(Kind::Domain), Check::OneOf(texts("b"))),
            true,
        ),
        (
            negated(Place::Kind(Kind::Domain), Check::OneOf(texts("a.example"))),
            false,
        ),
        // What is not there passes no test, not even a negated one.
        (
            negated(Place::Kind(Kind::Url), Check::OneOf(texts("b"))),
            false,
        ),
        (Condition::Test(Test::file_named("b.exe")), true),
        (Condition::Test(Test::file_named(".exe")), false),
    ] {
        assert_eq!(
            condition.holds(EVENT, &Concepts::built_in()),
            expected,
            "{condition:?}"
        );
    }
}

#[test]
fn parts_join_and_times_bound() {
    let yes = test(Place::Kind(Kind::Domain), Check::Exists);
    let no = test(Place::Kind(Kind::Url), Check::Exists);
    for (condition, expected) in [
        (Condition::All(vec![yes.clone(), no.clone()]), false),
        (Condition::Any(vec![no.clone(), yes.clone()]), true),
        (Condition::All(vec![]), true),
        (Condition::Any(vec![]), false),
    ] {
        assert_eq!(
            condition.holds(EVENT, &Concepts::built_in()),
            expected,
            "{condition:?}"
        );
    }
    let time = |text| crate::indicator::timestamp(text).expect("a time");
    let (at, later) = (
        time("2024-03-05T09:00:00.25Z"),
        time("2024-03-05T09:00:01Z"),
    );
    assert!(Condition::During(at, later).holds(EVENT, &Concepts::built_in()));
    assert!(!Condition::During(later, later).holds(EVENT, &Concepts::built_in()));
    assert!(
        !Condition::During(time("2020-01-01T00:00:00Z"), at).holds(EVENT, &Concepts::built_in())
    );
    assert!(!Condition::During(at, later).holds("{}", &Concepts::built_in()));
    assert!(!Condition::All(vec![]).holds("no event", &Concepts::built_in()));
}
