//! An indicator that means several events.

use std::fmt;
use std::sync::Arc;

use super::Indicator;
use crate::matching::sequence::Expression;
use crate::matching::sequence::shape::Shape;

/// The events that an indicator means together. Each part is an indicator of its own, with
/// the same id, that one event matches or not.
#[derive(Clone)]
pub struct Sequence {
    /// How the events are joined.
    pub expression: Expression,
    /// The same, as it is searched with.
    pub shape: Arc<Shape>,
    /// What each event is, by the number that the expression has for it.
    pub parts: Vec<Indicator>,
}

impl Sequence {
    /// Parts that are joined like this; `None` where that is more events than are kept.
    pub fn new(expression: Expression, parts: Vec<Indicator>) -> Option<Self> {
        Some(Sequence {
            shape: Arc::new(Shape::new(&expression)?),
            expression,
            parts,
        })
    }

    /// Whether it asks for the same as another one.
    pub fn asks_the_same(&self, other: &Sequence) -> bool {
        let mut parts = self.parts.iter().zip(&other.parts);
        self.expression == other.expression
            && self.parts.len() == other.parts.len()
            && parts.all(|(one, other)| one.asks_the_same(other))
    }

    /// What it asks for in words, the same in every run.
    pub fn asked(&self) -> Arc<str> {
        let values = self.parts.iter().map(|part| part.ioc.join("|"));
        let values: Vec<String> = values.collect();
        format!("{} of {}", self.expression, values.join(" ")).into()
    }

    /// About how much memory it takes, in bytes.
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
