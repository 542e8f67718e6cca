//! Live matching from end to end, with each kind of engine on each bus protocol.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use crate::support::bed::indicator_of;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{self, Ioc};
use crate::support::observed::Reader;
use crate::support::scene::{LIMIT, Scene, context, request_now, uids};
use crate::support::standin::{Down, Standin};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The ways of live matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Attach,
    Start,
    Continuous,
}

/// How long the node is away, and so how long the gap is that the bridge reports.
const AWAY: Duration = Duration::from_secs(4);

const ENGINES: [Engine; 3] = [Engine::Attach, Engine::Start, Engine::Continuous];

impl Engine {
    /// A stand-in of this kind that holds no event yet.
    fn standin(self) -> Standin {
        let standin = Standin::holding(&[("zeek.http", &[])]);
        let state = standin.file("state");
        match self {
            Engine::Attach => standin
                .with("version", json!("2021.08.26"))
                .with("matcher", json!("attach"))
                .with("matchers", json!(["threatbus"]))
                .with("state", json!(state)),
            Engine::Start => standin
                .with("version", json!("2020.12.16"))
                .with("matcher", json!("start"))
                .with("state", json!(state)),
            Engine::Continuous => standin,
        }
    }

    /// What the log says when an indicator, or its withdrawal, has taken effect.
    fn signs(self) -> (&'static str, &'static str) {
        match self {
            Engine::Attach | Engine::Start => (
                "the matcher knows the value",
                "the matcher knows the removal",
            ),
            Engine::Continuous => ("is matched live", "is withdrawn and no longer matched"),
        }
    }
}

/// Does the same on every bus at the same time, since most of the time is waiting.
fn on_every_bus(check: impl Fn(BrokerKind) + Sync) {
    on_each(&BrokerKind::ALL, check);
}

fn on_each(kinds: &[BrokerKind], check: impl Fn(BrokerKind) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || check(*kind));
        }
    });
}

/// A bridge that is up and only matches live.
fn live(kind: BrokerKind, engine: Engine, arguments: &[&str]) -> Scene {
    let fixed = [
        "--no-retro-match",
        "--live-match",
        "--matcher-name",
        "threatbus",
    ];
    let arguments = [&fixed, arguments].concat();
    let scene = Scene::with(kind, engine.standin(), &arguments, Reader::Patient);
    scene.bridge.wait_for_log("matching new events", LIMIT);
    scene
}

/// Adds one request to this host to the stand-in's events, as a sensor would, at the present time.
fn import(scene: &Scene, host: &str, n: usize) {
    let event = request_now(host, n);
    let path = scene.engine.file("events").join("zeek.http.json");
    let file = OpenOptions::new().append(true).create(true).open(path);
    let line = format!("{event}\n");
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.expect("a file of the test can be written");
}

/// The indicators of the next sightings, in order; fewer if no more come.
fn indicators(scene: &Scene, count: usize) -> Vec<String> {
    let sightings = scene.sightings.collect_sightings(count, LIMIT);
    let kind = scene.broker.kind();
    sightings
        .iter()
        .map(|one| indicator_of(kind, one))
        .collect()
}

fn withdraw(scene: &mut Scene, n: u64, domain: &str) {
    let kind = scene.broker.kind();
    let removal = messages::removal(kind, n, Ioc::Domain(domain));
    scene.publisher.send_indicator(&removal);
}

/// It has no value to look up. A matcher of VAST's own cannot have it; otherwise the bridge checks
/// every event.
#[test]
fn a_pattern_without_a_value_to_look_up_is_live_where_events_are_matched_here() {
    let pattern = "[domain-name:value LIKE '%.evil.example' AND url:value != '/good']";
    let indicator = messages::stix_indicator(1, pattern, None);
    let id = indicator["id"].as_str().expect("an id").to_owned();
    let mut scene = live(BrokerKind::Ports, Engine::Attach, &[]);
    scene.publisher.send_indicator(&indicator);
    let words = "is rejected for live matching: a part of it has to be checked here";
    scene.bridge.wait_for_log(words, LIMIT);
    let mut scene = live(BrokerKind::Ports, Engine::Continuous, &[]);
    scene.publisher.send_indicator(&indicator);
    scene.bridge.wait_for_log("is matched live", LIMIT);
    import(&scene, "evil.example", 1);
    import(&scene, "a.evil.example", 2);
    assert_eq!(indicators(&scene, 1), [&*id]);
    // Events that are imported during an outage are searched by a separate query.
    let calls = scene.engine.calls();
    let child = calls.iter().find(|call| call.is("--continuous"));
    crate::support::process::kill(
        u32::try_from(child.expect("it runs").pid).expect("a process id"),
    );
    scene.bridge.wait_for_log("starting it again", LIMIT);
    import(&scene, "b.evil.example", 3);
    assert_eq!(indicators(&scene, 1), [&*id]);
    let queries = scene.engine.exports();
    let mut queries = queries.iter().filter_map(|call| call.stdin.as_deref());
    let start =
        r#"((".evil.example" in net.domain || ".evil.example" in net.hostname)) && #timestamp > "#;
    assert!(
        queries.any(|query| query.starts_with(start)),
        "{:?}",
        scene.engine.exports()
    );
}

#[test]
fn an_indicator_is_matched_from_its_coming_to_its_going() {
    for engine in ENGINES {
        for kind in BrokerKind::ALL {
            let mut scene = live(kind, engine, &[]);
            let (comes, goes) = engine.signs();
            let one = scene.publish(1, "a.example");
            let other = scene.publish(2, "b.example");
            scene.bridge.wait_for_logs(comes, 2, LIMIT);
            import(&scene, "a.example", 1);
            assert_eq!(indicators(&scene, 1), [&*one], "{engine:?} {kind:?}");
            withdraw(&mut scene, 1, "a.example");
            scene.bridge.wait_for_log(goes, LIMIT);
            import(&scene, "a.example", 2);
            import(&scene, "b.example", 3);
            assert_eq!(indicators(&scene, 1), [&*other], "{engine:?} {kind:?}");
            scene.publish(1, "a.example");
            scene.bridge.wait_for_logs(comes, 3, LIMIT);
            import(&scene, "a.example", 4);
            assert_eq!(indicators(&scene, 1), [&*one], "{engine:?} {kind:?}");
            let counters = scene.end();
            assert!(counters.contains("sightings_live=3"), "{counters}");
        }
    }
}

#[test]
fn a_sighting_says_what_live_matching_knows() {
    for engine in ENGINES {
        let mut scene = live(BrokerKind::Ports, engine, &[]);
        let id = scene.publish(1, "a.example.");
        scene.bridge.wait_for_log(engine.signs().0, LIMIT);
        import(&scene, "a.example", 1);
        let sighting = scene.sightings.collect_sightings(1, LIMIT).remove(0);
        assert_eq!(sighting["sighting_of_ref"], json!(id));
        assert_eq!(sighting["x_threatbus_match_type"], "LIVE");
        assert_eq!(sighting["x_threatbus_indicator_value"], "a.example.");
        assert!(sighting.get("x_threatbus_indicator").is_none());
        let context = context(BrokerKind::Ports, &sighting);
        match engine {
            Engine::Start => assert_eq!(context, json!({})),
            Engine::Attach | Engine::Continuous => assert_eq!(context["uid"], "C1"),
        }
        // It is the time of the event, not of the sighting.
        assert!(sighting["last_seen"].as_str() < sighting["created"].as_str());
    }
}

#[test]
fn where_a_matcher_does_not_name_the_indicator_its_value_does() {
    let mut scene = live(BrokerKind::Ports, Engine::Attach, &[]);
    scene.engine.set("matcher_probabilistic", json!(true));
    // The child is started again, and so reads that setting.
    scene.engine.down(Down::Stopped);
    scene.bridge.wait_for_log("starting it again", LIMIT);
    scene.engine.up();
    scene.bridge.wait_for_log("is back after", LIMIT);
    let id = scene.publish(1, "a.example");
    scene.publisher.publish_indicator(2, Ioc::Ip("192.0.2.1"));
    scene
        .bridge
        .wait_for_logs(Engine::Attach.signs().0, 2, LIMIT);
    import(&scene, "a.example", 1);
    assert_eq!(indicators(&scene, 1), [id]);
    // A value that another program put there.
    let state = json!({"change": "add", "matcher": "threatbus", "value": "b.example",
        "reference": null});
    let file = OpenOptions::new()
        .append(true)
        .open(scene.engine.file("state"));
    let written = file.and_then(|mut file| writeln!(file, "{state}"));
    written.expect("a file of the test can be written");
    import(&scene, "b.example", 2);
    let sighting = scene.sightings.collect_sightings(1, LIMIT).remove(0);
    assert_eq!(
        sighting["sighting_of_ref"],
        "note--00000000-0000-4000-8000-000000000000"
    );
    assert_eq!(sighting["x_threatbus_indicator_value"], "b.example");
}

/// The contexts of all sightings up to one of a request to this host, in order of their numbers.
fn uids_until(scene: &mut Scene, engine: Engine, domain: &str) -> Vec<String> {
    let last = scene.publish(999, domain);
    let sign = match engine {
        Engine::Attach | Engine::Start => format!("the matcher knows the value {domain}"),
        Engine::Continuous => format!("indicator {last} is matched live"),
    };
    scene.bridge.wait_for_log(&sign, LIMIT);
    import(scene, domain, 1000);
    let kind = scene.broker.kind();
    let mut contexts = Vec::new();
    loop {
        let next = scene.sightings.collect_sightings(1, LIMIT).pop();
        let next = next.unwrap_or_else(|| panic!("no more:\n{}", scene.bridge.log()));
        if indicator_of(kind, &next) == last {
            return uids(&contexts);
        }
        contexts.push(context(kind, &next));
    }
}

#[test]
fn a_child_that_is_killed_is_started_again_and_nothing_is_missed_or_reported_twice() {
    for (engine, retro) in [
        (Engine::Continuous, "--retro-match"),
        (Engine::Continuous, "--no-retro-match"),
        (Engine::Attach, "--no-retro-match"),
        (Engine::Start, "--no-retro-match"),
    ] {
        on_every_bus(|kind| a_child_is_killed(kind, engine, retro));
    }
}

fn a_child_is_killed(kind: BrokerKind, engine: Engine, retro: &str) {
    let mut scene = live(kind, engine, &[retro]);
    // What a matcher of 2020 finds has no context; what the gap's query finds has one.
    let found_live = |uid| if engine == Engine::Start { "" } else { uid };
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log(engine.signs().0, LIMIT);
    if retro == "--retro-match" {
        scene.wait_for_answers(1);
    }
    import(&scene, "a.example", 1);
    assert_eq!(uids(&scene.contexts(1)), [found_live("C1")]);
    let stays = |call: &&crate::support::standin::Call| {
        ["--continuous", "attach", "start"]
            .iter()
            .any(|word| call.is(word))
            && !call.is("--help")
    };
    let calls = scene.engine.calls();
    let child = calls.iter().find(stays).expect("it runs");
    crate::support::process::kill(u32::try_from(child.pid).expect("a process id"));
    scene.bridge.wait_for_log("starting it again", LIMIT);
    import(&scene, "a.example", 2);
    scene.bridge.wait_for_log("is back after", LIMIT);
    scene.bridge.wait_for_log("searched the events", LIMIT);
    import(&scene, "a.example", 3);
    let mut expected = ["C2", found_live("C3")];
    expected.sort_by_key(|uid| (uid.len(), *uid));
    assert_eq!(uids_until(&mut scene, engine, "z.example"), expected);
    let queries = scene.engine.exports();
    let gap = queries.iter().filter_map(|call| call.stdin.as_deref());
    let gap: Vec<&str> = gap.filter(|query| query.contains("#timestamp >")).collect();
    assert_eq!(gap.len(), 1, "{queries:?}");
    let counters = scene.end();
    assert!(counters.contains("sightings_live=4"), "{counters}");
}

#[test]
fn what_expires_or_is_revoked_is_matched_no_more() {
    for engine in [Engine::Attach, Engine::Continuous] {
        let mut scene = live(BrokerKind::Ports, engine, &[]);
        let (comes, _) = engine.signs();
        scene.publisher.wait_until_heard();
        let until = time::OffsetDateTime::from(SystemTime::now() + Duration::from_secs(8));
        // The broker does not read fractions below a microsecond.
        let until = until
            .replace_nanosecond(0)
            .expect("a second has a beginning");
        let until = until.format(&time::format_description::well_known::Rfc3339);
        let mut expires = messages::stix_indicator(1, "[domain-name:value = 'a.example']", None);
        expires["valid_until"] = json!(until.expect("a time"));
        scene.publisher.send_indicator(&expires);
        let mut revoked = messages::stix_indicator(2, "[domain-name:value = 'b.example']", None);
        scene.publisher.send_indicator(&revoked);
        let stays = scene.publish(3, "c.example");
        scene.bridge.wait_for_logs(comes, 3, LIMIT);
        revoked["revoked"] = json!(true);
        scene.publisher.send_indicator(&revoked);
        scene
            .bridge
            .wait_for_log("has expired and is no longer matched", LIMIT);
        if engine == Engine::Attach {
            scene
                .bridge
                .wait_for_logs("the matcher knows the removal", 2, LIMIT);
        }
        // It has ended long ago.
        expires["id"] = json!(messages::stix_id(4));
        scene.publisher.send_indicator(&expires);
        scene
            .bridge
            .wait_for_log("is expired: it is not searched", LIMIT);
        for host in ["a.example", "b.example", "c.example"] {
            import(&scene, host, 1);
        }
        assert_eq!(indicators(&scene, 1), [stays], "{engine:?}");
        let counters = scene.end();
        assert!(counters.contains("sightings_live=1"), "{counters}");
        assert!(counters.contains("indicators_expired=1"), "{counters}");
    }
}

#[test]
fn what_is_imported_while_the_node_is_away_is_found_when_it_is_back() {
    for engine in ENGINES {
        on_every_bus(|kind| {
            // Each on at least one generation of the bus.
            let how = match kind {
                BrokerKind::Legacy | BrokerKind::Ports => Down::Killed,
                BrokerKind::Endpoints => Down::Stopped,
            };
            the_node_is_away(kind, engine, how);
        });
    }
}

fn the_node_is_away(kind: BrokerKind, engine: Engine, how: Down) {
    let mut scene = live(kind, engine, &[]);
    let (comes, _) = engine.signs();
    let id = scene.publish(1, "a.example");
    scene.bridge.wait_for_log(comes, LIMIT);
    scene.engine.down(how);
    scene.bridge.wait_for_log("starting it again", LIMIT);
    let left = Instant::now();
    import(&scene, "a.example", 1);
    std::thread::sleep(AWAY);
    import(&scene, "a.example", 2);
    scene.engine.up();
    let back = scene.bridge.wait_for_log("is back after", LIMIT);
    let gap = left.elapsed().as_secs_f64();
    let length = back.split("is back after ").nth(1);
    let length = length.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    let length = length.unwrap_or_else(|| panic!("no length of the gap: {back}"));
    assert!(
        (AWAY.as_secs_f64() - 1.0..gap + 2.0).contains(&length),
        "{gap}: {back}"
    );
    scene.bridge.wait_for_log("searched the events", LIMIT);
    assert_eq!(indicators(&scene, 2), [&*id, &*id], "{engine:?} {kind:?}");
    if engine == Engine::Start {
        // The new child is given the indicator again.
        scene.bridge.wait_for_logs(comes, 2, LIMIT);
    }
    import(&scene, "a.example", 3);
    assert_eq!(indicators(&scene, 1), [id], "{engine:?} {kind:?}");
    assert!(scene.sightings.drain(Duration::from_millis(500)).is_empty());
    let log = scene.bridge.log();
    assert_eq!(scene.bridge.count_logs("starting it again"), 1, "{log}");
}

#[test]
fn a_release_without_a_bound_on_time_is_queried_without_one() {
    let mut scene = live(BrokerKind::Ports, Engine::Continuous, &[]);
    scene.engine.set("time_extractors", json!([]));
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is matched live", LIMIT);
    import(&scene, "a.example", 1);
    assert_eq!(uids(&scene.contexts(1)), ["C1"]);
    // Long enough that the first event is not in the gap.
    std::thread::sleep(Duration::from_secs(2));
    scene.engine.down(Down::Killed);
    scene.bridge.wait_for_log("starting it again", LIMIT);
    import(&scene, "a.example", 2);
    scene.engine.up();
    scene.bridge.wait_for_log("searched the events", LIMIT);
    assert_eq!(
        uids_until(&mut scene, Engine::Continuous, "z.example"),
        ["C2"]
    );
}

#[test]
fn a_burst_of_indicators_is_matched_whole() {
    // One of the engines starts a process for each indicator: once for each protocol is enough.
    let kinds = [BrokerKind::Legacy, BrokerKind::Ports];
    for engine in ENGINES {
        on_each(&kinds, |kind| a_burst(kind, engine));
    }
}

fn a_burst(kind: BrokerKind, engine: Engine) {
    const COUNT: u64 = 10_000;
    let mut scene = live(kind, engine, &[]);
    scene.publisher.wait_until_heard();
    for n in 0..COUNT {
        let domain = format!("{n}.example");
        let indicator = messages::indicator(kind, n, Ioc::Domain(&domain));
        scene.publisher.send_indicator(&indicator);
    }
    let known = || match engine {
        Engine::Continuous => scene.bridge.count_logs("is matched live"),
        Engine::Attach => scene.bridge.count_logs("the matcher knows the value"),
        Engine::Start => imported(&scene.engine),
    };
    // Looked at rarely, since the log is long.
    let until = Instant::now() + Duration::from_secs(600);
    while known() < usize::try_from(COUNT).expect("a small number") {
        assert!(
            Instant::now() < until,
            "{} of {COUNT}:\n{}",
            known(),
            scene.bridge.log()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    import(&scene, "0.example", 1);
    import(&scene, "9999.example", 2);
    let mut found = indicators(&scene, 2);
    found.sort();
    let ids = [0, COUNT - 1].map(|n| messages::indicator_id(kind, n));
    assert_eq!(found, ids, "{engine:?}");
    if engine == Engine::Start {
        // Each import is a process, so indicators are collected for one.
        let calls = scene.engine.calls();
        let imports = calls.iter().filter(|call| call.is("import")).count();
        assert!(imports < 1000, "{imports}");
    }
}

/// How many lines of indicators the engine received.
fn imported(engine: &Standin) -> usize {
    let calls = engine.calls();
    let imports = calls.iter().filter(|call| call.is("import"));
    let inputs = imports.filter_map(|call| call.stdin.as_deref());
    inputs.map(|text| text.lines().count()).sum()
}

#[test]
fn a_matcher_that_the_node_does_not_run_is_an_error() {
    let engine = Engine::Attach.standin();
    let broker = Broker::start(BrokerKind::Ports);
    let run = |arguments: &[&str]| {
        let fixed = ["--no-retro-match", "--live-match"];
        let arguments = [&fixed, arguments].concat();
        let mut bridge = crate::support::bridge::Bridge::start(&broker, &engine, &arguments);
        let status = bridge.wait(LIMIT);
        assert_eq!(status.code(), Some(2), "{}", bridge.log());
        bridge.log()
    };
    let log = run(&["--matcher-name", "nobody"]);
    assert!(log.contains("unknown matcher nobody"), "{log}");
    assert!(log.contains("--matcher-name"), "{log}");
    // With several, one has to be named.
    let log = run(&[]);
    assert!(log.contains("name one with --matcher-name"), "{log}");
    let log = run(&["--live-engine", "start"]);
    assert!(log.contains("--live-engine"), "{log}");
}

#[test]
fn a_value_that_a_command_line_would_take_for_an_option_is_rejected() {
    for engine in [Engine::Attach, Engine::Start] {
        let mut scene = live(BrokerKind::Ports, engine, &[]);
        scene.publish(1, "-x.example");
        let line = scene
            .bridge
            .wait_for_log("rejected for live matching", LIMIT);
        assert!(line.contains("leading `-`"), "{line}");
        let id = scene.publish(2, "a.example");
        scene.bridge.wait_for_log(engine.signs().0, LIMIT);
        import(&scene, "a.example", 1);
        assert_eq!(indicators(&scene, 1), [id]);
        let calls = scene.engine.calls();
        let mut inputs = calls.iter().filter_map(|call| call.stdin.as_deref());
        assert!(!inputs.any(|text| text.contains("-x.example")));
        assert!(!calls.iter().any(|call| call.is("-x.example")));
    }
}

#[test]
fn two_indicators_with_one_value_are_both_sighted() {
    for engine in ENGINES {
        let mut scene = live(BrokerKind::Ports, engine, &[]);
        let one = scene.publish(1, "a.example");
        let other = scene.publish(2, "a.example");
        scene.bridge.wait_for_logs("is matched live", 2, LIMIT);
        scene.bridge.wait_for_log(engine.signs().0, LIMIT);
        import(&scene, "a.example", 1);
        let mut found = indicators(&scene, 2);
        found.sort();
        assert_eq!(found, [&*one, &*other], "{engine:?}");
        withdraw(&mut scene, 1, "a.example");
        scene.bridge.wait_for_log("is withdrawn and", LIMIT);
        import(&scene, "a.example", 2);
        assert_eq!(indicators(&scene, 1), [other], "{engine:?}");
    }
}

#[test]
fn live_matching_is_done_by_default() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = Engine::Continuous.standin();
    let mut bridge = crate::support::bridge::Bridge::bare()
        .args(["-t", &broker.endpoint(), "-v", engine.endpoint(), "-b"])
        .arg(engine.path())
        .run();
    let line = bridge.wait_for_log("this VAST has no matcher", LIMIT);
    assert!(line.contains("INFO"), "{line}");
    bridge.wait_for_log("matching new events", LIMIT);
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    assert!(bridge.leaves_nothing(LIMIT));
    let calls = engine.calls();
    let count = |word: &str| calls.iter().filter(|call| call.is(word)).count();
    assert_eq!(
        (count("attach"), count("start"), count("concepts")),
        (1, 1, 1)
    );
}

#[test]
fn standard_output_gets_each_match_as_it_comes() {
    let mut scene = live(
        BrokerKind::Legacy,
        Engine::Continuous,
        &["--sink", "STDOUT"],
    );
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is matched live", LIMIT);
    for n in 1..=3 {
        import(&scene, "a.example", n);
        let line = scene.bridge.line(LIMIT).expect("a match");
        let event: Value = serde_json::from_str(&line).expect("an event");
        assert_eq!(event["uid"], json!(format!("C{n}")));
    }
}

#[test]
fn what_live_matching_has_reported_is_not_reported_again_by_a_later_run() {
    let engine = Engine::Continuous.standin();
    let state = engine.file("state-directory").display().to_string();
    let once = ["--report-once", "--state-dir", &state];
    let arguments = [&once[..], &["--no-retro-match", "--live-match"]].concat();
    let mut scene = Scene::with(BrokerKind::Ports, engine, &arguments, Reader::Patient);
    scene.bridge.wait_for_log("matching new events", LIMIT);
    let id = scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is matched live", LIMIT);
    import(&scene, "a.example", 1);
    assert_eq!(indicators(&scene, 1), [id]);
    scene.end();
    // There are two stored events now, of which one is new.
    import(&scene, "a.example", 2);
    let mut job = crate::support::bridge::Bridge::between(&scene.broker.endpoint(), &scene.engine)
        .args(once)
        .args([
            "--no-live-match",
            "--once",
            "--idle",
            "3",
            "--sink",
            "STDOUT",
        ])
        .run();
    job.wait_for_log("subscribed to", LIMIT);
    scene.publish(1, "a.example");
    assert!(job.wait(LIMIT).success(), "{}", job.log());
    let events = job.rest(LIMIT);
    let events = events
        .iter()
        .map(|line| -> Value { serde_json::from_str(line).expect("JSON") });
    assert_eq!(uids(&events.collect::<Vec<_>>()), ["C2"], "{}", job.log());
}
