//! Several engines in one run: real nodes of Tenzir, the stand-in in both generations of
//! VAST, and a log file, each of them away and back once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::{Down, Standin, program_for};
use crate::support::tenzir::Node;
use rustix::process::Signal;
use serde_json::{Value, json};
use vast_threatbus::protocol::Sensor;

const LIMIT: Duration = Duration::from_secs(120);

/// Sensors, by name: in each wave after the first, one of them is away, in this order.
const SENSORS: [&str; 5] = ["north", "south", "old", "older", "files"];

/// The domain of a wave.
fn domain(wave: usize) -> String {
    format!("wave-{wave}.example")
}

/// The events of a sensor, one for each wave.
fn events(sensor: &str) -> Vec<Value> {
    let waves = 0..=SENSORS.len();
    waves.map(|wave| event(sensor, wave)).collect()
}

fn event(sensor: &str, wave: usize) -> Value {
    json!({
        "ts": "2024-03-05T09:00:00.000000Z",
        "uid": format!("C{sensor}{wave}"),
        "host": domain(wave),
    })
}

/// Everything that takes part.
struct Fleet {
    bridge: Observed,
    log: PathBuf,
    old: Standin,
    older: Standin,
    north: Node,
    south: Node,
}

impl Fleet {
    fn start(broker: &Broker) -> Self {
        let standin = |sensor: &str| Standin::holding(&[("zeek.http", &events(sensor))]);
        let old = standin("old").with("version", json!("2021.12.16"));
        let older = standin("older").with("version", json!("2020.12.16"));
        let [north, south] = ["north", "south"].map(|sensor| {
            let mut node = Node::start();
            node.import("zeek.http", events(sensor));
            node
        });
        let bridge = Bridge::bare().file("http.log", "");
        let vast = program_for(bridge.directory(), &[&older, &old]);
        let log = bridge.directory().join("http.log");
        let bridge = bridge
            .args(["--retro-match", "-l", "debug", "-t", &broker.endpoint()])
            .args(["-v", &format!("north=tenzir://{}", north.endpoint())])
            .args(["-v", &format!("south=tenzir://{}", south.endpoint())])
            .args(["-v", &format!("old=vast://{}", old.endpoint())])
            .args(["-v", &format!("older=vast://{}", older.endpoint())])
            .args(["--events", "http.log", "--follow"])
            .arg("--vast-binary")
            .arg(&vast)
            .arg("--tenzir-binary")
            .arg(Node::program())
            .run();
        bridge.wait_for_log("subscribed to", LIMIT);
        bridge.wait_for_log("following", LIMIT);
        // One program stands for both generations: the endpoint decides for which. The bridge has
        // queried its version without an endpoint, and uses what the older generation has.
        for (standin, release) in [(&old, "2021.12.16"), (&older, "2020.12.16")] {
            let version = Command::new(&vast)
                .args(["-e", standin.endpoint(), "version"])
                .output()
                .expect("it can be run");
            let version = String::from_utf8_lossy(&version.stdout);
            assert!(version.contains(release), "{version}");
        }
        bridge.wait_for_log("vast 2020.12.16", LIMIT);
        Fleet {
            bridge,
            log,
            old,
            older,
            north,
            south,
        }
    }

    fn take_away(&mut self, sensor: &str) {
        match sensor {
            "north" => self.north.kill(),
            "south" => self.south.freeze(),
            "old" => self.old.down(Down::Killed),
            "older" => self.older.down(Down::Stopped),
            _ => fs::rename(&self.log, self.log.with_extension("1")).expect("it is there"),
        }
    }

    fn bring_back(&mut self, sensor: &str) {
        match sensor {
            "north" => self.north.restart(),
            "south" => self.south.thaw(),
            "old" => self.old.up(),
            "older" => self.older.up(),
            _ => fs::write(&self.log, "").expect("it can be made"),
        }
    }

    /// Logs the event of a wave on the host that has only log files.
    fn log_event(&self, wave: usize) {
        let line = format!("{}\n", event("files", wave));
        let mut log = OpenOptions::new()
            .append(true)
            .open(&self.log)
            .expect("it is there");
        log.write_all(line.as_bytes()).expect("it can be written");
    }
}

/// How often each event was reported, by sensor.
type Sighted = BTreeMap<String, BTreeMap<String, usize>>;

fn take(subscriber: &Subscriber, count: usize, sighted: &mut Sighted, fleet: &Fleet) {
    let sightings = subscriber.collect_sightings(count, LIMIT);
    assert_eq!(
        sightings.len(),
        count,
        "{sighted:?}\n{}",
        fleet.bridge.log()
    );
    for sighting in sightings {
        let name = sighting["x_threatbus_source"].as_str().expect("a name");
        let sensor = Sensor::new(name.into());
        assert_eq!(sighting["where_sighted_refs"], json!([sensor.id]));
        let identity = &sighting["x_threatbus_identity"];
        assert_eq!(
            (&identity["id"], &identity["name"]),
            (&json!(sensor.id), &json!(name))
        );
        assert_eq!(identity["identity_class"], "system");
        let uid = &sighting["x_threatbus_sighting_context"]["uid"];
        let seen = sighted.entry(name.to_owned()).or_default();
        *seen
            .entry(uid.as_str().expect("a uid").to_owned())
            .or_default() += 1;
    }
}

#[test]
fn each_is_away_and_back_once_and_nothing_is_lost_or_reported_twice() {
    let broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let mut fleet = Fleet::start(&broker);
    let mut sighted = Sighted::new();
    for wave in 0..=SENSORS.len() {
        // In the first wave none is away.
        let away = wave.checked_sub(1).map(|number| SENSORS[number]);
        away.iter().for_each(|sensor| fleet.take_away(sensor));
        let before = fleet.bridge.count_logs("is searched from now on");
        publisher.publish_indicator(wave as u64 + 1, Ioc::Domain(&domain(wave)));
        fleet
            .bridge
            .wait_for_logs("is searched from now on", before + 1, LIMIT);
        if away != Some("files") {
            fleet.log_event(wave);
        }
        let there = SENSORS.len() - usize::from(away.is_some());
        take(&subscriber, there, &mut sighted, &fleet);
        if let Some(sensor) = away {
            assert!(
                !sighted[sensor].contains_key(&format!("C{sensor}{wave}")),
                "it is away"
            );
            fleet.bring_back(sensor);
            if sensor == "files" {
                fleet.log_event(wave);
            }
            take(&subscriber, 1, &mut sighted, &fleet);
        }
    }
    let all_once = |sensor: &str| {
        let waves = 0..=SENSORS.len();
        let once = waves.map(|wave| (format!("C{sensor}{wave}"), 1));
        (sensor.to_owned(), once.collect::<BTreeMap<_, _>>())
    };
    assert_eq!(sighted, SENSORS.map(all_once).into_iter().collect());
    assert!(subscriber.drain(Duration::from_secs(2)).is_empty());
    for standin in [&fleet.old, &fleet.older] {
        assert!(!standin.exports().is_empty(), "each generation was queried");
    }
    fleet.bridge.signal(Signal::TERM);
    assert!(fleet.bridge.wait(LIMIT).success(), "{}", fleet.bridge.log());
    assert!(fleet.bridge.leaves_nothing(LIMIT));
}
