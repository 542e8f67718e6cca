use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::not_yet_valid::MOST_NOT_YET_VALID;
use super::*;
use crate::indicator::{Protocol, Validity};
use crate::observable::Observable;
use crate::process::stop::Stop;
use crate::state::journal::Journal;

type Held = (Arc<Indicator>, Option<Ticket>, Option<Expiry>);

/// A table of so many at the most.
struct Plain {
    held: BTreeMap<Arc<str>, Held>,
    most: usize,
}

impl Plain {
    fn new(most: usize) -> Self {
        Plain {
            held: BTreeMap::new(),
            most,
        }
    }

    fn values(&self) -> BTreeMap<String, String> {
        let held = self.held.iter();
        held.map(|(id, (one, ..))| (id.to_string(), one.ioc[0].clone()))
            .collect()
    }
}

impl Table for Plain {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        if let Some(known) = self.held.get_mut(&indicator.id) {
            if known.0.searches_the_same(&indicator) {
                known.2 = end;
                return PutOutcome::Repeated;
            }
        }
        self.remove(&indicator.id);
        if self.held.len() >= self.most {
            return PutOutcome::Full(NoRoom::Memory);
        }
        let id = indicator.id.clone();
        self.held.insert(id, (indicator, ticket, end));
        PutOutcome::Added
    }

    fn remove(&mut self, id: &str) -> bool {
        self.held.remove(id).is_some()
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.held.get(id)?.2
    }

    fn len(&self) -> usize {
        self.held.len()
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

fn indicator(id: &str, value: &str, from: Option<u64>, until: Option<u64>) -> Indicator {
    let time = |second: u64| OffsetDateTime::from(at(second));
    Indicator {
        validity: Validity::between(from.map(time), until.map(time)),
        ioc: vec![value.to_owned()],
        ..Indicator::new(id.into(), Protocol::Stix2, vec![Observable::domain(value)])
    }
}

#[derive(Clone, Debug)]
enum Step {
    Comes(String, String, Option<u64>, Option<u64>),
    Goes(String),
    Passes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || "([1-4]|an id that has no short form)";
    let time = || prop::option::of(0u64..40);
    let step = prop_oneof![
        4 => (id(), "[abc]", time(), time())
            .prop_map(|(id, value, from, time)| {
                // An end lies behind its beginning.
                let until = time.map(|time| from.map_or(time, |from| from + 1 + time));
                Step::Comes(id, value, from, until)
            }),
        1 => id().prop_map(Step::Goes),
        3 => (0u64..6).prop_map(Step::Passes),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Against what the last version of each indicator says of the present time.
    #[test]
    fn what_is_searched_is_the_last_version_if_it_is_valid(steps in steps()) {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let stop = Stop::new().expect("two socket pairs");
        let (journal, _, _) = Journal::open(&path, &stop).expect("opened");
        let mut table = Plain::new(usize::MAX);
        let mut life = Life::new(at(0));
        let mut last: BTreeMap<String, (String, Option<u64>, Option<u64>)> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            let input = match step {
                Step::Comes(id, value, from, until) => {
                    last.insert(id.clone(), (value.clone(), from, until));
                    let ticket = journal.begin(id.as_bytes());
                    Input::Came(indicator(&id, &value, from, until).into(), Some(ticket))
                }
                Step::Goes(id) => {
                    last.remove(&id);
                    Input::Withdrawn(id.as_str().into())
                }
                Step::Passes(seconds) => {
                    let sleep = life.sleep(at(now));
                    now += seconds;
                    if Duration::from_secs(seconds) < sleep {
                        let outputs = life.step(at(now), Input::Time, &mut table);
                        prop_assert_eq!(outputs, vec![], "woken for nothing");
                    }
                    Input::Time
                }
            };
            life.step(at(now), input, &mut table);
            let is_valid = |(_, from, until): &(String, Option<u64>, Option<u64>)| {
                from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until)
            };
            let valid = last.iter().filter(|(_, version)| is_valid(version));
            let expected: BTreeMap<String, String> = valid
                .map(|(id, (value, ..))| (id.clone(), value.clone()))
                .collect();
            prop_assert_eq!(table.values(), expected);
        }
        // Every indicator that is unknown by now has its entry closed.
        let known = table.len() + life.not_yet_valid();
        let later: BTreeSet<String> = last
            .iter()
            .filter(|(_, (_, from, _))| from.is_some_and(|from| from > now))
            .map(|(id, _)| id.clone())
            .collect();
        prop_assert_eq!(life.not_yet_valid(), later.len());
        stop.drain(Duration::ZERO);
        drop((table, life));
        let (_, left_over, _) = Journal::open(&path, &stop).expect("opened");
        prop_assert_eq!(left_over.len(), known);
    }
}

fn outputs(life: &mut Life, table: &mut Plain, now: u64, input: Input) -> Vec<Output> {
    life.step(at(now), input, table)
}

#[test]
fn each_step_reports_its_outcome() {
    let (mut life, mut table) = (Life::new(at(0)), Plain::new(1));
    let id = |id: &str| Arc::<str>::from(id);
    let came = |name: &str, value: &str, from, until| {
        Input::Came(indicator(name, value, from, until).into(), None)
    };
    let mut step = |now, input| outputs(&mut life, &mut table, now, input);
    assert_eq!(
        step(0, came("1", "a", None, Some(10))),
        [Output::Searched(id("1"))]
    );
    assert_eq!(
        step(1, came("1", "a", None, Some(20))),
        [Output::Repeated(id("1"))]
    );
    let full = Output::Dropped(id("2"), NoRoom::Memory);
    assert_eq!(step(2, came("2", "b", None, None)), [full]);
    assert_eq!(step(10, Input::Time), []);
    assert_eq!(
        step(11, came("3", "c", Some(20), None)),
        [Output::NotYetValid(id("3"))]
    );
    let both = [Output::Expired(id("1")), Output::Searched(id("3"))];
    assert_eq!(step(20, Input::Time), both);
    assert_eq!(
        step(20, Input::Withdrawn(id("3"))),
        [Output::Withdrawn(id("3"))]
    );
    assert_eq!(step(20, Input::Withdrawn(id("3"))), []);
    let over = Output::Inactive(id("1"), ValidityState::Expired);
    assert_eq!(step(20, came("1", "a", None, Some(10))), [over]);
}

#[test]
fn what_finds_no_room_also_removes_its_earlier_version() {
    let (mut life, mut table) = (Life::new(at(0)), Plain::new(2));
    for (name, value) in [("1", "a"), ("2", "b")] {
        let input = Input::Came(indicator(name, value, None, None).into(), None);
        outputs(&mut life, &mut table, 0, input);
    }
    table.most = 0;
    let input = Input::Came(indicator("1", "c", None, None).into(), None);
    outputs(&mut life, &mut table, 0, input);
    assert_eq!(table.values().into_keys().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn what_is_not_yet_valid_and_finds_no_room_is_dropped() {
    let (mut life, mut table) = (Life::new(at(0)), Plain::new(9));
    let came = |name: &str, from| Input::Came(indicator(name, "a", from, None).into(), None);
    outputs(&mut life, &mut table, 0, came("x", None));
    for number in 0..MOST_NOT_YET_VALID {
        let name = number.to_string();
        let later = [Output::NotYetValid(name.as_str().into())];
        let output = outputs(&mut life, &mut table, 0, came(&name, Some(10)));
        assert_eq!(output, later);
    }
    let full = [Output::Dropped("x".into(), NoRoom::NotYetValid)];
    let output = outputs(&mut life, &mut table, 0, came("x", Some(10)));
    assert_eq!(output, full);
    // Its earlier version is outdated.
    assert_eq!((table.len(), life.not_yet_valid()), (0, MOST_NOT_YET_VALID));
}

#[test]
fn ends_last_for_years_and_void_ones_do_not_pile_up() {
    const YEAR: u64 = 365 * 86_400;
    let (mut life, mut table) = (Life::new(at(0)), Plain::new(9));
    for round in 0..10_000 {
        let until = Some(12 * YEAR - round);
        let input = Input::Came(indicator("1", "a", None, until).into(), None);
        outputs(&mut life, &mut table, 0, input);
    }
    assert!(life.ends.len() < 2_000);
    let end = 12 * YEAR - 9_999;
    assert_eq!(outputs(&mut life, &mut table, end - 1, Input::Time), []);
    let expired = outputs(&mut life, &mut table, end, Input::Time);
    assert_eq!(expired, [Output::Expired("1".into())]);
    assert_eq!(size_of::<Option<Expiry>>(), 4);
}
