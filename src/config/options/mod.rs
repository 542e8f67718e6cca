//! ONE table of all options, and everything generated from it: the parser, the help
//! texts, the manual page, the shell completions and the example configuration file.
//!
//! A new option is one entry in [`table::OPTIONS`] and one field in [`Settings`]; nothing
//! else needs its name.

mod parse;
pub mod table;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use crate::config::nodes::EngineNode;
use crate::config::texts::GeneratedText;
use crate::config::{Settings, SinkChoice};
use crate::engine::EngineChoice;
use crate::observe::logging::Verbosity;
use crate::process::command::CommandTemplate;
use crate::process::endpoint::Endpoint;

pub use parse::{Assignment, CommandLine, parse_command_line};
pub use table::OPTIONS;
pub use value::{RawType, RawValue};

/// One option: its names, what it accepts, what it does, and where it is stored.
#[derive(Clone, Copy)]
pub struct Opt {
    /// Its name, and where it can be given.
    pub name: Name,
    /// The letter of its short flag.
    pub short: Option<char>,
    /// The placeholder of its value in texts; empty for a switch.
    pub value_name: &'static str,
    /// What it accepts and where that is stored.
    pub kind: OptionKind,
    /// The default as text; `None` means no value.
    pub default: Option<&'static str>,
    /// The value shown in the example file, if not the default.
    pub sample: Option<&'static str>,
    /// Its section in the texts.
    pub section: Section,
    /// Its meaning in a few words.
    pub short_help: &'static str,
    /// What else a user should know: whole sentences, possibly empty.
    pub long_help: &'static str,
}

/// The name of an option, and where it can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A long flag; its configuration key has `_` for `-`.
    Anywhere(&'static str),
    /// A long flag (and an environment variable), but no configuration key.
    FlagOnly(&'static str),
    /// A configuration key (and an environment variable), but no flag. A dot separates a
    /// group from the key.
    KeyOnly(&'static str),
}

/// What an option accepts, and how that is stored in [`Settings`].
#[derive(Clone, Copy)]
pub enum OptionKind {
    /// An action instead of running the bridge.
    Action(Action),
    /// On or off; its flag has a `--no-` form.
    Switch(fn(&mut Settings, bool)),
    /// A whole number, with its minimum and maximum.
    Whole(u64, u64, fn(&mut Settings, u64)),
    /// A time in seconds, optionally with a fraction. 0 means none, and is only accepted
    /// if the minimum is 0.
    Seconds(u32, fn(&mut Settings, Option<Duration>)),
    /// A host and a port.
    Endpoint(fn(&mut Settings, Endpoint)),
    /// The node of an engine; can be repeated. The nodes of a later source replace those
    /// of an earlier one.
    Engines(fn(&mut Settings) -> &mut Vec<EngineNode>),
    /// Any text; empty and null mean none.
    Text(fn(&mut Settings, Option<String>)),
    /// The path of a file; empty and null mean none.
    File(fn(&mut Settings, Option<PathBuf>)),
    /// The paths of files, all that follow the flag. The files of a later source replace
    /// those of an earlier one.
    Files(fn(&mut Settings) -> &mut Vec<PathBuf>),
    /// The name or the path of a program.
    Program(fn(&mut Settings, PathBuf)),
    /// A command with arguments; empty and null mean none.
    Command(fn(&mut Settings, Option<CommandTemplate>)),
    /// `STDOUT` or a command; empty and null mean the bus.
    Sink(fn(&mut Settings, SinkChoice)),
    /// The word for an engine, or for what decides which one it is, in any case.
    Engine(fn(&mut Settings, EngineChoice)),
    /// One of a few words, in any case.
    Choice(&'static [ChoiceValue]),
    /// A level of logging, in any case.
    LogLevel(fn(&mut Settings, Verbosity)),
}

/// One of the words that a [`OptionKind::Choice`] accepts.
pub struct ChoiceValue {
    /// The word.
    pub name: &'static str,
    /// Its meaning in a few words.
    pub help: &'static str,
    /// Stores it in the settings.
    pub set: fn(&mut Settings),
}

/// Actions instead of running the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Print the help text, short for `-h`, long for `--help`.
    Help,
    /// Print the version.
    Version,
    /// Print one of the texts generated from the table.
    Generate,
}

/// The section of an option in the texts, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What to connect to.
    Connection,
    /// What is matched, and how.
    Matching,
    /// Where sightings are sent.
    Output,
    /// Files instead of the bus and of VAST, and runs that end.
    RunMode,
    /// What the program reports about itself.
    Logging,
    /// Help, version, configuration file.
    General,
    /// In none of the texts.
    Hidden,
}

impl Section {
    /// The sections that the texts show, in order.
    pub const DOCUMENTED: [Section; 6] = [
        Section::Connection,
        Section::Matching,
        Section::Output,
        Section::RunMode,
        Section::Logging,
        Section::General,
    ];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Section::Connection => "Connection",
            Section::Matching => "Matching",
            Section::Output => "Output",
            Section::RunMode => "Files, and runs that end",
            Section::Logging => "Logging and metrics",
            Section::General => "General",
            Section::Hidden => "Hidden",
        }
    }

    /// The options in it, in the order of the table.
    pub fn options(self) -> impl Iterator<Item = &'static Opt> {
        OPTIONS.iter().filter(move |option| option.section == self)
    }
}

/// The prefix of the environment variables, then that of the original.
pub const PREFIXES: [&str; 2] = ["VAST_THREATBUS_", "PYVAST_THREATBUS_"];

impl Opt {
    /// The long flag without its dashes.
    pub fn long(&self) -> Option<&'static str> {
        match self.name {
            Name::Anywhere(name) | Name::FlagOnly(name) => Some(name),
            Name::KeyOnly(_) => None,
        }
    }

    /// The configuration key, `group.key` inside a group.
    pub fn key(&self) -> Option<String> {
        match self.name {
            Name::Anywhere(name) => Some(name.replace('-', "_")),
            Name::KeyOnly(name) => Some(name.to_owned()),
            Name::FlagOnly(_) => None,
        }
    }

    /// The environment variable without its prefix.
    pub fn variable(&self) -> Option<String> {
        let (Name::Anywhere(name) | Name::FlagOnly(name) | Name::KeyOnly(name)) = self.name;
        match self.kind {
            OptionKind::Action(_) => None,
            _ => Some(name.replace('-', "_").replace('.', "__").to_uppercase()),
        }
    }

    /// Its name in general: its flag, or else its key.
    pub fn title(&self) -> String {
        match self.name {
            Name::Anywhere(name) | Name::FlagOnly(name) => format!("--{name}"),
            Name::KeyOnly(name) => name.to_owned(),
        }
    }

    /// Whether it can be given several times.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, OptionKind::Files(_) | OptionKind::Engines(_))
    }

    /// Whether its flag has no value.
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, OptionKind::Switch(_))
    }

    /// Whether each of its [`words`](Self::words) needs an explanation.
    pub fn explains_words(&self) -> bool {
        matches!(self.kind, OptionKind::Engine(_) | OptionKind::Choice(_))
    }

    /// Whether a value follows its flag.
    pub fn takes_value(&self) -> bool {
        !self.value_name.is_empty()
    }

    /// The words that it accepts, each with its meaning (possibly empty), if there are
    /// only a few.
    pub fn words(&self) -> Vec<(&'static str, &'static str)> {
        match &self.kind {
            OptionKind::Engine(_) => EngineChoice::words(),
            OptionKind::Choice(picks) => picks.iter().map(|pick| (pick.name, pick.help)).collect(),
            OptionKind::LogLevel(_) => value::LOG_LEVELS
                .iter()
                .map(|level| (level.0, ""))
                .collect(),
            OptionKind::Action(Action::Generate) => {
                GeneratedText::ALL.iter().map(|t| (t.name(), "")).collect()
            }
            OptionKind::Sink(_) => vec![("STDOUT", "one JSON object a line on standard output")],
            _ => Vec::new(),
        }
    }
}

/// The name and the version of the program.
pub fn version() -> String {
    format!("vast-threatbus {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::parse_file;
    use crate::protocol::feed::FORMATS;

    #[test]
    fn the_forms_of_feeds_are_those_that_are_read() {
        let option = OPTIONS
            .iter()
            .find(|one| one.long() == Some("indicators-format"));
        let Some(OptionKind::Choice([auto, picks @ ..])) = option.map(|option| &option.kind) else {
            panic!("the option accepts words");
        };
        assert_eq!((auto.name, picks.len()), ("auto", FORMATS.len()));
        for (pick, facts) in picks.iter().zip(&FORMATS) {
            let mut settings = Settings::default();
            (pick.set)(&mut settings);
            assert_eq!(
                (pick.name, settings.indicators_format),
                (facts.name, Some(facts.format))
            );
        }
    }

    fn shown() -> impl Iterator<Item = &'static Opt> {
        OPTIONS
            .iter()
            .filter(|option| option.section != Section::Hidden)
    }

    #[test]
    fn names_are_unique() {
        let count = OPTIONS.len();
        let titles: HashSet<_> = OPTIONS.iter().map(Opt::title).collect();
        assert_eq!(titles.len(), count);
        let keys: Vec<_> = OPTIONS.iter().filter_map(Opt::key).collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let shorts: Vec<_> = OPTIONS.iter().filter_map(|option| option.short).collect();
        assert_eq!(shorts.iter().collect::<HashSet<_>>().len(), shorts.len());
        let variables: Vec<_> = OPTIONS.iter().filter_map(Opt::variable).collect();
        assert_eq!(
            variables.iter().collect::<HashSet<_>>().len(),
            variables.len()
        );
    }

    #[test]
    fn defaults_and_samples_are_accepted_by_their_options() {
        for option in OPTIONS {
            for text in option.default.iter().chain(&option.sample) {
                let result = option.apply(&mut Settings::default(), &RawValue::untyped(*text));
                assert_eq!(result, Ok(()), "{}: {text}", option.title());
            }
        }
    }

    #[test]
    fn meanings_are_phrases_and_explanations_are_sentences() {
        for option in OPTIONS {
            let phrase = option.short_help;
            assert!(
                phrase.starts_with(|c: char| c.is_ascii_alphabetic()),
                "{phrase}"
            );
            assert!(!phrase.ends_with('.'), "{phrase}");
            assert!(option.long_help.is_empty() || option.long_help.ends_with('.'));
            let switch = option.is_switch() || matches!(option.kind, OptionKind::Action(_));
            let generate = matches!(option.kind, OptionKind::Action(Action::Generate));
            assert_eq!(
                option.takes_value(),
                !switch || generate,
                "{}",
                option.title()
            );
        }
    }

    #[test]
    fn every_flag_is_in_every_text_about_flags() {
        for text in [
            GeneratedText::ShortHelp,
            GeneratedText::LongHelp,
            GeneratedText::Man,
            GeneratedText::Bash,
            GeneratedText::Zsh,
            GeneratedText::Fish,
            GeneratedText::Markdown,
        ] {
            let page = text.generate().replace("\\-", "-");
            for option in shown() {
                let Some(long) = option.long() else { continue };
                let flag = match text {
                    GeneratedText::Fish => format!(" -l {long} "),
                    GeneratedText::ShortHelp
                    | GeneratedText::LongHelp
                    | GeneratedText::Markdown
                        if option.is_switch() =>
                    {
                        format!("--[no-]{long}")
                    }
                    _ => format!("--{long}"),
                };
                assert!(page.contains(&flag), "{} has no {flag}", text.name());
                if let Some(letter) = option.short {
                    let short = if text == GeneratedText::Fish {
                        "-s "
                    } else {
                        "-"
                    };
                    assert!(
                        page.contains(&format!("{short}{letter}")),
                        "{} -{letter}",
                        text.name()
                    );
                }
                if option.is_switch()
                    && matches!(
                        text,
                        GeneratedText::Man | GeneratedText::Bash | GeneratedText::Zsh
                    )
                {
                    assert!(
                        page.contains(&format!("--no-{long}")),
                        "{} {long}",
                        text.name()
                    );
                }
            }
        }
    }

    #[test]
    fn every_key_is_in_every_text_about_keys() {
        let man = GeneratedText::Man.generate();
        let markdown = GeneratedText::Markdown.generate();
        let example = GeneratedText::ConfigExample.generate().replace("# ", "");
        for option in OPTIONS {
            let Some(key) = option.key() else { continue };
            assert!(markdown.contains(&format!("| `{key}` |")), "{key}");
            let last = key.rsplit('.').next().unwrap_or(&key);
            assert!(example.contains(&format!("{last}: ")), "{key}");
            let variable = option.variable().expect("every key has one");
            assert!(man.contains(&format!("VAST_THREATBUS_{variable}")), "{key}");
        }
    }

    #[test]
    fn the_secret_option_is_in_no_text() {
        for text in [
            GeneratedText::ShortHelp,
            GeneratedText::LongHelp,
            GeneratedText::Zsh,
            GeneratedText::Markdown,
        ] {
            let page = text.generate();
            let body = page.lines().filter(|line| !line.starts_with("# Made from"));
            assert!(
                body.into_iter().all(|line| !line.contains("generate")),
                "{}",
                text.name()
            );
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        for line in
            (GeneratedText::ShortHelp.generate() + &GeneratedText::LongHelp.generate()).lines()
        {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_example_file_holds_the_defaults_and_loads_with_every_line_active() {
        let example = GeneratedText::ConfigExample.generate();
        let path = std::path::Path::new("config.yaml.example");
        for assignment in parse_file(&example, path).expect("a valid file") {
            let expected = assignment.option.sample.or(assignment.option.default);
            assert_eq!(Some(assignment.given.text.as_str()), expected);
        }
        let commented = |line: &str| match line.trim_start().strip_prefix("# ") {
            Some(rest) if rest.split(": ").next().is_some_and(is_key) => line.replacen("# ", "", 1),
            _ => line.to_owned(),
        };
        let active: Vec<_> = example.lines().map(commented).collect();
        let all = parse_file(&active.join("\n"), path).expect("a valid file");
        let keyed = OPTIONS.iter().filter(|option| option.key().is_some());
        assert_eq!(all.len(), keyed.count());
        assert!(Settings::merge(&[&all]).is_ok());
    }

    fn is_key(word: &str) -> bool {
        let last = |key: String| key.rsplit('.').next().map(str::to_owned);
        OPTIONS
            .iter()
            .filter_map(Opt::key)
            .filter_map(last)
            .any(|key| key == word)
    }
}
