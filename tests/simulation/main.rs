//! The machines of the bridge in a world of faults that a seed decides, many times over.
//!
//! `SEED` is the first seed (the time, where there is none), `SIMULATE_SECONDS` how long
//! new ones are tried, and `SIMULATE_SCHEDULES` how many instead. A failure says its seed,
//! and that seed alone repeats it.

mod bridge;
#[path = "world/broker.rs"]
mod broker;
mod bus;
mod machines;
#[path = "../judge/random.rs"]
mod random;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bus::Tally;

/// How many steps a schedule has at the least.
const STEPS: usize = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one schedule; what did not hold, also where that is a panic.
fn run(seed: u64) -> Result<Tally, String> {
    let run = std::panic::catch_unwind(|| bus::run(seed, STEPS));
    run.unwrap_or_else(|_| Err(format!("seed {seed}: a panic, see above")))
}

#[test]
fn no_schedule_of_faults_breaks_a_promise() {
    let by_time = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let first = number("SEED").unwrap_or(by_time.as_secs());
    let schedules = number("SIMULATE_SCHEDULES").unwrap_or(u64::MAX);
    let seconds = number("SIMULATE_SECONDS").unwrap_or(10);
    let limit = match schedules {
        u64::MAX => Duration::from_secs(seconds),
        _ => Duration::MAX,
    };
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let work = || {
        let mut own = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_over = number >= schedules || number > 0 && began.elapsed() >= limit;
            if is_over || !failures.lock().expect("no panic").is_empty() {
                break;
            }
            match run(first.wrapping_add(number)) {
                Ok(one) => own.add(&one),
                Err(report) => failures.lock().expect("no panic").push(report),
            }
        }
        tally.lock().expect("no panic").add(&own);
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(2);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let tally = tally.into_inner().expect("no panic");
    println!(
        "{} schedules from seed {first} in {:.1} s: {tally:?}",
        tally.schedules,
        began.elapsed().as_secs_f64()
    );
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    tally.is_not_idle();
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    for seed in 0..20 {
        let again = format!("{:?}", run(seed));
        assert_eq!(format!("{:?}", run(seed)), again);
    }
}
