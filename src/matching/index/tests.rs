use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::observable::{Network, Property};

fn address(text: &str) -> Observable {
    Observable::address(text.parse().expect("an address"))
}

fn found(index: &Index, line: &str) -> Vec<(usize, String, bool)> {
    let mut found = IndexHits::default();
    index.scan(line, &mut found).expect("an event");
    let hits = found.hits();
    hits.map(|hit| (hit.slot.index(), hit.path.to_owned(), hit.in_list))
        .collect()
}

#[test]
fn equal_observables_share_a_slot() {
    let observables = [
        Observable::domain("a"),
        Observable::Url("a".into()),
        Observable::domain("a."),
        address("192.0.2.1"),
        address("::ffff:192.0.2.1"),
        Observable::Address("::ffff:192.0.2.1".parse().expect("an address")),
    ];
    let index = Index::new(&observables);
    assert_eq!(index.len(), 3);
    let slots: Vec<usize> = observables
        .iter()
        .map(|one| index.slot(one).expect("there").index())
        .collect();
    assert_eq!(slots, [0, 1, 0, 2, 2, 2]);
    assert_eq!(index.slot(&Observable::domain("b")), None);
}

#[test]
fn finds_every_occurrence_with_its_path() {
    let index = Index::new(&[
        Observable::domain("bücher.example"),
        address("2001:db8::1"),
        Observable::Url("".into()),
    ]);
    let line = r#"{"a": "b\u00fccher.example", "id": {"h": "2001:DB8:0:0::1"},
        "l": [1, ["bücher.example"], {"x": ""}], "bücher.example": null, "n": "2001:db8::2"}"#;
    let expected = [
        (0, "a", false),
        (1, "id.h", false),
        (0, "l", true),
        (2, "l.x", true),
    ];
    let expected = expected.map(|(slot, path, list)| (slot, path.to_owned(), list));
    assert_eq!(found(&index, line), expected);
}

#[test]
fn text_is_not_an_address_unless_all_of_it_is() {
    let index = Index::new(&[address("192.0.2.1"), address("::1")]);
    for text in [
        "192.0.2.1/32",
        " 192.0.2.1",
        "192.0.2.01",
        "192.0.2.1:80",
        "1",
        "::1%lo",
        ":",
    ] {
        let line = serde_json::json!({ "a": text }).to_string();
        assert!(found(&index, &line).is_empty(), "{text}");
    }
    assert_eq!(found(&index, r#"{"a": "0:0::0:1"}"#).len(), 1);
}

#[test]
fn text_of_four_bytes_is_no_address() {
    let index = Index::new(&[address("97.98.99.100"), Observable::domain("efgh")]);
    assert!(found(&index, r#"{"a": "abcd", "b": "101.102.103.104"}"#).is_empty());
}

#[test]
fn an_address_is_found_with_all_its_networks() {
    let network = |text: &str| Observable::network(Network::parse(text).expect("a network"));
    let observables = [
        network("192.0.2.0/24"),
        network("192.0.0.0/16"),
        address("192.0.2.1"),
        network("10.0.0.0/8"),
        network("::/0"),
    ];
    let mut index = Index::new(&observables);
    let slots = |index: &Index, line| {
        let mut slots: Vec<usize> = found(index, line).iter().map(|hit| hit.0).collect();
        slots.sort_unstable();
        slots
    };
    assert_eq!(slots(&index, r#"{"a": "192.0.2.1"}"#), [0, 1, 2, 4]);
    assert_eq!(slots(&index, r#"{"a": "2001:db8::1"}"#), [4]);
    assert!(slots(&index, r#"{"a": "192.0.2.0/24"}"#).is_empty());
    index.remove(&observables[1]);
    index.remove(&observables[4]);
    assert_eq!(slots(&index, r#"{"a": "192.0.2.1"}"#), [0, 2]);
    assert!(slots(&index, r#"{"a": "2001:db8::1"}"#).is_empty());
}

#[test]
fn an_error_leaves_nothing_found() {
    let index = Index::new(&[Observable::domain("a")]);
    let mut found = IndexHits::default();
    let line = r#"{"event_type": "a", "x": }"#;
    assert!(index.scan(line, &mut found).is_err());
    assert!(found.is_empty() && found.event_type().is_none());
}

#[test]
fn memory_of_removed_text_is_freed() {
    let mut index = Index::default();
    let name = |n: usize| Observable::domain(&format!("{n}.some-what-longer.example"));
    for round in 0..20 {
        for n in 0..5_000 {
            index.insert(&name(round * 5_000 + n));
        }
        for n in 0..4_999 {
            assert!(index.remove(&name(round * 5_000 + n)).is_some());
        }
    }
    assert_eq!(index.len(), 20);
    assert!(index.places.len() < 5_100 && index.bytes.len() < 512 * 1024);
    for round in 0..20 {
        let line = serde_json::json!({ "a": name(round * 5_000 + 4_999).to_string() });
        assert_eq!(found(&index, &line.to_string()).len(), 1);
    }
}

fn observable() -> impl Strategy<Value = Observable> {
    prop_oneof![
        "[ab]{0,3}".prop_map(|text| Observable::Domain(text.into())),
        "[ab]{0,3}".prop_map(|text| Observable::Url(text.into())),
        (0u8..4).prop_map(|n| Observable::address([192, 0, 2, n].into())),
        (0u8..4, 120u8..128)
            .prop_map(|(n, length)| Network::new([192, 0, 2, n].into(), length))
            .prop_map(Observable::network),
        "[ab]{0,3}".prop_map(|text| Observable::Text(Property::FileName, text.into())),
    ]
}

proptest! {
    /// Compares with a map that stores the observable of each slot.
    #[test]
    fn keeps_what_was_inserted_and_not_removed(
        changes in prop::collection::vec((observable(), any::<bool>()), 0..60),
    ) {
        let mut index = Index::default();
        let mut model: HashMap<Observable, Slot> = HashMap::new();
        for (observable, add) in changes {
            if add {
                let slot = index.insert(&observable);
                prop_assert_eq!(*model.entry(observable).or_insert(slot), slot);
            } else {
                prop_assert_eq!(index.remove(&observable), model.remove(&observable));
            }
            // Half of the time, so that both kinds of state occur.
            if add && index.len() % 2 == 0 {
                index.compact();
            }
        }
        prop_assert_eq!(index.len(), model.len());
        let distinct: BTreeSet<Slot> = model.values().copied().collect();
        prop_assert_eq!(distinct.len(), model.len());
        for (observable, &slot) in &model {
            prop_assert_eq!(index.slot(observable), Some(slot));
            prop_assert_eq!(&index.observable(slot), observable);
            let value = match observable {
                Observable::Network(network) => network.first().to_string(),
                other => other.to_string(),
            };
            let line = serde_json::json!({ "a": value }).to_string();
            let hits = found(&index, &line);
            prop_assert!(hits.iter().any(|hit| hit.0 == slot.index()));
        }
    }
}
