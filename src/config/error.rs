//! What is wrong with a command line, an environment or a file, in words for a
//! person.

use std::fmt;
use std::path::PathBuf;

use super::shown;
use crate::observe::logging::printable;
use crate::process::command::ProgramError;

/// The most that a message shows of a text from outside.
const MAX_SHOWN: usize = 200;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// A flag that does not exist, and one that does.
    UnknownFlag {
        /// With its dashes.
        flag: String,
        /// With its dashes.
        nearest: Option<String>,
    },
    /// An argument that belongs to no flag.
    UnexpectedArgument {
        /// The argument.
        value: String,
    },
    /// A flag without the value that it takes.
    MissingValue {
        /// With its dashes.
        flag: String,
        /// What it takes, in words that go on after “it”.
        takes: String,
    },
    /// A value for a flag that takes none.
    UnwantedValue {
        /// With its dashes.
        flag: String,
        /// The value.
        value: String,
    },
    /// Anything else that the command line's parser finds wrong.
    CommandLine(String),
    /// A value that is not UTF-8.
    NotUnicode {
        /// Where it stands.
        place: Place,
    },
    /// A value that the option does not take.
    Value {
        /// Where it stands.
        place: Place,
        /// The value, made for reading.
        value: String,
        /// What the option takes, in words that go on after “it”.
        problem: String,
    },
    /// A configuration file that cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A configuration file that is no YAML, or of another shape.
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
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// Its value, made for reading.
        value: String,
        /// A key that exists.
        nearest: Option<String>,
        /// All keys that could stand there.
        known: Box<[String]>,
    },
    /// A configuration key that stands in a file twice.
    DuplicateKey {
        /// Where it stands the second time.
        place: Place,
        /// The line where it stood first.
        first: usize,
    },
    /// A program that cannot be run.
    Program {
        /// Where it was named.
        place: Place,
        /// What is wrong with it.
        error: ProgramError,
        /// The engine that is asked with it, if it is that one.
        engine: Option<&'static str>,
    },
    /// Logs are to go to a file that has no name.
    NoLogFile {
        /// Where the name should be.
        place: Place,
    },
    /// A file that is to be read and cannot be.
    File {
        /// Where it was named.
        place: Place,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Options that do not go together.
    Combination {
        /// One of them.
        place: Place,
        /// What is wrong.
        problem: &'static str,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Default(name) => write!(f, "{name} (default)"),
            Place::Flag(flag) => write!(f, "{flag}"),
            Place::Variable(name) => {
                write!(f, "environment variable {}", printable(name, MAX_SHOWN))
            }
            Place::File { path, line, key } => {
                let key = printable(key, MAX_SHOWN);
                write!(f, "{}, line {line}: {key}", shown(path))
            }
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFlag { flag, nearest } => {
                write!(f, "unknown option {}", printable(flag, MAX_SHOWN))?;
                suggest(f, nearest.as_deref())?;
                write!(f, "; --help lists all")
            }
            Self::UnexpectedArgument { value } => write!(
                f,
                "unexpected argument \"{}\": every value belongs to an option",
                printable(value, MAX_SHOWN)
            ),
            Self::MissingValue { flag, takes } => write!(f, "{flag} has no value: it {takes}"),
            Self::UnwantedValue { flag, value } => write!(
                f,
                "{} takes no value, but got \"{}\"",
                printable(flag, MAX_SHOWN),
                printable(value, MAX_SHOWN)
            ),
            Self::CommandLine(error) => write!(f, "{}", printable(error, MAX_SHOWN)),
            Self::NotUnicode { place } => write!(f, "{place}: the value is not UTF-8"),
            Self::Value {
                place,
                value,
                problem,
            } => write!(f, "{place}: got {value}; it {problem}"),
            Self::Unreadable { path, reason } => {
                write!(
                    f,
                    "cannot read the configuration file {}: {reason}",
                    shown(path)
                )
            }
            Self::Syntax {
                path,
                line,
                column,
                reason,
            } => {
                let reason = printable(reason, MAX_SHOWN);
                write!(f, "{}, line {line}, column {column}: {reason}", shown(path))
            }
            Self::UnknownKey {
                place,
                value,
                nearest,
                known,
            } => {
                write!(f, "{place}: unknown key (got {value})")?;
                suggest(f, nearest.as_deref())?;
                write!(f, "; the keys here are {}", known.join(", "))
            }
            Self::DuplicateKey { place, first } => {
                write!(
                    f,
                    "{place}: the key is already set in line {first}; remove one of them"
                )
            }
            Self::Program {
                place,
                error,
                engine: Some(title),
            } => write!(
                f,
                "{place}: {error}: install {title} or name its program with --vast-binary"
            ),
            Self::Program {
                place,
                error,
                engine: None,
            } => write!(
                f,
                "{place}: {error}: install the program or correct the command"
            ),
            Self::NoLogFile { place } => {
                write!(
                    f,
                    "{place}: logging to a file is on, but the file has no name"
                )
            }
            Self::File {
                place,
                path,
                reason,
            } => write!(f, "{place}: cannot read {}: {reason}", shown(path)),
            Self::Combination { place, problem } => write!(f, "{place}: {problem}"),
        }
    }
}

fn suggest(f: &mut fmt::Formatter<'_>, nearest: Option<&str>) -> fmt::Result {
    match nearest {
        Some(name) => write!(f, "; did you mean {name}?"),
        None => Ok(()),
    }
}

impl std::error::Error for UsageError {}
