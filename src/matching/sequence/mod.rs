//! Patterns of several events: finds the events that together match a pattern.
//!
//! An [`Expression`] says how events have to be joined (STIX 2.1, 9.4 to 9.6). An event
//! is a time and the parts of the pattern that it satisfies. An *instance* binds each
//! observation of the expression to a different event:
//!
//! * all of [`Expression::All`], any one of [`Expression::Any`];
//! * [`Expression::InOrder`]: no event of an earlier operand is later than one of a later
//!   operand;
//! * [`Expression::Within`]: at most this time lies between the first and the last event;
//! * [`Expression::Repeated`]: this many instances without a common event.
//!
//! For each event that can end an instance, [`search::ending_at`] finds one: of the
//! instances that end with it the first (compared event by event, from the earliest on),
//! without the events that it does not need. Events are ordered by time and then as a
//! [`track::Track`] orders them. The track stores all events seen and finds those that
//! end an instance, no matter in which order they arrive.

pub mod search;
pub mod shape;
pub mod track;

#[cfg(test)]
#[path = "../../../tests/oracles/instances.rs"]
pub(crate) mod oracle;

use std::fmt;

/// The most events in one instance, and the most observations into which an expression is
/// expanded.
pub const MOST_EVENTS: u64 = 10_000;

/// Nanoseconds since 1970.
pub type Time = i128;

/// How events have to be joined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expression {
    /// This many events, at least one, that satisfy this part of the pattern.
    Observed {
        /// The number of the part.
        part: u16,
        /// The number of events.
        times: u64,
    },
    /// An instance of each, without a common event.
    All(Vec<Expression>),
    /// An instance of any one.
    Any(Vec<Expression>),
    /// An instance of each, in this order of time.
    InOrder(Vec<Expression>),
    /// An instance that spans no more than this, in nanoseconds.
    Within(Box<Expression>, Time),
    /// This many instances, at least one, without a common event.
    Repeated(Box<Expression>, u64),
}

impl Expression {
    /// The most events in an instance.
    pub fn most_events(&self) -> u64 {
        match self {
            Expression::Observed { times, .. } => *times,
            Expression::All(parts) | Expression::InOrder(parts) => {
                let events = parts.iter().map(Expression::most_events);
                events.fold(0, u64::saturating_add)
            }
            Expression::Any(parts) => parts.iter().map(Expression::most_events).max().unwrap_or(0),
            Expression::Within(inner, _) => inner.most_events(),
            Expression::Repeated(inner, times) => inner.most_events().saturating_mul(*times),
        }
    }

    /// The longest span of an instance in nanoseconds; `None` if it is unbounded.
    pub fn span(&self) -> Option<Time> {
        match self {
            Expression::Observed { times: 1, .. } => Some(0),
            Expression::Observed { .. } => None,
            Expression::All(parts) | Expression::InOrder(parts) => match &**parts {
                [one] => one.span(),
                _ => None,
            },
            Expression::Any(parts) => {
                let spans: Option<Vec<Time>> = parts.iter().map(Expression::span).collect();
                spans.and_then(|spans| spans.into_iter().max())
            }
            Expression::Within(inner, most) => {
                Some(inner.span().map_or(*most, |span| span.min(*most)))
            }
            Expression::Repeated(inner, 1) => inner.span(),
            Expression::Repeated(..) => None,
        }
    }

    /// An equivalent expression with fewer nodes: repetitions move down to single
    /// observations where that is equivalent, and equal operands of an `All` become one
    /// with a count.
    pub fn simplified(self) -> Self {
        match self {
            Expression::Observed { .. } => self,
            Expression::All(parts) => all(parts),
            Expression::Any(parts) => {
                let mut simple: Vec<Expression> = Vec::with_capacity(parts.len());
                for part in parts.into_iter().map(Expression::simplified) {
                    match part {
                        Expression::Any(inner) => simple.extend(inner),
                        part => simple.push(part),
                    }
                }
                let mut once: Vec<Expression> = Vec::with_capacity(simple.len());
                for part in simple {
                    if !once.contains(&part) {
                        once.push(part);
                    }
                }
                alone(once, Expression::Any)
            }
            Expression::InOrder(parts) => {
                let parts = parts.into_iter().map(Expression::simplified).collect();
                alone(parts, Expression::InOrder)
            }
            Expression::Within(inner, most) => match inner.simplified() {
                inner if inner.span().is_some_and(|span| span <= most) => inner,
                Expression::Within(inner, _) => Expression::Within(inner, most),
                inner => Expression::Within(Box::new(inner), most),
            },
            Expression::Repeated(inner, times) => repeated(inner.simplified(), times),
        }
    }

    /// Writes the expression with the names of its parts.
    fn write(&self, f: &mut fmt::Formatter<'_>, is_inner: bool) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, parts: &[Expression], operator: &str| {
            f.write_str(if is_inner { "(" } else { "" })?;
            for (number, part) in parts.iter().enumerate() {
                f.write_str(if number > 0 { operator } else { "" })?;
                part.write(f, true)?;
            }
            f.write_str(if is_inner { ")" } else { "" })
        };
        match self {
            Expression::Observed { part, times: 1 } => write!(f, "{}", part + 1),
            Expression::Observed { part, times } => write!(f, "{} REPEATS {times} TIMES", part + 1),
            Expression::All(parts) => join(f, parts, " AND "),
            Expression::Any(parts) => join(f, parts, " OR "),
            Expression::InOrder(parts) => join(f, parts, " FOLLOWEDBY "),
            Expression::Within(inner, most) => {
                inner.write(f, true)?;
                write!(f, " WITHIN {} SECONDS", *most as f64 / 1e9)
            }
            Expression::Repeated(inner, times) => {
                inner.write(f, true)?;
                write!(f, " REPEATS {times} TIMES")
            }
        }
    }
}

/// Numbers the parts from 1 and shows the operators between them.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

/// One part unchanged, several joined.
fn alone(mut parts: Vec<Expression>, join: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

fn all(parts: Vec<Expression>) -> Expression {
    let mut simple: Vec<Expression> = Vec::with_capacity(parts.len());
    let mut parts: Vec<Expression> = parts.into_iter().rev().collect();
    while let Some(part) = parts.pop() {
        match part.simplified() {
            Expression::All(inner) => parts.extend(inner.into_iter().rev()),
            Expression::Observed { part, times } => {
                let same = simple.iter_mut().find_map(|one| match one {
                    Expression::Observed { part: other, times } if *other == part => Some(times),
                    _ => None,
                });
                match same {
                    Some(all) => *all = all.saturating_add(times),
                    None => simple.push(Expression::Observed { part, times }),
                }
            }
            part => simple.push(part),
        }
    }
    alone(simple, Expression::All)
}

/// Repeats an expression that is already simplified.
fn repeated(inner: Expression, times: u64) -> Expression {
    match inner {
        inner if times == 1 => inner,
        Expression::Observed { part, times: each } => Expression::Observed {
            part,
            times: each.saturating_mul(times),
        },
        // Each part that many times, all events different: how they are paired does not
        // matter.
        Expression::All(parts) => {
            let parts = parts.into_iter();
            Expression::All(parts.map(|part| repeated(part, times)).collect())
        }
        Expression::Repeated(inner, each) => {
            Expression::Repeated(inner, each.saturating_mul(times))
        }
        inner => Expression::Repeated(Box::new(inner), times),
    }
}

#[cfg(test)]
mod tests;
