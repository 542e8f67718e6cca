//! VAST, through its `vast` command.

pub mod answer;
mod check;
pub mod client;
mod fields;
mod literal;
mod live;
pub mod matcher;
mod pieces;
pub mod query;
mod superset;
pub mod version;

use std::path::Path;
use std::sync::Arc;

use super::choice::{EngineChoice, EngineRow, Identified};
use crate::process::stop::Stop;

/// Its row in the table of engines.
pub(super) const ROW: EngineRow = EngineRow {
    choice: EngineChoice::Vast,
    word: "vast",
    meaning: "VAST",
    title: "VAST",
    program: "vast",
    identify,
    queries: query::queries_of,
};

fn identify(program: &Path, stop: &Stop) -> Identified {
    let version = client::version(program, stop);
    Identified {
        is_it: version.is_ok(),
        open: Box::new(move |program, endpoint, scope, stop| {
            Arc::new(client::Client::new(program, endpoint, version.clone(), stop).going(scope))
        }),
    }
}
