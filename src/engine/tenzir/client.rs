//! Running the `tenzir` command.

use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{debug, info, warn};
use serde::Deserialize;

use super::answer::{self, Printed, judge};
use super::fields::{FieldLine, TenzirFields};
use super::layout::Leaves;
use super::node_connection::NodeConnection;
use super::query;
use super::typed::Typed;
use super::{check, live};
use crate::engine::Finding;
use crate::engine::choice::QueryScope;
use crate::engine::connect::ANSWER_TIME;
use crate::engine::judge::Judge;
use crate::engine::lines::{LineCutter, Piece};
use crate::engine::live::LiveSource;
use crate::engine::once;
use crate::engine::{
    AnswerItem, Attribute, Engine, EventLine, LiveOptions, NotReady, QueryBounds, QueryOutcome,
    QueryTarget,
};
use crate::matching::Mode;
use crate::matching::places::Places;
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::process::child::{self, ChildOutcome, Flow, Limits, RunOptions};
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// The default port of a node.
const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(5158).expect("it is not 0");

/// The most bytes read of a node's description.
const MOST_SAID: usize = 64 << 20;

/// A `tenzir` may never react to SIGTERM (measured), so it is killed.
const KILLED_AT_ONCE: RunOptions = RunOptions {
    grace: Duration::ZERO,
    silence: None,
};

/// How long a child may be silent before the connection to its node is checked.
const SILENCE_OF_CHILD: Duration = Duration::from_secs(2);

/// After this many silences the node is probed: one that hangs keeps its connections.
const SILENCES_TO_PING: u32 = 5;

/// A `tenzir` program and the node that it queries.
#[derive(Clone, Debug)]
pub struct Client {
    binary: PathBuf,
    endpoint: Endpoint,
    version: Option<String>,
    scope: QueryScope,
    fields: SharedFields,
}

/// The fields known so far; initially empty.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedFields(Arc<Mutex<Arc<TenzirFields>>>);

impl SharedFields {
    /// The current fields.
    pub(super) fn get(&self) -> Arc<TenzirFields> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adds the layouts of all events.
    fn lay_out(&self, leaves: Leaves) {
        let mut fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = TenzirFields::clone(&fields);
        known.lay_out(leaves);
        *fields = Arc::new(known);
    }

    /// Adds new fields; returns whether there are new places to query.
    pub(super) fn learn(&self, new: Vec<FieldLine>) -> bool {
        let mut fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = TenzirFields::clone(&fields);
        for field in new {
            known.add(field);
        }
        let is_news = known.places() > fields.places();
        if is_news {
            debug!(
                "Tenzir: addresses are in {} field(s), text in {}",
                known.addresses().count(),
                known.texts().count()
            );
        }
        *fields = Arc::new(known);
        is_news
    }
}

/// What program and node report about themselves.
#[derive(Deserialize)]
struct About {
    version: String,
}

impl Client {
    /// Makes a client for the program, whose version was found without a node.
    pub fn new(binary: PathBuf, endpoint: Option<Endpoint>, version: Option<String>) -> Self {
        if version.is_none() {
            warn!(
                "`{} '{}'` does not report a version",
                binary.display(),
                query::VERSION
            );
        }
        Client {
            binary,
            endpoint: endpoint.unwrap_or_else(|| Endpoint::local(DEFAULT_PORT)),
            version,
            scope: QueryScope::default(),
            fields: SharedFields::default(),
        }
    }

    /// The same, with this scope of queries.
    pub fn going(self, scope: QueryScope) -> Self {
        Client { scope, ..self }
    }

    /// A child that queries the node and does not retry: by default it would for five
    /// minutes.
    pub(super) fn node_command(&self) -> Command {
        let mut command = command(&self.binary);
        command.args(["-e", &self.endpoint.to_string()]);
        command.args(["--connection-timeout=2s", "--connection-retry-delay=0s"]);
        command
    }

    /// Runs a short pipeline and returns its whole output.
    fn ask(&self, pipeline: &str, time: Duration, stop: &Stop) -> Result<Vec<u8>, String> {
        let mut command = self.node_command();
        command.arg(pipeline);
        let limits = Limits {
            time: Some(time),
            stop,
        };
        let mut output = Vec::new();
        let outcome = child::run_in(
            KILLED_AT_ONCE,
            &mut command,
            std::io::empty(),
            limits,
            |piece| {
                output.extend_from_slice(piece);
                if output.len() > MOST_SAID {
                    Flow::Enough
                } else {
                    Flow::Continue
                }
            },
        );
        let outcome = outcome.map_err(|error| format!("it cannot be run: {error}"))?;
        match judge(&outcome) {
            QueryOutcome::Complete => Ok(output),
            QueryOutcome::Refused(reason)
            | QueryOutcome::Unreachable(reason)
            | QueryOutcome::Broken(reason) => Err(printable(&reason, 300).to_string()),
            QueryOutcome::TimedOut => Err(format!("no answer in {:.1} s", time.as_secs_f64())),
            QueryOutcome::Enough => Err("its answer is larger than can be read".to_owned()),
            QueryOutcome::Stopped | QueryOutcome::Unconfirmed | QueryOutcome::Outdated => {
                Err("the program stops".to_owned())
            }
        }
    }

    /// The version of the node, which shows that it responds.
    fn ping(&self, time: Duration, stop: &Stop) -> Result<String, String> {
        // Without a node, the program takes longer to report that.
        NodeConnection::hold(&self.endpoint)?;
        let output = self.ask(query::PING, time, stop)?;
        let about: About = serde_json::from_slice(&output)
            .map_err(|error| format!("the node's answer cannot be read ({error})"))?;
        Ok(about.version)
    }

    /// The program, as it was given.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The program's version, if it reports one.
    pub(super) fn release(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Where the node listens.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The fields, which change as they become known.
    pub(super) fn shared_fields(&self) -> SharedFields {
        self.fields.clone()
    }

    /// Loads the fields of the node's events.
    ///
    /// # Errors
    /// The human-readable reason for a failure.
    pub(super) fn read_fields(&self, time: Duration, stop: &Stop) -> Result<(), String> {
        let pipeline = match self.scope.mode {
            Mode::Exact => query::fields(),
            Mode::Standard | Mode::Thorough => query::layouts(),
        };
        let output = self.ask(&pipeline, time, stop)?;
        let mut fields = Vec::new();
        let mut leaves = Leaves::default();
        for line in String::from_utf8_lossy(&output).lines() {
            let printed: Printed<'_> = serde_json::from_str(line)
                .map_err(|error| format!("its list of fields cannot be read: {error}"))?;
            fields.extend(printed.field);
            printed.layout.iter().for_each(|layout| leaves.add(layout));
        }
        self.fields.learn(fields);
        self.fields.lay_out(leaves);
        Ok(())
    }

    /// Resolves an ambiguous outcome by probing the node.
    fn confirm(&self, answer: QueryOutcome, stop: &Stop) -> QueryOutcome {
        let reason = match &answer {
            QueryOutcome::Unconfirmed => "it ended without an answer of the node",
            QueryOutcome::Broken(reason) => reason,
            // With a node that hangs, every query reaches its time limit.
            QueryOutcome::TimedOut => "a query ran out of time",
            _ => return answer,
        };
        match self.ping(ANSWER_TIME, stop) {
            Ok(_) if answer == QueryOutcome::Unconfirmed => QueryOutcome::Complete,
            Ok(_) => answer,
            Err(why) => {
                QueryOutcome::Unreachable(format!("{reason}; the node does not answer: {why}"))
            }
        }
    }
}

/// A child that opens no port: by default, every `tenzir` listens on all interfaces.
fn command(binary: &Path) -> Command {
    let mut command = child::command(binary);
    command.args([
        "--caf.middleman.enable-automatic-connections=false",
        "--console-verbosity=quiet",
    ]);
    command
}

/// The version of a `tenzir` program; `None` for any other program.
pub(in super::super) fn version(binary: &Path, stop: &Stop) -> Option<String> {
    let mut command = command(binary);
    command.arg(query::VERSION);
    let limits = Limits {
        time: Some(ANSWER_TIME),
        stop,
    };
    let mut output = Vec::new();
    child::run_in(
        KILLED_AT_ONCE,
        &mut command,
        std::io::empty(),
        limits,
        |piece| {
            output.extend_from_slice(piece);
            if output.len() > 1 << 20 {
                Flow::Enough
            } else {
                Flow::Continue
            }
        },
    )
    .ok()?;
    let about: About = serde_json::from_slice(&output).ok()?;
    Some(about.version)
}

impl Engine for Client {
    fn title(&self) -> &'static str {
        "Tenzir"
    }

    fn name(&self) -> String {
        format!("Tenzir at {}", self.endpoint)
    }

    fn version(&self) -> String {
        let version = self.version.as_deref().unwrap_or("unknown");
        printable(version, 80).to_string()
    }

    /// The node responds, has the program's version, and has reported its fields.
    fn ready(&self, time: Duration, stop: &Stop) -> Result<(), NotReady> {
        let ours = self.version();
        let final_reason = |reason| NotReady {
            reason,
            is_final: true,
        };
        let node = match self.ping(time, stop) {
            Ok(node) => node,
            Err(reason) if answer::is_of_another_version(&reason) => {
                return Err(final_reason(format!(
                    "the node does not understand `{}` {ours}: program and node must be of the \
                     same version ({reason})",
                    self.binary.display()
                )));
            }
            Err(reason) => return Err(NotReady::now(reason)),
        };
        if self.version.as_ref().is_some_and(|ours| *ours != node) {
            return Err(final_reason(format!(
                "the node is {}, `{}` is {ours}: program and node must be of the same version",
                printable(&node, 80),
                self.binary.display()
            )));
        }
        self.read_fields(time, stop).map_err(NotReady::now)
    }

    fn probe_command(&self) -> String {
        let binary = self.binary.display();
        format!("{binary} -e {} '{}'", self.endpoint, query::PING)
    }

    fn findings(&self, options: Option<&LiveOptions>, stop: &Stop) -> Vec<Finding> {
        check::findings(self, options, stop)
    }

    fn live(&self, options: &LiveOptions, _: &Stop) -> Result<LiveSource, String> {
        live::source(self, options)
    }

    fn most_observables(&self) -> Option<usize> {
        Some(query::MOST_VALUES)
    }

    fn attribution(&self, entries: &[&[Observable]]) -> Option<Box<dyn Attribute>> {
        match self.scope.mode {
            Mode::Exact => Some(Box::new(Typed::new(entries, self.fields.get()))),
            Mode::Standard | Mode::Thorough => {
                let places = Places::shared().clone();
                Some(Box::new(Judge::new(entries, self.scope.answers, places)))
            }
        }
    }

    fn returns_superset(&self) -> bool {
        self.scope.mode != Mode::Exact
    }

    fn counts_answers(&self) -> bool {
        self.scope.answers
    }

    /// The pipeline is sent over standard input: its length is unlimited, and no
    /// indicator is in the process list.
    fn export(
        &self,
        target: QueryTarget<'_>,
        bounds: QueryBounds,
        stop: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome {
        let QueryTarget::Values(observables) = target else {
            return QueryOutcome::Refused("it searches values alone".to_owned());
        };
        let fields = self.fields.get();
        if self.scope.mode == Mode::Exact {
            let pipeline = query::any_of(observables, &fields, &bounds);
            return self.put(&pipeline, bounds, stop, consume);
        }
        let pipelines = query::superset(observables, &fields, &bounds, self.scope.mode);
        once::put_all(&pipelines, bounds, consume, |pipeline, bounds, consume| {
            self.put(pipeline, bounds, stop, consume)
        })
    }
}

impl Client {
    /// Runs `pipeline`, which goes over standard input. `consume` gets what it prints, and
    /// nothing after each [`SILENCE_OF_CHILD`].
    ///
    /// # Errors
    /// The program cannot be run.
    pub(super) fn run_pipeline(
        &self,
        pipeline: &str,
        limits: Limits<'_>,
        consume: impl FnMut(&[u8]) -> Flow,
    ) -> io::Result<ChildOutcome> {
        let mut command = self.node_command();
        command.args(["-f", "/dev/stdin"]);
        let options = RunOptions {
            silence: Some(SILENCE_OF_CHILD),
            ..KILLED_AT_ONCE
        };
        child::run_in(options, &mut command, pipeline.as_bytes(), limits, consume)
    }

    /// Runs one pipeline of a query.
    fn put(
        &self,
        pipeline: &str,
        bounds: QueryBounds,
        stop: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome {
        let mut running = match RunningQuery::begin(self, stop) {
            Ok(running) => running,
            Err(reason) => return QueryOutcome::Unreachable(reason),
        };
        let limits = Limits {
            time: bounds.time,
            stop,
        };
        let result = self.run_pipeline(pipeline, limits, |bytes| running.take(bytes, consume));
        match result {
            Ok(outcome) => running.conclude(&outcome),
            Err(error) => QueryOutcome::Unreachable(format!(
                "`{}` cannot be run: {error}",
                self.binary.display()
            )),
        }
    }
}

/// A running query.
struct RunningQuery<'a> {
    client: &'a Client,
    stop: &'a Stop,
    node: NodeConnection,
    lines: LineCutter,
    silences: u32,
    /// The node has reported its fields, so it was queried.
    confirmed: bool,
    /// A field was new.
    outdated: bool,
    gone: Option<String>,
}

impl<'a> RunningQuery<'a> {
    fn begin(client: &'a Client, stop: &'a Stop) -> Result<Self, String> {
        Ok(RunningQuery {
            client,
            stop,
            node: NodeConnection::hold(&client.endpoint)?,
            lines: LineCutter::default(),
            silences: 0,
            confirmed: false,
            outdated: false,
            gone: None,
        })
    }

    fn take(&mut self, bytes: &[u8], consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow) -> Flow {
        if bytes.is_empty() {
            return self.look_after_node();
        }
        self.silences = 0;
        let mut lines = std::mem::take(&mut self.lines);
        let mut flow = Flow::Continue;
        let mut fields = Vec::new();
        lines.push(bytes, |piece| {
            if flow == Flow::Continue {
                flow = take_piece(&piece, &mut fields, consume);
            }
        });
        self.lines = lines;
        if !fields.is_empty() {
            self.confirmed = true;
            self.outdated |= self.client.fields.learn(fields);
        }
        if flow == Flow::Continue {
            flow = consume(AnswerItem::Pause);
        }
        flow
    }

    fn look_after_node(&mut self) -> Flow {
        self.silences += 1;
        if !self.node.holds() {
            self.gone = Some("the node went away during a query".to_owned());
        } else if self.silences % SILENCES_TO_PING == 0 {
            self.gone =
                self.client.ping(ANSWER_TIME, self.stop).err().map(|why| {
                    format!("a query returns nothing, and the node does not answer: {why}")
                });
        }
        match self.gone {
            Some(_) => Flow::Enough,
            None => Flow::Continue,
        }
    }

    fn conclude(mut self, outcome: &ChildOutcome) -> QueryOutcome {
        if let Some(reason) = self.gone {
            return QueryOutcome::Unreachable(reason);
        }
        log_warnings(outcome);
        let answer = match judge(outcome) {
            QueryOutcome::Complete if !self.node.holds() => {
                return QueryOutcome::Unreachable("the node went away during a query".to_owned());
            }
            QueryOutcome::Complete if !self.lines.rest().is_empty() => {
                QueryOutcome::Broken("its last line has no end".to_owned())
            }
            QueryOutcome::Complete if self.outdated => {
                info!("Tenzir: there are new fields; a query is repeated");
                if let Err(reason) = self.client.read_fields(ANSWER_TIME, self.stop) {
                    debug!("Tenzir does not report its fields: {reason}");
                }
                QueryOutcome::Outdated
            }
            QueryOutcome::Complete if !self.confirmed => QueryOutcome::Unconfirmed,
            answer => answer,
        };
        self.client.confirm(answer, self.stop)
    }
}

/// Passes on an event, or stores a field.
fn take_piece(
    piece: &Piece<'_>,
    fields: &mut Vec<FieldLine>,
    consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
) -> Flow {
    let line = match piece {
        Piece::Line(line) => String::from_utf8_lossy(line),
        Piece::TooLong(_) => return piece.hand_out(consume),
    };
    match serde_json::from_str::<Printed<'_>>(&line) {
        Ok(Printed {
            field: Some(field), ..
        }) => {
            fields.push(field);
            Flow::Continue
        }
        Ok(printed) => consume(AnswerItem::Line(printed.line(&line))),
        // The consumer reports that.
        Err(_) => consume(AnswerItem::Line(EventLine {
            text: &line,
            ..EventLine::default()
        })),
    }
}

/// What a child left on standard error.
pub(super) fn log_warnings(outcome: &ChildOutcome) {
    if !outcome.stderr.is_empty() {
        let text = String::from_utf8_lossy(&outcome.stderr);
        debug!(
            "`tenzir` says: {}",
            printable(text.trim(), child::STDERR_KEPT)
        );
    }
}
