//! Without a broker: indicators go straight to the batcher, sightings are only
//! counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use vast_threatbus::engine::{Connection, EngineChoice, EngineTarget, Patience, Program, open_all};
use vast_threatbus::indicator::{Indicator, Protocol};
use vast_threatbus::intake::{Budget, Fates, Intake};
use vast_threatbus::observable::Observable;
use vast_threatbus::observe::metrics::Metrics;
use vast_threatbus::process::stop::Stop;
use vast_threatbus::retro::{Retro, RetroEngine, RetroSettings};
use vast_threatbus::sighting::message::WriterMessage;
use vast_threatbus::sighting::report::{Destination, ReportSettings};

use crate::engine::{MATCH_EVERY, engine, list_query, name, time_of};
use crate::results::{Results, round};
use crate::support::standin::Standin;

const INDICATORS: usize = 100_000;

/// How many names, and how many URLs, are compared with each other.
const OF_A_KIND: usize = 1_000;

/// The domain and the URL of an indicator with this number.
fn domain(n: usize) -> Observable {
    Observable::domain(&name(n))
}

fn url(n: usize) -> Observable {
    let url = format!("http://{}/update/{n}", name(n));
    Observable::of_url(&url).expect("a URL")
}

/// One batch of names and one of URLs.
pub fn kinds(results: &mut Results) {
    let (engine, scratch) = engine(OF_A_KIND);
    for (kind, observable) in [
        ("domains", domain as fn(usize) -> Observable),
        ("URLs", url),
    ] {
        let calls = engine.exports().len();
        let fed = feed(&engine, OF_A_KIND, observable, 1, OF_A_KIND);
        let queries = engine.exports().split_off(calls);
        let usual = queries.first().and_then(|call| call.query());
        let (usual, _) = time_of(&engine, usual.expect("a query"), scratch.path());
        results.add(
            "one batch",
            &[
                ("kind", json!(kind)),
                ("indicators", json!(OF_A_KIND)),
                ("query of usual spellings s", round(usual.as_secs_f64())),
                ("seconds to the end", round(fed.end.as_secs_f64())),
                ("processes", json!(queries.len())),
            ],
        );
    }
}

pub fn run(results: &mut Results) {
    let (engine, scratch) = engine(INDICATORS);
    let list = list_query(&engine, INDICATORS, scratch.path());
    // What the program comes with, and all in one.
    for (workers, batch_size) in [(8, 10_000), (1, INDICATORS)] {
        let calls = engine.exports().len();
        let Fed {
            sightings,
            last,
            end,
        } = feed(&engine, INDICATORS, domain, workers, batch_size);
        results.add(
            "batcher alone",
            &[
                ("indicators", json!(INDICATORS)),
                ("workers", json!(workers)),
                ("batch size", json!(batch_size)),
                ("seconds to the last sighting", round(last.as_secs_f64())),
                ("seconds to the end", round(end.as_secs_f64())),
                ("one list query s", round(list.as_secs_f64())),
                ("ratio", round(last.as_secs_f64() / list.as_secs_f64())),
                ("sightings", json!(sightings)),
                ("expected", json!(INDICATORS / MATCH_EVERY)),
                ("processes", json!(engine.exports().len() - calls)),
            ],
        );
    }
}

/// What came of indicators.
struct Fed {
    sightings: u64,
    last: Duration,
    /// When all queries had ended.
    end: Duration,
}

/// Puts so many indicators in, all at once.
fn feed(
    engine: &Standin,
    indicators: usize,
    observable: fn(usize) -> Observable,
    workers: usize,
    batch_size: usize,
) -> Fed {
    let stop = Stop::new().expect("two socket pairs");
    let metrics = Arc::new(Metrics::default());
    let program = Program {
        scope: Default::default(),
        path: Some(engine.path().to_owned()),
        endpoint: Some(engine.endpoint().parse().expect("an endpoint")),
    };
    let limit = Some(Duration::from_secs(10));
    let target = EngineTarget {
        name: "vast".into(),
        choice: EngineChoice::Vast,
        program,
    };
    let client = open_all(&[target], &stop)
        .pop()
        .expect("there is one target");
    let connection = Arc::new(Connection::new(client, None, metrics.clone()));
    let opened = connection.open(Patience::Limited(limit), &stop);
    assert!(opened.is_ok() && connection.is_up(), "the stand-in answers");
    let (writer, messages) = crossbeam_channel::bounded::<WriterMessage>(64);
    let report = ReportSettings::plain(Destination::Stdout);
    let settings = RetroSettings {
        batch_size,
        max_events: None,
        timeout: None,
    };
    let budget = Budget::new(1);
    let fates = Fates::new(metrics);
    let (intake, arrivals, account) = Intake::stored(&"vast".into(), fates.clone(), &budget);
    let engine = RetroEngine {
        number: 1,
        connection,
        arrivals,
        account,
        report: report.into(),
        fates,
    };
    let retro = Retro::start(&settings, workers, vec![engine], &writer, &stop)
        .expect("threads can be started");
    drop(writer);
    let started = Instant::now();
    for n in 0..indicators {
        intake.add(
            Indicator {
                ioc: vec![name(n)],
                ..Indicator::new(n.to_string().into(), Protocol::Stix2, vec![observable(n)])
            },
            None,
        );
    }
    drop(intake);
    let (mut sightings, mut last) = (0, started);
    for message in messages {
        sightings += message.count();
        if message.count() > 0 {
            last = Instant::now();
        }
    }
    retro.join();
    Fed {
        sightings,
        last: last - started,
        end: started.elapsed(),
    }
}
