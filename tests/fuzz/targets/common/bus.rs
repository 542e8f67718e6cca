//! From the bytes of a message to the query: for any input, the query only searches for
//! values of the message.

#[path = "../../../support/query_judge.rs"]
mod query_judge;

use query_judge::Value;
use vast_threatbus::bus::receive::{self, Incoming};
use vast_threatbus::engine::vast::query::Query;
use vast_threatbus::engine::vast::version::VastVersion;
use vast_threatbus::indicator::{Indicator, Message, Selection};
use vast_threatbus::matching::Mode;
use vast_threatbus::observable::{EventTime, Observable};
use vast_threatbus::protocol::{Context, Facts, MatchType, legacy, stix};

/// The extractor for an event's own time.
const TIME: &str = "#timestamp";

/// Reads a message with this beginning, its topic.
pub fn read(topic: &[u8], bytes: &[u8]) {
    // A topic of its own where the input has one, for what precedes the JSON.
    let frame = match bytes.strip_prefix(b"\0") {
        Some(frame) => frame.to_vec(),
        None => [topic, bytes].concat(),
    };
    if let Ok(Incoming::Indicator(Message::Match { indicator, .. })) =
        receive::read(&frame, "topic")
    {
        check_query(&indicator);
        check_sighting(&indicator);
    }
}

fn check_query(indicator: &Indicator) {
    let version = VastVersion::read(br#"{"VAST": "2021.01.28"}"#).expect("a version");
    let mut known = Vec::new();
    let query = match &indicator.selection {
        None => {
            known.extend(indicator.observables.iter().flat_map(spellings));
            Query::any_of(&indicator.observables, &version)
        }
        Some(selection) => {
            note_values(selection, &mut known);
            Query::selecting(selection, &version, Some(TIME), Mode::Exact)
        }
    };
    // What no literal can contain, or what narrows nothing, is not queried.
    let Some(query) = query else {
        return;
    };
    let predicates = query_judge::parse(&query.text()).expect("the query is of the language");
    for predicate in predicates {
        let is_time = predicate.field.as_deref() == Some(TIME);
        for value in predicate.values {
            let is_known = match &value {
                Value::Plain(text) if is_time => EventTime::parse(text).is_some(),
                // A query for names under a domain has a dot before the domain.
                Value::Text(text) | Value::Plain(text) => {
                    let bare = text.strip_prefix('.').unwrap_or(text);
                    known.iter().any(|value| value == text || value == bare)
                }
                Value::Expression(_) => false,
            };
            assert!(is_known, "{value:?} is queried: {}", query.text());
        }
    }
    assert!(!query.text().contains('\0'));
}

/// A value in its canonical form and as the message wrote it.
fn spellings(value: &Observable) -> Vec<String> {
    if let Observable::Endpoint(address, _) = value {
        return vec![address.to_string()];
    }
    let written = value.spelled().map(|text| text.as_written().to_owned());
    [value.to_string()].into_iter().chain(written).collect()
}

/// The values of a selection, except for times.
fn note_values(selection: &Selection, known: &mut Vec<String>) {
    match selection {
        Selection::Values(values) => known.extend(values.iter().flat_map(spellings)),
        Selection::Contains(_, text) => known.push(text.clone()),
        Selection::Number(_, _, number) => known.push(number.to_string()),
        Selection::Everything | Selection::During(..) => {}
        Selection::All(parts) | Selection::Any(parts) => {
            parts.iter().for_each(|part| note_values(part, known));
        }
    }
}

/// The sighting is one JSON object, whatever the message contains.
fn check_sighting(indicator: &Indicator) {
    let context = Context::new("{}").expect("an event");
    let time = EventTime::parse("2024-03-05T10:26:53").expect("a time");
    let facts = Facts::at(MatchType::Retro, time);
    for written in [
        legacy::write(indicator, &facts, &context),
        stix::message::write(indicator, &facts, &context),
    ] {
        let text = written.expect("a sighting can be written");
        assert!(Context::new(&text).is_ok(), "{text}");
    }
}
