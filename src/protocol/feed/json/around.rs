//! What an event of MISP or a pulse of OTX says about all indicators in it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Inside;

/// The members of an event of MISP, and the names of the properties that they become.
const OF_EVENT: [(&str, &str); 3] = [
    ("uuid", "event_uuid"),
    ("info", "event_info"),
    ("Tag", "event_tags"),
];

/// The same for a pulse of OTX.
const OF_PULSE: [(&str, &str); 4] = [
    ("id", "pulse_id"),
    ("name", "pulse_name"),
    ("author_name", "pulse_author"),
    ("tags", "pulse_tags"),
];

/// Reads the properties that an object gives to the indicators in its list: `object` is the
/// object without that list, or its beginning, without the closing brace.
pub fn properties(inside: Inside, object: &[u8]) -> Map<String, Value> {
    let table: &[(&str, &str)] = match inside {
        Inside::Attributes | Inside::Objects => &OF_EVENT,
        Inside::Pulse => &OF_PULSE,
        Inside::Anything | Inside::Stix | Inside::Abuse => &[],
    };
    if table.is_empty() {
        return Map::new();
    }
    let whole = [object, b"}"].concat();
    let members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(&whole).unwrap_or_default();
    let property = |(member, name): &(&str, &str)| {
        let value = serde_json::from_str(members.get(*member)?.get()).ok()?;
        let value = if *member == "Tag" {
            names(value)
        } else {
            value
        };
        (!is_empty(&value)).then(|| ((*name).to_owned(), value))
    };
    table.iter().filter_map(property).collect()
}

/// Whether a value says nothing.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The names of MISP's tags.
pub fn names(tags: Value) -> Value {
    let Value::Array(tags) = tags else {
        return tags;
    };
    let name = |mut tag: Value| tag.get_mut("name").map(Value::take);
    tags.into_iter().filter_map(name).collect()
}
