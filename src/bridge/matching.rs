//! What indicators are matched by: an engine, or log files.

use std::sync::Arc;

use crossbeam_channel::Sender;
use log::{error, info};

use crate::config::{Config, LiveEngine};
use crate::engine::Engine;
use crate::engine::files::{self, Files};
use crate::engine::vast::client::Client;
use crate::engine::vast::matcher::{Generation, How, Matcher, Watch};
use crate::exit_code::ExitCode;
use crate::live::feed::Registrar;
use crate::live::{Live, Source};
use crate::matching::Concepts;
use crate::metrics::Metrics;
use crate::report::{Parcel, Settings as ReportSettings};
use crate::retro::{self, Intake, Retro};
use crate::stop::Stop;

/// What answers, before it is started.
pub enum Choice {
    /// An engine that has answered once.
    Engine {
        /// The way to ask it.
        engine: Arc<dyn Engine + Send + Sync>,
        /// Where live matches come from, if they are asked for.
        live: Option<Box<Source<Client>>>,
    },
    /// The files of `--events`.
    Files,
}

/// The threads that match.
#[derive(Default)]
pub struct Matching {
    /// In what the engine has stored.
    retro: Option<Retro>,
    /// In what comes into it.
    live: Option<Live>,
    /// In files.
    files: Option<Files>,
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
        let mut matching = Matching::default();
        let (engine, live) = match choice {
            Choice::Engine { engine, live } => (engine, live),
            Choice::Files => {
                let settings = files_settings(config);
                let (files, intake) = Files::start(settings, report, writer, metrics, stop)?;
                matching.files = Some(files);
                return Ok((matching, intake));
            }
        };
        let mut intakes = Vec::new();
        if let Some(source) = live {
            let (live, intake) = Live::start(*source, &report, writer, metrics, stop)?;
            matching.live = Some(live);
            intakes.push(intake);
        }
        if config.retro_match {
            let settings = retro_settings(config);
            let (retro, intake) = Retro::start(settings, engine, report, writer, metrics, stop)?;
            matching.retro = Some(retro);
            intakes.push(intake);
        }
        let intake = intakes.into_iter().reduce(Intake::and);
        Ok((matching, intake.expect("one kind of matching is asked for")))
    }

    /// How much of the files is read, where there are files.
    pub fn progress(&self) -> Option<Arc<files::Progress>> {
        self.files.as_ref().map(Files::progress)
    }

    /// Waits for the end; says whether the engine did what it was asked.
    pub fn join(self) -> bool {
        if let Some(retro) = self.retro {
            retro.join();
        }
        if let Some(files) = self.files {
            files.join();
        }
        self.live.is_none_or(Live::join)
    }
}

/// How live matches come from this VAST.
///
/// # Errors
/// The status to end with; the reason is logged.
pub fn live_source(
    config: &Config,
    client: &Client,
    stop: &Stop,
) -> Result<Source<Client>, ExitCode> {
    let engine = match config.live_engine {
        LiveEngine::Auto => match client.matcher_generation(stop) {
            Generation::Attach => LiveEngine::Attach,
            Generation::Start => LiveEngine::Start,
            Generation::None => {
                info!("this VAST has no matcher: its new events are exported and matched here");
                LiveEngine::Continuous
            }
        },
        chosen => chosen,
    };
    let how = match (engine, config.matcher_name.clone()) {
        (LiveEngine::Attach, Some(name)) => How::Attach(name),
        (LiveEngine::Attach, None) => {
            error!(
                "this VAST has matchers that the node runs: name one with --matcher-name, or have \
                 new events matched here with --live-engine continuous"
            );
            return Err(ExitCode::Usage);
        }
        (LiveEngine::Start, name) => How::Start(name.unwrap_or_else(random_name)),
        (LiveEngine::Auto | LiveEngine::Continuous, _) => How::Continuous,
    };
    let concepts = client.concepts(stop).unwrap_or_else(|reason| {
        info!("VAST has no table of concepts that can be used ({reason}); the built-in one serves");
        Concepts::built_in()
    });
    let registrar = Matcher::new(client.clone(), how.clone());
    Ok(Source {
        registrar: registrar.map(|matcher| Arc::new(matcher) as Arc<dyn Registrar>),
        knows_events: !matches!(how, How::Start(_)),
        feed: Box::new(Watch::new(client.clone(), how)),
        engine: client.clone(),
        concepts,
        is_alone: !config.retro_match,
        timeout: config.retro_match_timeout,
    })
}

/// `threatbus-` and ten letters, as the original named its matchers.
fn random_name() -> String {
    let random = uuid::Uuid::new_v4();
    let letters = random.as_bytes().iter().filter(|byte| **byte < 26 * 9);
    let letters = letters.map(|byte| char::from(b'a' + byte % 26));
    let letters: String = letters.chain(std::iter::repeat('x')).take(10).collect();
    format!("threatbus-{letters}")
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
