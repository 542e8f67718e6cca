//! Live matching with VAST: its matcher plugin in both generations, or else the export of
//! every new event.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::judge;
use super::client::Client;
use crate::engine::lines::LineCutter;
use crate::engine::live::{Ended, EventStream, Match, RemoteMatcher, StreamItem, UpdateOutcome};
use crate::engine::{AnswerItem, EventLine, QueryOutcome};
use crate::matching::Concepts;
use crate::observable::EventTime;
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::process::child::{self, ChildEnd, Flow, Limits};
use crate::process::stop::Stop;

/// The time limit of a call that updates the matcher. Such calls take about 25 ms, and
/// hang if the node hangs.
const TELL_TIME: Duration = Duration::from_secs(60);

/// The time limit of a call that needs no node.
const ASK_TIME: Duration = Duration::from_secs(10);

/// The most bytes read from the output of such a call.
const MOST_ANSWER: usize = 16 << 20;

/// The most indicators per `import`.
const MOST_IMPORTED: usize = 10_000;

/// The longest value in bytes for a command line. One argument of a process can have 128
/// KiB.
const LONGEST_ARGUMENT: usize = 100_000;

/// The prefix of the id in a matcher's reference.
const REFERENCE: &str = "threatbus__";

/// Matches every event.
const EVERY_EVENT: &str = "#type ~ /.*/";

/// How this program gets the matches in new events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// `matcher attach json NAME`: a matcher that the node runs (2021.08 to 3.x).
    Attach(String),
    /// `matcher start --name=NAME`: a matcher that this program starts (2020).
    Start(String),
    /// `export --continuous`: every new event is matched here.
    Continuous,
}

/// The generations of the matcher plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// `matcher attach`.
    Attach,
    /// `matcher start`.
    Start,
    /// No such plugin.
    None,
}

impl Client {
    /// Finds out which matcher the program supports. An unknown command exits with 1 and
    /// the usage text.
    pub fn matcher_generation(&self, stop: &Stop) -> Generation {
        let knows = |word: &str| {
            let mut command = self.command();
            command.args(["matcher", word, "--help"]);
            let limits = Limits {
                time: Some(ASK_TIME),
                stop,
            };
            let output = child::run_to_end(&mut command, std::io::empty(), limits, MOST_ANSWER);
            output.is_ok_and(
                |(outcome, _)| matches!(outcome.end, ChildEnd::Exited(status) if status.success()),
            )
        };
        if knows("attach") {
            Generation::Attach
        } else if knows("start") {
            Generation::Start
        } else {
            Generation::None
        }
    }

    /// The engine's own table of concepts.
    ///
    /// # Errors
    /// The human-readable reason why it has none, or none that can be used.
    pub fn read_concepts(&self, stop: &Stop) -> Result<Concepts, String> {
        let mut command = self.node_command();
        command.args(["dump", "concepts"]);
        let limits = Limits {
            time: Some(ASK_TIME),
            stop,
        };
        let (outcome, output) =
            child::run_to_end(&mut command, std::io::empty(), limits, MOST_ANSWER)
                .map_err(|error| error.to_string())?;
        match outcome.end {
            ChildEnd::Exited(status) if status.success() => {
                Concepts::parse(&String::from_utf8_lossy(&output))
                    .map_err(|error| error.to_string())
            }
            ChildEnd::Exited(status) => Err(child::describe(status)),
            ChildEnd::TimedOut | ChildEnd::Stopped | ChildEnd::Enough => {
                Err("no answer".to_owned())
            }
        }
    }
}

/// VAST as a source of matches or of events.
pub struct Watch {
    client: Client,
    how: How,
}

impl Watch {
    /// Makes a source that is not running yet.
    pub fn new(client: Client, how: How) -> Self {
        Watch { client, how }
    }
}

impl EventStream for Watch {
    fn run(&self, stop: &Stop, consume: &mut dyn FnMut(AnswerItem<'_>)) -> Ended {
        let mut command = self.client.node_command();
        match &self.how {
            How::Attach(name) => command.args(["matcher", "attach", "json", name]),
            How::Start(name) => command.args(["matcher", "start", &format!("--name={name}")]),
            How::Continuous => command.args([
                "export",
                "--continuous",
                "--caf.scheduler.max-threads=1",
                "json",
                EVERY_EVENT,
            ]),
        };
        let limits = Limits { time: None, stop };
        let mut lines = LineCutter::default();
        let mut any = false;
        let result = child::run(&mut command, std::io::empty(), limits, |bytes| {
            any = true;
            lines.push(bytes, |piece| piece.hand_out(&mut *consume));
            consume(AnswerItem::Pause);
            Flow::Continue
        });
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => return Ended::lost(format!("it cannot be run: {error}")),
        };
        let ChildEnd::Exited(status) = outcome.end else {
            return Ended::Stopped;
        };
        let reason = format!("{}: {}", child::describe(status), outcome.last_words());
        let is_away = matches!(judge(&outcome, 0), QueryOutcome::Unreachable(_));
        // An unknown command, or an unknown matcher: the node is up.
        let refused = status.code() == Some(1) && !any && !is_away;
        if refused && self.client.ping(stop).is_ok() {
            Ended::Refused(format!(
                "{reason}; is it a matcher that the node runs (--matcher-name), or another kind \
             of VAST (--live-engine)?"
            ))
        } else {
            Ended::lost(reason)
        }
    }

    fn read<'a>(&self, line: &EventLine<'a>) -> Result<StreamItem<'a>, String> {
        match self.how {
            How::Continuous => Ok(StreamItem::Event(line.text)),
            How::Attach(_) | How::Start(_) => read_match(line.text).map(StreamItem::Match),
        }
    }

    fn name(&self) -> String {
        match &self.how {
            How::Attach(name) => format!("matcher {} of VAST", printable(name, 200)),
            How::Start(name) => format!("matcher {} in VAST", printable(name, 200)),
            How::Continuous => "export of new events from VAST".to_owned(),
        }
    }
}

/// What both generations print. 2020: `ioc` (later `value`), `reference`, `ts`, and
/// possibly `context`; 2021.08: `indicator`, `event`.
#[derive(Deserialize)]
struct Printed<'a> {
    #[serde(borrow)]
    ioc: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    indicator: Option<PrintedIndicator<'a>>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PrintedIndicator<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
}

/// Reads a sighting of either generation of the matcher.
///
/// # Errors
/// The human-readable reason why it is not one.
pub fn read_match(line: &str) -> Result<Match<'_>, String> {
    let printed: Printed<'_> =
        serde_json::from_str(line).map_err(|error| format!("no sighting of a matcher: {error}"))?;
    let is_object = |json: &&RawValue| json.get().starts_with('{');
    let (value, reference, context) = match &printed.indicator {
        Some(indicator) => {
            let reference = indicator.context.and_then(text);
            (indicator.value, reference, printed.event.filter(is_object))
        }
        None => (
            printed.ioc.or(printed.value),
            printed.reference,
            printed.context.filter(is_object),
        ),
    };
    let value = value.and_then(text);
    let id = reference.as_deref().and_then(id_of);
    if value.is_none() && id.is_none() {
        return Err("no sighting of a matcher: it has neither value nor reference".to_owned());
    }
    let time = printed.ts.and_then(text);
    Ok(Match {
        value,
        id,
        context: context.map_or(Cow::Borrowed("{}"), |json| Cow::Borrowed(json.get())),
        time: time.as_deref().and_then(EventTime::parse),
    })
}

/// The text of a JSON string, or any other value but null unchanged.
fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    match json.get() {
        "null" => None,
        quoted if quoted.starts_with('"') => {
            serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
        }
        other => Some(Cow::Borrowed(other)),
    }
}

/// The id in `threatbus__ID`, which may be quoted.
fn id_of(reference: &str) -> Option<Arc<str>> {
    let unquoted = serde_json::from_str::<String>(reference);
    let reference = unquoted.as_deref().unwrap_or(reference);
    reference.strip_prefix(REFERENCE).map(Arc::from)
}

/// Updates VAST's matcher.
pub struct VastMatcher {
    client: Client,
    how: How,
}

impl VastMatcher {
    /// `None` without a matcher.
    pub fn new(client: Client, how: How) -> Option<Self> {
        (how != How::Continuous).then_some(VastMatcher { client, how })
    }

    fn tell(&self, arguments: &[&str], input: &[u8], stop: &Stop) -> UpdateOutcome {
        let mut command = self.client.node_command();
        command.args(arguments);
        let limits = Limits {
            time: Some(TELL_TIME),
            stop,
        };
        let outcome = match child::run(&mut command, input, limits, |_| Flow::Continue) {
            Ok(outcome) => outcome,
            Err(error) => return UpdateOutcome::Refused(format!("it cannot be run: {error}")),
        };
        let reason = match &outcome.end {
            ChildEnd::Exited(status) if status.success() => return UpdateOutcome::Done,
            ChildEnd::Exited(status) => {
                format!("{}: {}", child::describe(*status), outcome.last_words())
            }
            ChildEnd::TimedOut => format!("no answer in {} s", TELL_TIME.as_secs()),
            ChildEnd::Stopped | ChildEnd::Enough => return UpdateOutcome::Stopped,
        };
        match self.client.ping(stop) {
            _ if stop.is_now() => UpdateOutcome::Stopped,
            Ok(()) => UpdateOutcome::Refused(reason),
            Err(_) => UpdateOutcome::Unreachable(reason),
        }
    }
}

impl RemoteMatcher for VastMatcher {
    fn most_at_once(&self) -> usize {
        match self.how {
            How::Start(_) => MOST_IMPORTED,
            How::Attach(_) | How::Continuous => 1,
        }
    }

    fn add(&self, values: &[(Observable, Arc<str>)], stop: &Stop) -> UpdateOutcome {
        match &self.how {
            How::Start(_) => {
                let lines: String = values.iter().filter_map(import_line).collect();
                let call = ["import", "json", "--type=intel.indicator"];
                self.tell(&call, lines.as_bytes(), stop)
            }
            How::Attach(name) => {
                for (value, id) in values {
                    let (value, reference) = (value.to_string(), format!("{REFERENCE}{id}"));
                    let call = ["matcher", "add", name, &value, &reference];
                    match self.tell(&call, b"", stop) {
                        UpdateOutcome::Done => {}
                        other => return other,
                    }
                }
                UpdateOutcome::Done
            }
            How::Continuous => UpdateOutcome::Done,
        }
    }

    fn remove(&self, value: &Observable, stop: &Stop) -> UpdateOutcome {
        let text = value.to_string();
        match &self.how {
            How::Attach(name) => self.tell(&["matcher", "remove", name, &text], b"", stop),
            How::Start(name) => {
                let kind = intel_kind(value).unwrap_or("domain");
                let call = ["matcher", "ioc-remove", name, &text, kind];
                self.tell(&call, b"", stop)
            }
            How::Continuous => UpdateOutcome::Done,
        }
    }

    fn check(&self, value: &Observable, id: &str) -> Result<(), String> {
        let text = value.to_string();
        if text.starts_with('-') {
            return Err(
                "the command line of VAST's matcher reads a value with a leading `-` as an option"
                    .to_owned(),
            );
        }
        if text.len() > LONGEST_ARGUMENT || id.len() > LONGEST_ARGUMENT {
            return Err(format!(
                "it is longer than {LONGEST_ARGUMENT} bytes, the most that a command line can hold"
            ));
        }
        if text.contains('\0') || id.contains('\0') {
            return Err("it holds a NUL, which no command line can hold".to_owned());
        }
        let is_known = match self.how {
            How::Start(_) => intel_kind(value).is_some(),
            How::Attach(_) | How::Continuous => !matches!(value, Observable::Network(_)),
        };
        if !is_known {
            return Err(format!(
                "the matcher of this VAST knows no values of the kind {}",
                value.kind()
            ));
        }
        Ok(())
    }

    fn is_there(&self, stop: &Stop) -> bool {
        self.client.ping(stop).is_ok()
    }

    fn forgets(&self) -> bool {
        matches!(self.how, How::Start(_))
    }
}

/// The name of a value's kind in the generation of 2020.
fn intel_kind(value: &Observable) -> Option<&'static str> {
    match value {
        Observable::Address(address) if address.is_ipv6() => Some("ipv6"),
        Observable::Address(_) => Some("ip"),
        Observable::Domain(_) => Some("domain"),
        Observable::Url(_) => Some("url"),
        Observable::Endpoint(..)
        | Observable::Network(_)
        | Observable::Hash(_)
        | Observable::Text(..)
        | Observable::Subdomain(_)
        | Observable::Answer(_) => None,
    }
}

/// A line of `import json --type=intel.indicator`.
fn import_line((value, id): &(Observable, Arc<str>)) -> Option<String> {
    let line = serde_json::json!({
        "ioc": value.to_string(),
        "type": intel_kind(value)?,
        "reference": format!("{REFERENCE}{id}"),
    });
    Some(format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sightings_of_every_generation_are_read() {
        let match_2020 = r#"{"ts": "2020-11-26T12:34:56.5", "data_id": 8, "indicator_id": 5,
            "matcher": "m", "ioc": "evil.example", "reference": "threatbus__43"}"#;
        let read = read_match(match_2020).expect("a sighting");
        assert_eq!(read.value.as_deref(), Some("evil.example"));
        assert_eq!((read.id.as_deref(), &*read.context), (Some("43"), "{}"));
        let time = read.time.expect("a time");
        assert_eq!(time.as_stix(), "2020-11-26T12:34:56.500000Z");

        let of_2021_04 = match_2020.replace("\"ioc\"", "\"context\": {\"a\": 1}, \"value\"");
        let read = read_match(&of_2021_04).expect("a sighting");
        assert_eq!(read.value.as_deref(), Some("evil.example"));
        assert_eq!(&*read.context, "{\"a\": 1}");

        let match_2021_08 = r#"{"indicator": {"value": "1.2.3.4", "context": "\"threatbus__indicator--7\""},
            "type": "zeek.dns", "event": {"ts": "2020-11-26T12:34:56", "n": 1.50}}"#;
        let read = read_match(match_2021_08).expect("a sighting");
        assert_eq!(read.value.as_deref(), Some("1.2.3.4"));
        assert_eq!(read.id.as_deref(), Some("indicator--7"));
        assert_eq!(
            &*read.context,
            r#"{"ts": "2020-11-26T12:34:56", "n": 1.50}"#
        );
        assert!(read.time.is_none());

        let probabilistic = r#"{"indicator": {"value": 80, "context": null}, "event": {}}"#;
        let read = read_match(probabilistic).expect("a sighting");
        assert_eq!((read.value.as_deref(), read.id), (Some("80"), None));
        let other = r#"{"indicator": {"value": "x", "context": "\"somebody else's\""}}"#;
        assert_eq!(read_match(other).expect("a sighting").id, None);
    }

    #[test]
    fn what_is_not_a_sighting_is_an_error() {
        for (line, words) in [
            ("no json", "no sighting"),
            ("[]", "no sighting"),
            ("{}", "neither value nor reference"),
            (r#"{"indicator": {"value": null}}"#, "neither"),
        ] {
            let error = read_match(line).expect_err(line);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn an_indicator_is_imported_as_one_line_of_json() {
        for (value, expected) in [
            (
                Observable::address("1.2.3.4".parse().expect("valid")),
                r#"{"ioc":"1.2.3.4","reference":"threatbus__7","type":"ip"}"#,
            ),
            (
                Observable::address("2001:db8::1".parse().expect("valid")),
                r#"{"ioc":"2001:db8::1","reference":"threatbus__7","type":"ipv6"}"#,
            ),
            (
                Observable::domain("a\"\n"),
                r#"{"ioc":"a\"\n","reference":"threatbus__7","type":"domain"}"#,
            ),
        ] {
            let line = import_line(&(value, "7".into())).expect("a kind of 2020");
            assert_eq!(line, format!("{expected}\n"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in ".{0,200}") {
            let _ = read_match(&line);
            let _ = read_match(&serde_json::json!({"ioc": line, "reference": line}).to_string());
        }
    }
}
