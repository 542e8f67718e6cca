//! Indicators from a file, or from standard input, in place of the bus.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use log::{debug, error, info, warn};

use crate::indicator::{Message, Rejection};
use crate::intake::Intake;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::input::{self, Input};
use crate::process::stop::Stop;
use crate::protocol::file;

/// Reads the file at `path` (`-`: standard input) and puts in what it holds,
/// no faster than it is looked for. Ends with the file, or with the program.
pub fn run(path: &Path, intake: &Intake, metrics: &Metrics, stop: &Stop) {
    let name = input::name(path);
    let read = Input::open(path, stop).and_then(|input| {
        let input = BufReader::with_capacity(64 << 10, input);
        file::read(input, |found| match found {
            Ok(message) => take(message, intake, metrics, stop),
            Err(rejection) => {
                reject(&rejection, &name, metrics);
                withdraw_old(rejection.id.filter(|_| rejection.replaces), intake);
            }
        })
    });
    match read {
        Ok(()) => info!(
            "read {} indicator(s) from {name}",
            metrics.indicators_received.get()
        ),
        Err(error) => {
            metrics.files_failed.add(1);
            error!("{name}: the indicators cannot be read to their end: {error}");
        }
    }
}

fn take(message: Message, intake: &Intake, metrics: &Metrics, stop: &Stop) {
    match message {
        Message::Match { indicator, .. } => {
            metrics.indicators_received.add(1);
            metrics.kinds.count(indicator.kind());
            debug!("indicator {} is read", printable(&indicator.id, 200));
            intake.wait_for_room(stop);
            intake.add(indicator, None);
        }
        Message::Withdraw(id) => {
            metrics.indicators_withdrawn.add(1);
            intake.withdraw(&id);
        }
        Message::Unsupported {
            id,
            reason,
            replaces,
            ..
        } => {
            metrics.indicators_unsupported.add(1);
            metrics.unsupported.count(&reason);
            info!(
                "indicator {} is unsupported: {}",
                printable(&id, 200),
                printable(&reason, 500)
            );
            withdraw_old(replaces.then_some(id), intake);
        }
    }
}

/// What an edit that cannot be used was to replace is out of date all the same.
fn withdraw_old(id: Option<Arc<str>>, intake: &Intake) {
    if let Some(id) = id {
        intake.withdraw(&id);
    }
}

fn reject(rejection: &Rejection, name: &str, metrics: &Metrics) {
    metrics.indicators_rejected.add(1);
    metrics.rejected.count(&rejection.reason);
    let reason = printable(&rejection.reason, 500);
    match &rejection.id {
        Some(id) => warn!(
            "{name}: indicator {} is rejected: {reason}",
            printable(id, 200)
        ),
        None => warn!("{name}: rejected: {reason}"),
    }
}
