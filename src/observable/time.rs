//! Event times, as sensors write them and as sightings carry them.

use std::borrow::Cow;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// When an event happened. The engine prints times in UTC, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    utc: OffsetDateTime,
    /// The offset that was written, if any: the legacy format repeats it.
    written_offset: Option<UtcOffset>,
}

impl EventTime {
    /// The present moment.
    pub fn now() -> Self {
        EventTime {
            utc: OffsetDateTime::now_utc(),
            written_offset: Some(UtcOffset::UTC),
        }
    }

    /// Reads `2009-11-18T17:00:51.841527040`. Accepts a space for the `T`, up to nine
    /// fraction digits, and an optional zone (`Z`, `+01:00`, `+0100`, `+01`, ` UTC`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // A name of the zone, and a blank in front of it.
        let (text, is_utc) = match text.strip_suffix("UTC").or(text.strip_suffix("GMT")) {
            Some(text) => (text.trim_end(), true),
            None => (text, false),
        };
        let mut text = Cow::Borrowed(text);
        let zone = text.rsplit_once(' ');
        if let Some((time, zone)) = zone.filter(|(_, zone)| zone.starts_with(['+', '-', 'Z', 'z']))
        {
            text = format!("{}{zone}", time.trim_end()).into();
        }
        if text.as_bytes().get(10) == Some(&b' ') {
            text = text.replacen(' ', "T", 1).into();
        }
        if let Ok(time) = OffsetDateTime::parse(&text, &Rfc3339) {
            return Some(EventTime {
                utc: time.to_offset(UtcOffset::UTC),
                written_offset: Some(time.offset()),
            });
        }
        // Suricata's own logs write the offset without a colon, others without minutes.
        let compact = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]][offset_hour sign:mandatory][offset_minute]"
        );
        let short = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]][offset_hour sign:mandatory]"
        );
        let with_offset = OffsetDateTime::parse(&text, &compact);
        if let Ok(time) = with_offset.or_else(|_| OffsetDateTime::parse(&text, &short)) {
            return Some(EventTime {
                utc: time.to_offset(UtcOffset::UTC),
                written_offset: Some(time.offset()),
            });
        }
        let zoneless = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]"
        );
        let time = PrimitiveDateTime::parse(&text, &zoneless).ok()?;
        Some(EventTime {
            utc: time.assume_utc(),
            written_offset: is_utc.then_some(UtcOffset::UTC),
        })
    }

    /// Reads seconds since 1970, as in Zeek's JSON logs, or milliseconds
    /// (`JSON::TS_MILLIS`), which are seconds of no time that sensors live in.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        // The year 5138, or in milliseconds 1973.
        const MOST_SECONDS: f64 = 1e11;
        let unit = if seconds.abs() < MOST_SECONDS {
            1e9
        } else {
            1e6
        };
        let nanoseconds = seconds * unit;
        if !nanoseconds.is_finite() || nanoseconds.abs() >= i128::MAX as f64 {
            return None;
        }
        let utc = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds as i128).ok()?;
        Some(EventTime {
            utc,
            written_offset: None,
        })
    }

    /// The moment in UTC.
    pub fn utc(&self) -> OffsetDateTime {
        self.utc
    }

    /// Formats the time like Python's `str(datetime)`, which the legacy broker reads: six
    /// fraction digits unless they are zero, and the zone if one was written.
    pub fn as_python(&self) -> String {
        let offset = self.written_offset.unwrap_or(UtcOffset::UTC);
        let time = self.utc.to_offset(offset);
        let mut text = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        if time.microsecond() != 0 {
            text += &format!(".{:06}", time.microsecond());
        }
        if self.written_offset.is_some() {
            let (hours, minutes, _) = offset.as_hms();
            let sign = if offset.is_negative() { '-' } else { '+' };
            text += &format!(
                "{sign}{:02}:{:02}",
                hours.unsigned_abs(),
                minutes.unsigned_abs()
            );
        }
        text
    }

    /// Formats the time for STIX: UTC with `Z`, microseconds at most (the precision of
    /// the `stix2` library).
    pub fn as_stix(&self) -> String {
        stix_time(self.utc)
    }
}

/// Formats a time in UTC without fraction and zone.
pub fn whole_second(time: OffsetDateTime) -> String {
    let utc = time.to_offset(UtcOffset::UTC);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        utc.year(),
        u8::from(utc.month()),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second()
    )
}

/// Formats a STIX timestamp: UTC, `Z`, and six fraction digits unless they are zero.
pub fn stix_time(utc: OffsetDateTime) -> String {
    let mut text = whole_second(utc);
    if utc.microsecond() != 0 {
        text += &format!(".{:06}", utc.microsecond());
    }
    text + "Z"
}
