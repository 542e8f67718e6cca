//! Sightings that the sink command did not accept. If there is a state directory, they are
//! stored and tried again, from time to time and by the next run.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::delivery::{Delivery, Undelivered};
use super::message::CommandRun;
use crate::observe::metrics::Metrics;
use crate::protocol::{Context, MatchType};
use crate::state::spool::{Position, Spool};

/// The pause between two rounds of tries in the same run.
const ROUND_PAUSE: Duration = Duration::from_secs(600);

/// A stored sighting.
#[derive(Serialize, Deserialize)]
struct StoredSighting {
    ioc: String,
    match_type: String,
    indicator: String,
    context: Box<RawValue>,
}

/// The stored sightings, in the order in which they were given up.
pub struct Untaken {
    metrics: Arc<Metrics>,
    delivery: Arc<Delivery>,
    kept: Option<StoredRetries>,
}

struct StoredRetries {
    spool: Spool,
    /// The next sighting to try.
    next: Position,
    /// The end of this round. Sightings given up during the round are stored after it.
    until: Position,
    /// The earliest start of the next round.
    again: Instant,
    /// The sightings that are being tried.
    open: BTreeSet<Position>,
}

/// The place of a sighting that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPlace(Position);

impl Untaken {
    /// What an earlier run left in the spool is tried first. Without one, nothing is kept.
    pub fn new(spool: Option<Spool>, delivery: Arc<Delivery>, metrics: Arc<Metrics>) -> Self {
        let kept = spool.map(|spool| {
            if !spool.is_empty() {
                info!(
                    "{} bytes of sightings that the sink command did not accept wait in the spool",
                    spool.bytes()
                );
            }
            StoredRetries {
                next: spool.delivered(),
                until: spool.end(),
                again: Instant::now() + ROUND_PAUSE,
                open: BTreeSet::new(),
                spool,
            }
        });
        Untaken {
            metrics,
            delivery,
            kept,
        }
    }

    /// The next stored sighting that is due. [`done`](Self::done) has to be called for
    /// each.
    pub fn next(&mut self, now: Instant) -> Option<(CommandRun, RetryPlace)> {
        let kept = self.kept.as_mut()?;
        let is_over = kept.next >= kept.until && kept.open.is_empty();
        if is_over && now >= kept.again && !kept.spool.is_empty() {
            kept.until = kept.spool.end();
            kept.again = now + ROUND_PAUSE;
        }
        while kept.next < kept.until {
            let place = kept.next;
            match kept.spool.read(place) {
                Ok(Some((bytes, end))) => {
                    kept.next = end;
                    kept.open.insert(place);
                    match CommandRun::of_record(&bytes) {
                        Ok(run) => return Some((run, RetryPlace(place))),
                        Err(error) => {
                            error!("a sighting in the spool cannot be read any more: {error}");
                            let lost = Undelivered::Lost;
                            self.delivery.miss(lost, 1, &self.metrics);
                            kept.close(place);
                        }
                    }
                }
                Ok(None) => kept.next = kept.until,
                // The spool ends the segment there, and reading continues with the next
                // one.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    error!("reading the spool: {error}");
                }
                Err(error) => {
                    error!("reading the spool: {error}");
                    return None;
                }
            }
        }
        None
    }

    /// Call this when a sighting was accepted or given up again.
    pub fn done(&mut self, place: RetryPlace) {
        if let Some(kept) = &mut self.kept {
            kept.close(place.0);
            self.delivery.spool(kept.spool.bytes(), &self.metrics);
        }
    }

    /// This many sightings do not reach the command, and are not stored.
    pub fn miss(&self, why: Undelivered, count: u64) {
        self.delivery.miss(why, count, &self.metrics);
    }

    /// Stores sightings that the command did not accept. If nothing is stored, they count as
    /// undelivered for this reason.
    pub fn put(&mut self, runs: &[CommandRun], otherwise: Undelivered) {
        let count = runs.len() as u64;
        let Some(kept) = &mut self.kept else {
            return self.miss(otherwise, count);
        };
        let records: Vec<Vec<u8>> = runs.iter().map(CommandRun::to_record).collect();
        match kept.spool.push(records.iter().map(Vec::as_slice)) {
            Ok(lost) => {
                self.metrics.sightings_spooled.add(count);
                self.delivery.spool(kept.spool.bytes(), &self.metrics);
                if lost > 0 {
                    self.miss(Undelivered::Lost, lost);
                    error!(
                        "the spool is full (--spool-max-bytes): its {lost} oldest sighting(s) are \
                         lost"
                    );
                }
            }
            Err(error) => {
                self.miss(Undelivered::Lost, count);
                error!("the spool cannot be written, {count} sighting(s) are lost: {error}");
            }
        }
    }

    /// Whether sightings are stored.
    pub fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Logs what remains for the next run.
    pub fn end(self) {
        let Some(kept) = &self.kept else {
            return;
        };
        let bytes = kept.spool.bytes();
        self.delivery.spool(bytes, &self.metrics);
        if bytes > 0 {
            info!("{bytes} bytes of sightings stay in the spool for the next run");
        }
    }
}

impl StoredRetries {
    fn close(&mut self, place: Position) {
        self.open.remove(&place);
        let delivered = self.open.first().copied().unwrap_or(self.next);
        if let Err(error) = self.spool.set_delivered(delivered) {
            error!("the spool's position cannot be written: {error}");
        }
    }
}

impl CommandRun {
    fn to_record(&self) -> Vec<u8> {
        let context = RawValue::from_string(self.context.as_str().to_owned());
        let record = StoredSighting {
            ioc: self.ioc.clone(),
            match_type: self.match_type.as_str().to_owned(),
            indicator: self.indicator.to_string(),
            context: context.expect("a context is one JSON value"),
        };
        serde_json::to_vec(&record).expect("texts and JSON can be written as JSON")
    }

    fn of_record(bytes: &[u8]) -> Result<Self, String> {
        let record: StoredSighting =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let context = Context::from_command(record.context.get().as_bytes().to_vec());
        Ok(CommandRun {
            ioc: record.ioc,
            match_type: if record.match_type == MatchType::Live.as_str() {
                MatchType::Live
            } else {
                MatchType::Retro
            },
            context: context.map_err(|error| error.to_string())?,
            indicator: record.indicator.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: usize) -> CommandRun {
        CommandRun {
            ioc: format!("\"{n}\""),
            match_type: MatchType::Live,
            context: Context::new(&format!("{{\"n\":{n}}}"))
                .expect("an object")
                .into_owned(),
            indicator: "an id".into(),
        }
    }

    fn open(directory: &std::path::Path) -> (Untaken, Arc<Metrics>) {
        let (spool, _) = Spool::open(directory, 1 << 20).expect("a spool");
        let metrics = Arc::new(Metrics::default());
        (
            Untaken::new(Some(spool), Arc::default(), metrics.clone()),
            metrics,
        )
    }

    fn contexts(untaken: &mut Untaken, now: Instant) -> Vec<(String, RetryPlace)> {
        let next = || untaken.next(now);
        let all = std::iter::from_fn(next);
        all.map(|(run, place)| (run.context.as_str().to_owned(), place))
            .collect()
    }

    #[test]
    fn what_is_kept_comes_again_in_order_until_it_is_done() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut untaken, metrics) = open(directory.path());
        untaken.put(&[run(0), run(1), run(2)], Undelivered::Failed);
        assert_eq!(metrics.sightings_spooled.get(), 3);
        assert_eq!(metrics.sightings_failed.get(), 0);
        let now = Instant::now();
        // It is not tried in the round in which it was given up.
        assert!(contexts(&mut untaken, now).is_empty());
        assert_eq!(contexts(&mut untaken, now + 2 * ROUND_PAUSE).len(), 3);
        untaken.end();
        assert!(metrics.spooled_bytes.get() > 0);

        let (mut untaken, _) = open(directory.path());
        let (first, place) = untaken.next(now).expect("the first");
        assert_eq!(
            (first.ioc.as_str(), first.match_type),
            ("\"0\"", MatchType::Live)
        );
        assert_eq!(&*first.indicator, "an id");
        let rest = contexts(&mut untaken, now);
        assert_eq!(rest[0].0, "{\"n\":1}");
        // The first is still open when the others are done.
        rest.iter().for_each(|(_, place)| untaken.done(*place));
        untaken.put(&[run(3)], Undelivered::Failed);
        assert!(contexts(&mut untaken, now).is_empty());
        drop(untaken);

        let (mut untaken, _) = open(directory.path());
        let all = contexts(&mut untaken, now);
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].1, place);
        all.iter().for_each(|(_, place)| untaken.done(*place));
        drop(untaken);
        let (mut untaken, _) = open(directory.path());
        assert!(contexts(&mut untaken, now).is_empty());
    }

    #[test]
    fn without_a_directory_what_is_not_taken_counts() {
        let metrics = Arc::new(Metrics::default());
        let mut untaken = Untaken::new(None, Arc::default(), metrics.clone());
        untaken.put(&[run(0), run(1)], Undelivered::Lost);
        assert_eq!(metrics.sightings_lost.get(), 2);
        assert!(untaken.next(Instant::now()).is_none());
    }
}
