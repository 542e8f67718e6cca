//! The context transformation: a command that gets the matched event and prints its
//! replacement.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use thiserror::Error;

use crate::observe::logging::printable;
use crate::process::child::{self, ChildEnd, Limits};
use crate::process::command::CommandTemplate;
use crate::process::stop::Stop;
use crate::protocol::{Context, MatchType};

/// The time limit of one run.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The most bytes of a command's output.
const LONGEST_OUTPUT: usize = 16 << 20;

/// Why there is no transformed context.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct TransformError {
    reason: String,
    /// Whether the command was killed (SIGKILL), which says nothing about the context.
    was_killed: bool,
}

impl TransformError {
    /// A failure with this reason.
    pub fn new(reason: &str) -> Self {
        TransformError {
            reason: reason.to_owned(),
            was_killed: false,
        }
    }
}

/// Runs the command on one context, and once again if it was killed.
///
/// # Errors
/// The command cannot be started, exits with an error, takes too long, or
/// prints anything but one JSON value.
pub fn transform(
    template: &CommandTemplate,
    context: &Context<'_>,
    ioc: &str,
    match_type: MatchType,
    stop: &Stop,
) -> Result<Context<'static>, TransformError> {
    let run = || run_command(template, context, ioc, match_type, stop);
    let output = match run() {
        Err(failure) if failure.was_killed => run()?,
        result => result?,
    };
    Context::from_command(output).map_err(|error| TransformError::new(&error.to_string()))
}

/// Runs a command for one sighting, with the context on its standard input; returns its
/// output.
///
/// # Errors
/// The command cannot be started, exits with an error or takes too long.
pub fn run_command(
    template: &CommandTemplate,
    context: &Context<'_>,
    ioc: &str,
    match_type: MatchType,
    stop: &Stop,
) -> Result<Vec<u8>, TransformError> {
    let limits = Limits {
        time: Some(TIME_LIMIT),
        stop,
    };
    run_within(limits, template, context, ioc, match_type)
}

fn run_within(
    limits: Limits<'_>,
    template: &CommandTemplate,
    context: &Context<'_>,
    ioc: &str,
    match_type: MatchType,
) -> Result<Vec<u8>, TransformError> {
    let mut command = child::command(Path::new(template.program()));
    command.args(template.arguments(ioc, match_type.as_str()));
    let input = format!("{}\n", context.as_str());
    let (outcome, output) =
        child::run_to_end(&mut command, input.as_bytes(), limits, LONGEST_OUTPUT)
            .map_err(|error| TransformError::new(&format!("it cannot be run: {error}")))?;
    let mut was_killed = false;
    let reason = match outcome.end {
        ChildEnd::Exited(status) if status.success() => return Ok(output),
        ChildEnd::Exited(status) => {
            was_killed = status.signal() == Some(Signal::KILL.as_raw());
            let words = outcome.last_words();
            format!("{}, {}", child::describe(status), printable(&words, 500))
        }
        ChildEnd::TimedOut => format!(
            "it took longer than {:.1} s",
            limits.time.unwrap_or_default().as_secs_f64()
        ),
        ChildEnd::Stopped => "the program was stopped".to_owned(),
        ChildEnd::Enough => format!("it printed more than {LONGEST_OUTPUT} bytes"),
    };
    Err(TransformError { reason, was_killed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str, time: Duration) -> Result<Vec<u8>, TransformError> {
        let stop = Stop::new().expect("two socket pairs");
        let limits = Limits {
            time: Some(time),
            stop: &stop,
        };
        let template = CommandTemplate::parse(command).expect("a command");
        let context = Context::new("{}").expect("an object");
        run_within(limits, &template, &context, "a.example", MatchType::Live)
    }

    #[test]
    fn a_command_that_is_killed_is_asked_once_more() {
        let folder = tempfile::tempdir().expect("a directory");
        let mark = folder.path().join("mark");
        let mark = mark.to_str().expect("it is UTF-8");
        let stop = Stop::new().expect("two socket pairs");
        let ask = |command: &str| {
            let template = CommandTemplate::parse(command).expect("a command");
            let context = Context::new("{}").expect("an object");
            transform(&template, &context, "a.example", MatchType::Live, &stop)
        };
        let once = format!("sh -c 'if mkdir {mark}; then kill -9 $$; fi; cat'");
        assert_eq!(ask(&once).expect("an answer").as_str(), "{}");
        let always = ask("sh -c 'kill -9 $$'").expect_err("it is killed each time");
        assert!(always.to_string().contains("signal 9"), "{always}");
    }

    #[test]
    fn a_command_that_takes_too_long_is_a_failure() {
        let failure = run("sh -c 'cat; sleep 600'", Duration::from_millis(200));
        let failure = failure.expect_err("its time is over").to_string();
        assert_eq!(failure, "it took longer than 0.2 s");
    }

    #[test]
    fn output_without_end_is_a_failure() {
        let failure = run("yes %matchtype", TIME_LIMIT)
            .expect_err("too much")
            .to_string();
        assert_eq!(failure, "it printed more than 16777216 bytes");
    }

    #[test]
    fn a_command_that_cannot_be_run_is_a_failure() {
        let failure = run("/nonexistent/command", TIME_LIMIT).expect_err("no such file");
        assert!(failure.to_string().starts_with("it cannot be run: "));
    }
}
