//! The facts about a sighting besides its context, and the object with all of them
//! (`--output sighting`).

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Context, MatchType, Sensor};
use crate::indicator::Indicator;
use crate::observable::{EventTime, stix_time};

/// What in the event matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatchedField {
    /// The keys of the field, joined by dots.
    pub path: String,
    /// The field's value, as written in the event.
    pub value: String,
}

/// Several sightings of one indicator, reported as one (`--aggregate`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The same id for the first sighting and for those that follow.
    pub id: Uuid,
    /// When the first was sent.
    pub created: OffsetDateTime,
    /// The number of sightings.
    pub count: u64,
    /// When the first of their events happened.
    pub first_seen: OffsetDateTime,
    /// When the last of their events happened.
    pub last_seen: OffsetDateTime,
}

/// The facts about a sighting.
#[derive(Clone, Debug)]
pub struct Facts {
    /// How it was found.
    pub match_type: MatchType,
    /// When the event happened, if the sighting says so.
    pub time: Option<EventTime>,
    /// What matched, if it is reported and known.
    pub matched: Option<MatchedField>,
    /// The origin of the event: the name of a log, or of an engine.
    pub source: Arc<str>,
    /// The sensor that saw it, if known.
    pub sensor: Option<Arc<Sensor>>,
    /// The sightings that this one stands for, if it may stand for several.
    pub series: Option<Series>,
    /// The texts of all its events, sorted, if there are several. The other events are
    /// then in the context, as [`OBSERVATIONS`].
    pub instance: Option<Arc<str>>,
}

/// The member of a context with the other events of an instance, in order of time.
pub const OBSERVATIONS: &str = "observations";

impl Facts {
    /// Makes facts with nothing but how and when.
    pub fn at(match_type: MatchType, time: EventTime) -> Self {
        Facts {
            match_type,
            time: Some(time),
            matched: None,
            source: "".into(),
            sensor: None,
            series: None,
            instance: None,
        }
    }

    /// Splits the context into the last event of an instance and the others, for formats
    /// that have fields for both. A transformation may have removed the others.
    pub(crate) fn split_instance<'c>(
        &self,
        context: &Context<'c>,
    ) -> (Context<'c>, Option<Box<RawValue>>) {
        let split = self.instance.as_ref();
        match split.and_then(|_| context.split_member(OBSERVATIONS)) {
            Some((last, others)) => (last, Some(others)),
            None => (context.clone(), None),
        }
    }

    /// The series, if it has more than one sighting.
    pub(crate) fn several(&self) -> Option<&Series> {
        self.series.as_ref().filter(|series| series.count > 1)
    }
}

/// A series in the form that is written.
#[derive(Serialize)]
struct WrittenSeries {
    count: u64,
    first_seen: String,
    last_seen: String,
}

impl From<&Series> for WrittenSeries {
    fn from(series: &Series) -> Self {
        WrittenSeries {
            count: series.count,
            first_seen: stix_time(series.first_seen),
            last_seen: stix_time(series.last_seen),
        }
    }
}

/// Adds the counts of a series to the context, if there are several sightings, for
/// formats without a field for them.
///
/// # Errors
/// The context is not JSON (a defect of the caller).
pub fn with_counts(context: &Context<'_>, facts: &Facts) -> serde_json::Result<Context<'static>> {
    let Some(series) = facts.several() else {
        return Ok(context.clone().into_owned());
    };
    let counts = serde_json::to_string(&WrittenSeries::from(series))?;
    context.with_member("x_threatbus_aggregate", &counts)
}

/// The properties that are copied from an indicator's own message.
#[derive(Default, serde::Deserialize)]
struct OriginalFields<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    pattern: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct IndicatorInfo<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'a RawValue>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct WrittenSighting<'a> {
    ts: Option<String>,
    match_type: &'static str,
    indicator: IndicatorInfo<'a>,
    matched: Option<&'a MatchedField>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_threatbus_source: Option<&'a str>,
    #[serde(flatten)]
    counted: Option<WrittenSeries>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observations: Option<&'a RawValue>,
    context: &'a RawValue,
}

/// Writes the sighting as one object on one line.
///
/// # Errors
/// The context is not JSON (a defect of the caller).
pub fn write(
    indicator: &Indicator,
    facts: &Facts,
    context: &Context<'_>,
) -> serde_json::Result<String> {
    let original = indicator.original.as_deref().map(RawValue::get);
    // A message in another format has none of these properties.
    let fields: OriginalFields<'_> = original
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let (context, observations) = facts.split_instance(context);
    let sighting = WrittenSighting {
        ts: facts.time.as_ref().map(EventTime::as_stix),
        match_type: facts.match_type.as_str(),
        indicator: IndicatorInfo {
            id: &indicator.id,
            value: indicator.ioc.first().map(String::as_str),
            pattern: fields.pattern,
            kind: indicator.kind(),
            name: fields.name,
            labels: fields.labels,
            properties: indicator.properties.as_deref(),
        },
        matched: facts.matched.as_ref(),
        source: &facts.source,
        x_threatbus_source: facts.sensor.as_ref().map(|sensor| &*sensor.name),
        counted: facts.several().map(WrittenSeries::from),
        observations: observations.as_deref(),
        context: serde_json::from_str(context.as_str())?,
    };
    let mut line = Vec::new();
    Context::already_checked(&serde_json::to_string(&sighting)?).write_line(&mut line);
    // The caller adds the line end.
    line.pop();
    Ok(String::from_utf8(line).expect("it was text before"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use crate::indicator::Protocol;
    use crate::observable::Observable;

    fn indicator(original: Option<Value>) -> Indicator {
        Indicator {
            ioc: vec!["Evil.example".to_owned()],
            original: original.map(|json| RawValue::from_string(json.to_string()).expect("JSON")),
            ..Indicator::new(
                "indicator--1".into(),
                Protocol::Stix2,
                vec![Observable::domain("evil.example")],
            )
        }
    }

    fn facts(count: u64) -> Facts {
        Facts {
            match_type: MatchType::Live,
            time: EventTime::parse("2024-03-05T09:00:15.075954+0000"),
            matched: Some(MatchedField {
                path: "http.hostname".to_owned(),
                value: "EVIL.example".to_owned(),
            }),
            source: "eve.json".into(),
            sensor: None,
            series: Some(Series {
                id: Uuid::nil(),
                created: datetime!(2024-03-05 10:00 UTC),
                count,
                first_seen: datetime!(2024-03-05 09:00 UTC),
                last_seen: datetime!(2024-03-05 09:30 UTC),
            }),
            instance: None,
        }
    }

    #[test]
    fn a_sighting_says_what_it_is() {
        let message = json!({
            "type": "indicator", "pattern": "[domain-name:value = 'evil.example']",
            "name": "a name", "labels": ["x", "y"], "other": 1,
        });
        let context = Context::new("{\n\"a\": 1.50}").expect("an object");
        let text = write(&indicator(Some(message)), &facts(1), &context).expect("JSON");
        assert!(text.ends_with("\"context\":{\"a\":1.50}}"), "{text}");
        let expected = json!({
            "ts": "2024-03-05T09:00:15.075954Z",
            "match_type": "LIVE",
            "indicator": {
                "id": "indicator--1", "value": "Evil.example", "kind": "domain",
                "pattern": "[domain-name:value = 'evil.example']",
                "name": "a name", "labels": ["x", "y"],
            },
            "matched": {"path": "http.hostname", "value": "EVIL.example"},
            "source": "eve.json",
            "context": {"a": 1.5},
        });
        assert_eq!(
            serde_json::from_str::<Value>(&text).expect("JSON"),
            expected
        );
    }

    #[test]
    fn what_else_a_feed_says_goes_along() {
        let mut indicator = indicator(None);
        let properties = RawValue::from_string(r#"{"reporter":"x"}"#.to_owned());
        indicator.properties = Some(properties.expect("JSON"));
        let context = Context::new("{}").expect("an object");
        let text = write(&indicator, &facts(1), &context).expect("JSON");
        let sighting: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            sighting["indicator"]["properties"],
            json!({"reporter": "x"})
        );
    }

    #[test]
    fn several_are_counted_beside_the_context_or_in_it() {
        let context = Context::new(r#"{"a": 1, "x_threatbus_aggregate": 2}"#).expect("an object");
        let counted = json!({
            "count": 7, "first_seen": "2024-03-05T09:00:00Z", "last_seen": "2024-03-05T09:30:00Z",
        });
        let text = write(&indicator(None), &facts(7), &context).expect("JSON");
        let sighting: Value = serde_json::from_str(&text).expect("JSON");
        for (key, value) in counted.as_object().expect("an object") {
            assert_eq!(sighting[key], *value);
        }
        let inside = with_counts(&context, &facts(7)).expect("JSON");
        let inside: Value = serde_json::from_str(inside.as_str()).expect("JSON");
        assert_eq!(inside, json!({"a": 1, "x_threatbus_aggregate": counted}));
        let one = with_counts(&context, &facts(1)).expect("JSON");
        assert_eq!(one.as_str(), context.as_str());
        let no_object = Context::from_command(b"[1]".to_vec()).expect("JSON");
        let unchanged = with_counts(&no_object, &facts(7)).expect("JSON");
        assert_eq!(unchanged.as_str(), "[1]");
    }
}
