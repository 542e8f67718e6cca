//! Converts the text of a value into a setting, or into the reason why it is not valid.

use std::path::PathBuf;
use std::time::Duration;

use super::{Opt, OptionKind};
use crate::config::nodes::NodeError;
use crate::config::{Settings, SinkChoice};
use crate::engine::EngineChoice;
use crate::observe::logging::{Verbosity, printable};
use crate::process::command::CommandTemplate;
use crate::process::endpoint::{Endpoint, EndpointError};

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    /// Its text, without the quotes of YAML.
    pub text: String,
    /// Its type in YAML.
    pub raw_type: RawType,
}

/// The type of a scalar in YAML. Flags and environment variables have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawType {
    /// Whatever type the option accepts.
    Untyped,
    /// `null`, `~`, or nothing.
    Null,
    /// `true`, `false`, and their other spellings in YAML 1.1.
    Truth,
    /// A number.
    Number,
    /// Everything else, and everything in quotes.
    Text,
}

/// The levels of logging, by the names of the original. As in Python, NOTSET excludes nothing.
pub(super) const LOG_LEVELS: [(&str, Verbosity); 6] = [
    ("DEBUG", Verbosity::Debug),
    ("INFO", Verbosity::Info),
    ("WARNING", Verbosity::Warning),
    ("ERROR", Verbosity::Error),
    ("CRITICAL", Verbosity::Critical),
    ("NOTSET", Verbosity::Debug),
];

/// Ten years: more than any wait, and safe to add to the time of day.
const MAX_SECONDS: f64 = 315_360_000.0;

/// The most bytes of a value in an error message.
const VALUE_SHOWN: usize = 200;

impl RawValue {
    /// A value of the command line or the environment.
    pub fn untyped(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text,
            raw_type: RawType::Untyped,
        }
    }

    /// An unquoted scalar of a YAML file, typed like in the originals' YAML 1.1 library
    /// as far as their options need it.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        let raw_type = match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => RawType::Null,
            word if parse_truth(word).is_some() && !word.starts_with(['0', '1']) => RawType::Truth,
            word if is_number(word) => RawType::Number,
            _ => RawType::Text,
        };
        Self { text, raw_type }
    }

    /// A quoted scalar of a YAML file.
    pub fn quoted(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text,
            raw_type: RawType::Text,
        }
    }

    /// The value for an error message, with its YAML type if it has one.
    pub fn describe(&self) -> String {
        let text = printable(&self.text, VALUE_SHOWN);
        match self.raw_type {
            RawType::Null => "nothing (null)".to_owned(),
            RawType::Truth => format!("the truth value {text}"),
            RawType::Number => format!("the number {text}"),
            RawType::Text => format!("the text \"{text}\""),
            RawType::Untyped => format!("\"{text}\""),
        }
    }
}

/// Whether an unquoted word is a number in YAML.
fn is_number(word: &str) -> bool {
    let unsigned = word.trim_start_matches(['+', '-']);
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (word.parse::<f64>().is_ok() || matches!(unsigned, ".inf" | ".Inf" | ".INF"))
        || matches!(word, ".nan" | ".NaN" | ".NAN")
}

fn parse_truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl Opt {
    /// Stores a value in the settings.
    ///
    /// # Errors
    ///
    /// What the option accepts and, if it helps, what is wrong with the value, as a
    /// phrase that continues “it”.
    pub fn apply(&self, settings: &mut Settings, given: &RawValue) -> Result<(), String> {
        let text = given.text.as_str();
        if !self.accepts_type(given.raw_type) {
            return Err(self.accepts());
        }
        match &self.kind {
            OptionKind::Action(_) => Err(self.accepts()),
            OptionKind::Switch(set) => {
                set(settings, parse_truth(text).ok_or_else(|| self.accepts())?);
                Ok(())
            }
            OptionKind::Whole(least, greatest, set) => {
                let number = parse_whole(text, *least, *greatest);
                set(settings, number.ok_or_else(|| self.accepts())?);
                Ok(())
            }
            OptionKind::Seconds(least, set) => {
                set(
                    settings,
                    parse_seconds(text, *least).ok_or_else(|| self.accepts())?,
                );
                Ok(())
            }
            OptionKind::Endpoint(set) => {
                set(
                    settings,
                    text.parse()
                        .map_err(|error| self.bad_endpoint(text, &error))?,
                );
                Ok(())
            }
            OptionKind::Engines(nodes) => {
                let node = text.parse();
                let node = node.map_err(|error| self.bad_node(text, &error))?;
                nodes(settings).push(node);
                Ok(())
            }
            OptionKind::Text(set) => {
                set(settings, some_text(text, given.raw_type).map(str::to_owned));
                Ok(())
            }
            OptionKind::File(set) => {
                set(settings, some_text(text, given.raw_type).map(PathBuf::from));
                Ok(())
            }
            OptionKind::Files(files) => {
                let path = some_text(text, given.raw_type).ok_or_else(|| self.accepts())?;
                files(settings).push(PathBuf::from(path));
                Ok(())
            }
            OptionKind::Program(set) => {
                let program = some_text(text, given.raw_type).ok_or_else(|| self.accepts())?;
                set(settings, PathBuf::from(program));
                Ok(())
            }
            OptionKind::Command(set) => {
                set(settings, parse_command(text, given.raw_type)?);
                Ok(())
            }
            OptionKind::Sink(set) => {
                set(settings, parse_sink(text, given.raw_type)?);
                Ok(())
            }
            OptionKind::Engine(set) => {
                set(
                    settings,
                    EngineChoice::named(text).ok_or_else(|| self.accepts())?,
                );
                Ok(())
            }
            OptionKind::Choice(picks) => {
                let pick = picks
                    .iter()
                    .find(|pick| pick.name.eq_ignore_ascii_case(text));
                (pick.ok_or_else(|| self.accepts())?.set)(settings);
                Ok(())
            }
            OptionKind::LogLevel(set) => {
                // The originals' logging library accepts both names.
                let text = if text.eq_ignore_ascii_case("warn") {
                    "WARNING"
                } else {
                    text
                };
                let level = LOG_LEVELS
                    .iter()
                    .find(|level| level.0.eq_ignore_ascii_case(text));
                set(settings, level.ok_or_else(|| self.accepts())?.1);
                Ok(())
            }
        }
    }

    fn accepts_type(&self, raw_type: RawType) -> bool {
        match (&self.kind, raw_type) {
            (_, RawType::Untyped) => true,
            (OptionKind::Switch(_), raw_type) => raw_type == RawType::Truth,
            (OptionKind::Whole(..) | OptionKind::Seconds(..), raw_type) => {
                raw_type == RawType::Number
            }
            (
                OptionKind::Text(_)
                | OptionKind::File(_)
                | OptionKind::Command(_)
                | OptionKind::Sink(_),
                RawType::Null,
            ) => true,
            (_, raw_type) => raw_type == RawType::Text,
        }
    }

    /// What the option accepts, as a phrase that continues “it”.
    pub fn accepts(&self) -> String {
        let words = || {
            self.words()
                .iter()
                .map(|word| word.0)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match &self.kind {
            OptionKind::Action(super::Action::Generate) => format!("accepts one of {}", words()),
            OptionKind::Action(_) => "accepts no value".to_owned(),
            OptionKind::Switch(_) => "accepts true or false".to_owned(),
            OptionKind::Whole(least, u64::MAX, _) => {
                format!("accepts a whole number from {least} up")
            }
            OptionKind::Whole(least, greatest, _) => {
                format!("accepts a whole number from {least} to {greatest}")
            }
            OptionKind::Seconds(least, _) => {
                format!("accepts a number of seconds from {least} to {MAX_SECONDS}")
            }
            OptionKind::Endpoint(_) | OptionKind::Engines(_) => {
                format!("accepts HOST:PORT, for example {}", self.sample_value())
            }
            OptionKind::Text(_) => {
                "accepts a text (a number or a word like `yes` needs quotes)".to_owned()
            }
            OptionKind::File(_) => "accepts the path of a file".to_owned(),
            OptionKind::Files(_) => "accepts the paths of one or more files".to_owned(),
            OptionKind::Program(_) => "accepts the name or the path of a program".to_owned(),
            OptionKind::Command(_) => "accepts a command with its arguments".to_owned(),
            OptionKind::Sink(_) => "accepts STDOUT or a command with its arguments".to_owned(),
            OptionKind::Engine(_) | OptionKind::Choice(_) | OptionKind::LogLevel(_) => {
                format!("accepts one of {}", words())
            }
        }
    }

    /// The value that examples show.
    pub fn sample_value(&self) -> &'static str {
        self.sample.or(self.default).unwrap_or_default()
    }

    fn bad_node(&self, text: &str, error: &NodeError) -> String {
        match error {
            NodeError::Endpoint(error) => {
                let bare = text.rsplit_once('=').map_or(text, |(_, rest)| rest);
                let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest);
                self.bad_endpoint(bare, error)
            }
            error => format!("accepts [NAME=][SCHEME://]HOST:PORT: {error}"),
        }
    }

    fn bad_endpoint(&self, text: &str, error: &EndpointError) -> String {
        let default = self.sample_value();
        match (error, default.rsplit_once(':')) {
            (EndpointError::NoPort, Some((_, port))) if !text.is_empty() => {
                let host = text.trim_end_matches(':');
                let whole = format!("{host}:{port}");
                match whole.parse::<Endpoint>() {
                    Ok(endpoint) => format!("names a host without a port: write `{endpoint}`"),
                    Err(_) => self.accepts(),
                }
            }
            _ => format!(
                "{}: {}",
                self.accepts(),
                printable(&error.to_string(), VALUE_SHOWN)
            ),
        }
    }
}

fn parse_whole(text: &str, least: u64, greatest: u64) -> Option<u64> {
    let number = text.parse().ok()?;
    (least..=greatest).contains(&number).then_some(number)
}

/// A time, where 0 is `None`; the outer `None` is an error.
fn parse_seconds(text: &str, least: u32) -> Option<Option<Duration>> {
    let seconds: f64 = text.parse().ok()?;
    if !(f64::from(least)..=MAX_SECONDS).contains(&seconds) {
        return None;
    }
    // A very short time must not become 0, which means no limit.
    let shortest = Duration::from_millis(1);
    Some((seconds > 0.0).then(|| Duration::from_secs_f64(seconds).max(shortest)))
}

fn some_text(text: &str, raw_type: RawType) -> Option<&str> {
    (raw_type != RawType::Null && !text.trim().is_empty()).then_some(text)
}

fn parse_command(text: &str, raw_type: RawType) -> Result<Option<CommandTemplate>, String> {
    some_text(text, raw_type)
        .map(CommandTemplate::parse)
        .transpose()
        .map_err(|error| format!("accepts a command with its arguments: {error}"))
}

fn parse_sink(text: &str, raw_type: RawType) -> Result<SinkChoice, String> {
    if text.trim().eq_ignore_ascii_case("stdout") {
        return Ok(SinkChoice::Stdout);
    }
    Ok(parse_command(text, raw_type)?.map_or(SinkChoice::Bus, SinkChoice::Command))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ProtocolChoice;
    use crate::config::options::OPTIONS;

    fn option(title: &str) -> &'static Opt {
        let found = OPTIONS.iter().find(|option| option.title() == title);
        found.expect("an option of the table")
    }

    /// Stores a value in new settings.
    fn apply(title: &str, given: RawValue) -> Result<Settings, String> {
        let mut settings = Settings::default();
        option(title)
            .apply(&mut settings, &given)
            .map(|()| settings)
    }

    fn flag(title: &str, text: &str) -> Result<Settings, String> {
        apply(title, RawValue::untyped(text))
    }

    #[test]
    fn scalars_have_the_types_that_the_originals_see() {
        for (raw_type, words) in [
            (RawType::Null, &["", "~", "null", "NULL"][..]),
            (RawType::Truth, &["true", "False", "YES", "no", "on", "Off"]),
            (
                RawType::Number,
                &[
                    "0", "-1", "+5", "5.", ".5", "5.25", "1e3", ".inf", "-.INF", ".nan",
                ],
            ),
            (
                RawType::Text,
                &[
                    "localhost:42000",
                    "y",
                    "1:30",
                    "inf",
                    "nan",
                    "-",
                    ".",
                    "0x",
                    "null ",
                ],
            ),
        ] {
            for word in words {
                assert_eq!(RawValue::plain(*word).raw_type, raw_type, "{word:?}");
                assert_eq!(RawValue::quoted(*word).raw_type, RawType::Text);
            }
        }
    }

    #[test]
    fn switches() {
        for (text, state) in [
            ("true", true),
            ("YES", true),
            ("1", true),
            ("off", false),
            ("0", false),
        ] {
            assert_eq!(
                flag("--unflatten", text).map(|s| s.unflatten),
                Ok(state),
                "{text}"
            );
        }
        for bad in [
            RawValue::untyped(""),
            RawValue::untyped("maybe"),
            RawValue::plain("1"),
            RawValue::quoted("true"),
        ] {
            assert_eq!(
                apply("--unflatten", bad),
                Err("accepts true or false".into())
            );
        }
    }

    #[test]
    fn whole_numbers() {
        let snapshot = |given| apply("--snapshot", given).map(|settings| settings.snapshot_days);
        assert_eq!(snapshot(RawValue::plain("3650")), Ok(3650));
        assert_eq!(snapshot(RawValue::untyped("0")), Ok(0));
        for bad in [
            "-1",
            "3651",
            "1.5",
            "5.",
            "",
            " 1",
            "99999999999999999999999",
        ] {
            let error = snapshot(RawValue::untyped(bad));
            assert_eq!(
                error,
                Err("accepts a whole number from 0 to 3650".into()),
                "{bad}"
            );
        }
        assert!(
            snapshot(RawValue::quoted("30")).is_err(),
            "text is not a number"
        );
        assert!(flag("--max-background-tasks", "0").is_err());
        let most = flag("--retro-match-max-events", &u64::MAX.to_string());
        assert_eq!(
            most.map(|settings| settings.retro_match_max_events),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn seconds() {
        let timeout = |text: &str| {
            apply("--retro-match-timeout", RawValue::plain(text)).map(|s| s.retro_match_timeout)
        };
        assert_eq!(timeout("5."), Ok(Some(Duration::from_secs(5))));
        assert_eq!(timeout("0.25"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(timeout("1e-30"), Ok(Some(Duration::from_millis(1))));
        for none in ["0", "0.0", "-0"] {
            assert_eq!(timeout(none), Ok(None), "{none}");
        }
        for bad in ["-1", ".inf", ".nan", "315360001", "1e999", "soon", ""] {
            let accepted = "accepts a number of seconds from 0 to 315360000";
            assert_eq!(timeout(bad), Err(accepted.into()), "{bad}");
        }
        assert!(flag("--retro-match-timeout", "nan").is_err());
    }

    #[test]
    fn endpoints() {
        let good = flag("--threatbus", "[::1]:1").map(|settings| settings.threatbus);
        assert_eq!(good, Ok("[::1]:1".parse().ok()));
        for (text, hint) in [
            (
                "bus.example",
                "names a host without a port: write `bus.example:13370`",
            ),
            (
                "bus.example:",
                "names a host without a port: write `bus.example:13370`",
            ),
            ("[::1]", "names a host without a port: write `[::1]:13370`"),
            (
                "",
                "accepts HOST:PORT, for example localhost:13370: a host without a port",
            ),
        ] {
            assert_eq!(flag("--threatbus", text), Err(hint.into()));
        }
        let number = apply("--threatbus", RawValue::plain("13370"));
        assert_eq!(
            number,
            Err("accepts HOST:PORT, for example localhost:13370".into())
        );
    }

    #[test]
    fn what_may_be_absent_may_be_empty_or_null() {
        for nothing in [
            RawValue::untyped(""),
            RawValue::plain("~"),
            RawValue::quoted(" "),
        ] {
            assert_eq!(
                apply("--sink", nothing.clone()).map(|s| s.sink),
                Ok(SinkChoice::Bus)
            );
            let transform = apply("--transform-context", nothing.clone());
            assert_eq!(transform.map(|s| s.transform_context), Ok(None));
            assert_eq!(
                apply("--matcher-name", nothing.clone()).map(|s| s.matcher_name),
                Ok(None)
            );
            assert_eq!(
                apply("metrics.filename", nothing).map(|s| s.metrics_file),
                Ok(None)
            );
        }
        assert!(apply("--vast-binary", RawValue::untyped("")).is_err());
        assert!(apply("--snapshot", RawValue::plain("")).is_err());
    }

    #[test]
    fn sinks() {
        for text in ["STDOUT", "stdout", "StdOut"] {
            assert_eq!(flag("--sink", text).map(|s| s.sink), Ok(SinkChoice::Stdout));
        }
        let command = CommandTemplate::parse("logger -t x").map(SinkChoice::Command);
        assert_eq!(
            flag("--sink", "logger -t x").map(|s| s.sink).ok(),
            command.ok()
        );
        let error = flag("--sink", "logger 'x").expect_err("an open quote");
        assert!(error.contains("quote is not closed"), "{error}");
    }

    #[test]
    fn words_are_accepted_in_any_case() {
        let protocol = flag("--protocol", "Stix2").map(|settings| settings.protocol);
        assert_eq!(protocol, Ok(ProtocolChoice::Stix2));
        let error = Err("accepts one of auto, legacy, stix2".into());
        assert_eq!(flag("--protocol", "stix"), error);
        let level = |text| flag("--loglevel", text).map(|settings| settings.console_verbosity);
        assert_eq!(level("cRitical"), Ok(Verbosity::Critical));
        assert_eq!(level("notset"), Ok(Verbosity::Debug));
        assert_eq!(level("Warn"), Ok(Verbosity::Warning));
        assert!(level("verbose").is_err());
    }

    proptest! {
        #[test]
        fn no_value_makes_an_option_panic(
            text in "\\PC{0,30}|[-+0-9.eE:\\[\\]'\"\\\\ ]{0,12}",
            index in 0..OPTIONS.len(),
        ) {
            for given in [RawValue::untyped(&*text), RawValue::plain(&*text), RawValue::quoted(&*text)] {
                if let Err(reason) = OPTIONS[index].apply(&mut Settings::default(), &given) {
                    prop_assert!(reason.starts_with("accepts") || reason.starts_with("names"));
                    prop_assert!(!reason.contains(char::is_control));
                }
            }
        }
    }
}
