//! Without a broker: indicators go straight to the batcher, sightings are only
//! counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use vast_threatbus::engine::{Connection, EngineChoice, Patience, Program, Target, open_all};
use vast_threatbus::indicator::{Indicator, Protocol};
use vast_threatbus::intake::{Budget, Fates, Intake};
use vast_threatbus::observable::Observable;
use vast_threatbus::observe::metrics::Metrics;
use vast_threatbus::process::stop::Stop;
use vast_threatbus::retro::{Lane, Retro, RetroSettings};
use vast_threatbus::sighting::message::WriterMessage;
use vast_threatbus::sighting::report::{Destination, ReportSettings};

use crate::engine::{MATCH_EVERY, engine, list_query, name};
use crate::results::{Results, round};
use crate::support::standin::Standin;

const INDICATORS: usize = 100_000;

pub fn run(results: &mut Results) {
    let (engine, scratch) = engine(INDICATORS);
    let list = list_query(&engine, INDICATORS, scratch.path());
    // What the program comes with, and all in one.
    for (workers, batch_size) in [(8, 10_000), (1, INDICATORS)] {
        let calls = engine.exports().len();
        let (sightings, last) = feed(&engine, workers, batch_size);
        results.add(
            "batcher alone",
            &[
                ("indicators", json!(INDICATORS)),
                ("workers", json!(workers)),
                ("batch size", json!(batch_size)),
                ("seconds", round(last.as_secs_f64())),
                ("one list query s", round(list.as_secs_f64())),
                ("ratio", round(last.as_secs_f64() / list.as_secs_f64())),
                ("sightings", json!(sightings)),
                ("expected", json!(INDICATORS / MATCH_EVERY)),
                ("processes", json!(engine.exports().len() - calls)),
            ],
        );
    }
}

/// Puts all indicators in; gives the number of sightings and the time of the
/// last.
fn feed(engine: &Standin, workers: usize, batch_size: usize) -> (u64, Duration) {
    let stop = Stop::new().expect("two socket pairs");
    let metrics = Arc::new(Metrics::default());
    let program = Program {
        scope: Default::default(),
        path: Some(engine.path().to_owned()),
        endpoint: Some(engine.endpoint().parse().expect("an endpoint")),
    };
    let limit = Some(Duration::from_secs(10));
    let target = Target {
        name: "vast".into(),
        choice: EngineChoice::Vast,
        program,
    };
    let client = open_all(&[target], &stop).pop().expect("one is asked for");
    let connection = Arc::new(Connection::new(client, None, metrics.clone()));
    let opened = connection.open(Patience::Limited(limit), &stop);
    assert!(opened.is_ok() && connection.is_up(), "the stand-in answers");
    let (writer, parcels) = crossbeam_channel::bounded::<WriterMessage>(64);
    let report = ReportSettings::plain(Destination::Stdout);
    let settings = RetroSettings {
        batch_size,
        max_events: None,
        timeout: None,
    };
    let budget = Budget::new(1);
    let fates = Fates::new(metrics);
    let (intake, arrivals, account) = Intake::stored(&"vast".into(), fates.clone(), &budget);
    let lane = Lane {
        number: 1,
        connection,
        arrivals,
        account,
        report: report.into(),
        fates,
    };
    let retro = Retro::start(&settings, workers, vec![lane], &writer, &stop)
        .expect("threads can be started");
    drop(writer);
    let started = Instant::now();
    for n in 0..INDICATORS {
        let name = name(n);
        intake.add(
            Indicator {
                ioc: vec![name.clone()],
                ..Indicator::new(
                    n.to_string().into(),
                    Protocol::Stix2,
                    vec![Observable::domain(&name)],
                )
            },
            None,
        );
    }
    drop(intake);
    let (mut sightings, mut last) = (0, started);
    for parcel in parcels {
        sightings += parcel.count();
        if parcel.count() > 0 {
            last = Instant::now();
        }
    }
    retro.join();
    (sightings, last - started)
}
