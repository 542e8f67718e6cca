//! The configuration of a run: defaults, overridden by the configuration file, the
//! environment, and the command line.

mod complete;
mod environment;
mod error;
mod file;
mod folder;
pub mod log_formats;
mod migrate;
pub mod nodes;
pub mod options;
mod settings;
pub mod texts;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::config::options::{Assignment, CommandLine, OPTIONS, RawValue, parse_command_line};
use crate::engine::{self, LiveEngine};
use crate::indicator::MatchExpansion;
use crate::matching::Mode;
use crate::process::command::{ProgramError, find_program};
use crate::protocol::feed;

pub use crate::observe::logging::{Format, Logging, Verbosity};
pub use crate::observe::telemetry::MetricsFiles as Metrics;
pub use crate::sighting::report::Output;
pub use complete::{
    CommandMode, Config, NoiseOptions, ProtocolChoice, RunMode, SinkChoice, SummaryFormat,
};
pub use error::{Origin, UsageError};
pub use file::parse as parse_file;
pub use migrate::migrate;
pub use settings::Settings;

/// What the program was started to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// To run the bridge.
    Run(Box<Config>),
    /// Print a text and exit successfully.
    Print(String),
    /// Print the queries for the indicators of a file.
    Explain {
        /// The file; `-` is standard input.
        file: PathBuf,
        /// Whether they are only counted, by plan and reason.
        summary: bool,
        /// How far the search for indicators goes beyond equality.
        wider: MatchExpansion,
        /// What is known about the file.
        feed: feed::Options,
        /// The engine whose queries are shown.
        engine: engine::EngineChoice,
        /// How far the queries go.
        mode: Mode,
    },
}

/// Where a configuration file is searched if none is named.
pub const DEFAULT_FILES: [&str; 3] = [
    "./config.yaml",
    "./config.yml",
    "/etc/vast-threatbus/config.yaml",
];

/// Makes a configuration from the arguments, the environment, and the configuration file.
/// Reads that file, and checks that the named programs can be run (using the `PATH` of
/// `env`).
pub fn from_args(
    args: impl Iterator<Item = OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Invocation, UsageError> {
    let env: Vec<_> = env.collect();
    let path_var = env.iter().find(|(name, _)| name == "PATH");
    let path_var = path_var.map(|(_, value)| value.clone());
    let command_line = match parse_command_line(args)? {
        CommandLine::Print(text) => return Ok(Invocation::Print(text)),
        CommandLine::Assignments(assignments) => assignments,
    };
    let (environment, warnings) = environment::assignments(env)?;
    // Merged twice, since the sources that override the file also name it.
    let early = Settings::merge(&[&environment, &command_line])?;
    let path = early.config_file.clone().or_else(default_file);
    if let Some(file) = &early.migrate {
        let text = file::read_text(file)?;
        return migrate(&text, file).map(Invocation::Print);
    }
    let sources = match &path {
        Some(path) => folder::read(path)?,
        None => folder::Sources::default(),
    };
    let defaults = defaults();
    let mut all: Vec<&[Assignment]> = vec![&defaults];
    all.extend(sources.all());
    all.extend([&environment[..], &command_line]);
    let settings = Settings::merge(&all)?;
    if let Some(file) = settings.explain.clone() {
        // The rest of the configuration does not matter.
        return Ok(Invocation::Explain {
            wider: settings.wider(),
            feed: settings.feed()?,
            summary: settings.summary,
            engine: settings.engine,
            mode: settings.mode,
            file,
        });
    }
    let mut config = settings.finish(path, warnings)?;
    let counts = |key: &str| match key {
        "retro_match" => config.jobs.events.is_empty() && settings.is_left_out("retro-match"),
        _ => config.jobs.indicators.is_empty() && settings.is_left_out(key),
    };
    config
        .warnings
        .extend(migrate::warning(&sources.files, counts));
    config.notes = sources.notes;
    // With `--check`, missing programs are reported in its table.
    if !config.check {
        check_programs(&settings, path_var.as_deref())?;
        check_files(&settings)?;
    }
    Ok(Invocation::Run(Box::new(config)))
}

fn default_file() -> Option<PathBuf> {
    DEFAULT_FILES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// The defaults of the table, as if someone had given them.
fn defaults() -> Vec<Assignment> {
    let with_default = |option: &'static crate::config::options::Opt| {
        option.default.map(|text| Assignment {
            option,
            given: RawValue::untyped(text),
            place: Origin::Default(option.title()),
        })
    };
    OPTIONS.iter().filter_map(with_default).collect()
}

/// Every program must exist before the first indicator arrives.
fn check_programs(settings: &Settings, path_var: Option<&OsStr>) -> Result<(), UsageError> {
    let fail = |option: &str, error: ProgramError| UsageError::Program {
        place: settings.place_of(option),
        error,
        engine: None,
    };
    for target in settings.targets() {
        let choice = target.choice;
        let program = target.program.path;
        let program = program.unwrap_or_else(|| choice.program().into());
        let option = settings.program_option(choice);
        find_program(&program, path_var).map_err(|error| UsageError::Program {
            place: settings.place_of(option),
            error,
            engine: Some((choice.title(), option)),
        })?;
    }
    if let SinkChoice::Command(command) = &settings.sink {
        command
            .resolve(path_var)
            .map_err(|error| fail("sink", error))?;
    }
    if let Some(command) = &settings.transform_context {
        command
            .resolve(path_var)
            .map_err(|error| fail("transform-context", error))?;
    }
    Ok(())
}

/// Files to read must exist, unless the program waits for them.
fn check_files(settings: &Settings) -> Result<(), UsageError> {
    let indicators = settings.indicators.iter().map(|path| ("indicators", path));
    let events = settings.events.iter().map(|path| ("events", path));
    let allow = settings.allow.iter().map(|path| ("allow", path));
    for (option, path) in indicators.chain(events).chain(allow) {
        if path.as_os_str() == "-" {
            continue;
        }
        let reason = match path.metadata() {
            Err(_) if settings.follow && option == "events" => continue,
            Err(error) => error.to_string(),
            Ok(_) => continue,
        };
        return Err(UsageError::File {
            place: settings.place_of(option),
            path: path.clone(),
            reason,
        });
    }
    Ok(())
}

/// The most similar name among `names`.
pub(crate) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let name = name.to_lowercase();
    // The time of edit distance is the product of both lengths.
    if name.len() > 64 {
        return None;
    }
    let distance = |known: &str| strsim::damerau_levenshtein(&name, known);
    let best = names.min_by_key(|known| distance(known))?;
    (distance(&best) <= 1 + name.chars().count() / 4).then_some(best)
}

/// `path` without a leading `./`, for messages.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    crate::observe::logging::printable(&path.to_string_lossy(), 4096).to_string()
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroUsize};
    use std::time::Duration;
    mod program;

    use proptest::prelude::*;

    use super::*;
    use crate::matching::Meaning;
    use crate::process::endpoint::Endpoint;

    /// The configuration from these sources. Programs are not checked.
    fn load(file: &str, env: &[(&str, &str)], args: &[&str]) -> Result<Config, UsageError> {
        let file = parse_file(file, Path::new("c.yaml"))?;
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        let (environment, warnings) = environment::assignments(env.collect())?;
        let CommandLine::Assignments(command_line) =
            parse_command_line(args.iter().map(OsString::from))?
        else {
            panic!("nothing is to be printed");
        };
        Settings::merge(&[&defaults(), &file, &environment, &command_line])?.finish(None, warnings)
    }

    fn retro(file: &str) -> Result<Config, UsageError> {
        load(file, &[], &["--retro-match"])
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let endpoint = |text: &str| text.parse::<Endpoint>().expect(text);
        let expected = Config {
            engines: vec![engine::EngineTarget {
                name: "localhost:42000".into(),
                choice: engine::EngineChoice::Auto,
                program: engine::Program {
                    path: None,
                    endpoint: None,
                    scope: engine::QueryScope {
                        answers: true,
                        ..engine::QueryScope::default()
                    },
                },
            }],
            threatbus: endpoint("localhost:13370"),
            snapshot_days: 0,
            retro_match: true,
            live_match: false,
            unflatten: false,
            retro_match_max_events: None,
            retro_match_timeout: Some(Duration::from_secs(3600)),
            observation_memory: Duration::from_secs(86_400),
            wider: MatchExpansion::default(),
            meaning: Meaning::default(),
            transform_context: None,
            transform_mode: CommandMode::Each,
            transform_processes: NonZeroUsize::new(8).expect("not 0"),
            sink: SinkChoice::Bus,
            sink_mode: CommandMode::Each,
            output: Output::Context,
            noise: NoiseOptions {
                allow_defaults: true,
                ..NoiseOptions::default()
            },
            max_background_tasks: NonZeroUsize::new(8).expect("not 0"),
            batch_size: NonZeroUsize::new(10_000).expect("not 0"),
            confirm_delivery: false,
            queue_max_bytes: 64 << 20,
            state_dir: None,
            spool_max_bytes: 1 << 30,
            report_once: None,
            protocol: ProtocolChoice::Auto,
            connect_timeout: Some(Duration::from_secs(30)),
            matcher_name: None,
            live_engine: LiveEngine::Auto,
            sensor_name: None,
            logging: Logging {
                format: Format::Text,
                console: Some(Verbosity::Info),
                file: None,
            },
            metrics: Metrics {
                interval: Some(Duration::from_secs(10)),
                filename: None,
                prometheus: None,
            },
            jobs: RunMode {
                idle: Duration::from_secs(10),
                ..RunMode::default()
            },
            check: false,
            file: None,
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        assert_eq!(retro(""), Ok(expected));
    }

    #[test]
    fn a_file_of_2020_loads() {
        let config = load(
            "vast: \"vast.example:42000\"\nvast_binary: vast\nthreatbus: \"localhost:13370\"\n\
             snapshot: 30\nloglevel: DEBUG\nretro_match: true\nretro_match_max_events: 0\n\
             unflatten: true\nmax_background_tasks: 100\n\
             transform_context: fever alertify --alert-prefix 'MY PREFIX' --ioc %ioc\nsink: STDOUT\n",
            &[],
            &[],
        );
        let config = config.expect("a valid file");
        let vast = config.engines[0].program.endpoint.as_ref();
        let vast = vast.map(|endpoint| endpoint.to_string());
        assert_eq!(vast.as_deref(), Some("vast.example:42000"));
        assert_eq!(config.logging.console, Some(Verbosity::Debug));
        assert_eq!(config.sink, SinkChoice::Stdout);
        assert_eq!(config.snapshot_days, 30);
        assert!(config.unflatten && config.retro_match && !config.live_match);
        let transform = config.transform_context.expect("it is given");
        assert_eq!(
            transform.arguments("x", ""),
            ["alertify", "--alert-prefix", "MY PREFIX", "--ioc", "x"]
        );
    }

    #[test]
    fn metrics_can_be_off_and_levels_have_the_originals_names() {
        let text = "metrics: {interval: 0, filename: metrics.log}\nloglevel: warn\n";
        let config = retro(text).expect("a valid file");
        assert_eq!(config.metrics.interval, None);
        assert_eq!(config.logging.console, Some(Verbosity::Warning));
    }

    #[test]
    fn a_file_of_2022_loads() {
        let text = "logging:\n  console: true\n  console_verbosity: WARNING\n  file: true\n  \
                    file_verbosity: DEBUG\n  filename: bridge.log\nmetrics:\n  interval: 10\n  \
                    filename: metrics.log\nlive_match: false\nmatcher_name: null\nretro_match: yes\n\
                    retro_match_timeout: 5.\nsink: ~\ntransform_context:\n";
        let config = load(text, &[], &[]).expect("a valid file");
        assert_eq!(config.retro_match_timeout, Some(Duration::from_secs(5)));
        assert_eq!(config.logging.console, Some(Verbosity::Warning));
        assert_eq!(
            config.logging.file,
            Some(("bridge.log".into(), Verbosity::Debug))
        );
        assert_eq!(config.metrics.filename, Some("metrics.log".into()));
        assert_eq!(
            (config.sink, config.transform_context),
            (SinkChoice::Bus, None)
        );
    }

    #[test]
    fn the_flag_for_the_log_level_beats_the_file_in_both_spellings() {
        let file = "logging: {console_verbosity: ERROR}\nloglevel: WARNING";
        let console =
            |env: &[_], args: &[&str]| load(file, env, args).expect("valid").logging.console;
        assert_eq!(console(&[], &["--retro-match"]), Some(Verbosity::Error));
        let env = [("VAST_THREATBUS_LOGLEVEL", "critical")];
        assert_eq!(console(&env, &["--retro-match"]), Some(Verbosity::Critical));
        assert_eq!(
            console(&env, &["--retro-match", "-l", "debug"]),
            Some(Verbosity::Debug)
        );
        assert_eq!(
            console(&env, &["--retro-match", "-l", "NOTSET"]),
            Some(Verbosity::Debug)
        );
        let off = retro("logging: {console: false, file: false, file_verbosity: notset}");
        let off = off.expect("valid").logging;
        assert_eq!((off.console, off.file), (None, None));
    }

    #[test]
    fn a_log_file_needs_a_name() {
        let error = retro("logging:\n  file: true\n  filename: ~").expect_err("it has none");
        let message = "c.yaml, line 3: logging.filename: logging to a file is on, but the file \
                       has no name";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn live_matching_is_the_default() {
        for (file, args, expected) in [
            ("", &[][..], (false, true)),
            ("", &["--no-retro-match"], (false, true)),
            ("retro_match: true", &["--no-retro-match"], (false, true)),
            ("retro_match: true", &[], (true, false)),
            ("retro_match: true", &["--live-match"], (true, true)),
            (
                "live_match: true",
                &["--retro-match", "--no-live-match"],
                (true, false),
            ),
        ] {
            let config = load(file, &[], args).expect("valid");
            assert_eq!(
                (config.retro_match, config.live_match),
                expected,
                "{args:?}"
            );
        }
    }

    #[test]
    fn a_matcher_or_a_name_that_cannot_be_is_refused() {
        for (args, start) in [
            (
                &["--live-engine", "attach"][..],
                "--live-engine: attach needs --matcher-name",
            ),
            (&["--matcher-name=-x"], "--matcher-name: a name has"),
            (&["--matcher-name", "a,b"], "--matcher-name: a name has"),
            (&["--sensor-name", "a\nb"], "--sensor-name: a name has"),
            (&["--matcher-name", "a b"], "--matcher-name: a name has"),
        ] {
            let message = load("", &[], args).expect_err("it cannot be").to_string();
            assert!(message.starts_with(start), "{message}");
        }
        let args = ["--live-engine", "attach", "--matcher-name", "threatbus"];
        let config = load("", &[], &args).expect("valid");
        assert_eq!(config.live_engine, LiveEngine::Attach);
        assert_eq!(config.matcher_name.as_deref(), Some("threatbus"));
        // It has no effect there, but is accepted.
        assert!(retro("live_engine: attach").is_ok());
    }

    #[test]
    fn the_name_of_a_summary_determines_its_format() {
        let files =
            |name: &str| load("", &[], &["--summary-file", name]).map(|c| c.jobs.summary_files);
        for (name, format) in [
            ("a.json", SummaryFormat::Json),
            ("a.b.CSV", SummaryFormat::Csv),
            ("a.html", SummaryFormat::Html),
        ] {
            assert_eq!(files(name), Ok(vec![(name.into(), format)]));
        }
        let message = files("a.txt").expect_err("no format").to_string();
        assert!(message.contains(".json, .csv or .html"), "{message}");
    }

    #[test]
    fn a_sink_that_stays_is_one_for_all_sightings() {
        let mode = |args: &[&str]| load("", &[], args).map(|config| config.sink_mode);
        let refused = ["--sink-mode=lines", "--sink", "logger -t %ioc"];
        let message = mode(&refused)
            .expect_err("it has a placeholder")
            .to_string();
        assert!(
            message.starts_with("--sink-mode: lines is one process"),
            "{message}"
        );
        assert_eq!(
            mode(&["--sink-mode=lines", "--sink", "logger"]),
            Ok(CommandMode::Lines)
        );
        assert_eq!(mode(&["--sink", "logger -t %ioc"]), Ok(CommandMode::Each));
        // It has no effect there, but is accepted.
        assert_eq!(mode(&["--sink-mode=lines"]), Ok(CommandMode::Lines));
    }

    #[test]
    fn errors_name_place_value_and_what_is_accepted() {
        for (file, env, args, message) in [
            (
                "a: 1\n",
                None,
                "",
                "c.yaml, line 1: a: unknown key (got the number 1); the keys here are ",
            ),
            (
                "retro_match: true\nsnapshot: 4000",
                None,
                "",
                "c.yaml, line 2: snapshot: got the number 4000; it accepts a whole number from 0 \
                 to 3650",
            ),
            (
                "unflatten: \"yes\"",
                None,
                "",
                "c.yaml, line 1: unflatten: got the text \"yes\"; it accepts true or false",
            ),
            (
                "vast: localhost",
                None,
                "",
                "c.yaml, line 1: vast: got the text \"localhost\"; it names a host without a port: \
                 write `localhost:42000`",
            ),
            (
                "",
                Some(("PYVAST_THREATBUS_METRICS__INTERVAL", "-1")),
                "",
                "environment variable PYVAST_THREATBUS_METRICS__INTERVAL: got \"-1\"; it accepts \
                 a number of seconds from 0 to 315360000",
            ),
            (
                "",
                None,
                "-U0",
                "-U: got \"0\"; it accepts a whole number from 1 to 1000",
            ),
        ] {
            let env: Vec<_> = env.into_iter().collect();
            let args: Vec<_> = args.split_whitespace().collect();
            let error = load(file, &env, &args).expect_err(message).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_nearest_name_is_found_and_nothing_far() {
        let known = || ["sink", "snapshot", "vast"].map(str::to_owned).into_iter();
        assert_eq!(nearest("snapsoht", known()).as_deref(), Some("snapshot"));
        assert_eq!(nearest("SINK", known()).as_deref(), Some("sink"));
        assert_eq!(nearest("threatbus", known()), None);
        assert_eq!(nearest(&"s".repeat(1000), known()), None);
    }

    proptest! {
        #[test]
        fn the_last_source_that_has_a_value_wins(
            file in proptest::option::of(1..100_u64),
            ours in proptest::option::of(1..100_u64),
            original in proptest::option::of(1..100_u64),
            flags in proptest::collection::vec(1..100_u64, 0..3),
            option in 0..3_usize,
        ) {
            let flag = ["--snapshot", "--max-background-tasks", "--retro-match-max-events"][option];
            let key = flag[2..].replace('-', "_");
            let text = file.map_or(String::new(), |value| format!("{key}: {value}"));
            let set = |prefix: &str, value: Option<u64>| {
                value.map(|value| (prefix.to_owned() + &key.to_uppercase(), value.to_string()))
            };
            let env: Vec<_> = [set("VAST_THREATBUS_", ours), set("PYVAST_THREATBUS_", original)]
                .into_iter().flatten().collect();
            let env: Vec<_> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let mut args = vec!["--retro-match".to_owned()];
            args.extend(flags.iter().map(|value| format!("{flag}={value}")));
            let args: Vec<_> = args.iter().map(String::as_str).collect();

            let config = load(&text, &env, &args).expect("all are in range");
            let values = [
                u64::from(config.snapshot_days),
                config.max_background_tasks.get() as u64,
                config.retro_match_max_events.map_or(0, NonZeroU64::get),
            ];
            let given = flags.last().copied().or(ours).or(original).or(file);
            let mut expected = [0, 8, 0];
            expected[option] = given.unwrap_or(expected[option]);
            prop_assert_eq!(values, expected);
        }
    }
}
