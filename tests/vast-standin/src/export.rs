//! `export json`: runs a query over the stored events, or over new ones.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::cli::Export;
use crate::concepts::Concepts;
use crate::ending::Ending;
use crate::evaluate::{Evaluator, Verdict, lossless};
use crate::events::{Tail, files};
use crate::faults::Printer;
use crate::partition::ambiguous;
use crate::query::{Query, QueryError, parse};
use crate::schema::Schema;
use crate::session::Session;

/// How often `--continuous` checks for new events.
const LOOK: Duration = Duration::from_millis(10);

/// The IoCs of a query that cost the engine nothing more.
const FREE_IOCS: usize = 1000;

/// Runs an export, up to its end.
///
/// # Errors
/// How the call ends, where it does not end well.
pub fn run(session: &Session, export: &Export, endpoint: Option<&str>) -> Result<(), Ending> {
    // Whoever sees this call in the record may append events at once.
    let tail = if export.continuous {
        Some(Tail::new(&session.config.events)?)
    } else {
        None
    };
    let text = query_text(session, export)?;
    if text.trim().is_empty() {
        return Err(Ending::error("invalid_query"));
    }
    session.node.connect(endpoint)?;
    let query = match parse(&text, &session.dialect()) {
        Ok(query) => query,
        Err(QueryError::Empty) => return Err(Ending::error("invalid_query")),
        Err(QueryError::Syntax) => {
            session.shut_down()?;
            return Err(Ending::error("parse_error"));
        }
        Err(QueryError::Pattern(pattern)) => {
            session.shut_down()?;
            return Err(Ending::error(&format!(
                "syntax_error: \"failed to create regular expression from pattern\" \
                 \"{pattern}\" \"Invalid '(?...)' zero-width assertion in regular expression\""
            )));
        }
    };
    let mut printer = Printer::new(session, export, &query)?;
    charge(session, &query)?;
    printer.begin()?;
    let concepts = session.concepts()?;
    let schema = session.schema();
    match tail {
        Some(tail) => follow(session, &query, &concepts, &schema, tail, &mut printer),
        None => history(session, &query, &concepts, &schema, &mut printer),
    }
}

/// The query of an export; writes the call down, with what it read.
fn query_text(session: &Session, export: &Export) -> Result<String, Ending> {
    let Some(source) = &export.read else {
        session.log.begin(&session.arguments, None);
        return match export.arguments.as_slice() {
            [] => Ok(String::new()),
            [query] => Ok(query.clone()),
            _ => Err(Ending::error(
                "invalid_argument: spreading a query over multiple arguments is not allowed",
            )),
        };
    };
    let bytes = if source == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        session.log.begin(&session.arguments, Some(&bytes));
        bytes
    } else {
        session.log.begin(&session.arguments, None);
        std::fs::read(source)?
    };
    if !export.arguments.is_empty() {
        return Err(Ending::error(
            "invalid_argument: got a query on the command line and one to read",
        ));
    }
    Ok(lossless(&bytes).into_owned())
}

/// What many IoCs cost the engine.
fn charge(session: &Session, query: &Query) -> Result<(), Ending> {
    let per_ioc = session.config.per_ioc_seconds;
    if per_ioc <= 0.0 {
        return Ok(());
    }
    let costly = query.iocs().len().saturating_sub(FREE_IOCS);
    session.pause(per_ioc * costly as f64)
}

/// Every stored event that matches, then the end.
fn history(
    session: &Session,
    query: &Query,
    concepts: &Concepts,
    schema: &Schema,
    printer: &mut Printer<'_>,
) -> Result<(), Ending> {
    let start = Instant::now();
    let mut candidates = 0;
    let ambiguous = ambiguous(query, concepts, schema, &session.config.events)?;
    let evaluator =
        |type_name: &str| Evaluator::new(query, &ambiguous, concepts, schema, type_name);
    loop {
        let before = printer.shipped();
        if let ControlFlow::Continue(seen) = pass(session, &evaluator, printer)? {
            candidates = seen;
        }
        if !printer.again(before)? {
            break;
        }
    }
    printer.end(candidates, start.elapsed())
}

/// One pass over all stored events; breaks when the printer wants no more.
fn pass<'a>(
    session: &Session,
    evaluator: &impl Fn(&str) -> Evaluator<'a>,
    printer: &mut Printer<'_>,
) -> Result<ControlFlow<(), u64>, Ending> {
    let mut candidates = 0;
    for file in files(&session.config.events)? {
        let mut evaluator = evaluator(&file.type_name);
        let verdict = evaluator.verdict();
        if verdict == Verdict::None {
            continue;
        }
        let mut lines = file.open()?;
        while let Some(line) = lines.next_line(true)? {
            candidates += 1;
            let matches = verdict == Verdict::Every || evaluator.matches(line);
            if matches && printer.event(line)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(candidates))
}

/// Every new event that matches, until the node goes away.
fn follow(
    session: &Session,
    query: &Query,
    concepts: &Concepts,
    schema: &Schema,
    mut tail: Tail,
    printer: &mut Printer<'_>,
) -> Result<(), Ending> {
    let mut evaluators: HashMap<String, (Verdict, Evaluator<'_>)> = HashMap::new();
    let start = Instant::now();
    let mut full = false;
    let mut candidates = 0;
    while !full {
        session.node.look()?;
        candidates += tail.poll::<Ending>(|type_name, line| {
            if full {
                return Ok(());
            }
            let (verdict, evaluator) = match evaluators.entry(type_name.to_string()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let evaluator =
                        Evaluator::new(query, &HashSet::new(), concepts, schema, type_name);
                    vacant.insert((evaluator.verdict(), evaluator))
                }
            };
            let matches = match verdict {
                Verdict::Every => true,
                Verdict::None => false,
                Verdict::Open => evaluator.matches(line),
            };
            full = matches && printer.event(line)?.is_break();
            Ok(())
        })?;
        printer.flush()?;
        std::thread::sleep(LOOK);
    }
    printer.end(candidates, start.elapsed())
}
