//! Tenzir, through its `tenzir` command. It has no concepts: the node reports which
//! fields hold addresses and which hold text, and both are compared by type. "Measured"
//! here refers to 6.20.0.

mod answer;
mod check;
pub mod client;
mod fields;
mod layout;
mod live;
mod node_connection;
mod query;
mod superset;
mod typed;

use std::path::Path;
use std::sync::Arc;

use super::choice::{EngineChoice, EngineRow, Identified};
use crate::process::stop::Stop;

/// Its row in the table of engines.
pub(super) const ROW: EngineRow = EngineRow {
    choice: EngineChoice::Tenzir,
    word: "tenzir",
    meaning: "Tenzir, its successor",
    title: "Tenzir",
    program: "tenzir",
    identify,
    queries: query::queries_of,
};

fn identify(program: &Path, stop: &Stop) -> Identified {
    let version = client::version(program, stop);
    Identified {
        is_it: version.is_some(),
        open: Box::new(move |program, endpoint, scope, _| {
            Arc::new(client::Client::new(program, endpoint, version.clone()).going(scope))
        }),
    }
}
