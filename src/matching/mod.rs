//! Finds the observables that a printed event holds, and the indicators that it matches.
//! Pure functions of text: no I/O, no clock.
//!
//! * [`places`] is the one table of the kinds of values and the fields that hold them.
//! * [`Matcher`] finds the observables that an event holds, by that table and the
//!   canonical forms of [`crate::observable`].
//! * [`ExactMatcher`] finds those that equal whole fields (`--match exact`); its
//!   [`FieldScope`] says in which fields.
//! * [`Index`] finds every indexed value in one event, in one pass over its JSON, at a
//!   cost that does not depend on the number of values.
//! * [`Attribution`] finds the entries of a batched query that an event matched, and
//!   those that have to be queried again (retro matching).
//! * [`Concepts`] is the engine's table of the fields that hold a domain or a URL.
//! * [`condition::Condition`] checks in an event what an engine's query cannot express.

mod attribution;
mod concepts;
pub mod condition;
pub mod event;
mod exact;
mod field_scope;
mod index;
mod json;
mod keys;
mod matcher;
mod mode;
pub mod places;
mod prefilter;
pub mod recogniser;
#[cfg(test)]
#[path = "../../tests/oracles/reference.rs"]
pub(crate) mod reference;
pub mod sequence;
mod walk;

pub use attribution::{Attribution, Verdict};
pub use concepts::{Concepts, ConceptsError};
pub use exact::{Clarity, ExactMatcher};
pub use field_scope::{FieldScope, FieldValue, Reached, UrlParts};
pub use index::{Hit, Index, IndexHits, Slot};
pub use json::ScanError;
pub(crate) use json::{Path, walk};
pub use keys::Node;
pub use matcher::{Fields, Holding, Matcher, Scan, Scratch};
pub use mode::{EventMatcher, EventScratch, Meaning, Mode};
pub use walk::At;
