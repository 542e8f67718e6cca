use super::*;

fn add(list: &mut Watchlist, indicator: Indicator) -> PutOutcome {
    list.put(indicator.into(), None, None)
}

fn matches(list: &Watchlist, line: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let shown = list.matches(line, &mut Scratch::default(), |watched| {
        ids.push(watched.indicator.id.to_string());
    });
    shown.expect("an event");
    ids.sort();
    ids
}

#[test]
fn an_event_matches_an_indicator_once() {
    let mut list = Watchlist::new(true, Meaning::default());
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["a", "b"])),
        PutOutcome::Added
    );
    assert_eq!(
        add(&mut list, Indicator::of_domains("2", &["b", "b"])),
        PutOutcome::Added
    );
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["a", "b"])),
        PutOutcome::Repeated
    );
    assert_eq!(matches(&list, r#"{"host": "a", "query": "b"}"#), ["1", "2"]);
    assert_eq!(matches(&list, r#"{"host": "a"}"#), ["1"]);
    assert!(matches(&list, r#"{"uri": "a"}"#).is_empty());
    assert_eq!(list.len(), 2);
}

#[test]
fn what_is_withdrawn_is_no_longer_matched() {
    let mut list = Watchlist::new(true, Meaning::default());
    add(&mut list, Indicator::of_domains("1", &["a", "b"]));
    add(&mut list, Indicator::of_domains("2", &["b"]));
    assert_eq!((list.remove("1"), list.remove("1")), (true, false));
    assert!(matches(&list, r#"{"host": "a", "query": "c"}"#).is_empty());
    assert_eq!(matches(&list, r#"{"host": "b"}"#), ["2"]);
    // The slots are reused for others.
    add(&mut list, Indicator::of_domains("3", &["d"]));
    assert_eq!(matches(&list, r#"{"host": "d", "query": "a"}"#), ["3"]);
    list.remove("2");
    list.remove("3");
    assert_eq!((list.len(), list.bytes), (0, 0));
}

#[test]
fn the_last_version_counts() {
    let mut list = Watchlist::new(true, Meaning::default());
    add(&mut list, Indicator::of_domains("1", &["a", "b"]));
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["b", "c"])),
        PutOutcome::Added
    );
    assert!(matches(&list, r#"{"host": "a"}"#).is_empty());
    for value in ["b", "c"] {
        assert_eq!(matches(&list, &format!("{{\"host\": \"{value}\"}}")), ["1"]);
    }
    assert_eq!(list.len(), 1);
}

#[test]
fn what_a_feed_says_of_an_indicator_is_replaced_with_it() {
    const ID: &str = "indicator--00000000-0000-4000-8000-00000000000a";
    let says = |properties: &str| Indicator {
        properties: Some(serde_json::from_str(properties).expect("JSON")),
        ..Indicator::of_domains(ID, &["a.example"])
    };
    let is_named = |original: &str| Indicator {
        original: Some(serde_json::from_str(original).expect("JSON")),
        ..Indicator::of_domains(ID, &["a.example"])
    };
    for versions in [
        [says(r#"{"c":"x"}"#), says(r#"{"c":"y"}"#)],
        [is_named(r#"{"name":"x"}"#), is_named(r#"{"name":"y"}"#)],
    ] {
        let mut list = Watchlist::new(true, Meaning::default());
        for version in versions {
            assert_eq!(add(&mut list, version.clone()), PutOutcome::Added);
            assert_eq!(add(&mut list, version.clone()), PutOutcome::Repeated);
            let mut found = Vec::new();
            let event = r#"{"host": "a.example"}"#;
            let shown = list.matches(event, &mut Scratch::default(), |watched| {
                found.push(watched.indicator.is_described_the_same(&version));
            });
            shown.expect("an event");
            assert_eq!((list.len(), found), (1, vec![true]));
        }
    }
}

#[test]
fn what_has_no_value_to_look_up_is_checked_in_every_event() {
    use crate::indicator::Selection;
    use crate::matching::condition::{Check, Condition, Like, Test, TestedPlace};
    use crate::observable::Kind;
    let own = |id: &str| Indicator {
        selection: Some(Arc::new(Selection::Contains(Kind::Domain, ".evil".into()))),
        condition: Some(Arc::new(Condition::Test(Test::new(
            TestedPlace::Kind(Kind::Domain),
            Check::Like(Like::new("%.evil", true)),
        )))),
        ..Indicator::of_domains(id, &[])
    };
    let mut list = Watchlist::new(true, Meaning::default());
    assert_eq!(add(&mut list, own("1")), PutOutcome::Added);
    assert_eq!(add(&mut list, own("1")), PutOutcome::Repeated);
    add(&mut list, Indicator::of_domains("2", &["b.evil"]));
    assert_eq!(matches(&list, r#"{"host": "a.evil"}"#), ["1"]);
    assert_eq!(matches(&list, r#"{"host": "b.evil"}"#), ["1", "2"]);
    assert!(matches(&list, r#"{"host": "evil"}"#).is_empty());
    assert!(list.remove("1"));
    assert_eq!(matches(&list, r#"{"host": "b.evil"}"#), ["2"]);
    for number in 0..MOST_UNLISTED {
        assert_eq!(add(&mut list, own(&number.to_string())), PutOutcome::Added);
    }
    assert_eq!(add(&mut list, own("x")), PutOutcome::Full(NoRoom::Checks));
}

#[test]
fn an_indicator_that_is_plain_is_like_any_other() {
    let mut list = Watchlist::new(true, Meaning::default());
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["a.example"])),
        PutOutcome::Added
    );
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["a.example"])),
        PutOutcome::Repeated
    );
    assert_eq!((list.plain.len(), list.by_id.len(), list.len()), (1, 0, 1));
    let line = r#"{"host": "a.example"}"#;
    assert_eq!(matches(&list, line), ["1"]);
    // Another one with the same value: now neither is plain.
    assert_eq!(
        add(&mut list, Indicator::of_domains("2", &["a.example"])),
        PutOutcome::Added
    );
    assert_eq!((list.plain.len(), list.by_id.len()), (0, 2));
    assert_eq!(matches(&list, line), ["1", "2"]);
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["b.example"])),
        PutOutcome::Added
    );
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["c.example"])),
        PutOutcome::Added
    );
    assert_eq!(matches(&list, line), ["2"]);
    assert_eq!(
        add(
            &mut list,
            Indicator::of_domains("1", &["c.example", "d.example"])
        ),
        PutOutcome::Added
    );
    assert_eq!(matches(&list, r#"{"host": "d.example"}"#), ["1"]);
    assert!(list.remove("1") && list.remove("2") && !list.remove("1"));
    assert!(list.is_empty() && matches(&list, line).is_empty());
    assert_eq!(list.bytes, 0);
}

#[test]
fn a_full_list_accepts_no_more() {
    let mut list = Watchlist::new(true, Meaning::default());
    list.most_bytes = 0;
    assert_eq!(
        add(&mut list, Indicator::of_domains("1", &["a"])),
        PutOutcome::Full(NoRoom::Memory)
    );
    assert!(matches(&list, r#"{"host": "a"}"#).is_empty());
}

#[test]
fn sightings_are_claimed_up_to_the_limit() {
    let watched = Watched {
        part: None,
        indicator: Indicator::of_domains("1", &["a"]).into(),
        reported: AtomicU64::new(0),
    };
    let limit = NonZeroU64::new(2);
    let metrics = Metrics::default();
    let claim = |limit| watched.claim(limit, &metrics);
    assert!(claim(limit) && claim(limit) && !claim(limit));
    assert!(claim(None));
    assert_eq!(metrics.indicators_matched.get(), 1);
}
