//! Retro matching in a real Tenzir node, with the bridge as it is built and real brokers. Each
//! indicator has to have the events that it matches when it is evaluated alone.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::bed::{context, indicator_of};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{Ioc, stix_id, stix_indicator};
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::process::{Process, listeners};
use crate::support::tenzir::{Node, SAMPLES, key, read};
use crate::support::{Scratch, eventually, paths};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

type Sightings = BTreeMap<String, BTreeMap<String, usize>>;

fn expected<'a>(node: &Node, iocs: impl IntoIterator<Item = (String, Ioc<'a>)>) -> Sightings {
    let all = iocs.into_iter().map(|(id, ioc)| (id, node.expected(ioc)));
    all.filter(|(_, events)| !events.is_empty()).collect()
}

fn count(sightings: &Sightings) -> usize {
    sightings.values().flat_map(BTreeMap::values).sum()
}

fn start(node: &Node, broker: &Broker, arguments: &[&str]) -> Observed {
    let bridge = Bridge::bare()
        .args(["--retro-match", "--match", "exact", "-l", "debug"])
        .args(["-t", &broker.endpoint()])
        .args(node.arguments())
        .args(arguments)
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge
}

#[test]
fn sightings_are_those_of_each_indicator_alone_on_both_generations_of_the_bus() {
    let node = Node::with_samples();
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let broker = Broker::start(kind);
        let subscriber = Subscriber::sightings(&broker);
        let mut publisher = Publisher::connect(&broker);
        let bridge = start(&node, &broker, &[]);
        let mut published = Vec::new();
        for (n, ioc) in (1..).zip(SAMPLES) {
            published.push((publisher.publish_indicator(n, ioc), ioc));
        }
        let answered = eventually(LIMIT, || bridge.count_logs("sighting(s)") >= SAMPLES.len());
        assert!(answered, "{}", bridge.log());
        let expected = expected(&node, published);
        assert!(expected.len() >= 10, "{expected:?}");
        let mut found = Sightings::new();
        for sighting in subscriber.collect_sightings(count(&expected), LIMIT) {
            let events = found.entry(indicator_of(kind, &sighting)).or_default();
            *events.entry(key(&context(kind, &sighting))).or_default() += 1;
        }
        assert_eq!(found, expected, "{kind:?}");
        assert_eq!(subscriber.drain(Duration::from_secs(1)).len(), 0);
    }
}

/// The lines of a file of indicators.
fn lines(iocs: &[Ioc<'_>]) -> String {
    (1..)
        .zip(iocs)
        .map(|(n, ioc)| stix_indicator(n, &ioc.pattern(), None).to_string() + "\n")
        .collect()
}

/// What a run over a file of indicators found: how many sightings each indicator had, and how often
/// each event was reported.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    indicators: BTreeMap<String, usize>,
    events: BTreeMap<String, usize>,
}

/// What a run has to find, by evaluating each value alone.
fn reference(node: &Node, iocs: &[Ioc<'_>]) -> Found {
    let mut found = Found::default();
    for (n, ioc) in (1..).zip(iocs) {
        let events = node.expected(*ioc);
        let count = events.values().sum();
        found.indicators.insert(stix_id(n), count);
        for (event, count) in events {
            *found.events.entry(event).or_default() += count;
        }
    }
    found
}

/// Runs the bridge over a file; returns what it found, and its log.
fn run(bridge: Bridge) -> (Found, String) {
    let mut bridge = bridge.run();
    let status = bridge.wait(LIMIT * 3);
    assert!(status.success(), "{}", bridge.log());
    let mut found = Found::default();
    for line in bridge.rest(LIMIT) {
        let event: Value = serde_json::from_str(&line).expect("an event");
        *found.events.entry(key(&event)).or_default() += 1;
    }
    for (id, count) in bridge.answers() {
        let count = usize::try_from(count).expect("a small number");
        found.indicators.insert(id, count);
    }
    (found, bridge.log())
}

/// A node with the recorded Suricata events, or with the samples if they are not there.
fn recorded() -> Node {
    let Some(shared) = paths::shared() else {
        return Node::with_samples();
    };
    let mut node = Node::start();
    for (schema, events) in read(&shared.join("vast/2021.01.28/events")) {
        if schema.starts_with("suricata.") {
            node.import(&schema, events);
        }
    }
    node
}

/// Values of these events: addresses, and all text that is not too common.
fn values(node: &Node) -> BTreeSet<(bool, String)> {
    let mut counts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for event in node.events() {
        for name in ["src_ip", "dest_ip"] {
            if let Some(address) = event[name].as_str() {
                *counts.entry((true, address.to_owned())).or_default() += 1;
            }
        }
        for (record, name) in [("http", "hostname"), ("http", "url"), ("dns", "rrname")] {
            if let Some(text) = event[record][name].as_str() {
                *counts.entry((false, text.to_owned())).or_default() += 1;
            }
        }
    }
    let few = counts.into_iter().filter(|(_, count)| *count < 300);
    few.map(|(value, _)| value).collect()
}

#[test]
fn batches_of_every_size_give_the_same() {
    let node = recorded();
    let values = values(&node);
    let of_event = values.iter().map(|(is_address, text)| {
        if *is_address {
            Ioc::Ip(text)
        } else {
            Ioc::Program(text)
        }
    });
    let urls: Vec<String> = node
        .events()
        .filter_map(|event| {
            let part = |name: &str| event["http"][name].as_str();
            Some(format!("http://{}{}", part("hostname")?, part("url")?))
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let fillers: Vec<String> = (0..5000).map(|n| format!("{n}.nowhere.example")).collect();
    let iocs: Vec<Ioc<'_>> = of_event
        .take(60)
        .chain(urls.iter().take(20).map(|url| Ioc::Url(url)))
        .chain(fillers.iter().map(|name| Ioc::Domain(name)))
        .collect();
    // With batches of one only a few, since each is its own child.
    for (size, count) in [("1", 12), ("100", 300), ("5000", iocs.len())] {
        let iocs = &iocs[..count.min(iocs.len())];
        let expected = reference(&node, iocs);
        assert!(expected.events.len() > 3, "{expected:?}");
        let bridge = node.bridge(&lines(iocs)).args(["--batch-size", size]);
        let (found, log) = run(bridge);
        assert_eq!(found, expected, "{size}:\n{log}");
        // No pipeline has more than a thousand indicators.
        let queries = log.matches("a batch of").count();
        let least = count.div_ceil(size.parse::<usize>().expect("a number").min(1000));
        assert!(queries >= least, "{size}: {queries} batches, not {least}");
    }
}

#[test]
fn a_limit_holds_for_each_indicator() {
    let node = Node::with_samples();
    let all = reference(&node, &SAMPLES);
    for most in [1, 3] {
        let limit = most.to_string();
        let arguments = ["--retro-match-max-events", &limit];
        let (found, log) = run(node.bridge(&lines(&SAMPLES)).args(arguments));
        let expected: BTreeMap<String, usize> = all
            .indicators
            .iter()
            .map(|(id, count)| (id.clone(), most.min(*count)))
            .collect();
        assert_eq!(found.indicators, expected, "{log}");
        assert_eq!(
            found.events.values().sum::<usize>(),
            expected.values().sum::<usize>()
        );
    }
}

#[test]
fn hostile_text_is_only_ever_text() {
    let mut node = Node::start();
    let texts = [
        "a\"b\\c",
        "\"] | write_file \"/tmp/x",
        "line\nbreak\ttab\u{1}\u{1f}\u{7f}\u{85}",
        "{x} ${y} $texts {{z}}",
        "\u{2028}\u{1f600}\u{fffd}é",
        "/\\/",
        "' or true",
    ];
    let event = |n: usize, text: &str| json!({"uid": format!("C{n}"), "query": text});
    let events = (0..).zip(texts).map(|(n, text)| event(n, text)).collect();
    node.import("hostile", events);
    // A field's name is text as well.
    let odd = json!({"uid": "odd", "a-b \"c\" $d": {"in": "deep.example"}});
    node.import("odd", vec![odd.clone()]);
    let mut iocs: Vec<Ioc<'_>> = texts.iter().map(|text| Ioc::Program(text)).collect();
    iocs.push(Ioc::Domain("deep.example"));
    let expected = reference(&node, &iocs);
    assert!(expected.indicators.values().all(|count| *count == 1));
    let (found, log) = run(node.bridge(&lines(&iocs)));
    assert_eq!(found, expected, "{log}");
}

#[test]
fn fields_that_come_later_are_queried() {
    let mut node = Node::with_samples();
    let broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let bridge = start(&node, &broker, &[]);
    node.import(
        "corp.proxy",
        vec![json!({"uid": "new", "proxy": {"peer_name": "later.example"}})],
    );
    publisher.publish_indicator(1, Ioc::Domain("later.example"));
    let sightings = subscriber.collect_sightings(1, LIMIT);
    let found = context(BrokerKind::Ports, &sightings[0]);
    assert_eq!(found["proxy"]["peer_name"], "later.example");
    bridge.wait_for_log("there are new fields", LIMIT);
}

#[test]
fn a_node_that_dies_and_comes_back_costs_nothing() {
    let mut node = Node::with_samples();
    let broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let bridge = start(&node, &broker, &[]);
    let expect = |node: &Node, bridge: &Observed, id: String, ioc| {
        let wanted = node.expected(ioc);
        let count = wanted.values().sum();
        let mut found = BTreeMap::new();
        for sighting in subscriber.collect_sightings(count, LIMIT) {
            assert_eq!(indicator_of(BrokerKind::Ports, &sighting), id);
            let event = key(&context(BrokerKind::Ports, &sighting));
            *found.entry(event).or_insert(0) += 1;
        }
        assert_eq!(found, wanted, "{}", bridge.log());
        assert_eq!(subscriber.drain(Duration::from_secs(1)).len(), 0);
    };
    // The node is away when it is queried.
    node.kill();
    let ioc = Ioc::Domain("evil.example.net");
    let id = publisher.publish_indicator(1, ioc);
    bridge.wait_for_log("is away", LIMIT);
    node.restart();
    expect(&node, &bridge, id, ioc);
    // It goes away in the middle of a query, whose child prints nothing and stays.
    node.freeze();
    let id = publisher.publish_indicator(2, ioc);
    let is_queried = eventually(LIMIT, || !bridge.children().is_empty());
    assert!(is_queried, "{}", bridge.log());
    let children = bridge.children();
    node.kill();
    bridge.wait_for_logs("is away", 2, LIMIT);
    for child in children {
        assert!(eventually(LIMIT, || Process::read(child).is_none()));
    }
    node.restart();
    expect(&node, &bridge, id, ioc);
    // It is frozen for a while.
    node.freeze();
    let ioc = Ioc::Ip("203.0.113.66");
    let id = publisher.publish_indicator(3, ioc);
    bridge.wait_for_logs("is away", 3, LIMIT);
    node.thaw();
    expect(&node, &bridge, id, ioc);
}

#[test]
fn a_node_that_is_not_there_is_named_at_once() {
    let endpoint = format!("127.0.0.1:{}", crate::support::broker::free_ports::<1>()[0]);
    let mut bridge = Bridge::bare()
        .args(["--retro-match", "--connect-timeout", "1"])
        .args(["--engine", "tenzir", "--engine-endpoint", &endpoint])
        .arg("--engine-binary")
        .arg(Node::program())
        .run();
    let line = bridge.wait_for_log("cannot reach Tenzir", LIMIT);
    assert!(line.contains(&endpoint), "{line}");
    assert_eq!(bridge.wait(LIMIT).code(), Some(69));
}

/// A `tenzir` that says that it has this version.
fn of_version(scratch: &Scratch, version: &str) -> PathBuf {
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *\"version | \"*) echo '{{\"version\":\"{version}\"}}';;\n\
         *) exec '{}' \"$@\";; esac\n",
        Node::program().display()
    );
    let path = scratch.write("tenzir", script);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("the test's own file");
    path
}

#[test]
fn program_and_node_must_be_of_one_version() {
    let node = Node::start();
    let scratch = Scratch::new();
    let program = of_version(&scratch, "6.12.0");
    let mut bridge = Bridge::bare()
        .args(["--retro-match", "--engine-endpoint", node.endpoint()])
        .arg("--engine-binary")
        .arg(&program)
        .run();
    let line = bridge.wait_for_log("must be of the same version", LIMIT);
    for part in ["6.12.0", "6.20.0", "cannot use Tenzir at"] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(bridge.wait(LIMIT).code(), Some(69));
}

#[test]
fn no_child_listens_on_a_port() {
    let mut node = Node::with_samples();
    let broker = Broker::start(BrokerKind::Ports);
    let mut publisher = Publisher::connect(&broker);
    let bridge = start(&node, &broker, &[]);
    // The query hangs, so that its child can be examined.
    node.freeze();
    publisher.publish_indicator(1, Ioc::Domain("evil.example.net"));
    let is_connected = || {
        bridge
            .children()
            .iter()
            .any(|child| memory(*child) > 60 << 20)
    };
    assert!(eventually(LIMIT, is_connected), "{}", bridge.log());
    let children = bridge.children();
    for _ in 0..20 {
        assert_eq!(listeners(&children), 0);
        std::thread::sleep(Duration::from_millis(20));
    }
    // The same program without the option does listen.
    let mut open = std::process::Command::new(Node::program())
        .args(["-e", node.endpoint(), "--connection-timeout=60s"])
        .arg("api \"/ping\"")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("tenzir can be run");
    let seen = eventually(LIMIT, || listeners(&[open.id()]) > 0);
    open.kill().expect("a child");
    open.wait().expect("a child");
    assert!(seen, "an open port is not noticed");
}

fn memory(pid: u32) -> u64 {
    crate::support::process::memory(pid, "VmRSS").unwrap_or_default()
}

#[test]
fn networks_hashes_and_other_texts_are_found() {
    let mut node = Node::start();
    let hash = "6689635ce0ebe2702e583c57723fe831";
    let sensor = |uid: &str, ip: &str| json!({"uid": uid, "src_ip": ip, "fileinfo": {"md5": hash, "filename": uid}});
    let events = [
        ("a", "198.51.100.7"),
        ("b", "2001:db8::7"),
        ("c", "192.0.2.1"),
    ];
    let events = events.map(|(uid, ip)| sensor(uid, ip)).to_vec();
    node.import("suricata.fileinfo", events);
    let patterns = [
        ("[ipv4-addr:value = '198.51.0.0/16']", "a"),
        ("[ipv6-addr:value = '2001:db8::/32']", "b"),
        ("[ipv4-addr:value = '192.0.2.0/31']", "c"),
        ("[file:name = 'b']", "b"),
        (
            "[file:hashes.MD5 = '6689635CE0EBE2702E583C57723FE831']",
            "abc",
        ),
        ("[ipv4-addr:value = '10.0.0.0/8']", ""),
    ];
    let lines: String = (1..)
        .zip(patterns)
        .map(|(n, (pattern, _))| stix_indicator(n, pattern, None).to_string() + "\n")
        .collect();
    let (found, log) = run(node.bridge(&lines));
    for (n, (pattern, uids)) in (1..).zip(patterns) {
        assert_eq!(
            found.indicators[&stix_id(n)],
            uids.len(),
            "{pattern}:\n{log}"
        );
    }
    let total: usize = found.events.values().sum();
    assert_eq!(
        total,
        patterns.iter().map(|(_, uids)| uids.len()).sum::<usize>()
    );
    // The host of a URL is a whole value. An answer is not, and a warning says so.
    let url = stix_indicator(1, "[url:value = 'http://[2001:db8::7]:8080/x']", None);
    let (found, log) = run(node
        .bridge(&format!("{url}\n"))
        .args(["--urls-match-host", "--match-answers"]));
    assert_eq!(found.indicators[&stix_id(1)], 1, "{log}");
    assert!(
        log.contains("retro matching searches whole values alone"),
        "{log}"
    );
}

#[test]
fn events_without_a_schema_are_found_and_elements_of_lists_are_not() {
    let mut node = Node::start();
    let grouped = json!({"A": ["203.0.113.66"], "CNAME": ["evil.example"]});
    let answer = json!({"rrname": "x.example", "rdata": "203.0.113.66"});
    node.import(
        "suricata.dns",
        vec![json!({"uid": "list", "dns": {"grouped": grouped, "answers": [answer]}})],
    );
    node.import(
        "zeek.dns",
        vec![json!({"uid": "list", "answers": ["evil.example", "203.0.113.66"]})],
    );
    // The node itself names their schema.
    for event in ["ip: 203.0.113.66", "host: \"evil.example\""] {
        node.run(&format!("from {{uid: \"alone\", {event}}} | import"));
    }
    let iocs = [Ioc::Ip("203.0.113.66"), Ioc::Domain("evil.example")];
    let (found, log) = run(node.bridge(&lines(&iocs)));
    let once = [(stix_id(1), 1), (stix_id(2), 1)].into_iter().collect();
    assert_eq!(found.indicators, once, "{log}");
    assert!(found.events.keys().all(|key| key.contains("alone")));
}
