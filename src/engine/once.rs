//! Several queries for one result, in which each event is passed on once.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::time::Instant;

use super::{AnswerItem, QueryBounds, QueryOutcome};
use crate::process::child::Flow;

/// The most events that are tracked (8 bytes each, plus half of that). Events beyond that
/// may be passed on once per query.
const REMEMBERED: usize = 1 << 21;

/// Runs queries in sequence with `put`; `consume` gets each event once. Ends with the first
/// that is not complete.
pub(super) fn put_all<Q>(
    queries: &[Q],
    bounds: QueryBounds,
    consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    mut put: impl FnMut(&Q, QueryBounds, &mut dyn FnMut(AnswerItem<'_>) -> Flow) -> QueryOutcome,
) -> QueryOutcome {
    let mut once = Once::new(bounds);
    for query in queries {
        let Some(bounds) = once.next() else {
            return QueryOutcome::TimedOut;
        };
        let answer = put(query, bounds, &mut |event| once.hand_out(event, consume));
        if answer != QueryOutcome::Complete {
            return answer;
        }
    }
    QueryOutcome::Complete
}

/// The events of the queries so far.
struct Once {
    hasher: foldhash::quality::RandomState,
    /// Those of the finished queries.
    earlier: HashSet<u64>,
    /// Those of the running query. An event that it returns twice is stored twice.
    current: HashSet<u64>,
    bounds: QueryBounds,
    started: Instant,
    handed_out: u64,
}

impl Once {
    /// For queries that share these limits.
    fn new(bounds: QueryBounds) -> Self {
        Once {
            hasher: foldhash::quality::RandomState::default(),
            earlier: HashSet::new(),
            current: HashSet::new(),
            bounds,
            started: Instant::now(),
            handed_out: 0,
        }
    }

    /// The limits for the next query; `None` if there is no time left.
    fn next(&mut self) -> Option<QueryBounds> {
        self.earlier.extend(self.current.drain());
        let time = match self.bounds.time {
            Some(time) => {
                let left = time.saturating_sub(self.started.elapsed());
                Some(left).filter(|left| !left.is_zero()).map(Some)?
            }
            None => None,
        };
        Some(QueryBounds {
            time,
            ..self.bounds
        })
    }

    /// Passes on an event of the running query, unless an earlier query returned it.
    fn hand_out(
        &mut self,
        event: AnswerItem<'_>,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> Flow {
        if let AnswerItem::Line(line) = &event {
            let number = self.hasher.hash_one(line.text);
            if self.earlier.contains(&number) {
                return Flow::Continue;
            }
            if self.earlier.len() + self.current.len() < REMEMBERED {
                self.current.insert(number);
            }
            self.handed_out += 1;
        }
        let flow = consume(event);
        match self.bounds.events {
            Some(most) if self.handed_out >= most => Flow::Enough,
            _ => flow,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::EventLine;

    fn line(text: &str) -> AnswerItem<'_> {
        AnswerItem::Line(EventLine {
            text,
            ..EventLine::default()
        })
    }

    #[test]
    fn an_event_of_two_queries_is_handed_out_once() {
        let mut seen = Vec::new();
        let mut once = Once::new(QueryBounds::default());
        for query in [&["a", "b", "b"][..], &["b", "c"], &["a", "c", "d"]] {
            assert!(once.next().is_some());
            for text in query {
                let flow = once.hand_out(line(text), &mut |event| {
                    if let AnswerItem::Line(line) = event {
                        seen.push(line.text.to_owned());
                    }
                    Flow::Continue
                });
                assert_eq!(flow, Flow::Continue);
            }
        }
        assert_eq!(seen, ["a", "b", "b", "c", "d"]);
    }

    #[test]
    fn the_bounds_hold_for_all_queries_together() {
        let mut once = Once::new(QueryBounds {
            events: Some(2),
            time: Some(Duration::from_secs(1000)),
            since: None,
        });
        let time = once.next().and_then(|bounds| bounds.time);
        assert!(time.is_some_and(|time| time <= Duration::from_secs(1000)));
        let mut consume = |_: AnswerItem<'_>| Flow::Continue;
        assert_eq!(once.hand_out(line("a"), &mut consume), Flow::Continue);
        assert_eq!(once.hand_out(line("b"), &mut consume), Flow::Enough);
        let mut over = Once::new(QueryBounds {
            time: Some(Duration::ZERO),
            ..QueryBounds::default()
        });
        assert!(over.next().is_none());
    }
}
