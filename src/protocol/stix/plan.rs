//! From the tree of a pattern to what an engine is asked for: values for the list
//! of a batch, of which every matching event holds one, or else a query of its own;
//! and what else is checked in the event here.

mod comparison;
mod fragments;

use time::OffsetDateTime;

use super::pattern::{Observation, Pattern, Position, Qualifier, QualifierKind};
use crate::indicator::{Selection, timestamp};
use crate::matching::condition::Condition;
use crate::observable::Observable;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every matching event holds one of these; empty where there is a selection.
    pub observables: Vec<Observable>,
    /// What a query of its own asks for, where there are no such values.
    pub selection: Option<Selection>,
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

/// What a part of a pattern means: the condition itself, and among which events
/// those are that fulfil it.
#[derive(Debug)]
struct Part {
    narrowing: Narrowing,
    condition: Condition,
}

/// Which events an engine has to be asked for.
#[derive(Debug)]
enum Narrowing {
    /// Those that hold one of these values.
    Anchored(Anchors),
    /// Those that a query of its own gives.
    Selected(Selected),
    /// All of them.
    Everything,
}

/// What a query of its own asks for.
#[derive(Debug)]
struct Selected {
    selection: Selection,
    /// What it looks for, as the pattern writes it.
    values: Vec<String>,
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

    fn into_selected(self) -> Selected {
        Selected {
            selection: Selection::Values(self.observables),
            values: self.values,
        }
    }
}

/// Plans a whole pattern.
///
/// # Errors
/// A value is none of its kind, or the pattern asks for what no query can narrow,
/// or for several observations, which no single event can be.
pub fn plan(pattern: &Pattern) -> Result<Plan, Refused> {
    let Part {
        narrowing,
        condition,
    } = observation(&pattern.root)?;
    match narrowing {
        Narrowing::Anchored(anchors) => Ok(by_values(anchors)),
        Narrowing::Selected(Selected { selection, values }) if selection.is_narrow() => Ok(Plan {
            observables: vec![],
            selection: Some(selection),
            condition: Some(condition),
            values,
        }),
        Narrowing::Selected(_) | Narrowing::Everything => Err(Refused::Unsupported(
            "nothing in it narrows a query: every alternative needs a value to look up (=, IN, \
             ISSUBSET), a text to search for (LIKE, MATCHES) or a number to compare with"
                .to_owned(),
        )),
    }
}

/// The plan for values that go into the lists of a batch.
fn by_values(mut anchors: Anchors) -> Plan {
    let mut observables = anchors.observables;
    observables.sort_unstable();
    observables.dedup();
    Plan {
        observables,
        selection: None,
        condition: match anchors.rest.len() {
            0 | 1 => anchors.rest.pop(),
            _ => Some(Condition::All(anchors.rest)),
        },
        values: anchors.values,
    }
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
                if let Some((start, stop)) = qualified(qualifier)? {
                    part = all_of(vec![part, during(start, stop)]);
                }
            }
            Ok(part)
        }
    }
}

/// What a qualifier adds for a single event: the time before which it cannot have
/// been, and that before which it must.
fn qualified(qualifier: &Qualifier) -> Result<Option<(OffsetDateTime, OffsetDateTime)>, Refused> {
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
            Ok(Some((time(&start.text)?, time(&stop.text)?)))
        }
    }
}

fn during(start: OffsetDateTime, stop: OffsetDateTime) -> Part {
    Part {
        narrowing: Narrowing::Selected(Selected {
            selection: Selection::During(start, stop),
            values: vec![],
        }),
        condition: Condition::During(start, stop),
    }
}

/// Any of these: values do where all of them have some.
fn any_of(parts: Vec<Part>) -> Part {
    let (narrowings, conditions): (Vec<Narrowing>, Vec<Condition>) = parts
        .into_iter()
        .map(|one| (one.narrowing, one.condition))
        .unzip();
    let condition = Condition::Any(conditions);
    let is_anchored = |narrowing: &Narrowing| matches!(narrowing, Narrowing::Anchored(_));
    let narrowing = match narrowings.iter().all(is_anchored) {
        true => Narrowing::Anchored(any_anchors(narrowings, &condition)),
        false => any_selected(narrowings),
    };
    Part {
        narrowing,
        condition,
    }
}

/// The values of all of these, which all have some.
fn any_anchors(narrowings: Vec<Narrowing>, condition: &Condition) -> Anchors {
    let mut all = Anchors {
        observables: vec![],
        values: vec![],
        rest: vec![],
    };
    let mut is_exact = true;
    for narrowing in narrowings {
        if let Narrowing::Anchored(anchors) = narrowing {
            is_exact &= anchors.rest.is_empty();
            all.observables.extend(anchors.observables);
            all.values.extend(anchors.values);
        }
    }
    if !is_exact {
        // The rest of one is not that of another: all of it is checked.
        all.rest.push(condition.clone());
    }
    all
}

fn any_selected(narrowings: Vec<Narrowing>) -> Narrowing {
    let (mut selections, mut values) = (Vec::new(), Vec::new());
    for narrowing in narrowings {
        let selected = match narrowing {
            Narrowing::Anchored(anchors) => anchors.into_selected(),
            Narrowing::Selected(selected) => selected,
            Narrowing::Everything => return Narrowing::Everything,
        };
        selections.push(selected.selection);
        values.extend(selected.values);
    }
    Narrowing::Selected(Selected {
        selection: Selection::Any(selections),
        values,
    })
}

/// All of these: the cheapest values among theirs do, and where there are none,
/// everything that narrows.
fn all_of(parts: Vec<Part>) -> Part {
    let mut best: Option<(usize, Anchors)> = None;
    let mut selected: Vec<Selected> = Vec::new();
    let mut conditions = Vec::with_capacity(parts.len());
    for (number, part) in parts.into_iter().enumerate() {
        conditions.push(part.condition);
        match part.narrowing {
            Narrowing::Anchored(anchors) => {
                let is_cheaper = |(_, best): &(usize, Anchors)| anchors.cost() < best.cost();
                if best.as_ref().is_none_or(is_cheaper) {
                    best = Some((number, anchors));
                }
            }
            Narrowing::Selected(one) => selected.push(one),
            Narrowing::Everything => {}
        }
    }
    let narrowing = match best {
        Some((number, mut anchors)) => {
            let others = conditions.iter().enumerate();
            let others = others.filter(|(other, _)| *other != number);
            anchors.rest.extend(others.map(|(_, other)| other.clone()));
            Narrowing::Anchored(anchors)
        }
        None => all_selected(selected),
    };
    Part {
        narrowing,
        condition: Condition::All(conditions),
    }
}

fn all_selected(mut selected: Vec<Selected>) -> Narrowing {
    match selected.len() {
        0 => return Narrowing::Everything,
        1 => return Narrowing::Selected(selected.remove(0)),
        _ => {}
    }
    let (selections, values): (Vec<Selection>, Vec<Vec<String>>) = selected
        .into_iter()
        .map(|one| (one.selection, one.values))
        .unzip();
    Narrowing::Selected(Selected {
        selection: Selection::All(selections),
        values: values.concat(),
    })
}

#[cfg(test)]
pub(crate) mod meaning;
#[cfg(test)]
mod tests;
