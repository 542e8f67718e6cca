//! Live indicators of several events: each part is matched like a separate indicator,
//! under a unique name.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::indicator::Indicator;
use crate::intake::Expiry;

/// Says which whole something is a part of.
#[derive(Clone, Debug)]
pub struct LivePart {
    /// Its number.
    pub number: u16,
    /// The whole, without its original message.
    pub of: Arc<Indicator>,
}

/// All indicators of several events.
#[derive(Debug, Default)]
pub(super) struct LiveSequences {
    wholes: HashMap<Arc<str>, Whole>,
    /// By part name.
    parts: HashMap<Arc<str>, LivePart>,
}

#[derive(Debug)]
struct Whole {
    indicator: Arc<Indicator>,
    names: Vec<Arc<str>>,
    end: Option<Expiry>,
}

impl LiveSequences {
    /// Adds an indicator of several events whose id is not present; returns the parts to
    /// match.
    pub(super) fn put(&mut self, indicator: &Indicator, end: Option<Expiry>) -> Vec<Indicator> {
        let whole = Arc::new(indicator.for_live());
        let Some(sequence) = whole.sequence.clone() else {
            return Vec::new();
        };
        let parts = (0..).zip(&sequence.parts).map(|(number, part)| {
            let of = whole.clone();
            let name: Arc<str> = format!("part {}", Uuid::new_v4()).into();
            self.parts.insert(name.clone(), LivePart { number, of });
            Indicator {
                id: name,
                ..part.for_live()
            }
        });
        let parts: Vec<Indicator> = parts.collect();
        let whole = Whole {
            names: parts.iter().map(|part| part.id.clone()).collect(),
            indicator: whole,
            end,
        };
        self.wholes.insert(indicator.id.clone(), whole);
        parts
    }

    /// Whether this very indicator is present; if so, sets its end.
    pub(super) fn repeat(&mut self, indicator: &Indicator, end: Option<Expiry>) -> bool {
        let known = self.wholes.get_mut(&indicator.id);
        let is_same = |whole: &&mut Whole| {
            whole.indicator.searches_the_same(indicator)
                && whole.indicator.protocol == indicator.protocol
        };
        let same = known.filter(is_same);
        same.map(|whole| whole.end = end).is_some()
    }

    /// Removes an indicator; returns the names of its parts.
    pub(super) fn remove(&mut self, id: &str) -> Vec<Arc<str>> {
        let names = self
            .wholes
            .remove(id)
            .map_or_else(Vec::new, |whole| whole.names);
        for name in &names {
            self.parts.remove(name);
        }
        names
    }

    /// When an indicator ends, if it is present and has an end.
    pub(super) fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.wholes.get(id)?.end
    }

    /// The part with this name.
    pub(super) fn part(&self, name: &str) -> Option<&LivePart> {
        self.parts.get(name)
    }

    /// The id of the indicator with a part of this name, or else the name.
    pub(super) fn id(&self, name: Arc<str>) -> Arc<str> {
        self.part(&name).map_or(name, |part| part.of.id.clone())
    }
}
