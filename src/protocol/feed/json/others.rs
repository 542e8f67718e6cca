//! The shapes of other sources: OTX pulses, the responses and exports of ThreatFox
//! and URLhaus, and exports of tables as JSON.

use serde_json::{Map, Value};

use super::super::found::Out;
use super::super::record::Record;
use super::super::said::Said;
use super::around::is_empty;
use crate::indicator::Rejection;
use crate::protocol::json_fault;

/// A table that its source also exports as JSON, an object for each row.
struct Export {
    source: &'static str,
    /// Members that are in no object of others, nor in an event.
    marks: &'static [&'static str],
    /// The members with indicators.
    values: &'static [(&'static str, Said)],
}

static EXPORTS: [Export; 4] = [
    Export {
        source: "Feodo Tracker",
        marks: &["ip_address", "as_number", "malware"],
        values: &[("ip_address", Said::Address)],
    },
    Export {
        source: "MalwareBazaar",
        marks: &["sha256_hash", "md5_hash", "reporter"],
        values: &[
            ("sha256_hash", Said::Hash),
            ("md5_hash", Said::Hash),
            ("sha1_hash", Said::Hash),
        ],
    },
    Export {
        source: "PhishTank",
        marks: &["phish_id", "url"],
        values: &[("url", Said::Url)],
    },
    Export {
        source: "Spamhaus",
        marks: &["cidr", "sblid"],
        values: &[("cidr", Said::Address)],
    },
];

/// Reads a row of a table; `None` if it is not of a known one.
pub fn export(json: &str, line: u64, out: &mut Out<'_>) -> Option<&'static str> {
    let object: Map<String, Value> = serde_json::from_str(json).ok()?;
    let has_all = |export: &&Export| export.marks.iter().all(|mark| object.contains_key(*mark));
    let export = EXPORTS.iter().find(has_all)?;
    let mut is_any = false;
    for &(member, said) in export.values {
        let mut properties = object.clone();
        if let Some(value) = text(&mut properties, member).filter(|value| !value.is_empty()) {
            is_any = true;
            properties.retain(|_, value| !is_empty(value));
            out.record(Record {
                properties,
                ..Record::new(line, said, &value)
            });
        }
    }
    if !is_any {
        let reason = format!(
            "an object of {} has `{}`",
            export.source, export.values[0].0
        );
        reject(line, &reason, out);
    }
    Some(export.source)
}

/// Reads an indicator of a pulse.
pub fn otx(
    json: &str,
    around: &Map<String, Value>,
    line: u64,
    out: &mut Out<'_>,
) -> Option<&'static str> {
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
    object.extend(around.clone());
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
    if let Some(source) = export(json, line, out) {
        return Some(source);
    }
    let shown: String = json.chars().take(60).collect();
    reject(
        line,
        &format!("{shown}… is an object of an unknown format"),
        out,
    );
    None
}

fn members(json: &str, line: u64, out: &mut Out<'_>) -> Option<Map<String, Value>> {
    match serde_json::from_str(json) {
        Ok(object) => Some(object),
        Err(error) => {
            reject(line, &format!("no JSON: {}", json_fault(&error)), out);
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
