//! What can answer. Only this folder knows a query language or a command line
//! of an engine.

use crate::child::Flow;
use crate::indicator::Observable;
use crate::stop::Stop;

use vast::answer::Answer;
use vast::client::{Bounds, Event};

pub mod files;
pub mod vast;

/// Something that holds events and can be asked for them.
pub trait Engine {
    /// Asks once for every stored event that holds any of the observables, and
    /// hands out the lines of the answer as they come.
    fn export(
        &self,
        observables: &[&Observable],
        bounds: Bounds,
        stop: &Stop,
        consume: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Answer;
}
