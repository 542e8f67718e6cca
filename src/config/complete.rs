//! The complete configuration of a run.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::{Logging, Metrics, Output};
use crate::engine::{self, LiveEngine, LiveOptions};
use crate::indicator::MatchExpansion;
use crate::matching::Meaning;
use crate::process::command::CommandTemplate;
use crate::process::endpoint::Endpoint;
use crate::protocol::feed;

/// A complete and valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The engines in which indicators are searched, with distinct names; empty if only
    /// log files are searched.
    pub engines: Vec<engine::EngineTarget>,
    /// The management endpoint of Threat Bus.
    pub threatbus: Endpoint,
    /// The number of days of indicators to request from the bus; 0 = only new ones.
    pub snapshot_days: u32,
    /// Whether stored events are searched.
    pub retro_match: bool,
    /// Whether new events are searched.
    pub live_match: bool,
    /// Whether keys with dots become nested objects in contexts.
    pub unflatten: bool,
    /// The most matches reported per indicator; `None` = all.
    pub retro_match_max_events: Option<NonZeroU64>,
    /// The time limit of a query; `None` = unlimited.
    pub retro_match_timeout: Option<Duration>,
    /// How long an event waits for others of its pattern if there is no `WITHIN`.
    pub observation_memory: Duration,
    /// How far the search for indicators goes beyond equality.
    pub wider: MatchExpansion,
    /// What counts as a match in the matching done here.
    pub meaning: Meaning,
    /// The command that transforms each context.
    pub transform_context: Option<CommandTemplate>,
    /// How that command is run.
    pub transform_mode: CommandMode,
    /// The number of its processes, if they are kept running.
    pub transform_processes: NonZeroUsize,
    /// Where sightings are sent.
    pub sink: SinkChoice,
    /// How the sink command is run, if the sink is one.
    pub sink_mode: CommandMode,
    /// The output format for standard output and commands.
    pub output: Output,
    /// What is not searched for, and what is not reported individually.
    pub noise: NoiseOptions,
    /// How many queries may run at the same time.
    pub max_background_tasks: NonZeroUsize,
    /// The most values in one query.
    pub batch_size: NonZeroUsize,
    /// Whether to keep each sighting until the broker has sent it back.
    pub confirm_delivery: bool,
    /// The memory limit in bytes for sightings that wait for the bus.
    pub queue_max_bytes: usize,
    /// Where persistent state is stored; `None` = nowhere.
    pub state_dir: Option<PathBuf>,
    /// The disk limit in bytes for sightings that wait for the bus.
    pub spool_max_bytes: u64,
    /// The number of days for which reported sightings are stored and not reported again;
    /// `None` = never.
    pub report_once: Option<u16>,
    /// The protocol of the broker.
    pub protocol: ProtocolChoice,
    /// How long to try to reach VAST and the bus at start; `None` = forever.
    pub connect_timeout: Option<Duration>,
    /// The matcher in VAST that live matching uses.
    pub matcher_name: Option<String>,
    /// How live matching gets its matches from VAST.
    pub live_engine: LiveEngine,
    /// The name of this bridge, if there are several.
    pub sensor_name: Option<String>,
    /// Where logs are written.
    pub logging: Logging,
    /// Where metrics are written.
    pub metrics: Metrics,
    /// What is read from files, and when the run ends.
    pub jobs: RunMode,
    /// Whether to only check that everything is available.
    pub check: bool,
    /// The configuration file that was read, for the log.
    pub file: Option<PathBuf>,
    /// Warnings for the log.
    pub warnings: Vec<String>,
    /// Notes for the log about which of several files counts.
    pub notes: Vec<String>,
}

impl Config {
    /// Whether matches come from several sources, so that each has to name its own.
    pub fn is_fleet(&self) -> bool {
        self.engines.len() + usize::from(!self.jobs.events.is_empty()) > 1
    }

    /// The options of live matching, if it is on.
    pub fn live_wish(&self) -> Option<LiveOptions> {
        self.live_match.then(|| LiveOptions {
            way: self.live_engine,
            matcher_name: self.matcher_name.clone(),
        })
    }
}

/// Where sightings are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SinkChoice {
    /// To Threat Bus.
    #[default]
    Bus,
    /// Their contexts to standard output.
    Stdout,
    /// Their contexts to a command, one run for each.
    Command(CommandTemplate),
}

/// The format of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryFormat {
    /// JSON.
    Json,
    /// Comma-separated values.
    Csv,
    /// One page.
    Html,
}

/// What is not searched for, and what is not reported individually.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoiseOptions {
    /// The files with allowed values.
    pub allow: Vec<PathBuf>,
    /// Whether the built-in values are allowed.
    pub allow_defaults: bool,
    /// The time within which sightings are combined; `None` = never.
    pub aggregate: Option<Duration>,
    /// The most sightings of an indicator per minute; `None` = all.
    pub per_minute: Option<u64>,
}

/// How a command is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommandMode {
    /// A process for every sighting.
    #[default]
    Each,
    /// A process that is kept running and gets one context per line.
    Lines,
}

/// The messages to subscribe to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtocolChoice {
    /// Those of the broker.
    #[default]
    Auto,
    /// JSON messages, Threat Bus up to 2020.12.16.
    Legacy,
    /// STIX-2 messages, Threat Bus from 2021.2.24 on.
    Stix2,
}

/// Files instead of the bus and of VAST, and runs that end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunMode {
    /// The files and folders of indicators that are read instead of the bus; `-` is
    /// standard input.
    pub indicators: Vec<PathBuf>,
    /// What is known about them.
    pub feed: feed::Options,
    /// The logs that are searched instead of VAST, or in addition to engines; `-` is
    /// standard input.
    pub events: Vec<PathBuf>,
    /// Whether the run continues at the end of the logs.
    pub follow: bool,
    /// Whether the run ends when everything is matched.
    pub once: bool,
    /// How long the bus may be silent before it is considered to have no more indicators.
    pub idle: Duration,
    /// The time limit of the run; `None` = unlimited.
    pub deadline: Option<Duration>,
    /// Whether the exit status tells that nothing matched.
    pub exit_code: bool,
    /// Where summaries are written at the end.
    pub summary_files: Vec<(PathBuf, SummaryFormat)>,
}
