//! Which observables does a printed event hold, and which indicators did it
//! match? Pure functions of text: no I/O, no clock.
//!
//! * [`places`] is the one table of kinds of values and the fields that hold them.
//! * [`Matcher`] says which observables an event holds, as the table and the canonical
//!   forms of [`crate::observable`] have it.
//! * [`Index`] finds every indexed value in one event, in one pass over its
//!   JSON, at a cost that does not grow with the number of values.
//! * [`Attribution`] tells which entries of a batched query an event matched,
//!   and which of them have to be asked again (retro matching).
//! * [`Concepts`] is the engine's table of which fields hold a domain or a URL.
//! * [`condition::Condition`] checks in an event what no engine was asked for.
//! * [`LiveMatcher`] decides alone whether an event matches (live matching on an
//!   engine that has no matcher); in which fields, its [`FieldScope`] tells.

mod attribution;
mod concepts;
pub mod condition;
pub mod event;
mod field_scope;
mod index;
mod json;
mod keys;
mod live;
mod matcher;
mod mode;
pub mod places;
mod prefilter;
#[cfg(test)]
#[path = "../../tests/oracles/reference.rs"]
pub(crate) mod reference;
pub mod sequence;
mod walk;

pub use attribution::{Attribution, Verdict};
pub use concepts::{Concepts, ConceptsError};
pub use field_scope::{FieldScope, Place, Reached, UrlParts};
pub use index::{Found, Hit, Index, Slot};
pub use json::ScanError;
pub(crate) use json::{Path, walk};
pub use keys::Node;
pub use live::{Clarity, LiveMatcher};
pub use matcher::{Fields, Holding, Matcher, Scan, Scratch};
pub use mode::{EventMatcher, EventScratch, Meaning, Mode};
pub use walk::At;
