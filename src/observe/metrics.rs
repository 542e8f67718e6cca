//! Metrics: every incoming message is counted by one of these numbers in the end, so that
//! nothing is lost silently.

mod numbers;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

pub use numbers::{
    Ages, BUCKETS, Bad, Counter, EngineShare, Gauge, InTransit, Moment, Peer, PeerGauge, Reasons,
    Spread, Totals, WordCounts,
};

/// The identity of an engine.
#[derive(Debug)]
pub struct EngineLabels {
    /// Its name, for a label or a tag.
    pub name: String,
    /// The version of its program, once known; empty if it has none.
    pub version: OnceLock<String>,
}

/// A counter for display.
#[derive(Clone, Copy, Debug)]
pub struct CounterValue {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub number: u64,
    /// What it counts, as a sentence.
    pub meaning: &'static str,
    /// Whether it is counted per engine.
    pub is_of_engine: bool,
}

/// A number shared by all engines.
macro_rules! bridge {
    ($number:expr) => {
        $number.clone()
    };
}

/// A number counted per engine.
macro_rules! engine {
    ($number:expr) => {
        EngineShare::of(&$number)
    };
}

macro_rules! counters {
    ($($of:ident $name:ident: $meaning:literal,)*) => {
        /// The metrics of a run, or of one engine in it.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $meaning] pub $name: Arc<Counter>,)*
            /// The protocol of the bus: `legacy` or `stix2`; `None` without a bus, or if
            /// it is not known yet.
            pub protocol: Arc<Mutex<Option<String>>>,
            /// The last indicator from the bus or a file.
            pub last_indicator: Arc<Moment>,
            /// The last time that the bus responded.
            pub last_heartbeat: Arc<Moment>,
            /// The last match.
            pub last_sighting: Arc<Moment>,
            /// Sightings that are not delivered yet.
            pub sightings: Arc<InTransit>,
            /// Bytes of sightings that wait in the spool.
            pub spooled_bytes: Arc<Gauge>,
            /// Indicator files that are currently unusable.
            pub unusable_feeds: Arc<Bad>,
            /// Indicators to match, by kind.
            pub kinds: Arc<WordCounts>,
            /// Matches, by the kind of their indicators.
            pub sighting_kinds: Arc<WordCounts>,
            /// Children that were restarted, by purpose.
            pub child_restarts: Arc<WordCounts>,
            /// Rejected messages and indicators, by reason.
            pub rejected: Arc<Reasons>,
            /// Unsupported indicators, by reason.
            pub unsupported: Arc<Reasons>,
            /// Whether the bus subscription is active.
            pub bus_up: Arc<PeerGauge>,
            /// Indicators that wait for a query or are in a running one.
            pub backlog: Arc<Gauge>,
            /// Since when they wait.
            pub waiting: Arc<Ages>,
            /// Values that are matched live, counted for each indicator that has them.
            pub live_indicators: Arc<Gauge>,
            /// Events that wait for others of a pattern of several events.
            pub partial_instances: Arc<Gauge>,
            /// Since when new events are missed, or were missed and are not searched yet.
            pub live_gap: Arc<Moment>,
            /// Queries by outcome.
            pub query_outcomes: Arc<WordCounts>,
            /// Sightings of one indicator in stored events.
            pub matches_per_indicator: Arc<Spread>,
            /// The duration of the queries for one indicator, in seconds.
            pub query_time_per_indicator: Arc<Spread>,
            /// The time from an indicator's arrival to the end of its queries, in
            /// seconds.
            pub answer_time: Arc<Spread>,
            /// The time from an event to its live match, in seconds.
            pub live_delay: Arc<Spread>,
            /// The number of indicators per query.
            pub batch_size: Arc<Spread>,
            /// Whether the engine responds.
            pub engine_up: Arc<PeerGauge>,
            /// The engine, if these are the metrics of one.
            pub engine: Option<EngineLabels>,
            engines: Mutex<Vec<Arc<Metrics>>>,
        }

        impl Metrics {
            /// Makes the metrics of another engine with this name. They are added to
            /// these too; metrics that are not per engine are shared.
            pub fn of_engine(&self, name: &str) -> Arc<Metrics> {
                let engine = EngineLabels {
                    name: name.to_owned(),
                    version: OnceLock::new(),
                };
                let metrics = Arc::new(Metrics {
                    $($name: $of!(self.$name),)*
                    protocol: self.protocol.clone(),
                    last_indicator: self.last_indicator.clone(),
                    last_heartbeat: self.last_heartbeat.clone(),
                    last_sighting: self.last_sighting.clone(),
                    sightings: self.sightings.clone(),
                    spooled_bytes: self.spooled_bytes.clone(),
                    unusable_feeds: self.unusable_feeds.clone(),
                    kinds: self.kinds.clone(),
                    sighting_kinds: self.sighting_kinds.clone(),
                    child_restarts: self.child_restarts.clone(),
                    rejected: self.rejected.clone(),
                    unsupported: self.unsupported.clone(),
                    bus_up: self.bus_up.clone(),
                    backlog: EngineShare::of(&self.backlog),
                    waiting: Arc::default(),
                    live_indicators: EngineShare::of(&self.live_indicators),
                    partial_instances: EngineShare::of(&self.partial_instances),
                    live_gap: Arc::default(),
                    query_outcomes: EngineShare::of(&self.query_outcomes),
                    matches_per_indicator: EngineShare::of(&self.matches_per_indicator),
                    query_time_per_indicator: EngineShare::of(&self.query_time_per_indicator),
                    answer_time: EngineShare::of(&self.answer_time),
                    live_delay: EngineShare::of(&self.live_delay),
                    batch_size: EngineShare::of(&self.batch_size),
                    engine_up: Arc::default(),
                    engine: Some(engine),
                    engines: Mutex::default(),
                });
                let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
                engines.push(metrics.clone());
                metrics
            }

            /// Every counter.
            pub fn counters(&self) -> Vec<CounterValue> {
                let counted = |name, number: &Counter, meaning, of| CounterValue {
                    name,
                    number: number.get(),
                    meaning,
                    is_of_engine: of == "engine",
                };
                vec![$(counted(stringify!($name), &self.$name, $meaning, stringify!($of)),)*]
            }
        }
    };
}

impl Metrics {
    /// The metrics of each engine.
    pub fn engines(&self) -> Vec<Arc<Metrics>> {
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.clone()
    }

    /// Sets the protocol of the bus.
    pub fn speaks(&self, protocol: String) {
        *self.protocol.lock().unwrap_or_else(PoisonError::into_inner) = Some(protocol);
    }

    /// The name of the engine, if these are the metrics of one.
    pub fn engine_name(&self) -> &str {
        self.engine.as_ref().map_or("", |engine| &engine.name)
    }

    /// Whether this engine responds, or else whether all do.
    pub fn engine_peer(&self) -> Peer {
        let engines = self.engines();
        let peers = engines.iter().map(|engine| engine.engine_up.get());
        let used = peers.filter(|peer| *peer != Peer::Unused);
        let own = self.engine_up.get();
        used.min_by_key(|peer| *peer as u8)
            .unwrap_or(if engines.is_empty() {
                own
            } else {
                Peer::Unused
            })
    }

    fn sightings_done(&self) -> u64 {
        self.sightings_sent.get()
            + self.sightings_failed.get()
            + self.sightings_lost.get()
            + self.sightings_withheld.get()
            + self.sightings_aggregated.get()
    }

    /// Records that this many sightings of earlier runs are in the spool at the start.
    pub fn sightings_were_left(&self, count: u64) {
        if count > 0 {
            self.sightings_left_over.add(count);
            self.sightings.come(count, Instant::now());
        }
    }

    /// Sightings that are not delivered yet, including those of earlier runs.
    pub fn sightings_waiting(&self) -> u64 {
        let found = self.sightings_found.get()
            + self.sightings_of_several.get()
            + self.sightings_left_over.get();
        found.saturating_sub(self.sightings_done())
    }

    /// The age of the oldest of them in seconds; 0 if there are none.
    pub fn oldest_sighting(&self, now: Instant) -> u64 {
        let oldest = self.sightings.oldest(self.sightings_done(), now);
        match self.sightings_waiting() {
            0 => 0,
            _ => oldest,
        }
    }
}

impl fmt::Display for Metrics {
    /// Every counter that is not zero, as `name=number`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.counters();
        let mut counted = all.iter().filter(|one| one.number > 0).peekable();
        if counted.peek().is_none() {
            return f.write_str("nothing was counted");
        }
        while let Some(CounterValue { name, number, .. }) = counted.next() {
            let separator = if counted.peek().is_some() { " " } else { "" };
            write!(f, "{name}={number}{separator}")?;
        }
        Ok(())
    }
}

counters! {
    bridge messages_received: "Messages from the bus.",
    bridge messages_ignored: "Messages of other types than indicators.",
    bridge indicators_rejected: "Messages that could not be read, and indicators with a wrong value.",
    bridge indicators_unsupported: "Indicators that this program cannot query the engine for.",
    bridge indicators_allowed: "Indicators that are allowed and not searched (--allow).",
    bridge indicators_inactive: "Indicators that are expired, revoked or not yet valid, and not \
                                 searched.",
    bridge indicators_received: "Indicators to match.",
    bridge indicators_repeated: "Indicators that were known already and are not matched twice.",
    bridge indicators_withdrawn: "Removals that the bus sent.",
    engine indicators_dropped: "Indicators for which there was no room, or that were still waiting at the end.",
    engine indicators_queried: "Indicators whose query, or whose pass over log files, is finished.",
    engine indicators_matched: "Indicators with at least one match in stored events or log files.",
    engine indicators_timed_out: "Indicators whose retro query was ended by its time limit.",
    engine indicators_failed: "Indicators whose retro query was refused or failed, or whose events \
                               need too much memory to be joined.",
    engine indicators_expired: "Indicators whose time ended while they were matched live.",
    engine observables_refused: "Values that the engine refuses, of indicators that have others.",
    engine queries: "Queries sent to the engine.",
    engine queries_interrupted: "Queries that the engine did not finish and that were repeated.",
    engine events_unmatched: "Events of the engine's answers that hold no value of their query.",
    engine lines_rejected: "Lines in the engine's answers, or in log files, that are not events.",
    engine lines_cut: "Lines of log files that are too long, and left out.",
    engine events_read: "Events in log files that were searched.",
    engine live_events: "Events that were searched live.",
    engine live_losses: "Times that the engine's child for live matching ended by itself.",
    engine live_gaps_failed: "Times that the events which live matching had missed could not be searched.",
    engine live_values_rejected: "Values that the engine's own matcher does not support.",
    engine live_changes_failed: "Values that the engine's own matcher did not add or remove.",
    engine partial_instances_dropped: "Events that waited for others of their patterns, dropped for lack of room.",
    engine passes: "Times that all log files were searched.",
    bridge files_failed: "Log files, or files of indicators, that could not be read to their end, or in which nothing was recognised.",
    engine events_without_time: "Matched events with neither `ts` nor `timestamp`.",
    bridge transforms_failed: "Contexts that could not be transformed.",
    bridge transforms_repeated: "Contexts sent again, since a command that stays did not answer.",
    bridge sink_restarts: "Times that the sink command of --sink-mode lines ended by itself.",
    engine sightings_found: "Matches.",
    engine sightings_known: "Matches that an earlier run has reported (--report-once).",
    engine sightings_live: "Matches in live events.",
    engine sightings_allowed: "Matches of networks in events of which every address is allowed (--allow).",
    bridge sightings_aggregated: "Matches that are not reported one by one, but in a count.",
    bridge sightings_suppressed: "Aggregated matches beyond --max-sightings-per-minute.",
    bridge sightings_of_several: "Sightings that report several matches.",
    bridge sightings_withheld: "Sightings that a sink did not get, since their contexts were not transformed.",
    bridge sightings_sent: "Sightings handed to the bus, standard output or a command.",
    bridge sightings_repeated: "Sightings sent again, because the broker did not confirm them.",
    bridge sightings_unconfirmed: "Sightings that the broker never confirmed.",
    bridge sightings_failed: "Sightings that a sink command failed at, or that the bus cannot carry.",
    bridge sightings_spooled: "Sightings that a sink command did not accept, kept for a later \
                               try (--state-dir).",
    bridge sightings_left_over: "Sightings that earlier runs did not deliver, in the spool at the start.",
    bridge sightings_lost: "Sightings that were not delivered when the program ended.",
    bridge subscriptions_lost: "Times that the bus lost this program's subscription.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_counted_is_shown() {
        let metrics = Metrics::default();
        assert_eq!(metrics.to_string(), "nothing was counted");
        metrics.queries.add(2);
        metrics.sightings_lost.add(3);
        assert_eq!(metrics.to_string(), "queries=2 sightings_lost=3");
    }

    #[test]
    fn what_an_earlier_run_left_waits_until_it_is_delivered() {
        let metrics = Metrics::default();
        metrics.sightings_were_left(3);
        metrics.sightings_found.add(1);
        metrics.sightings.come(1, Instant::now());
        assert_eq!(metrics.sightings_waiting(), 4);
        metrics.sightings_sent.add(3);
        assert_eq!(metrics.sightings_waiting(), 1);
        metrics.sightings_sent.add(1);
        assert_eq!(metrics.sightings_waiting(), 0);
    }

    #[test]
    fn an_engine_counts_for_itself_and_for_all() {
        let all = Metrics::default();
        assert_eq!(all.engine_peer(), Peer::Unused);
        all.engine_up.set(Peer::Down);
        assert_eq!(all.engine_peer(), Peer::Down);
        let (one, other) = (all.of_engine("a"), all.of_engine("b"));
        assert_eq!(all.engine_peer(), Peer::Unused);
        one.queries.add(1);
        other.queries.add(2);
        one.sightings_sent.add(5);
        assert_eq!((one.queries.get(), all.queries.get()), (1, 3));
        assert_eq!(other.sightings_sent.get(), 5);
        one.engine_up.set(Peer::Up);
        assert_eq!(all.engine_peer(), Peer::Up);
        other.engine_up.set(Peer::Down);
        assert_eq!(all.engine_peer(), Peer::Down);
    }
}
