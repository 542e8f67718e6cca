//! Patterns of several events: which events together are what a pattern asks for?
//!
//! An [`Expression`] says how events have to be joined (STIX 2.1, 9.4 to 9.6). Events come as
//! a time and the parts of the pattern that each of them satisfies. An *instance* binds each
//! observation of the expression to an event of its own:
//!
//! * all of [`Expression::All`], any one of [`Expression::Any`];
//! * [`Expression::InOrder`]: no event of what stands before is later than one of what
//!   stands behind;
//! * [`Expression::Within`]: the last event is no later after the first than this;
//! * [`Expression::Repeated`]: so many instances that have no event in common.
//!
//! For each event that can end an instance, [`search::ending_at`] finds one: of those that end
//! with it the first, where instances are compared event by event from the earliest on, without
//! the events that it does not need. Events have one order, by time and then as a
//! [`track::Track`] has it, which knows all events that were met and tells which of them end an
//! instance, in whatever order they come.

pub mod search;
pub mod shape;
pub mod track;

#[cfg(test)]
#[path = "../../../tests/oracles/instances.rs"]
pub(crate) mod oracle;

use std::fmt;

/// The most events that one instance may have, and the most observations that an expression
/// may be written out to.
pub const MOST_EVENTS: u64 = 10_000;

/// Nanoseconds since 1970.
pub type Time = i128;

/// How events have to be joined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expression {
    /// So many events, at least one, that satisfy this part of the pattern.
    Observed {
        /// The number of the part.
        part: u16,
        /// How many.
        times: u64,
    },
    /// An instance of each, with no event in common.
    All(Vec<Expression>),
    /// An instance of any one.
    Any(Vec<Expression>),
    /// An instance of each, in this order of time.
    InOrder(Vec<Expression>),
    /// An instance that spans no more than this, in nanoseconds.
    Within(Box<Expression>, Time),
    /// So many instances, at least one, with no event in common.
    Repeated(Box<Expression>, u64),
}

impl Expression {
    /// The most events that an instance has.
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

    /// The longest that an instance spans, in nanoseconds; `None` where there is no end.
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

    /// The same with fewer nodes: repetitions go down to single observations where that says
    /// the same, and equal ones of one `All` become one with a number.
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

    /// Writes it with the names of its parts.
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

/// The parts by their numbers, counted from 1, and the operators between them.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

/// One part as it is, several as one.
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

/// What is simple already, so many times.
fn repeated(inner: Expression, times: u64) -> Expression {
    match inner {
        inner if times == 1 => inner,
        Expression::Observed { part, times: each } => Expression::Observed {
            part,
            times: each.saturating_mul(times),
        },
        // So many of each, and none twice: no matter which belong together.
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
