//! What is wrong with a command line, an environment or a file, in words for a
//! person.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::shown;
use crate::observe::logging::printable;
use crate::process::command::ProgramError;

/// The most that a message shows of a text from outside.
const MAX_SHOWN: usize = 200;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default of the option of this name.
    Default(String),
    /// By a flag, with its dashes.
    Flag(String),
    /// In an environment variable.
    Variable(String),
    /// In a file, under a key (`group.key` in a group).
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

/// Why the program cannot be started as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsageError {
    /// A flag that does not exist, and one that does.
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
    /// An argument that belongs to no flag.
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
        /// What it accepts, in words that go on after “it”.
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
    /// Anything else that the command line's parser finds wrong.
    #[error("{}", outside(.0))]
    CommandLine(String),
    /// A value that is not UTF-8.
    #[error("{place}: the value is not UTF-8")]
    NotUnicode {
        /// Where it stands.
        place: Origin,
    },
    /// A value that the option does not take.
    #[error("{place}: got {value}; it {problem}")]
    Value {
        /// Where it stands.
        place: Origin,
        /// The value, made for reading.
        value: String,
        /// What the option accepts, in words that go on after “it”.
        problem: String,
    },
    /// A configuration file that cannot be read.
    #[error("cannot read the configuration file {}: {reason}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A configuration file that is no YAML, or of another shape.
    #[error("{}, line {line}, column {column}: {}", shown(path), outside(reason))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A configuration key that does not exist.
    #[error(
        "{place}: unknown key (got {value}); {}",
        instead(nearest, &format!("the keys here are {}", known.join(", ")))
    )]
    UnknownKey {
        /// Where it stands.
        place: Origin,
        /// Its value, made for reading.
        value: String,
        /// A key that exists.
        nearest: Option<String>,
        /// All keys that could stand there.
        known: Box<[String]>,
    },
    /// A configuration key that stands in a file twice.
    #[error("{place}: the key is already set in line {first}; remove one of them")]
    DuplicateKey {
        /// Where it stands the second time.
        place: Origin,
        /// The line where it stood first.
        first: usize,
    },
    /// A program that cannot be run.
    #[error("{place}: {error}: {}", remedy(engine))]
    Program {
        /// Where it was named.
        place: Origin,
        /// What is wrong with it.
        error: ProgramError,
        /// The engine that is asked with it, if it is that one, and the option that names
        /// its program.
        engine: Option<(&'static str, &'static str)>,
    },
    /// Logs are to go to a file that has no name.
    #[error("{place}: logging to a file is on, but the file has no name")]
    NoLogFile {
        /// Where the name should be.
        place: Origin,
    },
    /// A file that is to be read and cannot be.
    #[error("{place}: cannot read {}: {reason}", shown(path))]
    File {
        /// Where it was named.
        place: Origin,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Engines that cannot be told apart.
    #[error("{place}: {}", outside(problem))]
    Engines {
        /// Where engines were named last.
        place: Origin,
        /// What is wrong, with the names in question.
        problem: String,
    },
    /// Options that do not go together.
    #[error("{place}: {problem}")]
    Combination {
        /// One of them.
        place: Origin,
        /// What is wrong.
        problem: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default(name) => write!(f, "{name} (default)"),
            Origin::Flag(flag) => write!(f, "{flag}"),
            Origin::Variable(name) => {
                write!(f, "environment variable {}", printable(name, MAX_SHOWN))
            }
            Origin::File { path, line, key } => {
                let key = printable(key, MAX_SHOWN);
                write!(f, "{}, line {line}: {key}", shown(path))
            }
        }
    }
}

/// What was probably meant, or else where there is a list to choose from.
fn instead(nearest: &Option<String>, all: &str) -> String {
    match nearest {
        Some(name) => format!("did you mean {name}?"),
        None => all.to_owned(),
    }
}

/// How a program can be had.
fn remedy(engine: &Option<(&str, &str)>) -> String {
    match engine {
        Some((title, option)) => format!("install {title} or name its program with --{option}"),
        None => "install the program or correct the command".to_owned(),
    }
}

/// A text from outside, fit for a message.
fn outside(text: &str) -> impl fmt::Display {
    printable(text, MAX_SHOWN)
}
