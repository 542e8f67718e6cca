//! The test bed itself: each real broker starts and serves, and does what the bridge relies on.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::broker::{Broker, BrokerKind, Ports, manage, manage_raw};
use crate::support::judge::judge_stix;
use crate::support::manager::{FakeManager, Reply};
use crate::support::messages::{self, Ioc};
use crate::support::observed::{Observed, Reader};
use crate::support::peer::{Publisher, SnapshotServer, Subscriber};
use rustix::process::Signal;
use serde_json::{Value, json};
use vast_threatbus::indicator::Protocol;

/// Long enough for anything that a broker does within a second.
const LIMIT: Duration = Duration::from_secs(10);

/// Longer than the second after which a broker reads its list of subscribers again.
const QUIET: Duration = Duration::from_millis(1_500);

fn for_each_broker(check: impl Fn(Broker)) {
    for kind in BrokerKind::ALL {
        println!("broker {}", kind.version());
        check(Broker::start(kind));
    }
}

/// The broker parses messages and writes them again, so dates lose milliseconds that are zero.
fn same_but_dates(sent: &Value, received: &Value) -> bool {
    let plain = |value: &Value| value.to_string().replace(".000Z", "Z");
    plain(sent) == plain(received)
}

#[test]
fn indicators_and_sightings_reach_their_subscribers() {
    for_each_broker(|broker| {
        let kind = broker.kind();
        let indicators = Subscriber::indicators(&broker);
        let sightings = Subscriber::sightings(&broker);
        let mut publisher = Publisher::connect(&broker);

        let iocs = [
            Ioc::Ip("6.6.6.6"),
            Ioc::Ip("2001:db8::6"),
            Ioc::Domain("evil.example"),
            Ioc::Url("http://evil.example/it's"),
        ];
        for (n, ioc) in (1..).zip(iocs) {
            let id = publisher.publish_indicator(n, ioc);
            let (suffix, received) = indicators.recv(LIMIT).expect("the indicator");
            assert_eq!(suffix, kind.indicator_suffix());
            assert_eq!(received["id"], id);
            let sent = messages::indicator(kind, n, ioc);
            assert!(same_but_dates(&sent, &received), "{sent} → {received}");
        }
        let sent = messages::sighting(kind, 1, &json!({"source": "VAST", "n": 1}));
        publisher.send(kind.sighting_topic(), &sent);
        let (suffix, received) = sightings.recv(LIMIT).expect("the sighting");
        assert_eq!(suffix, "sighting");
        assert!(same_but_dates(&sent, &received), "{sent} → {received}");

        let removal = messages::removal(kind, 1, iocs[0]);
        publisher.send_indicator(&removal);
        let (_, received) = indicators.recv(LIMIT).expect("the removal");
        assert!(
            same_but_dates(&removal, &received),
            "{removal} → {received}"
        );

        assert_eq!(indicators.drain(QUIET), []);
        assert_eq!(sightings.drain(Duration::ZERO), []);
    });
}

#[test]
fn a_burst_of_indicators_arrives_whole_and_in_order() {
    for_each_broker(|broker| {
        let subscriber = Subscriber::indicators(&broker);
        let mut publisher = Publisher::connect(&broker);
        let ids: Vec<String> = (0..500)
            .map(|n| publisher.publish_indicator(n, Ioc::Ip("6.6.6.6")))
            .collect();
        let suffix = broker.kind().indicator_suffix();
        let received = subscriber.collect(suffix, ids.len(), LIMIT);
        let received: Vec<_> = received.iter().map(|message| &message["id"]).collect();
        assert_eq!(received, ids.iter().collect::<Vec<_>>());
    });
}

#[test]
fn the_broker_shows_its_generation_by_what_it_subscribes_to() {
    for_each_broker(|broker| {
        let mut publisher = Publisher::connect(&broker);
        let expected: &[&str] = match broker.kind().protocol() {
            Protocol::Legacy => &[
                "threatbus/intel",
                "threatbus/sighting",
                "threatbus/snapshotenvelope",
            ],
            Protocol::Stix2 => &["stix2/", "threatbus/snapshotenvelope"],
        };
        let subscriptions = publisher.subscriptions();
        assert!(subscriptions.iter().eq(expected), "{subscriptions:?}");
    });
}

#[test]
fn a_snapshot_comes_from_another_app() {
    for_each_broker(|broker| {
        let kind = broker.kind();
        let indicators: Vec<Value> = (0..50)
            .map(|n| messages::indicator(kind, n, Ioc::Domain("evil.example")))
            .collect();
        let server = SnapshotServer::start(&broker, indicators);

        let subscriber = Subscriber::subscribe(&broker, kind.indicator_topic(), 30);
        let received = subscriber.collect(kind.indicator_suffix(), 50, LIMIT);
        let received: Vec<_> = received.iter().map(|message| &message["id"]).collect();
        let expected: Vec<_> = (0..50).map(|n| messages::indicator_id(kind, n)).collect();
        assert_eq!(received, expected.iter().collect::<Vec<_>>());

        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert_eq!(requests[0]["snapshot"], 30 * 24 * 60 * 60);
    });
}

#[test]
fn the_snapshot_server_outlives_its_broker() {
    for_each_broker(|mut broker| {
        let kind = broker.kind();
        let indicator = messages::indicator(kind, 1, Ioc::Ip("6.6.6.6"));
        let server = SnapshotServer::start(&broker, vec![indicator]);
        broker.restart();
        // Long enough for it to check twice.
        std::thread::sleep(Duration::from_millis(700));
        let subscriber = Subscriber::subscribe(&broker, kind.indicator_topic(), 1);
        let received = subscriber.collect(kind.indicator_suffix(), 1, LIMIT);
        assert_eq!(received.len(), 1);
        assert_eq!(server.requests().len(), 1);
    });
}

#[test]
fn a_topic_is_known_until_it_is_given_up() {
    for_each_broker(|broker| {
        let subscriber = Subscriber::indicators(&broker);
        let mut publisher = Publisher::connect(&broker);
        assert_eq!(subscriber.heartbeat(), Some(true));
        assert_eq!(subscriber.unsubscribe(), Some(true));
        assert_eq!(subscriber.heartbeat(), Some(false));
        assert_eq!(subscriber.unsubscribe(), Some(false));
        publisher.publish_indicator(1, Ioc::Ip("6.6.6.6"));
        assert_eq!(subscriber.drain(QUIET), []);
    });
}

#[test]
fn a_restarted_broker_knows_no_topic_but_hears_its_publishers() {
    for_each_broker(|mut broker| {
        let mut subscriber = Subscriber::indicators(&broker);
        let mut publisher = Publisher::connect(&broker);
        broker.kill();
        assert_eq!(subscriber.heartbeat(), None);
        broker.restart();
        assert_eq!(subscriber.heartbeat(), Some(false));

        assert!(subscriber.renew());
        assert_eq!(subscriber.heartbeat(), Some(true));
        let id = publisher.publish_indicator(1, Ioc::Ip("6.6.6.6"));
        let (_, received) = subscriber.recv(LIMIT).expect("the indicator");
        assert_eq!(received["id"], id);
    });
}

#[test]
fn a_frozen_broker_answers_when_it_thaws() {
    let mut broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::indicators(&broker);
    broker.stop();
    assert_eq!(subscriber.heartbeat(), None);
    broker.cont();
    assert_eq!(subscriber.heartbeat(), Some(true));
}

#[test]
fn a_broker_can_come_after_those_who_wait_for_it() {
    let ports = Ports::free();
    let waiting = std::thread::spawn(move || {
        let endpoint = format!("127.0.0.1:{}", ports.manage);
        manage(
            &endpoint,
            &json!({"action": "heartbeat", "topic": "y"}),
            Duration::from_secs(30),
        )
    });
    let broker = Broker::start_on(BrokerKind::Ports, ports);
    assert_eq!(broker.ports(), ports);
    let answer = waiting.join().expect("the request does not panic");
    assert_eq!(answer, Some(json!({"status": "error"})));
}

#[test]
fn brokers_refuse_what_is_not_a_request() {
    for_each_broker(|broker| {
        let unknown = json!({"status": "unknown request"});
        let reply = broker.manage(&json!({"action": "frobnicate", "topic": "x"}), LIMIT);
        assert_eq!(reply, Some(unknown));
        let reply = manage_raw(&broker.endpoint(), b"\xff", LIMIT).expect("an answer");
        assert_eq!(reply, br#"{"status": "error"}"#);
    });
}

#[test]
fn a_fake_manager_gives_the_answers_it_was_given() {
    let manager = FakeManager::scripted(vec![
        Reply::Raw(b"no JSON".to_vec()),
        Reply::Silence,
        Reply::subscribed("p2p", 1, 2),
        Reply::success(),
    ]);
    let request = json!({"action": "heartbeat", "topic": "x"});
    let ask = |limit| manage_raw(manager.endpoint(), request.to_string().as_bytes(), limit);
    assert_eq!(ask(LIMIT), Some(b"no JSON".to_vec()));
    let before = Instant::now();
    assert_eq!(ask(Duration::from_millis(200)), None);
    // ZeroMQ's clock and the system's differ by a millisecond or two.
    assert!(before.elapsed() >= Duration::from_millis(150));
    let reply = manage(manager.endpoint(), &request, LIMIT).expect("the third answer");
    assert_eq!(
        (&reply["pub_port"], &reply["sub_port"]),
        (&json!(1), &json!(2))
    );
    let success = Some(json!({"status": "success"}));
    assert_eq!(manage(manager.endpoint(), &request, LIMIT), success);
    assert_eq!(manage(manager.endpoint(), &request, LIMIT), success);
    assert_eq!(manager.requests(), vec![request; 5]);
}

#[test]
fn the_judge_tells_good_objects_from_bad() {
    let good = messages::stix_sighting(1, &messages::stix_id(1), &json!({"a": 1}));
    let mut carrying = good.clone();
    carrying["x_threatbus_indicator"] = messages::stix_indicator(1, "[url:value = 'x']", None);
    let objects = judge_stix("sighting", &[good.to_string(), carrying.to_string()])
        .expect("both are sightings");
    assert_eq!(objects[0]["sighting_of_ref"], messages::stix_id(1));
    assert_eq!(objects[1]["x_threatbus_indicator"]["type"], "indicator");

    let mut bad_reference = good.clone();
    bad_reference["sighting_of_ref"] = json!("86");
    carrying["x_threatbus_indicator"]["pattern"] = json!("[no pattern");
    let indicator = messages::stix_indicator(1, "[url:value = 'x']", None);
    for bad in [bad_reference, carrying, indicator, json!({})] {
        let verdict = judge_stix("sighting", &[good.to_string(), bad.to_string()]);
        assert!(verdict.is_err(), "{bad} → {verdict:?}");
    }
}

fn shell(script: &str, reader: Reader) -> Observed {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Observed::start(command, Scratch::new(), reader)
}

#[test]
fn an_observed_process_shows_what_it_writes_and_how_it_ends() {
    let script = "echo one; echo two; echo complaint >&2; exit 3";
    let mut process = shell(script, Reader::Patient);
    assert_eq!(process.line(LIMIT).as_deref(), Some("one"));
    assert_eq!(process.rest(LIMIT), ["two"]);
    assert_eq!(process.wait_for_log("compl", LIMIT), "complaint");
    assert_eq!(process.wait(LIMIT).code(), Some(3));
    assert_eq!(process.log(), "complaint\n");
    assert!(process.leaves_nothing(Duration::ZERO));
}

#[test]
fn a_process_notices_that_its_reader_is_gone() {
    let mut process = shell("while echo line; do sleep 0.01; done", Reader::GoneAfter(1));
    assert_eq!(process.rest(LIMIT), ["line"]);
    let status = process.wait(LIMIT);
    assert_eq!(status.signal(), Some(Signal::PIPE.as_raw()));
}

#[test]
fn what_an_observed_process_starts_is_found_and_killed() {
    // One child has its own session and outlives its parent, the other one stays.
    let script = "(setsid sleep 600 &) ; sleep 601 & echo started; wait";
    let mut process = shell(script, Reader::Patient);
    assert_eq!(process.line(LIMIT).as_deref(), Some("started"));
    assert_eq!(process.children().len(), 1);
    assert!(crate::support::eventually(LIMIT, || process
        .offspring()
        .len()
        == 2));
    let offspring = process.offspring();
    assert!(process.resident() > 0 && process.peak_resident() >= process.resident());

    process.signal(Signal::TERM);
    assert!(!process.wait(LIMIT).success());
    assert!(!process.leaves_nothing(Duration::from_millis(100)));
    drop(process);
    let gone = |pid: &u32| crate::support::process::Process::read(*pid).is_none_or(|p| p.zombie);
    assert!(crate::support::eventually(LIMIT, || offspring
        .iter()
        .all(gone)));
}
