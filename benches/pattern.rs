//! How fast patterns are read, on one core: `cargo bench --bench pattern`.
//!
//! Simple ones, ones that grow (the time of one byte stays what it is), and ones
//! that are refused. Prints one result a line as JSON.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use vast_threatbus::protocol::stix::{pattern, plan};

/// A measurement repeats its pattern for this long.
const AT_LEAST: Duration = Duration::from_millis(500);

fn main() {
    for text in [
        "[ipv4-addr:value = '203.0.113.80']",
        "[domain-name:value = 'irc.example.org']",
        "[file:hashes.'SHA-256' = 'eee57820203860ea469843dfba7bbb970021cae59fcc6e99056937bdec33fd02']",
    ] {
        measure("simple", text);
    }
    measure(
        "compound",
        "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = \
         '203.0.113.66' AND network-traffic:dst_port = 4444] START t'2020-01-01T00:00:00Z' STOP \
         t'2021-01-01T00:00:00Z'",
    );
    for count in [10, 100, 1000, 3000] {
        let names = (0..count).map(|n| format!("'host{n}.example'"));
        let names: Vec<String> = names.collect();
        measure(
            "list",
            &format!("[domain-name:value IN ({})]", names.join(", ")),
        );
        let tests = (0..count / 3).map(|n| format!("domain-name:value = 'host{n}.example'"));
        let tests: Vec<String> = tests.collect();
        measure("alternatives", &format!("[{}]", tests.join(" OR ")));
    }
    for depth in [60, 10_000] {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        measure("nested", &format!("[{open}url:value = '/'{close}]"));
    }
}

/// Reads the pattern, and reads and plans it, as often as the time allows.
fn measure(shape: &str, text: &str) {
    let is_read = pattern::parse(text).is_ok();
    let read = repeat(|| drop(black_box(pattern::parse(black_box(text)))));
    let planned = repeat(|| {
        if let Ok(pattern) = pattern::parse(black_box(text)) {
            drop(black_box(plan::plan(&pattern)));
        }
    });
    println!(
        "{}",
        json!({
            "bench": "pattern", "shape": shape, "bytes": text.len(), "is_read": is_read,
            "parse_microseconds": rounded(read * 1e6),
            "parse_nanoseconds_per_byte": rounded(read * 1e9 / text.len() as f64),
            "parse_and_plan_microseconds": rounded(planned * 1e6),
        })
    );
}

/// The seconds that one call takes.
fn repeat(mut call: impl FnMut()) -> f64 {
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < AT_LEAST {
        // Looking at the clock costs too.
        for _ in 0..16 {
            call();
        }
        count += 16;
    }
    started.elapsed().as_secs_f64() / f64::from(count)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
