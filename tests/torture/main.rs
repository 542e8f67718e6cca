//! `make torture`: every fault in its long form, and a table of what came of it, ready
//! for `docs/reliability.md`. Arguments choose rows by their words; `--seeds N` runs each with N
//! seeds, from `--seed N` (1) on, one after the other; with `--loaded` all of them at the same
//! time, next to a busy thread for each core.

#[path = "../scenarios/mod.rs"]
mod scenarios;
#[path = "../support/mod.rs"]
mod support;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What is run, and how.
struct Plan {
    seeds: Range<u64>,
    /// All seeds at the same time, next to a busy thread for each core.
    is_loaded: bool,
    words: Vec<String>,
}

/// The result of one run: nothing where it is not possible here.
type Ending = std::thread::Result<Option<Outcome>>;

const BUSES: [BrokerKind; 2] = [BrokerKind::Legacy, BrokerKind::Ports];

fn main() {
    let plan = plan();
    let wanted =
        |text: &str| plan.words.is_empty() || plan.words.iter().any(|word| text.contains(word));
    println!("| Fault | Bus | Seeds | Times | Sightings | Lost | Duplicated | Longest silence | |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let started = Instant::now();
    let is_over = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..if plan.is_loaded { cores } else { 0 } {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let rows = rows().into_iter().filter(|row| wanted(&row.words));
        let failed: usize = rows.map(|row| with_both(&row, &plan)).sum();
        is_over.store(true, Ordering::Relaxed);
        failed
    });
    let cycles = row("opened and closed", |kind, _| {
        Some(cycles::opened_and_closed(kind, 10_000))
    });
    // It counts what this process has open, so nothing else runs at the same time.
    let counted = BUSES.iter().filter(|_| wanted(&cycles.words));
    let counted = counted.map(|kind| print(&cycles, *kind, &(1..2), vec![run(&cycles, *kind, 1)]));
    let failed = failed + counted.sum::<usize>();
    println!("\n{} s in all.", started.elapsed().as_secs());
    if failed > 0 {
        eprintln!("{failed} of them failed");
        std::process::exit(1);
    }
}

/// Runs it with a broker of each protocol at the same time; the number of failures.
fn with_both(row: &Row, plan: &Plan) -> usize {
    std::thread::scope(|scope| {
        let buses = BUSES.map(|kind| {
            scope.spawn(move || print(row, kind, &plan.seeds, with_seeds(row, kind, plan)))
        });
        let failed = buses.map(|bus| bus.join().expect("panics are caught"));
        failed.iter().sum()
    })
}

fn with_seeds(row: &Row, kind: BrokerKind, plan: &Plan) -> Vec<Ending> {
    let seeds = plan.seeds.clone();
    if !plan.is_loaded {
        return seeds.map(|seed| run(row, kind, seed)).collect();
    }
    std::thread::scope(|scope| {
        let runs: Vec<_> = seeds
            .map(|seed| scope.spawn(move || run(row, kind, seed)))
            .collect();
        let endings = runs.into_iter().map(|run| run.join());
        endings
            .map(|ending| ending.expect("panics are caught"))
            .collect()
    })
}

fn run(row: &Row, kind: BrokerKind, seed: u64) -> Ending {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (row.run)(kind, seed)))
}

/// Prints one line for all seeds, with the least and the most of each number; returns how many
/// of the runs failed.
fn print(row: &Row, kind: BrokerKind, seeds: &Range<u64>, endings: Vec<Ending>) -> usize {
    let (words, bus) = (&row.words, kind.protocol());
    let seeds = span(seeds.clone());
    let failed = endings.iter().filter(|ending| ending.is_err()).count();
    let failures = if failed > 0 {
        format!("; {failed} FAILED, see above")
    } else {
        String::new()
    };
    let outcomes: Vec<Outcome> = endings.into_iter().flatten().flatten().collect();
    let Some(last) = outcomes.last() else {
        println!("| {words} | {bus} | {seeds} | | | | | | not possible here{failures} |");
        return failed;
    };
    let silence = outcomes.iter().map(|outcome| outcome.silence).max();
    let has_lost = |outcome: &&Outcome| outcome.lost() > 0 && !row.may_lose;
    println!(
        "| {words} | {bus} | {seeds} | {} | {} | {} | {} | {:.1} s | {}{} |",
        last.times,
        last.expected,
        span(outcomes.iter().map(Outcome::lost)),
        span(outcomes.iter().map(|outcome| outcome.duplicated)),
        silence.unwrap_or_default().as_secs_f64(),
        last.note,
        failures,
    );
    failed + outcomes.iter().filter(has_lost).count()
}

/// The least and the most, or the one that all are.
fn span(numbers: impl Iterator<Item = u64> + Clone) -> String {
    let (least, most) = (numbers.clone().min(), numbers.max());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    }
}

/// What the arguments say.
fn plan() -> Plan {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        let value = words.get(at + 1).and_then(|value| value.parse().ok());
        let value: u64 = value.unwrap_or_else(|| panic!("{name} takes a number"));
        words.drain(at..at + 2);
        Some(value)
    };
    let first = number("--seed").unwrap_or(1);
    let seeds = first..first + number("--seeds").unwrap_or(1);
    let is_loaded = words.iter().any(|word| word == "--loaded");
    // Cargo may add options of its own harness.
    words.retain(|word| !word.starts_with("--"));
    Plan {
        seeds,
        is_loaded,
        words,
    }
}
