//! The shapes of real feeds: how many of their indicators are asked for, why the
//! others are not, and that those that the sample events hold are found.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::bridge::Bridge;
use support::paths::{clean_command, repository};
use support::standin::Standin;

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
fn the_share_that_is_asked_for_is_what_it_was() {
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

/// What each indicator of a feed is about, by its id.
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

/// What is sighted in the sample events, with the number of sightings.
fn sighted(name: &str) -> Vec<(String, u64)> {
    let feed = feeds().join(name);
    let engine = Standin::with_samples();
    let mut bridge = Bridge::between("127.0.0.1:9", &engine)
        .args(["--retro-match", "--indicators"])
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
    // As counted in tests/samples/events, without what stands in lists and addresses
    // in strings.
    let expected: [(&str, Vec<(String, u64)>); 7] = [
        (
            "misp-2020.jsonl",
            vec![
                ("/gate.php".into(), 1),
                // As a file's name, and as a URL.
                ("/payload.exe".into(), 1),
                ("/payload.exe".into(), 2),
                ("198.51.100.99".into(), 1),
                ("2001:db8:bad::1".into(), 1),
                ("203.0.113.66".into(), 13),
                ("203.0.113.66|4444".into(), 3),
                (MD5.into(), 1),
                (SHA1.into(), 1),
                ("Updater/2.1".into(), 2),
                ("cdn.example.org|203.0.113.80".into(), 1),
                (SHA256.into(), 1),
                ("evil.example.net".into(), 6),
                ("mail.example.net".into(), 1),
                (format!("payload.exe|{SHA256}"), 1),
            ],
        ),
        (
            "misp-2022.jsonl",
            vec![
                ("[domain-name:value = 'evil.example.net']".into(), 6),
                ("[domain-name:value = 'mail.example.net']".into(), 1),
                (
                    format!("[file:hashes.MD5 = '{MD5}' OR file:hashes.'SHA-256' = '{SHA256}']"),
                    1,
                ),
                ("[file:name = '/payload.exe' AND file:size > 10]".into(), 1),
                ("[ipv4-addr:value = '198.51.100.99']".into(), 1),
                ("[ipv4-addr:value = '2001:db8:bad::1']".into(), 1),
                ("[ipv4-addr:value = '203.0.113.66']".into(), 13),
                ("[url:value = '/payload.exe']".into(), 2),
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
                ("[domain-name:value = 'evil.example.net']".into(), 6),
                ("[domain-name:value = 'mail.example.net']".into(), 1),
                (format!("[file:hashes.MD5 = '{MD5}']"), 1),
                (format!("[file:hashes.SHA1 = '{SHA1}']"), 1),
                (format!("[file:hashes.SHA256 = '{SHA256}']"), 1),
                (
                    format!("[file:name = '/payload.exe' AND file:hashes.SHA256 = '{SHA256}']"),
                    1,
                ),
                ("[network-traffic:dst_port = '4444']".into(), 3),
                (to_port, 3),
                (connection("dst", "ipv4", "203.0.113.66"), 12),
                (connection("dst", "ipv6", "2001:db8:ffff::53"), 2),
                (format!("[{USER_AGENT} = 'Updater/2.1']"), 2),
                (connection("src", "ipv4", "198.51.100.99"), 1),
                (connection("src", "ipv6", "2001:db8:bad::1"), 1),
                ("[url:value = '/payload.exe']".into(), 2),
            ],
        ),
        (
            "opencti.json",
            vec![
                ("[domain-name:value = 'evil.example.net']".into(), 6),
                ("[domain-name:value = 'xn--mnchen-3ya.example']".into(), 1),
                (format!("[file:hashes.'SHA-1' = '{SHA1}']"), 1),
                (format!("[file:hashes.'SHA-256' = '{SHA256}']"), 1),
                (any_hash, 1),
                (format!("[file:hashes.MD5 = '{MD5}']"), 1),
                ("[file:name = '/payload.exe']".into(), 1),
                ("[hostname:value = 'mail.example.net']".into(), 1),
                ("[ipv4-addr:value = '203.0.113.0/28']".into(), 7),
                ("[ipv4-addr:value = '203.0.113.66']".into(), 13),
                ("[ipv6-addr:value = '2001:db8:bad::1']".into(), 1),
                ("[user-agent:value = 'Updater/2.1']".into(), 2),
            ],
        ),
        (
            "abuse.ch-addresses.txt",
            vec![
                ("198.51.100.99".into(), 1),
                ("2001:db8:bad::1".into(), 1),
                ("203.0.113.66".into(), 13),
            ],
        ),
        ("abuse.ch-hashes.txt", vec![(SHA256.into(), 1)]),
        (
            "abuse.ch-urls.txt",
            // Where it stands as a referrer; a request's path stands alone.
            vec![("http://evil.example.net/payload.exe".into(), 1)],
        ),
    ];
    for (name, expected) in expected {
        assert_eq!(sighted(name), expected, "{name}");
    }
}
