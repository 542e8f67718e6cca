//! The command line: the arguments that the releases know, and their answers to others.

use std::path::PathBuf;

use crate::config::MatcherPlugin;
use crate::import::Format;
use crate::usage::Usage;
use crate::version::Version;

/// A command line that the release understands.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The value of `-e`, if given.
    pub endpoint: Option<String>,
    /// The command.
    pub command: Command,
}

/// What a call requests.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `version`
    Version,
    /// `status`
    Status,
    /// `dump concepts`
    DumpConcepts,
    /// A requested usage text
    Help(Usage),
    /// `export … json`
    Export(Export),
    /// `import suricata` or `import zeek`, from standard input
    Import(Format),
    /// `import json --type=intel.indicator`
    ImportIndicators,
    /// `matcher start --name=NAME`
    MatcherStart(String),
    /// `matcher ioc-remove NAME IOC TYPE`
    MatcherIocRemove(String, String),
    /// `matcher attach json NAME[,NAME…]`
    MatcherAttach(Vec<String>),
    /// `matcher add NAME VALUE [CONTEXT]`
    MatcherAdd(String, String, Option<String>),
    /// `matcher remove NAME VALUE`
    MatcherRemove(String, String),
}

/// `export … json`
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// `--max-events`
    pub max_events: Option<u64>,
    /// `--read`: a file, or `-` for standard input.
    pub read: Option<String>,
    /// `--continuous`
    pub continuous: bool,
    /// `json --flatten`
    pub flatten: bool,
    /// `json --write`
    pub write: Option<PathBuf>,
    /// The arguments after `json`.
    pub arguments: Vec<String>,
}

/// The features of the release.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// The release.
    pub version: &'a Version,
    /// The matcher plugin.
    pub matcher: MatcherPlugin,
    /// Whether there is a concept table to dump.
    pub concepts: bool,
}

/// The remaining arguments.
struct Arguments<'a> {
    rest: std::iter::Peekable<std::slice::Iter<'a, String>>,
    /// The answer to an option that is unknown at this place.
    usage: Usage,
}

/// Reads a command line (without the program's name).
///
/// # Errors
/// The usage text that the engine prints before it exits with 1.
pub fn parse(arguments: &[String], features: Features<'_>) -> Result<Call, Usage> {
    let mut arguments = Arguments {
        rest: arguments.iter().peekable(),
        usage: Usage::Root,
    };
    let mut endpoint = None;
    while let Some(option) = arguments.option() {
        if let Some(value) = arguments.value(option, "-e", "--endpoint")? {
            endpoint = Some(value);
        } else if option == "--help" || option == "-h" {
            let command = Command::Help(Usage::Root);
            return Ok(Call { endpoint, command });
        } else if !is_scheduler_option(option) {
            return Err(Usage::Root);
        }
    }
    let command = match arguments.word().ok_or(Usage::Root)? {
        "version" => arguments.end(Command::Version)?,
        "status" => arguments.end(Command::Status)?,
        "help" => Command::Help(Usage::Root),
        "export" => export(arguments, features)?,
        "dump" if features.concepts => match arguments.word() {
            Some("concepts") => arguments.end(Command::DumpConcepts)?,
            _ => return Err(Usage::Root),
        },
        "import" => import(arguments, features)?,
        "matcher" if features.matcher == MatcherPlugin::Start => matcher_start(arguments)?,
        "matcher" if features.matcher == MatcherPlugin::Attach => matcher_attach(arguments)?,
        _ => return Err(Usage::Root),
    };
    Ok(Call { endpoint, command })
}

impl<'a> Arguments<'a> {
    /// The next argument, if it begins like an option.
    fn option(&mut self) -> Option<&'a str> {
        self.rest
            .next_if(|argument| argument.starts_with('-'))
            .map(String::as_str)
    }

    /// The value of an option with a short and a long name: `-e V`, `-eV`,
    /// `--endpoint=V`.
    fn value(&mut self, option: &str, short: &str, long: &str) -> Result<Option<String>, Usage> {
        let attached = option
            .strip_prefix(long)
            .and_then(|rest| rest.strip_prefix('='));
        if let Some(value) = attached {
            return Ok(Some(value.to_string()));
        }
        match option.strip_prefix(short) {
            Some("") => match self.rest.next() {
                Some(value) => Ok(Some(value.clone())),
                None => Err(self.usage),
            },
            Some(value) => Ok(Some(value.to_string())),
            None => Ok(None),
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        self.rest.next().map(String::as_str)
    }

    /// All that is left; a leading dash makes an option of any of them.
    fn words(self) -> Result<Vec<String>, Usage> {
        let words: Vec<String> = self.rest.cloned().collect();
        if words.iter().any(|word| word.starts_with('-')) {
            Err(self.usage)
        } else {
            Ok(words)
        }
    }

    fn end(&mut self, command: Command) -> Result<Command, Usage> {
        match self.rest.peek() {
            None => Ok(command),
            Some(_) => Err(self.usage),
        }
    }
}

fn is_scheduler_option(option: &str) -> bool {
    option.starts_with("--caf.") && option.contains('=')
}

fn is_help(argument: &str) -> bool {
    matches!(argument, "help" | "--help" | "-h")
}

fn export(mut arguments: Arguments<'_>, features: Features<'_>) -> Result<Command, Usage> {
    let low_priority = features.version.has_low_priority();
    arguments.usage = Usage::Export { low_priority };
    let mut export = Export::default();
    while let Some(option) = arguments.option() {
        if let Some(value) = arguments.value(option, "-n", "--max-events")? {
            export.max_events = Some(value.parse().map_err(|_| arguments.usage)?);
        } else if let Some(value) = arguments.value(option, "-r", "--read")? {
            export.read = Some(value);
        } else if option == "-c" || option == "--continuous" {
            export.continuous = true;
        } else if is_help(option) {
            return Ok(Command::Help(arguments.usage));
        } else if !(low_priority && option == "--low-priority" || is_scheduler_option(option)) {
            return Err(arguments.usage);
        }
    }
    match arguments.word() {
        Some("json") => json(arguments, features, export),
        Some("help") => Ok(Command::Help(arguments.usage)),
        _ => Err(arguments.usage),
    }
}

fn json(
    mut arguments: Arguments<'_>,
    features: Features<'_>,
    mut export: Export,
) -> Result<Command, Usage> {
    let flatten = features.version.has_flatten();
    arguments.usage = Usage::Json { flatten };
    while let Some(option) = arguments.option() {
        if let Some(value) = arguments.value(option, "-w", "--write")? {
            export.write = Some(value.into());
        } else if flatten && option == "--flatten" {
            export.flatten = true;
        } else if is_help(option) {
            return Ok(Command::Help(arguments.usage));
        } else {
            return Err(arguments.usage);
        }
    }
    export.arguments = arguments.words()?;
    Ok(Command::Export(export))
}

fn import(mut arguments: Arguments<'_>, features: Features<'_>) -> Result<Command, Usage> {
    arguments.usage = Usage::Import;
    let takes_indicators = features.matcher == MatcherPlugin::Start;
    match (arguments.word(), arguments.option()) {
        (Some("suricata"), None) => arguments.end(Command::Import(Format::Suricata)),
        (Some("zeek"), None) => arguments.end(Command::Import(Format::Zeek)),
        (Some("json"), Some("--type=intel.indicator")) if takes_indicators => {
            arguments.end(Command::ImportIndicators)
        }
        _ => Err(Usage::Import),
    }
}

fn matcher_start(mut arguments: Arguments<'_>) -> Result<Command, Usage> {
    arguments.usage = Usage::MatcherStart;
    match arguments.word() {
        Some("start") => {
            let option = arguments.option().unwrap_or_default();
            match arguments.value(option, "-n", "--name")? {
                Some(name) => arguments.end(Command::MatcherStart(name)),
                None if is_help(option) => Ok(Command::Help(Usage::MatcherStart)),
                None => help_or_usage(arguments),
            }
        }
        Some("ioc-remove") => match arguments.words()?.as_slice() {
            [name, value, _] => Ok(Command::MatcherIocRemove(name.clone(), value.clone())),
            _ => Err(Usage::MatcherStart),
        },
        Some(word) if is_help(word) => Ok(Command::Help(Usage::MatcherStart)),
        _ => Err(Usage::MatcherStart),
    }
}

fn matcher_attach(mut arguments: Arguments<'_>) -> Result<Command, Usage> {
    arguments.usage = Usage::MatcherAttach;
    match arguments.word() {
        Some("attach") => match arguments.word() {
            Some("json") => match arguments.words()?.as_slice() {
                [names] if names != "help" => Ok(Command::MatcherAttach(
                    names.split(',').map(str::to_string).collect(),
                )),
                [_] => Ok(Command::Help(Usage::MatcherAttach)),
                _ => Err(Usage::MatcherAttach),
            },
            Some(word) if is_help(word) => Ok(Command::Help(Usage::MatcherAttach)),
            _ => Err(Usage::MatcherAttach),
        },
        Some("add") => match arguments.words()?.as_slice() {
            [name, value] => Ok(Command::MatcherAdd(name.clone(), value.clone(), None)),
            [name, value, context] => Ok(Command::MatcherAdd(
                name.clone(),
                value.clone(),
                Some(context.clone()),
            )),
            _ => Err(Usage::MatcherAttach),
        },
        Some("remove") => match arguments.words()?.as_slice() {
            [name, value] => Ok(Command::MatcherRemove(name.clone(), value.clone())),
            _ => Err(Usage::MatcherAttach),
        },
        Some(word) if is_help(word) => Ok(Command::Help(Usage::MatcherAttach)),
        _ => Err(Usage::MatcherAttach),
    }
}

fn help_or_usage(mut arguments: Arguments<'_>) -> Result<Command, Usage> {
    match arguments.word() {
        Some("help") => Ok(Command::Help(arguments.usage)),
        _ => Err(arguments.usage),
    }
}

#[cfg(test)]
mod tests;
