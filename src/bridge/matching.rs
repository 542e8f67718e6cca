//! What indicators are matched by: an engine, or log files.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::config::Config;
use crate::engine::files::{self, Files};
use crate::engine::vast::client::Client;
use crate::metrics::Metrics;
use crate::report::{Parcel, Settings as ReportSettings};
use crate::retro::{self, Intake, Retro};
use crate::stop::Stop;

/// What answers, before it is started.
pub enum Choice {
    /// VAST, which has answered once.
    Vast(Client),
    /// The files of `--events`.
    Files,
}

/// The threads that match.
pub enum Matching {
    /// In VAST.
    Retro(Retro),
    /// In files.
    Files(Files),
}

impl Matching {
    /// Starts the threads. They end when every [`Intake`] is dropped.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        config: &Config,
        choice: Choice,
        report: Arc<ReportSettings>,
        writer: &Sender<Parcel>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<(Self, Intake)> {
        match choice {
            Choice::Vast(client) => {
                let settings = retro_settings(config);
                Retro::start(settings, client, report, writer, metrics, stop)
                    .map(|(retro, intake)| (Matching::Retro(retro), intake))
            }
            Choice::Files => {
                let settings = files_settings(config);
                Files::start(settings, report, writer, metrics, stop)
                    .map(|(files, intake)| (Matching::Files(files), intake))
            }
        }
    }

    /// How much of the files is read, where there are files.
    pub fn progress(&self) -> Option<Arc<files::Progress>> {
        match self {
            Matching::Retro(_) => None,
            Matching::Files(files) => Some(files.progress()),
        }
    }

    /// Waits for the end.
    pub fn join(self) {
        match self {
            Matching::Retro(retro) => retro.join(),
            Matching::Files(files) => files.join(),
        }
    }
}

fn retro_settings(config: &Config) -> retro::Settings {
    retro::Settings {
        workers: config.max_background_tasks.get(),
        batch_size: config.batch_size.get(),
        max_events: config.retro_match_max_events,
        timeout: config.retro_match_timeout,
    }
}

fn files_settings(config: &Config) -> files::Settings {
    let jobs = &config.jobs;
    files::Settings {
        files: jobs.events.clone(),
        when: match (jobs.follow, jobs.once) {
            (true, _) => files::When::Following {
                from_start: jobs.indicators.is_some(),
            },
            (false, true) => files::When::AtTheEnd,
            (false, false) => files::When::ForEachBatch,
        },
        max_events: config.retro_match_max_events,
    }
}
