//! Messages to the writer.

use std::sync::Arc;

use crate::protocol::{Context, MatchType};
use crate::state::journal::Ticket;

/// Sightings on their way to the writer.
#[derive(Debug)]
pub enum WriterMessage {
    /// Whole lines for standard output.
    Lines {
        /// The bytes, including line ends.
        bytes: Vec<u8>,
        /// The number of lines.
        count: u64,
    },
    /// Frames for the bus.
    Messages(Vec<BusMessage>),
    /// Indicators whose sightings are all in earlier messages.
    Finished(Vec<Ticket>),
    /// One run of the sink command.
    Command(CommandRun),
}

/// A sighting for the sink command.
#[derive(Debug)]
pub struct CommandRun {
    /// The value of `%ioc`.
    pub ioc: String,
    /// The value of `%matchtype`.
    pub match_type: MatchType,
    /// Standard input: the context, or the whole sighting.
    pub context: Context<'static>,
    /// For the log.
    pub indicator: Arc<str>,
}

impl WriterMessage {
    /// The number of its sightings.
    pub fn count(&self) -> u64 {
        match self {
            WriterMessage::Lines { count, .. } => *count,
            WriterMessage::Messages(messages) => messages.len() as u64,
            WriterMessage::Command(_) => 1,
            WriterMessage::Finished(_) => 0,
        }
    }
}

/// One frame: topic, space, JSON.
#[derive(Debug)]
pub struct BusMessage {
    /// The whole frame.
    pub frame: String,
}
