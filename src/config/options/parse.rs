//! From the command line to assignments of values to options.

use std::ffi::OsString;

use lexopt::Arg;

use super::{Action, GeneratedText, OPTIONS, Opt, OptionKind, RawValue, version};
use crate::config::{Origin, UsageError, nearest};

/// A value for an option, and where it was given.
#[derive(Clone)]
pub struct Assignment {
    /// The option, an entry of [`OPTIONS`].
    pub option: &'static Opt,
    /// Its value.
    pub given: RawValue,
    /// Where it was given.
    pub place: Origin,
}

/// What a command line requests.
pub enum CommandLine {
    /// To run, with these values, in the order of the command line.
    Assignments(Vec<Assignment>),
    /// To print this and end.
    Print(String),
}

/// Parses the arguments.
///
/// # Errors
///
/// Unknown flags, missing values, and values for flags that accept none. Values are not
/// validated here.
pub fn parse_command_line(
    args: impl IntoIterator<Item = OsString>,
) -> Result<CommandLine, UsageError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut assignments = Vec::new();
    loop {
        let flag = match parser.next() {
            Ok(None) => return Ok(CommandLine::Assignments(assignments)),
            Ok(Some(Arg::Long(name))) => find_long(name)?,
            Ok(Some(Arg::Short(letter))) => find_short(letter)?,
            Ok(Some(Arg::Value(value))) => {
                let value = value.to_string_lossy().into_owned();
                return Err(UsageError::UnexpectedArgument { value });
            }
            Err(lexopt::Error::UnexpectedValue { option, value }) => {
                let value = value.to_string_lossy().into_owned();
                return Err(UsageError::UnwantedValue {
                    flag: option,
                    value,
                });
            }
            Err(error) => return Err(UsageError::CommandLine(error.to_string())),
        };
        if let OptionKind::Action(action) = flag.option.kind {
            return perform(action, &flag, &mut parser).map(CommandLine::Print);
        }
        let values = match flag.switch_to {
            Some(state) => vec![state.to_string()],
            None if matches!(flag.option.kind, OptionKind::Files(_)) => {
                values_of(&flag, &mut parser)?
            }
            None => vec![value_of(&flag, &mut parser)?],
        };
        assignments.extend(values.into_iter().map(|value| Assignment {
            given: RawValue::untyped(value),
            option: flag.option,
            place: Origin::Flag(flag.as_written.clone()),
        }));
    }
}

/// A flag on a command line.
struct Flag {
    option: &'static Opt,
    as_written: String,
    switch_to: Option<bool>,
}

fn find_long(name: &str) -> Result<Flag, UsageError> {
    let as_written = format!("--{name}");
    let known = |name: &str| OPTIONS.iter().find(|option| option.long() == Some(name));
    if let Some(option) = known(name) {
        let switch_to = option.is_switch().then_some(true);
        return Ok(Flag {
            option,
            as_written,
            switch_to,
        });
    }
    match name.strip_prefix("no-").and_then(known) {
        Some(option) if option.is_switch() => {
            let switch_to = Some(false);
            Ok(Flag {
                option,
                as_written,
                switch_to,
            })
        }
        _ => Err(unknown_flag(as_written)),
    }
}

fn find_short(letter: char) -> Result<Flag, UsageError> {
    let as_written = format!("-{letter}");
    match OPTIONS.iter().find(|option| option.short == Some(letter)) {
        Some(option) => {
            let switch_to = option.is_switch().then_some(true);
            Ok(Flag {
                option,
                as_written,
                switch_to,
            })
        }
        None => Err(unknown_flag(as_written)),
    }
}

fn unknown_flag(flag: String) -> UsageError {
    let shown = OPTIONS
        .iter()
        .filter(|option| option.section != super::Section::Hidden);
    let flags = shown.flat_map(|option| {
        let long = option.long().map(|name| format!("--{name}"));
        let negated = option.long().filter(|_| option.is_switch());
        long.into_iter()
            .chain(negated.map(|name| format!("--no-{name}")))
    });
    let nearest = flag.strip_prefix("--").and_then(|_| nearest(&flag, flags));
    UsageError::UnknownFlag { flag, nearest }
}

fn value_of(flag: &Flag, parser: &mut lexopt::Parser) -> Result<String, UsageError> {
    let flag_name = || flag.as_written.clone();
    let value = parser.value().map_err(|_| UsageError::MissingValue {
        flag: flag_name(),
        accepts: flag.option.accepts(),
    })?;
    value.into_string().map_err(|_| UsageError::NotUnicode {
        place: Origin::Flag(flag_name()),
    })
}

/// All values up to the next flag, at least one.
fn values_of(flag: &Flag, parser: &mut lexopt::Parser) -> Result<Vec<String>, UsageError> {
    let mut values = vec![value_of(flag, parser)?];
    let more = parser.values().into_iter().flatten();
    for value in more {
        let value = value.into_string().map_err(|_| UsageError::NotUnicode {
            place: Origin::Flag(flag.as_written.clone()),
        })?;
        values.push(value);
    }
    Ok(values)
}

fn perform(action: Action, flag: &Flag, parser: &mut lexopt::Parser) -> Result<String, UsageError> {
    match action {
        Action::Help if flag.as_written == "-h" => Ok(GeneratedText::ShortHelp.generate()),
        Action::Help => Ok(GeneratedText::LongHelp.generate()),
        Action::Version => Ok(version() + "\n"),
        Action::Generate => {
            let value = value_of(flag, parser)?;
            match GeneratedText::ALL.iter().find(|text| text.name() == value) {
                Some(text) => Ok(text.generate()),
                None => Err(UsageError::Value {
                    place: Origin::Flag(flag.as_written.clone()),
                    value: RawValue::untyped(value).describe(),
                    problem: flag.option.accepts(),
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<CommandLine, UsageError> {
        parse_command_line(line.split_whitespace().map(OsString::from))
    }

    /// The name, value and flag of each assignment of a line.
    fn read(line: &str) -> Vec<(String, String, Origin)> {
        match parse(line).expect(line) {
            CommandLine::Assignments(all) => all
                .into_iter()
                .map(|a| (a.option.title(), a.given.text, a.place))
                .collect(),
            CommandLine::Print(text) => panic!("it printed {text}"),
        }
    }

    fn error(line: &str) -> UsageError {
        match parse(line) {
            Err(error) => error,
            Ok(_) => panic!("{line:?} was taken"),
        }
    }

    fn row(title: &str, value: &str, flag: &str) -> (String, String, Origin) {
        (title.into(), value.into(), Origin::Flag(flag.into()))
    }

    #[test]
    fn values_come_in_every_usual_form() {
        assert_eq!(
            read("-s1 -s 2 -s=3 --snapshot 4 --snapshot=5"),
            [
                row("--snapshot", "1", "-s"),
                row("--snapshot", "2", "-s"),
                row("--snapshot", "3", "-s"),
                row("--snapshot", "4", "--snapshot"),
                row("--snapshot", "5", "--snapshot"),
            ]
        );
    }

    #[test]
    fn switches_can_be_undone() {
        assert_eq!(
            read("--retro-match --no-retro-match"),
            [
                row("--retro-match", "true", "--retro-match"),
                row("--retro-match", "false", "--no-retro-match"),
            ]
        );
    }

    #[test]
    fn errors_name_the_flag_and_the_one_that_was_meant() {
        for (line, message) in [
            (
                "--retro-mach",
                "unknown option --retro-mach; did you mean --retro-match?",
            ),
            (
                "--no-unflaten",
                "unknown option --no-unflaten; did you mean --no-unflatten?",
            ),
            (
                "--no-snapshot",
                "unknown option --no-snapshot; did you mean --snapshot?",
            ),
            (
                "--frobnicate",
                "unknown option --frobnicate; --help lists all",
            ),
            ("-x", "unknown option -x; --help lists all"),
            (
                "extra",
                "unexpected argument \"extra\": every value belongs to an option",
            ),
            (
                "--snapshot",
                "--snapshot needs a value: it accepts a whole number from 0 to 3650",
            ),
            (
                "--unflatten=yes",
                "--unflatten accepts no value, but got \"yes\"",
            ),
            (
                "--generate x",
                "--generate: got \"x\"; it accepts one of man, complete-bash, complete-zsh, \
                 complete-fish, config-example, options-markdown",
            ),
        ] {
            assert_eq!(error(line).to_string(), message);
        }
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_an_error() {
        let args = ["--sink".into(), OsString::from_vec(vec![0xff])];
        let place = Origin::Flag("--sink".into());
        let error = parse_command_line(args).err();
        assert_eq!(error, Some(UsageError::NotUnicode { place }));
    }

    proptest! {
        #[test]
        fn no_command_line_makes_it_panic(args in proptest::collection::vec(any::<Vec<u8>>(), 0..5)) {
            let args = args.into_iter().map(OsString::from_vec);
            if let Err(error) = parse_command_line(args) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }

        #[test]
        fn no_near_flag_makes_it_panic(line in "(-{1,2}[a-z-]{0,12}[= ]?[a-z0-9]{0,3} ?){0,4}") {
            if let Err(error) = parse(&line) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
