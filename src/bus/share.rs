//! Whose echoes arrive: each bridge that listens for its own sightings also receives those
//! of all others.

use std::time::{Duration, Instant};

/// The period in which echoes are counted.
const PERIOD: Duration = Duration::from_secs(60);

/// Up to this many echoes of others in a period are no burden: ten a second.
const FEW: u64 = 600;

/// The time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(3_600);

/// The echoes of this bridge and of others.
#[derive(Debug, Default)]
pub struct Share {
    own: u64,
    others: u64,
    since: Option<Instant>,
    warned: Option<Instant>,
}

/// The content of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mostly {
    /// Echoes of others in the last minute.
    pub others: u64,
    /// All echoes.
    pub all: u64,
}

impl Share {
    /// Records an echo; returns a warning if most echoes are those of others.
    pub fn echo(&mut self, is_own: bool, now: Instant) -> Option<Mostly> {
        if is_own {
            self.own += 1
        } else {
            self.others += 1
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < PERIOD {
            return None;
        }
        let (own, others) = (self.own, self.others);
        (self.own, self.others, self.since) = (0, 0, Some(now));
        let is_recent = |at: Instant| now.saturating_duration_since(at) < WARNING_INTERVAL;
        if others <= FEW.max(own) || self.warned.is_some_and(is_recent) {
            return None;
        }
        self.warned = Some(now);
        Some(Mostly {
            others,
            all: own + others,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(share: &mut Share, start: Instant, own: u64, others: u64) -> Vec<Mostly> {
        let all = (0..own).map(|_| true).chain((0..others).map(|_| false));
        let count = u32::try_from(own + others).expect("few") - 1;
        all.zip(0..)
            .filter_map(|(is_own, n)| share.echo(is_own, start + PERIOD / count * n + PERIOD / 600))
            .collect()
    }

    #[test]
    fn it_is_said_once_an_hour_that_most_is_of_others() {
        let start = Instant::now();
        for (own, others, said) in [(1_000, 900, 0), (100, FEW / 2, 0), (100, 2 * FEW, 1)] {
            let mut share = Share::default();
            let mut found = Vec::new();
            for number in 0..10 {
                found.extend(minute(&mut share, start + PERIOD * number, own, others));
            }
            assert_eq!(found.len(), said, "{own} {others}: {found:?}");
            found.extend(minute(
                &mut share,
                start + WARNING_INTERVAL * 2,
                own,
                others,
            ));
            found.extend(minute(
                &mut share,
                start + WARNING_INTERVAL * 3,
                own,
                others,
            ));
            assert_eq!(found.len() > said, said > 0, "{found:?}");
        }
    }
}
