use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::indicator::Validity;
use crate::intake::{Input, Life, Output, Table};
use crate::matching::{Clarity, Concepts};
use crate::state::journal::Ticket;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn table() -> IndicatorTable {
    let scope = Box::new(Concepts::shared());
    let mut table = IndicatorTable::for_engine(Meaning::default(), scope, now());
    table.keep_changes();
    table
}

/// The tables of both ways of matching.
fn both() -> [IndicatorTable; 2] {
    let for_logs = IndicatorTable::for_logs(true, Meaning::default(), now());
    [table(), for_logs]
}

fn put(table: &mut IndicatorTable, indicator: Indicator) -> PutOutcome {
    table.put(indicator.into(), None, now())
}

fn add(table: &mut IndicatorTable, id: &str, values: &[&str]) -> PutOutcome {
    put(table, Indicator::of_domains(id, values))
}

fn found(table: &IndicatorTable, line: &str) -> Vec<Arc<Indicator>> {
    let mut found = Vec::new();
    let clarity = table.matches("", line, &mut TableScratch::default(), |one| {
        found.push(one.indicator());
    });
    assert_eq!(clarity.expect("an event"), Clarity::Clear);
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

fn matches(table: &IndicatorTable, line: &str) -> Vec<String> {
    let found = found(table, line);
    found.iter().map(|one| one.id.to_string()).collect()
}

/// How many indicators are plain, and how many are kept whole.
fn kept(table: &IndicatorTable) -> (usize, usize) {
    let whole = table.wholes.len() - table.free_wholes.len();
    (table.len() - whole, whole)
}

#[test]
fn an_event_matches_an_indicator_once() {
    for mut table in both() {
        assert_eq!(add(&mut table, "1", &["a", "b"]), PutOutcome::Added);
        assert_eq!(add(&mut table, "2", &["b", "b"]), PutOutcome::Added);
        assert_eq!(add(&mut table, "1", &["a", "b"]), PutOutcome::Repeated);
        assert_eq!(
            matches(&table, r#"{"host": "a", "query": "b"}"#),
            ["1", "2"]
        );
        assert_eq!(matches(&table, r#"{"host": "a"}"#), ["1"]);
        assert!(matches(&table, r#"{"uri": "a"}"#).is_empty());
        assert_eq!((table.len(), table.value_count()), (2, 3));
        let scratch = &mut TableScratch::default();
        assert!(table.matches("", "{", scratch, |_| {}).is_err());
    }
}

#[test]
fn what_is_withdrawn_is_no_longer_matched() {
    for mut table in both() {
        add(&mut table, "1", &["a", "b"]);
        add(&mut table, "2", &["b"]);
        assert_eq!((table.remove("1"), table.remove("1")), (true, false));
        assert!(matches(&table, r#"{"host": "a", "query": "c"}"#).is_empty());
        assert_eq!(matches(&table, r#"{"host": "b"}"#), ["2"]);
        // The slots are reused for others.
        add(&mut table, "3", &["d"]);
        assert_eq!(matches(&table, r#"{"host": "d", "query": "a"}"#), ["3"]);
        table.remove("2");
        table.remove("3");
        assert_eq!((table.len(), table.bytes), (0, 0));
    }
}

#[test]
fn the_last_version_counts() {
    for mut table in both() {
        add(&mut table, "1", &["a", "b"]);
        assert_eq!(add(&mut table, "1", &["b", "c"]), PutOutcome::Added);
        assert!(matches(&table, r#"{"host": "a"}"#).is_empty());
        for value in ["b", "c"] {
            assert_eq!(
                matches(&table, &format!("{{\"host\": \"{value}\"}}")),
                ["1"]
            );
        }
        assert_eq!(table.len(), 1);
    }
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
        let mut table = table();
        for version in versions {
            assert_eq!(put(&mut table, version.clone()), PutOutcome::Added);
            assert_eq!(put(&mut table, version.clone()), PutOutcome::Repeated);
            let found = found(&table, r#"{"host": "a.example"}"#);
            assert_eq!((table.len(), found.len()), (1, 1));
            assert!(found[0].is_described_the_same(&version));
        }
        table.remove(ID);
        assert_eq!(table.bytes, 0);
    }
}

#[test]
fn an_indicator_that_is_plain_is_like_any_other() {
    for mut table in both() {
        let line = r#"{"host": "a.example"}"#;
        assert_eq!(add(&mut table, "1", &["a.example"]), PutOutcome::Added);
        assert_eq!(add(&mut table, "1", &["a.example"]), PutOutcome::Repeated);
        assert_eq!(kept(&table), (1, 0));
        assert_eq!(matches(&table, line), ["1"]);
        // Another one with the same value.
        assert_eq!(add(&mut table, "2", &["a.example"]), PutOutcome::Added);
        assert_eq!(kept(&table), (2, 0));
        assert_eq!(matches(&table, line), ["1", "2"]);
        assert_eq!(add(&mut table, "1", &["b.example"]), PutOutcome::Added);
        assert_eq!(add(&mut table, "1", &["c.example"]), PutOutcome::Added);
        assert_eq!(matches(&table, line), ["2"]);
        assert_eq!(
            add(&mut table, "1", &["c.example", "d.example"]),
            PutOutcome::Added
        );
        assert_eq!(kept(&table), (1, 1));
        assert_eq!(matches(&table, r#"{"host": "d.example"}"#), ["1"]);
        assert_eq!(add(&mut table, "1", &["c.example"]), PutOutcome::Added);
        assert_eq!(kept(&table), (2, 0));
        assert!(table.remove("1") && table.remove("2") && !table.remove("1"));
        assert!(table.is_empty() && matches(&table, line).is_empty());
        assert_eq!(table.bytes, 0);
    }
}

#[test]
fn only_what_no_other_indicator_has_is_a_change() {
    let mut table = table();
    for (id, values) in [("1", &["a", "b"][..]), ("2", &["b"])] {
        add(&mut table, id, values);
    }
    let value = Observable::domain;
    assert_eq!(
        table.take_changes(),
        [
            Change::Add(value("a"), "1".into()),
            Change::Add(value("b"), "1".into())
        ]
    );
    assert!(table.remove("1"));
    assert_eq!(table.take_changes(), [Change::Remove(value("a"))]);
    assert!(!table.remove("1"));
    assert!(table.remove("2"));
    assert_eq!(table.take_changes(), [Change::Remove(value("b"))]);
    assert!(table.is_empty());
    assert_eq!(table.bytes, 0);
}

#[test]
fn ids_and_values_come_back_as_they_came() {
    let mut table = table();
    let address: Observable = Observable::address("2001:db8::1".parse().expect("valid"));
    let long = "an id that is longer than any that has a short form";
    for id in [long, "indicator--00000000-0000-4000-8000-000000000001", "7"] {
        let one = Indicator {
            ioc: vec!["2001:DB8:0::1".to_owned()],
            ..Indicator::new(id.into(), Protocol::Stix2, vec![address.clone()])
        };
        assert_eq!(put(&mut table, one), PutOutcome::Added);
    }
    let holders = table.holders(&[address]);
    let ids: Vec<&str> = holders.iter().map(|one| &*one.id).collect();
    assert_eq!(
        ids,
        ["7", long, "indicator--00000000-0000-4000-8000-000000000001"]
    );
    for one in &holders {
        assert_eq!(one.ioc, ["2001:DB8:0::1"]);
        let known = table.with_id(&one.id).expect("it is there");
        assert_eq!((known.since(), known.id()), (now(), one.id.clone()));
    }
    assert!(table.with_id(long).is_some() && table.with_id("8").is_none());
    assert!(table.remove(long));
    assert!(table.with_id(long).is_none());
}

#[test]
fn a_new_version_replaces_the_old_one() {
    let mut table = table();
    let mut life = Life::new(now());
    let at = |seconds: u64| now() + Duration::from_secs(seconds);
    let version = |values: &[&str], until: u64| Indicator {
        validity: Validity::between(None, Some(at(until).into())),
        ..Indicator::of_domains("1", values)
    };
    let mut step = |seconds: u64, input: Input| {
        let mut table = Timed(&mut table, at(seconds));
        life.step(at(seconds), input, &mut table)
    };
    step(0, Input::Came(version(&["a", "b"], 10).into(), None));
    step(1, Input::Came(version(&["b", "c"], 20).into(), None));
    step(
        2,
        Input::Came(Indicator::of_domains("2", &["b"]).into(), None),
    );
    assert!(step(10, Input::Time).is_empty());
    assert_eq!(
        matches(&table, r#"{"host": "b", "query": "a"}"#),
        ["1", "2"]
    );
    assert!(matches(&table, r#"{"host": "a"}"#).is_empty());
    assert_eq!(matches(&table, r#"{"host": "c"}"#), ["1"]);
    let since = |table: &IndicatorTable, value| {
        let (mut since, line) = (None, format!("{{\"host\": \"{value}\"}}"));
        let first = |one: TableMatch<'_>| {
            since = since.or((&*one.id() == "1").then(|| one.since()));
        };
        let seen = table.matches("", &line, &mut TableScratch::default(), first);
        seen.map(|_| since).expect("an event")
    };
    assert_eq!(
        (since(&table, "b"), since(&table, "c")),
        (Some(now()), Some(at(1)))
    );
    // Shortened, for all of its values.
    let mut step = |seconds: u64, input: Input| {
        let mut table = Timed(&mut table, at(seconds));
        life.step(at(seconds), input, &mut table)
    };
    step(11, Input::Came(version(&["b", "c"], 12).into(), None));
    assert_eq!(step(12, Input::Time), [Output::Expired("1".into())]);
    let value = Observable::domain;
    assert_eq!(
        table.take_changes(),
        [
            Change::Add(value("a"), "1".into()),
            Change::Add(value("b"), "1".into()),
            Change::Add(value("c"), "1".into()),
            Change::Remove(value("a")),
            Change::Remove(value("c")),
        ]
    );
    assert_eq!(table.len(), 1);
}

/// A table at a point in time.
struct Timed<'a>(&'a mut IndicatorTable, SystemTime);

impl Table for Timed<'_> {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        _: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        self.0.put(indicator, end, self.1)
    }

    fn remove(&mut self, id: &str) -> bool {
        self.0.remove(id)
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.0.expiry_of(id)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn a_full_table_accepts_no_more() {
    let mut table = table();
    table.most_bytes = 0;
    assert_eq!(
        add(&mut table, "1", &["a"]),
        PutOutcome::Full(NoRoom::Memory)
    );
    assert!(table.is_empty());
}

#[test]
fn values_are_listed_in_pieces() {
    let mut table = table();
    for n in 0..10 {
        add(&mut table, &n.to_string(), &[&format!("{}.example", n / 2)]);
    }
    let (mut all, mut next) = (BTreeSet::new(), Some(0));
    while let Some(from) = next {
        let values;
        (values, next) = table.values(from, 2);
        assert!(values.len() <= 2);
        all.extend(values.into_iter().map(|(value, _)| value.to_string()));
    }
    assert_eq!(all.len(), 5);
}

proptest! {
    /// Compares with a plain map from ids to values.
    #[test]
    fn agrees_with_a_plain_map(
        steps in prop::collection::vec(
            (0u8..6, prop::collection::vec("[abc]", 1..3), any::<bool>()), 0..60),
    ) {
        let mut table = table();
        let mut model: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut held: BTreeSet<Observable> = BTreeSet::new();
        for (id, values, adds) in steps {
            let id = format!("{}{id}", if id > 3 { "a rather long name " } else { "" });
            if adds {
                let names: Vec<&str> = values.iter().map(String::as_str).collect();
                add(&mut table, &id, &names);
                model.insert(id, values.into_iter().collect());
            } else {
                table.remove(&id);
                model.remove(&id);
            }
            for change in table.take_changes() {
                match change {
                    Change::Add(value, _) => prop_assert!(held.insert(value)),
                    Change::Remove(value) => prop_assert!(held.remove(&value)),
                }
            }
            for value in ["a", "b", "c"] {
                let expected: Vec<String> = model
                    .iter()
                    .filter(|(_, values)| values.contains(value))
                    .map(|(id, _)| id.clone())
                    .collect();
                let line = format!("{{\"host\": \"{value}\"}}");
                prop_assert_eq!(matches(&table, &line), expected.clone());
                prop_assert_eq!(held.contains(&Observable::domain(value)), !expected.is_empty());
            }
            prop_assert_eq!(table.len(), model.len());
        }
        for id in model.keys() {
            table.remove(id);
        }
        prop_assert_eq!((table.bytes, table.value_count()), (0, 0));
    }
}

#[test]
fn what_no_value_leads_to_is_checked_in_every_event() {
    use crate::indicator::Selection;
    use crate::matching::condition::{
        Check, Condition, Field, MOST_UNLISTED, Operator, Test, TestedPlace,
    };
    let port = |id: &str, port: u64| Indicator {
        observables: vec![],
        selection: Some(Arc::new(Selection::Number(
            Field::DestinationPort,
            Operator::Equal,
            port,
        ))),
        condition: Some(Arc::new(Condition::Test(Test::new(
            TestedPlace::Field(Field::DestinationPort),
            Check::Number(Operator::Equal, vec![port.into()]),
        )))),
        ..Indicator::of_domains(id, &["4444"])
    };
    let mut table = table();
    let add = |table: &mut IndicatorTable, one: &Indicator| {
        let put = put(table, one.clone());
        assert!(table.take_changes().is_empty());
        put
    };
    assert_eq!(add(&mut table, &port("1", 80)), PutOutcome::Added);
    assert_eq!(add(&mut table, &port("1", 80)), PutOutcome::Repeated);
    assert_eq!(add(&mut table, &port("2", 8443)), PutOutcome::Added);
    assert_eq!(add(&mut table, &port("2", 443)), PutOutcome::Added);
    let line = r#"{"dest_port": 80}"#;
    assert_eq!(matches(&table, line), ["1"]);
    assert!(matches(&table, r#"{"dest_port": 81}"#).is_empty());
    assert_eq!(table.selections().len(), 2);
    assert!(table.with_id("2").is_some());
    assert_eq!(table.len(), 2);
    assert!(table.remove("1"));
    assert!(matches(&table, line).is_empty());
    assert!(table.remove("2"));
    assert!(table.is_empty());
    for number in 0..MOST_UNLISTED {
        assert_eq!(
            add(&mut table, &port(&number.to_string(), 1)),
            PutOutcome::Added
        );
    }
    assert_eq!(
        add(&mut table, &port("x", 1)),
        PutOutcome::Full(NoRoom::Checks)
    );
}

#[test]
fn what_else_an_event_has_to_be_like_is_checked() {
    use crate::matching::condition::{Condition, Test};
    let named = |name| Indicator {
        condition: Test::file_named(name).map(Condition::Test).map(Arc::new),
        ..Indicator::of_domains("1", &["a.example"])
    };
    let mut table = table();
    assert_eq!(put(&mut table, named("b.exe")), PutOutcome::Added);
    assert_eq!(put(&mut table, named("b.exe")), PutOutcome::Repeated);
    let count = |table: &IndicatorTable, file: &str| {
        let line = format!(r#"{{"host": "a.example", "fileinfo.filename": "{file}"}}"#);
        matches(table, &line).len()
    };
    assert_eq!(count(&table, "/x/b.exe"), 1);
    assert_eq!(count(&table, "c.exe"), 0);
    // The last one counts.
    assert_eq!(put(&mut table, named("c.exe")), PutOutcome::Added);
    assert_eq!(count(&table, "c.exe"), 1);
    assert_eq!(count(&table, "b.exe"), 0);
    table.remove("1");
    assert_eq!((kept(&table), table.bytes), ((0, 0), 0));
}

#[test]
fn what_has_no_value_to_look_up_is_beside_what_has_one() {
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
    for mut table in both() {
        assert_eq!(put(&mut table, own("1")), PutOutcome::Added);
        assert_eq!(put(&mut table, own("1")), PutOutcome::Repeated);
        add(&mut table, "2", &["b.evil"]);
        assert_eq!(matches(&table, r#"{"host": "a.evil"}"#), ["1"]);
        assert_eq!(matches(&table, r#"{"host": "b.evil"}"#), ["1", "2"]);
        assert!(matches(&table, r#"{"host": "evil"}"#).is_empty());
        assert!(table.remove("1"));
        assert_eq!(matches(&table, r#"{"host": "b.evil"}"#), ["2"]);
    }
}

#[test]
fn each_part_of_a_pattern_of_several_events_is_found() {
    use crate::protocol::stix;
    let message = |pattern: &str| {
        let object = serde_json::json!({
            "type": "indicator", "pattern": pattern,
            "id": "indicator--00000000-0000-4000-8000-000000000001",
        });
        match stix::message::read(&object.to_string()) {
            Ok(crate::indicator::Message::Match { indicator, .. }) => indicator,
            other => panic!("{other:?}"),
        }
    };
    let version = |other: &str| {
        message(&format!(
            "[domain-name:value = 'a'] AND [domain-name:value IN ('a', '{other}')]"
        ))
    };
    let parts = |table: &IndicatorTable, line: &str| {
        let mut parts = Vec::new();
        let seen = table.matches("", line, &mut TableScratch::default(), |one| {
            parts.push(one.part());
        });
        assert_eq!(seen.expect("an event"), Clarity::Clear);
        parts.sort_unstable();
        parts
    };
    let mut table = table();
    assert_eq!(put(&mut table, version("b")), PutOutcome::Added);
    assert_eq!(put(&mut table, version("b")), PutOutcome::Repeated);
    let line = r#"{"host": "a", "query": "b"}"#;
    assert_eq!(parts(&table, line), [Some(0), Some(1)]);
    assert_eq!(parts(&table, r#"{"query": "b"}"#), [Some(1)]);
    assert_eq!(put(&mut table, version("c")), PutOutcome::Added);
    assert!(parts(&table, r#"{"query": "b"}"#).is_empty());
    assert_eq!((table.len(), table.value_count()), (1, 3));
    assert!(table.remove("indicator--00000000-0000-4000-8000-000000000001"));
    assert!(parts(&table, line).is_empty());
    assert_eq!((table.value_count(), table.bytes), (0, 0));
}

#[test]
fn a_version_that_has_no_room_leaves_the_one_before() {
    let mut table = table();
    add(&mut table, "1", &["a"]);
    table.most_bytes = table.bytes;
    assert_eq!(
        add(&mut table, "2", &["b"]),
        PutOutcome::Full(NoRoom::Memory)
    );
    assert_eq!(add(&mut table, "1", &["b"]), PutOutcome::Added);
    let values = ["b", "c"];
    assert_eq!(
        add(&mut table, "1", &values),
        PutOutcome::Full(NoRoom::Memory)
    );
    assert_eq!(matches(&table, r#"{"host": "b"}"#), ["1"]);
}
