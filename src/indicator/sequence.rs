//! Indicators of several events.

use std::fmt;
use std::sync::Arc;

use super::Indicator;
use crate::matching::sequence::Expression;
use crate::matching::sequence::shape::Shape;

/// The events that an indicator means together. Each part is an indicator with the same
/// id, which a single event matches or not.
#[derive(Clone)]
pub struct Sequence {
    /// How the events are joined.
    pub expression: Expression,
    /// The same, prepared for the search.
    pub shape: Arc<Shape>,
    /// The indicator for each event, by its number in the expression.
    pub parts: Vec<Indicator>,
}

impl Sequence {
    /// Makes one of parts and their expression; `None` if it needs more events than are
    /// stored.
    pub fn new(expression: Expression, parts: Vec<Indicator>) -> Option<Self> {
        Some(Sequence {
            shape: Arc::new(Shape::new(&expression)?),
            expression,
            parts,
        })
    }

    /// Whether it searches for the same as another one.
    pub fn searches_the_same(&self, other: &Sequence) -> bool {
        let mut parts = self.parts.iter().zip(&other.parts);
        self.expression == other.expression
            && self.parts.len() == other.parts.len()
            && parts.all(|(one, other)| one.searches_the_same(other))
    }

    /// What it searches for in words, the same in every run.
    pub fn target(&self) -> Arc<str> {
        let values = self.parts.iter().map(|part| part.ioc.join("|"));
        let values: Vec<String> = values.collect();
        format!("{} of {}", self.expression, values.join(" ")).into()
    }

    /// Its approximate size in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.parts.iter().map(Indicator::size).sum::<usize>()
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Sequence");
        debug.field("expression", &self.expression);
        debug.field("parts", &self.parts).finish()
    }
}
