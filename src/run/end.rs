//! Runs that end: the deadline, the last line of the log, and the exit status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::warn;

use super::stores::{OutcomeReader, StoreOutcome};
use crate::config::Config;
use crate::intake::{FateCounts, Received};
use crate::observe::metrics::Metrics;
use crate::process::exit_code::ExitCode;
use crate::process::stop::Stop;
use crate::sighting::delivery::DeliveryCounts;

/// The time limit of a run. Dropping it cancels the limit.
pub struct Deadline {
    has_passed: Arc<AtomicBool>,
    _armed: Sender<std::convert::Infallible>,
}

impl Deadline {
    /// Stops the program at once when `limit` is over.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(limit: Option<Duration>, stop: &Stop) -> std::io::Result<Self> {
        let has_passed = Arc::new(AtomicBool::new(false));
        let (armed, called_off) = bounded(0);
        if let Some(limit) = limit {
            let (has_passed, stop) = (has_passed.clone(), stop.clone());
            let wait = move || {
                let over = called_off.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                if over && !stop.is_draining() {
                    has_passed.store(true, Ordering::Release);
                    warn!(
                        "--deadline: {} s are over; ending, though not everything is done",
                        limit.as_secs_f64()
                    );
                    stop.now();
                }
            };
            std::thread::Builder::new()
                .name("deadline".to_owned())
                .spawn(wait)?;
        }
        Ok(Deadline {
            has_passed,
            _armed: armed,
        })
    }

    /// Whether it has ended the run.
    pub fn has_passed(&self) -> bool {
        self.has_passed.load(Ordering::Acquire)
    }
}

/// How a run ended that ends on its own or has a deadline: plain values, which its
/// threads left when they ended.
#[derive(Debug, Default)]
pub struct Ending {
    /// What ended it early.
    pub cause: Option<String>,
    /// What was received.
    pub received: Received,
    /// What became of it, in all stores together.
    pub fates: FateCounts,
    /// What became of the sightings.
    pub delivery: DeliveryCounts,
    /// The log files that could not be read to their end.
    pub logs_failed: u64,
    /// The bytes of the log files that were read, and the total.
    pub logs: Option<(u64, u64)>,
    /// Whether indicators were to come from the bus.
    pub is_from_bus: bool,
    /// Whether the status tells that nothing matched.
    pub tells_matches: bool,
    /// The outcome of each engine, if there are several.
    pub stores: Vec<StoreOutcome>,
}

impl Ending {
    /// Collects the outcomes of the stores, whose threads have ended.
    pub fn collect_outcomes(&mut self, config: &Config, outcome_readers: &[OutcomeReader]) {
        let outcomes: Vec<StoreOutcome> =
            outcome_readers.iter().map(OutcomeReader::outcome).collect();
        self.fates = outcomes.iter().map(|one| one.fates).sum();
        self.is_from_bus = config.jobs.indicators.is_empty();
        if config.is_fleet() {
            self.stores = outcomes;
        }
    }

    /// The status, with the reason for [`ExitCode::TempFail`].
    pub fn verdict(&self) -> (ExitCode, Option<String>) {
        let mut reasons = self.left();
        if self.cause.is_none() {
            reasons.extend(self.stores.iter().filter_map(StoreOutcome::not_queried));
            reasons.extend(self.failures());
            if self.nothing_came() && self.tells_matches {
                reasons.push("no indicator was received, so nothing was searched".to_owned());
            }
        }
        if !reasons.is_empty() {
            return (ExitCode::TempFail, Some(reasons.join("; ")));
        }
        if self.tells_matches && self.delivery.found == 0 {
            (ExitCode::NoMatch, None)
        } else {
            (ExitCode::Success, None)
        }
    }

    /// Whether indicators were requested from the bus, and none arrived.
    pub fn nothing_came(&self) -> bool {
        let came = self.received.new + self.fates.queried;
        self.cause.is_none() && self.is_from_bus && came == 0
    }

    /// What was not searched when the run was ended.
    fn left(&self) -> Vec<String> {
        let Some(cause) = &self.cause else {
            return Vec::new();
        };
        let mut left = vec![cause.clone()];
        if self.stores.is_empty() {
            left.push(format!(
                "{} of {} indicator(s) were not searched everywhere",
                self.unfinished(),
                self.received.new
            ));
        }
        left.extend(self.stores.iter().filter_map(StoreOutcome::shortfall));
        left.extend(self.undelivered());
        if self.received.is_unread {
            left.push("there are more in the file, which was not read to its end".to_owned());
        }
        if let Some((read, all)) = self.logs {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            left.push(format!(
                "{:.1} of {:.1} MB of the log files were searched",
                megabytes(read),
                megabytes(all)
            ));
        }
        left
    }

    /// The failures of a run that was not ended early.
    fn failures(&self) -> Vec<String> {
        let fates = &self.fates;
        let mut failures = named(&[
            (fates.dropped, "indicator(s) dropped"),
            (fates.failed, "indicator(s) failed"),
            (fates.timed_out, "indicator(s) timed out"),
        ]);
        failures.extend(self.unread_files());
        failures.extend(self.undelivered());
        failures
    }

    /// How many files could not be used, if there are any.
    pub fn unread_files(&self) -> Option<String> {
        let failed = self.received.files_failed + self.logs_failed;
        let what = "file(s) not understood, or not read to the end";
        named(&[(failed, what)]).pop()
    }

    /// The sightings that did not reach the sink.
    fn undelivered(&self) -> Vec<String> {
        let delivery = &self.delivery;
        named(&[
            (delivery.failed, "sighting(s) failed"),
            (delivery.lost, "sighting(s) lost"),
            (
                delivery.withheld,
                "sighting(s) that the sink did not get, as their contexts were not transformed",
            ),
            (
                delivery.spooled_bytes,
                "byte(s) of sightings stay in the spool",
            ),
        ])
    }

    /// The number of indicators that were not searched everywhere when the run was ended.
    fn unfinished(&self) -> u64 {
        let (received, fates) = (&self.received, &self.fates);
        let done = [
            fates.queried,
            received.repeated + fates.repeated,
            fates.inactive,
            received.withdrawn,
            received.allowed,
            fates.timed_out,
            fates.failed,
        ];
        let left = received.new.saturating_sub(done.iter().sum());
        left.max(fates.left())
    }
}

/// The result of a run in one line.
pub struct Summary {
    kinds: BTreeMap<&'static str, u64>,
    states: Vec<(&'static str, u64)>,
    /// What was read from log files.
    read: Vec<(&'static str, u64)>,
    found: u64,
    known: u64,
    delivered: u64,
    failures: u64,
    elapsed: Duration,
}

impl Summary {
    /// Makes it from the final metrics.
    pub fn new(metrics: &Metrics, elapsed: Duration) -> Self {
        // What the workers returned at the end is in the backlog.
        let unfinished = metrics.indicators_dropped.get().max(metrics.backlog.get());
        let failures = [
            metrics.indicators_failed.get(),
            metrics.files_failed.get(),
            metrics.transforms_failed.get(),
            metrics.sightings_failed.get(),
            metrics.sightings_lost.get(),
        ];
        Summary {
            kinds: metrics.kinds.get(),
            states: vec![
                ("matched against events", metrics.indicators_queried.get()),
                ("repeated", metrics.indicators_repeated.get()),
                ("withdrawn", metrics.indicators_withdrawn.get()),
                ("unsupported", metrics.indicators_unsupported.get()),
                ("inactive", metrics.indicators_inactive.get()),
                ("allowed", metrics.indicators_allowed.get()),
                ("rejected", metrics.indicators_rejected.get()),
                ("timed out", metrics.indicators_timed_out.get()),
                ("failed", metrics.indicators_failed.get()),
                ("unfinished", unfinished),
            ],
            read: vec![
                ("event(s) read", metrics.events_read.get()),
                ("line(s) that are no events", metrics.lines_rejected.get()),
                ("line(s) cut", metrics.lines_cut.get()),
            ],
            found: metrics.sightings_found.get(),
            known: metrics.sightings_known.get(),
            delivered: metrics.sightings_sent.get(),
            failures: failures.iter().sum(),
            elapsed,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.kinds.values().sum();
        let kinds = list(self.kinds.iter().map(|(kind, count)| (*kind, *count)));
        let states = list(self.states.iter().copied());
        write!(
            f,
            "summary: {total} indicator(s) by kind: {kinds}; by state: {states}; "
        )?;
        for (what, count) in self.read.iter().filter(|(_, count)| *count > 0) {
            write!(f, "{count} {what}; ")?;
        }
        write!(f, "{} sighting(s)", self.found)?;
        if self.known > 0 {
            write!(f, " and {} that were reported before", self.known)?;
        }
        write!(
            f,
            ", {} delivered; {} failure(s); {:.1} s",
            self.delivered,
            self.failures,
            self.elapsed.as_secs_f64()
        )
    }
}

/// `ipv4 3, domain 2`, without those that are zero.
fn list<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let counted = counts.filter(|(_, count)| *count > 0);
    let words: Vec<String> = counted
        .map(|(word, count)| format!("{word} {count}"))
        .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// The counts that are not 0, with what they count.
fn named(counts: &[(u64, &str)]) -> Vec<String> {
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    counts
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_kinds_states_and_failures() {
        let metrics = Metrics::default();
        let nothing = Summary::new(&metrics, Duration::ZERO).to_string();
        assert_eq!(
            nothing,
            "summary: 0 indicator(s) by kind: none; by state: none; 0 sighting(s), 0 delivered; \
             0 failure(s); 0.0 s"
        );
        for kind in ["ipv4", "domain", "ipv4"] {
            metrics.kinds.count(kind);
        }
        metrics.indicators_queried.add(2);
        metrics.indicators_rejected.add(5);
        metrics.indicators_allowed.add(1);
        metrics.backlog.add(1);
        metrics.sightings_found.add(8);
        metrics.sightings_sent.add(7);
        metrics.sightings_lost.add(1);
        metrics.events_read.add(40);
        metrics.lines_rejected.add(3);
        assert_eq!(
            Summary::new(&metrics, Duration::from_millis(1250)).to_string(),
            "summary: 3 indicator(s) by kind: domain 1, ipv4 2; by state: matched against events 2, \
             allowed 1, rejected 5, unfinished 1; 40 event(s) read; 3 line(s) that are no events; \
             8 sighting(s), 7 delivered; 1 failure(s); 1.2 s"
        );
    }

    /// A run that found something and left nothing.
    fn whole() -> Ending {
        Ending {
            received: Received {
                new: 10,
                ..Received::default()
            },
            fates: FateCounts {
                queried: 10,
                ..FateCounts::default()
            },
            delivery: DeliveryCounts {
                found: 1,
                ..DeliveryCounts::default()
            },
            is_from_bus: true,
            tells_matches: true,
            ..Ending::default()
        }
    }

    fn outcome(given_up: Option<&str>, dropped: u64, waiting: u64) -> StoreOutcome {
        StoreOutcome {
            name: "b".into(),
            given_up: given_up.map(str::to_owned),
            fates: FateCounts {
                dropped,
                waiting,
                ..FateCounts::default()
            },
            shown_found: 0,
        }
    }

    /// The verdict on a whole run after this change, without and with `--exit-code`.
    fn verdicts(change: impl Fn(&mut Ending)) -> [(ExitCode, Option<String>); 2] {
        [false, true].map(|tells_matches| {
            let mut ending = whole();
            change(&mut ending);
            ending.tells_matches = tells_matches;
            ending.verdict()
        })
    }

    #[test]
    fn the_exit_status_is_that_of_grep_where_asked_for() {
        let good = (ExitCode::Success, None);
        assert_eq!(verdicts(|_| ()), [good.clone(), good.clone()]);
        let nothing_found = verdicts(|ending| ending.delivery.found = 0);
        assert_eq!(nothing_found, [good, (ExitCode::NoMatch, None)]);
    }

    #[test]
    fn each_failure_makes_a_run_incomplete_whatever_was_found() {
        type Change = fn(&mut Ending);
        let cases: [(Change, &str); 10] = [
            (|one| one.fates.dropped = 2, "2 indicator(s) dropped"),
            (|one| one.fates.failed = 2, "2 indicator(s) failed"),
            (|one| one.fates.timed_out = 2, "2 indicator(s) timed out"),
            (
                |one| (one.received.files_failed, one.logs_failed) = (1, 2),
                "3 file(s) not understood, or not read to the end",
            ),
            (|one| one.delivery.failed = 2, "2 sighting(s) failed"),
            (|one| one.delivery.lost = 2, "2 sighting(s) lost"),
            (
                |one| one.delivery.withheld = 2,
                "2 sighting(s) that the sink did not get, as their contexts were not transformed",
            ),
            (
                |one| one.delivery.spooled_bytes = 120,
                "120 byte(s) of sightings stay in the spool",
            ),
            (
                |one| one.stores = vec![outcome(None, 0, 0), outcome(Some("away"), 0, 0)],
                "b was not queried: away",
            ),
            (
                |one| (one.fates.dropped, one.delivery.lost) = (1, 2),
                "1 indicator(s) dropped; 2 sighting(s) lost",
            ),
        ];
        for (change, reason) in cases {
            let expected = (ExitCode::TempFail, Some(reason.to_owned()));
            assert_eq!(verdicts(change), [expected.clone(), expected]);
        }
    }

    #[test]
    fn what_says_nothing_against_a_run_that_ended_by_itself() {
        type Change = fn(&mut Ending);
        let cases: [Change; 5] = [
            // It matters only if the run was ended early.
            |one| one.received.new = 100,
            |one| one.fates.waiting = 2,
            |one| one.received.is_unread = true,
            |one| one.logs = Some((1, 2)),
            |one| one.stores = vec![outcome(None, 2, 0)],
        ];
        for change in cases {
            let good = (ExitCode::Success, None);
            assert_eq!(verdicts(change), [good.clone(), good]);
        }
    }

    #[test]
    fn nothing_found_is_something_else_than_nothing_looked_for() {
        let empty = |is_from_bus, left_over| {
            verdicts(|ending| {
                *ending = Ending {
                    is_from_bus,
                    ..Ending::default()
                };
                ending.fates.queried = left_over;
            })
        };
        let good = (ExitCode::Success, None);
        let nothing = "no indicator was received, so nothing was searched".to_owned();
        let incomplete = (ExitCode::TempFail, Some(nothing));
        assert_eq!(empty(true, 0), [good.clone(), incomplete]);
        let no_match = [good, (ExitCode::NoMatch, None)];
        // What an earlier run left was searched.
        assert_eq!(empty(true, 1), no_match);
        assert_eq!(empty(false, 0), no_match);
    }

    #[test]
    fn what_ended_early_says_how_much_is_left() {
        let early = |change: fn(&mut Ending)| {
            let mut ending = whole();
            ending.cause = Some("ended by SIGINT".to_owned());
            ending.fates.queried = 3;
            change(&mut ending);
            let (code, reason) = ending.verdict();
            assert_eq!(code, ExitCode::TempFail);
            assert!(!ending.nothing_came());
            reason.expect("a reason")
        };
        let of_ten = |left| {
            format!("ended by SIGINT; {left} of 10 indicator(s) were not searched everywhere")
        };
        assert_eq!(early(|_| ()), of_ten(7));
        let settled = early(|one| {
            (one.received.repeated, one.received.withdrawn) = (1, 1);
            (one.fates.repeated, one.fates.inactive) = (1, 1);
            one.fates.timed_out = 1;
            one.received.allowed = 1;
        });
        assert_eq!(settled, of_ten(1));
        // Those that wait may be of an earlier run.
        assert_eq!(early(|one| one.fates.waiting = 12), of_ten(12));
        assert_eq!(early(|one| one.fates.dropped = 8), of_ten(8));
        let everything = early(|one| {
            one.received.is_unread = true;
            one.logs = Some((1_500_000, 9_000_000));
        });
        assert_eq!(
            everything,
            format!(
                "{}; there are more in the file, which was not read to its end; 1.5 of 9.0 MB of \
                 the log files were searched",
                of_ten(7)
            )
        );
        let several = early(|one| one.stores = vec![outcome(None, 2, 3), outcome(None, 0, 0)]);
        assert_eq!(
            several,
            "ended by SIGINT; 3 indicator(s) were not searched completely in b"
        );
    }

    #[test]
    fn a_deadline_stops_the_program_unless_it_is_called_off() {
        let stop = Stop::new().expect("two socket pairs");
        drop(Deadline::start(Some(Duration::from_secs(60)), &stop).expect("a thread"));
        let deadline = Deadline::start(Some(Duration::from_millis(1)), &stop).expect("a thread");
        assert!(
            stop.now_channel()
                .recv_timeout(Duration::from_secs(30))
                .is_err()
        );
        assert!(stop.is_now() && deadline.has_passed());
        let none = Deadline::start(None, &stop).expect("no thread");
        assert!(!none.has_passed());
    }
}
