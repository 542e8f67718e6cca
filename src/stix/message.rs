//! Indicators and sightings as STIX 2.1 objects.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NotSingle, single_equality};
use crate::indicator::{Indicator, Message, Observable, Protocol, Rejection};
use crate::sighting::{Context, EventTime, MatchType, stix_time};

/// The topic that indicators are published on.
pub const INDICATOR_TOPIC: &str = "stix2/indicator";
/// The topic that sightings are published on.
pub const SIGHTING_TOPIC: &str = "stix2/sighting";
/// What follows the own topic's name on a message that holds an indicator.
pub const INDICATOR_SUFFIX: &str = "indicator";

#[derive(Deserialize)]
struct StixIndicator<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    pattern: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pattern_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_threatbus_update: Option<Cow<'a, str>>,
}

/// Reads one indicator message.
///
/// # Errors
/// The text is no STIX indicator, its pattern is none, or names a value that is
/// not of its kind.
pub fn read(json: &str) -> Result<Message, Rejection> {
    let stix: StixIndicator<'_> = serde_json::from_str(json)
        .map_err(|error| Rejection::without_id(format!("no STIX-2 indicator: {error}")))?;
    if stix.kind != "indicator" {
        let reason = format!("a STIX-2 object of type {:?}, not \"indicator\"", stix.kind);
        return Err(Rejection::without_id(reason));
    }
    if !is_indicator_id(&stix.id) {
        let reason = format!("the id {:?} is not \"indicator--UUID\"", stix.id);
        return Err(Rejection::without_id(reason));
    }
    let id: Arc<str> = (*stix.id).into();
    let replaces = match stix.x_threatbus_update.as_deref() {
        None => false,
        Some("EDIT") => true,
        Some("REMOVE") => return Ok(Message::Withdraw(id)),
        Some(other) => {
            let reason =
                format!("x_threatbus_update is {other:?}, and can be \"EDIT\" or \"REMOVE\"");
            return Err(Rejection::new(id, reason));
        }
    };
    read_pattern(id, &stix, json, replaces).map_err(|rejection| Rejection {
        replaces,
        ..rejection
    })
}

/// Reads what the indicator `id` asks for.
fn read_pattern(
    id: Arc<str>,
    stix: &StixIndicator<'_>,
    json: &str,
    replaces: bool,
) -> Result<Message, Rejection> {
    if let Some(language) = stix.pattern_type.as_deref().filter(|name| *name != "stix") {
        return Ok(Message::Unsupported {
            reason: format!("pattern_type {language:?} is not \"stix\""),
            id,
            replaces,
        });
    }
    let Some(pattern) = &stix.pattern else {
        return Err(Rejection::new(id, "it has no pattern".to_owned()));
    };
    let (observable, value) = match observable(pattern) {
        Ok(found) => found,
        Err(Refused::Wrong(reason)) => return Err(Rejection::new(id, reason)),
        Err(Refused::Unsupported(reason)) => {
            return Ok(Message::Unsupported {
                id,
                reason,
                replaces,
            });
        }
    };
    let observable = observable.checked(&id)?;
    let original = RawValue::from_string(json.to_owned())
        .map_err(|error| Rejection::new(id.clone(), error.to_string()))?;
    Ok(Message::Match {
        indicator: Indicator {
            id,
            protocol: Protocol::Stix2,
            observables: vec![observable],
            ioc: vec![value],
            original: Some(original),
            ticket: None,
        },
        replaces,
    })
}

/// `indicator--` and a UUID (STIX 2.1, section 2.9).
fn is_indicator_id(id: &str) -> bool {
    id.strip_prefix("indicator--")
        .is_some_and(|uuid| uuid.len() == 36 && Uuid::try_parse(uuid).is_ok())
}

/// Why a pattern is not asked for.
enum Refused {
    Wrong(String),
    Unsupported(String),
}

/// What a pattern asks for, and the value as it writes it.
fn observable(pattern: &str) -> Result<(Observable, String), Refused> {
    let equality = single_equality(pattern).map_err(|error| match error {
        NotSingle::Syntax(error) => Refused::Wrong(format!("its pattern does not parse: {error}")),
        NotSingle::Compound(reason) => Refused::Unsupported(format!("pattern with {reason}")),
    })?;
    let path = equality.path.to_string();
    let value = equality.value;
    let observable = match path.as_str() {
        "ipv4-addr:value" => value
            .parse()
            .map(|ip| Observable::address(std::net::IpAddr::V4(ip))),
        "ipv6-addr:value" => value
            .parse()
            .map(|ip| Observable::address(std::net::IpAddr::V6(ip))),
        "domain-name:value" => Ok(Observable::domain(&value)),
        "url:value" => Ok(Observable::Url(value.clone())),
        _ => {
            let reason = format!("object path {path} cannot be asked for");
            return Err(Refused::Unsupported(reason));
        }
    };
    match observable {
        Ok(observable) => Ok((observable, value)),
        Err(_) if value.contains('/') => {
            let reason = format!("network {value:?} cannot be asked for");
            Err(Refused::Unsupported(reason))
        }
        Err(_) => {
            let kind = &path[..4];
            let kind = if kind == "ipv4" { "IPv4" } else { "IPv6" };
            Err(Refused::Wrong(format!("{value:?} is no {kind} address")))
        }
    }
}

#[derive(Serialize)]
struct StixSighting<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    spec_version: &'static str,
    id: String,
    created: &'a str,
    modified: &'a str,
    last_seen: String,
    sighting_of_ref: &'a str,
    x_threatbus_indicator: Option<&'a RawValue>,
    x_threatbus_match_type: &'static str,
    x_threatbus_sighting_context: &'a RawValue,
}

/// Writes one sighting, without its topic.
///
/// # Errors
/// The context is no JSON (a defect of the caller).
pub fn write(
    indicator: &Indicator,
    match_type: MatchType,
    time: &EventTime,
    context: &Context<'_>,
) -> serde_json::Result<String> {
    let now = stix_time(OffsetDateTime::now_utc());
    serde_json::to_string(&StixSighting {
        kind: "sighting",
        spec_version: "2.1",
        id: format!("sighting--{}", Uuid::new_v4()),
        created: &now,
        modified: &now,
        last_seen: time.as_stix(),
        sighting_of_ref: &indicator.id,
        x_threatbus_indicator: indicator.original.as_deref(),
        x_threatbus_match_type: match_type.as_str(),
        x_threatbus_sighting_context: serde_json::from_str(context.as_str())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "indicator--00000000-0000-4001-8000-000000000000";

    fn indicator(pattern: &str, update: Option<&str>) -> String {
        let mut object = serde_json::json!({
            "type": "indicator", "spec_version": "2.1", "id": ID,
            "created": "2021-02-24T15:26:49Z", "modified": "2021-02-24T15:26:49Z",
            "pattern": pattern, "pattern_type": "stix", "pattern_version": "2.1",
            "valid_from": "2021-02-24T15:26:49Z", "x_foo": {"a": [1, "☃"]},
        });
        if let Some(update) = update {
            object["x_threatbus_update"] = update.into();
        }
        object.to_string()
    }

    fn matched(pattern: &str) -> Indicator {
        match read(&indicator(pattern, None)) {
            Ok(Message::Match { indicator, .. }) => indicator,
            other => panic!("{pattern}: {other:?}"),
        }
    }

    #[test]
    fn patterns_become_observables() {
        let address = |text: &str| Observable::Address(text.parse().expect("an address"));
        for (pattern, observable) in [
            ("[ipv4-addr:value = '6.6.0.1']", address("6.6.0.1")),
            ("[ipv6-addr:value = '2001:DB8::1']", address("2001:db8::1")),
            ("[ipv6-addr:value='::ffff:1.2.3.4']", address("1.2.3.4")),
            (
                r"[domain-name:value = 'it\'s.example.']",
                Observable::Domain("it's.example".into()),
            ),
            (
                "[url:value = 'http://a.example/?b=c']",
                Observable::Url("http://a.example/?b=c".into()),
            ),
        ] {
            assert_eq!(matched(pattern).observables, [observable]);
        }
        assert_eq!(matched(r"[domain-name:value = 'it\'s.']").ioc, ["it's."]);
    }

    #[test]
    fn other_patterns_are_unsupported_with_the_reason() {
        for (pattern, words) in [
            ("[file:name = 'a.exe']", "file:name"),
            ("[ipv4-addr:value = '10.0.0.0/8']", "10.0.0.0/8"),
            ("[domain-name:value = 'a' OR domain-name:value = 'b']", "OR"),
            ("[domain-name:value LIKE 'a%']", "LIKE"),
        ] {
            match read(&indicator(pattern, None)).expect("well-formed") {
                Message::Unsupported { reason, .. } => assert!(reason.contains(words), "{reason}"),
                other => panic!("{pattern}: {other:?}"),
            }
        }
    }

    #[test]
    fn updates_are_edits_and_removals() {
        let pattern = "[domain-name:value = 'a']";
        let read = |update| read(&indicator(pattern, Some(update)));
        assert!(matches!(
            read("EDIT"),
            Ok(Message::Match { replaces: true, .. })
        ));
        assert!(matches!(read("REMOVE"), Ok(Message::Withdraw(id)) if &*id == ID));
        let unsupported = self::read(&indicator("[a:b = 'c']", Some("EDIT")));
        assert!(matches!(
            unsupported,
            Ok(Message::Unsupported { replaces: true, .. })
        ));
        let wrong = self::read(&indicator("[ipv4-addr:value = 'x']", Some("EDIT")));
        assert!(wrong.expect_err("no address").replaces);
        let rejection = read("DROP").expect_err("an unknown update");
        assert!(rejection.reason.contains("DROP"), "{}", rejection.reason);
    }

    #[test]
    fn bad_messages_are_rejected_with_the_reason() {
        let no_pattern = indicator("[a:b = 'c']", None).replace("\"pattern\":", "\"p\":");
        for (json, words) in [
            ("[]".to_owned(), "no STIX-2 indicator"),
            (
                "{\"type\": \"malware\", \"id\": \"x\"}".to_owned(),
                "malware",
            ),
            (
                indicator("x", None).replace(ID, "indicator--7"),
                "indicator--7",
            ),
            (no_pattern, "no pattern"),
            (
                indicator("[ipv4-addr:value = '999.1.1.1']", None),
                "no IPv4 address",
            ),
            (
                indicator("[ipv6-addr:value = '1.2.3.4']", None),
                "no IPv6 address",
            ),
            (indicator("[domain-name:value = 'a", None), "does not parse"),
            (indicator("[domain-name:value = 'a\0']", None), "NUL"),
        ] {
            let rejection = read(&json).expect_err(&json);
            assert!(rejection.reason.contains(words), "{}", rejection.reason);
        }
    }

    #[test]
    fn a_sighting_carries_the_whole_indicator() {
        let indicator = matched("[domain-name:value = 'evil.com']");
        let context = Context::new(r#"{"n": 1.50}"#).expect("JSON");
        let time = EventTime::parse("2009-11-18T17:00:51.841527040").expect("a time");
        let json = write(&indicator, MatchType::Retro, &time, &context).expect("JSON");
        assert!(
            json.contains(r#""x_threatbus_sighting_context":{"n": 1.50}"#),
            "{json}"
        );
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["last_seen"], "2009-11-18T17:00:51.841527Z");
        assert_eq!(value["sighting_of_ref"], ID);
        assert_eq!(value["x_threatbus_match_type"], "RETRO");
        assert_eq!(value["x_threatbus_indicator"]["x_foo"]["a"][1], "☃");
    }
}
