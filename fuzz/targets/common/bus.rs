//! From the bytes of a message to the query: whatever comes, the query asks for
//! the values of the message and for nothing else.

#[path = "../../../tests/support/query_judge.rs"]
mod query_judge;

use query_judge::Value;
use vast_threatbus::bus::receive::{self, Incoming};
use vast_threatbus::engine::vast::query::Query;
use vast_threatbus::engine::vast::version::Version;
use vast_threatbus::indicator::{Indicator, Message};
use vast_threatbus::sighting::{Context, EventTime, MatchType};
use vast_threatbus::{legacy, stix};

/// Reads a message with this beginning, its topic.
pub fn read(topic: &[u8], bytes: &[u8]) {
    // A topic of its own where the input has one, for what stands before the JSON.
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
    let version = Version::read(br#"{"VAST": "2021.01.28"}"#).expect("a version");
    let query = Query::any_of(&indicator.observables, &version).expect("there is a value");
    let asked = query_judge::asked(query.as_str()).expect("the query is of the language");
    for value in &asked {
        let known = indicator.observables.iter().any(|observable| match value {
            Value::Text(text) | Value::Plain(text) => observable.to_string() == *text,
            Value::Expression(_) => false,
        });
        assert!(known, "{value:?} is asked for: {}", query.as_str());
    }
    assert!(!query.as_str().contains('\0'));
}

/// The sighting is one JSON object, whatever the message held.
fn check_sighting(indicator: &Indicator) {
    let context = Context::new("{}").expect("an event");
    let time = EventTime::parse("2024-03-05T10:26:53").expect("a time");
    for written in [
        legacy::write(indicator, MatchType::Retro, &time, &context),
        stix::message::write(indicator, MatchType::Retro, &time, &context),
    ] {
        let text = written.expect("a sighting can be written");
        assert!(Context::new(&text).is_ok(), "{text}");
    }
}
