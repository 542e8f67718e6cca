//! Held-back sightings in the journal (`--aggregate` with `--state-dir`): a line of JSON
//! when the first sighting is held back, and after it lines with the counts, of which the
//! last is valid. A run that is killed leaves them, and the next run reports them.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::noise::HeldSighting;
use crate::indicator::{Indicator, Protocol};
use crate::observable::{EventTime, Observable, PROPERTIES};
use crate::protocol::{Context, Facts, MatchType, MatchedField, Sensor, Series};

/// The number of sightings, and the times of their first and last events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SightingCounts {
    pub count: u64,
    pub first_seen: OffsetDateTime,
    pub last_seen: OffsetDateTime,
}

impl SightingCounts {
    /// The counts as they are appended to the line.
    pub(super) fn written(&self) -> String {
        let nanoseconds = |time: OffsetDateTime| time.unix_timestamp_nanos();
        format!(
            "\n{} {} {}",
            self.count,
            nanoseconds(self.first_seen),
            nanoseconds(self.last_seen)
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let count = words.next()?.parse().ok()?;
        let mut time =
            || OffsetDateTime::from_unix_timestamp_nanos(words.next()?.parse().ok()?).ok();
        Some(SightingCounts {
            count,
            first_seen: time()?,
            last_seen: time()?,
        })
    }
}

/// The line for a sighting that stands for several.
pub(super) fn written(kept: &HeldSighting) -> String {
    let HeldSighting {
        indicator,
        event,
        facts,
        ..
    } = kept;
    let text = |json: &Option<Box<RawValue>>| json.as_ref().map(|json| json.get().to_owned());
    let values = indicator.observables.iter();
    let values: Vec<[String; 2]> = values
        .map(|one| [one.kind().to_owned(), one.to_string()])
        .collect();
    let series = facts.series.as_ref();
    let matched = facts.matched.as_ref();
    json!({
        "id": &*indicator.id,
        "protocol": indicator.protocol.to_string(),
        "values": values,
        "ioc": indicator.ioc,
        "original": text(&indicator.original),
        "properties": text(&indicator.properties),
        "event": event.as_str(),
        "match_type": facts.match_type.as_str(),
        "time": facts.time.as_ref().map(EventTime::as_python),
        "matched": matched.map(|matched| [&matched.path, &matched.value]),
        "source": &*facts.source,
        "sensor": facts.sensor.as_ref().map(|sensor| &*sensor.name),
        "instance": facts.instance.as_deref(),
        "series": series.map(|series| series.id.to_string()),
        "created": series.map(|series| series.created.unix_timestamp_nanos().to_string()),
    })
    .to_string()
}

/// A held-back sighting of an earlier run; `None` if it cannot be read.
pub fn read(entry: &[u8]) -> Option<HeldSighting> {
    let (line, counts) = std::str::from_utf8(entry).ok()?.split_once('\n')?;
    let counts = SightingCounts::read(counts.lines().next_back()?)?;
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let pairs = |name: &str| line[name].as_array().cloned().unwrap_or_default();
    let texts = |name: &str| -> Vec<String> {
        let texts = pairs(name).into_iter();
        texts
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let json = |name: &str| text(name).and_then(|json| RawValue::from_string(json).ok());
    let values = pairs("values");
    let values = values
        .iter()
        .filter_map(|one| value(one[0].as_str()?, one[1].as_str()?));
    let indicator = Indicator {
        ioc: texts("ioc"),
        original: json("original"),
        properties: json("properties"),
        ..Indicator::new(
            text("id")?.into(),
            match line["protocol"].as_str()? {
                "stix2" => Protocol::Stix2,
                _ => Protocol::Legacy,
            },
            values.collect(),
        )
    };
    let id = text("series").and_then(|id| Uuid::try_parse(&id).ok());
    let created = text("created").and_then(|created| created.parse().ok());
    let created =
        created.and_then(|created| OffsetDateTime::from_unix_timestamp_nanos(created).ok());
    let facts = Facts {
        match_type: match line["match_type"].as_str()? {
            "LIVE" => MatchType::Live,
            _ => MatchType::Retro,
        },
        time: text("time").and_then(|time| EventTime::parse(&time)),
        matched: match &texts("matched")[..] {
            [path, value] => Some(MatchedField {
                path: path.clone(),
                value: value.clone(),
            }),
            _ => None,
        },
        source: text("source")?.into(),
        sensor: text("sensor").map(|name| Arc::new(Sensor::new(name.into()))),
        series: Some(Series {
            id: id.unwrap_or_else(Uuid::new_v4),
            created: created.unwrap_or_else(OffsetDateTime::now_utc),
            count: counts.count,
            first_seen: counts.first_seen,
            last_seen: counts.last_seen,
        }),
        instance: text("instance").map(Arc::from),
    };
    Some(HeldSighting {
        indicator: Arc::new(indicator),
        event: Context::new(&text("event")?).ok()?.into_owned(),
        facts,
        ticket: None,
    })
}

/// The value with this kind and canonical text.
fn value(kind: &str, text: &str) -> Option<Observable> {
    let value = match kind {
        "ipv4" | "ipv6" | "network" => Observable::of_address(text),
        "endpoint" => Observable::of_endpoint(text),
        "domain" => Observable::of_domain(text),
        "subdomain" => Observable::of_domain(&format!("*.{text}")),
        "url" => Observable::of_url(text),
        "hash" => Observable::of_hash(text),
        "answer" => Observable::of_answer(text),
        name => {
            let facts = PROPERTIES.iter().find(|facts| facts.name == name)?;
            Observable::text(facts.property, text)
        }
    };
    value.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let time = |second| OffsetDateTime::from_unix_timestamp(second).expect("a moment");
        let mut indicator = Indicator {
            ioc: vec!["A.example".to_owned()],
            original: RawValue::from_string("{\"z\": 1,\n\"a\":2}".to_owned()).ok(),
            properties: RawValue::from_string("{}".to_owned()).ok(),
            ..Indicator::new(
                "indicator--1".into(),
                Protocol::Stix2,
                vec![Observable::domain("a.example")],
            )
        };
        for (kind, text) in [
            ("ipv4", "192.0.2.1"),
            ("endpoint", "[2001:db8::1]:80"),
            ("network", "192.0.2.0/24"),
            ("subdomain", "b.example"),
            ("url", "http://a.example/"),
            ("url", "/x"),
            ("hash", "d41d8cd98f00b204e9800998ecf8427e"),
            ("email", "a@a.example"),
            ("filename", "x.exe"),
        ] {
            let one = value(kind, text).expect("a value");
            assert_eq!((one.kind(), &*one.to_string()), (kind, text));
            indicator.observables.push(one);
        }
        let kept = HeldSighting {
            indicator: indicator.into(),
            event: Context::already_checked("{\"a\":\"\\n\"}").into_owned(),
            facts: Facts {
                match_type: MatchType::Live,
                time: EventTime::parse("2024-03-05T10:26:53.5+01:00"),
                matched: Some(MatchedField {
                    path: "a".to_owned(),
                    value: "\n".to_owned(),
                }),
                source: "eve.json".into(),
                sensor: Some(Arc::new(Sensor::new("dmz".into()))),
                series: None,
                instance: Some("x\ny".into()),
            },
            ticket: None,
        };
        let counts = SightingCounts {
            count: 7,
            first_seen: time(1),
            last_seen: time(2),
        };
        let before = SightingCounts { count: 6, ..counts };
        let entry = written(&kept) + &before.written() + &counts.written();
        let again = read(entry.as_bytes()).expect("it was written here");
        let series = again.facts.series.clone().expect("several");
        assert_eq!((series.count, series.first_seen), (7, time(1)));
        assert_eq!(series.last_seen, time(2));
        assert_eq!(written(&again).replace(&series.id.to_string(), ""), {
            // A series is created if there was none.
            let mut kept = kept;
            kept.facts.series = again.facts.series.clone();
            written(&kept).replace(&series.id.to_string(), "")
        });
        assert!(read(b"{}").is_none() && read(b"{}\n1 2").is_none());
    }
}
