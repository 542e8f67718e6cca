//! Comparisons: tests of one property and what joins them.

use super::{Anchors, Part, Refused, all_of, any_of};
use crate::indicator::{Kind, Network, Observable};
use crate::matching::condition::{Check, Condition, Expression, Field, Order, Place, Test};
use crate::stix::paths::{self, Target};
use crate::stix::pattern::{
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

impl Asked<'_> {
    /// The check alone: nothing narrows it.
    fn checked(&self, check: Check, negated: bool) -> Part {
        Part {
            anchors: None,
            condition: Condition::Test(Test {
                place: self.target.place(),
                negated,
                check,
            }),
        }
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
            return Ok(self.checked(Check::Number(Order::Equal, numbers), negated));
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
        let is_anchored = !negated && !anchors.observables.is_empty();
        Part {
            anchors: is_anchored.then_some(anchors),
            ..part
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
        let check = Check::Number(order, vec![self.number(literal)?]);
        Ok(self.checked(check, self.test.negated))
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
            TextOperator::Like => Ok(self.checked(Check::Like(text.text.clone()), negated)),
            TextOperator::Matches => match Expression::new(&text.text) {
                Ok(expression) => Ok(self.checked(Check::Matches(expression), negated)),
                Err(reason) => {
                    let reason = format!("MATCHES cannot be checked: {reason}");
                    self.unsupported(text.position, &reason)
                }
            },
        }
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
            Observable::Address(address) => networks.push(Network::new(*address, 128)),
            Observable::Network(network) => networks.push(*network),
            Observable::Domain(text) | Observable::Url(text) | Observable::Text(_, text) => {
                texts.push(text.clone());
            }
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
            Target::Text(Kind::Url) => Some(Observable::Url(value.to_owned())),
            Target::Text(Kind::Text(property)) => Observable::text(property, value),
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
