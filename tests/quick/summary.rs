//! The files of `--summary-file`, and its page in a real Chromium.

use std::path::{Path, PathBuf};

use crate::support::bridge::Bridge;
use crate::support::chromium::Chromium;
use crate::support::scene::LIMIT;
use crate::support::{Scratch, paths};
use serde_json::{Value, json};

/// A name with markup and other dangerous characters.
const HOSTILE: &str = "<script>alert(1)</script>'\"&\u{202e}";

/// Runs over a few events, and returns the folder with the summaries.
fn summaries() -> Scratch {
    let folder = Scratch::new();
    let request = |host: &str, n: usize| {
        let event = json!({
            "timestamp": format!("2024-03-05T0{}:00:00.000000+0000", n % 9), "flow_id": n,
            "event_type": "http", "src_ip": format!("10.0.0.{}", n % 4), "dest_ip": "198.51.100.7",
            "http": {"hostname": host, "url": "/x", "http_user_agent": HOSTILE},
        });
        format!("{event}\n")
    };
    let mut events: String = (0..12).map(|n| request("often.example", n)).collect();
    events += &request("once.example", 3);
    let hostile = json!({
        "type": "indicator", "spec_version": "2.1",
        "id": "indicator--00000000-0000-4000-8000-000000000009",
        "created": "2024-01-01T00:00:00Z", "modified": "2024-01-01T00:00:00Z",
        "valid_from": "2024-01-01T00:00:00Z", "pattern_type": "stix",
        "pattern": format!(
            "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = '{}']",
            HOSTILE.replace('\'', "\\'"),
        ),
    });
    let simple = |n: u32, host: &str| {
        let pattern = format!("[domain-name:value = '{host}']");
        crate::support::messages::stix_indicator(u64::from(n), &pattern, None)
    };
    let indicators = [
        simple(1, "often.example"),
        simple(2, "once.example"),
        hostile,
    ];
    let lines: String = indicators.iter().map(|one| format!("{one}\n")).collect();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let mut bridge = Bridge::bare()
        .file("eve.json", events)
        .file("=indicators", lines)
        .args([
            "--events",
            "eve.json",
            "--indicators",
            "=indicators",
            "--summary-file",
        ])
        .args([file("s.json"), file("s.csv"), file("s.html")])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    folder
}

fn read(folder: &Scratch, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).expect("a summary")
}

#[test]
fn files_have_every_indicator() {
    use std::os::unix::fs::PermissionsExt;

    let folder = summaries();
    let all: Value = serde_json::from_str(&read(&folder, "s.json")).expect("JSON");
    let rows = all["indicators"].as_array().expect("rows");
    assert_eq!(rows.len(), 3, "{all}");
    let often = rows.iter().find(|row| {
        row["indicator"]
            .as_str()
            .is_some_and(|text| text.contains("often"))
    });
    let often = often.expect("it was met");
    assert_eq!(
        (&often["sightings"], &often["kind"]),
        (&json!(12), &json!("domain"))
    );
    assert_eq!(often["first_seen"], "2024-03-05T00:00:00Z");
    assert_eq!(often["last_seen"], "2024-03-05T08:00:00Z");
    let hosts = often["hosts"].as_array().expect("hosts");
    assert_eq!(hosts.len(), 3);
    assert_eq!(hosts[0], json!({"address": "10.0.0.0", "sightings": 3}));
    let csv = read(&folder, "s.csv");
    assert_eq!(csv.lines().count(), 4);
    assert!(
        csv.contains("\"'=indicators\"") && !csv.contains('\u{202e}'),
        "{csv}"
    );
    for name in ["s.json", "s.csv", "s.html"] {
        let mode = folder
            .path()
            .join(name)
            .metadata()
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        3
    );
}

fn page(folder: &Scratch) -> PathBuf {
    folder.path().join("s.html")
}

/// Opens the page and checks what has to be true on every screen.
fn looked_at(page: &Path, width: u32, height: u32, is_dark: bool) -> Option<Chromium> {
    let mut browser = Chromium::open(page, width, height, is_dark)?;
    assert_eq!(
        browser.evaluate("document.querySelectorAll('tbody tr').length"),
        3
    );
    assert!(
        browser
            .evaluate("document.querySelectorAll('svg rect').length")
            .as_u64()
            > Some(3)
    );
    assert_eq!(browser.evaluate("document.scripts.length"), 1);
    let overflow = "document.documentElement.scrollWidth > window.innerWidth";
    assert_eq!(browser.evaluate(overflow), false, "{width}");
    let picture = browser.screenshot();
    assert!(
        picture.starts_with("iVBORw0KGgo") && picture.len() > 5_000,
        "{}",
        picture.len()
    );
    Some(browser)
}

#[test]
fn the_page_is_readable_and_sorts_in_a_real_browser() {
    if paths::installed("chromium").is_none() {
        return;
    }
    let folder = summaries();
    let background = "getComputedStyle(document.body).backgroundColor";
    let mut wide = looked_at(&page(&folder), 1280, 800, false).expect("it is installed");
    assert_eq!(wide.evaluate(background), "rgb(255, 255, 255)");
    let first = "document.querySelector('tbody tr').cells[3].textContent";
    let click = "document.querySelectorAll('th button')[3].click(), \
                 document.querySelector('tbody tr').cells[3].textContent";
    let most = wide.evaluate(first);
    let least = wide.evaluate(click);
    assert!(most != least, "{most} {least}");
    assert_eq!(wide.evaluate(click), most);
    let text = wide.evaluate("document.querySelector('tbody').textContent");
    assert!(
        text.as_str()
            .is_some_and(|text| text.contains("<script>alert(1)</script>")),
        "{text}"
    );
    assert_eq!(wide.complaints, [json!(null); 0]);
    let mut phone = looked_at(&page(&folder), 390, 844, true).expect("it is installed");
    assert_eq!(phone.evaluate(background), "rgb(13, 17, 23)");
    let label = "getComputedStyle(document.querySelector('td'), '::before').content";
    assert!(
        phone
            .evaluate(label)
            .as_str()
            .is_some_and(|text| text.contains("Indicator"))
    );
    assert_eq!(phone.complaints, [json!(null); 0]);
}
