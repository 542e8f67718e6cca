//! Indicators whose `valid_from` is still to come.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Indicator;

/// How many of them wait.
const MOST: usize = 10_000;

/// The most memory that they take, in bytes, about.
const MOST_BYTES: usize = 64 << 20;

/// How long to sleep at the most until one of them begins to count: the clock of
/// the system may be set meanwhile.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Those that wait, by their time.
#[derive(Debug, Default)]
pub struct Later {
    by_time: BTreeMap<(SystemTime, u64), Indicator>,
    number: u64,
    bytes: usize,
}

impl Later {
    /// Keeps an indicator for its time.
    ///
    /// # Errors
    /// It has no such time, or there is no room for it: the indicator.
    pub fn put(&mut self, indicator: Indicator) -> Result<(), Box<Indicator>> {
        let bytes = self.bytes + indicator.size();
        let has_room = self.by_time.len() < MOST && bytes <= MOST_BYTES;
        let Some(from) = indicator.validity.from().filter(|_| has_room) else {
            return Err(Box::new(indicator));
        };
        self.bytes = bytes;
        self.number += 1;
        self.by_time.insert((from.into(), self.number), indicator);
        Ok(())
    }

    /// Takes out those with this id.
    pub fn remove(&mut self, id: &str) -> Vec<Indicator> {
        let same = self.by_time.iter().filter(|(_, one)| &*one.id == id);
        let same: Vec<(SystemTime, u64)> = same.map(|(time, _)| *time).collect();
        let removed = same.iter().filter_map(|time| self.by_time.remove(time));
        let removed: Vec<Indicator> = removed.collect();
        self.bytes -= removed.iter().map(Indicator::size).sum::<usize>();
        removed
    }

    /// The next whose time has come.
    pub fn take_due(&mut self, now: SystemTime) -> Option<Indicator> {
        let first = self.by_time.first_entry()?;
        let due = (first.key().0 <= now).then(|| first.remove())?;
        self.bytes -= due.size();
        Some(due)
    }

    /// When the next one begins to count.
    pub fn next(&self) -> Option<SystemTime> {
        self.by_time.keys().next().map(|(time, _)| *time)
    }

    /// How long to sleep until then, at the most.
    pub fn sleep(&self) -> Option<Duration> {
        let left = self.next()?.duration_since(SystemTime::now());
        Some(left.unwrap_or_default().min(LONGEST_SLEEP))
    }

    /// All that wait, in the order of their times; none waits any more.
    pub fn take_all(&mut self) -> impl Iterator<Item = Indicator> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.by_time).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{Protocol, Validity};
    use crate::observable::Observable;

    fn indicator(id: &str, from: Option<SystemTime>) -> Indicator {
        Indicator {
            id: id.into(),
            protocol: Protocol::Stix2,
            observables: vec![Observable::domain("a")],
            selection: None,
            condition: None,
            validity: Validity::between(from.map(Into::into), None),
            ioc: vec!["a".to_owned()],
            original: None,
            ticket: None,
        }
    }

    #[test]
    fn indicators_wait_for_their_time_in_its_order() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut later = Later::default();
        assert!(later.put(indicator("always", None)).is_err());
        for (id, seconds) in [("2", 20), ("1", 10), ("3", 10), ("4", 5), ("4", 7)] {
            assert!(later.put(indicator(id, Some(at(seconds)))).is_ok());
        }
        assert_eq!((later.remove("4").len(), later.remove("4").len()), (2, 0));
        assert_eq!(later.next(), Some(at(10)));
        assert_eq!(later.sleep(), Some(Duration::ZERO));
        assert!(later.take_due(at(9)).is_none());
        let mut due = |now| later.take_due(now).map(|one| one.id.to_string());
        assert_eq!(due(at(10)).as_deref(), Some("1"));
        assert_eq!(due(at(10)).as_deref(), Some("3"));
        assert_eq!(due(at(10)), None);
        assert_eq!(due(at(30)).as_deref(), Some("2"));
        assert_eq!((later.next(), later.bytes), (None, 0));
    }

    #[test]
    fn only_so_many_wait() {
        let far = SystemTime::now() + Duration::from_secs(1_000_000);
        let mut later = Later::default();
        for number in 0..MOST {
            let kept = later.put(indicator(&number.to_string(), Some(far)));
            assert!(kept.is_ok());
        }
        assert!(later.put(indicator("x", Some(far))).is_err());
        assert_eq!(later.sleep(), Some(LONGEST_SLEEP));
        assert_eq!(later.take_all().count(), MOST);
        let mut large = indicator("large", Some(far));
        large.ioc = vec!["a".repeat(MOST_BYTES)];
        assert!(later.put(large).is_err());
        assert!(later.put(indicator("x", Some(far))).is_ok());
    }
}
