//! Indicators and sightings as STIX 2.1 objects.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::pattern;
use super::plan::{self, Plan, Refused};
use crate::indicator::{Indicator, Message, Protocol, Rejection, Sequence, Validity, timestamp};
use crate::observable::{EventTime, stix_time};
use crate::protocol::sensor::{Sensor, StixIdentity};
use crate::protocol::{Context, Facts, MatchedField, json_fault};

/// The topic that indicators are published on.
pub const INDICATOR_TOPIC: &str = "stix2/indicator";
/// The topic that sightings are published on.
pub const SIGHTING_TOPIC: &str = "stix2/sighting";
/// The suffix of the program's own topic for messages with an indicator.
pub const INDICATOR_SUFFIX: &str = "indicator";

#[derive(Deserialize)]
#[serde(expecting = "an object")]
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
    valid_from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    valid_until: Option<Cow<'a, str>>,
    #[serde(borrow)]
    modified: Option<Cow<'a, str>>,
    revoked: Option<bool>,
    #[serde(borrow)]
    x_threatbus_update: Option<Cow<'a, str>>,
}

/// Reads an indicator message.
///
/// # Errors
/// The text is not a STIX indicator, its pattern is invalid, or a value is not of its
/// kind.
pub fn read(json: &str) -> Result<Message, Rejection> {
    let stix: StixIndicator<'_> = serde_json::from_str(json).map_err(|error| {
        Rejection::without_id(format!("no STIX-2 indicator: {}", json_fault(&error)))
    })?;
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

/// Reads what the indicator `id` searches for.
fn read_pattern(
    id: Arc<str>,
    stix: &StixIndicator<'_>,
    json: &str,
    replaces: bool,
) -> Result<Message, Rejection> {
    let unsupported = |id, reason| Message::Unsupported {
        id,
        protocol: Protocol::Stix2,
        ioc: stix.pattern.as_deref().unwrap_or_default().to_owned(),
        reason,
        modified: Validity::ALWAYS.modified_at(modified(stix)).modified(),
        replaces,
    };
    if let Some(language) = stix.pattern_type.as_deref().filter(|name| *name != "stix") {
        let reason = format!("pattern_type {language:?} is not \"stix\"");
        return Ok(unsupported(id, reason));
    }
    let Some(pattern) = &stix.pattern else {
        return Err(Rejection::new(id, "it has no pattern".to_owned()));
    };
    let parsed = pattern::parse(pattern).map_err(|error| {
        Rejection::new(id.clone(), format!("its pattern does not parse: {error}"))
    })?;
    let plan = match plan::plan(&parsed) {
        Ok(plan) => plan,
        Err(Refused::Wrong(reason)) => return Err(Rejection::new(id, reason)),
        Err(Refused::Unsupported(reason)) => return Ok(unsupported(id, reason)),
    };
    let validity = validity(&id, stix)?;
    let original = RawValue::from_string(json.to_owned())
        .map_err(|error| Rejection::new(id.clone(), error.to_string()))?;
    let left_out = plan.left_out.clone();
    let indicator = Indicator {
        validity,
        original: Some(original),
        ..planned(id, plan)
    };
    Ok(Message::Match {
        indicator,
        replaces,
        left_out,
    })
}

/// Makes the indicator for a plan, without the properties of its message.
fn planned(id: Arc<str>, plan: Plan) -> Indicator {
    let sequence = plan.several.and_then(|several| {
        let parts = several.parts.into_iter();
        let parts = parts.map(|part| planned(id.clone(), part)).collect();
        Sequence::new(several.expression, parts)
    });
    let mut observables = plan.observables;
    for part in sequence.iter().flat_map(|sequence| &sequence.parts) {
        observables.extend(part.observables.iter().cloned());
    }
    Indicator {
        id,
        protocol: Protocol::Stix2,
        observables,
        selection: plan.selection.map(Arc::new),
        condition: plan.condition.map(Arc::new),
        validity: Validity::ALWAYS,
        ioc: plan.values,
        original: None,
        properties: None,
        sequence: sequence.map(Arc::new),
    }
}

/// When this version was made; `None` if `modified` is not a time.
fn modified(stix: &StixIndicator<'_>) -> Option<OffsetDateTime> {
    stix.modified.as_deref().and_then(timestamp)
}

/// When the indicator is valid, and which version of it this is; a `modified` that is not
/// a time is ignored.
fn validity(id: &Arc<str>, stix: &StixIndicator<'_>) -> Result<Validity, Rejection> {
    let modified = modified(stix);
    if stix.revoked == Some(true) {
        return Ok(Validity::REVOKED.modified_at(modified));
    }
    let read = |name: &str, text: &Option<Cow<'_, str>>| match text {
        None => Ok(None),
        Some(text) => timestamp(text).map(Some).ok_or_else(|| {
            let reason = format!("its {name} {text:?} is no timestamp");
            Rejection::new(id.clone(), reason)
        }),
    };
    let from = read("valid_from", &stix.valid_from)?;
    let until = read("valid_until", &stix.valid_until)?;
    Ok(Validity::between(from, until).modified_at(modified))
}

/// `indicator--` and a UUID (STIX 2.1, section 2.9).
fn is_indicator_id(id: &str) -> bool {
    id.strip_prefix("indicator--")
        .is_some_and(|uuid| uuid.len() == 36 && Uuid::try_parse(uuid).is_ok())
}

/// The largest count of a sighting (STIX 2.1, section 5.2).
const MOST_COUNTED: u64 = 999_999_999;

#[derive(Serialize)]
struct StixSighting<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    spec_version: &'static str,
    id: String,
    created: String,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<String>,
    last_seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    sighting_of_ref: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    where_sighted_refs: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_indicator: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_indicator_value: Option<&'a str>,
    x_threatbus_match_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_matched: Option<&'a MatchedField>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_observations: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_identity: Option<StixIdentity<'a>>,
    x_threatbus_sighting_context: &'a RawValue,
}

/// Writes one sighting, without its topic.
///
/// # Errors
/// The context is not JSON (a defect of the caller).
pub fn write(
    indicator: &Indicator,
    facts: &Facts,
    context: &Context<'_>,
) -> serde_json::Result<String> {
    let now = OffsetDateTime::now_utc();
    let series = facts.series.as_ref();
    let several = facts.several();
    let sensor = facts.sensor.as_deref();
    let time = facts.time.unwrap_or_else(EventTime::now);
    let (context, observations) = facts.split_instance(context);
    serde_json::to_string(&StixSighting {
        kind: "sighting",
        spec_version: "2.1",
        id: format!(
            "sighting--{}",
            series.map_or_else(Uuid::new_v4, |series| series.id)
        ),
        created: stix_time(series.map_or(now, |series| series.created)),
        modified: stix_time(series.map_or(now, |series| now.max(series.created))),
        first_seen: several.map(|series| stix_time(series.first_seen)),
        last_seen: several.map_or_else(|| time.as_stix(), |series| stix_time(series.last_seen)),
        count: several.map(|series| series.count.min(MOST_COUNTED)),
        sighting_of_ref: &indicator.id,
        where_sighted_refs: sensor.map(|sensor| [&*sensor.id]),
        x_threatbus_indicator: indicator.original.as_deref(),
        // Like the originals: only the value if the message is not stored.
        x_threatbus_indicator_value: match indicator.original {
            Some(_) => None,
            None => indicator.ioc.first().map(String::as_str),
        },
        x_threatbus_match_type: facts.match_type.as_str(),
        x_threatbus_matched: facts.matched.as_ref(),
        x_threatbus_observations: observations.as_deref(),
        x_threatbus_source: sensor.map(|sensor| &*sensor.name),
        x_threatbus_identity: sensor.map(Sensor::identity),
        x_threatbus_sighting_context: serde_json::from_str(context.as_str())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::ValidityState;
    use crate::observable::{Network, Observable, Property};
    use crate::protocol::MatchType;

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
                r"[domain-name:value = 'its[.]example.']",
                Observable::Domain("its.example".into()),
            ),
            (
                "[url:value = 'http://a.example/?b=c']",
                Observable::Url("http://a.example/?b=c".into()),
            ),
            (
                "[ipv4-addr:value = '10.1.2.3/8']",
                Observable::Network(Network::parse("10.0.0.0/8").expect("a network")),
            ),
            ("[ipv4-addr:value = '6.6.0.1/32']", address("6.6.0.1")),
            (
                "[file:hashes.md5 = 'D41D8CD98F00B204E9800998ECF8427E']",
                Observable::Text(Property::Md5, "d41d8cd98f00b204e9800998ecf8427e".into()),
            ),
            (
                "[file:name = 'A.exe']",
                Observable::text(Property::FileName, "A.exe").expect("a name"),
            ),
        ] {
            assert_eq!(matched(pattern).observables, [observable]);
        }
        assert_eq!(matched("[domain-name:value = 'Its(.)a.']").ioc, ["Its.a."]);
    }

    #[test]
    fn other_patterns_are_unsupported_with_the_reason() {
        for (pattern, words) in [
            ("[file:ctime = 'a.exe']", "column 2: object path file:ctime"),
            ("[ipv4-addr:value = 5]", "5 is an integer"),
            ("[url:value = 'a'] REPEATS 20000 TIMES", "more events"),
            ("[url:value MATCHES '(']", "MATCHES cannot be checked"),
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
            (
                "[]".to_owned(),
                "no STIX-2 indicator: invalid length 0, expected an object",
            ),
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
                "no IPv4 or IPv6 address",
            ),
            (
                indicator("[ipv6-addr:value = '1.2.3.4']", None),
                "no IPv6 address",
            ),
            (indicator("[file:hashes.MD5 = 'a']", None), "no MD5"),
            (
                indicator("[ipv4-addr:value = '10.0.0.0/33']", None),
                "no network of addresses",
            ),
            (
                indicator("[a:b = 'c']", None)
                    .replace("[a:b", "[url:value")
                    .replace("2021-02-24T15:26:49Z\",\"x", "yesterday\",\"x"),
                "valid_from",
            ),
            (indicator("[domain-name:value = 'a", None), "does not parse"),
            (
                indicator("[domain-name:value = 'a\0']", None),
                "no domain name",
            ),
        ] {
            let rejection = read(&json).expect_err(&json);
            assert!(rejection.reason.contains(words), "{}", rejection.reason);
        }
    }

    #[test]
    fn the_time_in_which_it_counts_is_read() {
        let standing = |change: (&str, &str)| {
            let json = indicator("[url:value = '/']", None).replace(change.0, change.1);
            match read(&json).expect("an indicator") {
                Message::Match { indicator, .. } => indicator.validity.now(),
                other => panic!("{other:?}"),
            }
        };
        let from = "\"valid_from\":\"2021-02-24T15:26:49Z\"";
        assert!(indicator("", None).contains(from));
        for (fields, expected) in [
            (from, ValidityState::Active),
            ("\"revoked\":false", ValidityState::Active),
            ("\"revoked\":true", ValidityState::Revoked),
            (
                "\"valid_until\":\"2021-02-24T15:26:50.123Z\"",
                ValidityState::Expired,
            ),
            (
                "\"valid_until\":\"9999-01-01T00:00:00Z\"",
                ValidityState::Active,
            ),
            (
                "\"valid_from\":\"9999-01-01T00:00:00Z\"",
                ValidityState::NotYetValid,
            ),
        ] {
            assert_eq!(standing((from, fields)), expected, "{fields}");
        }
    }

    #[test]
    fn a_sighting_carries_the_whole_indicator() {
        let indicator = matched("[domain-name:value = 'evil.com']");
        let context = Context::new(r#"{"n": 1.50}"#).expect("JSON");
        let time = EventTime::parse("2009-11-18T17:00:51.841527040").expect("a time");
        let json = write(&indicator, &Facts::at(MatchType::Retro, time), &context).expect("JSON");
        assert!(
            json.contains(r#""x_threatbus_sighting_context":{"n": 1.50}"#),
            "{json}"
        );
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["last_seen"], "2009-11-18T17:00:51.841527Z");
        assert_eq!(value["sighting_of_ref"], ID);
        assert_eq!(value["x_threatbus_match_type"], "RETRO");
        assert_eq!(value["x_threatbus_indicator"]["x_foo"]["a"][1], "☃");
        assert!(!json.contains("x_threatbus_indicator_value"));
    }

    #[test]
    fn the_other_events_of_an_instance_are_beside_the_last() {
        let indicator = matched("[url:value = 'a'] AND [url:value = 'b']");
        assert!(indicator.sequence.is_some() && indicator.observables.len() == 2);
        let last = Context::new(r#"{"n": 2, "observations": [{"n": 1.50}]}"#).expect("JSON");
        let alone = Facts::at(MatchType::Retro, EventTime::now());
        let several = Facts {
            instance: Some("both".into()),
            ..alone.clone()
        };
        let written = |facts: &Facts| -> serde_json::Value {
            let json = write(&indicator, facts, &last).expect("JSON");
            serde_json::from_str(&json).expect("JSON")
        };
        let sighting = written(&several);
        assert_eq!(sighting["x_threatbus_observations"][0]["n"], 1.5);
        assert_eq!(
            sighting["x_threatbus_sighting_context"],
            serde_json::json!({"n": 2})
        );
        // A field of an event that happens to have this name is left alone.
        let sighting = written(&alone);
        assert!(sighting.get("x_threatbus_observations").is_none());
        assert_eq!(
            sighting["x_threatbus_sighting_context"]["observations"][0]["n"],
            1.5
        );
    }

    #[test]
    fn a_live_sighting_carries_the_value() {
        let mut indicator = matched("[domain-name:value = 'evil.com']");
        indicator.original = None;
        let context = Context::new("{}").expect("JSON");
        let time = EventTime::now();
        let json = write(&indicator, &Facts::at(MatchType::Live, time), &context).expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["x_threatbus_indicator_value"], "evil.com");
        assert_eq!(value["x_threatbus_match_type"], "LIVE");
        assert!(value.get("x_threatbus_indicator").is_none());
    }
}
