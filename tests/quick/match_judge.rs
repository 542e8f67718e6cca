//! The meaning of a pattern in an event, compared with OASIS's own matcher (`stix2-matcher` 3.0.0
//! in `target/venvs/matcher`): for the patterns of its tests, moved to files, and for random pairs
//! of a pattern and an event, which the matcher is given as the objects that the event is about.
//!
//! What differs on purpose is not generated, and is in the documentation: canonical forms and case,
//! names of files without their paths, IPv6 written as `ipv4-addr`, what an equal hash makes
//! unknown, tests on several types in one `AND` (for the matcher no event is about several objects,
//! so each type is compared alone), and an end of a connection that MISP names twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use crate::random::Random;
use crate::support::paths;
use serde_json::{Value, json};
use vast_threatbus::matching::condition::Judged;
use vast_threatbus::matching::{Fields, Matcher, Scratch};
use vast_threatbus::protocol::stix::pattern;
use vast_threatbus::protocol::stix::plan::{Plan, Refused, plan};

/// The interpreter that has the matcher, if the set-up made it.
pub fn judge() -> Option<PathBuf> {
    paths::interpreter("matcher")
}

const SCRIPT: &str = "match_verdicts.py";

/// The matcher's answer to each request, in order.
pub fn ask(python: &Path, script: &str, requests: &[Value]) -> Vec<Value> {
    let mut child = paths::judge_command(python, script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the matcher's interpreter runs");
    let lines: String = requests.iter().map(|one| one.to_string() + "\n").collect();
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // In another thread, since the answers would fill their pipe meanwhile.
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    let answers = stdout.lines().map(|line| {
        let line = line.expect("an answer is UTF-8");
        serde_json::from_str(&line).expect("an answer is JSON")
    });
    let answers = answers.collect();
    let written = writer.join().expect("the writer does not panic");
    written.expect("the matcher reads all requests");
    assert!(child.wait().expect("the matcher ends").success());
    answers
}

/// Whether the plan matches the event of this line.
fn matches(plan: &Plan, line: &str) -> bool {
    let event = Judged::read(line, Fields::Named, true).expect("an event");
    let holds = plan
        .condition
        .as_ref()
        .is_none_or(|one| one.holds_in(&event));
    if plan.selection.is_some() {
        return holds;
    }
    let mut matcher = Matcher::new(Fields::Named, true);
    for observable in &plan.observables {
        matcher.insert(observable);
    }
    let mut slots = Vec::new();
    let scanned = matcher.matches(line, &mut Scratch::default(), &mut slots);
    scanned.expect("an event");
    // If the condition holds in an event, the values of the plan have to be found in it.
    if plan.condition.is_some() && holds {
        assert!(!slots.is_empty(), "{plan:?} is not found in {line}");
    }
    holds && !slots.is_empty()
}

/// An event, and the objects that it is about.
struct Sample {
    line: String,
    time: &'static str,
    objects: Vec<Value>,
}

const ADDRESSES: &[&str] = &["192.0.2.1", "192.0.2.23", "198.51.100.7", "2001:db8::1"];
const NAMES: &[&str] = &["evil.example", "www.evil.example", "a.test"];
const PATHS: &[&str] = &["/a", "/a/gate.php", "/x?b=c"];
const HASHES: &[&str] = &[
    "00112233445566778899aabbccddeeff",
    "ffeeddccbbaa99887766554433221100",
];
const FILES: &[&str] = &["load.exe", "a.pdf", "load.pdf"];
const MAILS: &[&str] = &["a@evil.example", "b@a.test"];
const NUMBERS: &[u32] = &[0, 80, 443, 4444];
const TIMES: &[&str] = &["2024-03-05T09:00:00.250Z", "2024-03-05T10:00:00Z"];

impl Sample {
    fn random(random: &mut Random) -> Self {
        let (src, dst) = (random.pick(ADDRESSES), random.pick(ADDRESSES));
        let number = |random: &mut Random| NUMBERS[random.below(NUMBERS.len())];
        let (src_port, dst_port) = (number(random), number(random));
        let time = random.pick(TIMES);
        let mut event = json!({
            "timestamp": time, "src_ip": src, "dest_ip": dst, "src_port": src_port,
            "dest_port": dst_port, "proto": "TCP",
        });
        let mut about = Objects::default();
        let family = |ip: &str| if ip.contains(':') { "ipv6" } else { "ipv4" };
        let (src_id, dst_id) = (about.address(src), about.address(dst));
        let mut protocols = vec!["tcp", family(src), family(dst)];
        let mut hosts = vec![];
        match random.below(4) {
            0 => {
                let (name, answer) = (random.pick(NAMES), random.pick(ADDRESSES));
                event["dns"] = json!({"type": "answer", "rrname": name, "answers": [
                    {"rrname": name, "rrtype": "A", "rdata": answer}]});
                let answer = about.address(answer);
                about.add(json!({"type": "domain-name", "value": name,
                    "resolves_to_refs": [answer]}));
                event["event_type"] = "dns".into();
                protocols.push("dns");
            }
            1 => {
                let (name, path) = (random.pick(NAMES), random.pick(PATHS));
                event["http"] = json!({"hostname": name, "url": path, "http_method": "GET"});
                hosts.push(about.add(json!({"type": "domain-name", "value": name})));
                about.add(json!({"type": "url", "value": format!("http://{name}{path}")}));
                event["event_type"] = "http".into();
                protocols.push("http");
            }
            2 => {
                let files: Vec<Value> = (0..=random.below(2))
                    .map(|_| {
                        let (name, md5) = (random.pick(FILES), random.pick(HASHES));
                        let size = number(random);
                        about.add(json!({"type": "file", "name": name, "size": size,
                        "hashes": {"MD5": md5}}));
                        json!({"filename": name, "md5": md5, "size": size})
                    })
                    .collect();
                event["files"] = files.into();
                event["event_type"] = "alert".into();
                protocols.push("alert");
            }
            _ => {
                let (from, to) = (random.pick(MAILS), random.pick(MAILS));
                event["smtp"] = json!({"mail_from": format!("<{from}>"), "rcpt_to": [to]});
                let (from, to) = (about.mail(from), about.mail(to));
                about.add(json!({"type": "email-message", "from_ref": from, "to_refs": [to]}));
                event["event_type"] = "smtp".into();
                protocols.push("smtp");
            }
        }
        for end in [vec![dst_id], hosts].concat() {
            about.add(
                json!({"type": "network-traffic", "src_ref": src_id, "dst_ref": end,
                "src_port": src_port, "dst_port": dst_port, "protocols": protocols}),
            );
        }
        Sample {
            line: event.to_string(),
            time,
            objects: about.0,
        }
    }
}

/// The objects of an event, each with its own id.
#[derive(Default)]
struct Objects(Vec<Value>);

impl Objects {
    fn add(&mut self, mut object: Value) -> String {
        let kind = object["type"].as_str().expect("every object has a type");
        let id = format!("{kind}--{}", self.0.len());
        object["id"] = id.clone().into();
        self.0.push(object);
        id
    }

    fn address(&mut self, ip: &str) -> String {
        let kind = if ip.contains(':') {
            "ipv6-addr"
        } else {
            "ipv4-addr"
        };
        self.add(json!({"type": kind, "value": ip}))
    }

    fn mail(&mut self, address: &str) -> String {
        self.add(json!({"type": "email-addr", "value": address}))
    }
}

/// A comparison: a test, or several of which all or any have to hold.
#[derive(Clone)]
enum Tree {
    Test(&'static str, String),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn random(random: &mut Random, depth: usize) -> Self {
        if depth == 0 || random.one_in(3) {
            return Tree::test(random);
        }
        let parts = (0..2 + random.below(2)).map(|_| Tree::random(random, depth - 1));
        let parts = parts.collect();
        if random.one_in(2) {
            Tree::All(parts)
        } else {
            Tree::Any(parts)
        }
    }

    fn test(random: &mut Random) -> Self {
        let text = |random: &mut Random,
                    path: &str,
                    values: &[&str],
                    likes: &[&str],
                    expressions: &[&str]| {
            let value = random.pick(values);
            match random.below(8) {
                0 => format!("{path} = '{value}'"),
                1 => format!("{path} != '{value}'"),
                2 => format!("{path} NOT = '{value}'"),
                3 => format!("{path} IN ('{value}', '{}')", random.pick(values)),
                4 => format!("{path} NOT IN ('{value}', '{}')", random.pick(values)),
                5 => format!(
                    "{path} {}LIKE '{}'",
                    random.pick(&["", "NOT "]),
                    random.pick(likes)
                ),
                6 => format!(
                    "{path} {}MATCHES '{}'",
                    random.pick(&["", "NOT "]),
                    random.pick(expressions)
                ),
                _ => format!("EXISTS {path}"),
            }
        };
        let number = |random: &mut Random, path: &str| {
            let relation = random.pick(&["=", "!=", "<", "<=", ">", ">="]);
            let not = random.pick(&["", "NOT "]);
            format!(
                "{path} {not}{relation} {}",
                NUMBERS[random.below(NUMBERS.len())]
            )
        };
        let ipv4 = &ADDRESSES[..3];
        let (kind, text) = match random.below(12) {
            0 => (
                "ipv4-addr",
                text(
                    random,
                    "ipv4-addr:value",
                    ipv4,
                    &["192.0.2.%", "%.7", "%"],
                    &["^192", "7$", r"\\.2\\."],
                ),
            ),
            1 => {
                let not = random.pick(&["", "NOT "]);
                let network = random.pick(&["192.0.2.0/24", "192.0.2.16/28", "198.51.100.7/32"]);
                (
                    "ipv4-addr",
                    format!("ipv4-addr:value {not}ISSUBSET '{network}'"),
                )
            }
            2 => (
                "ipv6-addr",
                text(
                    random,
                    "ipv6-addr:value",
                    &ADDRESSES[3..],
                    &["2001:%", "%"],
                    &["db8", "^2"],
                ),
            ),
            3 => (
                "domain-name",
                text(
                    random,
                    "domain-name:value",
                    NAMES,
                    &["%.example", "www.%", "_.test"],
                    &["^evil", "e$", "(www|a)\\\\."],
                ),
            ),
            4 => (
                "domain-name",
                format!(
                    "domain-name:resolves_to_refs[*].value = '{}'",
                    random.pick(ipv4)
                ),
            ),
            5 => (
                "url",
                text(
                    random,
                    "url:value",
                    &["http://evil.example/a", "http://a.test/x?b=c"],
                    &["http://evil%", "http://%/a"],
                    &["^http://www", r"gate\\.php$"],
                ),
            ),
            6 => (
                "file",
                match random.below(3) {
                    0 => text(
                        random,
                        "file:name",
                        FILES,
                        &["%.exe", "load%", "_.pdf"],
                        &["^load", r"\\.pdf$", "l?o"],
                    ),
                    1 => text(
                        random,
                        "file:hashes.MD5",
                        HASHES,
                        &["0011%", "%00"],
                        &["^ff", "99"],
                    ),
                    _ => number(random, "file:size"),
                },
            ),
            7 => (
                "email-addr",
                text(
                    random,
                    "email-addr:value",
                    MAILS,
                    &["%@a.test", "a%"],
                    &["^a@", "test$"],
                ),
            ),
            8 => (
                "email-message",
                format!(
                    "email-message:{} {} '{}'",
                    random.pick(&["from_ref.value", "to_refs[*].value"]),
                    random.pick(&["=", "!="]),
                    random.pick(MAILS)
                ),
            ),
            9 => (
                "network-traffic",
                number(random, "network-traffic:dst_port"),
            ),
            10 => (
                "network-traffic",
                format!(
                    "network-traffic:protocols[*] {} '{}'",
                    random.pick(&["=", "!="]),
                    random.pick(&["tcp", "http", "dns", "ipv4", "ipv6"])
                ),
            ),
            _ => (
                "network-traffic",
                match random.below(3) {
                    0 => format!(
                        "network-traffic:src_ref.value {} '{}'",
                        random.pick(&["=", "!="]),
                        random.pick(ADDRESSES)
                    ),
                    1 => format!(
                        "network-traffic:dst_ref.value {} '{}'",
                        random.pick(&["=", "!="]),
                        random.pick(&[ADDRESSES[0], ADDRESSES[3], NAMES[0], NAMES[2]])
                    ),
                    _ => format!(
                        "network-traffic:dst_ref.type {} '{}'",
                        random.pick(&["!=", "NOT ="]),
                        random.pick(&["ipv4-addr", "ipv6-addr", "domain-name"])
                    ),
                },
            ),
        };
        Tree::Test(kind, text)
    }

    fn text(&self) -> String {
        let join = |parts: &[Tree], operator: &str| {
            let parts: Vec<String> = parts.iter().map(Tree::text).collect();
            format!("({})", parts.join(operator))
        };
        match self {
            Tree::Test(_, text) => text.clone(),
            Tree::All(parts) => join(parts, " AND "),
            Tree::Any(parts) => join(parts, " OR "),
        }
    }

    /// The alternatives, each as tests that all have to hold.
    fn alternatives(&self) -> Vec<Vec<(&'static str, String)>> {
        match self {
            Tree::Test(kind, text) => vec![vec![(*kind, text.clone())]],
            Tree::Any(parts) => parts.iter().flat_map(Tree::alternatives).collect(),
            Tree::All(parts) => parts.iter().fold(vec![vec![]], |all, part| {
                let more = part.alternatives();
                let joined = |one: &Vec<_>| {
                    more.iter()
                        .map(|more| [one.clone(), more.clone()].concat())
                        .collect::<Vec<_>>()
                };
                all.iter().flat_map(joined).collect()
            }),
        }
    }
}

/// Each alternative as one pattern for each type of object.
fn by_type(tree: &Tree, qualifier: &str) -> Vec<Vec<String>> {
    let alternatives = tree.alternatives().into_iter();
    let patterns = alternatives.map(|tests| {
        let mut by_type: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (kind, text) in tests {
            // The matcher fails if there is another test beside an `EXISTS`.
            let text = match text.strip_prefix("EXISTS ") {
                Some(path) => format!("{path} LIKE '%'"),
                None => text,
            };
            by_type.entry(kind).or_default().push(text);
        }
        let patterns = by_type.into_values();
        patterns
            .map(|tests| format!("[{}]{qualifier}", tests.join(" AND ")))
            .collect()
    });
    patterns.collect()
}

/// How many pairs are compared: few by default, and more with `make judge`.
pub fn pairs() -> usize {
    let pairs = std::env::var("JUDGE_PAIRS");
    pairs.map_or(2_000, |pairs| {
        pairs.parse().expect("JUDGE_PAIRS is a number")
    })
}

/// How many events are compared for each pattern.
const EVENTS: usize = 10;

#[test]
fn random_patterns_mean_what_the_matcher_says() {
    let Some(python) = judge() else {
        return;
    };
    let mut random = Random(0x0a51_5201);
    let (mut requests, mut ours) = (Vec::new(), Vec::new());
    let mut unsupported = 0;
    while requests.len() < pairs() {
        let tree = Tree::random(&mut random, 3);
        if tree.alternatives().len() > 40 {
            continue;
        }
        let qualifier = random.pick(&[
            "",
            "",
            "",
            " WITHIN 5 SECONDS",
            " START t'2024-03-05T09:00:00Z' STOP t'2024-03-05T10:00:00Z'",
        ]);
        let text = format!("[{}]{qualifier}", tree.text());
        let parsed = pattern::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let plan = match plan(&parsed) {
            Ok(plan) => plan,
            Err(Refused::Unsupported(_)) => {
                unsupported += 1;
                continue;
            }
            Err(Refused::Wrong(reason)) => panic!("{text}: {reason}"),
        };
        assert!(plan.left_out.is_empty(), "{text}: {:?}", plan.left_out);
        let alternatives = by_type(&tree, qualifier);
        for _ in 0..EVENTS {
            let sample = Sample::random(&mut random);
            ours.push((matches(&plan, &sample.line), text.clone(), sample.line));
            requests.push(json!({"objects": sample.objects, "time": sample.time,
                "alternatives": alternatives}));
        }
    }
    let answers = ask(&python, SCRIPT, &requests);
    assert_eq!(answers.len(), requests.len());
    let mut differences = Vec::new();
    let mut matched = 0;
    for ((ours, text, line), theirs) in ours.iter().zip(&answers) {
        matched += usize::from(*ours);
        if *theirs != json!(ours) {
            differences.push(format!(
                "{text}\n  in {line}\n  ours {ours}, theirs {theirs}"
            ));
        }
    }
    eprintln!(
        "{} pairs, {matched} of them match; {unsupported} patterns unsupported",
        ours.len()
    );
    assert!(
        matched * 10 > ours.len(),
        "only {matched} of {} pairs match",
        ours.len()
    );
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        ours.len(),
        differences[..differences.len().min(12)].join("\n")
    );
}

/// The patterns of the matcher's own tests that can be moved to files: `test:int` and `person:age`
/// become the size, `test:string` and `person:name` the name.
#[test]
fn the_patterns_of_the_matchers_tests_mean_the_same_of_files() {
    let Some(python) = judge() else {
        return;
    };
    let output = paths::judge_command(&python, SCRIPT)
        .arg("--examples")
        .output();
    let output = output.expect("the matcher's interpreter runs");
    assert!(output.status.success(), "{output:?}");
    let examples = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let (mut requests, mut ours) = (Vec::new(), Vec::new());
    for example in examples.lines() {
        let example: Value = serde_json::from_str(example).expect("JSON");
        let moved = example["pattern"].as_str().expect("a pattern").to_owned();
        let moved = [
            ("test:int ", "file:size "),
            ("person:age ", "file:size "),
            ("test:string ", "file:name "),
            ("person:name ", "file:name "),
        ]
        .iter()
        .fold(moved, |text, (old, new)| text.replace(old, new));
        let Ok(parsed) = pattern::parse_as(&moved, pattern::Version::Stix21) else {
            continue;
        };
        let mut is_moved = true;
        parsed
            .root
            .for_each_test(&mut |test| is_moved &= test.path.object_type == "file");
        // A comparison with a value of another type is unsupported, and says so.
        let Ok(plan) = plan(&parsed) else {
            continue;
        };
        if !is_moved || !plan.left_out.is_empty() {
            continue;
        }
        let objects = example["objects"].as_array().expect("objects");
        let (mut files, mut line) = (Vec::new(), Vec::new());
        for (number, object) in objects.iter().enumerate() {
            let name = object.get("string").or(object.get("name"));
            let size = object.get("int").or(object.get("age"));
            files.push(json!({"type": "file", "id": format!("file--{number}"), "name": name, "size": size}));
            line.push(json!({"filename": name, "size": size}));
        }
        let time = example["time"].clone();
        let event = json!({"timestamp": time, "files": line}).to_string();
        ours.push((matches(&plan, &event), moved.clone(), event));
        requests.push(json!({"objects": files, "time": time, "alternatives": [[moved]]}));
    }
    assert!(ours.len() >= 40, "only {} patterns", ours.len());
    let answers = ask(&python, SCRIPT, &requests);
    for ((ours, text, line), theirs) in ours.iter().zip(&answers) {
        assert_eq!(json!(ours), *theirs, "{text} in {line}");
    }
    eprintln!("{} patterns of the matcher's tests", ours.len());
}
