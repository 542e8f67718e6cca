//! InfluxDB line protocol as in the original, with more fields.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::by_reason;
use crate::observe::metrics::{Metrics, Peer};

/// The original's name for this program.
const MEASUREMENT: &str = "vast-threatbus";

/// The numbers since the last line.
pub struct InfluxLines {
    /// The tags of every line, formatted.
    tags: String,
    before: HashMap<String, u64>,
}

/// The fields of a line.
#[derive(Default)]
struct LineFields(String);

impl LineFields {
    fn add(&mut self, name: &str, value: f64) {
        let comma = if self.0.is_empty() { "" } else { "," };
        write!(self.0, "{comma}{name}={value}").expect("writing to a string cannot fail");
    }
}

impl InfluxLines {
    /// InfluxLines for this host, and for the bridge with this name, if it has one.
    pub fn new(host: &str, bridge: Option<&str>) -> Self {
        let mut tags = format!("host={}", escape_tag(host));
        if let Some(name) = bridge {
            write!(tags, ",bridge={}", escape_tag(name)).expect("writing to a string cannot fail");
        }
        InfluxLines {
            tags,
            before: HashMap::new(),
        }
    }

    /// The next lines, with line ends: one for the whole run, and one for each engine if
    /// there are several. Empty if nothing was counted.
    pub fn next(&mut self, metrics: &Metrics, children: u64, time: Duration) -> String {
        let mut text = String::new();
        let fields = self.all(metrics, children, time);
        self.line(&mut text, "", &fields, time);
        let engines = metrics.engines();
        if engines.len() > 1 {
            for of in engines {
                let name = of.engine_name();
                let fields = self.of_engine(name, &of, time);
                self.line(
                    &mut text,
                    &format!(",engine={}", escape_tag(name)),
                    &fields,
                    time,
                );
            }
        }
        text
    }

    fn line(&self, text: &mut String, tags: &str, fields: &LineFields, time: Duration) {
        if !fields.0.is_empty() {
            let time = time.as_nanos();
            writeln!(
                text,
                "{MEASUREMENT},{}{tags} {} {time}",
                self.tags, fields.0
            )
            .expect("writing to a string cannot fail");
        }
    }

    /// The growth of a number since the last time.
    fn growth(&mut self, name: String, number: u64) -> Option<f64> {
        let before = self.before.insert(name, number).unwrap_or(0);
        (number > before).then(|| (number - before) as f64)
    }

    fn all(&mut self, metrics: &Metrics, children: u64, time: Duration) -> LineFields {
        let mut fields = LineFields::default();
        let mut own = Vec::new();
        for counted in metrics.counters() {
            let name = counted.name;
            let Some(new) = self.growth(name.to_owned(), counted.number) else {
                continue;
            };
            match name {
                "indicators_received" => fields.add("added_iocs", new),
                "indicators_withdrawn" => fields.add("removed_iocs", new),
                "sightings_live" => fields.add("live_matcher_sightings", new),
                _ => own.push((name.to_owned(), new)),
            }
        }
        let mut words = Vec::new();
        for (name, _, reasons) in by_reason(metrics) {
            words.extend(
                reasons
                    .into_iter()
                    .map(|(reason, n)| (format!("{name}_{reason}"), n)),
            );
        }
        for (name, tally) in [
            ("indicators_kind", &metrics.kinds),
            ("sightings_kind", &metrics.sighting_kinds),
            ("queries", &metrics.query_outcomes),
            ("child_restarts", &metrics.child_restarts),
        ] {
            words.extend(
                tally
                    .get()
                    .into_iter()
                    .map(|(word, n)| (format!("{name}_{word}"), n)),
            );
        }
        for (name, number) in words {
            own.extend(self.growth(name.clone(), number).map(|new| (name, new)));
        }
        spreads(&mut fields, metrics);
        if metrics.backlog.get() > 0 {
            fields.add("retro_match_backlog", metrics.backlog.get() as f64);
        }
        own.iter().for_each(|(name, new)| fields.add(name, *new));
        let waiting = metrics.sightings_waiting();
        if children > 0 || waiting > 0 || !fields.0.is_empty() {
            fields.add("sightings_waiting", waiting as f64);
            fields.add("child_processes", children as f64);
            gauges(&mut fields, metrics, time);
        }
        fields
    }

    fn of_engine(&mut self, engine: &str, metrics: &Metrics, time: Duration) -> LineFields {
        let mut fields = LineFields::default();
        for counted in metrics.counters() {
            let name = format!("{engine} {}", counted.name);
            let number = if counted.is_of_engine {
                counted.number
            } else {
                0
            };
            if let Some(new) = self.growth(name, number) {
                fields.add(counted.name, new);
            }
        }
        spreads(&mut fields, metrics);
        engine_gauges(&mut fields, metrics, time);
        fields
    }
}

/// The measurements since the last line.
fn spreads(fields: &mut LineFields, metrics: &Metrics) {
    for (name, spread) in [
        ("retro_matches_per_ioc", &metrics.matches_per_indicator),
        (
            "retro_query_time_per_ioc",
            &metrics.query_time_per_indicator,
        ),
        ("batch_size", &metrics.batch_size),
        ("answer_time", &metrics.answer_time),
        ("live_delay", &metrics.live_delay),
    ] {
        let taken = spread.take().into_iter().flatten();
        for (end, value) in ["min", "max", "avg"].iter().zip(taken) {
            fields.add(&format!("{name}_{end}"), value);
        }
    }
}

/// The current state, with ages in seconds.
fn gauges(fields: &mut LineFields, metrics: &Metrics, time: Duration) {
    fields.add(
        "sightings_waiting_age",
        metrics.oldest_sighting(Instant::now()) as f64,
    );
    fields.add("spooled_bytes", metrics.spooled_bytes.get() as f64);
    fields.add("unusable_feeds", metrics.unusable_feeds.count() as f64);
    for (name, moment) in [
        ("indicator_age", &metrics.last_indicator),
        ("heartbeat_age", &metrics.last_heartbeat),
        ("sighting_age", &metrics.last_sighting),
    ] {
        if let Some(then) = moment.get() {
            fields.add(name, time.saturating_sub(then).as_secs_f64());
        }
    }
    for (name, peer) in [
        ("engine_up", metrics.engine_peer()),
        ("bus_up", metrics.bus_up.get()),
    ] {
        if peer != Peer::Unused {
            fields.add(name, f64::from(u8::from(peer == Peer::Up)));
        }
    }
    if let [one] = &*metrics.engines() {
        engine_ages(fields, one, time);
    }
}

fn engine_gauges(fields: &mut LineFields, metrics: &Metrics, time: Duration) {
    fields.add("retro_match_backlog", metrics.backlog.get() as f64);
    let peer = metrics.engine_up.get();
    if peer != Peer::Unused {
        fields.add("engine_up", f64::from(u8::from(peer == Peer::Up)));
    }
    engine_ages(fields, metrics, time);
}

fn engine_ages(fields: &mut LineFields, metrics: &Metrics, time: Duration) {
    fields.add(
        "indicators_waiting_age",
        metrics.waiting.oldest(Instant::now()) as f64,
    );
    let gap = metrics.live_gap.get();
    fields.add(
        "live_gap",
        gap.map_or(0.0, |since| time.saturating_sub(since).as_secs_f64()),
    );
}

/// Escapes the separators of the line protocol in a tag's value.
fn escape_tag(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, ',' | '=' | ' ' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    if escaped.is_empty() {
        "localhost".to_owned()
    } else {
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_was_counted_since_the_last_one() {
        let metrics = Metrics::default();
        let mut lines = InfluxLines::new("sensor 1,x", None);
        let time = Duration::new(1_600_000_000, 7);
        assert_eq!(lines.next(&metrics, 0, time), "");
        metrics.indicators_received.add(3);
        metrics.indicators_withdrawn.add(1);
        metrics.sightings_live.add(2);
        metrics.indicators_rejected.add(4);
        metrics.backlog.add(5);
        for count in [1.0, 4.0, 1.0] {
            metrics.matches_per_indicator.record(count);
        }
        metrics.query_time_per_indicator.record(0.25);
        assert_eq!(
            lines.next(&metrics, 0, time),
            "vast-threatbus,host=sensor\\ 1\\,x added_iocs=3,removed_iocs=1,\
             live_matcher_sightings=2,retro_matches_per_ioc_min=1,retro_matches_per_ioc_max=4,\
             retro_matches_per_ioc_avg=2,retro_query_time_per_ioc_min=0.25,\
             retro_query_time_per_ioc_max=0.25,retro_query_time_per_ioc_avg=0.25,\
             retro_match_backlog=5,indicators_rejected=4,sightings_waiting=0,child_processes=0,\
             sightings_waiting_age=0,spooled_bytes=0,unusable_feeds=0 \
             1600000000000000007\n"
        );
        metrics.backlog.remove(5);
        assert_eq!(lines.next(&metrics, 0, time), "");
        metrics.indicators_received.add(1);
        let line = lines.next(&metrics, 0, time);
        assert_eq!(
            line,
            "vast-threatbus,host=sensor\\ 1\\,x added_iocs=1,sightings_waiting=0,child_processes=0,\
             sightings_waiting_age=0,spooled_bytes=0,unusable_feeds=0 \
             1600000000000000007\n"
        );
    }

    #[test]
    fn each_of_several_engines_has_its_own_line() {
        let metrics = Metrics::default();
        let (one, other) = (metrics.of_engine("a"), metrics.of_engine("b c"));
        one.queries.add(1);
        one.engine_up.set(Peer::Up);
        other.queries.add(2);
        let mut lines = InfluxLines::new("h", Some("x"));
        let text = lines.next(&metrics, 0, Duration::from_secs(1));
        let text: Vec<&str> = text.lines().collect();
        assert!(
            text[0].starts_with("vast-threatbus,host=h,bridge=x queries=3,"),
            "{text:?}"
        );
        assert!(
            text[1].starts_with("vast-threatbus,host=h,bridge=x,engine=a queries=1,"),
            "{text:?}"
        );
        assert!(text[1].contains(",engine_up=1,"), "{text:?}");
        assert!(text[2].contains(",engine=b\\ c queries=2,"), "{text:?}");
    }
}
