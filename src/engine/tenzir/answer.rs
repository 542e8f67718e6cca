//! The output of a pipeline, and its outcome.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fields::FieldLine;
use super::layout::Layout;
use crate::engine::{EventLine, QueryOutcome};
use crate::observable::EventTime;
use crate::process::child::{self, ChildEnd, ChildOutcome};

/// One line of [`super::query::any_of`], or of [`super::query::new_events`].
#[derive(Debug, Deserialize)]
pub(super) struct Printed<'a> {
    /// The name of the event's schema.
    #[serde(default, borrow)]
    pub(super) schema: std::borrow::Cow<'a, str>,
    /// The event.
    #[serde(borrow)]
    pub(super) event: Option<&'a RawValue>,
    /// When the node stored the event, if requested.
    #[serde(default, borrow)]
    stored: Option<std::borrow::Cow<'a, str>>,
    /// A field that the node knows.
    pub(super) field: Option<FieldLine>,
    /// A layout of events that the node holds.
    pub(super) layout: Option<Layout>,
    /// The sign that the node is up.
    pub(super) heartbeat: Option<IgnoredAny>,
}

impl<'a> Printed<'a> {
    /// The event, or else the whole line, which the consumer will reject.
    pub(super) fn line(&'a self, whole: &'a str) -> EventLine<'a> {
        match self.event {
            Some(event) => EventLine {
                text: event.get(),
                schema: &self.schema,
                stored: self
                    .stored
                    .as_deref()
                    .and_then(EventTime::parse)
                    .map(|time| time.utc()),
                sent: None,
            },
            None => EventLine {
                text: whole,
                ..EventLine::default()
            },
        }
    }
}

/// Judges a pipeline that has ended.
pub(super) fn judge(outcome: &ChildOutcome) -> QueryOutcome {
    let status = match &outcome.end {
        ChildEnd::TimedOut => return QueryOutcome::TimedOut,
        ChildEnd::Stopped => return QueryOutcome::Stopped,
        ChildEnd::Enough => return QueryOutcome::Enough,
        ChildEnd::Exited(status) => *status,
    };
    if status.success() {
        return QueryOutcome::Complete;
    }
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    let reason = format!("{}: {}", child::describe(status), error(&stderr));
    let says = |sign: &str| stderr.contains(sign);
    if status.code() != Some(1) {
        QueryOutcome::Broken(reason)
    } else if says("failed to connect to node") {
        QueryOutcome::Unreachable(reason)
    // Errors at run time are preceded by a code.
    } else if says("!! ") || !says("error: ") {
        QueryOutcome::Broken(reason)
    } else {
        QueryOutcome::Refused(reason)
    }
}

/// The line with the error; an excerpt of the pipeline may follow it.
pub(super) fn error(stderr: &str) -> &str {
    let mut lines = stderr.lines().map(str::trim);
    let error = lines.clone().find(|line| line.starts_with("error: "));
    error
        .or_else(|| lines.rfind(|line| !line.is_empty()))
        .unwrap_or("nothing on standard error")
}

/// Whether program and node are incompatible (measured: 6.0 and 6.12 with a node of
/// 6.20).
pub(super) fn is_of_another_version(reason: &str) -> bool {
    ["unexpected_message", "malformed_message"]
        .iter()
        .any(|sign| reason.contains(sign))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn ended(wait: i32, stderr: &str) -> QueryOutcome {
        judge(&ChildOutcome {
            end: ChildEnd::Exited(ExitStatus::from_raw(wait)),
            stderr: stderr.as_bytes().to_vec(),
        })
    }

    #[test]
    fn exit_status_and_words_tell_what_happened() {
        assert_eq!(ended(0, "warning: x"), QueryOutcome::Complete);
        let away = "error: failed to connect to node: !! system_error: failed to connect to node \
            at 127.0.0.1:42999: !! cannot_connect_to_node: cannot connect to host";
        assert!(matches!(ended(1 << 8, away), QueryOutcome::Unreachable(_)));
        let syntax = "error: expected expression, got `|`\n --> <input>:1:1\n  |\n1 | | x\n";
        let refused = ended(1 << 8, syntax);
        let expected = "exit status 1: error: expected expression, got `|`";
        assert_eq!(refused, QueryOutcome::Refused(expected.to_owned()));
        for broken in [
            "error: !! broken_promise: lookup failed to retrieve events",
            "error: failed to spawn export bridge: !! malformed_message",
            "",
        ] {
            assert!(
                matches!(ended(1 << 8, broken), QueryOutcome::Broken(_)),
                "{broken}"
            );
        }
        // The crash with thousands of terms.
        assert!(
            matches!(ended(11, ""), QueryOutcome::Broken(reason) if reason.contains("signal 11"))
        );
        assert!(matches!(ended(139 << 8, ""), QueryOutcome::Broken(_)));
    }

    #[test]
    fn a_line_is_an_event_or_a_field() {
        let line = r#"{"schema":"zeek.dns","event":{"a": 1.50}}"#;
        let printed: Printed = serde_json::from_str(line).expect("a line");
        assert_eq!(printed.schema, "zeek.dns");
        assert_eq!(printed.event.expect("an event").get(), r#"{"a": 1.50}"#);
        let line = r#"{"field":{"schema":"s","path":["a","b"],"kind":"ip","lists":0}}"#;
        let printed: Printed = serde_json::from_str(line).expect("a line");
        assert!(printed.event.is_none() && printed.field.is_some());
    }
}
