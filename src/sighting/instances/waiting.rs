//! Partial instances that are shared by several threads, with their log messages and file.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::{error, info, warn};

use super::partial::{Instance, InstanceBounds, Partial};
use super::{Observed, now, untimed};
use crate::indicator::Indicator;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::ticker::Ticker;
use crate::state::waiting::SavedFile;

/// The events that wait for others of their patterns.
#[derive(Debug)]
pub struct Waiting {
    partial: Mutex<Partial>,
    metrics: Arc<Metrics>,
    file: Option<SavedFile>,
    /// The version that was saved last.
    written: Mutex<u64>,
}

/// How often the waiting events are saved.
const SAVING: Duration = Duration::from_secs(5);

impl Waiting {
    /// Starts with the events in this file, if there is one.
    pub fn new(bounds: InstanceBounds, metrics: Arc<Metrics>, file: Option<SavedFile>) -> Self {
        let mut partial = Partial::new(bounds);
        if let Some(file) = &file {
            take_up(file, &mut partial);
        }
        Waiting {
            partial: Mutex::new(partial),
            metrics,
            file,
            written: Mutex::new(0),
        }
    }

    /// Starts a thread that keeps the file up to date, if there is one, until the ticker is
    /// dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn keep(self: &Arc<Self>) -> io::Result<Ticker> {
        if self.file.is_none() {
            return Ok(Ticker::none());
        }
        let waiting = self.clone();
        Ticker::start("waiting", SAVING, move |_| waiting.save())
    }

    /// Saves the waiting events unless the file has them already.
    fn save(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let partial = self.partial();
        let version = partial.version();
        if version == *written {
            return;
        }
        let saved = partial.saved(now());
        drop(partial);
        match file.write(&saved) {
            Ok(()) => *written = version,
            Err(error) => error!(
                "the events that wait for others of their patterns cannot be written down, and do \
                 not outlive this run: {error}"
            ),
        }
    }

    /// Sets whether the events of a gap are still expected. Until then, nothing is too old.
    pub fn hold(&self, is_held: bool) {
        self.partial().hold(is_held);
    }

    /// Adds an event that matches these parts of an indicator; returns the instances that
    /// it completes.
    pub fn meet(
        &self,
        indicator: &Indicator,
        parts: &[u16],
        event: &str,
        source: &Arc<str>,
    ) -> Vec<Instance> {
        let Some(sequence) = &indicator.sequence else {
            return Vec::new();
        };
        let Some(observed) = Observed::new(event, source) else {
            untimed(indicator, &self.metrics);
            return Vec::new();
        };
        let mut partial = self.partial();
        let met = partial.meet(&indicator.id, sequence, parts, observed, now());
        self.metrics.partial_instances.set(partial.len() as u64);
        drop(partial);
        if met.is_too_much {
            error!(
                "indicator {}: there are too many ways to join an event with those before it, \
                 and no instance of the pattern that ends with it is reported",
                printable(&indicator.id, 200)
            );
        }
        if met.dropped > 0 {
            self.metrics.partial_instances_dropped.add(met.dropped);
            warn!(
                "more events wait for others of their patterns than there is room for (10,000, or \
                 64 MiB): the oldest are dropped, and what they would have been part of is not found"
            );
        }
        met.instances
    }

    fn partial(&self) -> MutexGuard<'_, Partial> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_up(file: &SavedFile, partial: &mut Partial) {
    match file.read() {
        Ok((saved, unreadable)) => {
            if unreadable > 0 {
                warn!(
                    "{unreadable} of the events that waited for others of their patterns cannot be \
                     read, and are left out"
                );
            }
            if !saved.is_empty() {
                info!(
                    "{} event(s) of an earlier run wait for others of their patterns",
                    saved.len()
                );
            }
            partial.take_up(saved);
        }
        Err(error) => {
            error!("the events that waited for others of their patterns cannot be read: {error}")
        }
    }
}
