//! Human-readable errors in the command line, the environment or a file.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::shown;
use crate::observe::logging::printable;
use crate::process::command::ProgramError;

/// The most bytes of an external text in a message.
const VALUE_SHOWN: usize = 200;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default of the option with this name.
    Default(String),
    /// A flag, with its dashes.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A file, with the key (`group.key` in a group).
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

/// Why the program cannot start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsageError {
    /// An unknown flag, and a similar one.
    #[error(
        "unknown option {}; {}",
        outside(flag),
        instead(nearest, "--help lists all")
    )]
    UnknownFlag {
        /// With its dashes.
        flag: String,
        /// With its dashes.
        nearest: Option<String>,
    },
    /// An argument without a flag.
    #[error(
        "unexpected argument \"{}\": every value belongs to an option",
        outside(value)
    )]
    UnexpectedArgument {
        /// The argument.
        value: String,
    },
    /// A flag without its value.
    #[error("{flag} needs a value: it {accepts}")]
    MissingValue {
        /// With its dashes.
        flag: String,
        /// What it accepts, as a phrase that continues “it”.
        accepts: String,
    },
    /// A value for a flag that accepts none.
    #[error("{} accepts no value, but got \"{}\"", outside(flag), outside(value))]
    UnwantedValue {
        /// With its dashes.
        flag: String,
        /// The value.
        value: String,
    },
    /// Any other error of the command line parser.
    #[error("{}", outside(.0))]
    CommandLine(String),
    /// A value that is not UTF-8.
    #[error("{place}: the value is not UTF-8")]
    NotUnicode {
        /// Where it was given.
        place: Origin,
    },
    /// A value that the option does not accept.
    #[error("{place}: got {value}; it {problem}")]
    Value {
        /// Where it was given.
        place: Origin,
        /// The value, made printable.
        value: String,
        /// What the option accepts, as a phrase that continues “it”.
        problem: String,
    },
    /// A configuration file that cannot be read.
    #[error("cannot read the configuration file {}: {reason}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A configuration file that is not YAML, or not a mapping.
    #[error("{}, line {line}, column {column}: {}", shown(path), outside(reason))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The error.
        reason: String,
    },
    /// An unknown configuration key.
    #[error(
        "{place}: unknown key (got {value}); {}",
        instead(nearest, &format!("the keys here are {}", known.join(", ")))
    )]
    UnknownKey {
        /// Where it was given.
        place: Origin,
        /// Its value, made printable.
        value: String,
        /// A similar key that exists.
        nearest: Option<String>,
        /// All keys that are valid there.
        known: Box<[String]>,
    },
    /// A configuration key that a file has twice.
    #[error("{place}: the key is already set in line {first}; remove one of them")]
    DuplicateKey {
        /// The second occurrence.
        place: Origin,
        /// The line of the first occurrence.
        first: usize,
    },
    /// A program that cannot be run.
    #[error("{place}: {error}: {}", remedy(engine))]
    Program {
        /// Where it was named.
        place: Origin,
        /// The error.
        error: ProgramError,
        /// The engine that the program belongs to, if any, and the option that names its
        /// program.
        engine: Option<(&'static str, &'static str)>,
    },
    /// Logs are to be written to a file without a name.
    #[error("{place}: logging to a file is on, but the file has no name")]
    NoLogFile {
        /// Where the name should be.
        place: Origin,
    },
    /// A file that cannot be read.
    #[error("{place}: cannot read {}: {reason}", shown(path))]
    File {
        /// Where it was named.
        place: Origin,
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Engines that cannot be distinguished.
    #[error("{place}: {}", outside(problem))]
    Engines {
        /// Where the last engines were named.
        place: Origin,
        /// The error, with the names in question.
        problem: String,
    },
    /// Options that cannot be combined.
    #[error("{place}: {problem}")]
    Combination {
        /// One of them.
        place: Origin,
        /// The error.
        problem: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default(name) => write!(f, "{name} (default)"),
            Origin::Flag(flag) => write!(f, "{flag}"),
            Origin::Variable(name) => {
                write!(f, "environment variable {}", printable(name, VALUE_SHOWN))
            }
            Origin::File { path, line, key } => {
                let key = printable(key, VALUE_SHOWN);
                write!(f, "{}, line {line}: {key}", shown(path))
            }
        }
    }
}

/// The similar name, or else where all are listed.
fn instead(nearest: &Option<String>, all: &str) -> String {
    match nearest {
        Some(name) => format!("did you mean {name}?"),
        None => all.to_owned(),
    }
}

/// How to get the program.
fn remedy(engine: &Option<(&str, &str)>) -> String {
    match engine {
        Some((title, option)) => format!("install {title} or name its program with --{option}"),
        None => "install the program or correct the command".to_owned(),
    }
}

/// An external text, made printable.
fn outside(text: &str) -> impl fmt::Display {
    printable(text, VALUE_SHOWN)
}
