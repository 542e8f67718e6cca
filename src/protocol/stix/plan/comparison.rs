//! Comparisons: tests of one property and what joins them.

use super::{Anchors, Narrowing, Part, Refused, Selected, all_of, any_of, fragments};
use crate::indicator::Selection;
use crate::matching::condition::{Check, Condition, Expression, Field, Order, Place, Test};
use crate::observable::{Kind, Network, Observable};
use crate::protocol::stix::paths::{self, Target};
use crate::protocol::stix::pattern::{
    self, Comparison, Literal, Position, Relation, Text, TextOperator, Value,
};

pub(super) fn part(comparison: &Comparison) -> Result<Part, Refused> {
    match comparison {
        Comparison::Test(one) => test(one),
        Comparison::And(parts) => parts.iter().map(part).collect::<Result<_, _>>().map(all_of),
        Comparison::Or(parts) => parts.iter().map(part).collect::<Result<_, _>>().map(any_of),
    }
}

/// A test of a property, with all that messages about it need.
struct Asked<'a> {
    test: &'a pattern::Test,
    target: Target,
}

fn test(test: &pattern::Test) -> Result<Part, Refused> {
    let Some(row) = paths::find(&test.path) else {
        let reason = format!("object path {} cannot be asked for", test.path);
        return Err(Refused::unsupported(test.path_position, reason));
    };
    let target = row.target;
    let asked = Asked { test, target };
    match &test.condition {
        pattern::Condition::Compare(Relation::Equal, literal) => {
            asked.equals(std::slice::from_ref(literal), test.negated)
        }
        pattern::Condition::Compare(Relation::NotEqual, literal) => {
            asked.equals(std::slice::from_ref(literal), !test.negated)
        }
        pattern::Condition::In(literals) => asked.equals(literals, test.negated),
        pattern::Condition::Compare(relation, literal) => asked.order(*relation, literal),
        pattern::Condition::Text(operator, text) => asked.text(*operator, text),
        pattern::Condition::Exists => Ok(asked.checked(Check::Exists, false)),
    }
}

/// More numbers than these are asked for as a span.
const MOST_NUMBERS: usize = 20;

/// The numbers of a field that compare so with any of these: what an engine can be
/// asked for, or a span that holds them. `None` where that is everything.
fn numbers(field: Field, order: Order, numbers: &[i128]) -> Option<Selection> {
    let one = |order: Order, number: i128| {
        // What an engine counts is not negative.
        let number = u64::try_from(number).ok()?;
        Some(Selection::Number(field, order, number))
    };
    if order != Order::Equal {
        let parts = numbers.iter().map(|number| one(order, *number));
        return any(parts.collect::<Option<Vec<_>>>()?);
    }
    // One that is negative equals none.
    let mut positive: Vec<i128> = numbers.iter().copied().filter(|one| *one >= 0).collect();
    positive.sort_unstable();
    positive.dedup();
    if let (Some(first), Some(last), MOST_NUMBERS..) =
        (positive.first(), positive.last(), positive.len())
    {
        return Some(Selection::All(vec![
            one(Order::GreaterOrEqual, *first)?,
            one(Order::LessOrEqual, *last)?,
        ]));
    }
    let parts = positive.iter().map(|number| one(Order::Equal, *number));
    any(parts.collect::<Option<Vec<_>>>()?)
}

/// Any of these selections, where there is one.
fn any(mut parts: Vec<Selection>) -> Option<Selection> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Selection::Any(parts)),
    }
}

impl Asked<'_> {
    /// The check alone: nothing narrows it.
    fn checked(&self, check: Check, negated: bool) -> Part {
        Part {
            narrowing: Narrowing::Everything,
            condition: Condition::Test(Test {
                place: self.target.place(),
                negated,
                check,
            }),
        }
    }

    /// The check, and a query of its own where one narrows it.
    fn selected(
        &self,
        check: Check,
        negated: bool,
        selection: Option<Selection>,
        values: Vec<String>,
    ) -> Part {
        let part = self.checked(check, negated);
        match selection {
            Some(selection) => Part {
                narrowing: Narrowing::Selected(Selected { selection, values }),
                ..part
            },
            None => part,
        }
    }

    fn number_check(&self, order: Order, numbers: Vec<i128>, negated: bool) -> Part {
        // All but some numbers is nearly everything; the others are the opposite.
        let asked = match negated {
            true => order.opposite(),
            false => Some(order),
        };
        let field = match self.target {
            Target::Number(field) => Some(field),
            _ => None,
        };
        let selection = field
            .zip(asked)
            .and_then(|(field, order)| self::numbers(field, order, &numbers));
        let values = numbers.iter().map(i128::to_string).collect();
        self.selected(Check::Number(order, numbers), negated, selection, values)
    }

    /// A text that holds one of these for certain.
    fn holding(&self, fragments: Option<Vec<String>>) -> Option<Selection> {
        let Target::Text(kind) = self.target else {
            return None;
        };
        let parts = fragments?.into_iter();
        any(parts.map(|text| Selection::Contains(kind, text)).collect())
    }

    fn unsupported<T>(&self, position: Position, reason: &str) -> Result<T, Refused> {
        let reason = format!("{}: {reason}", self.test.path);
        Err(Refused::unsupported(position, reason))
    }

    fn wrong<T>(&self, value: &str) -> Result<T, Refused> {
        Err(Refused::Wrong(format!(
            "{value:?} is no {}",
            self.target.what()
        )))
    }

    /// Equal to any of these, or to none of them.
    fn equals(&self, literals: &[Literal], negated: bool) -> Result<Part, Refused> {
        if self.target.is_number() {
            let numbers = literals.iter().map(|literal| self.number(literal));
            let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
            return Ok(self.number_check(Order::Equal, numbers, negated));
        }
        let texts = literals.iter().map(|literal| self.string(literal));
        let texts = texts.collect::<Result<Vec<&str>, _>>()?;
        if let Target::Family(_) = self.target {
            return self.family(&texts, negated);
        }
        if let Target::Protocol = self.target {
            let texts = texts.into_iter().map(str::to_owned).collect();
            return Ok(self.checked(Check::OneOfAnyCase(texts), negated));
        }
        let observables = texts.iter().map(|text| match self.target.observable(text) {
            Some(observable) => Ok(observable),
            None => self.wrong(text),
        });
        let observables = observables.collect::<Result<Vec<Observable>, _>>()?;
        let values = texts.into_iter().map(str::to_owned).collect();
        Ok(self.values(observables, values, negated))
    }

    /// Of any of these families, as the types of objects that stand for them.
    fn family(&self, types: &[&str], negated: bool) -> Result<Part, Refused> {
        let (mut four, mut six) = (false, false);
        for name in types {
            match *name {
                "ipv4-addr" => four = true,
                "ipv6-addr" => six = true,
                other => {
                    let reason = format!("{other:?} is neither \"ipv4-addr\" nor \"ipv6-addr\"");
                    return self.unsupported(self.test.path_position, &reason);
                }
            }
        }
        let is_four = || Check::Networks(vec![Network::ipv4()]);
        Ok(match (four, six) {
            (true, true) => self.checked(Check::Exists, negated),
            (true, false) => self.checked(is_four(), negated),
            // What stands there is an address: of the one family or the other.
            (false, true) => self.checked(is_four(), !negated),
            (false, false) => self.checked(Check::Networks(vec![]), negated),
        })
    }

    fn values(&self, observables: Vec<Observable>, values: Vec<String>, negated: bool) -> Part {
        let part = self.checked(check_of(&observables), negated);
        let rest = match self.target.is_exact() {
            true => vec![],
            false => vec![part.condition.clone()],
        };
        let anchors = Anchors {
            observables,
            values,
            rest,
        };
        match negated || anchors.observables.is_empty() {
            true => part,
            false => Part {
                narrowing: Narrowing::Anchored(anchors),
                ..part
            },
        }
    }

    fn order(&self, relation: Relation, literal: &Literal) -> Result<Part, Refused> {
        let order = match relation {
            Relation::Less => Order::Less,
            Relation::LessOrEqual => Order::LessOrEqual,
            Relation::Greater => Order::Greater,
            _ => Order::GreaterOrEqual,
        };
        if !self.target.is_number() {
            let reason = format!("{} compares numbers only", relation.symbol());
            return self.unsupported(literal.position, &reason);
        }
        Ok(self.number_check(order, vec![self.number(literal)?], self.test.negated))
    }

    fn text(&self, operator: TextOperator, text: &Text) -> Result<Part, Refused> {
        let negated = self.test.negated;
        let is_network = matches!(operator, TextOperator::IsSubset | TextOperator::IsSuperset);
        if is_network != self.target.is_address() || self.target.is_number() {
            let reason = format!("{} does not fit to it", operator.keyword());
            return self.unsupported(text.position, &reason);
        }
        match operator {
            TextOperator::IsSubset => match self.target.observable(&text.text) {
                Some(network) => Ok(self.values(vec![network], vec![text.text.clone()], negated)),
                None => self.wrong(&text.text),
            },
            // An event holds addresses: one is a superset of itself alone.
            TextOperator::IsSuperset => match self.target.observable(&text.text) {
                Some(one @ Observable::Address(_)) => {
                    Ok(self.values(vec![one], vec![text.text.clone()], negated))
                }
                Some(_) => self.unsupported(text.position, "events hold addresses, no networks"),
                None => self.wrong(&text.text),
            },
            // Without a wildcard it is an equality.
            TextOperator::Like if !text.text.contains(['%', '_']) => {
                match self.target.observable(&text.text) {
                    Some(one) => Ok(self.values(vec![one], vec![text.text.clone()], negated)),
                    None => Ok(self.checked(Check::Like(text.text.clone()), negated)),
                }
            }
            TextOperator::Like => {
                let fragments = fragments::of_like(&text.text).map(|one| vec![one]);
                let check = Check::Like(text.text.clone());
                Ok(self.like(check, fragments, text))
            }
            TextOperator::Matches => match Expression::new(&text.text) {
                Ok(expression) => {
                    let fragments = fragments::of_expression(&text.text);
                    Ok(self.like(Check::Matches(expression), fragments, text))
                }
                Err(reason) => {
                    let reason = format!("MATCHES cannot be checked: {reason}");
                    self.unsupported(text.position, &reason)
                }
            },
        }
    }

    /// A comparison that no text passes that holds none of these fragments.
    fn like(&self, check: Check, fragments: Option<Vec<String>>, text: &Text) -> Part {
        let negated = self.test.negated;
        let fragments = fragments.filter(|_| !negated);
        let selection = self.holding(fragments);
        self.selected(check, negated, selection, vec![text.text.clone()])
    }

    fn string<'l>(&self, literal: &'l Literal) -> Result<&'l str, Refused> {
        match &literal.value {
            Value::String(text) => Ok(text),
            other => {
                let reason = format!("{other} is {}, not a string", other.kind());
                self.unsupported(literal.position, &reason)
            }
        }
    }

    fn number(&self, literal: &Literal) -> Result<i128, Refused> {
        let number = match &literal.value {
            Value::Integer(number) => Some(*number),
            // MISP exports every number as a string.
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map_or_else(
            || {
                let (value, kind) = (&literal.value, literal.value.kind());
                let reason = format!("{value} is {kind}, not an integer");
                self.unsupported(literal.position, &reason)
            },
            Ok,
        )
    }
}

/// Any of these, all of one kind of property.
fn check_of(observables: &[Observable]) -> Check {
    let mut networks = Vec::new();
    let mut texts = Vec::new();
    for observable in observables {
        match observable {
            Observable::Address(address) | Observable::Endpoint(address, _) => {
                networks.push(Network::new(*address, 128));
            }
            Observable::Network(network) => networks.push(*network),
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Hash(text)
            | Observable::Text(_, text)
            | Observable::Answer(text) => texts.push(text.as_written().to_owned()),
            // No path of the table makes these.
            Observable::Subdomain(_) => {}
        }
    }
    match networks.is_empty() {
        true => Check::OneOf(texts),
        false => Check::Networks(networks),
    }
}

impl Target {
    /// Where its values stand in an event.
    fn place(self) -> Place {
        match self {
            Target::Ipv4 | Target::Ipv6 => Place::Kind(Kind::Address),
            Target::Text(kind) => Place::Kind(kind),
            Target::Address(field) | Target::Family(field) | Target::Number(field) => {
                Place::Field(field)
            }
            Target::Protocol => Place::Field(Field::Protocol),
        }
    }

    /// Whether the engine's answer to its value is the answer.
    fn is_exact(self) -> bool {
        matches!(self, Target::Ipv4 | Target::Ipv6 | Target::Text(_))
    }

    fn is_number(self) -> bool {
        matches!(self, Target::Number(_))
    }

    fn is_address(self) -> bool {
        matches!(self, Target::Ipv4 | Target::Ipv6 | Target::Address(_))
    }

    /// What a value of it is called.
    fn what(self) -> &'static str {
        match self {
            Target::Ipv6 => "IPv6 address or network",
            Target::Ipv4 | Target::Address(_) => "address or network",
            Target::Text(Kind::Text(property)) => property.facts().what,
            Target::Text(_) | Target::Protocol | Target::Family(_) => "text",
            Target::Number(_) => "number",
        }
    }

    /// What is looked for to find this value of it.
    fn observable(self, value: &str) -> Option<Observable> {
        match self {
            Target::Ipv6 => address(value)
                .filter(|(_, is_v4)| !is_v4)
                .map(|(one, _)| one),
            Target::Ipv4 | Target::Address(_) => address(value).map(|(one, _)| one),
            Target::Text(Kind::Domain) => Some(Observable::domain(value)),
            Target::Text(Kind::Url) => Some(Observable::Url(value.into())),
            Target::Text(Kind::Text(property)) => Observable::text(property, value).ok(),
            // An address stands there as it is printed.
            Target::Text(Kind::Answer) => Some(Observable::Answer(match address(value) {
                Some((Observable::Address(address), _)) => address.to_string().into(),
                _ => value.into(),
            })),
            Target::Text(_) | Target::Number(_) | Target::Protocol | Target::Family(_) => None,
        }
    }
}

/// An address or a network, and whether it is written as one of IPv4.
fn address(value: &str) -> Option<(Observable, bool)> {
    let (address, length) = value.split_once('/').unwrap_or((value, ""));
    let address: std::net::IpAddr = address.parse().ok()?;
    let observable = match length.is_empty() && !value.contains('/') {
        true => Observable::address(address),
        false => Observable::network(Network::parse(value)?),
    };
    Some((observable, address.is_ipv4()))
}
