//! `--aggregate` and `--max-sightings-per-minute`: the sightings that all threads hold
//! back together.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::Uuid;

use super::pending::{self, SightingCounts};
use super::windows::{Closed, Reports, WindowOutcome, Windows};
use crate::indicator::Indicator;
use crate::observable::EventTime;
use crate::protocol::{Context, Facts, Series};
use crate::state::journal::{Journal, Ticket};

/// A sighting that stands for several.
#[derive(Debug)]
pub struct HeldSighting {
    /// Its indicator.
    pub indicator: Arc<Indicator>,
    /// The first event.
    pub event: Context<'static>,
    /// The facts about it.
    pub facts: Facts,
    /// Its entry in the journal, if it has one.
    pub ticket: Option<Ticket>,
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noise").finish_non_exhaustive()
    }
}

/// An indicator's id and a source.
type OfSource = (Arc<str>, Arc<str>);

/// An indicator's id, and its sensor, if known.
type BySensor = (Arc<str>, Option<Arc<str>>);

struct NoiseState {
    aggregate: Option<Windows<OfSource, HeldSighting>>,
    limit: Option<Windows<BySensor, HeldSighting>>,
    journal: Option<Journal>,
}

/// The sightings held back.
pub struct Noise(Mutex<NoiseState>);

impl Noise {
    /// Combines the sightings of one indicator from one source within `aggregate`, and
    /// limits those of one indicator and sensor to `per_minute`; `None` if neither is
    /// requested.
    pub fn new(aggregate: Option<Duration>, per_minute: Option<u64>) -> Option<Self> {
        if aggregate.is_none() && per_minute.is_none() {
            return None;
        }
        let limit = |most| Windows::new(Duration::from_secs(60), most, Reports::Held);
        Some(Noise(Mutex::new(NoiseState {
            aggregate: aggregate.map(|length| Windows::new(length, 1, Reports::All)),
            limit: per_minute.map(limit),
            journal: None,
        })))
    }

    /// The same, with the sightings held back stored in this journal too.
    pub fn journalled(self, journal: Option<Journal>) -> Self {
        let mut state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.journal = journal;
        Noise(Mutex::new(state))
    }

    /// Records a sighting; returns whether to send it now, and adds the series that it
    /// begins to its facts. Call [`Noise::due`] first to take what is over by now.
    pub fn meet(
        &self,
        now: Instant,
        indicator: &Indicator,
        event: &Context<'_>,
        facts: &mut Facts,
    ) -> WindowOutcome {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let NoiseState {
            aggregate,
            limit,
            journal,
        } = &mut *state;
        let note = |kept: &mut HeldSighting, count, span| note(journal.as_ref(), kept, count, span);
        let seen = facts
            .time
            .as_ref()
            .map_or_else(OffsetDateTime::now_utc, EventTime::utc);
        let keep = |facts: &Facts| HeldSighting {
            indicator: indicator.clone().into(),
            event: event.clone().into_owned(),
            facts: facts.clone(),
            ticket: None,
        };
        if let Some(windows) = aggregate {
            let key = (indicator.id.clone(), facts.source.clone());
            let begin = || {
                facts.series = Some(Series {
                    id: Uuid::new_v4(),
                    created: OffsetDateTime::now_utc(),
                    count: 1,
                    first_seen: seen,
                    last_seen: seen,
                });
                keep(facts)
            };
            let met = windows.meet(now, &key, seen, begin, note);
            if met == WindowOutcome::Held {
                return met;
            }
        }
        let Some(windows) = limit else {
            return WindowOutcome::Passes;
        };
        let sensor = facts.sensor.as_ref().map(|sensor| sensor.name.clone());
        let key = (indicator.id.clone(), sensor);
        match windows.meet(now, &key, seen, || keep(facts), note) {
            WindowOutcome::Held => WindowOutcome::TooMany,
            met => met,
        }
    }

    /// The sightings to send now, since their time is over.
    pub fn due(&self, now: Instant) -> Vec<HeldSighting> {
        self.take(|state| {
            let aggregated = state.aggregate.as_mut().map(|windows| windows.close(now));
            let limited = state.limit.as_mut().map(|windows| windows.close(now));
            [aggregated, limited]
        })
    }

    /// The remaining sightings at the end.
    pub fn rest(&self) -> Vec<HeldSighting> {
        self.take(|state| {
            let aggregated = state.aggregate.as_mut().map(Windows::close_all);
            let limited = state.limit.as_mut().map(Windows::close_all);
            [aggregated, limited]
        })
    }

    fn take(
        &self,
        close: impl FnOnce(&mut NoiseState) -> [Option<Vec<Closed<HeldSighting>>>; 2],
    ) -> Vec<HeldSighting> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = close(&mut state);
        let closed = closed.into_iter().flatten().flatten();
        closed.map(several).collect()
    }
}

/// Records in the journal what a window holds back.
fn note(
    journal: Option<&Journal>,
    kept: &mut HeldSighting,
    count: u64,
    [first_seen, last_seen]: [OffsetDateTime; 2],
) {
    let Some(journal) = journal else {
        return;
    };
    let counts = SightingCounts {
        count,
        first_seen,
        last_seen,
    };
    let counts = counts.written();
    match &kept.ticket {
        Some(ticket) => ticket.amend(counts.as_bytes()),
        None => {
            let entry = pending::written(kept) + &counts;
            kept.ticket = Some(journal.begin(entry.as_bytes()));
        }
    }
}

/// The sighting that stands for those of a window.
fn several(closed: Closed<HeldSighting>) -> HeldSighting {
    let mut kept = closed.kept;
    let begun = kept.facts.series.take();
    kept.facts.series = Some(Series {
        id: begun.as_ref().map_or_else(Uuid::new_v4, |series| series.id),
        created: begun.map_or_else(OffsetDateTime::now_utc, |series| series.created),
        count: closed.count,
        first_seen: closed.first_seen,
        last_seen: closed.last_seen,
    });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;
    use crate::protocol::MatchType;

    fn indicator(id: &str) -> Indicator {
        Indicator::new(id.into(), Protocol::Stix2, Vec::new())
    }

    fn facts(source: &str, time: &str) -> Facts {
        Facts {
            match_type: MatchType::Retro,
            time: EventTime::parse(time),
            matched: None,
            source: source.into(),
            sensor: None,
            series: None,
            instance: None,
        }
    }

    const TIMES: [&str; 3] = [
        "2024-03-05T09:00:00",
        "2024-03-05T09:00:07",
        "2024-03-05T09:00:03",
    ];

    #[test]
    fn a_series_keeps_its_id_and_counts_by_source() {
        let noise = Noise::new(Some(Duration::from_secs(10)), None).expect("it is requested");
        let (start, one) = (Instant::now(), indicator("1"));
        let mut series = Vec::new();
        for source in ["a", "b"] {
            for (n, time) in TIMES.iter().enumerate() {
                let context = format!("{{\"n\":{n}}}");
                let context = Context::new(&context).expect("an object");
                let mut facts = facts(source, time);
                let met = noise.meet(start, &one, &context, &mut facts);
                assert_eq!(met == WindowOutcome::Passes, n == 0, "{source} {n}");
                series.extend(facts.series);
            }
        }
        assert!(noise.due(start + Duration::from_secs(9)).is_empty());
        let due = noise.due(start + Duration::from_secs(10));
        assert_eq!(due.len(), 2);
        for (kept, first) in due.iter().zip(series) {
            let series = kept.facts.series.as_ref().expect("several");
            assert_eq!((series.id, series.created), (first.id, first.created));
            assert_eq!((series.count, kept.event.as_str()), (3, "{\"n\":0}"));
            let seconds = (series.last_seen - series.first_seen).whole_seconds();
            assert_eq!(seconds, 7);
        }
        assert!(noise.rest().is_empty());
    }

    #[test]
    fn beyond_the_limit_an_indicator_is_counted_and_another_is_not() {
        let noise = Noise::new(None, Some(2)).expect("it is requested");
        let start = Instant::now();
        let context = Context::new("{}").expect("an object");
        let meet = |id| {
            let mut facts = facts("a", TIMES[0]);
            noise.meet(start, &indicator(id), &context, &mut facts)
        };
        let met: Vec<WindowOutcome> = ["1", "1", "1", "2", "1"].into_iter().map(meet).collect();
        assert_eq!(
            met,
            [
                WindowOutcome::Passes,
                WindowOutcome::Passes,
                WindowOutcome::TooMany,
                WindowOutcome::Passes,
                WindowOutcome::TooMany
            ]
        );
        let rest = noise.rest();
        assert_eq!(rest.len(), 1);
        assert_eq!(
            rest[0].facts.series.as_ref().map(|series| series.count),
            Some(2)
        );
        assert!(Noise::new(None, None).is_none());
    }
}
