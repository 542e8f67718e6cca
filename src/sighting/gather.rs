//! Sightings that wait to be asked for together, since their command stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lines::TransformInput;
use crate::indicator::Indicator;
use crate::protocol::{Context, Facts, MatchType};

/// How long a sighting in stored events waits for company at the most. The more of
/// an indicator come together, the fewer processes are started.
const LONGEST_RETRO: Duration = Duration::from_secs(5);

/// How long a live one does.
const LONGEST_LIVE: Duration = Duration::from_secs(1);

/// How many wait at the most.
const MOST: usize = 20_000;

/// A sighting that waits.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The event as it was printed, where that has to be known still.
    pub event: Option<Context<'static>>,
    /// What the command gets.
    pub context: Context<'static>,
    /// What is known of it.
    pub facts: Facts,
}

impl Gathered {
    pub(super) fn new(event: Option<&Context<'_>>, context: &Context<'_>, facts: Facts) -> Self {
        Gathered {
            event: event.map(|event| event.clone().into_owned()),
            context: context.clone().into_owned(),
            facts,
        }
    }

    /// What the command is asked.
    pub(super) fn question(&self, ioc: &str) -> TransformInput {
        TransformInput {
            ioc: ioc.to_owned(),
            match_type: self.facts.match_type,
            context: self.context.clone(),
        }
    }
}

/// The sightings of one thread that wait.
#[derive(Debug)]
pub(super) struct Gathering {
    waiting: Vec<(Arc<Indicator>, Gathered)>,
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

    /// A sighting comes; says whether it is time to ask.
    pub(super) fn push(&mut self, indicator: &Indicator, one: Gathered) -> bool {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        // The next is mostly of the same indicator.
        let known = self.waiting.last().map(|(known, _)| known);
        let known = known.filter(|known| Arc::ptr_eq(&known.id, &indicator.id));
        let indicator = known.cloned().unwrap_or_else(|| indicator.clone().into());
        let longest = match one.facts.match_type {
            MatchType::Retro => LONGEST_RETRO,
            MatchType::Live => LONGEST_LIVE,
        };
        self.waiting.push((indicator, one));
        self.waiting.len() >= MOST || self.since.elapsed() >= longest
    }

    /// Takes all that wait, in their order.
    pub(super) fn take(&mut self) -> Vec<(Arc<Indicator>, Gathered)> {
        std::mem::take(&mut self.waiting)
    }
}
