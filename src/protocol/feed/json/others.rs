//! The shapes of other sources: OTX pulses, and the responses and exports of ThreatFox
//! and URLhaus.

use serde_json::{Map, Value};

use super::super::found::Out;
use super::super::record::Record;
use super::super::said::Said;
use crate::indicator::Rejection;

/// Reads an indicator of a pulse.
pub fn otx(json: &str, line: u64, out: &mut Out<'_>) -> Option<&'static str> {
    let mut object = members(json, line, out)?;
    let (Some(value), Some(kind)) = (text(&mut object, "indicator"), text(&mut object, "type"))
    else {
        reject(
            line,
            "an indicator of an OTX pulse has `indicator` and `type`",
            out,
        );
        return Some("OTX");
    };
    if matches!(object.get("is_active"), Some(Value::Bool(false))) || is_zero(&object, "is_active")
    {
        out.left_out("inactive OTX indicator");
        return Some("OTX");
    }
    take(&value, &kind, object, line, out);
    Some("OTX")
}

/// Reads an object of ThreatFox or URLhaus.
pub fn abuse(json: &str, line: u64, out: &mut Out<'_>) -> Option<&'static str> {
    let mut object = members(json, line, out)?;
    if let Some(kind) = text(&mut object, "ioc_type") {
        let value = text(&mut object, "ioc_value").or_else(|| text(&mut object, "ioc"));
        match value {
            Some(value) => take(&value, &kind, object, line, out),
            None => reject(line, "an object of ThreatFox has `ioc` or `ioc_value`", out),
        }
        return Some("ThreatFox");
    }
    let marks = ["url_status", "urlhaus_reference", "urlhaus_link"];
    if marks.iter().any(|mark| object.contains_key(*mark)) {
        match text(&mut object, "url") {
            Some(value) => take(&value, "url", object, line, out),
            None => reject(line, "an object of URLhaus has `url`", out),
        }
        return Some("URLhaus");
    }
    let shown: String = json.chars().take(60).collect();
    reject(
        line,
        &format!("{shown}… is no object of ThreatFox or URLhaus"),
        out,
    );
    None
}

fn members(json: &str, line: u64, out: &mut Out<'_>) -> Option<Map<String, Value>> {
    match serde_json::from_str(json) {
        Ok(object) => Some(object),
        Err(error) => {
            reject(line, &format!("no JSON: {error}"), out);
            None
        }
    }
}

fn take(value: &str, kind: &str, mut object: Map<String, Value>, line: u64, out: &mut Out<'_>) {
    object.retain(|_, value| !value.is_null() && *value != "");
    object.insert("type".to_owned(), kind.into());
    out.record(Record {
        kind: Some(kind),
        properties: object,
        ..Record::new(line, Said::by_name(kind).unwrap_or(Said::Nothing), value)
    });
}

fn text(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    match object.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn is_zero(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).and_then(Value::as_u64) == Some(0)
}

fn reject(line: u64, reason: &str, out: &mut Out<'_>) {
    out.rejected(line, Rejection::without_id(reason.to_owned()));
}
