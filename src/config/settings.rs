//! The options as they were given, one field each, and their conversion into a
//! [`Config`].

use std::collections::HashMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::nodes::EngineNode;
use super::{
    CommandMode, Config, Format, LiveEngine, Logging, Metrics, NoiseOptions, Origin, Output,
    ProtocolChoice, RunMode, SinkChoice, SummaryFormat, UsageError, Verbosity,
};
use crate::config::options::{Assignment, Name, OPTIONS, Opt, OptionKind};
use crate::engine::{self, LOG_FILES};
use crate::indicator::MatchExpansion;
use crate::matching::{Meaning, Mode};
use crate::process::command::CommandTemplate;
use crate::process::endpoint::Endpoint;
use crate::protocol::feed;

/// Set by the entries of the table of options. See [`Config`] for the fields with the
/// same name.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    missing_docs,
    reason = "each field is described by its entry in the table"
)]
pub struct Settings {
    pub config_file: Option<PathBuf>,
    pub engine: engine::EngineChoice,
    pub nodes: Vec<EngineNode>,
    pub vast_binary: PathBuf,
    pub tenzir_binary: Option<PathBuf>,
    pub threatbus: Option<Endpoint>,
    pub snapshot_days: u64,
    pub retro_match: bool,
    pub live_match: bool,
    pub matcher_name: Option<String>,
    pub live_engine: LiveEngine,
    pub unflatten: bool,
    pub retro_match_max_events: u64,
    pub retro_match_timeout: Option<Duration>,
    pub observation_memory: Option<Duration>,
    pub mode: Mode,
    pub match_answers: bool,
    pub domains_match_subdomains: bool,
    pub urls_match_host: bool,
    pub transform_context: Option<CommandTemplate>,
    pub transform_mode: CommandMode,
    pub transform_processes: u64,
    pub sink: SinkChoice,
    pub sink_mode: CommandMode,
    pub output: Output,
    pub allow: Vec<PathBuf>,
    pub allow_defaults: bool,
    pub aggregate: Option<Duration>,
    pub max_sightings_per_minute: u64,
    pub max_background_tasks: u64,
    pub batch_size: u64,
    pub confirm_delivery: Option<bool>,
    pub queue_max_bytes: u64,
    pub state_dir: Option<PathBuf>,
    pub spool_max_bytes: u64,
    pub report_once: bool,
    pub remember_days: u64,
    pub protocol: ProtocolChoice,
    pub connect_timeout: Option<Duration>,
    pub log_format: Format,
    pub console_verbosity: Verbosity,
    pub log_to_console: bool,
    pub log_to_file: bool,
    pub file_verbosity: Verbosity,
    pub log_file: Option<PathBuf>,
    pub metrics_interval: Option<Duration>,
    pub metrics_file: Option<PathBuf>,
    pub metrics_prometheus: Option<PathBuf>,
    pub sensor_name: Option<String>,
    pub indicators: Vec<PathBuf>,
    pub indicators_format: Option<feed::FileFormat>,
    pub indicators_column: Option<String>,
    pub events: Vec<PathBuf>,
    pub follow: bool,
    pub once: bool,
    pub idle: Option<Duration>,
    pub deadline: Option<Duration>,
    pub explain: Option<PathBuf>,
    pub migrate: Option<PathBuf>,
    pub summary: bool,
    pub exit_code: bool,
    pub summary_files: Vec<PathBuf>,
    pub check: bool,
    places: HashMap<&'static str, Origin>,
    /// Whether engines are searched in addition to log files.
    is_beside: bool,
}

impl Settings {
    /// Applies the sources in order; later ones override.
    pub fn merge(sources: &[&[Assignment]]) -> Result<Self, UsageError> {
        let mut settings = Self::default();
        for source in sources {
            for assignment in source.iter() {
                match assignment.option.kind {
                    OptionKind::Files(files) => files(&mut settings).clear(),
                    OptionKind::Engines(nodes) => nodes(&mut settings).clear(),
                    _ => {}
                }
            }
            for assignment in source.iter() {
                settings.forget_other_name(assignment);
                settings.apply(assignment)?;
            }
            settings.note_beside(source);
        }
        Ok(settings)
    }

    /// Outside the command line, of the two names for the engines' endpoints only the
    /// neutral one counts.
    fn forget_other_name(&mut self, assignment: &Assignment) {
        let [vast, neutral] = ENDPOINT_OPTIONS;
        let is_neutral = name_of(assignment.option) == neutral;
        let is_flag = matches!(assignment.place, Origin::Flag(_));
        if is_neutral && !is_flag && self.places.contains_key(vast) {
            self.nodes.clear();
        }
    }

    /// Log files replace the engines of an earlier source. Engines of the same source are
    /// searched too, except for a file's single plain endpoint, which files had before
    /// several engines were possible.
    fn note_beside(&mut self, source: &[Assignment]) {
        let names_any = |options: &[&str]| {
            let mut given = source.iter().map(|one| name_of(one.option));
            given.any(|name| options.contains(&name))
        };
        let is_file = |one: &Assignment| matches!(one.place, Origin::File { .. });
        let is_of_old =
            source.iter().any(is_file) && matches!(&*self.nodes, [node] if node.is_plain());
        if names_any(&ENDPOINT_OPTIONS) {
            self.is_beside = !(is_of_old && names_any(&["events"]));
        } else if names_any(&["events"]) {
            self.is_beside = false;
        }
    }

    fn apply(&mut self, assignment: &Assignment) -> Result<(), UsageError> {
        let Assignment {
            option,
            given,
            place,
        } = assignment;
        option
            .apply(self, given)
            .map_err(|problem| UsageError::Value {
                place: place.clone(),
                value: given.describe(),
                problem,
            })?;
        let name = name_of(option);
        for [one, other] in [ENDPOINT_OPTIONS, PROGRAM_OPTIONS] {
            // The value given by the other name no longer counts.
            if name == one || name == other {
                self.places.remove(if name == one { other } else { one });
            }
        }
        self.places.insert(name, place.clone());
        Ok(())
    }

    /// Where the value of an option was given.
    pub(super) fn place_of(&self, option: &str) -> Origin {
        let given = self.places.get(option).cloned();
        given.unwrap_or_else(|| Origin::Default(option.to_owned()))
    }

    /// Makes a configuration. The settings include the table's defaults.
    ///
    /// # Errors
    ///
    /// Values that are valid but cannot be combined.
    pub(super) fn finish(
        &self,
        file: Option<PathBuf>,
        warnings: Vec<String>,
    ) -> Result<Config, UsageError> {
        // Like the original: live matching if neither is requested.
        let engines = self.engines()?;
        let has_engines = !engines.is_empty();
        let nothing_requested = !self.retro_match && !self.live_match && has_engines;
        let jobs = self.jobs(nothing_requested, has_engines)?;
        self.check_matcher(self.live_match || nothing_requested)?;
        let logging = self.logging()?;
        let count = |number| usize::try_from(number).ok().and_then(NonZeroUsize::new);
        Ok(Config {
            engines,
            threatbus: self.threatbus.clone().expect("the table has a default"),
            snapshot_days: u32::try_from(self.snapshot_days).expect("the table limits it"),
            retro_match: self.retro_match && has_engines,
            live_match: self.live_match || nothing_requested,
            unflatten: self.unflatten,
            retro_match_max_events: NonZeroU64::new(self.retro_match_max_events),
            retro_match_timeout: self.retro_match_timeout,
            observation_memory: self.observation_memory.expect("the table accepts no 0"),
            wider: self.wider(),
            meaning: Meaning {
                mode: self.mode,
                answers: self.match_answers,
            },
            transform_context: self.transform_context.clone(),
            transform_mode: self.transform_mode,
            transform_processes: count(self.transform_processes)
                .expect("the table limits it, and does not let it be 0"),
            sink_mode: self.sink_mode()?,
            output: self.output,
            noise: NoiseOptions {
                allow: self.allow.clone(),
                allow_defaults: self.allow_defaults,
                aggregate: self.aggregate,
                per_minute: Some(self.max_sightings_per_minute).filter(|most| *most > 0),
            },
            sink: match &self.sink {
                // There is no bus.
                SinkChoice::Bus if !jobs.indicators.is_empty() => SinkChoice::Stdout,
                sink => sink.clone(),
            },
            max_background_tasks: count(self.max_background_tasks)
                .expect("the table limits it, and does not let it be 0"),
            batch_size: count(self.batch_size)
                .expect("the table limits it, and does not let it be 0"),
            // A user who keeps sightings across a crash does not want to lose them with a
            // broker either.
            confirm_delivery: self.confirm_delivery.unwrap_or(self.state_dir.is_some()),
            queue_max_bytes: usize::try_from(self.queue_max_bytes).unwrap_or(usize::MAX),
            state_dir: self.state_dir.clone(),
            spool_max_bytes: self.spool_max_bytes,
            report_once: self.report_once()?,
            protocol: self.protocol,
            connect_timeout: self.connect_timeout,
            matcher_name: self.matcher_name.clone(),
            live_engine: self.live_engine,
            sensor_name: self.sensor_name()?,
            logging,
            metrics: Metrics {
                interval: self.metrics_interval,
                filename: self.metrics_file.clone(),
                prometheus: self.metrics_prometheus.clone(),
            },
            jobs,
            check: self.check,
            file,
            warnings,
            notes: Vec::new(),
        })
    }

    /// Whether this option was not given.
    pub(super) fn is_left_out(&self, option: &str) -> bool {
        self.is_default(option)
    }

    fn is_default(&self, option: &str) -> bool {
        matches!(self.place_of(option), Origin::Default(_))
    }

    /// How far the search for indicators goes beyond equality.
    pub(super) fn wider(&self) -> MatchExpansion {
        MatchExpansion {
            answers: self.match_answers && !self.is_default("match-answers"),
            subdomains: self.domains_match_subdomains,
            url_hosts: self.urls_match_host,
            ends: self.mode == Mode::Exact,
        }
    }

    /// A command that is kept running is the same for every sighting.
    fn sink_mode(&self) -> Result<CommandMode, UsageError> {
        if let (CommandMode::Lines, SinkChoice::Command(command)) = (self.sink_mode, &self.sink) {
            if command.placeholders() != (false, false) {
                let place = self.place_of("sink-mode");
                let problem = "lines is one process for all sightings: the sink command can have \
                               no %ioc and no %matchtype";
                return Err(UsageError::Combination { place, problem });
            }
        }
        Ok(self.sink_mode)
    }

    /// The name is valid in labels, tags and STIX objects.
    fn sensor_name(&self) -> Result<Option<String>, UsageError> {
        let name = self.sensor_name.clone();
        let is_bad = |name: &String| name.len() > 200 || name.chars().any(char::is_control);
        if name.as_ref().is_some_and(is_bad) {
            let place = self.place_of("sensor-name");
            let problem = "a name has at most 200 bytes, and no control characters";
            return Err(UsageError::Combination { place, problem });
        }
        Ok(name)
    }

    /// The number of days for which reported sightings are stored, if any.
    fn report_once(&self) -> Result<Option<u16>, UsageError> {
        if self.report_once && self.state_dir.is_none() {
            let place = self.place_of("report-once");
            let problem = "it needs --state-dir DIR, to remember what was reported";
            return Err(UsageError::Combination { place, problem });
        }
        let days = u16::try_from(self.remember_days).expect("the table limits it");
        Ok(self.report_once.then_some(days))
    }

    fn is_given(&self, options: &[&str]) -> bool {
        let mut places = options.iter().map(|option| self.places.get(option));
        places.any(|place| !matches!(place, None | Some(Origin::Default(_))))
    }

    /// The engines to query. What is not given has the engine's default.
    pub(super) fn targets(&self) -> Vec<engine::EngineTarget> {
        let are_given = self.is_given(&ENDPOINT_OPTIONS);
        let has_files = !self.events.is_empty();
        let is_beside = self.is_beside && are_given;
        if has_files && !is_beside || self.engine == engine::EngineChoice::Files {
            return Vec::new();
        }
        let target = |node: &EngineNode| {
            let choice = node.choice.unwrap_or(self.engine);
            engine::EngineTarget {
                name: node.to_string().into(),
                choice,
                program: engine::Program {
                    path: self.program(choice),
                    endpoint: are_given.then(|| node.endpoint.clone()),
                    scope: engine::QueryScope {
                        mode: self.mode,
                        answers: self.match_answers,
                    },
                },
            }
        };
        self.nodes.iter().map(target).collect()
    }

    /// The program that was given for these engines.
    fn program(&self, choice: engine::EngineChoice) -> Option<PathBuf> {
        let option = self.program_option(choice);
        match option {
            TENZIR_PROGRAM => self.tenzir_binary.clone(),
            _ => self
                .is_given(&PROGRAM_OPTIONS)
                .then(|| self.vast_binary.clone()),
        }
    }

    /// The option that names the program of these engines. A Tenzir node next to other
    /// engines has its own program option.
    pub(super) fn program_option(&self, choice: engine::EngineChoice) -> &'static str {
        let is_tenzir = |choice| choice == engine::EngineChoice::Tenzir;
        let mut choices = self
            .nodes
            .iter()
            .map(|one| one.choice.unwrap_or(self.engine));
        let has_others = choices.any(|one| !is_tenzir(one));
        let takes_tenzir = if self.is_given(&[TENZIR_PROGRAM]) {
            is_tenzir(choice)
                || choice == engine::EngineChoice::Auto && !self.is_given(&PROGRAM_OPTIONS)
        } else {
            is_tenzir(choice) && has_others
        };
        if takes_tenzir {
            return TENZIR_PROGRAM;
        }
        let is_there = |option: &&&str| self.places.contains_key(**option);
        PROGRAM_OPTIONS
            .iter()
            .find(is_there)
            .unwrap_or(&PROGRAM_OPTIONS[0])
    }

    /// The engines. No two have the same name or node.
    fn engines(&self) -> Result<Vec<engine::EngineTarget>, UsageError> {
        let place = || {
            let option = ENDPOINT_OPTIONS.iter().find(|one| self.is_given(&[one]));
            self.place_of(option.unwrap_or(&ENDPOINT_OPTIONS[0]))
        };
        let fail = |problem| {
            Err(UsageError::Engines {
                place: place(),
                problem,
            })
        };
        let targets = self.targets();
        let are_files = self.engine == engine::EngineChoice::Files && self.is_beside;
        if are_files && !self.nodes.iter().all(EngineNode::is_plain) {
            let problem = "--engine files queries no node, but one is named";
            return fail(problem.to_owned());
        }
        for (number, target) in targets.iter().enumerate() {
            let name = &target.name;
            if !self.events.is_empty() && &**name == LOG_FILES {
                return fail(format!(
                    "{name} is what the log files of --events are called"
                ));
            }
            for other in &targets[..number] {
                if other.name == *name {
                    return fail(format!(
                        "two engines are called {name}; NAME=HOST:PORT gives one another name"
                    ));
                }
                if other.program.endpoint == target.program.endpoint {
                    let node = &self.nodes[number].endpoint;
                    return fail(format!(
                        "{} and {name} are the same node, {node}; each is queried once",
                        other.name
                    ));
                }
            }
        }
        Ok(targets)
    }

    /// What is known about the indicator files.
    pub(super) fn feed(&self) -> Result<feed::Options, UsageError> {
        let fail = |option, problem| {
            let place = self.place_of(option);
            Err(UsageError::Combination { place, problem })
        };
        let format = self.indicators_format;
        let Some(text) = self.indicators_column.as_deref() else {
            return Ok(feed::Options {
                format,
                column: None,
            });
        };
        let Some(column) = feed::Column::parse(text) else {
            let problem = "it accepts the name of a column, or its number, from 1";
            return fail("indicators-column", problem);
        };
        if format.is_some_and(|format| format != feed::FileFormat::Csv) {
            let problem = "only CSV has columns, but --indicators-format names another format";
            return fail("indicators-column", problem);
        }
        Ok(feed::Options {
            format,
            column: Some(column),
        })
    }

    /// What is read from files, and when the run ends.
    fn jobs(&self, nothing_requested: bool, has_engines: bool) -> Result<RunMode, UsageError> {
        let fail = |option, problem| {
            let place = self.place_of(option);
            Err(UsageError::Combination { place, problem })
        };
        let has_events = !self.events.is_empty();
        if self.engine == engine::EngineChoice::Files && !has_events {
            return fail("engine", "it needs --events FILE, the files to search");
        }
        let is_of_files = matches!(
            self.engine,
            engine::EngineChoice::Auto | engine::EngineChoice::Files
        );
        if has_events && !has_engines && !is_of_files {
            return fail("engine", "with --events the engine is `files`");
        }
        let standard_input = |path: &PathBuf| path.as_os_str() == "-";
        if self.summary {
            return fail("summary", "it needs --explain FILE");
        }
        let indicators_given = !self.indicators.is_empty();
        let read_twice = self.indicators.iter().chain(&self.events);
        if read_twice.filter(|path| standard_input(path)).count() > 1 {
            let is_of_events = self.events.iter().any(standard_input);
            let option = if is_of_events { "events" } else { "indicators" };
            return fail(option, "standard input (-) can be read for one thing only");
        }
        if self.follow && !has_events {
            return fail("follow", "it needs --events FILE, the files to follow");
        }
        if self.follow && self.once {
            return fail("once", "a run with --follow does not end by itself");
        }
        if indicators_given && has_engines && !self.retro_match {
            let problem = "it needs --retro-match, to search VAST for them, or --events FILE";
            return fail("indicators", problem);
        }
        if has_events && !has_engines && self.live_match {
            let problem = "with --events there is no VAST; --follow is live matching there";
            return fail("live-match", problem);
        }
        let once = (self.once || indicators_given) && !self.follow;
        if once && has_engines && (self.live_match || nothing_requested) {
            let problem = "live matching does not end; use --retro-match alone, or --events";
            return fail("once", problem);
        }
        if self.exit_code && !once {
            return fail(
                "exit-code",
                "it needs a run that ends: --once or --indicators",
            );
        }
        if !once && !self.follow && self.events.iter().any(standard_input) {
            let problem = "standard input (-) can be read only once: add --once or --follow";
            return fail("events", problem);
        }
        Ok(RunMode {
            indicators: self.indicators.clone(),
            feed: self.feed()?,
            events: self.events.clone(),
            follow: self.follow,
            once,
            idle: self.idle.unwrap_or_default(),
            deadline: self.deadline,
            exit_code: self.exit_code,
            summary_files: self.summary_files()?,
        })
    }

    /// The summary files, with their formats by file extension.
    fn summary_files(&self) -> Result<Vec<(PathBuf, SummaryFormat)>, UsageError> {
        let with_form = |path: &PathBuf| {
            let end = path.extension().and_then(|end| end.to_str());
            let format = match end.map(str::to_ascii_lowercase).as_deref() {
                Some("json") => SummaryFormat::Json,
                Some("csv") => SummaryFormat::Csv,
                Some("html" | "htm") => SummaryFormat::Html,
                _ => {
                    let place = self.place_of("summary-file");
                    let problem = "the name of the file ends in .json, .csv or .html";
                    return Err(UsageError::Combination { place, problem });
                }
            };
            Ok((path.clone(), format))
        };
        self.summary_files.iter().map(with_form).collect()
    }

    /// Checks that the matcher of live matching can be the requested one.
    fn check_matcher(&self, is_live: bool) -> Result<(), UsageError> {
        let fail = |option, problem| {
            let place = self.place_of(option);
            Err(UsageError::Combination { place, problem })
        };
        let is_good = |letter: char| letter.is_alphanumeric() || "-_.:".contains(letter);
        let name = self.matcher_name.as_deref();
        if name.is_some_and(|name| name.starts_with('-') || !name.chars().all(is_good)) {
            let problem = "a name has only letters, digits and - _ . :, and does not begin with -";
            return fail("matcher-name", problem);
        }
        if is_live && self.live_engine == LiveEngine::Attach && name.is_none() {
            let problem = "attach needs --matcher-name, the name of a matcher that the node runs";
            return fail("live-engine", problem);
        }
        Ok(())
    }

    fn logging(&self) -> Result<Logging, UsageError> {
        let verbosity = self.log_to_file.then_some(self.file_verbosity);
        let file = match (verbosity, self.log_file.clone()) {
            (None, _) => None,
            (Some(verbosity), Some(path)) => Some((path, verbosity)),
            (Some(_), None) => {
                let place = self.place_of("logging.filename");
                return Err(UsageError::NoLogFile { place });
            }
        };
        let console = self.log_to_console.then_some(self.console_verbosity);
        Ok(Logging {
            format: self.log_format,
            console,
            file,
        })
    }
}

/// The two names for the node's endpoint.
const ENDPOINT_OPTIONS: [&str; 2] = ["vast", "engine-endpoint"];

/// The two names for the engine's program.
const PROGRAM_OPTIONS: [&str; 2] = ["vast-binary", "engine-binary"];

/// The option for Tenzir's program next to other engines.
const TENZIR_PROGRAM: &str = "tenzir-binary";

fn name_of(option: &Opt) -> &'static str {
    let (Name::Anywhere(name) | Name::FlagOnly(name) | Name::KeyOnly(name)) = option.name;
    name
}

/// The option with a configuration key in a group (or in none).
pub(super) fn option_with_key(group: Option<&str>, key: &str) -> Option<&'static Opt> {
    let is_it = |known: &str| match group {
        Some(group) => known.split_once('.') == Some((group, key)),
        None => known == key && !key.contains('.'),
    };
    OPTIONS
        .iter()
        .find(|option| option.key().is_some_and(|known| is_it(&known)))
}
