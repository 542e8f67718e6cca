//! The findings of `--check` about Tenzir.

use std::time::Instant;

use super::client::Client;
use super::live;
use super::query;
use crate::engine::Finding;
use crate::engine::connect::ANSWER_TIME;
use crate::engine::{Engine, LiveOptions};
use crate::observe::logging::printable;
use crate::process::stop::Stop;

/// Checks the program and its node for everything that a run needs.
pub(super) fn findings(
    client: &Client,
    options: Option<&LiveOptions>,
    stop: &Stop,
) -> Vec<Finding> {
    let binary = client.binary().display();
    let Some(version) = client.release() else {
        let detail = format!("`{binary} '{}'` does not report a version", query::VERSION);
        return vec![Finding::bad("Tenzir program", detail)];
    };
    let program = format!("{binary}: version {}", printable(version, 80));
    let mut findings = vec![Finding::good("Tenzir program", program)];
    let started = Instant::now();
    if let Err(error) = client.ready(ANSWER_TIME, stop) {
        let detail = format!(
            "cannot use the node at {}: {}; is it running there (--engine-endpoint)?",
            client.endpoint(),
            error.reason
        );
        findings.push(Finding::bad("Tenzir node", detail));
        return findings;
    }
    findings.push(Finding::good(
        "Tenzir node",
        format!(
            "{} answers in {} ms, of the same version",
            client.endpoint(),
            started.elapsed().as_millis()
        ),
    ));
    findings.push(fields(client));
    findings.extend(options.map(|options| match live::source(client, options) {
        Ok(_) => Finding::good("Tenzir live", "new events are exported and matched here"),
        Err(reason) => Finding::bad("Tenzir live", reason),
    }));
    findings
}

/// Checks the fields that are searched.
fn fields(client: &Client) -> Finding {
    const SUBJECT: &str = "Tenzir fields";
    let fields = client.shared_fields().get();
    match (fields.addresses().count(), fields.texts().count()) {
        (0, 0) => Finding::warning(SUBJECT, "the node holds no events yet"),
        (addresses, texts) => {
            let detail = format!("addresses are in {addresses} field(s), text in {texts}");
            Finding::good(SUBJECT, detail)
        }
    }
}
