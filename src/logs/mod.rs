//! Log files instead of an engine: Suricata EVE and Zeek logs in any format of [`mod@format`], searched
//! with the same matcher as in live matching.
//!
//! Readers → blocks of lines → scanners → writer, all threads. Every channel is bounded,
//! so a slow writer holds the reading back.

pub mod contents;
pub mod decode;
mod director;
pub mod folder;
mod follow;
mod follow_folder;
pub mod format;
pub mod lines;
mod read;
mod scan;
mod source;
mod watchlist;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::intake::{Arrival, Fates};
use crate::matching::Meaning;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::process::thread;
use crate::sighting::instances::Waiting;
use crate::sighting::message::WriterMessage;
use crate::sighting::report::ReportSettings;

use director::Director;

/// When files are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, when no more indicators arrive.
    AtTheEnd,
    /// For each batch of indicators.
    ForEachBatch,
    /// Continuously, as they grow.
    Following {
        /// Whether the existing content is searched first, when no more indicators
        /// arrive.
        from_start: bool,
    },
}

/// What is searched, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The files and folders; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// When they are searched.
    pub when: When,
    /// The most sightings per indicator in stored events.
    pub max_events: Option<NonZeroU64>,
    /// What counts as a match.
    pub meaning: Meaning,
    /// Whether the program ends when everything that is followed has ended.
    pub is_alone: bool,
    /// Events that wait for others of their patterns.
    pub waiting: Arc<Waiting>,
}

/// The progress of a pass over the files, in stored bytes, and what failed.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    total: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// The bytes read, and the total; the latter is 0 if unknown.
    pub fn get(&self) -> (u64, u64) {
        let read = self.read.load(Ordering::Relaxed);
        (read, self.total.load(Ordering::Relaxed))
    }

    /// The number of files that could not be read to their end, or in which nothing was
    /// recognised.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    fn fail(&self, metrics: &Metrics) {
        self.failed.fetch_add(1, Ordering::AcqRel);
        metrics.files_failed.add(1);
    }
}

/// The thread that directs the others.
pub struct Files {
    director: JoinHandle<()>,
    progress: Arc<Progress>,
}

impl Files {
    /// Starts. It ends when every [`crate::intake::Intake`] is dropped and everything is
    /// searched.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        settings: LogSettings,
        arrivals: Receiver<Arrival>,
        report: Arc<ReportSettings>,
        writer: &Sender<WriterMessage>,
        fates: Arc<Fates>,
        stop: &Stop,
    ) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let director = Director::new(
            settings,
            report,
            writer.clone(),
            fates,
            stop.clone(),
            progress.clone(),
        );
        let director = std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || director.run(&arrivals))?;
        Ok(Files { director, progress })
    }

    /// The progress of the current pass.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Waits for the end.
    pub fn join(self) {
        thread::join(self.director);
    }
}
