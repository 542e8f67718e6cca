//! New events of Tenzir: one long-running child prints all of them, and they are matched
//! here.
//!
//! A `tenzir` whose node dies keeps running silently (measured). So the pipeline contains
//! a heartbeat of the node, and a connection is kept open that closes with the node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::{debug, warn};

use super::answer::{Printed, judge};
use super::client::{Client, SharedFields, log_warnings};
use super::node_connection::NodeConnection;
use super::query;
use crate::engine::LiveEngine;
use crate::engine::connect::ANSWER_TIME;
use crate::engine::lines::{LineCutter, Piece};
use crate::engine::live::{Ended, EventStream, LiveSource, StreamItem};
use crate::engine::{AnswerItem, EventLine, LiveOptions, QueryOutcome};
use crate::matching::{Concepts, FieldScope, FieldValue, Reached, UrlParts};
use crate::process::child::{ChildEnd, ChildOutcome, Flow, Limits};
use crate::process::stop::Stop;

/// How long the child may be silent: its heartbeat arrives every two or three seconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// How long before the last output events may have been stored that did not arrive: the
/// node delays them for a second, or for its configured time.
const HELD_BACK: Duration = Duration::from_secs(5);

/// How long a schema is not queried again if that gave nothing new.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The most schemas stored for that.
const MOST_ASKED: usize = 1000;

/// New events of this node.
///
/// # Errors
/// This engine does not support the requested way.
pub(super) fn source(client: &Client, options: &LiveOptions) -> Result<LiveSource, String> {
    match options.way {
        LiveEngine::Auto | LiveEngine::Continuous => {}
        LiveEngine::Attach | LiveEngine::Start => {
            return Err(
                "Tenzir has no matchers of that kind: its new events are exported and matched \
                 here (--live-engine continuous)"
                    .to_owned(),
            );
        }
    }
    Ok(LiveSource {
        stream: Box::new(NewEvents {
            client: client.clone(),
            in_vain: Mutex::default(),
        }),
        matcher: None,
        scope: Box::new(ByType {
            fields: client.shared_fields(),
        }),
        concepts: Concepts::shared(),
        knows_events: true,
    })
}

/// A value is searched in the fields of its type, as in queries.
#[derive(Debug)]
struct ByType {
    fields: SharedFields,
}

impl FieldScope for ByType {
    fn reaches(&self, place: &FieldValue<'_>) -> Reached {
        let fields = self.fields.get();
        let Some(types) = fields.known(place.schema, place.path) else {
            return Reached::Unknown;
        };
        let counts = if place.kind.is_of_addresses() {
            types.address
        } else {
            types.text
        };
        // A value that does not fit the known type: another layout of the schema.
        let is_news = || types.address && place.text.parse::<IpAddr>().is_err();
        if counts {
            Reached::Yes
        } else if !place.kind.is_of_addresses() && is_news() {
            Reached::Unknown
        } else {
            Reached::No
        }
    }

    fn url_parts(&self) -> Option<UrlParts> {
        Some(query::URL_PARTS)
    }
}

/// The export of all new events.
struct NewEvents {
    client: Client,
    /// When the fields were last queried for a schema without success.
    in_vain: Mutex<HashMap<String, Instant>>,
}

impl EventStream for NewEvents {
    fn run(&self, stop: &Stop, consume: &mut dyn FnMut(AnswerItem<'_>)) -> Ended {
        let node = match NodeConnection::hold(self.client.endpoint()) {
            Ok(node) => node,
            Err(reason) => return Ended::lost(reason),
        };
        let mut running = RunningStream::new(node);
        let limits = Limits { time: None, stop };
        let pipeline = query::new_events();
        let result = self
            .client
            .run_pipeline(&pipeline, limits, |bytes| running.take(bytes, consume));
        match result {
            Ok(outcome) => running.conclude(&outcome),
            Err(error) => Ended::lost(format!("it cannot be run: {error}")),
        }
    }

    fn read<'a>(&self, line: &EventLine<'a>) -> Result<StreamItem<'a>, String> {
        match line.schema {
            "" => Err("it is no event with its schema".to_owned()),
            _ => Ok(StreamItem::Event(line.text)),
        }
    }

    fn name(&self) -> String {
        "export of new events from Tenzir".to_owned()
    }

    fn greets(&self) -> bool {
        true
    }

    fn learn(&self, schema: &str, stop: &Stop) -> bool {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if in_vain
            .get(schema)
            .is_some_and(|at| at.elapsed() < ASK_AGAIN)
        {
            return false;
        }
        let before = self.client.shared_fields().get();
        let read = self.client.read_fields(ANSWER_TIME, stop);
        if let Err(reason) = &read {
            warn!(
                "Tenzir does not report the fields of a new event: {reason}; a value of an \
                 indicator counts there whatever its type"
            );
        }
        if before != self.client.shared_fields().get() {
            debug!("Tenzir: an event had a field that was new; the fields are read again");
            in_vain.remove(schema);
            return true;
        }
        if in_vain.len() >= MOST_ASKED {
            in_vain.clear();
        }
        in_vain.insert(schema.to_owned(), Instant::now());
        false
    }
}

/// A child that prints new events.
struct RunningStream {
    node: NodeConnection,
    lines: LineCutter,
    /// When it last printed something, by both clocks.
    heard: Instant,
    heard_at: SystemTime,
    /// How long before that the last event had been stored: the node queues events for a
    /// slow reader.
    lag: Duration,
    any: bool,
    gone: Option<String>,
}

impl RunningStream {
    fn new(node: NodeConnection) -> Self {
        RunningStream {
            node,
            lines: LineCutter::default(),
            heard: Instant::now(),
            heard_at: SystemTime::now(),
            lag: Duration::ZERO,
            any: false,
            gone: None,
        }
    }

    fn take(&mut self, bytes: &[u8], consume: &mut dyn FnMut(AnswerItem<'_>)) -> Flow {
        if bytes.is_empty() {
            return self.look_after_node();
        }
        self.any = true;
        let mut stored = None;
        let mut consume = |event: AnswerItem<'_>| {
            if let AnswerItem::Line(line) = &event {
                stored = line.stored.or(stored);
            }
            consume(event);
        };
        self.lines
            .push(bytes, |piece| take_piece(&piece, &mut consume));
        consume(AnswerItem::Pause);
        // Now and not earlier, since processing events takes time.
        (self.heard, self.heard_at) = (Instant::now(), SystemTime::now());
        if let Some(stored) = stored {
            let lag = self.heard_at.duration_since(stored.into());
            self.lag = lag.unwrap_or_default();
        }
        Flow::Continue
    }

    fn look_after_node(&mut self) -> Flow {
        if !self.node.holds() {
            self.gone = Some("the node went away".to_owned());
        } else if self.heard.elapsed() >= LONGEST_SILENCE {
            self.gone = Some(format!(
                "no sign of life of the node for {} s",
                self.heard.elapsed().as_secs()
            ));
        }
        match self.gone {
            Some(_) => Flow::Enough,
            None => Flow::Continue,
        }
    }

    fn conclude(self, outcome: &ChildOutcome) -> Ended {
        let reason = match (self.gone, &outcome.end) {
            (_, ChildEnd::Stopped) => return Ended::Stopped,
            (Some(reason), _) => reason,
            (None, ChildEnd::TimedOut | ChildEnd::Enough) => "it was ended".to_owned(),
            (None, ChildEnd::Exited(_)) => {
                log_warnings(outcome);
                match judge(outcome) {
                    QueryOutcome::Refused(reason) if !self.any => return Ended::Refused(reason),
                    QueryOutcome::Refused(reason)
                    | QueryOutcome::Unreachable(reason)
                    | QueryOutcome::Broken(reason) => reason,
                    _ => "by itself".to_owned(),
                }
            }
        };
        Ended::Lost {
            reason,
            since: self.heard_at - self.lag - HELD_BACK,
        }
    }
}

/// Passes on an event; a heartbeat only counts as output.
fn take_piece(piece: &Piece<'_>, consume: &mut dyn FnMut(AnswerItem<'_>)) {
    let line = match piece {
        Piece::Line(line) => String::from_utf8_lossy(line),
        Piece::TooLong(_) => return piece.hand_out(consume),
    };
    match serde_json::from_str::<Printed<'_>>(&line) {
        Ok(printed) if printed.heartbeat.is_some() => {}
        Ok(printed) => consume(AnswerItem::Line(printed.line(&line))),
        // The consumer reports that.
        Err(_) => consume(AnswerItem::Line(EventLine {
            text: &line,
            ..EventLine::default()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tenzir::fields::tests::field;
    use crate::observable::{Kind, Property};

    #[test]
    fn a_value_counts_in_fields_of_its_type_and_what_is_not_known_is_news() {
        let fields = SharedFields::default();
        let known = [
            ("src_ip", "ip"),
            ("host", "string"),
            ("ts", "time"),
            ("port", "uint64"),
        ];
        fields.learn(known.map(|(path, kind)| field("s", path, kind)).to_vec());
        let scope = ByType { fields };
        let reached = |schema, path, kind, text| {
            scope.reaches(&FieldValue {
                schema,
                event_type: None,
                path,
                kind,
                text,
            })
        };
        let hash = Kind::Text(Property::Md5);
        assert_eq!(reached("s", "src_ip", Kind::Network, ""), Reached::Yes);
        assert_eq!(reached("s", "host", Kind::Address, ""), Reached::No);
        assert_eq!(reached("s", "host", Kind::Url, "x"), Reached::Yes);
        assert_eq!(
            reached("s", "src_ip", Kind::Domain, "192.0.2.1"),
            Reached::No
        );
        // Not an address: the schema has a new layout.
        assert_eq!(reached("s", "src_ip", hash, "x"), Reached::Unknown);
        assert_eq!(reached("s", "ts", Kind::Domain, "x"), Reached::No);
        assert_eq!(reached("s", "port", Kind::Domain, "x"), Reached::Unknown);
        assert_eq!(reached("s", "new", Kind::Address, ""), Reached::Unknown);
        assert_eq!(reached("new", "host", Kind::Domain, "x"), Reached::Unknown);
    }

    /// How a line is passed on.
    fn taken(line: &str) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        take_piece(&Piece::Line(line.as_bytes()), &mut |event| match event {
            AnswerItem::Line(line) => lines.push((line.schema.to_owned(), line.text.to_owned())),
            AnswerItem::TooLong(_) | AnswerItem::Pause => {}
        });
        lines
    }

    #[test]
    fn a_gap_begins_with_what_was_stored_and_not_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let node = NodeConnection::hold(&address.parse().expect("an endpoint"));
        let mut running = RunningStream::new(node.expect("someone listens"));
        let stored = time::OffsetDateTime::now_utc() - Duration::from_secs(3600);
        let stored = crate::observable::stix_time(stored);
        let event = format!("{{\"schema\":\"s\",\"stored\":\"{stored}\",\"event\":{{}}}}\n");
        running.take(event.as_bytes(), &mut |_| {});
        running.take(b"{\"heartbeat\":1}\n", &mut |_| {});
        assert_eq!(running.take(b"", &mut |_| {}), Flow::Continue);
        let outcome = ChildOutcome {
            end: ChildEnd::Enough,
            stderr: Vec::new(),
        };
        let Ended::Lost { since, .. } = running.conclude(&outcome) else {
            panic!("it is lost");
        };
        let ago = SystemTime::now()
            .duration_since(since)
            .expect("in the past");
        assert!((3605..3700).contains(&ago.as_secs()), "{ago:?}");
    }

    #[test]
    fn heartbeats_are_no_events_and_what_is_neither_is_refused_by_the_reader() {
        let of = |schema: &str, text: &str| vec![(schema.to_owned(), text.to_owned())];
        let event = r#"{"schema":"zeek.dns","event":{"heartbeat":1}}"#;
        assert_eq!(taken(event), of("zeek.dns", r#"{"heartbeat":1}"#));
        assert!(taken(r#"{"heartbeat":"2026-01-01T00:00:00Z"}"#).is_empty());
        assert_eq!(taken("nonsense"), of("", "nonsense"));
        assert_eq!(taken("{}"), of("", "{}"));
    }
}
