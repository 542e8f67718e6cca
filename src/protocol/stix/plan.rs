//! From the syntax tree of a pattern to a plan of what an engine is queried for: values
//! for the list of a batch (every matching event holds one of them), or else a separate
//! query; plus what is checked in the event here. Parts of a pattern that cannot be
//! searched for and can be omitted are left out and named. A pattern of several events
//! becomes an expression over such plans.

mod comparison;
mod required_literals;
mod several;
mod target;

use std::fmt;

use time::OffsetDateTime;

use super::pattern::{Pattern, PatternPosition};
use crate::indicator::{LeftOut, Selection};
use crate::matching::condition::{Check, Condition};
use crate::matching::sequence::Expression;
use crate::observable::Observable;
use several::PlannedObservation;

/// A plan for one pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every matching event holds one of these; empty if there is a selection.
    pub observables: Vec<Observable>,
    /// The separate query, if there are no such values.
    pub selection: Option<Selection>,
    /// What else makes an event a match; `None` if nothing else does.
    pub condition: Option<Condition>,
    /// The values as the pattern writes them, refanged.
    pub values: Vec<String>,
    /// The parts of the pattern that are not searched for.
    pub left_out: Vec<LeftOut>,
    /// The events, if there are several. The plan then has only this, `values` and
    /// `left_out`.
    pub several: Option<Several>,
}

/// A plan for a pattern of several events.
#[derive(Clone, Debug, PartialEq)]
pub struct Several {
    /// How the events are joined. Its part numbers are positions in `parts`.
    pub expression: Expression,
    /// The plan for each of them.
    pub parts: Vec<Plan>,
}

/// Why a pattern is not searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A value is not of its kind; human-readable.
    Wrong(String),
    /// It cannot be searched for; human-readable.
    Unsupported(String),
}

/// Why a part of a pattern is not searched for, and when the rest still counts without
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PartFault {
    /// A value is not of its kind.
    Wrong(String),
    /// It cannot be searched for.
    Unsupported(String),
    /// A positive test of a property that no event has.
    NoPlace {
        /// The type of the object with this property.
        object_type: String,
        /// Whether the property is only metadata.
        is_administrative: bool,
        /// The message.
        reason: String,
    },
}

impl PartFault {
    fn unsupported(position: PatternPosition, reason: impl fmt::Display) -> Self {
        PartFault::Unsupported(format!("{position}: {reason}"))
    }

    fn reason(&self) -> &str {
        match self {
            PartFault::Wrong(reason)
            | PartFault::Unsupported(reason)
            | PartFault::NoPlace { reason, .. } => reason,
        }
    }

    /// The fault of a part whose operands all have one.
    fn of_all(faults: Vec<PartFault>) -> Self {
        let is_wrong = |one: &PartFault| matches!(one, PartFault::Wrong(_));
        let kind = |one: &PartFault| match one {
            PartFault::NoPlace {
                object_type,
                is_administrative,
                ..
            } => Some((object_type.clone(), *is_administrative)),
            _ => None,
        };
        let mut faults = faults.into_iter();
        let Some(first) = faults.next() else {
            return PartFault::Unsupported("there is nothing in it".to_owned());
        };
        let rest: Vec<PartFault> = faults.collect();
        match &first {
            PartFault::Wrong(_) if rest.iter().all(is_wrong) => first,
            PartFault::NoPlace { .. } if rest.iter().all(|one| kind(one) == kind(&first)) => first,
            _ => PartFault::Unsupported(first.reason().to_owned()),
        }
    }
}

impl From<PartFault> for Refused {
    fn from(fault: PartFault) -> Self {
        match fault {
            PartFault::Wrong(reason) => Refused::Wrong(reason),
            PartFault::Unsupported(reason) | PartFault::NoPlace { reason, .. } => {
                Refused::Unsupported(reason)
            }
        }
    }
}

/// The meaning of a part of a pattern: the condition itself, and what narrows the events
/// that can fulfil it.
#[derive(Debug)]
struct PatternPart {
    narrowing: Narrowing,
    condition: Condition,
    /// Whether it contains an equality that identifies a file or a certificate.
    identifies: bool,
    /// Whether it contains a test that such an equality in the same `AND` lets pass if
    /// the event lacks the property.
    may_be_unknown: bool,
}

/// The events that an engine has to be queried for.
#[derive(Debug)]
enum Narrowing {
    /// Those that hold one of these values.
    Anchored(Anchors),
    /// Those that a separate query returns.
    Selected(Selected),
    /// All of them.
    Everything,
}

/// A separate query.
#[derive(Debug)]
struct Selected {
    selection: Selection,
    /// What it searches for, as the pattern writes it.
    values: Vec<String>,
}

/// Values of which every matching event holds at least one.
#[derive(Debug)]
struct Anchors {
    observables: Vec<Observable>,
    values: Vec<String>,
    /// Whether each of them is a match without any other test.
    is_exact: bool,
}

impl Anchors {
    /// Fewer lists are cheaper, and names are more selective than networks.
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
/// A value is not of its kind, or the pattern needs something that no event shows, or
/// more events than are stored.
pub fn plan(pattern: &Pattern) -> Result<Plan, Refused> {
    let mut left_out = Vec::new();
    match several::joined(&pattern.root, &mut left_out)? {
        PlannedObservation::Single { part, text } => Ok(Plan {
            left_out,
            ..of_part(part, text)
        }),
        joined => Ok(Plan {
            left_out,
            ..several::plan(joined)?
        }),
    }
}

/// The plan of a part; `text` is its text in the pattern.
fn of_part(part: PatternPart, text: String) -> Plan {
    let PatternPart {
        narrowing,
        condition,
        ..
    } = part;
    let plan = Plan {
        observables: vec![],
        selection: None,
        condition: Some(condition),
        values: vec![],
        left_out: vec![],
        several: None,
    };
    match narrowing {
        Narrowing::Anchored(anchors) => {
            let mut observables = anchors.observables;
            observables.sort_unstable();
            observables.dedup();
            Plan {
                observables,
                condition: plan.condition.filter(|_| !anchors.is_exact),
                values: anchors.values,
                ..plan
            }
        }
        Narrowing::Selected(Selected { selection, values }) => Plan {
            selection: Some(selection),
            values,
            ..plan
        },
        Narrowing::Everything => Plan {
            selection: Some(Selection::Everything),
            values: vec![text],
            ..plan
        },
    }
}

/// Any of these parts. Those that cannot be searched for are left out, as long as one
/// remains.
fn alternatives<T: fmt::Display>(
    parts: &[T],
    part: impl Fn(&T, &mut Vec<LeftOut>) -> Result<PatternPart, PartFault>,
    left_out: &mut Vec<LeftOut>,
) -> Result<PatternPart, PartFault> {
    Ok(any_of(askable(parts, part, left_out)?))
}

/// The alternatives that can be searched for, at least one.
fn askable<T: fmt::Display, P>(
    parts: &[T],
    part: impl Fn(&T, &mut Vec<LeftOut>) -> Result<P, PartFault>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<P>, PartFault> {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    let mut noted = Vec::new();
    for one in parts {
        let mut inner = Vec::new();
        match part(one, &mut inner) {
            Ok(part) => {
                good.push(part);
                left_out.append(&mut inner);
            }
            Err(fault) => {
                noted.push(LeftOut::new(
                    one,
                    fault.reason(),
                    matches!(fault, PartFault::Wrong(_)),
                ));
                faults.push(fault);
            }
        }
    }
    if good.is_empty() {
        return Err(PartFault::of_all(faults));
    }
    left_out.append(&mut noted);
    Ok(good)
}

fn during(start: OffsetDateTime, stop: OffsetDateTime) -> PatternPart {
    PatternPart {
        narrowing: Narrowing::Selected(Selected {
            selection: Selection::During(start, stop),
            values: vec![],
        }),
        condition: Condition::During(start, stop),
        identifies: false,
        may_be_unknown: false,
    }
}

/// Any of these: values are enough if all of them have some.
fn any_of(mut parts: Vec<PatternPart>) -> PatternPart {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let identifies = parts.iter().any(|one| one.identifies);
    let may_be_unknown = parts.iter().any(|one| one.may_be_unknown);
    let (narrowings, conditions): (Vec<Narrowing>, Vec<Condition>) = parts
        .into_iter()
        .map(|one| (one.narrowing, one.condition))
        .unzip();
    PatternPart {
        narrowing: any_narrowing(narrowings),
        condition: any_condition(conditions),
        identifies,
        may_be_unknown,
    }
}

/// Any of these conditions. Equalities on one property become one with a list.
fn any_condition(conditions: Vec<Condition>) -> Condition {
    let mut all: Vec<Condition> = Vec::with_capacity(conditions.len());
    for condition in conditions {
        match (all.last_mut(), condition) {
            (Some(Condition::Test(last)), Condition::Test(mut test)) if last.is_like(&test) => {
                if let (Check::Holds(all), Check::Holds(more)) = (&mut last.check, &mut test.check)
                {
                    all.append(more);
                }
            }
            (_, condition) => all.push(condition),
        }
    }
    match all.len() {
        1 => all.remove(0),
        _ => Condition::Any(all),
    }
}

fn any_narrowing(narrowings: Vec<Narrowing>) -> Narrowing {
    let is_anchored = |narrowing: &Narrowing| matches!(narrowing, Narrowing::Anchored(_));
    if narrowings.iter().all(is_anchored) {
        Narrowing::Anchored(any_anchors(narrowings))
    } else {
        any_selected(narrowings)
    }
}

/// The values of all of these, each of which has some.
fn any_anchors(narrowings: Vec<Narrowing>) -> Anchors {
    let mut all = Anchors {
        observables: vec![],
        values: vec![],
        is_exact: true,
    };
    for narrowing in narrowings {
        if let Narrowing::Anchored(anchors) = narrowing {
            all.is_exact &= anchors.is_exact;
            all.observables.extend(anchors.observables);
            all.values.extend(anchors.values);
        }
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

/// All of these: the cheapest values among theirs are enough; if there are none,
/// everything that narrows.
///
/// A test that an equal hash can make pass as unknown narrows nothing: an event that
/// identifies the file holds one of the hashes, and maybe nothing else of the pattern.
fn all_of(mut parts: Vec<PatternPart>) -> PatternPart {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let identifies = parts.iter().any(|one| one.identifies);
    let may_be_unknown = parts.iter().any(|one| one.may_be_unknown);
    let (mut narrowings, mut of_hashes) = (Vec::new(), Vec::new());
    let mut conditions = Vec::with_capacity(parts.len());
    for part in parts {
        conditions.push(part.condition);
        if part.identifies {
            of_hashes.push(part.narrowing);
        } else if !(identifies && part.may_be_unknown) {
            narrowings.push(part.narrowing);
        }
    }
    if !of_hashes.is_empty() {
        narrowings.push(any_narrowing(of_hashes));
    }
    PatternPart {
        narrowing: all_narrowing(narrowings),
        condition: Condition::All(conditions),
        identifies,
        may_be_unknown,
    }
}

fn all_narrowing(narrowings: Vec<Narrowing>) -> Narrowing {
    let mut best: Option<Anchors> = None;
    let mut selected: Vec<Selected> = Vec::new();
    for narrowing in narrowings {
        match narrowing {
            Narrowing::Anchored(anchors) => {
                let is_cheaper = |best: &Anchors| anchors.cost() < best.cost();
                if best.as_ref().is_none_or(is_cheaper) {
                    best = Some(anchors);
                }
            }
            Narrowing::Selected(one) => selected.push(one),
            Narrowing::Everything => {}
        }
    }
    match best {
        // Everything else has to hold too, and for the same objects.
        Some(anchors) => Narrowing::Anchored(Anchors {
            is_exact: false,
            ..anchors
        }),
        None => all_selected(selected),
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
mod tests;
