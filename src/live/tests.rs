//! All threads together, with a scripted engine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use time::OffsetDateTime;

use super::*;
use crate::engine::live::{Ended, EventStream, StreamItem};
use crate::engine::{
    AnswerItem, Engine, EventLine, NotReady, QueryBounds, QueryOutcome, QueryTarget,
};
use crate::indicator::{Indicator, Protocol};
use crate::intake::{Budget, Fates, Intake};
use crate::matching::Concepts;
use crate::observable::Observable;
use crate::observe::metrics::Metrics;
use crate::process::child::Flow;
use crate::sighting::instances;
use crate::sighting::report::Destination;

const LIMIT: Duration = Duration::from_secs(30);

/// Prints what it receives, and ends with an empty line.
struct Script {
    lines: Receiver<String>,
}

impl EventStream for Script {
    fn run(&self, stop: &Stop, consume: &mut dyn FnMut(AnswerItem<'_>)) -> Ended {
        loop {
            crossbeam_channel::select! {
                recv(self.lines) -> line => match line.as_deref() {
                    Ok("") | Err(_) => return Ended::lost("the end".to_owned()),
                    Ok("refused") => return Ended::Refused("no such thing".to_owned()),
                    Ok(line) => {
                        consume(AnswerItem::Line(EventLine { text: line, ..EventLine::default() }));
                        consume(AnswerItem::Pause);
                    }
                },
                recv(stop.now_channel()) -> _ => return Ended::Stopped,
            }
        }
    }

    fn read<'a>(&self, line: &EventLine<'a>) -> Result<StreamItem<'a>, String> {
        Ok(StreamItem::Event(line.text))
    }

    fn name(&self) -> String {
        "script".to_owned()
    }
}

/// Stores these events, each with its storage time if known, supports one value per
/// query, and fails at first.
#[derive(Clone)]
struct Store {
    events: Vec<(String, Option<OffsetDateTime>)>,
    queries: Arc<AtomicUsize>,
}

impl Engine for Store {
    fn title(&self) -> &'static str {
        "store"
    }

    fn name(&self) -> String {
        "store".to_owned()
    }

    fn version(&self) -> String {
        "0".to_owned()
    }

    fn ready(&self, _: Duration, _: &Stop) -> Result<(), NotReady> {
        Ok(())
    }

    fn probe_command(&self) -> String {
        "store".to_owned()
    }

    fn most_observables(&self) -> Option<usize> {
        Some(1)
    }

    fn export(
        &self,
        target: QueryTarget<'_>,
        bounds: QueryBounds,
        _: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome {
        let QueryTarget::Values(values) = target else {
            panic!("{target:?} is not queried here");
        };
        assert!(bounds.since.is_some());
        if values != [&Observable::domain("a")] {
            assert_eq!(values, [&Observable::domain("b")]);
            return QueryOutcome::Complete;
        }
        let is_first = self.queries.fetch_add(1, Ordering::Relaxed) == 0;
        for (event, stored) in self.events.iter().take(if is_first { 3 } else { 9 }) {
            consume(AnswerItem::Line(EventLine {
                text: event,
                stored: *stored,
                ..EventLine::default()
            }));
        }
        if is_first {
            QueryOutcome::Broken("in the middle".to_owned())
        } else {
            QueryOutcome::Complete
        }
    }
}

fn event(number: usize, time: SystemTime) -> String {
    let time = crate::observable::stix_time(time.into());
    format!("{{\"ts\": \"{time}\", \"host\": \"a\", \"n\": {number}}}")
}

struct Bed {
    live: Live,
    intake: Intake,
    lines: Sender<String>,
    messages: Receiver<WriterMessage>,
    metrics: Arc<Metrics>,
    stop: Stop,
}

fn start(store: Store) -> Bed {
    let (lines, script) = bounded(0);
    let (writer, messages) = bounded(64);
    let (metrics, stop): (Arc<Metrics>, _) =
        (Arc::default(), Stop::new().expect("two socket pairs"));
    let source = LiveSource {
        stream: Box::new(Script { lines: script }),
        matcher: None,
        scope: Box::new(Concepts::shared()),
        concepts: Concepts::shared(),
        knows_events: true,
    };
    let settings = LiveSettings {
        number: 1,
        meaning: Meaning::default(),
        is_alone: true,
        timeout: None,
        willing: Arc::new(AtomicUsize::new(1)),
        wider: Arc::new(|_| MatchExpansion::default()),
        waiting: waiting(&metrics),
    };
    let (name, budget) = ("store".into(), Budget::new(1));
    let fates = Fates::new(metrics.clone());
    let (intake, arrivals) = Intake::live(&name, fates.clone(), &budget);
    let channels = LiveChannels {
        arrivals,
        report: Arc::new(ReportSettings::plain(Destination::Stdout)),
        writer,
        fates,
        stop: stop.clone(),
    };
    let connection = Connection::new(Arc::new(store), None, Arc::clone(&metrics));
    let live = Live::start(source, &Arc::new(connection), settings, channels);
    let live = live.expect("there are threads");
    Bed {
        live,
        intake,
        lines,
        messages,
        metrics,
        stop,
    }
}

fn waiting(metrics: &Arc<Metrics>) -> Arc<Waiting> {
    let bounds = instances::InstanceBounds::waiting(Duration::from_secs(3600));
    Arc::new(Waiting::new(bounds, metrics.clone(), None))
}

fn store(events: Vec<(String, Option<OffsetDateTime>)>) -> Store {
    Store {
        events,
        queries: Arc::default(),
    }
}

impl Bed {
    fn next(&self) -> String {
        match self.messages.recv_timeout(LIMIT) {
            Ok(WriterMessage::Lines { bytes, .. }) => String::from_utf8(bytes).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    fn wait(&self, ready: impl Fn() -> bool) {
        let until = Instant::now() + LIMIT;
        while !ready() {
            assert!(Instant::now() < until, "it does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn the_events_of_a_gap_are_reported_once() {
    let now = SystemTime::now();
    let soon = now + Duration::from_secs(60);
    let events: Vec<String> = (0..4).map(|n| event(n, soon)).collect();
    let long_ago = event(9, now - Duration::from_secs(3600));
    let without = [&events[1..], &events[3..], &[long_ago]].concat();
    let mut stored: Vec<_> = without.into_iter().map(|event| (event, None)).collect();
    // Happened before the gap, and was stored in it.
    let late = event(7, now - Duration::from_secs(3600));
    stored.push((late.clone(), Some(soon.into())));
    stored.push((
        event(6, soon),
        Some((now - Duration::from_secs(3600)).into()),
    ));
    let bed = start(store(stored));
    for (id, name) in [("1", "a"), ("2", "b")] {
        bed.intake.add(
            Indicator {
                ioc: vec![name.to_owned()],
                ..Indicator::new(id.into(), Protocol::Legacy, vec![Observable::domain(name)])
            },
            None,
        );
    }
    bed.wait(|| bed.metrics.live_indicators.get() == 2);
    let say = |line: &str| {
        bed.lines
            .send_timeout(line.to_owned(), LIMIT)
            .expect("it runs")
    };
    say(&events[0]);
    assert_eq!(bed.next(), format!("{}\n", events[0]));
    say("");
    // The next child prints one of the gap's events before the query does.
    say(&events[1]);
    assert_eq!(bed.next(), format!("{}\n", events[1]));
    // Found by the query that fails, and not again by the one that succeeds.
    let mut found = bed.next();
    // One that fails, and one for each value.
    bed.wait(|| bed.metrics.queries.get() == 3);
    while found.lines().count() < 4 {
        found += &bed.next();
    }
    // The same text twice is two events.
    assert_eq!(
        found,
        format!("{}\n{}\n{}\n{late}\n", events[2], events[3], events[3])
    );
    // Late in the stream.
    say(&events[2]);
    say(&event(8, soon));
    assert_eq!(bed.next(), format!("{}\n", event(8, soon)));
    drop(bed.intake);
    assert!(bed.live.join());
    assert!(bed.messages.try_recv().is_err());
}

#[test]
fn events_of_a_gap_are_joined_with_those_around_it() {
    use crate::indicator::Sequence;
    use crate::matching::sequence::Expression;
    let now = SystemTime::now();
    let at = |number: u64| event(number as usize, now + Duration::from_secs(60 + number));
    let bed = start(store(vec![(at(1), None), (at(3), None)]));
    let part = Indicator {
        ioc: vec!["a".to_owned()],
        ..Indicator::new("1".into(), Protocol::Legacy, vec![Observable::domain("a")])
    };
    let twice = Expression::Observed { part: 0, times: 3 };
    let within = Expression::Within(Box::new(twice), 2_000_000_000);
    let sequence = Sequence::new(within, vec![part.clone()]).expect("three events");
    let whole = Indicator {
        sequence: Some(Arc::new(sequence)),
        ..part
    };
    bed.intake.add(whole, None);
    bed.wait(|| bed.metrics.live_indicators.get() == 1);
    let say = |line: &str| {
        bed.lines
            .send_timeout(line.to_owned(), LIMIT)
            .expect("it runs")
    };
    say(&at(0));
    say("");
    // Before the events in the gap, which then end an instance of three in two seconds.
    say(&at(2));
    let told = |text: String| -> Vec<u64> {
        let sighting: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let others = sighting["observations"].as_array().cloned();
        let all = others.unwrap_or_default().into_iter().chain([sighting]);
        all.filter_map(|one| one["n"].as_u64()).collect()
    };
    let mut text = String::new();
    while text.lines().count() < 2 {
        text += &bed.next();
    }
    let mut told: Vec<Vec<u64>> = text.lines().map(|line| told(line.to_owned())).collect();
    told.sort();
    assert_eq!(told, [[0, 1, 2], [1, 2, 3]]);
    assert_eq!(bed.metrics.partial_instances.get(), 4);
    drop(bed.intake);
    assert!(bed.live.join());
}

#[test]
fn an_engine_that_refuses_from_the_beginning_stops_the_program() {
    let bed = start(store(Vec::new()));
    bed.lines.send("refused".to_owned()).expect("it runs");
    assert!(bed.stop.now_channel().recv_timeout(LIMIT).is_err());
    assert!(bed.stop.is_now() && !bed.live.join());
}
