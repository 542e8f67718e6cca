//! The findings of `--check` about VAST.

use std::time::Instant;

use super::client::Client;
use super::matcher::Generation;
use crate::engine::Finding;
use crate::process::stop::Stop;

/// Checks the program and its node for everything that a run needs.
pub(super) fn findings(client: &Client, is_live: bool, stop: &Stop) -> Vec<Finding> {
    let version = match client.release() {
        Ok(version) => version,
        Err(reason) => return vec![Finding::bad("VAST program", reason)],
    };
    let program = format!("{}: version {version}", client.binary().display());
    let mut findings = vec![Finding::good("VAST program", program)];
    let started = Instant::now();
    if let Err(reason) = client.ping(stop) {
        let endpoint = client.endpoint();
        let detail = format!("no node at {endpoint}: {reason}; is it running there (--vast)?");
        findings.push(Finding::bad("VAST node", detail));
        return findings;
    }
    findings.push(Finding::good(
        "VAST node",
        format!(
            "{} answers in {} ms",
            client.endpoint(),
            started.elapsed().as_millis()
        ),
    ));
    findings.push(concepts(client, stop));
    findings.push(matcher(client, is_live, stop));
    findings
}

/// Checks the fields for domains and URLs.
fn concepts(client: &Client, stop: &Stop) -> Finding {
    const SUBJECT: &str = "VAST concepts";
    match client.read_concepts(stop) {
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

/// Checks whether the program has the matcher plugin.
fn matcher(client: &Client, is_wanted: bool, stop: &Stop) -> Finding {
    let detail = match (client.matcher_generation(stop), is_wanted) {
        (Generation::Attach, _) => "the plugin is there, with `matcher attach`",
        (Generation::Start, _) => "the plugin is there, with `matcher start`",
        (Generation::None, true) => "no plugin; live matching reads every new event instead",
        (Generation::None, false) => "no plugin; retro matching needs none",
    };
    Finding::good("VAST matcher", detail)
}
