//! Comparisons: the tests of one property, and their operators.

use std::borrow::Cow;

use time::OffsetDateTime;

use super::target::{family, is_exact, is_searchable};
use super::{
    Anchors, Narrowing, PartFault, PatternPart, Selected, all_of, alternatives, required_literals,
};
use crate::indicator::{LeftOut, Selection, timestamp};
use crate::matching::condition::{
    Check, Condition, Family, Field, Like, Operator, RegularExpression, Subject, Test, TestedPlace,
};
use crate::observable::{Kind, Network, Observable, Property, file_name, protocol, url};
use crate::protocol::stix::paths::{self, PathRow, PathTarget};
use crate::protocol::stix::pattern::{
    self, Comparison, Literal, LiteralValue, PatternPosition, PatternText, Relation, TextOperator,
};

pub(super) fn part(
    comparison: &Comparison,
    left_out: &mut Vec<LeftOut>,
) -> Result<PatternPart, PartFault> {
    match comparison {
        Comparison::Test(one) => test(one, left_out),
        Comparison::And(parts) => all(parts, left_out),
        Comparison::Or(parts) => alternatives(parts, part, left_out),
    }
}

/// All of these. Tests that no event can show are dispensable next to an identification
/// of the object, or next to any identifying value.
fn all(comparisons: &[Comparison], left_out: &mut Vec<LeftOut>) -> Result<PatternPart, PartFault> {
    let mut parts = Vec::with_capacity(comparisons.len());
    let mut missing = Vec::new();
    let mut rest = comparisons.iter().peekable();
    while let Some(comparison) = rest.next() {
        if let Some(host) = rest.peek().and_then(|next| typed_host(comparison, next)) {
            rest.next();
            parts.push(host);
            continue;
        }
        match part(comparison, left_out) {
            Ok(part) => parts.push(part),
            Err(fault @ PartFault::NoPlace { .. }) => missing.push((comparison, fault)),
            Err(fault) => return Err(fault),
        }
    }
    for (comparison, fault) in missing {
        if !is_dispensable(&fault, &parts) {
            return Err(fault);
        }
        left_out.push(LeftOut::new(comparison, fault.reason(), false));
    }
    Ok(all_of(parts))
}

/// Whether the rest counts without this part.
fn is_dispensable(fault: &PartFault, beside: &[PatternPart]) -> bool {
    let PartFault::NoPlace {
        object_type,
        is_administrative,
        ..
    } = fault
    else {
        return false;
    };
    let identified = |part: &PatternPart, subject| {
        part.identifies
            && part
                .condition
                .any_test(&|test: &Test| test.subject == subject && is_equality(test))
    };
    let of_type = match object_type.as_str() {
        "file" => Some(Subject::File),
        "x509-certificate" => Some(Subject::Certificate),
        _ => None,
    };
    let is_named = |part: &PatternPart| matches!(part.narrowing, Narrowing::Anchored(_));
    *is_administrative && beside.iter().any(is_named)
        || of_type.is_some_and(|subject| beside.iter().any(|part| identified(part, subject)))
}

fn is_equality(test: &Test) -> bool {
    matches!(test.check, Check::Holds(_)) && !test.negated
}

/// `dst_ref.type = 'domain-name' AND dst_ref.value = 'evil.example'`, as MISP writes
/// every end of a connection: one test. MISP names an address and a host of one end in
/// this way, which no single object could be.
fn typed_host(first: &Comparison, second: &Comparison) -> Option<PatternPart> {
    let equality = |comparison: &Comparison, target: PathTarget| {
        let Comparison::Test(test) = comparison else {
            return None;
        };
        let row = paths::find(&test.path).filter(|row| row.target == target)?;
        match &test.condition {
            pattern::PropertyCondition::Compare(Relation::Equal, literal) if !test.negated => {
                let LiteralValue::String(text) = &literal.value else {
                    return None;
                };
                Some((row, text.clone(), test.clone()))
            }
            _ => None,
        }
    };
    let (type_row, name, _) = equality(first, PathTarget::HostType)?;
    let (row, value, test) = equality(second, PathTarget::Host)?;
    let observable = row.target.observable(&value).ok()?;
    let is_name = matches!(observable, Observable::Domain(_) | Observable::Subdomain(_));
    let fits = match family(&name)? {
        Family::Name => is_name,
        // Feeds also write IPv6 addresses as `ipv4-addr`.
        Family::Ipv4 => !is_name,
        Family::Ipv6 => !is_name && value.contains(':'),
    };
    if type_row.place != row.place || !fits {
        return None;
    }
    let property_test = PropertyTest { test: &test, row };
    let values = vec![row.target.spelled(&value).into_owned()];
    Some(PatternPart {
        condition: Condition::Test(Test::new(row.place, Check::Holds(vec![observable.clone()]))),
        ..property_test.values(vec![observable], values, false)
    })
}

/// A test of a property, with everything that messages about it need.
struct PropertyTest<'a> {
    test: &'a pattern::Test,
    row: &'static PathRow,
}

fn test(test: &pattern::Test, left_out: &mut Vec<LeftOut>) -> Result<PatternPart, PartFault> {
    let Some(row) = paths::find(&test.path) else {
        return Err(no_place(test));
    };
    let property_test = PropertyTest { test, row };
    match &test.condition {
        pattern::PropertyCondition::Compare(Relation::Equal, literal) => {
            property_test.equals(std::slice::from_ref(literal), test.negated, left_out)
        }
        pattern::PropertyCondition::Compare(Relation::NotEqual, literal) => {
            property_test.equals(std::slice::from_ref(literal), !test.negated, left_out)
        }
        pattern::PropertyCondition::In(literals) => {
            property_test.equals(literals, test.negated, left_out)
        }
        pattern::PropertyCondition::Compare(relation, literal) => {
            property_test.order(*relation, literal)
        }
        pattern::PropertyCondition::Text(operator, text) => property_test.text(*operator, text),
        pattern::PropertyCondition::Exists => Ok(property_test.checked(Check::Exists, false)),
    }
}

/// The fault of a test on a path that is not in the table.
fn no_place(test: &pattern::Test) -> PartFault {
    let what = format!("object path {} cannot be queried", test.path);
    let reason = format!("{}: {what}", test.path_position);
    let is_not = matches!(
        test.condition,
        pattern::PropertyCondition::Compare(Relation::NotEqual, _)
    );
    if test.negated || is_not {
        PartFault::Unsupported(reason)
    } else {
        PartFault::NoPlace {
            object_type: test.path.object_type.clone(),
            is_administrative: paths::is_administrative(&test.path),
            reason,
        }
    }
}

/// More numbers than these become a span.
const MOST_NUMBERS: usize = 20;

/// The numbers of a field that compare so with any of these, as far as an engine can be
/// queried for them, or a span that holds them. `None` if that is everything.
fn numbers(field: Field, order: Operator, numbers: &[i128]) -> Option<Selection> {
    let one = |order: Operator, number: i128| {
        // The counters of an engine are not negative.
        let number = u64::try_from(number).ok()?;
        Some(Selection::Number(field, order, number))
    };
    if order != Operator::Equal {
        let parts = numbers.iter().map(|number| one(order, *number));
        return any(parts.collect::<Option<Vec<_>>>()?);
    }
    // Negative numbers equal none of them.
    let mut positive: Vec<i128> = numbers.iter().copied().filter(|one| *one >= 0).collect();
    positive.sort_unstable();
    positive.dedup();
    if let (Some(first), Some(last), MOST_NUMBERS..) =
        (positive.first(), positive.last(), positive.len())
    {
        return Some(Selection::All(vec![
            one(Operator::GreaterOrEqual, *first)?,
            one(Operator::LessOrEqual, *last)?,
        ]));
    }
    let parts = positive.iter().map(|number| one(Operator::Equal, *number));
    any(parts.collect::<Option<Vec<_>>>()?)
}

/// Any of these selections; `None` if there are none.
fn any(mut parts: Vec<Selection>) -> Option<Selection> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Selection::Any(parts)),
    }
}

impl PropertyTest<'_> {
    /// Only the check: nothing narrows it.
    fn checked(&self, check: Check, negated: bool) -> PatternPart {
        let test = Test {
            subject: self.row.subject,
            place: self.row.place,
            negated,
            check,
        };
        PatternPart {
            narrowing: Narrowing::Everything,
            identifies: test.identifies(),
            may_be_unknown: test.is_passed_unknown(),
            condition: Condition::Test(test),
        }
    }

    /// The check, and a separate query if one narrows it.
    fn selected(
        &self,
        check: Check,
        negated: bool,
        selection: Option<Selection>,
        values: Vec<String>,
    ) -> PatternPart {
        let part = self.checked(check, negated);
        match selection {
            Some(selection) => PatternPart {
                narrowing: Narrowing::Selected(Selected { selection, values }),
                ..part
            },
            None => part,
        }
    }

    fn number_check(&self, order: Operator, numbers: Vec<i128>, negated: bool) -> PatternPart {
        // All but some numbers is nearly everything; the others become the opposite.
        let matched_order = if negated {
            order.opposite()
        } else {
            Some(order)
        };
        let field = match self.row.place {
            TestedPlace::Field(field) => Some(field),
            _ => None,
        };
        let selection = field
            .zip(matched_order)
            .and_then(|(field, order)| self::numbers(field, order, &numbers));
        let values = numbers.iter().map(i128::to_string).collect();
        self.selected(Check::Number(order, numbers), negated, selection, values)
    }

    fn unsupported<T>(&self, position: PatternPosition, reason: &str) -> Result<T, PartFault> {
        let reason = format!("{}: {reason}", self.test.path);
        Err(PartFault::unsupported(position, reason))
    }

    /// Converts these literals. Invalid ones are left out and named.
    fn each<T>(
        &self,
        literals: &[Literal],
        read: impl Fn(&Literal) -> Result<T, PartFault>,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Vec<T>, PartFault> {
        let (mut good, mut faults, mut noted) = (Vec::new(), Vec::new(), Vec::new());
        for literal in literals {
            match read(literal) {
                Ok(value) => good.push(value),
                Err(fault) => {
                    let is_wrong = matches!(fault, PartFault::Wrong(_));
                    noted.push(LeftOut::new(literal, fault.reason(), is_wrong));
                    faults.push(fault);
                }
            }
        }
        if good.is_empty() {
            return if faults.is_empty() {
                self.unsupported(self.test.position, "there is nothing in its list")
            } else {
                Err(PartFault::of_all(faults))
            };
        }
        left_out.append(&mut noted);
        Ok(good)
    }

    /// Equal to any of these, or to none of them.
    fn equals(
        &self,
        literals: &[Literal],
        negated: bool,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<PatternPart, PartFault> {
        let strings = |left_out: &mut Vec<LeftOut>| {
            self.each(
                literals,
                |one| self.string(one).map(str::to_owned),
                left_out,
            )
        };
        match self.row.target {
            PathTarget::Number => {
                let numbers = self.each(literals, |one| self.number(one), left_out)?;
                Ok(self.number_check(Operator::Equal, numbers, negated))
            }
            PathTarget::Time if !negated => {
                // MISP writes this for when it first and last saw an indicator.
                let fault = no_place(self.test);
                match fault {
                    PartFault::NoPlace { object_type, .. } => Err(PartFault::NoPlace {
                        object_type,
                        is_administrative: true,
                        reason: format!(
                            "{}: no connection begins or ends at one moment alone: only < and > \
                             compare it",
                            self.test.path_position
                        ),
                    }),
                    fault => Err(fault),
                }
            }
            PathTarget::Time => {
                let times = self.each(literals, |one| self.time(one), left_out)?;
                Ok(self.checked(Check::Time(Operator::Equal, times), negated))
            }
            PathTarget::HostType => {
                let read = |one: &Literal| {
                    let name = self.string(one)?;
                    family(name).map_or_else(
                        || {
                            let reason = format!("no end of a connection is a {name:?}");
                            self.unsupported(one.position, &reason)
                        },
                        Ok,
                    )
                };
                let families = self.each(literals, read, left_out)?;
                Ok(self.checked(Check::Family(families), negated))
            }
            PathTarget::Protocol => {
                let names = strings(left_out)?;
                let names = names
                    .iter()
                    .map(|name| protocol::canonical(name).into_owned());
                Ok(self.checked(Check::OneOf(names.collect()), negated))
            }
            PathTarget::Folder => {
                let folders = strings(left_out)?;
                let read = |one: &String| file_name::read(one, &mut String::new()).to_owned();
                let mut folders = folders.iter().map(read);
                let parts: Vec<Condition> = folders
                    .by_ref()
                    .map(|folder| self.checked(Check::InFolder(folder), negated).condition)
                    .collect();
                let mut part = self.checked(Check::Exists, false);
                part.condition = if negated {
                    Condition::All(parts)
                } else {
                    Condition::Any(parts)
                };
                part.may_be_unknown = !negated;
                Ok(part)
            }
            _ => {
                let read = |one: &Literal| {
                    let text = self.string(one)?;
                    let observable = self.row.target.observable(text)?.checked();
                    let observable = observable.map_err(PartFault::Wrong)?;
                    Ok((observable, self.row.target.spelled(text).into_owned()))
                };
                let found = self.each(literals, read, left_out)?;
                let (observables, values) = found.into_iter().unzip();
                Ok(self.values(observables, values, negated))
            }
        }
    }

    fn values(
        &self,
        observables: Vec<Observable>,
        values: Vec<String>,
        negated: bool,
    ) -> PatternPart {
        let part = self.checked(Check::Holds(observables.clone()), negated);
        if negated {
            return part;
        }
        PatternPart {
            narrowing: Narrowing::Anchored(Anchors {
                is_exact: observables.iter().all(|one| is_exact(self.row, one)),
                observables,
                values,
            }),
            ..part
        }
    }

    fn order(&self, relation: Relation, literal: &Literal) -> Result<PatternPart, PartFault> {
        let order = match relation {
            Relation::Less => Operator::Less,
            Relation::LessOrEqual => Operator::LessOrEqual,
            Relation::Greater => Operator::Greater,
            _ => Operator::GreaterOrEqual,
        };
        match self.row.target {
            PathTarget::Number => {
                Ok(self.number_check(order, vec![self.number(literal)?], self.test.negated))
            }
            PathTarget::Time => {
                let check = Check::Time(order, vec![self.time(literal)?]);
                Ok(self.checked(check, self.test.negated))
            }
            _ => {
                let reason = format!("{} compares numbers only", relation.symbol());
                self.unsupported(literal.position, &reason)
            }
        }
    }

    fn text(&self, operator: TextOperator, text: &PatternText) -> Result<PatternPart, PartFault> {
        let negated = self.test.negated;
        let target = self.row.target;
        let fits = match operator {
            TextOperator::IsSubset | TextOperator::IsSuperset => target.is_address(),
            TextOperator::Like | TextOperator::Matches => target.is_text(),
        };
        if !fits {
            let reason = format!("{} does not fit it", operator.keyword());
            return self.unsupported(text.position, &reason);
        }
        match operator {
            TextOperator::IsSubset => {
                let network = target.observable(&text.text)?;
                let is_ipv6 = match &network {
                    Observable::Address(address) => address.is_ipv6(),
                    Observable::Network(network) => network.first().is_ipv6(),
                    _ => false,
                };
                if target == PathTarget::Ipv4 && is_ipv6 {
                    let reason = "no ipv4-addr is in an IPv6 network; ipv6-addr has those";
                    return self.unsupported(text.position, reason);
                }
                Ok(self.values(vec![network], vec![text.text.clone()], negated))
            }
            // An event holds single addresses, each a superset only of itself.
            TextOperator::IsSuperset => match target.observable(&text.text)? {
                one @ Observable::Address(_) => {
                    Ok(self.values(vec![one], vec![text.text.clone()], negated))
                }
                _ => self.unsupported(text.position, "events hold addresses, no networks"),
            },
            TextOperator::Like => Ok(self.like(text)),
            TextOperator::Matches => match RegularExpression::new(&text.text, target.has_no_case())
            {
                Ok(expression) => {
                    let fragments = required_literals::of_expression(&text.text);
                    let selection = self.holding(fragments).filter(|_| !negated);
                    let values = vec![text.text.clone()];
                    Ok(self.selected(Check::Matches(expression), negated, selection, values))
                }
                Err(reason) => {
                    let reason = format!("MATCHES cannot be checked: {reason}");
                    self.unsupported(text.position, &reason)
                }
            },
        }
    }

    fn like(&self, text: &PatternText) -> PatternPart {
        let negated = self.test.negated;
        let target = self.row.target;
        // Scheme and host of a URL are case-insensitive, the rest is not.
        let pattern = match target.kind() {
            Some(Kind::Url) => url::with_lower_host(&text.text),
            _ => Cow::Borrowed(&*text.text),
        };
        let check = Check::Like(Like::new(&pattern, target.has_no_case()));
        let values = vec![text.text.clone()];
        if negated {
            return self.checked(check, negated);
        }
        // Without a wildcard it is an equality with the whole text.
        if !text.text.contains(['%', '_']) {
            if let Ok(observable) = target.observable(&text.text) {
                return PatternPart {
                    condition: self.checked(check, negated).condition,
                    identifies: false,
                    narrowing: Narrowing::Anchored(Anchors {
                        observables: vec![observable],
                        values,
                        is_exact: false,
                    }),
                    ..self.checked(Check::Exists, false)
                };
            }
        }
        let selection = match target {
            PathTarget::Ipv4 | PathTarget::Host => network_of_like(&text.text),
            _ => None,
        };
        let fragments = required_literals::of_like(&pattern).map(|one| vec![one]);
        let selection = selection.or_else(|| self.holding(fragments));
        self.selected(check, negated, selection, values)
    }

    /// A text that holds one of these for certain, as the pattern spells them.
    fn holding(&self, fragments: Option<Vec<String>>) -> Option<Selection> {
        let kind = self.row.target.kind().filter(|kind| is_searchable(*kind))?;
        // Logs may have an address there, whose text is not searched.
        if self.row.target == PathTarget::Host {
            return None;
        }
        let is_name = kind == Kind::Text(Property::FileName);
        let mut parts = Vec::new();
        for fragment in fragments? {
            // The text between the separators of a path or a URL is in one field.
            let fragment = match kind {
                Kind::Url => fragment.split(['/', ':']).max_by_key(|part| part.len())?,
                _ if is_name => fragment.split(['/', '\\']).max_by_key(|part| part.len())?,
                _ => &fragment,
            };
            // Letters of other scripts have other spellings.
            let is_spelled = matches!(kind, Kind::Url | Kind::Domain);
            if fragment.is_empty() || is_spelled && !fragment.is_ascii() {
                return None;
            }
            if kind == Kind::Url {
                parts.push(Selection::Contains(Kind::Domain, fragment.to_owned()));
            }
            parts.push(Selection::Contains(kind, fragment.to_owned()));
        }
        any(parts)
    }

    fn string<'l>(&self, literal: &'l Literal) -> Result<&'l str, PartFault> {
        match &literal.value {
            LiteralValue::String(text) => Ok(text),
            other => {
                let reason = format!("{other} is {}, not a string", other.kind());
                self.unsupported(literal.position, &reason)
            }
        }
    }

    fn number(&self, literal: &Literal) -> Result<i128, PartFault> {
        let number = match &literal.value {
            LiteralValue::Integer(number) => Some(*number),
            // MISP exports every number as a string.
            LiteralValue::String(text) => text.parse().ok(),
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

    fn time(&self, literal: &Literal) -> Result<OffsetDateTime, PartFault> {
        let time = match &literal.value {
            LiteralValue::Timestamp(text) | LiteralValue::String(text) => timestamp(text),
            _ => None,
        };
        time.map_or_else(
            || self.unsupported(literal.position, &format!("{} is no time", literal.value)),
            Ok,
        )
    }
}

/// The network of all addresses that match a `LIKE` such as `192.0.2.%`.
fn network_of_like(pattern: &str) -> Option<Selection> {
    let octets = pattern.strip_suffix(".%")?;
    let count = u8::try_from(octets.split('.').count()).ok()?;
    if !(1..=3).contains(&count) {
        return None;
    }
    let rest = ".0".repeat(usize::from(4 - count));
    let network = Network::parse(&format!("{octets}{rest}/{}", count * 8))?;
    Some(Selection::Values(vec![Observable::network(network)]))
}
