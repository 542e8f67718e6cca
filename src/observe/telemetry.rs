//! What is counted, in files for other programs: lines of InfluxDB's line
//! protocol as the original wrote them, and the text format of Prometheus.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use log::{error, warn};

use crate::observe::metrics::{Metrics, Peer};
use crate::process::child;
use crate::process::ticker::Ticker;

/// What both formats call this program.
const MEASUREMENT: &str = "vast-threatbus";

/// Where and when metrics are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The time between two lines; `None` = no metrics in any file.
    pub interval: Option<Duration>,
    /// The file for lines of InfluxDB; `None` = no such file.
    pub filename: Option<PathBuf>,
    /// The file for Prometheus; `None` = no such file.
    pub prometheus: Option<PathBuf>,
}

/// Starts to write, if any file is asked for. Once more, and for the last time, when
/// the result is dropped.
pub fn start(files: &Files, metrics: &Arc<Metrics>) -> Ticker {
    let is_wanted = files.filename.is_some() || files.prometheus.is_some();
    let Some(interval) = files.interval.filter(|_| is_wanted) else {
        return Ticker::none();
    };
    let mut writer = Writer {
        influx: files.filename.clone(),
        prometheus: files.prometheus.clone(),
        metrics: metrics.clone(),
        lines: Lines::new(&host_name()),
        is_failing: false,
    };
    Ticker::start("metrics", interval, move |_| writer.write()).unwrap_or_else(|error| {
        error!("no thread to write metrics: {error}");
        Ticker::none()
    })
}

struct Writer {
    influx: Option<PathBuf>,
    prometheus: Option<PathBuf>,
    metrics: Arc<Metrics>,
    lines: Lines,
    is_failing: bool,
}

impl Writer {
    fn write(&mut self) {
        let mut result = Ok(());
        if let Some(path) = &self.influx {
            let now = SystemTime::now();
            let since = now.duration_since(SystemTime::UNIX_EPOCH);
            if let Some(line) =
                self.lines
                    .next(&self.metrics, child::running(), since.unwrap_or_default())
            {
                result = append(path, &line).map_err(|error| (path, error));
            }
        }
        if let Some(path) = &self.prometheus {
            let written = replace(path, &prometheus(&self.metrics, child::running()));
            result = result.and(written.map_err(|error| (path, error)));
        }
        match result {
            Ok(()) => self.is_failing = false,
            Err((path, error)) => {
                // Once is enough, until it works again.
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!("metrics cannot be written to {}: {error}", path.display());
                }
            }
        }
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    // Opened each time, so that it can be rotated.
    let mut file = File::options().append(true).create(true).open(path)?;
    file.write_all(line.as_bytes())
}

/// Puts a new file in the place of the old one, so that a reader sees one of
/// them whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // The collector reads only what ends in `.prom`.
    temporary.push(".new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

/// What was counted since the last line.
struct Lines {
    host: String,
    before: HashMap<String, u64>,
}

impl Lines {
    fn new(host: &str) -> Self {
        Lines {
            host: escape_tag(host),
            before: HashMap::new(),
        }
    }

    /// The next line, with its end; `None` where nothing was counted.
    fn next(&mut self, metrics: &Metrics, children: u64, time: Duration) -> Option<String> {
        let mut fields = String::new();
        let mut field = |name: &str, value: f64| {
            let comma = if fields.is_empty() { "" } else { "," };
            write!(fields, "{comma}{name}={value}").expect("a string takes all");
        };
        let mut own = Vec::new();
        for (name, number, _) in metrics.counters() {
            let before = self.before.insert(name.to_owned(), number).unwrap_or(0);
            let new = number.saturating_sub(before) as f64;
            match name {
                _ if new <= 0.0 => {}
                "indicators_received" => field("added_iocs", new),
                "indicators_withdrawn" => field("removed_iocs", new),
                "sightings_live" => field("live_matcher_sightings", new),
                _ => own.push((name.to_owned(), new)),
            }
        }
        for (name, _, reasons) in by_reason(metrics) {
            for (reason, number) in reasons {
                let name = format!("{name}_{reason}");
                let before = self.before.insert(name.clone(), number).unwrap_or(0);
                if number > before {
                    own.push((name, (number - before) as f64));
                }
            }
        }
        for (name, spread) in [
            ("retro_matches_per_ioc", &metrics.matches_per_indicator),
            (
                "retro_query_time_per_ioc",
                &metrics.query_time_per_indicator,
            ),
            ("batch_size", &metrics.batch_size),
        ] {
            for (end, value) in ["min", "max", "avg"]
                .iter()
                .zip(spread.take().into_iter().flatten())
            {
                field(&format!("{name}_{end}"), value);
            }
        }
        if metrics.backlog.get() > 0 {
            field("retro_match_backlog", metrics.backlog.get() as f64);
        }
        own.iter().for_each(|(name, new)| field(name, *new));
        let waiting = metrics.sightings_waiting();
        if children > 0 || waiting > 0 || !fields.is_empty() {
            let mut field = |name, value| {
                let comma = if fields.is_empty() { "" } else { "," };
                write!(fields, "{comma}{name}={value}").expect("a string takes all");
            };
            field("sightings_waiting", waiting);
            field("child_processes", children);
            for (name, peer) in peers(metrics) {
                field(name, u64::from(peer == Peer::Up));
            }
        }
        let host = &self.host;
        let time = time.as_nanos();
        (!fields.is_empty()).then(|| format!("{MEASUREMENT},host={host} {fields} {time}\n"))
    }
}

/// The signs that part the words of a line are escaped in a tag's value.
fn escape_tag(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, ',' | '=' | ' ' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    match escaped.is_empty() {
        true => "localhost".to_owned(),
        false => escaped,
    }
}

/// The name of this machine: with its domain, as the original wrote it, where
/// /etc/hosts has that, or else as the kernel knows it (by a call: a hardened
/// service does not see /proc/sys).
fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    qualified(&name, &hosts)
}

/// The first name with a dot on a line that has this name too.
fn qualified(name: &str, hosts: &str) -> String {
    let lines = hosts.lines().map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1)
    });
    lines
        .filter(|names| names.clone().any(|other| other == name))
        .find_map(|mut names| names.find(|other| other.contains('.')))
        .unwrap_or(name)
        .to_owned()
}

/// What was not matched, by the words of the reasons.
fn by_reason(metrics: &Metrics) -> [(&'static str, &'static str, BTreeMap<String, u64>); 2] {
    [
        (
            "indicators_rejected",
            "Rejected messages and indicators, by reason.",
            metrics.rejected.get(),
        ),
        (
            "indicators_unsupported",
            "Unsupported indicators, by reason.",
            metrics.unsupported.get(),
        ),
    ]
}

/// Those that this run talks to.
fn peers(metrics: &Metrics) -> impl Iterator<Item = (&'static str, Peer)> {
    [
        ("engine_up", metrics.engine_up.get()),
        ("bus_up", metrics.bus_up.get()),
    ]
    .into_iter()
    .filter(|(_, peer)| *peer != Peer::Unused)
}

/// All counters in the text format of Prometheus.
fn prometheus(metrics: &Metrics, children: u64) -> String {
    let mut text = String::new();
    let mut family = |name: String, kind: &str, meaning: &str, samples: &[(String, u64)]| {
        let meaning = meaning.replace('\\', "\\\\");
        write!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n")
            .expect("a string takes all");
        for (labels, number) in samples {
            writeln!(text, "{name}{labels} {number}").expect("a string takes all");
        }
    };
    for (name, number, meaning) in metrics.counters() {
        let name = format!("vast_threatbus_{name}_total");
        family(name, "counter", meaning, &[(String::new(), number)]);
    }
    let kinds: Vec<_> = metrics.kinds.get().into_iter().collect();
    let kinds: Vec<_> = kinds
        .into_iter()
        .map(|(kind, number)| (format!("{{kind=\"{kind}\"}}"), number))
        .collect();
    family(
        "vast_threatbus_indicators_by_kind_total".to_owned(),
        "counter",
        "Indicators to match, by kind.",
        &kinds,
    );
    for (name, meaning, reasons) in by_reason(metrics) {
        let samples: Vec<_> = reasons
            .into_iter()
            .map(|(reason, number)| (format!("{{reason=\"{reason}\"}}"), number))
            .collect();
        let name = format!("vast_threatbus_{name}_by_reason_total");
        family(name, "counter", meaning, &samples);
    }
    family(
        "vast_threatbus_backlog".to_owned(),
        "gauge",
        "Indicators that wait for a query or are being asked for.",
        &[(String::new(), metrics.backlog.get())],
    );
    let mut gauge = |name: &str, meaning: &str, number: u64| {
        let name = format!("vast_threatbus_{name}");
        family(name, "gauge", meaning, &[(String::new(), number)]);
    };
    gauge(
        "sightings_waiting",
        "Sightings that are on their way or wait for the sink.",
        metrics.sightings_waiting(),
    );
    gauge(
        "live_indicators",
        "Values that are matched live, each counted for each indicator that has it.",
        metrics.live_indicators.get(),
    );
    gauge("child_processes", "Child processes that run now.", children);
    for (name, peer) in peers(metrics) {
        let meaning = match name {
            "bus_up" => "Whether the subscription at Threat Bus stands.",
            _ => "Whether the engine answers.",
        };
        gauge(name, meaning, u64::from(peer == Peer::Up));
    }
    summaries(&mut text, metrics);
    text
}

/// What is measured, as its number and its sum.
fn summaries(text: &mut String, metrics: &Metrics) {
    for (name, meaning, spread) in [
        (
            "matches_per_indicator",
            "Sightings of an indicator in stored events.",
            &metrics.matches_per_indicator,
        ),
        (
            "query_time_per_indicator_seconds",
            "What the queries for an indicator took.",
            &metrics.query_time_per_indicator,
        ),
        (
            "batch_size",
            "Indicators that a query asked for.",
            &metrics.batch_size,
        ),
    ] {
        let name = format!("vast_threatbus_{name}");
        let (count, sum) = spread.totals();
        write!(
            text,
            "# HELP {name} {meaning}\n# TYPE {name} summary\n{name}_sum {sum}\n{name}_count {count}\n"
        )
        .expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_was_counted_since_the_last_one() {
        let metrics = Metrics::default();
        let mut lines = Lines::new("sensor 1,x");
        let time = Duration::new(1_600_000_000, 7);
        assert_eq!(lines.next(&metrics, 0, time), None);
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
            lines
                .next(&metrics, 0, time)
                .expect("something was counted"),
            "vast-threatbus,host=sensor\\ 1\\,x added_iocs=3,removed_iocs=1,\
             live_matcher_sightings=2,retro_matches_per_ioc_min=1,retro_matches_per_ioc_max=4,\
             retro_matches_per_ioc_avg=2,retro_query_time_per_ioc_min=0.25,\
             retro_query_time_per_ioc_max=0.25,retro_query_time_per_ioc_avg=0.25,\
             retro_match_backlog=5,indicators_rejected=4,sightings_waiting=0,child_processes=0 \
             1600000000000000007\n"
        );
        metrics.backlog.remove(5);
        assert_eq!(lines.next(&metrics, 0, time), None);
        metrics.indicators_received.add(1);
        let line = lines
            .next(&metrics, 0, time)
            .expect("something was counted");
        assert_eq!(
            line,
            "vast-threatbus,host=sensor\\ 1\\,x added_iocs=1,sightings_waiting=0,child_processes=0 \
             1600000000000000007\n"
        );
    }

    #[test]
    fn a_host_has_its_domain_where_the_system_knows_it() {
        let hosts =
            "127.0.0.1 localhost # sensor.comment.example\n10.0.0.7\tsensor.example sensor\n";
        assert_eq!(qualified("sensor", hosts), "sensor.example");
        assert_eq!(qualified("localhost", hosts), "localhost");
        assert_eq!(qualified("other", hosts), "other");
    }

    /// What `promtool check metrics` asks for, beyond the syntax.
    #[test]
    fn the_prometheus_file_follows_the_rules_of_promtool() {
        let metrics = Metrics::default();
        metrics.bus_up.set(Peer::Up);
        metrics.batch_size.record(3.0);
        let text = prometheus(&metrics, 0);
        let mut kinds = HashMap::new();
        let mut helped = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, meaning] => {
                    assert!(!meaning.is_empty() && !helped.contains(&name), "{line}");
                    helped.push(name);
                }
                ["#", "TYPE", name, kind] => {
                    assert_eq!(helped.last(), Some(&name), "{line}");
                    assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                    assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
                    kinds.insert(name, kind);
                }
                [sample, _] => {
                    let name = sample.split('{').next().unwrap_or_default();
                    let stem = name.trim_end_matches("_sum").trim_end_matches("_count");
                    let kind = kinds.get(name).or(kinds.get(stem));
                    assert!(kind.is_some(), "{line}");
                    let letters = |c: char| c.is_ascii_lowercase() || c == '_';
                    assert!(name.chars().all(letters), "{line}");
                }
                _ => panic!("{line}"),
            }
        }
    }

    #[test]
    fn prometheus_gets_every_counter_with_its_meaning() {
        let metrics = Metrics::default();
        metrics.queries.add(2);
        metrics.kinds.count("ipv4");
        metrics.rejected.count("\"x\" is no address");
        let text = prometheus(&metrics, 0);
        assert!(text.contains(
            "# HELP vast_threatbus_queries_total Queries that were put to the engine.\n\
             # TYPE vast_threatbus_queries_total counter\nvast_threatbus_queries_total 2\n"
        ));
        assert!(text.contains("vast_threatbus_indicators_by_kind_total{kind=\"ipv4\"} 1\n"));
        for gauge in ["backlog", "live_indicators"] {
            let name = format!("vast_threatbus_{gauge}");
            assert!(text.contains(&format!("# TYPE {name} gauge\n{name} 0\n")));
        }
        assert!(text.contains("_rejected_by_reason_total{reason=\"is_no_address\"} 1\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, number) = line.rsplit_once(' ').expect("two words");
            assert!(number.parse::<f64>().is_ok() && name.starts_with("vast_threatbus_"));
        }
    }

    #[test]
    fn without_an_interval_nothing_is_written() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = Files {
            interval: None,
            filename: Some(directory.path().join("influx")),
            prometheus: Some(directory.path().join("x.prom")),
        };
        drop(start(&config, &Arc::default()));
        let there = fs::read_dir(directory.path()).expect("it is there");
        assert_eq!(there.count(), 0);
    }

    #[test]
    fn files_are_written_whole_and_a_bad_place_is_no_end() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = |name: &str| Some(directory.path().join(name));
        let metrics = Arc::new(Metrics::default());
        metrics.queries.add(1);
        for (influx, prom) in [("influx", "x.prom"), ("none/influx", "none/x.prom")] {
            let config = Files {
                interval: Some(Duration::from_secs(3600)),
                filename: place(influx),
                prometheus: place(prom),
            };
            drop(start(&config, &metrics));
        }
        let line = fs::read_to_string(directory.path().join("influx")).expect("it is written");
        assert!(line.starts_with("vast-threatbus,host=") && line.contains(" queries=1,"));
        let text = fs::read_to_string(directory.path().join("x.prom")).expect("it is written");
        assert!(text.contains("\nvast_threatbus_queries_total 1\n"));
        assert_eq!(
            fs::read_dir(directory.path()).expect("it is there").count(),
            2
        );
    }
}
