//! Runs that end: the deadline, the last line of the log, and the exit status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::warn;

use super::lanes::Outcome;
use crate::observe::metrics::Metrics;
use crate::process::exit_code::ExitCode;
use crate::process::stop::Stop;

/// The time limit of a run. Dropping it cancels the limit.
pub struct Deadline {
    has_passed: Arc<AtomicBool>,
    _armed: Sender<std::convert::Infallible>,
}

impl Deadline {
    /// Stops the program at once when `limit` is over.
    ///
    /// # Errors
    /// The system has no thread left.
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

/// How a run ended that ends on its own or has a deadline.
#[derive(Debug, Default)]
pub struct Ending {
    /// What ended it early.
    pub cause: Option<String>,
    /// Whether some indicators in the files were not read.
    pub is_unread: bool,
    /// The bytes of the log files that were read, and the total.
    pub logs: Option<(u64, u64)>,
    /// Whether indicators were requested from the bus, and none arrived.
    pub nothing_came: bool,
    /// Whether the status tells that nothing matched.
    pub tells_matches: bool,
    /// The outcome of each engine, if there are several.
    pub lanes: Vec<Outcome>,
}

impl Ending {
    /// The status, with the reason for [`ExitCode::TempFail`].
    pub fn verdict(&self, metrics: &Metrics) -> (ExitCode, Option<String>) {
        let mut reasons = self.left(metrics);
        if self.cause.is_none() {
            reasons.extend(self.lanes.iter().filter_map(Outcome::not_asked));
            reasons.extend(failures(metrics));
            if self.nothing_came && self.tells_matches {
                reasons.push("no indicator was received, so nothing was searched".to_owned());
            }
        }
        if !reasons.is_empty() {
            return (ExitCode::TempFail, Some(reasons.join("; ")));
        }
        if self.tells_matches && metrics.sightings_found.get() == 0 {
            (ExitCode::NoMatch, None)
        } else {
            (ExitCode::Success, None)
        }
    }

    /// What was not searched when the run was ended.
    fn left(&self, metrics: &Metrics) -> Vec<String> {
        let Some(cause) = &self.cause else {
            return Vec::new();
        };
        let mut left = vec![cause.clone()];
        if self.lanes.is_empty() {
            let received = metrics.indicators_received.get();
            left.push(format!(
                "{} of {received} indicator(s) were not searched everywhere",
                unfinished(metrics)
            ));
        }
        left.extend(self.lanes.iter().filter_map(Outcome::shortfall));
        if self.is_unread {
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
}

/// The failures of a run that was not ended early.
fn failures(metrics: &Metrics) -> Vec<String> {
    let counts = [
        (&metrics.indicators_dropped, "indicator(s) dropped"),
        (&metrics.indicators_failed, "indicator(s) failed"),
        (&metrics.indicators_timed_out, "indicator(s) timed out"),
        (&metrics.files_failed, "file(s) not read to the end"),
        (&metrics.sightings_failed, "sighting(s) failed"),
        (&metrics.sightings_lost, "sighting(s) lost"),
        (
            &metrics.sightings_withheld,
            "sighting(s) that the sink did not get, as their contexts were not transformed",
        ),
    ];
    let counts = counts.iter().map(|(counter, what)| (counter.get(), what));
    let spooled = (
        metrics.spooled_bytes.get(),
        &"byte(s) of sightings stay in the spool",
    );
    let failed = counts.chain([spooled]).filter(|(count, _)| *count > 0);
    failed
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
}

/// The number of indicators that were not searched everywhere when the run was ended.
fn unfinished(metrics: &Metrics) -> u64 {
    let done = [
        &metrics.indicators_queried,
        &metrics.indicators_repeated,
        &metrics.indicators_inactive,
        &metrics.indicators_withdrawn,
        &metrics.indicators_timed_out,
        &metrics.indicators_failed,
    ];
    let done: u64 = done.iter().map(|counter| counter.get()).sum();
    // What the workers returned at the end is in the backlog.
    let known = metrics.indicators_dropped.get().max(metrics.backlog.get());
    let left = metrics.indicators_received.get().saturating_sub(done);
    left.max(known)
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
        metrics.backlog.add(1);
        metrics.sightings_found.add(8);
        metrics.sightings_sent.add(7);
        metrics.sightings_lost.add(1);
        metrics.events_read.add(40);
        metrics.lines_rejected.add(3);
        assert_eq!(
            Summary::new(&metrics, Duration::from_millis(1250)).to_string(),
            "summary: 3 indicator(s) by kind: domain 1, ipv4 2; by state: matched against events 2, \
             rejected 5, unfinished 1; 40 event(s) read; 3 line(s) that are no events; \
             8 sighting(s), 7 delivered; 1 failure(s); 1.2 s"
        );
    }

    #[test]
    fn the_exit_status_is_that_of_grep_where_asked_for() {
        let metrics = Metrics::default();
        let code = |tells_matches| {
            let ending = Ending {
                tells_matches,
                ..Ending::default()
            };
            ending.verdict(&metrics).0
        };
        assert_eq!(code(false), ExitCode::Success);
        assert_eq!(code(true), ExitCode::NoMatch);
        metrics.sightings_found.add(1);
        assert_eq!(code(true), ExitCode::Success);
        metrics.indicators_timed_out.add(1);
        assert_eq!(code(true), ExitCode::TempFail);
        assert_eq!(code(false), ExitCode::TempFail);
    }

    #[test]
    fn sightings_that_are_only_spooled_are_not_delivered() {
        let metrics = Metrics::default();
        metrics.sightings_found.add(1);
        metrics.spooled_bytes.set(120);
        let (code, reason) = Ending::default().verdict(&metrics);
        assert_eq!(code, ExitCode::TempFail);
        assert_eq!(
            reason.as_deref(),
            Some("120 byte(s) of sightings stay in the spool")
        );
    }

    #[test]
    fn nothing_found_is_something_else_than_nothing_looked_for() {
        let metrics = Metrics::default();
        let verdict = |tells_matches| {
            let nothing_came = true;
            let ending = Ending {
                nothing_came,
                tells_matches,
                ..Ending::default()
            };
            ending.verdict(&metrics)
        };
        assert_eq!(verdict(false), (ExitCode::Success, None));
        let (code, reason) = verdict(true);
        assert_eq!(code, ExitCode::TempFail);
        assert!(
            reason
                .expect("it is told")
                .contains("no indicator was received")
        );
    }

    #[test]
    fn what_ended_early_says_how_much_is_left() {
        let metrics = Metrics::default();
        metrics.indicators_received.add(10);
        metrics.indicators_queried.add(3);
        metrics.sightings_found.add(1);
        let ending = Ending {
            cause: Some("ended by SIGINT".to_owned()),
            is_unread: true,
            logs: Some((1_500_000, 9_000_000)),
            nothing_came: false,
            tells_matches: true,
            lanes: Vec::new(),
        };
        let (code, reason) = ending.verdict(&metrics);
        assert_eq!(code, ExitCode::TempFail);
        assert_eq!(
            reason.as_deref(),
            Some(
                "ended by SIGINT; 7 of 10 indicator(s) were not searched everywhere; there are \
                 more in the file, which was not read to its end; 1.5 of 9.0 MB of the log files \
                 were searched"
            )
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
