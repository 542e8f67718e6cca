//! `--check`: checks everything that a run with this configuration needs, changes
//! nothing, and prints a table.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use crate::bus::management::{ANSWER_TIME, ManageError, ManagementClient};
use crate::bus::publish::detect;
use crate::config::{Config, ProtocolChoice, SinkChoice};
use crate::engine;
use crate::engine::finding::{Finding, Severity};
use crate::indicator::Protocol;
use crate::logs::contents::{self, Kind};
use crate::logs::folder;
use crate::observe::logging::printable;
use crate::process::command::CommandTemplate;
use crate::process::exit_code::ExitCode;
use crate::process::input;
use crate::process::stop::Stop;
use crate::protocol::{feed, legacy, stix};
use crate::run::{allow, from_file};

/// Checks everything, prints the table, and returns the status of the worst finding.
pub fn run(config: &Config) -> ExitCode {
    let findings = match Stop::new() {
        Ok(stop) => findings(config, &stop),
        Err(error) => vec![Finding::bad("system", error.to_string())],
    };
    match io::stdout().write_all(FindingsTable(&findings).to_string().as_bytes()) {
        // A reader that has exited, like `head`, has what it needs.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::Software,
        _ => status(&findings),
    }
}

fn findings(config: &Config, stop: &Stop) -> Vec<Finding> {
    let mut findings = configuration(config);
    findings.extend(engines(config, stop));
    findings.extend(config.jobs.events.iter().map(|path| log(path)));
    if config.jobs.indicators.is_empty() {
        findings.extend(bus(config, stop));
    } else {
        findings.extend(feeds(config, stop));
    }
    findings.extend(config.state_dir.as_ref().map(|path| state_dir(path)));
    findings.extend(commands(config));
    findings.extend(config.noise.allow.iter().map(|path| allowed(path)));
    findings
}

/// Checks that the programs of the sink and of the transformation exist.
fn commands(config: &Config) -> impl Iterator<Item = Finding> {
    let path_var = std::env::var_os("PATH");
    let sink = match &config.sink {
        SinkChoice::Command(command) => Some(("sink", command)),
        SinkChoice::Bus | SinkChoice::Stdout => None,
    };
    let transform = config.transform_context.as_ref();
    let transform = transform.map(|command| ("transformation", command));
    let look = move |(subject, command): (&'static str, &CommandTemplate)| match command
        .resolve(path_var.as_deref())
    {
        Ok(_) => Finding::good(subject, format!("{} can be run", command.program())),
        Err(error) => Finding::bad(subject, error.to_string()),
    };
    sink.into_iter().chain(transform).map(look)
}

fn allowed(path: &Path) -> Finding {
    let name = input::name(path);
    match allow::read_one(path) {
        Ok(found) if found.unusable.is_empty() => {
            Finding::good("allow", format!("{name}: {} value(s)", found.entries.len()))
        }
        Ok(found) => {
            let (good, bad) = (found.entries.len(), found.unusable.len());
            Finding::warning(
                "allow",
                format!("{name}: {good} value(s), and {bad} line(s) that are not values"),
            )
        }
        Err(reason) => Finding::bad("allow", format!("{name}: {reason}")),
    }
}

/// The findings about the engines, with the name of each if there are several.
fn engines(config: &Config, stop: &Stop) -> Vec<Finding> {
    let wish = config.live_wish();
    let found = engine::findings(&config.engines, wish.as_ref(), stop);
    let named = found.into_iter().map(|(number, finding)| {
        if config.is_fleet() {
            let name = &config.engines[number].name;
            let detail = format!("{name}: {}", finding.detail);
            Finding { detail, ..finding }
        } else {
            finding
        }
    });
    named.collect()
}

fn configuration(config: &Config) -> Vec<Finding> {
    let file = match &config.file {
        Some(file) => format!("{} is read", file.display()),
        None => "no file; defaults, environment and command line".to_owned(),
    };
    let warnings = config.warnings.iter();
    let warnings = warnings.map(|warning| Finding::warning("configuration", warning.as_str()));
    std::iter::once(Finding::good("configuration", file))
        .chain(warnings)
        .collect()
}

const SUBJECT: &str = "events";

/// Reports the format of a log, or of the logs in a folder.
fn log(path: &Path) -> Finding {
    let name = input::name(path);
    if path.is_dir() {
        return logs_of_folder(path, &name);
    }
    let finding = file(SUBJECT, path);
    if finding.severity != Severity::Good || !path.is_file() {
        return finding;
    }
    let detail = finding.detail;
    match contents::of_file(path) {
        Ok(contents) => {
            let severity = match contents.kind {
                Kind::Log(_) => Severity::Good,
                _ if contents.is_no_log() => Severity::Bad,
                _ => Severity::Warning,
            };
            let detail = format!("{detail}, {}", contents.kind);
            Finding {
                subject: SUBJECT,
                severity,
                detail,
            }
        }
        Err(failure) => Finding::bad(SUBJECT, format!("{detail}; {failure}")),
    }
}

/// Reports what the logs in a folder hold, or the first that a run cannot read.
fn logs_of_folder(path: &Path, name: &str) -> Finding {
    let failed = RefCell::new(None);
    let fail = |path: &Path, error: io::Error| {
        failed.replace(Some(format!("{}: {error}", input::name(path))));
    };
    let logs = match folder::some_logs(path, fail) {
        Ok(logs) => logs,
        Err(error) => return Finding::bad(SUBJECT, format!("{name}: {error}")),
    };
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (log, contents) in &logs {
        let problem = match contents {
            Ok(contents) if contents.is_no_log() => contents.kind.to_string(),
            Ok(contents) => {
                *kinds.entry(contents.kind.to_string()).or_default() += 1;
                continue;
            }
            Err(failure) => failure.to_string(),
        };
        let log = input::name(&log.path);
        return Finding::bad(SUBJECT, format!("{name}: {log}: {problem}"));
    }
    if let Some(error) = failed.into_inner() {
        return Finding::bad(SUBJECT, format!("{name}: {error}"));
    }
    if logs.is_empty() {
        return Finding::warning(SUBJECT, format!("{name}: it contains no log"));
    }
    let kinds = kinds.iter().map(|(kind, count)| format!("{kind} {count}"));
    let kinds: Vec<String> = kinds.collect();
    Finding::good(
        SUBJECT,
        format!("{name}: {} log(s): {}", logs.len(), kinds.join(", ")),
    )
}

fn file(subject: &'static str, path: &Path) -> Finding {
    if input::is_standard_input(path) {
        return Finding::good(subject, "standard input");
    }
    match input::look(path) {
        Ok(metadata) if metadata.is_file() => {
            let detail = format!("{}: {} bytes", path.display(), metadata.len());
            Finding::good(subject, detail)
        }
        Ok(_) => {
            let detail = format!("{}: what is written to it is read", path.display());
            Finding::good(subject, detail)
        }
        Err(error) => Finding::bad(subject, format!("{}: {error}", path.display())),
    }
}

/// Reads the indicator files and reports their formats and contents.
fn feeds(config: &Config, stop: &Stop) -> Vec<Finding> {
    const SUBJECT: &str = "indicators";
    let listing = from_file::list(&config.jobs.indicators);
    let mut findings = Vec::new();
    for (path, error) in &listing.failed {
        findings.push(Finding::bad(
            SUBJECT,
            format!("{}: {error}", input::name(path)),
        ));
    }
    for (path, why) in &listing.warnings {
        findings.push(Finding::warning(
            SUBJECT,
            format!("{}: {why}", input::name(path)),
        ));
    }
    for source in &listing.sources {
        // A stream can only be read once, which is left to the run.
        let is_file = source
            .path
            .metadata()
            .is_ok_and(|metadata| metadata.is_file());
        findings.push(if is_file {
            feed(source, &config.jobs.feed, stop)
        } else {
            file(SUBJECT, &source.path)
        });
    }
    if findings.is_empty() {
        findings.push(Finding::bad(SUBJECT, "there is no file to read"));
    }
    findings
}

fn feed(source: &from_file::FeedFile, options: &feed::Options, stop: &Stop) -> Finding {
    const SUBJECT: &str = "indicators";
    let name = input::name(&source.path);
    let report = match from_file::read(&source.path, options, stop, &mut |_| ()) {
        Ok(report) => report,
        Err(error) if source.folder.is_some() => {
            return Finding::warning(SUBJECT, format!("{name}: {error}"));
        }
        Err(error) => return Finding::bad(SUBJECT, format!("{name}: {error}")),
    };
    if report.is_useless() {
        let detail = format!("{name}: {}", from_file::useless(&report));
        return if source.folder.is_some() {
            Finding::warning(SUBJECT, detail)
        } else {
            Finding::bad(SUBJECT, detail)
        };
    }
    let mut detail = format!("{name}: {}: {}", report.format, report.counts());
    for (line, why) in &report.rejections {
        detail += &format!("; line {line}: {why}");
    }
    let doubt = report.doubt();
    if let Some(doubt) = &doubt {
        detail += &format!("; {doubt}");
    }
    if report.rejected > 0 || report.is_empty() || doubt.is_some() {
        Finding::warning(SUBJECT, detail)
    } else {
        Finding::good(SUBJECT, detail)
    }
}

fn state_dir(path: &Path) -> Finding {
    if !path.exists() {
        let detail = format!("{} is made by the first run", path.display());
        return Finding::good("state directory", detail);
    }
    match crate::state::StateDir::open(path) {
        Ok(_) => Finding::good("state directory", path.display().to_string()),
        Err(error @ crate::state::StateError::InUse(_)) => {
            Finding::warning("state directory", error.to_string())
        }
        Err(error) => Finding::bad("state directory", error.to_string()),
    }
}

/// A topic on which nothing is published.
const CHECK_TOPIC: &str = "vast-threatbus/check";

/// Subscribes, checks the endpoints, and unsubscribes.
fn bus(config: &Config, stop: &Stop) -> Vec<Finding> {
    let context = zmq::Context::new();
    let endpoint = &config.threatbus;
    let manager = ManagementClient::new(&context, endpoint.clone(), Some(stop));
    let started = Instant::now();
    match manager.heartbeat(CHECK_TOPIC, ANSWER_TIME) {
        Ok(()) | Err(ManageError::Refused(_)) => {}
        Err(error) => {
            let detail = format!(
                "cannot reach Threat Bus at {endpoint}: {error}; is the broker running with its \
                 zmq plugin, and is this its management port (--threatbus)?"
            );
            return vec![Finding::bad("bus", detail)];
        }
    }
    let answered = format!(
        "Threat Bus answers at {endpoint} in {} ms",
        started.elapsed().as_millis()
    );
    let mut findings = vec![Finding::good("bus", answered)];
    let ports = match manager.subscribe(CHECK_TOPIC, 0, ANSWER_TIME) {
        Ok(ports) => ports,
        Err(error) => {
            findings.push(Finding::bad("bus subscription", error.to_string()));
            return findings;
        }
    };
    findings.push(protocol(config.protocol, || {
        detect(&context, &ports.sub_endpoint, stop).map_err(|error| error.to_string())
    }));
    findings.push(match manager.unsubscribe(&ports.topic, ANSWER_TIME) {
        Ok(()) => Finding::good(
            "bus subscription",
            format!(
                "subscribed and unsubscribed; it publishes at {}, and accepts sightings at {}",
                ports.pub_endpoint, ports.sub_endpoint
            ),
        ),
        Err(error) => {
            let detail = format!("a subscription could not be given up: {error}");
            Finding::warning("bus subscription", detail)
        }
    });
    findings
}

/// Checks which protocol a run would use, and whether the broker does.
fn protocol(
    choice: ProtocolChoice,
    detect: impl FnOnce() -> Result<Option<Protocol>, String>,
) -> Finding {
    const SUBJECT: &str = "bus protocol";
    let wanted = match choice {
        ProtocolChoice::Auto => None,
        ProtocolChoice::Legacy => Some(Protocol::Legacy),
        ProtocolChoice::Stix2 => Some(Protocol::Stix2),
    };
    let topic = |protocol| match protocol {
        Protocol::Legacy => legacy::INTEL_TOPIC,
        Protocol::Stix2 => stix::message::INDICATOR_TOPIC,
    };
    match (detect(), wanted) {
        (Err(error), _) => Finding::bad(SUBJECT, error),
        (Ok(Some(told)), Some(wanted)) if told != wanted => {
            let detail = format!("the broker speaks {told}, but --protocol is {wanted}");
            Finding::bad(SUBJECT, detail)
        }
        (Ok(Some(told)), _) => Finding::good(SUBJECT, format!("{told} ({})", topic(told))),
        (Ok(None), Some(wanted)) => Finding::good(
            SUBJECT,
            format!("{wanted}, as requested; the broker does not say"),
        ),
        (Ok(None), None) => {
            let detail = "the broker does not say; a run uses stix2 (--protocol sets it)";
            Finding::warning(SUBJECT, detail)
        }
    }
}

fn status(findings: &[Finding]) -> ExitCode {
    match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Bad) => ExitCode::Unavailable,
        Some(Severity::Warning) => ExitCode::Warning,
        Some(Severity::Good) | None => ExitCode::Success,
    }
}

/// The findings in columns.
struct FindingsTable<'a>(&'a [Finding]);

impl fmt::Display for FindingsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|finding| finding.subject.len()).max();
        let width = width.unwrap_or_default();
        for finding in self.0 {
            let severity = match finding.severity {
                Severity::Good => "ok",
                Severity::Warning => "warning",
                Severity::Bad => "FAILED",
            };
            let detail = printable(&finding.detail, 1000);
            writeln!(f, "{:<width$}  {severity:<7}  {detail}", finding.subject)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_worst() {
        let good = Finding::good("a", "x");
        let warning = Finding::warning("b", "x");
        let bad = Finding::bad("c", "x");
        assert_eq!(status(&[]), ExitCode::Success);
        assert_eq!(status(std::slice::from_ref(&good)), ExitCode::Success);
        assert_eq!(status(&[warning.clone(), good.clone()]), ExitCode::Warning);
        assert_eq!(status(&[bad, warning, good]), ExitCode::Unavailable);
    }

    #[test]
    fn the_table_has_columns_and_no_text_that_moves_a_cursor() {
        let findings = [
            Finding::good("bus", "it answers"),
            Finding::bad("bus protocol", "\x1b[2J"),
        ];
        assert_eq!(
            FindingsTable(&findings).to_string(),
            "bus           ok       it answers\nbus protocol  FAILED   \\u{1b}[2J\n"
        );
    }

    #[test]
    fn the_protocol_is_what_the_broker_tells_or_what_is_asked_for() {
        use ProtocolChoice::{Auto, Legacy, Stix2};
        let severity = |choice, told| protocol(choice, || Ok(told)).severity;
        assert_eq!(severity(Auto, Some(Protocol::Legacy)), Severity::Good);
        assert_eq!(severity(Stix2, Some(Protocol::Stix2)), Severity::Good);
        assert_eq!(severity(Stix2, Some(Protocol::Legacy)), Severity::Bad);
        assert_eq!(severity(Legacy, None), Severity::Good);
        assert_eq!(severity(Auto, None), Severity::Warning);
        assert_eq!(protocol(Auto, || Err("x".into())).severity, Severity::Bad);
    }
}
