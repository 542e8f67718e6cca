//! State that is kept across runs: opened at the start, and continued.

use std::sync::Arc;

use log::{error, info, warn};

use crate::bus::receive::{self, Incoming};
use crate::config::{Config, SinkChoice};
use crate::indicator::Message;
use crate::intake::Intake;
use crate::observe::metrics::Metrics;
use crate::process::exit_code::ExitCode;
use crate::process::stop::Stop;
use crate::sighting::noise::HeldSighting;
use crate::sighting::pending;
use crate::state::journal::{Journal, LeftOver};
use crate::state::reported::Reported;
use crate::state::spool::Spool;
use crate::state::topics::Topics;
use crate::state::{StateDir, StateError};

/// The persistent state, if there is a state directory.
#[derive(Default)]
pub struct RunState {
    /// Sightings that wait for the bus, or that a sink command did not accept.
    pub spool: Option<Spool>,
    /// The unfinished indicators.
    pub journal: Option<Journal>,
    /// Messages whose indicators the last run did not finish.
    pub left_over: Vec<LeftOver>,
    /// The journal of held-back sightings.
    pub held_back: Option<Journal>,
    /// The sightings that an earlier run held back when it was killed.
    pub pending: Vec<HeldSighting>,
    /// The sightings that were reported already.
    pub reported: Option<Arc<Reported>>,
    /// The topics that the broker holds for this program.
    pub topics: Option<Topics>,
    _directory: Option<StateDir>,
}

impl RunState {
    /// Opens the state directory for this process only.
    ///
    /// # Errors
    /// The status to end with; the reason is logged.
    pub fn open(config: &Config, metrics: &Metrics, stop: &Stop) -> Result<Self, ExitCode> {
        let Some(path) = &config.state_dir else {
            return Ok(RunState::default());
        };
        let directory = StateDir::open(path).map_err(|error| {
            error!("{error}");
            match error {
                StateError::InUse(_) => ExitCode::TempFail,
                StateError::Io(..) => ExitCode::Usage,
            }
        })?;
        let failed = |error: std::io::Error| {
            error!(
                "the state directory {} cannot be used: {error}",
                path.display()
            );
            ExitCode::Usage
        };
        // Sightings that wait for one sink are not sent to another.
        let place = match config.sink {
            SinkChoice::Command(_) => "sink",
            SinkChoice::Bus | SinkChoice::Stdout => "spool",
        };
        let (spool, damage) =
            Spool::open(&directory.join(place), config.spool_max_bytes).map_err(failed)?;
        let (journal, left_over, torn) =
            Journal::open(&directory.join("journal"), stop).map_err(failed)?;
        if damage.position {
            warn!(
                "the spool's position is damaged: some sightings of an earlier run may be sent \
                 once more"
            );
        }
        let (held_back, pending, torn_too) = held_back(config, &directory, stop).map_err(failed)?;
        let torn = torn + torn_too;
        for (name, bytes) in [("spool", damage.torn_bytes), ("journal", torn)] {
            if bytes > 0 {
                warn!("the {name} ended in a torn record of {bytes} bytes, which is cut off");
            }
        }
        let reported = match config.report_once {
            Some(days) => {
                let reported = Reported::open(directory.join("reported"), days).map_err(failed)?;
                info!("{} reported sighting(s) are remembered", reported.len());
                if !reported.knows_lists() && !config.jobs.indicators.is_empty() {
                    warn!(
                        "what an earlier release reported for values in lists is reported once \
                         more: their ids are now made of the kind and the value"
                    );
                }
                Some(Arc::new(reported))
            }
            None => None,
        };
        let spool = (config.sink != SinkChoice::Stdout).then_some(spool);
        metrics.sightings_were_left(spool.as_ref().map_or(0, Spool::count));
        Ok(RunState {
            reported,
            spool,
            journal: Some(journal),
            left_over,
            held_back,
            pending,
            topics: state_topics(config),
            _directory: Some(directory),
        })
    }
}

/// The journal of held-back sightings, if there are or may be any; with the sightings left
/// by an earlier run, and the number of torn bytes.
fn held_back(
    config: &Config,
    directory: &StateDir,
    stop: &Stop,
) -> std::io::Result<(Option<Journal>, Vec<HeldSighting>, u64)> {
    let path = directory.join("held-back");
    let holds_back = config.noise.aggregate.is_some() || config.noise.per_minute.is_some();
    if !holds_back && !path.exists() {
        return Ok((None, Vec::new(), 0));
    }
    let (journal, left_over, torn) = Journal::open(&path, stop)?;
    let mut pending = Vec::new();
    for (entry, ticket) in left_over.into_iter().map(LeftOver::take_up) {
        match pending::read(&entry) {
            Some(kept) => pending.push(HeldSighting {
                ticket: Some(ticket),
                ..kept
            }),
            // It was written by another version.
            None => ticket.finish(),
        }
    }
    if !pending.is_empty() {
        info!(
            "an earlier run held back sightings of {} indicator(s), which are reported now",
            pending.len()
        );
    }
    Ok((Some(journal), pending, torn))
}

/// The topics of the state directory.
pub fn state_topics(config: &Config) -> Option<Topics> {
    let path = config.state_dir.as_ref()?;
    Some(Topics::new(path.join("topics")))
}

/// Adds the indicators that the last run did not finish.
pub fn take_up(left_over: Vec<LeftOver>, intake: &Intake) {
    if left_over.is_empty() {
        return;
    }
    info!(
        "{} indicator(s) of an earlier run were not finished and are matched now",
        left_over.len()
    );
    for one in left_over {
        let (message, ticket) = one.take_up();
        match receive::read(&message, "") {
            Ok(Incoming::Indicator(Message::Match { indicator, .. })) => {
                intake.add(indicator, Some(ticket));
            }
            // It was readable when it was written, so another version wrote it.
            _ => {
                warn!("an indicator of an earlier run cannot be read any more");
                ticket.finish();
            }
        }
    }
}
