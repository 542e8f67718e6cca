//! Does an event match a query? Answered in one pass over the event's JSON.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::concepts::Concepts;
use crate::query::{
    Comparison, Extractor, Node, Number, Predicate, Query, Test, canonical_address, parse_instant,
};
use crate::scan::{Scalar, scan};
use crate::schema::{Kind, Schema};

/// What the type's name determines about a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every event of the type matches.
    Every,
    /// No event of the type matches.
    None,
    /// The event decides.
    Open,
}

/// A query made ready for the events of one type.
pub struct Evaluator<'a> {
    query: &'a Query,
    schema: &'a Schema,
    type_name: String,
    /// The fields that each predicate tests, with concepts resolved.
    targets: Vec<Target<'a>>,
    /// The predicates that test a field, by the field's path in the event.
    layout: HashMap<String, Layout>,
    /// The results of each predicate for the current event.
    found: Vec<Found>,
}

enum Target<'a> {
    Fields(HashSet<&'a str>),
    Suffix(&'a str),
    /// Every field of this type.
    Typed(Kind),
    Count,
    Lists(Kind),
    Time,
    /// The type alone decides.
    Known(bool),
}

#[derive(Clone)]
struct Layout {
    kind: Kind,
    /// Whether parts of a text can be searched.
    has_parts: bool,
    predicates: Vec<usize>,
}

/// Which answers the fields of an event gave to one predicate.
#[derive(Clone, Copy, Default)]
struct Found {
    hit: bool,
    miss: bool,
}

impl<'a> Evaluator<'a> {
    /// Makes a query ready for the events of a type; predicates at the `ambiguous`
    /// positions hold for none.
    pub fn new(
        query: &'a Query,
        ambiguous: &HashSet<usize>,
        concepts: &'a Concepts,
        schema: &'a Schema,
        type_name: &str,
    ) -> Self {
        let numbered = query.predicates.iter().enumerate();
        let targets = numbered
            .map(|(position, predicate)| {
                if ambiguous.contains(&position) {
                    Target::Known(false)
                } else {
                    target(predicate, concepts, type_name)
                }
            })
            .collect();
        Self {
            query,
            schema,
            type_name: type_name.to_string(),
            targets,
            layout: HashMap::new(),
            found: vec![Found::default(); query.predicates.len()],
        }
    }

    /// The result that is known before any event is read.
    pub fn verdict(&self) -> Verdict {
        match self.known(&self.query.root) {
            Some(true) => Verdict::Every,
            Some(false) => Verdict::None,
            None => Verdict::Open,
        }
    }

    fn known(&self, node: &Node) -> Option<bool> {
        match node {
            Node::Leaf(position) => match self.targets[*position] {
                Target::Known(known) => Some(known),
                _ => None,
            },
            Node::Not(inner) => self.known(inner).map(|known| !known),
            Node::Any(nodes) => self.connective(nodes, true),
            Node::All(nodes) => self.connective(nodes, false),
        }
    }

    /// One node that is `deciding` decides; all nodes known to be the other
    /// value give that value.
    fn connective(&self, nodes: &[Node], deciding: bool) -> Option<bool> {
        let mut all_known = true;
        for node in nodes {
            match self.known(node) {
                Some(known) if known == deciding => return Some(deciding),
                Some(_) => {}
                None => all_known = false,
            }
        }
        all_known.then_some(!deciding)
    }

    /// Whether an event matches; a line that is no JSON object matches nothing.
    pub fn matches(&mut self, line: &[u8]) -> bool {
        self.found.fill(Found::default());
        let text = lossless(line);
        let Self {
            query,
            schema,
            type_name,
            targets,
            layout,
            found,
        } = self;
        let well_formed = scan(&text, |path, value| {
            if let Some(known) = layout.get(path) {
                note(query, known, &value, found);
            } else {
                let fresh = lay_out(schema, type_name, targets, path);
                note(query, &fresh, &value, found);
                layout.insert(path.to_string(), fresh);
            }
        });
        well_formed && self.decide(&self.query.root)
    }

    fn decide(&self, node: &Node) -> bool {
        match node {
            Node::Leaf(position) => match self.targets[*position] {
                Target::Known(known) => known,
                _ => {
                    let found = self.found[*position];
                    if !self.query.predicates[*position].negated {
                        found.hit
                    } else {
                        found.miss && !found.hit
                    }
                }
            },
            Node::Not(inner) => !self.decide(inner),
            Node::Any(nodes) => nodes.iter().any(|node| self.decide(node)),
            Node::All(nodes) => nodes.iter().all(|node| self.decide(node)),
        }
    }
}

/// Where bytes that are not UTF-8 are kept: in the private use area, behind all
/// that has a use there.
const RAW: u32 = 0x10_FF00;

/// Engines print strings as they hold them, and take them so in queries; for the
/// comparison, a byte that is not UTF-8 becomes one character.
pub fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let raw = chunk.invalid().iter();
        text.extend(raw.filter_map(|&byte| char::from_u32(RAW + u32::from(byte))));
    }
    Cow::Owned(text)
}

fn target<'a>(predicate: &'a Predicate, concepts: &'a Concepts, type_name: &str) -> Target<'a> {
    match &predicate.extractor {
        Extractor::Address => Target::Typed(Kind::Address),
        Extractor::Text => Target::Typed(Kind::Plain),
        Extractor::Count => Target::Count,
        Extractor::Texts => Target::Lists(Kind::Plain),
        Extractor::Addresses => Target::Lists(Kind::Address),
        Extractor::Time => Target::Time,
        Extractor::Type => {
            let hit = text_hits(&predicate.test, type_name);
            Target::Known(hit != predicate.negated)
        }
        Extractor::Field(name) => match concepts.fields(name) {
            Some(fields) => Target::Fields(fields),
            None => Target::Suffix(name),
        },
    }
}

/// Which predicates look at the field with this path.
fn lay_out(schema: &Schema, type_name: &str, targets: &[Target<'_>], path: &str) -> Layout {
    let kind = schema.kind(type_name, path);
    let full = format!("{type_name}.{path}");
    let looks = |target: &Target<'_>| match target {
        Target::Fields(fields) => fields.contains(full.as_str()),
        // The end of a name as text, not at dots (measured).
        Target::Suffix(suffix) => full.ends_with(suffix),
        Target::Typed(typed) | Target::Lists(typed) => kind == *typed,
        Target::Count => true,
        Target::Time => matches!(path, "ts" | "timestamp"),
        Target::Known(_) => false,
    };
    let predicates = targets
        .iter()
        .enumerate()
        .filter_map(|(position, target)| looks(target).then_some(position))
        .collect();
    Layout {
        kind,
        has_parts: schema.has_parts(type_name, path),
        predicates,
    }
}

fn note(query: &Query, layout: &Layout, value: &Scalar<'_>, found: &mut [Found]) {
    for &position in &layout.predicates {
        let predicate = &query.predicates[position];
        if !looks_at(&predicate.extractor, value) {
            continue;
        }
        if hits(&predicate.test, layout, value) {
            found[position].hit = true;
        } else {
            found[position].miss = true;
        }
    }
}

/// Whether an extractor of a type looks at a value, which may be a list.
fn looks_at(extractor: &Extractor, value: &Scalar<'_>) -> bool {
    match extractor {
        Extractor::Text | Extractor::Address => matches!(value, Scalar::Text(_)),
        Extractor::Texts | Extractor::Addresses => matches!(value, Scalar::List(_)),
        Extractor::Count => matches!(value, Scalar::Number(_)),
        Extractor::Field(_) | Extractor::Type | Extractor::Time => true,
    }
}

/// So many bytes of a text are searched for a part of it (measured).
const SEARCHED: usize = 1024;

/// Whether a value passes a test. The engine does not look into lists for equality;
/// `"x" in list` holds where an element is the whole text (measured).
fn hits(test: &Test, layout: &Layout, value: &Scalar<'_>) -> bool {
    match (layout.kind, value) {
        (_, Scalar::List(elements)) => match (layout.kind, test) {
            (Kind::Plain, Test::Contains(wanted)) => elements.contains(wanted),
            (Kind::Address, Test::Address(wanted)) => elements
                .iter()
                .filter_map(|element| canonical_address(element))
                .any(|address| wanted.contains(&address)),
            _ => false,
        },
        (Kind::Address, Scalar::Text(text)) => match (test, canonical_address(text)) {
            (Test::Address(wanted), Some(address)) => wanted.contains(&address),
            (Test::Network(network), Some(address)) => network.contains(address),
            _ => false,
        },
        (Kind::Time, Scalar::Text(text)) => match (test, parse_instant(text)) {
            (Test::Time(comparison, wanted), Some(time)) => comparison.holds(time.cmp(wanted)),
            _ => false,
        },
        (Kind::Duration, _) => false,
        (Kind::Plain | Kind::Enumeration, Scalar::Text(text)) => match test {
            Test::Contains(_) if !layout.has_parts => false,
            _ => text_hits(test, text),
        },
        (_, Scalar::Number(number)) => number_hits(test, *number),
        (_, Scalar::Bool(value)) => matches!(test, Test::Bool(wanted) if wanted == value),
        (_, Scalar::Null) => false,
    }
}

fn text_hits(test: &Test, text: &str) -> bool {
    match test {
        Test::OneOf(wanted) => wanted.contains(text),
        Test::Contains(wanted) => {
            let mut end = text.len().min(SEARCHED);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text[..end].contains(wanted.as_str())
        }
        Test::Pattern(pattern) => pattern.is_match(text),
        _ => false,
    }
}

fn number_hits(test: &Test, number: Number) -> bool {
    let Test::Number(comparison, wanted) = test else {
        return false;
    };
    let holds = |comparison: &Comparison, wanted: &Number| {
        number
            .order(*wanted)
            .is_some_and(|order| comparison.holds(order))
    };
    wanted.iter().any(|wanted| holds(comparison, wanted))
}

#[cfg(test)]
mod tests;
