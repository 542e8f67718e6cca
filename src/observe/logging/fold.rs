//! Folding: a repeated warning or error is written a few times, and then only its count.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::Level;

use super::fields::RecordFields;

/// How long repetitions of a warning are held back.
const FOLD_TIME: Duration = Duration::from_secs(60);

/// How often a warning is written in that time before it is held back, so that the first
/// few show when they occur.
const WRITTEN: u64 = 3;

/// The most warnings that are tracked. Others are written each time.
const MOST_TRACKED: usize = 256;

/// Longer warnings, in bytes, are not tracked.
const LONGEST_WARNING: usize = 2048;

/// A repeated warning.
#[derive(Debug)]
pub struct Due {
    /// Its level.
    pub level: Level,
    /// Its message.
    pub text: String,
    /// Its fields.
    pub fields: RecordFields,
    /// How often it was held back.
    pub count: u64,
}

/// The warnings of the last minute.
#[derive(Debug, Default)]
pub struct Fold {
    written: HashMap<String, Repeated>,
    /// When the first of them is due.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Repeated {
    level: Level,
    fields: RecordFields,
    until: Instant,
    /// The number of repetitions.
    count: u64,
}

impl Fold {
    /// Records a warning; returns whether to write it now.
    pub fn is_new(
        &mut self,
        level: Level,
        text: &str,
        fields: impl FnOnce() -> RecordFields,
        now: Instant,
    ) -> bool {
        if let Some(repeated) = self.written.get_mut(text) {
            repeated.count += 1;
            return repeated.count < WRITTEN;
        }
        if self.written.len() < MOST_TRACKED && text.len() <= LONGEST_WARNING {
            let until = now + FOLD_TIME;
            self.due.get_or_insert(until);
            let repeated = Repeated {
                level,
                fields: fields(),
                until,
                count: 0,
            };
            self.written.insert(text.to_owned(), repeated);
        }
        true
    }

    /// The repeated warnings whose minute is over (with `all`, every one), with their
    /// counts.
    pub fn take_due(&mut self, now: Instant, all: bool) -> Vec<Due> {
        if !all && self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut due = Vec::new();
        self.written.retain(|text, repeated| {
            let stays = !all && repeated.until > now;
            let held_back = (repeated.count + 1).saturating_sub(WRITTEN);
            if !stays && held_back > 0 {
                due.push(Due {
                    level: repeated.level,
                    text: text.clone(),
                    fields: std::mem::take(&mut repeated.fields),
                    count: held_back,
                });
            }
            stays
        });
        due.sort_by(|a, b| (a.level, &a.text).cmp(&(b.level, &b.text)));
        self.due = self.written.values().map(|repeated| repeated.until).min();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_counted_and_told_when_its_minute_is_over() {
        let mut fold = Fold::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let come = |fold: &mut Fold, text, times: &[u64]| -> Vec<bool> {
            let each = times
                .iter()
                .map(|time| fold.is_new(Level::Warn, text, RecordFields::default, after(*time)));
            each.collect()
        };
        let written = come(&mut fold, "a", &[0, 31, 32, 33, 34]);
        assert_eq!(written, [true, true, true, false, false]);
        assert_eq!(
            come(&mut fold, "b", &[35, 36, 37, 38]),
            [true, true, true, false]
        );
        assert!(fold.is_new(Level::Warn, "c", RecordFields::default, after(35)));
        assert!(fold.take_due(after(59), false).is_empty());
        let told = |due: Vec<Due>| -> Vec<(Level, String, u64)> {
            let each = due.into_iter();
            each.map(|one| (one.level, one.text, one.count)).collect()
        };
        assert_eq!(
            told(fold.take_due(after(60), false)),
            [(Level::Warn, "a".to_owned(), 2)]
        );
        assert!(fold.is_new(Level::Warn, "a", RecordFields::default, after(61)));
        assert_eq!(
            told(fold.take_due(after(63), true)),
            [(Level::Warn, "b".to_owned(), 1)]
        );
        assert!(fold.take_due(after(64), true).is_empty());
        assert!(fold.is_new(Level::Warn, "b", RecordFields::default, after(65)));
    }

    #[test]
    fn many_and_long_ones_are_not_remembered() {
        let mut fold = Fold::default();
        let now = Instant::now();
        for number in 0..2 * MOST_TRACKED {
            assert!(fold.is_new(
                Level::Error,
                &number.to_string(),
                RecordFields::default,
                now
            ));
        }
        assert_eq!(fold.written.len(), MOST_TRACKED);
        let long = "x".repeat(LONGEST_WARNING + 1);
        let mut is_new = || fold.is_new(Level::Error, &long, RecordFields::default, now);
        assert!(is_new() && is_new());
    }
}
