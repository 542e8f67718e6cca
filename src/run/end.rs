//! Runs that end: the deadline, the last line of the log, and the exit status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::warn;

use crate::observe::metrics::Metrics;
use crate::process::exit_code::ExitCode;
use crate::process::stop::Stop;

/// The time at which a run ends in any case. Dropping it calls that off.
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

    /// Whether it was this that ended the run.
    pub fn has_passed(&self) -> bool {
        self.has_passed.load(Ordering::Acquire)
    }
}

/// How a run ends that came to its end by itself.
pub fn verdict(metrics: &Metrics, tell_matches: bool) -> ExitCode {
    let unfinished = [
        &metrics.indicators_dropped,
        &metrics.indicators_failed,
        &metrics.indicators_timed_out,
        &metrics.files_failed,
        &metrics.sightings_failed,
        &metrics.sightings_lost,
    ];
    if unfinished.iter().any(|counter| counter.get() > 0) {
        ExitCode::TempFail
    } else if tell_matches && metrics.sightings_found.get() == 0 {
        ExitCode::NoMatch
    } else {
        ExitCode::Success
    }
}

/// What a run did, in one line.
pub struct Summary {
    kinds: BTreeMap<&'static str, u64>,
    states: Vec<(&'static str, u64)>,
    /// What was read of log files.
    read: Vec<(&'static str, u64)>,
    found: u64,
    known: u64,
    delivered: u64,
    failures: u64,
    elapsed: Duration,
}

impl Summary {
    /// Of these numbers, at the end.
    pub fn new(metrics: &Metrics, elapsed: Duration) -> Self {
        // What the end of the program took from the workers is in the backlog.
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
                ("matched against events", metrics.indicators_matched.get()),
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
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
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
        metrics.indicators_matched.add(2);
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
        assert_eq!(verdict(&metrics, false), ExitCode::Success);
        assert_eq!(verdict(&metrics, true), ExitCode::NoMatch);
        metrics.sightings_found.add(1);
        assert_eq!(verdict(&metrics, true), ExitCode::Success);
        metrics.indicators_timed_out.add(1);
        assert_eq!(verdict(&metrics, true), ExitCode::TempFail);
        assert_eq!(verdict(&metrics, false), ExitCode::TempFail);
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
