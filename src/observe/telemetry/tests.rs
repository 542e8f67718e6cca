use std::collections::HashMap;

use super::*;
use crate::observe::metrics::Peer;

fn circumstances(is_over: bool) -> Circumstances<'static> {
    Circumstances {
        bridge: "a \"b\" \\c",
        children: 2,
        started: Duration::from_secs(1_600_000_000),
        now: Duration::from_secs(1_600_000_060),
        is_over,
    }
}

/// The metrics of a run in which every family has a sample.
fn busy() -> Metrics {
    let metrics = Metrics::default();
    metrics.bus_up.set(Peer::Up);
    metrics.kinds.count("ipv4");
    metrics.sighting_kinds.count("ipv4");
    metrics.rejected.count("\"x\" is no address");
    metrics.unsupported.count("no such kind");
    for moment in [
        &metrics.last_indicator,
        &metrics.last_heartbeat,
        &metrics.last_sighting,
    ] {
        moment.now();
    }
    *metrics.protocol.lock().expect("no panic") = Some("stix2".to_owned());
    let engine = metrics.of_engine("VAST");
    let named = engine.engine.as_ref().expect("it is one");
    named.version.set("4.0".to_owned()).expect("once");
    engine.engine_up.set(Peer::Up);
    engine.queries.add(2);
    engine.query_outcomes.count("complete");
    engine.answer_time.record(3.0);
    engine.batch_size.record(3.0);
    engine
        .live_gap
        .at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_050));
    metrics
}

/// What `promtool check metrics` checks beyond the syntax; also, every name has a meaning
/// and every sample tells its origin.
#[test]
fn the_prometheus_file_follows_the_rules_of_promtool() {
    let text = prometheus::text(&busy(), &circumstances(false));
    let mut kinds = HashMap::new();
    let mut helped = Vec::new();
    let mut samples = Vec::new();
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
                assert!(
                    ["counter", "gauge", "histogram", "summary"].contains(&kind),
                    "{line}"
                );
                kinds.insert(name, kind);
            }
            _ => {
                let (name, rest) = line.split_once('{').expect("labels");
                assert!(rest.starts_with("bridge=\"a \\\"b\\\" \\\\c\""), "{line}");
                let (_, number) = rest.rsplit_once(' ').expect("a number");
                assert!(number.parse::<f64>().is_ok(), "{line}");
                let ends = ["_sum", "_count", "_bucket"];
                let stem = ends.iter().find_map(|end| name.strip_suffix(end));
                let kind = kinds.get(name).or(stem.and_then(|stem| kinds.get(stem)));
                assert!(kind.is_some(), "{line}");
                let letters = |c: char| c.is_ascii_lowercase() || c == '_';
                assert!(name.chars().all(letters), "{line}");
                samples.push(stem.unwrap_or(name));
            }
        }
    }
    for name in kinds.keys() {
        assert!(samples.contains(name), "{name} has no sample");
    }
}

#[test]
fn prometheus_gets_every_number_with_its_meaning_and_its_labels() {
    let text = prometheus::text(&busy(), &circumstances(false)).replace("a \\\"b\\\" \\\\c", "b");
    for part in [
        "# HELP vast_threatbus_queries_total Queries sent to the engine.\n\
         # TYPE vast_threatbus_queries_total counter\n\
         vast_threatbus_queries_total{bridge=\"b\",engine=\"VAST\"} 2\n",
        "\nvast_threatbus_info{bridge=\"b\",version=\"0.1.0\",engine=\"VAST\",\
         engine_version=\"4.0\",protocol=\"stix2\"} 1\n",
        "\nvast_threatbus_indicators_by_kind_total{bridge=\"b\",kind=\"ipv4\"} 1\n",
        "_rejected_by_reason_total{bridge=\"b\",reason=\"is_no_address\"} 1\n",
        "_queries_finished_total{bridge=\"b\",engine=\"VAST\",outcome=\"complete\"} 1\n",
        "_queries_finished_total{bridge=\"b\",engine=\"VAST\",outcome=\"refused\"} 0\n",
        "_child_restarts_total{bridge=\"b\",child=\"live\"} 0\n",
        "_answer_seconds_bucket{bridge=\"b\",engine=\"VAST\",le=\"2.5\"} 0\n",
        "_answer_seconds_bucket{bridge=\"b\",engine=\"VAST\",le=\"5\"} 1\n",
        "_answer_seconds_bucket{bridge=\"b\",engine=\"VAST\",le=\"+Inf\"} 1\n",
        "_answer_seconds_sum{bridge=\"b\",engine=\"VAST\"} 3\n",
        "_query_indicators_sum{bridge=\"b\",engine=\"VAST\"} 3\n",
        "_live_gap_seconds{bridge=\"b\",engine=\"VAST\"} 10\n",
        "_written_timestamp_seconds{bridge=\"b\"} 1600000060\n",
        "_engine_up{bridge=\"b\",engine=\"VAST\"} 1\n",
        "_bus_up{bridge=\"b\"} 1\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn each_engine_has_its_own_and_nobody_what_was_counted_without_one() {
    let metrics = busy();
    metrics.of_engine("node:2").queries.add(5);
    metrics.queries.add(1);
    let text = prometheus::text(&metrics, &circumstances(false));
    let queries = text
        .lines()
        .filter(|line| line.starts_with("vast_threatbus_queries_total{"));
    let queries: Vec<_> = queries
        .map(|line| line.rsplit_once('c').expect("it is in the name").1)
        .collect();
    assert_eq!(
        queries,
        ["\",engine=\"VAST\"} 2", "\",engine=\"node:2\"} 5", "\"} 1"]
    );
}

#[test]
fn nothing_is_up_at_the_end_or_before_an_engine_is_reached() {
    let text = prometheus::text(&busy(), &circumstances(true));
    let ups = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("_up{"));
        lines
            .map(|line| line.rsplit_once(' ').expect("a number").1.to_owned())
            .collect()
    };
    assert_eq!(ups(&text), ["0", "0"]);
    let metrics = Metrics::default();
    let text = prometheus::text(&metrics, &circumstances(false));
    assert!(ups(&text).is_empty());
    metrics.engine_up.set(Peer::Down);
    let text = prometheus::text(&metrics, &circumstances(false));
    assert_eq!(ups(&text), ["0"]);
}

#[test]
fn a_bridge_is_called_by_its_name_or_by_host_and_configuration() {
    let config = Path::new("/etc/vast-threatbus/west.yaml");
    assert_eq!(bridge(Some("s"), Some(config)), "s");
    assert_eq!(
        bridge(None, Some(config)),
        format!("{}/west", host::node_name())
    );
    assert_eq!(bridge(None, None), host::node_name());
}

fn start(config: &MetricsFiles, metrics: &Arc<Metrics>) -> Telemetry {
    Telemetry::start(config, None, None, metrics)
}

#[test]
fn without_an_interval_nothing_is_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = MetricsFiles {
        interval: None,
        filename: Some(directory.path().join("influx")),
        prometheus: Some(directory.path().join("x.prom")),
    };
    start(&config, &Arc::default()).end(false);
    let there = fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(there.count(), 0);
}

#[test]
fn files_are_written_whole_and_a_bad_place_is_no_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = |name: &str| Some(directory.path().join(name));
    let metrics = Arc::new(Metrics::default());
    for (influx, prom) in [("influx", "x.prom"), ("none/influx", "none/x.prom")] {
        let config = MetricsFiles {
            interval: Some(Duration::from_secs(3600)),
            filename: place(influx),
            prometheus: place(prom),
        };
        let telemetry = start(&config, &metrics);
        metrics.queries.add(1);
        telemetry.end(false);
    }
    let line = fs::read_to_string(directory.path().join("influx")).expect("it is written");
    assert!(line.starts_with("vast-threatbus,host=") && line.contains(" queries=1,"));
    let text = fs::read_to_string(directory.path().join("x.prom")).expect("it is written");
    assert!(text.contains("\nvast_threatbus_queries_total{"), "{text}");
    assert_eq!(
        fs::read_dir(directory.path()).expect("it is there").count(),
        2
    );
}

#[test]
fn a_file_for_prometheus_is_there_from_the_start_and_not_after_a_clean_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("x.prom");
    fs::write(&path, "vast_threatbus_engine_up 1\n").expect("what was left");
    let config = MetricsFiles {
        interval: Some(Duration::from_secs(3600)),
        filename: None,
        prometheus: Some(path.clone()),
    };
    let telemetry = start(&config, &Arc::default());
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(!text.contains("engine_up 1") && text.contains("_written_timestamp_seconds{"));
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    telemetry.end(true);
    assert!(!path.exists());
}

/// The families of a file as table rows: name, type, labels except `bridge`, meaning.
fn table(text: &str) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, meaning] => rows.push([
                format!("`{name}`"),
                String::new(),
                String::new(),
                meaning.replace('|', "\\|"),
            ]),
            ["#", "TYPE", _, kind] => rows.last_mut().expect("its HELP")[1] = kind.to_owned(),
            _ => {
                let (labels, _) = line.rsplit_once("} ").expect("labels");
                let labels = labels.split("\",").skip(1);
                let names = labels.map(|label| label.split('=').next().unwrap_or_default());
                let names: Vec<&str> = names.filter(|name| *name != "le").collect();
                rows.last_mut().expect("its HELP")[2] = names.join(", ");
            }
        }
    }
    let rows = rows.iter().map(|row| format!("| {} |\n", row.join(" | ")));
    rows.collect()
}

#[test]
fn the_table_in_the_documentation_is_that_of_the_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let documentation = fs::read_to_string(path).expect("it is there");
    let (_, rest) = documentation
        .split_once("<!-- metrics:begin -->\n")
        .expect("a mark");
    let (documented, _) = rest.split_once("<!-- metrics:end -->").expect("a mark");
    let head = "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
    let wanted = format!(
        "{head}{}",
        table(&prometheus::text(&busy(), &circumstances(false)))
    );
    assert!(
        documented == wanted,
        "between the marks in docs/operations.md there should be:\n{wanted}"
    );
}
