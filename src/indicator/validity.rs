//! When an indicator is valid: `valid_from`, `valid_until` and `revoked` (STIX 2.1,
//! section 4.7), and its version.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The time span in which an indicator is valid, and when it was last modified, in
/// microseconds. It takes 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Microseconds since 1970; the least number if there is no start.
    from: i64,
    /// Microseconds since 1970; the largest number if there is no end, the least if it is
    /// revoked.
    until: i64,
    /// Microseconds since 1970; the least number if unknown.
    modified: i64,
}

/// Whether an indicator is valid at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidityState {
    /// It is valid.
    Active,
    /// `valid_until` has passed.
    Expired,
    /// `valid_from` is in the future.
    NotYetValid,
    /// Its producer has withdrawn it for all times.
    Revoked,
}

impl fmt::Display for ValidityState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValidityState::Active => "active",
            ValidityState::Expired => "expired",
            ValidityState::NotYetValid => "not yet valid",
            ValidityState::Revoked => "revoked",
        })
    }
}

impl Default for Validity {
    fn default() -> Self {
        Validity::ALWAYS
    }
}

impl Validity {
    /// Valid at any time.
    pub const ALWAYS: Self = Validity {
        from: i64::MIN,
        until: i64::MAX,
        modified: i64::MIN,
    };

    /// Valid at no time.
    pub const REVOKED: Self = Validity {
        from: i64::MIN,
        until: i64::MIN,
        modified: i64::MIN,
    };

    /// Valid from the first time on and before the second.
    pub fn between(from: Option<OffsetDateTime>, until: Option<OffsetDateTime>) -> Self {
        Validity {
            from: from.map_or(i64::MIN, microseconds),
            // The least number would mean revoked.
            until: until.map_or(i64::MAX, |time| microseconds(time).max(i64::MIN + 1)),
            modified: i64::MIN,
        }
    }

    /// The same with the time of its version.
    pub fn modified_at(self, time: Option<OffsetDateTime>) -> Self {
        Validity {
            modified: time.map_or(i64::MIN, microseconds),
            ..self
        }
    }

    /// The time of the version in microseconds since 1970, if known.
    pub fn modified(&self) -> Option<i64> {
        (self.modified != i64::MIN).then_some(self.modified)
    }

    /// The state at this time. The span includes `valid_from` and excludes `valid_until`.
    pub fn at(&self, time: OffsetDateTime) -> ValidityState {
        let time = microseconds(time);
        if self.until == i64::MIN {
            ValidityState::Revoked
        } else if time >= self.until && self.until != i64::MAX {
            ValidityState::Expired
        } else if time < self.from {
            ValidityState::NotYetValid
        } else {
            ValidityState::Active
        }
    }

    /// The state now.
    pub fn now(&self) -> ValidityState {
        self.at(OffsetDateTime::now_utc())
    }

    /// The time at which it becomes valid, if it has one.
    pub fn from(&self) -> Option<OffsetDateTime> {
        (self.from != i64::MIN).then(|| time(self.from)).flatten()
    }

    /// The time at which it expires, if it has one.
    pub fn until(&self) -> Option<OffsetDateTime> {
        let is_time = !matches!(self.until, i64::MIN | i64::MAX);
        is_time.then(|| time(self.until)).flatten()
    }
}

/// Reads a STIX timestamp.
pub fn timestamp(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Any time with a four-digit year fits.
fn microseconds(time: OffsetDateTime) -> i64 {
    let micros = time.unix_timestamp_nanos().div_euclid(1000);
    i64::try_from(micros).unwrap_or(if micros < 0 {
        i64::MIN + 1
    } else {
        i64::MAX - 1
    })
}

fn time(microseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> OffsetDateTime {
        timestamp(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn the_span_has_a_beginning_and_an_open_end() {
        let (from, until) = (at("2021-01-01T00:00:00Z"), at("2021-02-01T00:00:00.5Z"));
        let validity = Validity::between(Some(from), Some(until));
        for (time, standing) in [
            ("2020-12-31T23:59:59.999999Z", ValidityState::NotYetValid),
            ("2021-01-01T00:00:00Z", ValidityState::Active),
            ("2021-01-01T01:00:00+02:00", ValidityState::NotYetValid),
            ("2021-02-01T00:00:00.499999Z", ValidityState::Active),
            ("2021-02-01T00:00:00.5Z", ValidityState::Expired),
        ] {
            assert_eq!(validity.at(at(time)), standing, "{time}");
        }
        assert_eq!(validity.from(), Some(from));
        assert_eq!(validity.until(), Some(until));
        assert_eq!(size_of::<Validity>(), 24);
    }

    #[test]
    fn without_bounds_it_is_always_active_and_revoked_never() {
        for time in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
            assert_eq!(Validity::default().at(at(time)), ValidityState::Active);
            assert_eq!(Validity::REVOKED.at(at(time)), ValidityState::Revoked);
            let never = Validity::between(None, Some(at("0000-01-01T00:00:00Z")));
            assert_eq!(never.at(at(time)), ValidityState::Expired);
        }
        assert_eq!(Validity::ALWAYS.from(), None);
        assert_eq!(Validity::ALWAYS.until(), None);
        assert_eq!(Validity::REVOKED.until(), None);
        assert_eq!(timestamp("2021-01-01"), None);
    }
}
