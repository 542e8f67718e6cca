//! EVE records.

use serde_json::{Map, Value};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::{Fate, printed};
use crate::query::canonical_address;
use crate::schema::{Kind, Schema};

/// The event types that have a schema, by the concepts that name their fields.
const TYPES: [&str; 15] = [
    "alert", "dhcp", "dns", "fileinfo", "flow", "ftp", "ftp_data", "http", "krb5", "netflow",
    "smb", "smtp", "ssh", "stats", "tls",
];

/// The fields that were seen to be dropped, since the schemas have none of them.
const DROPPED: [&[&str]; 11] = [
    &["dns", "answers"],
    &["dns", "grouped"],
    &["dns", "queries"],
    &["dns", "version"],
    &["tls", "version"],
    &["tls", "subjectaltname"],
    &["ssh", "client", "hassh"],
    &["ssh", "server", "hassh"],
    &["http", "xff"],
    &["xff"],
    &["ether"],
];

const TIME: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond][offset_hour sign:mandatory][offset_minute]"
);

/// Reads one record.
pub(super) fn read(line: &str, schema: &Schema) -> Fate {
    let Ok(Value::Object(mut event)) = serde_json::from_str(&raw(line)) else {
        return Fate::Dropped(format!(
            "suricata-reader failed to parse a line: {line:.60}"
        ));
    };
    let kind = event.get("event_type").and_then(Value::as_str);
    let Some(kind) = kind.filter(|kind| TYPES.contains(kind)) else {
        return Fate::Dropped(format!("suricata-reader has no schema for {kind:?}"));
    };
    let type_name = format!("suricata.{kind}");
    for path in DROPPED {
        remove(&mut event, path);
    }
    let asks = event.get("dns").and_then(|dns| dns.get("type"));
    if asks.is_some_and(|asks| asks == "request") {
        return Fate::Deadly;
    }
    if let Some(Value::String(time)) = event.get_mut("timestamp") {
        if let Ok(moment) = OffsetDateTime::parse(time, TIME) {
            *time = printed(moment.to_offset(UtcOffset::UTC));
        }
    }
    unmap(&mut event, &type_name, schema, "");
    Fate::Stored(type_name, Value::Object(event))
}

/// The line with its escapes kept as text: of all of them, only `\"` is undone.
fn raw(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('"') => text.push_str("\\\""),
            Some('\\') => text.push_str("\\\\\\\\"),
            Some(other) => text.extend(['\\', '\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

fn remove(event: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [] => {}
        [name] => {
            event.remove(*name);
        }
        [name, rest @ ..] => {
            if let Some(Value::Object(inner)) = event.get_mut(*name) {
                remove(inner, rest);
            }
        }
    }
}

/// Addresses in their one form.
fn unmap(event: &mut Map<String, Value>, type_name: &str, schema: &Schema, above: &str) {
    for (name, value) in event {
        let path = format!("{above}{name}");
        match value {
            Value::Object(inner) => unmap(inner, type_name, schema, &format!("{path}.")),
            Value::String(text) if schema.kind(type_name, &path) == Kind::Address => {
                if let Some(address) = canonical_address(text) {
                    *text = address.to_string();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(line: &str) -> (String, String) {
        match read(line, &Schema::default()) {
            Fate::Stored(type_name, event) => (type_name, event.to_string()),
            fate => panic!("{fate:?}"),
        }
    }

    #[test]
    fn unknown_fields_go_and_escapes_stay() {
        let line = r#"{"timestamp": "2024-03-05T10:00:03.5+0100", "event_type": "dns",
            "src_ip": "::ffff:192.0.2.1", "dns": {"type": "answer", "rrname": "\u00fc\/\\\"",
            "answers": [{"rdata": "x"}], "version": 2}}"#;
        let (type_name, event) = stored(line);
        assert_eq!(type_name, "suricata.dns");
        assert_eq!(
            event,
            r#"{"dns":{"rrname":"\\u00fc\\/\\\\\"","type":"answer"},"event_type":"dns","src_ip":"192.0.2.1","timestamp":"2024-03-05T09:00:03.500000000"}"#
        );
    }

    #[test]
    fn an_event_without_a_schema_is_dropped_and_a_request_is_deadly() {
        let of = |line: &str| read(line, &Schema::default());
        assert!(matches!(of(r#"{"event_type": "quic"}"#), Fate::Dropped(_)));
        assert!(matches!(of("{"), Fate::Dropped(_)));
        let request = r#"{"event_type": "dns", "dns": {"type": "request"}}"#;
        assert_eq!(of(request), Fate::Deadly);
        let (_, event) = stored(r#"{"event_type": "dhcp", "dhcp": {"type": "request"}}"#);
        assert!(event.contains("request"));
    }
}
