//! What `--check` says about VAST.

use std::time::{Duration, Instant};

use super::client::Client;
use super::version::Version;
use crate::check::Finding;
use crate::child::{self, End, Limits};
use crate::config::Config;
use crate::matching::Concepts;
use crate::stop::Stop;

/// How long a question may take.
const TIME: Duration = Duration::from_secs(10);

/// The most that the table of concepts may have, in bytes.
const MOST: usize = 16 << 20;

/// Asks the program and its node for all that a run needs of them.
pub fn findings(config: &Config, stop: &Stop) -> Vec<Finding> {
    let client = Client::unasked(&config.vast_binary, &config.vast);
    let version = match version(config, stop) {
        Ok(version) => version,
        Err(reason) => return vec![Finding::bad("VAST program", reason)],
    };
    let program = format!("{}: version {version}", config.vast_binary.display());
    let mut findings = vec![Finding::good("VAST program", program)];
    let started = Instant::now();
    if let Err(reason) = client.ping(stop) {
        let endpoint = &config.vast;
        let detail = format!("no node at {endpoint}: {reason}; is it running there (--vast)?");
        findings.push(Finding::bad("VAST node", detail));
        return findings;
    }
    findings.push(Finding::good(
        "VAST node",
        format!(
            "{} answers in {} ms",
            config.vast,
            started.elapsed().as_millis()
        ),
    ));
    findings.push(concepts(&client, stop));
    findings.push(matcher(&client, config.live_match, stop));
    findings
}

fn version(config: &Config, stop: &Stop) -> Result<Version, String> {
    let mut command = child::command(&config.vast_binary);
    command.arg("version");
    let name = config.vast_binary.display();
    match child::run_to_end(&mut command, b"", limits(stop), MOST) {
        Ok((_, output)) => Version::read(&output)
            .ok_or_else(|| format!("`{name} version` does not name a version")),
        Err(error) => Err(format!("`{name} version` cannot be run: {error}")),
    }
}

/// Where VAST looks for domains and URLs.
fn concepts(client: &Client, stop: &Stop) -> Finding {
    const SUBJECT: &str = "VAST concepts";
    let mut command = client.node_command();
    command.args(["dump", "concepts"]);
    let table = match child::run_to_end(&mut command, b"", limits(stop), MOST) {
        Ok((outcome, output)) if has_succeeded(&outcome.end) => {
            Concepts::parse(&String::from_utf8_lossy(&output)).map_err(|error| error.to_string())
        }
        Ok((outcome, _)) => Err(outcome.last_words()),
        Err(error) => Err(error.to_string()),
    };
    match table {
        Ok(_) => Finding::good(
            SUBJECT,
            "the node's table names fields for domains and URLs",
        ),
        Err(reason) => {
            let detail = format!("the node's table cannot be used: {reason}");
            Finding::warning(SUBJECT, detail)
        }
    }
}

/// Whether the program has the plugin that matches as events are imported.
fn matcher(client: &Client, is_wanted: bool, stop: &Stop) -> Finding {
    const SUBJECT: &str = "VAST matcher";
    let knows = |word: &str| {
        let mut command = client.node_command();
        command.args(["matcher", word, "--help"]);
        child::run_to_end(&mut command, b"", limits(stop), MOST)
            .is_ok_and(|(outcome, _)| has_succeeded(&outcome.end))
    };
    if knows("attach") {
        Finding::good(SUBJECT, "the plugin is there, with `matcher attach`")
    } else if knows("start") {
        Finding::good(SUBJECT, "the plugin is there, with `matcher start`")
    } else if is_wanted {
        let detail = "no plugin; live matching reads every new event in its place";
        Finding::warning(SUBJECT, detail)
    } else {
        Finding::good(SUBJECT, "no plugin; retro matching needs none")
    }
}

fn has_succeeded(end: &End) -> bool {
    matches!(end, End::Exited(status) if status.success())
}

fn limits(stop: &Stop) -> Limits<'_> {
    Limits {
        time: Some(TIME),
        stop,
    }
}
