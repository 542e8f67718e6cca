//! The types of metrics. A number that is part of a total changes the total too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that may be part of a total: an engine's share of the numbers of all engines.
#[derive(Debug, Default)]
pub struct EngineShare<N> {
    own: N,
    whole: Option<Arc<EngineShare<N>>>,
}

impl<N: Default> EngineShare<N> {
    /// A new part of this total.
    pub fn of(whole: &Arc<Self>) -> Arc<Self> {
        Arc::new(EngineShare {
            own: N::default(),
            whole: Some(whole.clone()),
        })
    }

    fn each(&self, change: impl Fn(&N)) {
        change(&self.own);
        if let Some(whole) = &self.whole {
            whole.each(change);
        }
    }
}

/// A number that only grows.
pub type Counter = EngineShare<Count>;

/// The value of a [`Counter`].
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.each(|one| {
            one.0.fetch_add(count, Ordering::Relaxed);
        });
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.own.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
pub type Gauge = EngineShare<Level>;

/// The value of a [`Gauge`].
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Gauge {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.each(|one| {
            one.0.fetch_add(count, Ordering::AcqRel);
        });
    }

    /// Subtracts `count`, which was added before.
    pub fn remove(&self, count: u64) {
        self.each(|one| {
            one.0.fetch_sub(count, Ordering::AcqRel);
        });
    }

    /// Sets the value.
    pub fn set(&self, number: u64) {
        let before = self.own.0.swap(number, Ordering::AcqRel);
        if let Some(whole) = &self.whole {
            // Wrapping: a negative difference is subtracted.
            whole.add(number.wrapping_sub(before));
        }
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.own.0.load(Ordering::Acquire)
    }
}

/// Whether a peer of this program is reachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// This run does not need it.
    #[default]
    Unused = 0,
    /// It does not respond.
    Down = 1,
    /// It responded to the last request.
    Up = 2,
}

/// The changing state of a [`Peer`].
#[derive(Debug, Default)]
pub struct PeerGauge(AtomicU8);

impl PeerGauge {
    /// Sets the current state.
    pub fn set(&self, peer: Peer) {
        self.0.store(peer as u8, Ordering::Relaxed);
    }

    /// The last known state.
    pub fn get(&self) -> Peer {
        match self.0.load(Ordering::Relaxed) {
            0 => Peer::Unused,
            1 => Peer::Down,
            _ => Peer::Up,
        }
    }
}

/// Counts by word.
pub type WordCounts = EngineShare<Words>;

/// The values of a [`WordCounts`].
#[derive(Debug, Default)]
pub struct Words(Mutex<BTreeMap<&'static str, u64>>);

impl WordCounts {
    /// Counts one more of this word.
    pub fn count(&self, word: &'static str) {
        self.each(|one| *lock(&one.0).entry(word).or_default() += 1);
    }

    /// All counts, in the order of the words.
    pub fn get(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.own.0).clone()
    }
}

/// Counts by the words of a human-readable reason, without the text that it quotes.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<BTreeMap<String, u64>>);

impl Reasons {
    /// The most reasons that are distinguished, since a reason may contain external text.
    const MOST_REASONS: usize = 32;

    /// Counts one more with this reason.
    pub fn count(&self, reason: &str) {
        let mut counts = lock(&self.0);
        let mut word = reason_word(reason);
        if counts.len() >= Self::MOST_REASONS && !counts.contains_key(&word) {
            word = "other".to_owned();
        }
        *counts.entry(word).or_default() += 1;
    }

    /// All counts, in the order of the words.
    pub fn get(&self) -> BTreeMap<String, u64> {
        lock(&self.0).clone()
    }
}

/// The first words of a reason, in the characters of a metric name.
fn reason_word(reason: &str) -> String {
    let mut quote = None;
    let unquoted = |c: char| match quote {
        Some(mark) => {
            if c == mark {
                quote = None;
            }
            ' '
        }
        None if matches!(c, '"' | '`') => {
            quote = Some(c);
            ' '
        }
        None => c.to_ascii_lowercase(),
    };
    let text: String = reason.chars().map(unquoted).collect();
    let words = text.split(|c: char| !c.is_ascii_lowercase());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).take(5).collect();
    let mut word = words.join("_");
    word.truncate(48);
    if word.is_empty() {
        "other".to_owned()
    } else {
        word
    }
}

/// The upper bounds of the histogram buckets, in seconds for times.
pub const BUCKETS: [f64; 11] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// The minimum, maximum and mean since the last report, and a histogram of everything.
pub type Spread = EngineShare<Measurements>;

/// The values of a [`Spread`].
#[derive(Debug, Default)]
pub struct Measurements(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    count: u64,
    least: f64,
    greatest: f64,
    sum: f64,
    total: Totals,
}

/// The measurements of the whole run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Their number.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The number in each of [`BUCKETS`] (above the bound before it).
    pub buckets: [u64; BUCKETS.len()],
}

impl Spread {
    /// Adds one measurement.
    pub fn record(&self, value: f64) {
        self.record_all(value, 1);
    }

    /// Adds this many measurements with the same value.
    pub fn record_all(&self, value: f64, count: u64) {
        self.each(|one| lock(&one.0).add(value, count));
    }

    /// Minimum, maximum and mean since the last call; `None` if there were no
    /// measurements.
    pub fn take(&self) -> Option<[f64; 3]> {
        let mut measured = lock(&self.own.0);
        let emptied = Measured {
            total: measured.total,
            ..Measured::default()
        };
        let measured = std::mem::replace(&mut *measured, emptied);
        let mean = measured.sum / measured.count as f64;
        (measured.count > 0).then_some([measured.least, measured.greatest, mean])
    }

    /// The measurements of the whole run.
    pub fn totals(&self) -> Totals {
        lock(&self.own.0).total
    }
}

impl Measured {
    fn add(&mut self, value: f64, count: u64) {
        if self.count == 0 {
            (self.least, self.greatest) = (value, value);
        }
        self.count += count;
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        self.sum += value * count as f64;
        self.total.count += count;
        self.total.sum += value * count as f64;
        if let Some(bucket) = BUCKETS.iter().position(|end| value <= *end) {
            self.total.buckets[bucket] += count;
        }
    }
}

/// When something last happened.
#[derive(Debug, Default)]
pub struct Moment(AtomicU64);

impl Moment {
    /// It happens now.
    pub fn now(&self) {
        self.at(SystemTime::now());
    }

    /// It happened at this time.
    pub fn at(&self, time: SystemTime) {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let milliseconds = since.unwrap_or_default().as_millis();
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        self.0.store(milliseconds.max(1), Ordering::Relaxed);
    }

    /// Resets it to never.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The time since 1970; `None` if it never happened.
    pub fn get(&self) -> Option<Duration> {
        let milliseconds = self.0.load(Ordering::Relaxed);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }
}

/// Since when things wait, in hundredths of a second: any number of things needs no more
/// memory than one entry per hundredth.
#[derive(Debug)]
pub struct Ages {
    start: Instant,
    /// How many began to wait in which [`STEP`](Ages::STEP) after the start.
    waiting: Mutex<BTreeMap<u64, u64>>,
}

impl Default for Ages {
    fn default() -> Self {
        Ages {
            start: Instant::now(),
            waiting: Mutex::default(),
        }
    }
}

impl Ages {
    const STEP: Duration = Duration::from_millis(10);

    fn step(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        (since.as_millis() / Self::STEP.as_millis()) as u64
    }

    /// How long what began in this step has waited.
    fn waited(&self, step: u64, now: Instant) -> Duration {
        let began = Duration::from_millis(step * Self::STEP.as_millis() as u64);
        now.saturating_duration_since(self.start + began)
    }

    /// Something starts to wait.
    pub fn begin(&self, at: Instant) {
        *lock(&self.waiting).entry(self.step(at)).or_default() += 1;
    }

    /// Something that started to wait at this time is done.
    pub fn end(&self, at: Instant) {
        let mut waiting = lock(&self.waiting);
        let step = self.step(at);
        if let Some(count) = waiting.get_mut(&step) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&step);
            }
        }
    }

    /// Nothing waits any more: how long each did, and how many did so.
    pub fn take(&self, now: Instant) -> Vec<(Duration, u64)> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let each = waiting.into_iter();
        each.map(|(step, count)| (self.waited(step, now), count))
            .collect()
    }

    /// The longest current wait in seconds; 0 if nothing waits.
    pub fn oldest(&self, now: Instant) -> u64 {
        let waiting = lock(&self.waiting);
        let first = waiting.keys().next();
        first.map_or(0, |step| self.waited(*step, now).as_secs())
    }
}

/// Things that arrive and leave in the same order, and the age of the oldest in seconds.
#[derive(Debug, Default)]
pub struct InTransit(Mutex<Stream>);

#[derive(Debug, Default)]
struct Stream {
    came: u64,
    /// How many had arrived by the end of a second.
    marks: VecDeque<(u64, Instant)>,
}

impl InTransit {
    /// So many come.
    pub fn come(&self, count: u64, now: Instant) {
        let mut stream = lock(&self.0);
        stream.came += count;
        let came = stream.came;
        match stream.marks.back_mut() {
            Some((count, since)) if now < *since + Duration::from_secs(1) => *count = came,
            _ => stream.marks.push_back((came, now)),
        }
    }

    /// The age of the oldest in seconds after this many have left; 0 if none is left.
    pub fn oldest(&self, gone: u64, now: Instant) -> u64 {
        let mut stream = lock(&self.0);
        while stream.marks.front().is_some_and(|(came, _)| *came <= gone) {
            stream.marks.pop_front();
        }
        let first = stream.marks.front();
        first.map_or(0, |(_, since)| {
            now.saturating_duration_since(*since).as_secs()
        })
    }
}

/// The names of things of a kind that are in a bad state.
#[derive(Debug, Default)]
pub struct Bad(Mutex<BTreeSet<String>>);

impl Bad {
    /// Sets the state of this one.
    pub fn set(&self, name: &str, is_bad: bool) {
        let mut names = lock(&self.0);
        if is_bad {
            names.insert(name.to_owned());
        } else {
            names.remove(name);
        }
    }

    /// Their number.
    pub fn count(&self) -> u64 {
        lock(&self.0).len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_in_a_part_changes_in_the_whole() {
        let (whole, level) = (Arc::new(Counter::default()), Arc::new(Gauge::default()));
        let (one, other) = (EngineShare::of(&whole), EngineShare::of(&whole));
        one.add(2);
        other.add(3);
        whole.add(1);
        assert_eq!((one.get(), other.get(), whole.get()), (2, 3, 6));
        let (one, other) = (EngineShare::of(&level), EngineShare::of(&level));
        one.set(5);
        other.set(7);
        one.set(2);
        other.remove(1);
        assert_eq!((one.get(), other.get(), level.get()), (2, 6, 8));
    }

    #[test]
    fn reasons_differ_by_their_words_and_not_by_what_they_quote() {
        assert_eq!(reason_word("\"999.1.1.1\" is no address"), "is_no_address");
        assert_eq!(
            reason_word("no STIX-2 indicator: missing field `type` at line 1"),
            "no_stix_indicator_missing_field"
        );
        assert_eq!(reason_word("\u{e9}\"\"7"), "other");
        let reasons = Reasons::default();
        for number in 0..2 * Reasons::MOST_REASONS {
            let letters: String = format!("{number:02}")
                .bytes()
                .map(|digit| char::from(digit - b'0' + b'a'))
                .collect();
            reasons.count(&letters);
        }
        let counts = reasons.get();
        assert_eq!(counts.len(), Reasons::MOST_REASONS + 1);
        assert_eq!(counts["other"], Reasons::MOST_REASONS as u64);
    }

    #[test]
    fn measurements_are_counted_in_their_buckets() {
        let spread = Spread::default();
        for value in [0.1, 0.2, 7.0, 4000.0] {
            spread.record(value);
        }
        spread.record_all(60.0, 3);
        let totals = spread.totals();
        assert_eq!(totals.buckets, [1, 1, 0, 0, 0, 1, 0, 3, 0, 0, 0]);
        assert_eq!(totals.count, 7);
        let [least, greatest, _] = spread.take().expect("something was measured");
        assert_eq!((least, greatest), (0.1, 4000.0));
        assert!(spread.take().is_none() && spread.totals().count == 7);
    }

    #[test]
    fn the_oldest_that_waits_is_known_to_the_second() {
        let ages = Ages::default();
        let at = |seconds| ages.start + Duration::from_secs(seconds);
        assert_eq!(ages.oldest(at(9)), 0);
        for second in [1, 1, 4] {
            ages.begin(at(second));
        }
        assert_eq!(ages.oldest(at(9)), 8);
        ages.end(at(1));
        ages.end(at(4));
        assert_eq!(ages.oldest(at(9)), 8);
        ages.end(at(1));
        assert_eq!(ages.oldest(at(9)), 0);
        ages.begin(at(5));
        assert_eq!(ages.take(at(9)), [(Duration::from_secs(4), 1)]);
        assert_eq!(ages.oldest(at(9)), 0);
        ages.begin(at(5) + Duration::from_millis(250));
        assert_eq!(ages.take(at(6)), [(Duration::from_millis(750), 1)]);
    }

    #[test]
    fn the_oldest_of_a_flow_is_the_first_that_has_not_gone() {
        let flow = InTransit::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in [0, 0, 3, 5] {
            flow.come(1, at(second));
        }
        assert_eq!(flow.oldest(0, at(10)), 10);
        assert_eq!(flow.oldest(1, at(10)), 10);
        assert_eq!(flow.oldest(2, at(10)), 7);
        assert_eq!(flow.oldest(4, at(10)), 0);
        flow.come(1, at(11));
        assert_eq!(flow.oldest(4, at(12)), 1);
    }
}
