//! Runs the bridge's state machines in a world of random faults, many times.
//!
//! `SEED` is the first seed (by default the time), `SIMULATE_SECONDS` the time for new
//! seeds, and `SIMULATE_SCHEDULES` their number instead. A failure prints its seed, which
//! is enough to repeat it.

mod bridge;
#[path = "world/broker.rs"]
mod broker;
mod bus;
mod found;
mod machines;
#[path = "../judge/random.rs"]
#[allow(dead_code)] // Other programs use more of it.
mod random;
mod storage;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bus::Tally;
use vast_threatbus::process::stop::Stop;

/// The least number of steps in a schedule.
const STEPS: usize = 200;

/// The first failure ends all tests: further results would not be read.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one schedule; a panic is a failure too.
fn guarded<T>(
    seed: u64,
    run: impl Fn(u64) -> Result<T, String> + std::panic::RefUnwindSafe,
) -> Result<T, String> {
    let run = std::panic::catch_unwind(|| run(seed));
    run.unwrap_or_else(|_| Err(format!("seed {seed}: a panic, see above")))
}

fn run(seed: u64) -> Result<Tally, String> {
    guarded(seed, |seed| bus::run(seed, STEPS))
}

/// Runs schedules until the time is over, or as many as requested; returns their results.
fn simulate<T: Default + Send + std::fmt::Debug>(
    run: impl Fn(u64) -> Result<T, String> + Sync,
    add: impl Fn(&mut T, &T) + Sync,
    is_not_idle: impl Fn(&T),
) {
    let by_time = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let first = number("SEED").unwrap_or(by_time.as_secs());
    let schedules = number("SIMULATE_SCHEDULES").unwrap_or(u64::MAX);
    let seconds = number("SIMULATE_SECONDS").unwrap_or(10);
    let limit = match schedules {
        u64::MAX => Duration::from_secs(seconds),
        _ => Duration::MAX,
    };
    let (next, done, began) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    let (tally, failures) = (Mutex::new(T::default()), Mutex::new(Vec::new()));
    let work = || {
        let mut own = T::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_over = number >= schedules || number > 0 && began.elapsed() >= limit;
            if is_over || HAS_FAILED.load(Ordering::Relaxed) {
                break;
            }
            done.fetch_add(1, Ordering::Relaxed);
            match run(first.wrapping_add(number)) {
                Ok(one) => add(&mut own, &one),
                Err(report) => {
                    HAS_FAILED.store(true, Ordering::Relaxed);
                    failures.lock().expect("no panic").push(report);
                }
            }
        }
        add(&mut tally.lock().expect("no panic"), &own);
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
        done.into_inner(),
        began.elapsed().as_secs_f64()
    );
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    if !HAS_FAILED.load(Ordering::Relaxed) {
        is_not_idle(&tally);
    }
}

#[test]
fn no_schedule_of_faults_breaks_a_promise() {
    simulate(run, Tally::add, Tally::is_not_idle);
}

#[test]
fn no_schedule_of_crashes_loses_what_was_safe() {
    let stop = Stop::new().expect("two socket pairs");
    let stop = std::panic::AssertUnwindSafe(&stop);
    let run = |seed| guarded(seed, |seed| storage::run(seed, STEPS, *stop));
    simulate(run, storage::Tally::add, storage::Tally::is_not_idle);
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    for seed in 0..20 {
        let again = format!("{:?}", run(seed));
        assert_eq!(format!("{:?}", run(seed)), again);
    }
}
