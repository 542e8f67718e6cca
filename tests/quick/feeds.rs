//! The formats of real feeds: how many of their indicators are queried, why the others are not, and
//! that those in the sample events are found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::paths::{clean_command, repository};
use crate::support::standin::Standin;
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(30);

fn feeds() -> PathBuf {
    repository().join("tests/samples/feeds")
}

fn explain(feed: &Path) -> Command {
    let mut command = clean_command(env!("CARGO_BIN_EXE_vast-threatbus"), Path::new("/"));
    command.arg("--explain").arg(feed);
    command
}

#[test]
fn as_many_indicators_are_queried_as_before() {
    let mut found = String::new();
    for name in [
        "misp-2020.jsonl",
        "misp-2022.jsonl",
        "misp-export.json",
        "opencti.json",
        "abuse.ch-addresses.txt",
        "abuse.ch-hashes.txt",
        "abuse.ch-urls.txt",
    ] {
        let output = explain(&feeds().join(name)).arg("--summary").output();
        let output = output.expect("the program runs");
        assert!(output.status.success(), "{output:?}");
        let summary = String::from_utf8(output.stderr).expect("UTF-8");
        found.push_str(&format!("{name}\n{summary}\n"));
    }
    let expected = std::fs::read_to_string(feeds().join("summaries.txt")).expect("a sample");
    assert_eq!(
        found, expected,
        "tests/samples/feeds/summaries.txt is not:\n{found}"
    );
}

/// The subject of each indicator of a feed, by its id.
fn subjects(feed: &Path) -> BTreeMap<String, String> {
    let output = explain(feed).output().expect("the program runs");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let subject = text("pattern")
            .or_else(|| text("value"))
            .unwrap_or_default();
        (text("id").unwrap_or_default(), subject)
    });
    lines.collect()
}

/// The subjects that are sighted in the sample events, with their numbers of sightings.
fn sighted(name: &str) -> Vec<(String, u64)> {
    let feed = feeds().join(name);
    let engine = Standin::with_samples();
    let mut bridge = Bridge::between("127.0.0.1:9", &engine)
        .args(["--match", "standard", "--indicators"])
        .arg(&feed)
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let subjects = subjects(&feed);
    let answers = bridge.answers().into_iter();
    let answers = answers.filter(|(_, count)| *count > 0);
    let mut found: Vec<(String, u64)> = answers
        .map(|(id, count)| (subjects[&id].clone(), count))
        .collect();
    found.sort();
    found
}

#[test]
fn what_the_events_hold_is_found() {
    const MD5: &str = "6689635ce0ebe2702e583c57723fe831";
    const SHA1: &str = "6e4759ae8b1b295fecf9447649b5d291a212534d";
    const SHA256: &str = "eee57820203860ea469843dfba7bbb970021cae59fcc6e99056937bdec33fd02";
    const USER_AGENT: &str =
        "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'";
    let connection = |end: &str, family: &str, value: &str| {
        let end = format!("network-traffic:{end}_ref");
        format!("[{end}.type = '{family}-addr' AND {end}.value = '{value}']")
    };
    let to_port = connection("dst", "ipv4", "203.0.113.66");
    let to_port = to_port.replace(']', " AND network-traffic:dst_port = '4444']");
    let any_hash = format!(
        "[file:hashes.MD5 = '{MD5}' OR file:hashes.'SHA-1' = '{SHA1}' OR \
         file:hashes.'SHA-256' = '{SHA256}']"
    );
    // These were counted in tests/samples/events.
    let expected: [(&str, Vec<(String, u64)>); 7] = [
        (
            "misp-2020.jsonl",
            vec![
                ("/gate.php".into(), 1),
                // Once as a file's name, and once as a URL.
                ("/payload.exe".into(), 1),
                ("/payload.exe".into(), 3),
                ("198.51.100.99".into(), 1),
                ("2001:db8:bad::1".into(), 1),
                ("203.0.113.66".into(), 15),
                ("203.0.113.66|4444".into(), 3),
                (MD5.into(), 1),
                (SHA1.into(), 1),
                ("Updater/2.1".into(), 2),
                ("cdn.example.org|203.0.113.80".into(), 1),
                (SHA256.into(), 1),
                ("evil.example.net".into(), 7),
                ("mail.example.net".into(), 1),
                ("payload.exe".into(), 1),
                (format!("payload.exe|{SHA256}"), 1),
            ],
        ),
        (
            "misp-2022.jsonl",
            vec![
                (
                    "[domain-name:value = 'cdn.example.org'] AND \
                     [ipv4-addr:value = '203.0.113.80']"
                        .into(),
                    3,
                ),
                ("[domain-name:value = 'evil.example.net']".into(), 7),
                ("[domain-name:value = 'mail.example.net']".into(), 1),
                (
                    format!("[file:hashes.MD5 = '{MD5}' OR file:hashes.'SHA-256' = '{SHA256}']"),
                    1,
                ),
                ("[file:name = '/payload.exe' AND file:size > 10]".into(), 1),
                ("[ipv4-addr:value = '198.51.100.99']".into(), 1),
                ("[ipv4-addr:value = '2001:db8:bad::1']".into(), 1),
                ("[ipv4-addr:value = '203.0.113.66']".into(), 15),
                ("[url:value = '/payload.exe']".into(), 3),
            ],
        ),
        (
            "misp-export.json",
            vec![
                (
                    "[domain-name:value = 'cdn.example.org' AND \
                     domain-name:resolves_to_refs[*].value = '203.0.113.66']"
                        .into(),
                    1,
                ),
                ("[domain-name:value = 'evil.example.net']".into(), 7),
                ("[domain-name:value = 'mail.example.net']".into(), 1),
                (format!("[file:hashes.MD5 = '{MD5}']"), 1),
                (format!("[file:hashes.SHA1 = '{SHA1}']"), 1),
                (format!("[file:hashes.SHA256 = '{SHA256}']"), 1),
                (
                    format!("[file:name = '/payload.exe' AND file:hashes.SHA256 = '{SHA256}']"),
                    1,
                ),
                ("[file:name = 'payload.exe']".into(), 1),
                ("[network-traffic:dst_port = '4444']".into(), 3),
                (to_port, 3),
                (connection("dst", "ipv4", "203.0.113.66"), 12),
                (connection("dst", "ipv6", "2001:db8:ffff::53"), 2),
                (format!("[{USER_AGENT} = 'Updater/2.1']"), 2),
                (connection("src", "ipv4", "198.51.100.99"), 1),
                (connection("src", "ipv6", "2001:db8:bad::1"), 1),
                ("[url:value = '/payload.exe']".into(), 3),
            ],
        ),
        (
            "opencti.json",
            vec![
                ("[domain-name:value = 'evil.example.net']".into(), 7),
                ("[domain-name:value = 'xn--mnchen-3ya.example']".into(), 1),
                (format!("[file:hashes.'SHA-1' = '{SHA1}']"), 1),
                (format!("[file:hashes.'SHA-256' = '{SHA256}']"), 1),
                (any_hash, 1),
                (format!("[file:hashes.MD5 = '{MD5}']"), 1),
                ("[file:name = '/payload.exe']".into(), 1),
                ("[hostname:value = 'mail.example.net']".into(), 1),
                ("[ipv4-addr:value = '203.0.113.0/28']".into(), 7),
                ("[ipv4-addr:value = '203.0.113.66']".into(), 15),
                ("[ipv6-addr:value = '2001:db8:bad::1']".into(), 1),
                ("[url:value = 'http://evil.example.net/gate.php']".into(), 1),
                ("[user-agent:value = 'Updater/2.1']".into(), 2),
            ],
        ),
        (
            "abuse.ch-addresses.txt",
            vec![
                ("198.51.100.99".into(), 1),
                ("2001:db8:bad::1".into(), 1),
                ("203.0.113.66".into(), 15),
            ],
        ),
        ("abuse.ch-hashes.txt", vec![(SHA256.into(), 1)]),
        (
            "abuse.ch-urls.txt",
            // Requests and their answers, by host and target, and a referrer.
            vec![("http://evil.example.net/payload.exe".into(), 4)],
        ),
    ];
    let found = expected.each_ref().map(|(name, _)| (*name, sighted(name)));
    assert_eq!(found, expected);
}

/// A sample, what `--check` says of it, and a list with the same values.
const FORMS: [(&str, &str, &str); 18] = [
    (
        "urlhaus.csv",
        "CSV, indicators in column `url`: 3 usable",
        "http://evil.example.net/payload.exe http://203.0.113.201:4444/x86 \
         http://drop.bad.example/~user/a%20b.doc",
    ),
    (
        "urlhaus.json",
        "URLhaus: 2 usable",
        "http://evil.example.net/payload.exe http://203.0.113.201:4444/x86",
    ),
    (
        "feodo.csv",
        "CSV, indicators in column `dst_ip`: 2 usable",
        "203.0.113.66 198.51.100.99",
    ),
    (
        "threatfox.csv",
        "CSV, indicators in column `ioc_value`: 3 usable",
        "203.0.113.66:4444 evil.example.net 6689635ce0ebe2702e583c57723fe831",
    ),
    (
        "threatfox.json",
        "ThreatFox: 2 usable",
        "203.0.113.66:4444 evil.example.net",
    ),
    (
        "bazaar.csv",
        "CSV, indicators in columns `sha256_hash`, `md5_hash`, `sha1_hash`: 3 usable",
        "eee57820203860ea469843dfba7bbb970021cae59fcc6e99056937bdec33fd02 \
         6689635ce0ebe2702e583c57723fe831 6e4759ae8b1b295fecf9447649b5d291a212534d",
    ),
    (
        "ja3.csv",
        "CSV, indicators in column `ja3_md5`: 1 usable",
        "b386946a5a44d1ddcc843bc75336dfce",
    ),
    (
        "misp.csv",
        "CSV, indicators in column `value`: 3 usable, 1 unsupported; left out: row without to_ids 1",
        "203.0.113.66 evil.example.net 6689635ce0ebe2702e583c57723fe831",
    ),
    (
        "misp-event.json",
        "MISP: 7 usable, 2 unsupported; left out: MISP attribute without to_ids 3, deleted MISP \
         attribute 1",
        "203.0.113.66 203.0.113.66:4444 evil.example.net mail.example.net \
         6689635ce0ebe2702e583c57723fe831 \
         eee57820203860ea469843dfba7bbb970021cae59fcc6e99056937bdec33fd02 USER-AGENT",
    ),
    (
        "misp-feed",
        "MISP: 7 usable, 2 unsupported; left out: MISP attribute without to_ids 3, deleted MISP \
         attribute 1",
        "203.0.113.66 203.0.113.66:4444 evil.example.net mail.example.net \
         6689635ce0ebe2702e583c57723fe831 \
         eee57820203860ea469843dfba7bbb970021cae59fcc6e99056937bdec33fd02 USER-AGENT",
    ),
    (
        "otx.csv",
        "CSV, indicators in column `Indicator`: 3 usable, 1 unsupported",
        "203.0.113.66 mail.example.net \
         eee57820203860ea469843dfba7bbb970021cae59fcc6e99056937bdec33fd02",
    ),
    (
        "otx.json",
        "OTX: 2 usable, 1 unsupported; left out: inactive OTX indicator 1",
        "203.0.113.66 evil.example.net",
    ),
    (
        "headless.csv",
        "CSV, indicators in column 1: 3 usable",
        "203.0.113.66 198.51.100.99 2001:db8:bad::1",
    ),
    (
        "hosts.txt",
        "hosts file, the names in it: 3 usable",
        "evil.example.net mail.example.net c2.bad.example",
    ),
    (
        "intel.dat",
        "Zeek intel file: 6 usable",
        "203.0.113.66 198.51.100.0/24 evil.example.net evil.example.net/payload.exe \
         6689635ce0ebe2702e583c57723fe831 USER-AGENT",
    ),
    (
        "defanged.txt",
        "list of values, one a line: 4 usable",
        "203.0.113.66 evil.example.net http://evil.example.net/payload.exe mail.example.net",
    ),
    (
        "taxii.json",
        "STIX: 2 usable; left out: malware 1",
        "203.0.113.66 evil.example.net",
    ),
    (
        "stix-2.0.json",
        "STIX: 1 usable; left out: identity 1",
        "evil.example.net",
    ),
];

/// Stands for `USER-AGENT` in the lists above, since a list of values cannot hold a user agent.
const USER_AGENT: &str = r#"[{"type": "user-agent", "value": "Updater/2.1", "to_ids": true}]"#;

/// The program with files of indicators and the sample events.
fn over_events(feeds: &[&Path]) -> Command {
    let mut command = clean_command(env!("CARGO_BIN_EXE_vast-threatbus"), Path::new("/"));
    let events = std::fs::read_dir(repository().join("tests/samples/events")).expect("a folder");
    let events = events.map(|entry| entry.expect("an entry").path());
    let logs = events.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let mut logs: Vec<PathBuf> = logs.collect();
    logs.sort();
    command.arg("--indicators").args(feeds);
    command.arg("--events").args(logs);
    command
}

/// The events that are sighted, each as often as it is sighted.
fn sightings(feeds: &[&Path]) -> Vec<String> {
    let output = over_events(feeds).output().expect("the program runs");
    assert!(output.status.success(), "{feeds:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_form_of_feed_is_read_like_a_list_of_its_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let (list, agent) = (
        directory.path().join("list"),
        directory.path().join("agent"),
    );
    std::fs::write(&agent, USER_AGENT).expect("a file");
    for (name, said, values) in FORMS {
        let feed = feeds().join(name);
        let output = over_events(&[&feed]).arg("--check").output();
        let table = String::from_utf8(output.expect("the program runs").stdout).expect("UTF-8");
        assert!(table.contains(&format!("{said}\n")), "{name}: {table}");
        let plain = values.replace(" USER-AGENT", "").replace(' ', "\n");
        std::fs::write(&list, plain).expect("a file");
        let same = if values.contains("USER-AGENT") {
            sightings(&[&list, &agent])
        } else {
            sightings(&[&list])
        };
        assert_eq!(sightings(&[&feed]), same, "{name}");
        assert!(!same.is_empty() || name == "ja3.csv", "{name}");
    }
}

#[test]
fn compressed_feeds_are_read_and_several_count_together() {
    let plain = feeds().join("list.txt.gz");
    let expected = sightings(&[&plain]);
    assert!(!expected.is_empty());
    let zstandard = feeds().join("list.txt.zst");
    assert_eq!(sightings(&[&zstandard]), expected);
    // The same indicator counts once, however many files have it.
    let both = [&*plain, &zstandard, &feeds().join("otx.json")];
    assert_eq!(sightings(&both), expected);
}

/// A kind of value in MISP's words, an object path, and a value.
const WRITTEN: [(&str, &str, &str); 5] = [
    ("ip-dst", "ipv4-addr:value", "203.0.113.66"),
    ("domain", "domain-name:value", "evil.example.net"),
    ("url", "url:value", "http://evil.example.net/payload.exe"),
    ("md5", "file:hashes.MD5", "6689635ce0ebe2702e583c57723fe831"),
    ("ip-src", "ipv6-addr:value", "2001:db8:bad::1"),
];

#[test]
fn what_the_libraries_of_the_field_write_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let python = crate::support::paths::venv("judge").join("bin/python");
    let mut writer = clean_command(python, directory.path())
        .arg(repository().join("tests/judge/write_feeds.py"))
        .arg(directory.path())
        .stdin(Stdio::piped())
        .spawn()
        .expect("the judge's Python can be run");
    let mut input = writer.stdin.take().expect("its input is a pipe");
    for (kind, path, value) in WRITTEN {
        writeln!(input, "{}", serde_json::json!([kind, path, value])).expect("it reads");
    }
    drop(input);
    assert!(writer.wait().expect("it ends").success());
    let expected: BTreeSet<&str> = WRITTEN.iter().map(|(_, _, value)| *value).collect();
    for name in [
        "quoted.csv",
        "tabs.csv",
        "event.json",
        "wrapped.json",
        "misp",
        "stix-2.0.json",
        "stix-2.1.json",
    ] {
        let subjects = subjects(&directory.path().join(name));
        assert_eq!(subjects.len(), WRITTEN.len(), "{name}: {subjects:?}");
        let value = |subject: &String| {
            // In a pattern the value is in quotation marks.
            let quoted = subject.split('\'').nth(1);
            quoted.unwrap_or(subject).to_owned()
        };
        let found: BTreeSet<String> = subjects.values().map(value).collect();
        assert!(found.iter().eq(expected.iter()), "{name}: {found:?}");
    }
}

#[test]
fn what_is_not_a_feed_is_an_error_with_status_75() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = r#"{"timestamp":"2024-05-01T10:00:00.000001+0000","event_type":"flow"}"#;
    let bundle =
        r#"{"type":"bundle","id":"x","objects":[{"type":"ipv4-addr","id":"ipv4-addr--1"}]}"#;
    // The header of a file in an archive: a block of 512 bytes.
    let tar = format!("{:\0<257}{:\0<255}evil.example\n", "feed.txt", "ustar  ");
    for (text, words) in [
        (log, "--events"),
        ("#separator \\x09\n", "log of Zeek"),
        (bundle, "ipv4-addr 1"),
        ("no such thing\n", "begins with"),
        (
            "{\n  \"name\": {\n    \"a\": 1\n  }\n}\n",
            r#"begins with "{ \"name\": { \"a\": 1""#,
        ),
        ("<html>\n", "HTML"),
        (tar.as_str(), "tar -xOf"),
        ("ts,src_ip,dest_ip\n1,192.0.2.1,192.0.2.2\n", "both ends"),
        (
            "family,reference\nX,https://blog.example/\n",
            "no column holds",
        ),
        (
            "http://a.example/b,c,d\nhttp://a.example/e,f\n",
            "list or csv",
        ),
        (
            "1.2.3.4,192.0.2.1\n1.2.3.5,192.0.2.2\n",
            "--indicators-column",
        ),
    ] {
        let path = directory.path().join("feed");
        std::fs::write(&path, text).expect("a file");
        let output = over_events(&[&path])
            .args(["--exit-code", "--loglevel", "critical"])
            .output();
        assert_eq!(
            output.expect("the program runs").status.code(),
            Some(75),
            "{text}"
        );
        let output = over_events(&[&path]).args(["--loglevel", "error"]).output();
        let log = String::from_utf8(output.expect("the program runs").stderr).expect("UTF-8");
        assert!(
            log.contains("[ERROR]") && log.contains(words),
            "{text}: {log}"
        );
        // Good feeds beside it are searched all the same.
        let good = feeds().join("list.txt.gz");
        let output = over_events(&[&path, &good])
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(75), "{text}");
        assert!(!output.stdout.is_empty(), "{text}");
    }
    // It is an error also if its format is named.
    for (text, words) in [
        ("no such thing\n", "begins with \"no such"),
        ("BZh91AY&SY\n", "bzip2 -dc"),
    ] {
        let path = directory.path().join("feed");
        std::fs::write(&path, text).expect("a file");
        let mut command = over_events(&[&path]);
        command.args(["--indicators-format", "list", "--loglevel", "error"]);
        let output = command.output().expect("the program runs");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{text}");
        assert!(log.contains(words), "{log}");
    }
    for text in ["", "# nothing\n"] {
        let path = directory.path().join("feed");
        std::fs::write(&path, text).expect("a file");
        let output = over_events(&[&path])
            .arg("--exit-code")
            .output()
            .expect("the program runs");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{log}");
        assert!(log.contains("it holds no indicators"), "{log}");
    }
}

#[test]
fn three_rejected_lines_are_named_and_the_others_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("feed");
    let wrong: String = (0..5).map(|n| format!("no value {n}\n")).collect();
    std::fs::write(&path, format!("evil.example\n{wrong}")).expect("a file");
    let output = over_events(&[&path]).output().expect("the program runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches(", line ").count(), 3, "{log}");
    assert!(log.contains("rejected: 2 more"), "{log}");
    assert!(log.contains("rejected 5"), "{log}");
}

#[test]
fn urls_that_may_be_rows_of_a_table_are_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("feed");
    let list = "http://evil.example/a,elf\nhttp://evil.example/b\nhttp://evil.example/c\n";
    std::fs::write(&path, list).expect("a file");
    for (more, is_said) in [
        (&[][..], true),
        (&["--check"], true),
        (&["--indicators-format", "list"], false),
        (&["--indicators-format", "csv"], false),
    ] {
        let output = over_events(&[&path]).args(more).output();
        let output = output.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let words = "line 1: \"http://evil.example/a,elf\"): --indicators-format list or csv";
        assert_eq!(said.contains(words), is_said, "{more:?}: {said}");
    }
}

#[test]
fn hostile_feeds_take_no_more_memory_than_others() {
    const MOST: u64 = 300 << 20;
    let pattern = "[domain-name:value = 'evil.example']";
    let stix = format!(
        "{{\"type\":\"indicator\",\"id\":\"indicator--00000000-0000-4000-8000-000000000001\",\
         \"pattern_type\":\"stix\",\"valid_from\":\"2020-01-01T00:00:00Z\",\"pattern\":\"{pattern}\"}}"
    );
    let long = "x".repeat(60 << 20);
    let (commas, cells) = (",".repeat(15 << 20), "\ta".repeat(7 << 20));
    let numbers = "1,".repeat(7 << 20);
    let feeds = [
        // One that is too long, and one as long that has very many parts.
        format!("{long}\nevil.example\n"),
        format!("0.0.0.0 a.example\n0.0.0.0 {long}\n0.0.0.0 evil.example\n"),
        format!("# id,url,x\n{commas}\n1,http://evil.example/x,y\n"),
        format!("url{commas}\nhttp://evil.example/x,1\n"),
        format!(
            "id,url\n1,http://evil.example/x\n{}",
            "\"a,\n".repeat(100_000)
        ),
        format!("#fields\tindicator\tindicator_type{cells}\nevil.example\tIntel::DOMAIN{cells}\n"),
        format!("{{\"type\":\"bundle\",\"objects\":[\"{long}\",{stix}]}}"),
        format!(
            "[{},{stix}]",
            "{\"type\":\"x\",\"a\":[N1]}".replace('N', &numbers)
        ),
        format!(
            "{{\"Event\":{{\"Attribute\":[{{\"type\":\"domain\",\"to_ids\":true,\
             \"value\":\"evil.example\",\"x\":[{numbers}1]}}]}}}}"
        ),
    ];
    let event = "{\"timestamp\":\"2024-05-01T10:00:00.000001+0000\",\"event_type\":\"http\",\
                 \"http\":{\"hostname\":\"evil.example\",\"url\":\"/x\"}}\n";
    for text in feeds {
        assert_peak(&text, event, MOST);
    }
}

#[test]
fn the_attributes_of_a_long_object_take_no_memory_together() {
    const MOST: u64 = 80 << 20;
    let attribute = |n: u32| {
        format!(
            "{{\"type\":\"domain\",\"to_ids\":true,\"value\":\"a{n}.example\",\"comment\":\"{}\"}}",
            "x".repeat(400)
        )
    };
    let attributes: Vec<String> = (0..30_000).map(attribute).collect();
    let event = format!(
        "{{\"Event\":{{\"Object\":[{{\"name\":\"file\",\"Attribute\":[{}]}}]}}}}",
        attributes.join(",")
    );
    let log = "{\"timestamp\":\"2024-05-01T10:00:00.000001+0000\",\"event_type\":\"dns\",\
               \"dns\":{\"rrname\":\"a29999.example\"}}\n";
    assert_peak(&event, log, MOST);
}

/// A feed whose indicator is in this event is followed in less than so many bytes.
#[track_caller]
fn assert_peak(feed: &str, event: &str, most: u64) {
    let shown = &feed[..20];
    let bridge = Bridge::bare().file("feed", feed).file("eve.json", event);
    let bridge = bridge.args(["--follow", "--indicators", "feed", "--events", "eve.json"]);
    let mut bridge = bridge.run();
    assert!(bridge.line(LIMIT).is_some(), "{shown}: {}", bridge.log());
    let peak = bridge.peak_resident();
    assert!(peak < most, "{shown}: {} MiB", peak >> 20);
    bridge.signal(Signal::TERM);
    bridge.wait(LIMIT);
}

#[test]
fn followed_feeds_are_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let event = |name: &str| {
        format!(
            "{{\"timestamp\":\"2024-05-01T10:00:00.000001+0000\",\"event_type\":\"dns\",\
             \"dns\":{{\"rrname\":\"{name}\"}}}}\n"
        )
    };
    std::fs::write(at("feed"), "old.example\nstays.example\n").expect("a file");
    std::fs::write(at("eve.json"), "").expect("a file");
    let mut bridge = Bridge::bare()
        .args(["--follow", "--loglevel", "info", "--indicators"])
        .arg(at("feed"))
        .arg("--events")
        .arg(at("eve.json"))
        .run();
    bridge.wait_for_log("read 2 indicator(s)", LIMIT);
    std::fs::write(at("feed"), "").expect("a file");
    bridge.wait_for_log("its former indicators stay", LIMIT);
    // A bundle that is not written to its end.
    let bundle = serde_json::to_string_pretty(&serde_json::json!([
        {"indicator": "other.example", "type": "domain"},
        {"indicator": "old.example", "type": "domain"},
    ]));
    let bundle = bundle.expect("JSON");
    std::fs::write(at("feed"), &bundle[..bundle.len() - 20]).expect("a file");
    bridge.wait_for_log("indicators stay: it ends inside a value", LIMIT);
    std::fs::write(at("feed"), "new.example\nnot one\nstays.example\n").expect("a file");
    bridge.wait_for_log("1 indicator(s) are new or changed, 1 are gone", LIMIT);
    assert!(
        bridge
            .log()
            .contains("line 2: indicator not one is rejected"),
        "{}",
        bridge.log()
    );
    let names = [
        "old.example",
        "new.example",
        "stays.example",
        "other.example",
    ];
    let lines: String = names.iter().map(|name| event(name)).collect();
    let mut log = std::fs::File::options()
        .append(true)
        .open(at("eve.json"))
        .expect("a file");
    log.write_all(lines.as_bytes()).expect("it is written");
    let found = [
        bridge.line(LIMIT).expect("a sighting"),
        bridge.line(LIMIT).expect("another"),
    ]
    .join("\n");
    assert!(
        found.contains("new.example") && found.contains("stays.example"),
        "{found}"
    );
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty(), "{found}");
}
