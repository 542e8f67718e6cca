//! Patterns of several events: the observations of a pattern, and the operators between
//! them.

use time::OffsetDateTime;

use super::{
    PartFault, PatternPart, Plan, Refused, Several, all_of, any_of, askable, comparison, during,
};
use crate::indicator::{LeftOut, timestamp};
use crate::matching::sequence::shape::Shape;
use crate::matching::sequence::{Expression, MOST_EVENTS, Time};
use crate::protocol::stix::pattern::{Observation, PatternPosition, Qualifier, QualifierKind};

/// Observations, and how they are joined.
#[derive(Debug)]
pub(super) enum PlannedObservation {
    /// One event, and the text of its observation.
    Single {
        part: PatternPart,
        text: String,
    },
    All(Vec<PlannedObservation>),
    Any(Vec<PlannedObservation>),
    InOrder(Vec<PlannedObservation>),
    /// In nanoseconds.
    Within(Box<PlannedObservation>, Time),
    Repeated(Box<PlannedObservation>, u64),
}

/// Plans an observation. Alternatives of one event each become one observation.
pub(super) fn joined(
    observation: &Observation,
    left_out: &mut Vec<LeftOut>,
) -> Result<PlannedObservation, PartFault> {
    let mut each = |parts: &[Observation]| -> Result<Vec<PlannedObservation>, PartFault> {
        parts.iter().map(|one| joined(one, left_out)).collect()
    };
    match observation {
        Observation::Single(comparison) => Ok(PlannedObservation::Single {
            part: comparison::part(comparison, left_out)?,
            text: observation.to_string(),
        }),
        Observation::And(parts) => each(parts).map(PlannedObservation::All),
        Observation::FollowedBy(parts) => each(parts).map(PlannedObservation::InOrder),
        Observation::Or(parts) => askable(parts, joined, left_out).map(any),
        Observation::Qualified { inner, qualifiers } => {
            let inner = joined(inner, left_out)?;
            qualifiers.iter().try_fold(inner, qualified)
        }
    }
}

fn any(parts: Vec<PlannedObservation>) -> PlannedObservation {
    let (mut singles, mut texts, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for one in parts {
        match one {
            PlannedObservation::Single { part, text } => {
                singles.push(part);
                texts.push(text);
            }
            other => others.push(other),
        }
    }
    if !singles.is_empty() {
        let single = PlannedObservation::Single {
            part: any_of(singles),
            text: texts.join(" OR "),
        };
        others.insert(0, single);
    }
    match others.len() {
        1 => others.remove(0),
        _ => PlannedObservation::Any(others),
    }
}

fn qualified(
    inner: PlannedObservation,
    qualifier: &Qualifier,
) -> Result<PlannedObservation, PartFault> {
    let is_single = matches!(inner, PlannedObservation::Single { .. });
    match &qualifier.kind {
        // The parser rejects 0.
        QualifierKind::Repeats(0 | 1) => Ok(inner),
        QualifierKind::Repeats(times) => Ok(PlannedObservation::Repeated(Box::new(inner), *times)),
        // One event is within any span.
        QualifierKind::Within(_) if is_single => Ok(inner),
        QualifierKind::Within(seconds) => {
            // Saturates: no event is that far from another.
            Ok(PlannedObservation::Within(
                Box::new(inner),
                (seconds * 1e9) as Time,
            ))
        }
        QualifierKind::StartStop { start, stop, .. } => {
            let time = |text: &str| time(qualifier.position, text);
            Ok(inner.during(time(&start.text)?, time(&stop.text)?))
        }
    }
}

fn time(position: PatternPosition, text: &str) -> Result<OffsetDateTime, PartFault> {
    timestamp(text)
        .ok_or_else(|| PartFault::unsupported(position, format_args!("{text:?} is no time")))
}

impl PlannedObservation {
    /// The same within a time span, in which each of the events has to be.
    fn during(self, start: OffsetDateTime, stop: OffsetDateTime) -> Self {
        let each = |parts: Vec<PlannedObservation>| -> Vec<PlannedObservation> {
            let parts = parts.into_iter();
            parts.map(|one| one.during(start, stop)).collect()
        };
        match self {
            PlannedObservation::Single { part, text } => PlannedObservation::Single {
                part: all_of(vec![part, during(start, stop)]),
                text,
            },
            PlannedObservation::All(parts) => PlannedObservation::All(each(parts)),
            PlannedObservation::Any(parts) => PlannedObservation::Any(each(parts)),
            PlannedObservation::InOrder(parts) => PlannedObservation::InOrder(each(parts)),
            PlannedObservation::Within(inner, most) => {
                PlannedObservation::Within(Box::new(inner.during(start, stop)), most)
            }
            PlannedObservation::Repeated(inner, times) => {
                PlannedObservation::Repeated(Box::new(inner.during(start, stop)), times)
            }
        }
    }

    /// The expression. Each single observation becomes a part; equal ones share one.
    fn expression(self, parts: &mut Vec<Plan>) -> Expression {
        let mut each = |inner: Vec<PlannedObservation>| -> Vec<Expression> {
            let inner = inner.into_iter();
            inner.map(|one| one.expression(parts)).collect()
        };
        match self {
            PlannedObservation::All(inner) => Expression::All(each(inner)),
            PlannedObservation::Any(inner) => Expression::Any(each(inner)),
            PlannedObservation::InOrder(inner) => Expression::InOrder(each(inner)),
            PlannedObservation::Within(inner, most) => {
                Expression::Within(Box::new(inner.expression(parts)), most)
            }
            PlannedObservation::Repeated(inner, times) => {
                Expression::Repeated(Box::new(inner.expression(parts)), times)
            }
            PlannedObservation::Single { part, text } => {
                let plan = super::of_part(part, text);
                let searches_the_same = |other: &Plan| {
                    (&other.observables, &other.selection, &other.condition)
                        == (&plan.observables, &plan.selection, &plan.condition)
                };
                let known = parts.iter().position(searches_the_same);
                let number = known.unwrap_or(parts.len());
                if known.is_none() {
                    parts.push(plan);
                }
                Expression::Observed {
                    // More parts are rejected with the whole pattern.
                    part: u16::try_from(number).unwrap_or(u16::MAX),
                    times: 1,
                }
            }
        }
    }
}

/// Plans a pattern of several events.
pub(super) fn plan(joined: PlannedObservation) -> Result<Plan, Refused> {
    let mut parts = Vec::new();
    let expression = joined.expression(&mut parts).simplified();
    if parts.len() > usize::from(u16::MAX) || Shape::new(&expression).is_none() {
        let reason = format!(
            "it needs more events than are kept: {MOST_EVENTS}, or fewer where repetitions \
             follow several observations"
        );
        return Err(Refused::Unsupported(reason));
    }
    let several = match expression {
        // The alternatives turned out to be the same.
        Expression::Observed { times: 1, .. } => return Ok(parts.remove(0)),
        expression => Several { expression, parts },
    };
    Ok(Plan {
        observables: vec![],
        selection: None,
        condition: None,
        values: several
            .parts
            .iter()
            .flat_map(|one| one.values.clone())
            .collect(),
        left_out: vec![],
        several: Some(several),
    })
}
