//! Shows the queries for each indicator of a file, without running them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::engine::EngineChoice;
use crate::indicator::{
    Indicator, LeftOut, MatchExpansion, Message, Protocol, Rejection, ValidityState,
};
use crate::matching::Mode;
use crate::matching::condition::TestedPlace;
use crate::observable::Kind;
use crate::process::exit_code::ExitCode;
use crate::process::input;
use crate::process::stop::Stop;
use crate::protocol::feed::{self, Found};
use crate::run::from_file;

/// How an indicator is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum SearchPlan {
    /// Its values join the lists of a batched query.
    Batch,
    /// It needs a separate query, and each event that comes back is checked.
    Single,
    /// Its values join such lists, and the rest of its conditions is checked in each
    /// event.
    Superset,
    /// It means several events: each is queried according to its own plan, and they are
    /// joined here.
    Several,
    /// It is not searched.
    Unsupported,
    /// It is not valid now.
    Inactive,
}

/// One line of the output.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    plan: SearchPlan,
    queries: Vec<String>,
    reason: Option<String>,
    /// The kinds of fields that are searched.
    fields: Vec<String>,
    /// The expression that joins the events, with the numbers of `observations` counted
    /// from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    operators: Option<String>,
    /// The query for each event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observations: Vec<ObservationPlan>,
    /// The parts that are not searched, with reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

/// One of several events of an indicator.
#[derive(Debug, Serialize)]
struct ObservationPlan {
    value: String,
    plan: SearchPlan,
    queries: Vec<String>,
    reason: Option<&'static str>,
    fields: Vec<String>,
}

/// The options for explaining indicators.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExplainOptions {
    /// The engine; VAST if the program would decide.
    pub engine: EngineChoice,
    /// The scope of queries.
    pub mode: Mode,
    /// How far the search for indicators goes beyond equality.
    pub wider: MatchExpansion,
}

/// Writes a line of JSON to standard output for each indicator of the file or folder
/// at `path` (`-`: standard input), and with `summary` a count by plan and reason to
/// standard error.
pub fn run(
    path: &Path,
    reading: &feed::Options,
    options: ExplainOptions,
    summary: bool,
) -> ExitCode {
    let fail = |path: &Path, error: &dyn std::fmt::Display, code| {
        eprintln!("vast-threatbus: {}: {error}", input::name(path));
        code
    };
    let stop = match Stop::new() {
        Ok(stop) => stop,
        Err(error) => return fail(path, &error, ExitCode::Software),
    };
    let listing = from_file::list(&[path.to_owned()]);
    if let Some((path, error)) = listing.failed.first() {
        return fail(path, error, ExitCode::Usage);
    }
    let mut explainer = Explainer::new(options, BufWriter::new(io::stdout().lock()));
    for source in &listing.sources {
        let read = from_file::read(&source.path, reading, &stop, &mut |found| {
            explainer.explain(found);
        });
        match read {
            Ok(_) => {}
            Err(feed::Error::Io(error)) if explainer.counts.is_empty() => {
                return fail(&source.path, &error, ExitCode::Usage);
            }
            Err(error) => return fail(&source.path, &error, ExitCode::TempFail),
        }
    }
    match explainer.finish() {
        Ok(counts) => {
            if summary {
                print_summary(&counts);
            }
            ExitCode::Success
        }
        // A reader that has exited, like `head`, has what it needs.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Success,
        Err(error) => fail(path, &error, ExitCode::Software),
    }
}

/// The number of indicators by plan and reason.
type PlanCounts = BTreeMap<(SearchPlan, String), u64>;

/// Writes the explanations.
struct Explainer<W> {
    options: ExplainOptions,
    output: W,
    written: io::Result<()>,
    counts: PlanCounts,
}

impl<W: Write> Explainer<W> {
    fn new(options: ExplainOptions, output: W) -> Self {
        Explainer {
            options,
            output,
            written: Ok(()),
            counts: PlanCounts::new(),
        }
    }

    fn explain(&mut self, found: Found) {
        let (mut found, line) = match found {
            Found::Message(message) => (Ok(message), None),
            Found::Rejected(line, rejection) => (Err(rejection), Some(line)),
        };
        if let Ok(Message::Match { indicator, .. }) = &mut found {
            self.options.wider.expand(indicator);
        }
        let Some(mut explanation) = explanation(&found, self.options) else {
            return;
        };
        if let (Some(line), Some(reason)) = (line, &mut explanation.reason) {
            *reason = format!("line {line}: {reason}");
        }
        let reason = explanation.reason.as_deref().unwrap_or_default();
        let reason = without_details(reason);
        *self.counts.entry((explanation.plan, reason)).or_default() += 1;
        if self.written.is_ok() {
            self.written = serde_json::to_writer(&mut self.output, &explanation)
                .map_err(io::Error::from)
                .and_then(|()| self.output.write_all(b"\n"));
        }
    }

    fn finish(mut self) -> io::Result<PlanCounts> {
        self.written?;
        self.output.flush()?;
        Ok(self.counts)
    }
}

fn explanation(
    found: &Result<Message, Rejection>,
    options: ExplainOptions,
) -> Option<Explanation<'_>> {
    let none = |id, reason: &str| Explanation {
        id,
        pattern: None,
        value: None,
        plan: SearchPlan::Unsupported,
        queries: vec![],
        reason: Some(reason.to_owned()),
        fields: vec![],
        operators: None,
        observations: vec![],
        left_out: vec![],
    };
    match found {
        Ok(Message::Match {
            indicator,
            left_out,
            ..
        }) => Some(explain_indicator(indicator, left_out, options)),
        Ok(Message::Unsupported {
            id,
            ioc,
            reason,
            protocol,
            ..
        }) => {
            let explanation = none(Some(&**id), reason);
            let ioc = Some(ioc.clone());
            Some(match protocol {
                Protocol::Stix2 => Explanation {
                    pattern: ioc,
                    ..explanation
                },
                Protocol::Legacy => Explanation {
                    value: ioc,
                    ..explanation
                },
            })
        }
        Ok(Message::Withdraw(_)) => None,
        Err(rejection) => Some(none(
            rejection.id.as_deref(),
            &format!("rejected: {}", rejection.reason),
        )),
    }
}

fn explain_indicator<'i>(
    indicator: &'i Indicator,
    left_out: &[LeftOut],
    options: ExplainOptions,
) -> Explanation<'i> {
    let standing = indicator.validity.now();
    let is_active = standing == ValidityState::Active;
    let (plan, reason) = if is_active {
        planned(indicator)
    } else {
        (SearchPlan::Inactive, None)
    };
    let reason = if is_active {
        reason.map(str::to_owned)
    } else {
        Some(standing.to_string())
    };
    let sequence = indicator.sequence.as_ref().filter(|_| is_active);
    let is_one = is_active && sequence.is_none();
    let is_stix = indicator.protocol == Protocol::Stix2;
    Explanation {
        id: Some(&indicator.id),
        pattern: is_stix.then(|| pattern(indicator)).flatten(),
        value: (!is_stix).then(|| indicator.ioc.join("|")),
        plan,
        queries: if is_one {
            options.engine.queries(indicator, options.mode)
        } else {
            Vec::new()
        },
        reason,
        fields: fields(indicator),
        operators: sequence.map(|sequence| sequence.expression.to_string()),
        observations: sequence.map_or_else(Vec::new, |one| {
            one.parts.iter().map(|one| part(one, options)).collect()
        }),
        left_out: left_out.iter().map(LeftOut::to_string).collect(),
    }
}

/// The plan for one event, and why it is not in the list of a batch.
fn planned(indicator: &Indicator) -> (SearchPlan, Option<&'static str>) {
    if indicator.sequence.is_some() {
        let reason = "each observation is queried by itself, and the events are joined here";
        return (SearchPlan::Several, Some(reason));
    }
    match (&indicator.selection, &indicator.condition) {
        (Some(selection), _) if !selection.is_narrow() => {
            let reason =
                "nothing in it narrows a query: every event is checked, in log files and live";
            (SearchPlan::Single, Some(reason))
        }
        (Some(_), _) => {
            let reason =
                "no value to look up: it has its own query, and the whole is checked in each event";
            (SearchPlan::Single, Some(reason))
        }
        (None, None) => (SearchPlan::Batch, None),
        (None, Some(_)) => {
            let reason = "the query returns more than it means: the rest is checked in each event";
            (SearchPlan::Superset, Some(reason))
        }
    }
}

fn part(indicator: &Indicator, options: ExplainOptions) -> ObservationPlan {
    let (plan, reason) = planned(indicator);
    ObservationPlan {
        value: indicator.ioc.join("|"),
        plan,
        queries: options.engine.queries(indicator, options.mode),
        reason,
        fields: fields(indicator),
    }
}

/// The kinds of fields searched for an indicator, each once: those of its values, and
/// those that are checked in each event.
fn fields(indicator: &Indicator) -> Vec<String> {
    let found = RefCell::new(BTreeSet::new());
    for observable in &indicator.observables {
        let kind = Kind::of(observable);
        found.borrow_mut().insert(TestedPlace::Kind(kind).name());
    }
    let parts = indicator.sequence.iter().flat_map(|one| &one.parts);
    let all = std::iter::once(indicator).chain(parts);
    for condition in all.filter_map(|one| one.condition.as_ref()) {
        condition.any_test(&|test| {
            found.borrow_mut().insert(test.place.name());
            false
        });
    }
    found.into_inner().into_iter().map(str::to_owned).collect()
}

/// The original pattern of an indicator.
fn pattern(indicator: &Indicator) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Stix {
        pattern: String,
    }
    let original = indicator.original.as_ref()?;
    let stix: Stix = serde_json::from_str(original.get()).ok()?;
    Some(stix.pattern)
}

/// A reason without the position and the value of this indicator, so that equal reasons
/// are counted together.
fn without_details(reason: &str) -> String {
    let reason = match reason.strip_prefix("line ") {
        Some(placed) => placed.split_once(": ").map_or(reason, |(_, rest)| rest),
        None => reason,
    };
    let mut plain = String::new();
    for (number, part) in reason.split('"').enumerate() {
        plain.push_str(if number % 2 == 0 { part } else { "…" });
    }
    plain
}

fn print_summary(counts: &PlanCounts) {
    let total: u64 = counts.values().sum();
    let answered = |plan| {
        matches!(
            plan,
            SearchPlan::Batch | SearchPlan::Single | SearchPlan::Superset | SearchPlan::Several
        )
    };
    let mine = counts.iter().filter(|((plan, _), _)| answered(*plan));
    let mine: u64 = mine.map(|(_, count)| count).sum();
    eprintln!("{total} indicator(s), {mine} of them queried:");
    for ((plan, reason), count) in counts {
        let plan = format!("{plan:?}").to_lowercase();
        let reason = crate::observe::logging::printable(reason, 200);
        eprintln!("{count:>9} {plan:<11} {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_indicator_is_explained_on_a_line() {
        let stix = |pattern: &str, more: &str| {
            format!(
                r#"{{"type": "indicator", "id": "indicator--00000000-0000-4001-8000-000000000001", "pattern": "{pattern}"{more}}}"#
            )
        };
        let file = [
            stix("[url:value = '/']", ""),
            stix("[url:value = '/' AND file:size > 5]", ""),
            stix("[file:size > 5]", ""),
            stix("[a:b = 'c']", ""),
            stix("[d:e = 'f']", r#", "valid_until": "2020-01-01T00:00:00Z""#),
            stix("[url:value = '/']", r#", "revoked": true"#),
            stix("[ipv4-addr:value = 'x']", ""),
            stix("[ipv4-addr:value = 'y']", ""),
            r#"{"id": "7", "data": {"indicator": ["x"], "intel_type": 26}, "operation": "ADD"}"#
                .into(),
            stix("[url:value = '/' OR a:b = 'c']", ""),
            stix("[url:value != '/']", ""),
            stix(
                "([url:value = '/'] FOLLOWEDBY [file:size > 5]) WITHIN 9 SECONDS",
                "",
            ),
        ]
        .join("\n");
        let mut output = Vec::new();
        let options = ExplainOptions {
            mode: Mode::Exact,
            ..ExplainOptions::default()
        };
        let mut explainer = Explainer::new(options, &mut output);
        feed::read(file.as_bytes(), &feed::Options::default(), &mut |found| {
            explainer.explain(found);
        })
        .expect("memory can be read");
        let counts = explainer.finish().expect("memory can be written");
        let output = String::from_utf8(output).expect("text");
        let lines: Vec<serde_json::Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let plans: Vec<&str> = lines
            .iter()
            .filter_map(|one| one["plan"].as_str())
            .collect();
        let expected = "batch superset single unsupported unsupported inactive unsupported \
                        unsupported unsupported batch single several";
        assert_eq!(plans.join(" "), expected);
        assert_eq!(lines[0]["queries"][0], r#""/" == net.uri"#);
        assert_eq!(lines[1]["pattern"], "[url:value = '/' AND file:size > 5]");
        assert_eq!(lines[1]["queries"][0], r#""/" == net.uri"#);
        assert_eq!(lines[2]["queries"][0], "fileinfo.size > 5");
        let several = &lines[11];
        assert_eq!(several["operators"], "(1 FOLLOWEDBY 2) WITHIN 9 SECONDS");
        assert_eq!(several["queries"], serde_json::json!([]));
        assert_eq!(several["fields"], lines[1]["fields"]);
        let observations = &several["observations"];
        assert_eq!(observations[0]["plan"], "batch");
        assert_eq!(observations[0]["queries"][0], r#""/" == net.uri"#);
        assert_eq!(observations[1]["plan"], "single");
        assert_eq!(observations[1]["queries"][0], "fileinfo.size > 5");
        let reason = lines[3]["reason"].as_str().unwrap_or_default();
        assert!(
            reason.starts_with("line 1, column 2: object path a:b"),
            "{reason}"
        );
        assert_eq!(
            lines[1]["fields"],
            serde_json::json!(["URL", "size of a file"])
        );
        assert_eq!(lines[5]["reason"], "revoked");
        let left_out = &lines[9]["left_out"][0];
        assert!(
            left_out
                .as_str()
                .is_some_and(|one| one.starts_with("a:b = 'c': ")),
            "{left_out}"
        );
        assert_eq!(lines[8]["value"], "x");
        let wrong = "rejected: … is no IPv4 or IPv6 address".to_owned();
        assert_eq!(counts[&(SearchPlan::Unsupported, wrong)], 2);
    }

    #[test]
    fn the_queries_are_those_of_the_engine_and_the_mode() {
        let line = r#"{"type": "indicator", "id": "indicator--00000000-0000-4001-8000-000000000001",
            "pattern": "[domain-name:value = 'evil.example']"}"#;
        let queries = |engine, mode| {
            let message = crate::protocol::stix::message::read(line).expect("an indicator");
            let wider = MatchExpansion::default();
            let options = ExplainOptions {
                engine,
                mode,
                wider,
            };
            explanation(&Ok(message), options)
                .expect("it is explained")
                .queries
        };
        let [auto, tenzir] = [EngineChoice::Auto, EngineChoice::Tenzir];
        let exact = queries(auto, Mode::Exact);
        assert_eq!(exact.len(), 1);
        assert!(
            exact[0].starts_with(r#""evil.example" == net.domain"#),
            "{exact:?}"
        );
        let standard = queries(auto, Mode::Standard);
        assert!(
            standard.iter().any(|query| query.contains("rrname")),
            "{standard:?}"
        );
        assert!(queries(auto, Mode::Thorough).len() > standard.len());
        for mode in [Mode::Exact, Mode::Standard, Mode::Thorough] {
            let pipelines = queries(tenzir, mode);
            let asks = |text: &String| text.contains("evil.example") && text.contains("export");
            assert!(
                !pipelines.is_empty() && pipelines.iter().all(asks),
                "{pipelines:?}"
            );
        }
    }
}
