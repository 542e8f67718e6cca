//! Batches have to give the same sightings as one query for each indicator, whatever goes wrong
//! on the way.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use proptest::prelude::*;

use super::batch_runner::{BatchRunner, Interruption};
use super::event_multiset::{EventBudget, Memory, fingerprint};
use super::queue::RetroRequest;
use crate::engine::{
    AnswerItem as Piece, Engine, EventLine, NotReady, QueryBounds, QueryOutcome, QueryTarget,
};
use crate::indicator::{Indicator, Protocol, Selection};
use crate::intake::Fates;
use crate::matching::Concepts;
use crate::matching::reference::{self, CONCEPTS, Event, Style};
use crate::observable::Observable;
use crate::observe::metrics::Metrics;
use crate::process::child::Flow;
use crate::process::stop::Stop;
use crate::sighting::message::{CommandRun, WriterMessage};
use crate::sighting::report::{Destination, ReportSettings, Reporter};

/// An engine in memory that evaluates each observable alone, with faults that it is given.
#[derive(Debug, Default)]
struct Plain {
    events: Vec<(Event, String)>,
    /// A query with one of these is refused.
    refused: HashSet<Observable>,
    /// A query with one of these prints half of its lines, and then runs into its time limit.
    hanging: HashSet<Observable>,
    /// How the next queries end: after how many lines, and whether because the node is gone
    /// (`true`) or because the query failed.
    troubles: RefCell<Vec<(usize, bool)>>,
    /// How many queries there were: each answer begins at another event.
    queries: Cell<usize>,
    /// The limits of the queries that timed out, by their number of observables.
    limits: RefCell<Vec<(usize, Option<Duration>)>>,
}

impl Plain {
    fn matches(&self, observables: &[&Observable]) -> Vec<&str> {
        let matching = self.events.iter().filter(|(event, _)| {
            let mut observables = observables.iter();
            observables.any(|observable| event.matches(observable))
        });
        matching.map(|(_, line)| line.as_str()).collect()
    }

    fn selected(&self, selection: &Selection) -> Vec<&str> {
        let events = self.events.iter();
        let selected = events.filter(|(event, _)| event.is_selected(selection));
        selected.map(|(_, line)| line.as_str()).collect()
    }

    fn ending(&self, observables: &[&Observable], lines: usize) -> (usize, QueryOutcome) {
        let holds = |set: &HashSet<Observable>| observables.iter().any(|one| set.contains(one));
        if holds(&self.refused) {
            return (
                0,
                QueryOutcome::Refused("exit status 1: !! parse_error".to_owned()),
            );
        }
        if holds(&self.hanging) {
            return (lines / 2, QueryOutcome::TimedOut);
        }
        match self.troubles.borrow_mut().pop() {
            Some((after, true)) if after < lines => {
                (after, QueryOutcome::Unreachable("gone".to_owned()))
            }
            Some((after, false)) if after < lines => {
                (after, QueryOutcome::Broken("signal 9".to_owned()))
            }
            _ => (lines, QueryOutcome::Complete),
        }
    }
}

impl Engine for Plain {
    fn title(&self) -> &'static str {
        "the engine"
    }

    fn name(&self) -> String {
        "the engine in memory".to_owned()
    }

    fn version(&self) -> String {
        "0".to_owned()
    }

    fn probe_command(&self) -> String {
        "nothing".to_owned()
    }

    fn ready(&self, _: Duration, _: &Stop) -> Result<(), NotReady> {
        Ok(())
    }

    fn supports_selections(&self) -> bool {
        true
    }

    fn concepts(&self, _: &Stop) -> Arc<Concepts> {
        Arc::new(Concepts::parse(CONCEPTS).expect("a table"))
    }

    fn export(
        &self,
        target: QueryTarget<'_>,
        bounds: QueryBounds,
        _: &Stop,
        consume: &mut dyn FnMut(Piece<'_>) -> Flow,
    ) -> QueryOutcome {
        let query = self.queries.get() + 1;
        self.queries.set(query);
        let (observables, mut lines) = match target {
            QueryTarget::Values(observables) => (observables, self.matches(observables)),
            QueryTarget::Selection(selection) => (&[][..], self.selected(selection)),
        };
        if !lines.is_empty() {
            let middle = query % lines.len();
            lines.rotate_left(middle);
        }
        lines.truncate(bounds.events.map_or(usize::MAX, |most| most as usize));
        let (count, answer) = self.ending(observables, lines.len());
        if answer == QueryOutcome::TimedOut {
            let limit = (observables.len(), bounds.time);
            self.limits.borrow_mut().push(limit);
        }
        for (number, line) in lines[..count].iter().enumerate() {
            if consume(Piece::Line(EventLine {
                text: line,
                ..EventLine::default()
            })) == Flow::Enough
            {
                return QueryOutcome::Enough;
            }
            if number % 3 == 0 && consume(Piece::Pause) == Flow::Enough {
                return QueryOutcome::Enough;
            }
        }
        answer
    }
}

/// A batch that runs, and its results.
struct Run {
    engine: Plain,
    metrics: Arc<Metrics>,
    memory: Memory,
    max_events: Option<NonZeroU64>,
    timeout: Option<Duration>,
}

impl Run {
    fn of(engine: Plain) -> Self {
        Run {
            engine,
            metrics: Arc::default(),
            memory: Memory::default(),
            max_events: None,
            timeout: None,
        }
    }

    /// The events reported for each indicator, and how often each was. After an outage the batch
    /// is run again.
    fn sightings(&self, indicators: &[Vec<Observable>]) -> Vec<HashMap<String, usize>> {
        let requests = indicators
            .iter()
            .enumerate()
            .map(|(number, observables)| RetroRequest::new(indicator(number, observables)))
            .collect();
        self.sightings_of(vec![requests], indicators.len())
    }

    /// The same for several batches of requests, with this many indicators in all.
    fn sightings_of(
        &self,
        batches: Vec<Vec<RetroRequest>>,
        indicators: usize,
    ) -> Vec<HashMap<String, usize>> {
        let (sender, messages) = unbounded();
        let stop = Stop::new().expect("two socket pairs");
        let settings = // The only destination that names the indicator and keeps the text.
            ReportSettings::plain(Destination::Command);
        let mut reporter =
            Reporter::new(settings.into(), self.metrics.clone(), sender, stop.clone());
        let fates = Fates::new(self.metrics.clone());
        for mut requests in batches {
            loop {
                let mut runner = BatchRunner {
                    engine: &self.engine,
                    reporter: &mut reporter,
                    metrics: &self.metrics,
                    fates: &fates,
                    memory: &self.memory,
                    stop: &stop,
                    max_events: self.max_events,
                    timeout: self.timeout,
                };
                match runner.run(requests) {
                    Ok(()) => break,
                    Err((again, Interruption::Unreachable(_))) => requests = again,
                    Err((_, Interruption::Stopped)) => panic!("nobody stops it"),
                }
            }
        }
        drop(reporter);
        collect(&messages, indicators)
    }

    /// The result of one query for an indicator alone.
    fn expected(&self, observables: &[Observable]) -> HashMap<String, usize> {
        let queried: Vec<&Observable> = observables
            .iter()
            .filter(|one| !self.engine.refused.contains(one))
            .collect();
        let mut lines = HashMap::new();
        for line in self.engine.matches(&queried) {
            *lines.entry(line.to_owned()).or_insert(0) += 1;
        }
        lines
    }

    fn most(&self) -> usize {
        self.max_events
            .map_or(usize::MAX, |most| most.get() as usize)
    }
}

fn collect(messages: &Receiver<WriterMessage>, indicators: usize) -> Vec<HashMap<String, usize>> {
    let mut sightings = vec![HashMap::new(); indicators];
    for message in messages.try_iter() {
        let WriterMessage::Command(CommandRun {
            context, indicator, ..
        }) = message
        else {
            panic!("a message for another sink: {message:?}");
        };
        let number: usize = indicator.parse().expect("an id is a number here");
        *sightings[number]
            .entry(context.as_str().to_owned())
            .or_insert(0) += 1;
    }
    sightings
}

fn indicator(number: usize, observables: &[Observable]) -> Indicator {
    Indicator {
        ioc: vec!["the value".to_owned()],
        ..Indicator::new(
            number.to_string().into(),
            Protocol::Stix2,
            observables.to_vec(),
        )
    }
}

fn engine(events: Vec<Printed>) -> Plain {
    let print = |(event, style, hidden): Printed| {
        let line = if hidden {
            // Different events have to have different texts.
            format!("{{\"hidden\": {}}}", fingerprint(&format!("{event:?}")))
        } else {
            event.print(style)
        };
        (event, line)
    };
    Plain {
        events: events.into_iter().map(print).collect(),
        ..Plain::default()
    }
}

fn sum(sightings: &HashMap<String, usize>) -> usize {
    sightings.values().sum()
}

fn is_part_of(part: &HashMap<String, usize>, whole: &HashMap<String, usize>) -> bool {
    part.iter()
        .all(|(line, count)| whole.get(line) >= Some(count))
}

fn events() -> impl Strategy<Value = Vec<Printed>> {
    let hidden = prop::bool::weighted(0.05);
    prop::collection::vec((reference::event(), reference::style(), hidden), 0..40).prop_flat_map(
        // So that some texts occur more than once.
        |events| {
            let repeated = prop::collection::vec(0..events.len().max(1), 0..8);
            (Just(events), repeated).prop_map(|(mut events, repeated)| {
                for number in repeated {
                    events.extend(events.get(number).cloned());
                }
                events
            })
        },
    )
}

fn indicators() -> impl Strategy<Value = Vec<Vec<Observable>>> {
    let observables = prop::collection::vec(reference::observable(), 1..4);
    prop::collection::vec(observables, 1..14)
}

fn max_events() -> impl Strategy<Value = Option<NonZeroU64>> {
    prop_oneof![Just(0), Just(1), Just(3), Just(1000)].prop_map(NonZeroU64::new)
}

/// An event, how it is printed, and whether it is printed without its values: an engine may match
/// a value that it does not print.
type Printed = (Event, Style, bool);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_batch_gives_what_one_query_for_each_gives(
        events in events(),
        indicators in indicators(),
        max_events in max_events(),
        outages in prop::collection::vec(0usize..20, 0..4),
    ) {
        let mut run = Run::of(engine(events));
        run.max_events = max_events;
        *run.engine.troubles.borrow_mut() = outages.into_iter().map(|after| (after, true)).collect();
        for (number, sightings) in run.sightings(&indicators).iter().enumerate() {
            let expected = run.expected(&indicators[number]);
            prop_assert!(is_part_of(sightings, &expected), "{}", number);
            prop_assert_eq!(sum(sightings), sum(&expected).min(run.most()), "{}", number);
        }
        prop_assert_eq!(run.metrics.indicators_queried.get(), indicators.len() as u64);
    }

    #[test]
    fn what_the_engine_refuses_costs_no_other(
        events in events(),
        indicators in indicators(),
        max_events in max_events(),
        refused in prop::collection::hash_set(reference::observable(), 1..4),
    ) {
        let mut run = Run::of(engine(events));
        run.max_events = max_events;
        run.engine.refused = refused;
        for (number, sightings) in run.sightings(&indicators).iter().enumerate() {
            let expected = run.expected(&indicators[number]);
            prop_assert!(is_part_of(sightings, &expected), "{}", number);
            prop_assert_eq!(sum(sightings), sum(&expected).min(run.most()), "{}", number);
        }
        let metrics = &run.metrics;
        let all_refused = indicators.iter().filter(|observables| {
            observables.iter().all(|one| run.engine.refused.contains(one))
        });
        // An indicator at its limit is not queried again for its rejected value.
        let failed = metrics.indicators_failed.get();
        prop_assert_eq!(failed, all_refused.count() as u64);
        prop_assert_eq!(failed + metrics.indicators_queried.get(), indicators.len() as u64);
    }

    #[test]
    fn a_query_that_hangs_costs_no_other(
        events in events(),
        indicators in indicators(),
        max_events in max_events(),
        hanging in prop::collection::hash_set(reference::observable(), 1..3),
        seconds in 1u64..100,
    ) {
        let mut run = Run::of(engine(events));
        run.max_events = max_events;
        run.timeout = Some(Duration::from_secs(seconds));
        run.engine.hanging = hanging;
        let mut timed_out = 0;
        for (number, sightings) in run.sightings(&indicators).iter().enumerate() {
            let observables = &indicators[number];
            let expected = run.expected(observables);
            prop_assert!(is_part_of(sightings, &expected), "{}", number);
            let most = sum(&expected).min(run.most());
            if observables.iter().any(|one| run.engine.hanging.contains(one)) {
                prop_assert!(sum(sightings) >= most / 2, "{}", number);
                timed_out += u64::from(sum(sightings) < run.most());
            } else {
                prop_assert_eq!(sum(sightings), most, "{}", number);
            }
        }
        prop_assert_eq!(run.metrics.indicators_timed_out.get(), timed_out);
        // Split batches have a shorter limit, and single indicators the whole one.
        for &(observables, limit) in &*run.engine.limits.borrow() {
            let limit = limit.expect("a limit");
            prop_assert!(limit <= run.timeout.expect("a limit"));
            prop_assert!(limit >= Duration::from_secs(seconds.min(2)));
            prop_assert!(observables > 1 || Some(limit) == run.timeout);
        }
    }

    #[test]
    fn little_memory_loses_nothing(
        events in events(),
        indicators in indicators(),
        room in 0usize..30,
        ambiguous in 0usize..30,
        outages in prop::collection::vec(0usize..20, 0..3),
    ) {
        let mut run = Run::of(engine(events));
        run.memory.reported = EventBudget::new(room);
        run.memory.ambiguous = EventBudget::new(ambiguous);
        *run.engine.troubles.borrow_mut() = outages.into_iter().map(|after| (after, true)).collect();
        for (number, sightings) in run.sightings(&indicators).iter().enumerate() {
            let expected = run.expected(&indicators[number]);
            prop_assert!(is_part_of(&expected, sightings), "{}", number);
            prop_assert!(sightings.keys().all(|line| expected.contains_key(line)), "{}", number);
        }
    }
}

fn domain(name: &str) -> Observable {
    Observable::domain(name)
}

/// A DNS request for `name`, with `note` in a field that no query reaches.
fn request(name: &str, note: &str) -> Printed {
    let text = |text: &str| reference::Value::Text(text.to_owned());
    let fields = vec![("query", text(name)), ("note", text(note))];
    (Event::new("zeek.dns", fields), Style::default(), false)
}

#[test]
fn without_trouble_nothing_is_remembered_in_vain() {
    // They all meet in one event, and are more than are recorded pair by pair.
    let mut events = vec![request("a.example", "b.example")];
    events.extend((0..60).map(|number| request("a.example", &format!("{number}.example"))));
    events.extend((0..80).map(|number| request(&format!("{number}.example"), "none")));
    let mut run = Run::of(engine(events));
    run.memory.reported = EventBudget::new(0);
    let with = |name: &str, number: usize| vec![domain(name), domain(&format!("{number}.example"))];
    let mut indicators: Vec<_> = (0..40).map(|number| with("a.example", number)).collect();
    indicators.extend((40..80).map(|number| with("b.example", number)));
    for (number, sightings) in run.sightings(&indicators).iter().enumerate() {
        assert_eq!(*sightings, run.expected(&indicators[number]), "{number}");
    }
}

#[test]
fn the_same_observables_are_queried_once() {
    let run = Run::of(engine(vec![
        request("a.example", "x"),
        request("b.example", "x"),
    ]));
    let indicators = vec![vec![domain("a.example"), domain("b.example")]; 50];
    for sightings in run.sightings(&indicators) {
        assert_eq!(sum(&sightings), 2);
    }
    assert_eq!(run.engine.queries.get(), 1);
    assert_eq!(run.metrics.indicators_queried.get(), 50);
}

#[test]
fn those_that_met_are_queried_apart_and_others_together() {
    let names: Vec<String> = (0..100).map(|number| format!("{number}.example")).collect();
    // Each with an even number meets the next one, and matches.
    let events = names.chunks(2).map(|pair| request(&pair[0], &pair[1]));
    let run = Run::of(engine(events.collect()));
    let indicators: Vec<_> = names.iter().map(|name| vec![domain(name)]).collect();
    for (number, sightings) in run.sightings(&indicators).iter().enumerate() {
        assert_eq!(sum(sightings), 1 - number % 2, "{number}");
    }
    assert_eq!(run.engine.queries.get(), 1 + 2);
}

#[test]
fn a_full_batch_is_split_and_its_others_are_found() {
    let mut events: Vec<_> = (0..2000)
        .map(|number| request("many.example", &number.to_string()))
        .collect();
    events.push(request("one.example", "x"));
    let mut run = Run::of(engine(events));
    run.max_events = NonZeroU64::new(2);
    let indicators = [
        vec![domain("many.example")],
        vec![domain("one.example")],
        vec![domain("none.example")],
    ];
    let counts: Vec<usize> = run.sightings(&indicators).iter().map(sum).collect();
    assert_eq!(counts, [2, 1, 0]);
}

#[test]
fn one_that_always_fails_is_given_up_alone() {
    let run = Run::of(engine(vec![
        request("a.example", "x"),
        request("b.example", "x"),
        request("b.example", "y"),
    ]));
    // Every query fails after one line.
    *run.engine.troubles.borrow_mut() = vec![(1, false); 4 * 3];
    let indicators = [vec![domain("a.example")], vec![domain("b.example")]];
    let counts: Vec<usize> = run.sightings(&indicators).iter().map(sum).collect();
    assert_eq!(counts[0], 1);
    assert!((1..=2).contains(&counts[1]), "{counts:?}");
    assert_eq!(run.metrics.indicators_failed.get(), 1);
    assert_eq!(run.metrics.indicators_queried.get(), 1);
}

#[test]
fn what_fails_its_condition_is_no_match_and_fills_no_limit() {
    use crate::matching::condition::{Check, Condition, Test, TestedPlace};
    use crate::observable::Kind;
    let text = |text: &str| reference::Value::Text(text.to_owned());
    let events = (0..30).map(|number| {
        let note = format!("/{}", number % 3);
        let fields = vec![("query", text("a.example")), ("uri", text(&note))];
        (Event::new("zeek.dns", fields), Style::default(), false)
    });
    let mut run = Run::of(engine(events.collect()));
    let note = |note: &str| {
        let url = Observable::of_url(note).expect("a URL");
        Condition::Test(Test::new(
            TestedPlace::Kind(Kind::Url),
            Check::Holds(vec![url]),
        ))
    };
    let conditions = [Some(note("/0")), Some(note("/1")), None, Some(note("/x"))];
    for (limit, expected) in [(None, [10, 10, 30, 0]), (NonZeroU64::new(4), [4, 4, 4, 0])] {
        run.max_events = limit;
        for together in [true, false] {
            let indicators = conditions.iter().cloned().enumerate();
            let requests = indicators.map(|(number, condition)| {
                let condition = condition.map(Arc::new);
                RetroRequest::new(Indicator {
                    condition,
                    ..indicator(number, &[domain("a.example")])
                })
            });
            let requests: Vec<RetroRequest> = requests.collect();
            let batches: Vec<Vec<RetroRequest>> = if together {
                vec![requests]
            } else {
                requests.into_iter().map(|one| vec![one]).collect()
            };
            let sightings = run.sightings_of(batches, conditions.len());
            let counts: Vec<usize> = sightings.iter().map(sum).collect();
            assert_eq!(counts, expected, "{limit:?} {together}");
        }
    }
}
