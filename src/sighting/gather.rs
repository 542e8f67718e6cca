//! Sightings that wait to be transformed together, since their command keeps running.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lines::TransformInput;
use crate::indicator::Indicator;
use crate::protocol::{Context, Facts, MatchType};

/// The longest time that a sighting in stored events waits for others. The more sightings
/// of an indicator are transformed together, the fewer processes are started.
const LONGEST_RETRO: Duration = Duration::from_secs(5);

/// The same for a live one.
const LONGEST_LIVE: Duration = Duration::from_secs(1);

/// The most waiting sightings.
const MOST_TO_TRANSFORM: usize = 20_000;

/// A waiting sighting.
#[derive(Debug)]
pub(super) struct GatheredSighting {
    /// The original event, if it is still needed.
    pub event: Option<Context<'static>>,
    /// The input of the command.
    pub context: Context<'static>,
    /// The facts about it.
    pub facts: Facts,
}

impl GatheredSighting {
    pub(super) fn new(event: Option<&Context<'_>>, context: &Context<'_>, facts: Facts) -> Self {
        GatheredSighting {
            event: event.map(|event| event.clone().into_owned()),
            context: context.clone().into_owned(),
            facts,
        }
    }

    /// The request to the command.
    pub(super) fn input(&self, ioc: &str) -> TransformInput {
        TransformInput {
            ioc: ioc.to_owned(),
            match_type: self.facts.match_type,
            context: self.context.clone(),
        }
    }
}

/// The waiting sightings of one thread.
#[derive(Debug)]
pub(super) struct Gathering {
    waiting: Vec<(Arc<Indicator>, GatheredSighting)>,
    since: Instant,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Gathering {
            waiting: Vec::new(),
            since: Instant::now(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a sighting; returns whether it is time for the command.
    pub(super) fn push(&mut self, indicator: &Indicator, one: GatheredSighting) -> bool {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        // The next one is usually of the same indicator.
        let known = self.waiting.last().map(|(known, _)| known);
        let known = known.filter(|known| Arc::ptr_eq(&known.id, &indicator.id));
        let indicator = known.cloned().unwrap_or_else(|| indicator.clone().into());
        let longest = match one.facts.match_type {
            MatchType::Retro => LONGEST_RETRO,
            MatchType::Live => LONGEST_LIVE,
        };
        self.waiting.push((indicator, one));
        self.waiting.len() >= MOST_TO_TRANSFORM || self.since.elapsed() >= longest
    }

    /// Removes and returns all of them in order.
    pub(super) fn take(&mut self) -> Vec<(Arc<Indicator>, GatheredSighting)> {
        std::mem::take(&mut self.waiting)
    }
}
