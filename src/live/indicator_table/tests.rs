use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::indicator::Validity;
use crate::intake::{Input, Life, Output, Table};
use crate::matching::Concepts;
use crate::matching::Meaning;
use crate::state::journal::Ticket;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn table() -> IndicatorTable {
    IndicatorTable::new(Meaning::default(), Box::new(Concepts::shared()), now())
}

fn add(table: &mut IndicatorTable, id: &str, values: &[&str]) -> PutOutcome {
    table.put(
        &Indicator::of_domains(id, values),
        None,
        now(),
        &mut Vec::new(),
    )
}

fn matches(table: &mut IndicatorTable, line: &str) -> Vec<String> {
    let mut matched = Vec::new();
    let clarity = table.matches("", line, &mut matched);
    assert_eq!(clarity.expect("an event"), Clarity::Clear);
    let mut ids: Vec<String> = matched
        .iter()
        .map(|one| one.indicator.id.to_string())
        .collect();
    ids.sort();
    ids
}

#[test]
fn an_event_matches_an_indicator_once() {
    let mut table = table();
    assert_eq!(add(&mut table, "1", &["a", "b"]), PutOutcome::Added);
    assert_eq!(add(&mut table, "2", &["b", "b"]), PutOutcome::Added);
    assert_eq!(add(&mut table, "1", &["a", "b"]), PutOutcome::Repeated);
    assert_eq!(
        matches(&mut table, r#"{"host": "a", "query": "b"}"#),
        ["1", "2"]
    );
    assert_eq!(matches(&mut table, r#"{"host": "a"}"#), ["1"]);
    assert!(matches(&mut table, r#"{"uri": "a"}"#).is_empty());
    assert!(table.matches("", "{", &mut Vec::new()).is_err());
}

#[test]
fn only_what_no_other_indicator_has_is_a_change() {
    let mut table = table();
    let mut changes = Vec::new();
    for (id, values) in [("1", &["a", "b"][..]), ("2", &["b"])] {
        table.put(
            &Indicator::of_domains(id, values),
            None,
            now(),
            &mut changes,
        );
    }
    let value = Observable::domain;
    assert_eq!(
        std::mem::take(&mut changes),
        [
            Change::Add(value("a"), "1".into()),
            Change::Add(value("b"), "1".into())
        ]
    );
    assert_eq!(table.remove("1", &mut changes), 2);
    assert_eq!(std::mem::take(&mut changes), [Change::Remove(value("a"))]);
    assert_eq!(table.remove("1", &mut changes), 0);
    assert_eq!(table.remove("2", &mut changes), 1);
    assert_eq!(changes, [Change::Remove(value("b"))]);
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
        assert_eq!(
            table.put(&one, None, now(), &mut Vec::new()),
            PutOutcome::Added
        );
    }
    let holders = table.holders(&[address]);
    let ids: Vec<&str> = holders.iter().map(|one| &*one.indicator.id).collect();
    assert_eq!(
        ids,
        ["7", long, "indicator--00000000-0000-4000-8000-000000000001"]
    );
    for one in &holders {
        assert_eq!(one.indicator.ioc, ["2001:DB8:0::1"]);
        assert_eq!(one.since, now());
    }
    assert!(table.with_id(long).is_some() && table.with_id("8").is_none());
    assert_eq!(table.remove(long, &mut Vec::new()), 1);
    assert!(table.with_id(long).is_none());
}

#[test]
fn a_new_version_replaces_the_old_one() {
    let mut table = table();
    let (mut life, mut changes) = (Life::new(now()), Vec::new());
    let at = |seconds: u64| now() + Duration::from_secs(seconds);
    let version = |values: &[&str], until: u64| Indicator {
        validity: Validity::between(None, Some(at(until).into())),
        ..Indicator::of_domains("1", values)
    };
    let mut step = |seconds: u64, input: Input| {
        let mut table = Timed(&mut table, at(seconds), &mut changes);
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
        matches(&mut table, r#"{"host": "b", "query": "a"}"#),
        ["1", "2"]
    );
    assert!(matches(&mut table, r#"{"host": "a"}"#).is_empty());
    assert_eq!(matches(&mut table, r#"{"host": "c"}"#), ["1"]);
    let since = |table: &IndicatorTable, value| {
        let holders = table.holders(&[Observable::domain(value)]);
        holders.first().map(|one| one.since)
    };
    assert_eq!(
        (since(&table, "b"), since(&table, "c")),
        (Some(now()), Some(at(1)))
    );
    // Shortened, for all of its values.
    let mut step = |seconds: u64, input: Input| {
        let mut table = Timed(&mut table, at(seconds), &mut changes);
        life.step(at(seconds), input, &mut table)
    };
    step(11, Input::Came(version(&["b", "c"], 12).into(), None));
    assert_eq!(step(12, Input::Time), [Output::Expired("1".into())]);
    let value = Observable::domain;
    assert_eq!(
        changes,
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
struct Timed<'a>(&'a mut IndicatorTable, SystemTime, &'a mut Vec<Change>);

impl Table for Timed<'_> {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        _: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        self.0.put(&indicator, end, self.1, self.2)
    }

    fn remove(&mut self, id: &str) -> bool {
        self.0.remove(id, self.2) > 0
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
            let mut changes = Vec::new();
            if adds {
                let names: Vec<&str> = values.iter().map(String::as_str).collect();
                table.put(&Indicator::of_domains(&id, &names), None, now(), &mut changes);
                model.insert(id, values.into_iter().collect());
            } else {
                table.remove(&id, &mut changes);
                model.remove(&id);
            }
            for change in changes {
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
                prop_assert_eq!(matches(&mut table, &line), expected.clone());
                prop_assert_eq!(held.contains(&Observable::domain(value)), !expected.is_empty());
            }
        }
    }
}

#[test]
fn what_no_value_leads_to_is_checked_in_every_event() {
    use crate::indicator::Selection;
    use crate::matching::condition::{
        Check, Condition, Field, MOST_UNLISTED, Order, Test, TestedPlace,
    };
    let port = |id: &str, port: u64| Indicator {
        observables: vec![],
        selection: Some(Arc::new(Selection::Number(
            Field::DestinationPort,
            Order::Equal,
            port,
        ))),
        condition: Some(Arc::new(Condition::Test(Test::new(
            TestedPlace::Field(Field::DestinationPort),
            Check::Number(Order::Equal, vec![port.into()]),
        )))),
        ..Indicator::of_domains(id, &["4444"])
    };
    let mut table = table();
    let add = |table: &mut IndicatorTable, one: &Indicator| {
        let mut changes = Vec::new();
        let put = table.put(one, None, now(), &mut changes);
        assert!(changes.is_empty());
        put
    };
    assert_eq!(add(&mut table, &port("1", 80)), PutOutcome::Added);
    assert_eq!(add(&mut table, &port("1", 80)), PutOutcome::Repeated);
    assert_eq!(add(&mut table, &port("2", 8443)), PutOutcome::Added);
    assert_eq!(add(&mut table, &port("2", 443)), PutOutcome::Added);
    let line = r#"{"dest_port": 80}"#;
    assert_eq!(matches(&mut table, line), ["1"]);
    assert!(matches(&mut table, r#"{"dest_port": 81}"#).is_empty());
    assert_eq!(table.selections().len(), 2);
    assert!(table.with_id("2").is_some());
    assert_eq!(table.len(), 2);
    assert_eq!(table.remove("1", &mut Vec::new()), 1);
    assert!(matches(&mut table, line).is_empty());
    assert_eq!(table.remove("2", &mut Vec::new()), 1);
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
    let changes = &mut Vec::new();
    assert_eq!(
        table.put(&named("b.exe"), None, now(), changes),
        PutOutcome::Added
    );
    assert_eq!(
        table.put(&named("b.exe"), None, now(), changes),
        PutOutcome::Repeated
    );
    let count = |table: &mut IndicatorTable, file: &str| {
        let line = format!(r#"{{"host": "a.example", "fileinfo.filename": "{file}"}}"#);
        let mut matched = Vec::new();
        let clarity = table.matches("", &line, &mut matched);
        assert_eq!(clarity.expect("an event"), Clarity::Clear);
        matched.len()
    };
    assert_eq!(count(&mut table, "/x/b.exe"), 1);
    assert_eq!(count(&mut table, "c.exe"), 0);
    // The last one counts.
    assert_eq!(
        table.put(&named("c.exe"), None, now(), changes),
        PutOutcome::Added
    );
    assert_eq!(count(&mut table, "c.exe"), 1);
    assert_eq!(count(&mut table, "b.exe"), 0);
    table.remove("1", changes);
    assert!(table.conditions.is_empty());
}
