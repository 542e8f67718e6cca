//! `make torture`: every fault in its long form, and a table of what came of it, ready
//! for `docs/reliability.md`. Arguments choose rows by their words; `--seed N` sets the first
//! seed.

#[path = "../scenarios/mod.rs"]
mod scenarios;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use scenarios::engine::Misdeed;
use scenarios::sinks::Sink;
use scenarios::{Outcome, brokers, clock, cycles, disk, engine, kills, sinks, traffic};
use support::broker::BrokerKind;
use support::standin::Down;

/// A fault, and how to bring it about on this kind of broker with this seed.
struct Row {
    words: String,
    /// What may be lost: without confirmation, what is inside a broker that dies.
    may_lose: bool,
    run: Box<dyn Fn(BrokerKind, u64) -> Option<Outcome> + Sync>,
}

fn row(words: &str, run: impl Fn(BrokerKind, u64) -> Option<Outcome> + Sync + 'static) -> Row {
    Row {
        words: words.to_owned(),
        may_lose: false,
        run: Box::new(run),
    }
}

fn rows() -> Vec<Row> {
    let half_a_minute = Duration::from_secs(30);
    let mut rows = vec![
        row("broker killed, confirmed delivery", |kind, seed| {
            Some(brokers::killed(kind, true, 20, 10_000, seed))
        }),
        Row {
            may_lose: true,
            ..row("broker killed, not confirmed", |kind, seed| {
                Some(brokers::killed(kind, false, 20, 10_000, seed))
            })
        },
        row("broker killed before sightings are found", |kind, _| {
            Some(brokers::away(kind, false, 5, 1_000))
        }),
        row("the same, with a state directory", |kind, _| {
            Some(brokers::away(kind, true, 5, 1_000))
        }),
        row("broker stopped for 30 s", move |kind, _| {
            Some(brokers::frozen(kind, false, half_a_minute, 10_000))
        }),
        row("the same, confirmed delivery", move |kind, _| {
            Some(brokers::frozen(kind, true, half_a_minute, 10_000))
        }),
        row("VAST down for 30 s in a query", move |kind, _| {
            Some(engine::down(kind, Down::Killed, 2, half_a_minute))
        }),
        row("VAST shut down for 30 s in a query", move |kind, _| {
            Some(engine::down(kind, Down::Stopped, 2, half_a_minute))
        }),
    ];
    for misdeed in Misdeed::ALL {
        rows.push(row(misdeed.words(), move |kind, _| {
            Some(engine::misbehaves(kind, misdeed, 1_000))
        }));
    }
    for sink in [Sink::Hangs, Sink::Dies, Sink::IsSlow] {
        rows.push(row(sink.words(), move |kind, _| {
            Some(sinks::command(kind, sink, 50))
        }));
    }
    rows.extend([
        row("standard output is closed", |kind, _| {
            Some(sinks::reader_gone(kind, 1_000))
        }),
        row("standard output is never read", move |kind, _| {
            Some(sinks::pipe_full(kind, half_a_minute))
        }),
        row("disk full under spool, log and metrics", |kind, _| {
            disk::full(kind, 10_000)
        }),
        row("this program killed", |kind, seed| {
            Some(kills::killed(kind, 600, seed))
        }),
        row("clock set back by an hour", |kind, _| {
            Some(clock::set_back(kind, 3_000))
        }),
        row("24 h of traffic in 10 minutes", |kind, _| {
            Some(traffic::day(kind, Duration::from_secs(600)))
        }),
    ]);
    rows
}

fn main() {
    let (seed, words) = arguments();
    let wanted = |text: &str| words.is_empty() || words.iter().any(|word| text.contains(word));
    println!("Seed {seed}.\n");
    println!(
        "| Fault | Bus | Seed | Times | Sightings expected | Delivered | Lost | Duplicated | Longest silence | |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let started = Instant::now();
    let mut failed = 0;
    let cycles = "opened and closed";
    for (number, row) in (seed..).zip(rows()) {
        if wanted(&row.words) {
            failed += with_both(&row, number);
        }
    }
    if wanted(cycles) {
        for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
            let outcome = std::panic::catch_unwind(|| cycles::opened_and_closed(kind, 10_000));
            failed += print(cycles, kind, seed, outcome.map(Some), false);
        }
    }
    println!("\n{} s in all.", started.elapsed().as_secs());
    if failed > 0 {
        eprintln!("{failed} of them did not go as they should");
        std::process::exit(1);
    }
}

/// Runs it with a broker of each protocol at the same time; the number of failures.
fn with_both(row: &Row, seed: u64) -> usize {
    let run = |kind| {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (row.run)(kind, seed)));
        print(&row.words, kind, seed, outcome, row.may_lose)
    };
    std::thread::scope(|scope| {
        let legacy = scope.spawn(|| run(BrokerKind::Legacy));
        let stix = run(BrokerKind::Ports);
        stix + legacy.join().expect("panics are caught")
    })
}

/// Prints one line; 1 where it is no good one.
fn print(
    words: &str,
    kind: BrokerKind,
    seed: u64,
    outcome: std::thread::Result<Option<Outcome>>,
    may_lose: bool,
) -> usize {
    let bus = kind.protocol();
    let (line, bad) = match outcome {
        Ok(Some(outcome)) => (
            format!(
                "{} | {} | {} | {} | {} | {:.1} s | {}",
                outcome.times,
                outcome.expected,
                outcome.delivered,
                outcome.lost(),
                outcome.duplicated,
                outcome.silence.as_secs_f64(),
                outcome.note
            ),
            outcome.lost() > 0 && !may_lose,
        ),
        Ok(None) => ("| | | | | | not possible here".to_owned(), false),
        Err(_) => ("| | | | | | FAILED, see above".to_owned(), true),
    };
    println!("| {words} | {bus} | {seed} | {line} |");
    usize::from(bad)
}

/// The seed and the words of the rows that are wanted.
fn arguments() -> (u64, Vec<String>) {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let seed = words.iter().position(|word| word == "--seed").map(|at| {
        let value = words.get(at + 1).and_then(|value| value.parse().ok());
        let value = value.expect("--seed takes a number");
        words.drain(at..at + 2);
        value
    });
    // Cargo may add options of its own harness.
    words.retain(|word| !word.starts_with("--"));
    (seed.unwrap_or(1), words)
}
