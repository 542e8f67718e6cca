//! How fast events are searched, on one core: `cargo bench --bench matching`.
//!
//! Prints a table, then the same as JSON, one result a line. All data is made
//! here, the same in every run.

mod data;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use data::Random;
use vast_threatbus::matching::{Attribution, Concepts, ExactMatcher, Verdict};
use vast_threatbus::observable::Observable;

/// Events of each type; they fit no cache, like those of a pipe.
const EVENTS: usize = 40_000;
/// One event in this many has a value that is searched.
const HIT_EVERY: usize = 100;
const BATCHES: [usize; 5] = [1, 100, 10_000, 100_000, 1_000_000];
/// A measurement repeats its pass over the events for this long.
const AT_LEAST: Duration = Duration::from_millis(1500);

fn main() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let logs = [
        ("zeek.conn", lines(&mut random, conn)),
        ("zeek.http", lines(&mut random, http)),
    ];
    let mut report = Report::new();
    // First, so that the memory is not what an earlier measurement left.
    for size in BATCHES {
        let before = resident();
        let mut matcher = ExactMatcher::new(Concepts::shared());
        for nth in 0..size {
            matcher.insert(&observable(nth));
        }
        let grown = resident().saturating_sub(before);
        let heap = matcher.index().heap_size();
        let mut slots = Vec::new();
        for (log, lines) in &logs {
            let matches = || {
                for line in lines {
                    matcher
                        .matches(line, &mut slots)
                        .expect("a generated event");
                    black_box(&slots);
                }
            };
            report.measure("live", log, size, lines, matches);
        }
        report.memory(size, heap, grown);
    }
    for size in BATCHES {
        // A batch of one entry does not look at the event at all.
        let entries: Vec<[Observable; 1]> = (0..size.max(2)).map(|nth| [observable(nth)]).collect();
        let batch = Attribution::new(&entries);
        let mut verdict = Verdict::default();
        for (log, lines) in &logs {
            let attribute = || {
                for line in lines {
                    let attributed = batch.attribute(line, &mut verdict);
                    attributed.expect("a generated event");
                    black_box(&verdict.certain);
                }
            };
            report.measure("attribution", log, entries.len(), lines, attribute);
        }
    }
    report.print();
}

/// The results, printed when all are there.
struct Report {
    table: String,
    json: String,
}

impl Report {
    fn new() -> Self {
        let table = format!(
            "{:<24}{:<12}{:>10}{:>14}{:>10}{:>12}\n",
            "what", "events", "values", "events/s", "MB/s", "ns/event"
        );
        let json = String::new();
        Report { table, json }
    }

    fn measure(
        &mut self,
        what: &str,
        log: &str,
        size: usize,
        lines: &[String],
        mut pass: impl FnMut(),
    ) {
        pass();
        let start = Instant::now();
        let mut passes = 0;
        while start.elapsed() < AT_LEAST {
            pass();
            passes += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        let bytes: usize = lines.iter().map(String::len).sum();
        let events = (passes * lines.len()) as f64 / seconds;
        let megabytes = (passes * bytes) as f64 / seconds / 1e6;
        let nanoseconds = 1e9 / events;
        writeln!(
            self.table,
            "{what:<24}{log:<12}{size:>10}{events:>14.0}{megabytes:>10.0}{nanoseconds:>12.0}"
        )
        .expect("a string takes all");
        let result = serde_json::json!({
            "bench": what, "events": log, "values": size,
            "events_per_second": events.round(), "megabytes_per_second": megabytes.round(),
        });
        self.line(&result);
    }

    fn memory(&mut self, size: usize, heap: usize, grown: usize) {
        let (heap, grown) = (heap as f64 / 1e6, grown as f64 / 1e6);
        writeln!(
            self.table,
            "live index of {size}: {heap:.1} MB allocated, {grown:.1} MB more resident"
        )
        .expect("a string takes all");
        let result = serde_json::json!({
            "bench": "live index", "values": size,
            "allocated_megabytes": heap, "resident_megabytes": grown,
        });
        self.line(&result);
    }

    fn line(&mut self, result: &serde_json::Value) {
        writeln!(self.json, "{result}").expect("a string takes all");
    }

    fn print(&self) {
        println!("{}\n{}", self.table, self.json);
    }
}

/// The resident memory in bytes; 0 where the system does not tell.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// The nth value that is searched: names, addresses and URLs by turns.
fn observable(nth: usize) -> Observable {
    match nth % 10 {
        0..=4 => Observable::domain(&domain(nth)),
        5..=8 => {
            let [_, b, c, d] = (nth as u32).to_be_bytes();
            Observable::address([198, b, c, d].into())
        }
        _ => Observable::Url(url(nth).into()),
    }
}

const WORDS: [&str; 16] = [
    "cdn", "update", "login", "static", "mail", "img", "secure", "api", "news", "track", "store",
    "video", "cloud", "data", "files", "web",
];
const ENDS: [&str; 8] = ["com", "net", "org", "info", "example", "de", "co.uk", "ru"];

fn domain(nth: usize) -> String {
    let (word, end) = (WORDS[nth % 16], ENDS[nth / 16 % 8]);
    format!("{word}{:x}.{}-site.{end}", nth / 7, WORDS[nth / 3 % 16])
}

fn url(nth: usize) -> String {
    format!("/{}/{:x}/index.php?id={nth}", WORDS[nth / 5 % 16], nth * 31)
}

fn lines(random: &mut Random, make: fn(&mut Random, bool) -> String) -> Vec<String> {
    (0..EVENTS)
        .map(|nth| make(random, nth % HIT_EVERY == 0))
        .collect()
}

fn conn(random: &mut Random, hit: bool) -> String {
    data::conn(random, hit.then(|| observable(5).to_string()))
}

fn http(random: &mut Random, hit: bool) -> String {
    // Names like those that are searched, but not among them.
    let nth = 2_000_000 + random.next(1_000_000);
    let host = if hit {
        observable(0).to_string()
    } else {
        domain(nth)
    };
    format!(
        r#"{{"ts": "2021-03-{:02}T09:{:02}:13.{:09}", "uid": "C{:016x}", "id.orig_h": "{}", "id.orig_p": {}, "id.resp_h": "{}", "id.resp_p": 80, "trans_depth": 1, "method": "GET", "host": "{host}", "uri": "{}", "referrer": "http://{}/", "version": "1.1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:86.0) Gecko/20100101 Firefox/86.0", "origin": null, "request_body_len": 0, "response_body_len": {}, "status_code": 200, "status_msg": "OK", "info_code": null, "info_msg": null, "tags": [], "username": null, "password": null, "proxied": null, "orig_fuids": null, "orig_filenames": null, "orig_mime_types": null, "resp_fuids": ["F{:016x}"], "resp_filenames": null, "resp_mime_types": ["text/html"]}}"#,
        random.next(28) + 1,
        random.next(60),
        random.next(1_000_000_000),
        random.next(usize::MAX),
        random.address(),
        random.next(65_536),
        random.address(),
        url(nth),
        domain(nth + 1),
        random.next(1_000_000),
        random.next(usize::MAX),
    )
}
