//! All metrics in the text format of Prometheus, with its conventions: base units,
//! `_total` for counters, times as seconds since 1970.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::by_reason;
use crate::observe::metrics::{BUCKETS, Metrics, Peer, Spread, WordCounts};

/// The outcomes of queries. Each is present from the start, so that the first one is an
/// increase.
const OUTCOMES: [&str; 9] = [
    "complete",
    "enough",
    "unconfirmed",
    "outdated",
    "timed_out",
    "refused",
    "broken",
    "unreachable",
    "stopped",
];

/// The purposes of children.
const CHILDREN: [&str; 3] = ["live", "sink", "transform"];

/// What a file contains in addition to the metrics.
pub struct Circumstances<'a> {
    /// The label of the bridge.
    pub bridge: &'a str,
    /// The number of running children.
    pub children: u64,
    /// When the program was started, since 1970.
    pub started: Duration,
    /// The present time, since 1970.
    pub now: Duration,
    /// Whether the program is ending and no longer connected.
    pub is_over: bool,
}

/// The text being written.
struct Page<'a> {
    text: String,
    bridge: &'a str,
    name: String,
}

type Label<'a> = (&'a str, &'a str);

impl Page<'_> {
    /// Begins the samples of one family.
    fn family(&mut self, name: &str, kind: &str, meaning: &str) {
        self.name = format!("vast_threatbus_{name}");
        let (name, meaning) = (&self.name, meaning.replace('\\', "\\\\"));
        write!(self.text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n")
            .expect("writing to a string cannot fail");
    }

    /// Adds a sample. Labels without a value are omitted.
    fn sample(&mut self, labels: &[Label<'_>], number: impl Display) {
        self.sample_of("", labels, number);
    }

    fn sample_of(&mut self, end: &str, labels: &[Label<'_>], number: impl Display) {
        let Page { text, bridge, name } = self;
        write!(text, "{name}{end}{{bridge=\"{}\"", escaped(bridge))
            .expect("writing to a string cannot fail");
        for (label, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            write!(text, ",{label}=\"{}\"", escaped(value))
                .expect("writing to a string cannot fail");
        }
        writeln!(text, "}} {number}").expect("writing to a string cannot fail");
    }

    fn gauge(&mut self, name: &str, meaning: &str, number: impl Display) {
        self.family(name, "gauge", meaning);
        self.sample(&[], number);
    }

    fn moment(&mut self, name: &str, meaning: &str, time: Option<Duration>) {
        self.family(name, "gauge", meaning);
        if let Some(time) = time {
            self.sample(&[], time.as_secs_f64());
        }
    }

    fn spread(&mut self, engine: &str, spread: &Spread) {
        let totals = spread.totals();
        let mut sum = 0;
        for (end, count) in BUCKETS.iter().zip(totals.buckets) {
            sum += count;
            let end = end.to_string();
            self.sample_of("_bucket", &[("engine", engine), ("le", &end)], sum);
        }
        self.sample_of(
            "_bucket",
            &[("engine", engine), ("le", "+Inf")],
            totals.count,
        );
        self.sum_and_count(engine, spread);
    }

    fn sum_and_count(&mut self, engine: &str, spread: &Spread) {
        let totals = spread.totals();
        self.sample_of("_sum", &[("engine", engine)], totals.sum);
        self.sample_of("_count", &[("engine", engine)], totals.count);
    }
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\");
    value.replace('"', "\\\"").replace('\n', "\\n")
}

/// The whole file.
pub fn text(metrics: &Metrics, about: &Circumstances<'_>) -> String {
    let mut page = Page {
        text: String::new(),
        bridge: about.bridge,
        name: String::new(),
    };
    let engines = metrics.engines();
    // As long as no engine is reached, the numbers have no engine.
    let engines: Vec<(&str, &Metrics)> = if engines.is_empty() {
        vec![("", metrics)]
    } else {
        engines.iter().map(|of| (of.engine_name(), &**of)).collect()
    };
    info(&mut page, metrics, about, &engines);
    counters(&mut page, metrics, &engines);
    words(&mut page, metrics, &engines);
    gauges(&mut page, metrics, about);
    engine_gauges(&mut page, about, &engines);
    spreads(&mut page, &engines);
    page.text
}

fn info(
    page: &mut Page<'_>,
    metrics: &Metrics,
    about: &Circumstances<'_>,
    engines: &[(&str, &Metrics)],
) {
    page.family(
        "info",
        "gauge",
        "What this is: 1, with the versions of the program and of each engine, and the messages of the bus.",
    );
    let protocol = metrics
        .protocol
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for (engine, of) in engines {
        let of = of.engine.as_ref().and_then(|engine| engine.version.get());
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("engine", engine),
            ("engine_version", of.map_or("", String::as_str)),
            ("protocol", protocol.as_deref().unwrap_or_default()),
        ];
        page.sample(&labels, 1);
    }
    let (start, now) = (Some(about.started), Some(about.now));
    page.moment(
        "start_timestamp_seconds",
        "When the program was started.",
        start,
    );
    page.moment(
        "written_timestamp_seconds",
        "When this file was written.",
        now,
    );
}

fn counters(page: &mut Page<'_>, metrics: &Metrics, engines: &[(&str, &Metrics)]) {
    let of_each: Vec<_> = engines.iter().map(|(_, of)| of.counters()).collect();
    for (number, counted) in metrics.counters().into_iter().enumerate() {
        page.family(
            &format!("{}_total", counted.name),
            "counter",
            counted.meaning,
        );
        if !counted.is_of_engine {
            page.sample(&[], counted.number);
            continue;
        }
        let mut rest = counted.number;
        for ((engine, _), counters) in engines.iter().zip(&of_each) {
            let own = counters[number].number;
            rest = rest.saturating_sub(own);
            page.sample(&[("engine", engine)], own);
        }
        if rest > 0 {
            // Counted before the engine was known.
            page.sample(&[], rest);
        }
    }
}

/// The counts by word.
fn words(page: &mut Page<'_>, metrics: &Metrics, engines: &[(&str, &Metrics)]) {
    for (name, meaning, tally) in [
        (
            "indicators_by_kind_total",
            "Indicators to match, by kind.",
            &metrics.kinds,
        ),
        (
            "sightings_by_kind_total",
            "Matches, by the kind of their indicators.",
            &metrics.sighting_kinds,
        ),
    ] {
        page.family(name, "counter", meaning);
        for (kind, number) in tally.get() {
            page.sample(&[("kind", kind)], number);
        }
    }
    for (name, meaning, reasons) in by_reason(metrics) {
        page.family(&format!("{name}_by_reason_total"), "counter", meaning);
        for (reason, number) in reasons {
            page.sample(&[("reason", &reason)], number);
        }
    }
    page.family(
        "queries_finished_total",
        "counter",
        "Finished queries, by outcome.",
    );
    for (engine, of) in engines {
        for (outcome, number) in with_zeros(&OUTCOMES, &of.query_outcomes) {
            page.sample(&[("engine", engine), ("outcome", outcome)], number);
        }
    }
    page.family(
        "child_restarts_total",
        "counter",
        "Restarts of child processes that stay, by purpose.",
    );
    for (child, number) in with_zeros(&CHILDREN, &metrics.child_restarts) {
        page.sample(&[("child", child)], number);
    }
}

/// The counts by word, with 0 for these words if they were not counted.
fn with_zeros(words: &[&'static str], counted: &WordCounts) -> BTreeMap<&'static str, u64> {
    let mut all: BTreeMap<_, _> = words.iter().map(|word| (*word, 0)).collect();
    all.extend(counted.get());
    all
}

fn gauges(page: &mut Page<'_>, metrics: &Metrics, about: &Circumstances<'_>) {
    for (name, meaning, moment) in [
        (
            "last_indicator_timestamp_seconds",
            "When the last indicator was received.",
            &metrics.last_indicator,
        ),
        (
            "last_heartbeat_timestamp_seconds",
            "When the bus answered last.",
            &metrics.last_heartbeat,
        ),
        (
            "last_sighting_timestamp_seconds",
            "When something matched last.",
            &metrics.last_sighting,
        ),
    ] {
        page.moment(name, meaning, moment.get());
    }
    page.gauge(
        "sightings_waiting",
        "Sightings that are on their way or wait for the sink.",
        metrics.sightings_waiting(),
    );
    page.gauge(
        "sightings_waiting_oldest_age_seconds",
        "How long the oldest of them has waited; 0 if none waits.",
        metrics.oldest_sighting(Instant::now()),
    );
    page.gauge(
        "spooled_bytes",
        "Bytes of sightings that wait on disk.",
        metrics.spooled_bytes.get(),
    );
    page.gauge(
        "unusable_feeds",
        "Files of indicators that cannot be used as they are.",
        metrics.unusable_feeds.count(),
    );
    page.gauge(
        "child_processes",
        "Child processes that run now.",
        about.children,
    );
    page.family(
        "bus_up",
        "gauge",
        "Whether the subscription at Threat Bus is up.",
    );
    peer(page, &[], metrics.bus_up.get(), about);
}

/// Peers that are not used have no sample.
fn peer(page: &mut Page<'_>, labels: &[Label<'_>], peer: Peer, about: &Circumstances<'_>) {
    if peer != Peer::Unused {
        let is_up = peer == Peer::Up && !about.is_over;
        page.sample(labels, u8::from(is_up));
    }
}

fn engine_gauges(page: &mut Page<'_>, about: &Circumstances<'_>, engines: &[(&str, &Metrics)]) {
    page.family("engine_up", "gauge", "Whether the engine answers.");
    for (engine, of) in engines {
        peer(page, &[("engine", engine)], of.engine_up.get(), about);
    }
    let now = Instant::now();
    let gap = |of: &Metrics| {
        let since = of.live_gap.get();
        since.map_or(0.0, |since| about.now.saturating_sub(since).as_secs_f64())
    };
    type Value<'a> = &'a dyn Fn(&Metrics) -> f64;
    let all: [(&str, &str, Value<'_>); 5] = [
        (
            "indicators_waiting",
            "Indicators that wait for a query or are being queried.",
            &|of| of.backlog.get() as f64,
        ),
        (
            "indicators_waiting_oldest_age_seconds",
            "How long the oldest of them has waited; 0 if none waits.",
            &|of| of.waiting.oldest(now) as f64,
        ),
        (
            "live_indicators",
            "Values that are matched live, each counted for each indicator that has it.",
            &|of| of.live_indicators.get() as f64,
        ),
        (
            "partial_instances",
            "Events that wait for others of a pattern of several.",
            &|of| of.partial_instances.get() as f64,
        ),
        (
            "live_gap_seconds",
            "How long new events have not been seen live, or were not seen and are not searched yet; 0 if all are.",
            &gap,
        ),
    ];
    for (name, meaning, value) in all {
        page.family(name, "gauge", meaning);
        for (engine, of) in engines {
            page.sample(&[("engine", engine)], value(of));
        }
    }
}

fn spreads(page: &mut Page<'_>, engines: &[(&str, &Metrics)]) {
    type SpreadOf = fn(&Metrics) -> &Spread;
    let all: [(&str, &str, &str, SpreadOf); 5] = [
        (
            "answer_seconds",
            "histogram",
            "From receiving an indicator to the end of its query.",
            |of| &of.answer_time,
        ),
        (
            "live_delay_seconds",
            "histogram",
            "From an event to its live match.",
            |of| &of.live_delay,
        ),
        (
            "query_seconds",
            "histogram",
            "What the queries for an indicator took.",
            |of| &of.query_time_per_indicator,
        ),
        (
            "matches_per_indicator",
            "summary",
            "Sightings of an indicator in stored events.",
            |of| &of.matches_per_indicator,
        ),
        (
            "query_indicators",
            "summary",
            "Indicators that were queried.",
            |of| &of.batch_size,
        ),
    ];
    for (name, kind, meaning, choose) in all {
        page.family(name, kind, meaning);
        for (engine, of) in engines {
            match kind {
                "histogram" => page.spread(engine, choose(of)),
                _ => page.sum_and_count(engine, choose(of)),
            }
        }
    }
}
