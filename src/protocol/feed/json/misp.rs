//! MISP's attributes, alone and in objects (MISP core format,
//! draft-dulaunoy-misp-core-format).

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::found::Out;
use super::super::record::Record;
use super::super::said::Said;
use super::around::{is_empty, names};
use crate::indicator::Rejection;
use crate::protocol::json_fault;

const FORMAT: Option<&str> = Some("MISP");

/// Members of an attribute that add nothing to its value.
const DROPPED: [&str; 16] = [
    "Event",
    "Galaxy",
    "Object",
    "ShadowAttribute",
    "Sighting",
    "RelatedAttribute",
    "data",
    "deleted",
    "disable_correlation",
    "distribution",
    "event_id",
    "id",
    "object_id",
    "sharing_group_id",
    "to_ids",
    "uuid",
];

/// Reads an attribute.
pub fn attribute(
    json: &str,
    around: &Map<String, Value>,
    line: u64,
    out: &mut Out<'_>,
) -> Option<&'static str> {
    match serde_json::from_str::<Map<String, Value>>(json) {
        Ok(attribute) => take(attribute, around, line, out),
        Err(error) => {
            let reason = format!("no MISP attribute: {}", json_fault(&error));
            out.rejected(line, Rejection::without_id(reason));
        }
    }
    FORMAT
}

/// Reads the attributes of an object.
pub fn object(
    json: &str,
    around: &Map<String, Value>,
    line: u64,
    out: &mut Out<'_>,
) -> Option<&'static str> {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Object<'a> {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        deleted: Value,
        // Parsed one by one, since a parsed one takes many times the memory of its text.
        #[serde(rename = "Attribute", borrow, default)]
        attributes: Vec<&'a RawValue>,
    }
    match serde_json::from_str::<Object<'_>>(json) {
        Ok(object) if is_true(&object.deleted) => out.left_out("deleted MISP object"),
        Ok(object) => {
            let mut around = around.clone();
            around.extend(
                object
                    .name
                    .map(|name| ("object_name".to_owned(), name.into())),
            );
            for each in object.attributes {
                attribute(each.get(), &around, line, out);
            }
        }
        Err(error) => {
            let reason = format!("no MISP object: {}", json_fault(&error));
            out.rejected(line, Rejection::without_id(reason));
        }
    }
    FORMAT
}

fn take(
    mut attribute: Map<String, Value>,
    around: &Map<String, Value>,
    line: u64,
    out: &mut Out<'_>,
) {
    let mut text = |key: &str| match attribute.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (Some(kind), Some(value)) = (text("type"), text("value")) else {
        let reason = "a MISP attribute has a type and a value".to_owned();
        return out.rejected(line, Rejection::without_id(reason));
    };
    let id = text("uuid").filter(|uuid| Uuid::try_parse(uuid).is_ok());
    let is = |key: &str| attribute.get(key).is_some_and(is_true);
    if is("deleted") {
        return out.left_out("deleted MISP attribute");
    }
    // MISP always writes it; if it is missing, nobody has excluded the attribute.
    if attribute.contains_key("to_ids") && !is("to_ids") {
        return out.left_out("MISP attribute without to_ids");
    }
    let said = Said::by_name(&kind).unwrap_or(Said::Elsewhere);
    let mut properties = attribute;
    properties.retain(|key, value| !DROPPED.contains(&&**key) && !is_empty(value));
    if let Some(tags) = properties.remove("Tag") {
        properties.insert("tags".to_owned(), names(tags));
    }
    properties.insert("type".to_owned(), (&*kind).into());
    properties.extend(around.clone());
    out.record(Record {
        kind: Some(&kind),
        id: id.map(|uuid| format!("indicator--{}", uuid.to_ascii_lowercase())),
        properties,
        ..Record::new(line, said, &value)
    });
}

/// MISP writes booleans as such, as numbers, and as quoted numbers.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_u64() == Some(1),
        Value::String(text) => matches!(&**text, "1" | "true" | "True"),
        _ => false,
    }
}
