//! From the tree of a pattern to what an engine is asked for: values for the list
//! of a batch, of which every matching event holds one, and what else is checked
//! in the event here.

mod comparison;

use time::OffsetDateTime;

use super::pattern::{Observation, Pattern, Position, Qualifier, QualifierKind};
use crate::indicator::{Observable, timestamp};
use crate::matching::condition::Condition;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every matching event holds one of these. Never empty.
    pub observables: Vec<Observable>,
    /// What else makes an event a match; `None` where each of them does.
    pub condition: Option<Condition>,
    /// The values as the pattern writes them.
    pub values: Vec<String>,
}

/// Why a pattern is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A value is none of its kind; what, for a person.
    Wrong(String),
    /// It cannot be asked for; why, for a person.
    Unsupported(String),
}

impl Refused {
    fn unsupported(position: Position, reason: impl std::fmt::Display) -> Self {
        Refused::Unsupported(format!("{position}: {reason}"))
    }
}

/// What a part of a pattern means: the condition itself, and where one can be
/// named the values of which every event that fulfils it holds one.
#[derive(Debug)]
struct Part {
    anchors: Option<Anchors>,
    condition: Condition,
}

/// Values of which every matching event holds one.
#[derive(Debug)]
struct Anchors {
    observables: Vec<Observable>,
    values: Vec<String>,
    /// What else makes an event a match that the engine gives for one of them;
    /// nothing where each makes a match by itself.
    rest: Vec<Condition>,
}

impl Anchors {
    /// Fewer lists are cheaper, and names tell more than networks.
    fn cost(&self) -> usize {
        self.observables.iter().map(Observable::weight).sum()
    }
}

/// Plans a whole pattern.
///
/// # Errors
/// A value is none of its kind, or the pattern asks for what no query by values
/// can narrow, or for several observations, which no single event can be.
pub fn plan(pattern: &Pattern) -> Result<Plan, Refused> {
    let part = observation(&pattern.root)?;
    let Some(mut anchors) = part.anchors else {
        return Err(Refused::Unsupported(
            "nothing in it is a value that can be looked up: it needs an equality, IN or \
             ISSUBSET on a property of the table in every alternative"
                .to_owned(),
        ));
    };
    let mut observables = anchors.observables;
    observables.sort_unstable();
    observables.dedup();
    Ok(Plan {
        observables,
        condition: match anchors.rest.len() {
            0 | 1 => anchors.rest.pop(),
            _ => Some(Condition::All(anchors.rest)),
        },
        values: anchors.values,
    })
}

fn observation(observation: &Observation) -> Result<Part, Refused> {
    let several = |what: &str| {
        let reason = format!("{what} of several observations, which no single event can be");
        Err(Refused::Unsupported(reason))
    };
    match observation {
        Observation::Single(comparison) => comparison::part(comparison),
        Observation::Or(parts) => {
            let parts: Result<Vec<Part>, Refused> = parts.iter().map(self::observation).collect();
            Ok(any_of(parts?))
        }
        Observation::And(_) => several("AND"),
        Observation::FollowedBy(_) => several("FOLLOWEDBY"),
        Observation::Qualified { inner, qualifiers } => {
            let mut part = self::observation(inner)?;
            for qualifier in qualifiers {
                if let Some(condition) = qualified(qualifier)? {
                    part = all_of(vec![part, unanchored(condition)]);
                }
            }
            Ok(part)
        }
    }
}

/// What a qualifier adds for a single event.
fn qualified(qualifier: &Qualifier) -> Result<Option<Condition>, Refused> {
    match &qualifier.kind {
        // One event is within any span, and there once.
        QualifierKind::Within(_) | QualifierKind::Repeats(1) => Ok(None),
        QualifierKind::Repeats(times) => Err(Refused::unsupported(
            qualifier.position,
            format_args!("REPEATS {times} TIMES: events are looked at one by one"),
        )),
        QualifierKind::StartStop { start, stop, .. } => {
            let time = |text: &str| -> Result<OffsetDateTime, Refused> {
                timestamp(text).ok_or_else(|| {
                    Refused::unsupported(qualifier.position, format_args!("{text:?} is no time"))
                })
            };
            let (start, stop) = (time(&start.text)?, time(&stop.text)?);
            Ok(Some(Condition::During(start, stop)))
        }
    }
}

fn unanchored(condition: Condition) -> Part {
    Part {
        anchors: None,
        condition,
    }
}

/// Any of these: it has anchors where all of them have.
fn any_of(parts: Vec<Part>) -> Part {
    let (mut observables, mut values) = (Vec::new(), Vec::new());
    let mut conditions = Vec::with_capacity(parts.len());
    let (mut anchored, mut exact) = (true, true);
    for part in parts {
        conditions.push(part.condition);
        match part.anchors {
            Some(anchors) => {
                exact &= anchors.rest.is_empty();
                observables.extend(anchors.observables);
                values.extend(anchors.values);
            }
            None => anchored = false,
        }
    }
    let condition = Condition::Any(conditions);
    // The rest of one is not that of another: all of it is checked.
    let rest = if exact {
        vec![]
    } else {
        vec![condition.clone()]
    };
    let anchors = Anchors {
        observables,
        values,
        rest,
    };
    Part {
        anchors: anchored.then_some(anchors),
        condition,
    }
}

/// All of these: the cheapest anchors among theirs do.
fn all_of(parts: Vec<Part>) -> Part {
    let mut best: Option<(usize, Anchors)> = None;
    let mut conditions = Vec::with_capacity(parts.len());
    for (number, part) in parts.into_iter().enumerate() {
        conditions.push(part.condition);
        if let Some(anchors) = part.anchors {
            let is_cheaper = |(_, best): &(usize, Anchors)| anchors.cost() < best.cost();
            if best.as_ref().is_none_or(is_cheaper) {
                best = Some((number, anchors));
            }
        }
    }
    let anchors = best.map(|(number, mut anchors)| {
        let others = conditions.iter().enumerate();
        let others = others.filter(|(other, _)| *other != number);
        anchors.rest.extend(others.map(|(_, other)| other.clone()));
        anchors
    });
    Part {
        anchors,
        condition: Condition::All(conditions),
    }
}

#[cfg(test)]
mod tests;
