//! The report on SIGUSR1: the current state on one screen.

use std::sync::Arc;
use std::time::Duration;

use log::info;

use crate::observe::logging::REQUESTED;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::child;
use crate::process::text::printable;

/// Logs the status at any log level.
pub fn log(metrics: &Metrics, elapsed: Duration) {
    for line in lines(metrics, elapsed, child::running()) {
        info!(target: REQUESTED, "status: {line}");
    }
}

fn lines(metrics: &Metrics, elapsed: Duration, children: u64) -> Vec<String> {
    let kinds = metrics.kinds.get();
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let seconds = elapsed.as_secs();
    let mut lines = vec![
        format!(
            "running for {} d {:02}:{:02}:{:02}; engine {}; bus {}; {children} child process(es)",
            seconds / 86_400,
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            metrics.engine_peer().word(),
            metrics.bus_up.get().word(),
        ),
        format!(
            "indicators: {} received ({}), {} searched, {} of them matched, {} waiting or in \
             progress",
            metrics.indicators_received.get(),
            if kinds.is_empty() {
                "none".to_owned()
            } else {
                kinds.join(", ")
            },
            metrics.indicators_queried.get(),
            metrics.indicators_matched.get(),
            metrics.backlog.get(),
        ),
        format!(
            "sightings: {} found, {} delivered, {} waiting, {} failed, {} lost",
            metrics.sightings_found.get(),
            metrics.sightings_sent.get(),
            metrics.sightings_waiting(),
            metrics.sightings_failed.get(),
            metrics.sightings_lost.get(),
        ),
    ];
    lines.extend(engines(metrics));
    lines.push(format!("all counters: {metrics}"));
    lines
}

/// A line for each engine, if there are several.
fn engines(metrics: &Metrics) -> Vec<String> {
    let engines = metrics.engines();
    if engines.len() < 2 {
        return Vec::new();
    }
    let line = |one: &Arc<Metrics>| {
        let name = one.engine.as_ref().map_or("", |engine| &engine.name);
        let state = match one.engine_up.get() {
            // Log files are always available.
            Peer::Unused => String::new(),
            peer => format!(" {};", peer.word()),
        };
        format!(
            "engine {}:{state} {} indicator(s) searched, {} waiting or in progress; {} sighting(s)",
            printable(name, 200),
            one.indicators_queried.get(),
            one.backlog.get(),
            one.sightings_found.get(),
        )
    };
    engines.iter().map(line).collect()
}

impl Peer {
    fn word(self) -> &'static str {
        match self {
            Peer::Unused => "not used",
            Peer::Down => "down",
            Peer::Up => "up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_engines_has_a_line() {
        let metrics = Metrics::default();
        let one = metrics.of_engine("dmz");
        assert_eq!(lines(&metrics, Duration::ZERO, 0).len(), 4);
        one.engine_up.set(Peer::Down);
        one.backlog.add(7);
        let files = metrics.of_engine("files");
        files.indicators_queried.add(3);
        files.sightings_found.add(1);
        assert_eq!(
            lines(&metrics, Duration::ZERO, 0)[3..5],
            [
                "engine dmz: down; 0 indicator(s) searched, 7 waiting or in progress; 0 sighting(s)",
                "engine files: 3 indicator(s) searched, 0 waiting or in progress; 1 sighting(s)",
            ]
        );
    }

    #[test]
    fn a_status_fits_a_screen_and_names_what_matters() {
        let metrics = Metrics::default();
        metrics.bus_up.set(Peer::Up);
        metrics.engine_up.set(Peer::Down);
        metrics.kinds.count("ipv4");
        metrics.indicators_received.add(1);
        metrics.backlog.add(1);
        metrics.sightings_found.add(5);
        metrics.sightings_sent.add(2);
        metrics.sightings_lost.add(1);
        let lines = lines(&metrics, Duration::from_secs(90_061), 3);
        assert_eq!(
            lines,
            [
                "running for 1 d 01:01:01; engine down; bus up; 3 child process(es)",
                "indicators: 1 received (ipv4 1), 0 searched, 0 of them matched, 1 waiting or in progress",
                "sightings: 5 found, 2 delivered, 2 waiting, 0 failed, 1 lost",
                "all counters: indicators_received=1 sightings_found=5 sightings_sent=2 \
                 sightings_lost=1",
            ]
        );
    }
}
