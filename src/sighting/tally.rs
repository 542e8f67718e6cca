//! Counts the sightings of each indicator with times and hosts, for the summary at the
//! end of a run. No disk and no clock: the data comes with each sighting.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use time::OffsetDateTime;

use crate::indicator::Indicator;
use crate::matching::condition::Field;
use crate::matching::event::{Event, EventValue};
use crate::matching::places::Sought;

/// The most hosts of an indicator that are distinguished.
const MOST_HOSTS: usize = 1000;

/// The most indicators that are distinguished.
const MOST_INDICATORS: usize = 1_000_000;

/// The number of hosts reported for each.
pub const HOSTS_SHOWN: usize = 3;

/// One indicator and its sightings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SightedIndicator {
    /// The indicator's id.
    pub id: String,
    /// Its value, or its pattern.
    pub indicator: String,
    /// Its kind in one word.
    pub kind: &'static str,
    /// Its source.
    pub feed: String,
    /// The number of its sightings.
    pub count: u64,
    /// When the first of the events happened.
    pub first_seen: OffsetDateTime,
    /// When the last event happened.
    pub last_seen: OffsetDateTime,
    /// The hosts of the own network with the most sightings.
    pub hosts: Vec<(IpAddr, u64)>,
    /// The sightings of each engine by name, if there are several engines.
    pub sources: BTreeMap<Arc<str>, u64>,
}

#[derive(Debug)]
struct TallyEntry {
    row: SightedIndicator,
    hosts: HashMap<IpAddr, u64>,
}

/// The file of each indicator.
#[derive(Debug, Default)]
struct Feeds {
    names: Vec<String>,
    /// By the hash of the id, since there may be a million: the position of the name.
    of: HashMap<u64, u32>,
    hasher: RandomState,
}

/// The counts of a run.
#[derive(Debug, Default)]
pub struct Tally {
    /// The source of indicators without a known file.
    feed: String,
    feeds: Feeds,
    entries: HashMap<Arc<str>, TallyEntry>,
    /// Sightings by the second.
    moments: BTreeMap<i64, u64>,
    /// Sightings of indicators beyond the limit.
    others: u64,
}

/// The summary of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SightingSummary {
    /// The indicators, those with most sightings first.
    pub rows: Vec<SightedIndicator>,
    /// The sightings in each of a few spans of equal length: the start in seconds since
    /// 1970, and the number.
    pub line: Vec<(i64, u64)>,
    /// The length of a span in seconds.
    pub span: i64,
    /// Sightings of indicators that are not in the rows.
    pub others: u64,
}

/// The most moments that are stored, and the most spans.
const MOST_MOMENTS: usize = 100_000;
const MOST_SPANS: i64 = 60;

impl Tally {
    /// Starts counting; `feed` is the source of indicators without a known file.
    pub fn new(feed: String) -> Self {
        Tally {
            feed,
            ..Tally::default()
        }
    }

    /// Records that an indicator is in this file; the first one counts.
    pub fn comes_from(&mut self, indicator: &Indicator, file: &str) {
        let Feeds { names, of, hasher } = &mut self.feeds;
        if names.last().is_none_or(|last| last != file) {
            names.push(file.to_owned());
        }
        let last = u32::try_from(names.len() - 1).unwrap_or(u32::MAX);
        of.entry(hasher.hash_one(&*indicator.id)).or_insert(last);
    }

    /// Records that an indicator matched this event at that time, in this engine if there
    /// are several.
    pub fn record(
        &mut self,
        indicator: &Indicator,
        event: &str,
        seen: OffsetDateTime,
        source: Option<&Arc<str>>,
    ) {
        let second = seen.unix_timestamp();
        if self.moments.len() < MOST_MOMENTS || self.moments.contains_key(&second) {
            *self.moments.entry(second).or_default() += 1;
        } else if let Some(count) = self.moments.range_mut(..second).next_back() {
            // An approximation.
            *count.1 += 1;
        }
        if self.entries.len() >= MOST_INDICATORS && !self.entries.contains_key(&indicator.id) {
            self.others += 1;
            return;
        }
        let feed = self.feeds.of(&indicator.id).unwrap_or(&self.feed);
        let entry = self
            .entries
            .entry(indicator.id.clone())
            .or_insert_with(|| TallyEntry {
                row: SightedIndicator {
                    id: indicator.id.to_string(),
                    indicator: indicator.ioc.first().cloned().unwrap_or_default(),
                    kind: indicator.kind(),
                    feed: feed.to_owned(),
                    count: 0,
                    first_seen: seen,
                    last_seen: seen,
                    hosts: Vec::new(),
                    sources: BTreeMap::new(),
                },
                hosts: HashMap::new(),
            });
        entry.row.count += 1;
        if let Some(source) = source {
            *entry.row.sources.entry(source.clone()).or_default() += 1;
        }
        entry.row.first_seen = entry.row.first_seen.min(seen);
        entry.row.last_seen = entry.row.last_seen.max(seen);
        let host = own_host(event, &entry.row.indicator);
        let known =
            |host: &IpAddr| entry.hosts.len() < MOST_HOSTS || entry.hosts.contains_key(host);
        if let Some(host) = host.filter(known) {
            *entry.hosts.entry(host).or_default() += 1;
        }
    }

    /// The summary.
    pub fn summary(&self) -> SightingSummary {
        let mut rows: Vec<SightedIndicator> = self.entries.values().map(TallyEntry::row).collect();
        rows.sort_by(|one, other| (other.count, &one.id).cmp(&(one.count, &other.id)));
        let (span, line) = spans(&self.moments);
        SightingSummary {
            rows,
            line,
            span,
            others: self.others,
        }
    }
}

impl Feeds {
    fn of(&self, id: &str) -> Option<&str> {
        let at = *self.of.get(&self.hasher.hash_one(id))?;
        self.names
            .get(usize::try_from(at).ok()?)
            .map(String::as_str)
    }
}

impl TallyEntry {
    fn row(&self) -> SightedIndicator {
        let mut hosts: Vec<(IpAddr, u64)> =
            self.hosts.iter().map(|(host, n)| (*host, *n)).collect();
        hosts.sort_by_key(|(host, count)| (std::cmp::Reverse(*count), *host));
        hosts.truncate(HOSTS_SHOWN);
        SightedIndicator {
            hosts,
            ..self.row.clone()
        }
    }
}

/// Combines moments into spans of a common length.
fn spans(moments: &BTreeMap<i64, u64>) -> (i64, Vec<(i64, u64)>) {
    const SPAN_LENGTHS: [i64; 12] = [
        1, 10, 60, 300, 900, 3600, 10_800, 43_200, 86_400, 604_800, 2_592_000, 31_536_000,
    ];
    let ends = moments.first_key_value().zip(moments.last_key_value());
    let Some(((&first, _), (&last, _))) = ends else {
        return (1, Vec::new());
    };
    let fits = |length: &i64| last.div_euclid(*length) - first.div_euclid(*length) < MOST_SPANS;
    let longest = (last.saturating_sub(first) / MOST_SPANS).saturating_add(1);
    let length = SPAN_LENGTHS.into_iter().find(fits).unwrap_or(longest);
    let mut line: Vec<(i64, u64)> = (first.div_euclid(length)..=last.div_euclid(length))
        .map(|number| (number * length, 0))
        .collect();
    let start = first.div_euclid(length);
    for (moment, count) in moments {
        let at = usize::try_from(moment.div_euclid(length) - start).unwrap_or_default();
        if let Some(span) = line.get_mut(at) {
            span.1 += count;
        }
    }
    (length, line)
}

/// The own end of the connection: the one that the indicator does not name; of two, the
/// one with a private address, or else the source.
fn own_host(event: &str, indicator: &str) -> Option<IpAddr> {
    let event = Event::read(event)?;
    let mut ends = Vec::new();
    for field in [Field::SourceAddress, Field::DestinationAddress] {
        event.each(Sought::Field(field), false, |held| {
            if let EventValue::Address(address) = held.value {
                ends.push(address);
            }
        });
    }
    ends.retain(|end| end.to_string() != indicator);
    let private = ends.iter().find(|end| is_private(**end));
    private.or(ends.first()).copied()
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::indicator::Protocol;
    use crate::observable::Observable;

    pub(crate) fn indicator(id: &str) -> Indicator {
        Indicator {
            ioc: vec![id.to_owned()],
            ..Indicator::new(
                id.into(),
                Protocol::Legacy,
                vec![Observable::domain("a.example")],
            )
        }
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).expect("a moment")
    }

    fn event(source: &str, destination: &str) -> String {
        format!(r#"{{"src_ip":"{source}","dest_ip":"{destination}"}}"#)
    }

    #[test]
    fn rows_have_counts_times_and_hosts() {
        let mut tally = Tally::new("feed.csv".to_owned());
        for (number, source) in ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.4"]
            .into_iter()
            .enumerate()
        {
            let event = event(source, "198.51.100.7");
            let source: Arc<str> = if number < 3 { "b" } else { "a" }.into();
            let seen = at(100 - number as i64);
            tally.record(&indicator("often"), &event, seen, Some(&source));
        }
        tally.record(&indicator("once"), "{}", at(160), None);
        let summary = tally.summary();
        assert_eq!(summary.rows.len(), 2);
        let row = &summary.rows[0];
        assert_eq!(
            (&*row.indicator, row.count, row.kind),
            ("often", 5, "domain")
        );
        assert_eq!((row.first_seen, row.last_seen), (at(96), at(100)));
        let hosts: Vec<String> = row
            .hosts
            .iter()
            .map(|(host, n)| format!("{host} {n}"))
            .collect();
        assert_eq!(hosts, ["10.0.0.1 2", "10.0.0.2 1", "10.0.0.3 1"]);
        assert_eq!(&*row.feed, "feed.csv");
        let sources = row.sources.iter().map(|(name, n)| format!("{name} {n}"));
        assert_eq!(sources.collect::<Vec<_>>(), ["a 2", "b 3"]);
        assert!(summary.rows[1].sources.is_empty());
        assert!(summary.rows[1].hosts.is_empty());
        assert_eq!((summary.span, summary.line.len()), (10, 8));
    }

    #[test]
    fn each_row_names_the_file_that_its_indicator_came_from() {
        let mut tally = Tally::new("a.txt, b.csv".to_owned());
        for (id, file) in [
            ("1", "a.txt"),
            ("2", "a.txt"),
            ("2", "b.csv"),
            ("3", "b.csv"),
        ] {
            tally.comes_from(&indicator(id), file);
        }
        for id in ["1", "2", "3", "4"] {
            tally.record(&indicator(id), "{}", at(1), None);
        }
        let summary = tally.summary();
        let feeds: Vec<&str> = summary.rows.iter().map(|row| &*row.feed).collect();
        assert_eq!(feeds, ["a.txt", "a.txt", "b.csv", "a.txt, b.csv"]);
    }

    #[test]
    fn ones_own_host_is_not_the_indicator() {
        let host = |event: &str, indicator| own_host(event, indicator).map(|host| host.to_string());
        let private = event("198.51.100.7", "192.168.1.5");
        assert_eq!(host(&private, "a.example").as_deref(), Some("192.168.1.5"));
        let public = event("203.0.113.1", "198.51.100.7");
        assert_eq!(
            host(&public, "203.0.113.1").as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(host(&public, "a.example").as_deref(), Some("203.0.113.1"));
        assert_eq!(host("{}", "a.example"), None);
        assert_eq!(host("no JSON", "a.example"), None);
    }

    proptest! {
        #[test]
        fn the_line_counts_every_sighting_once(seconds in vec(-4_000_000_000..4_000_000_000_i64, 1..50)) {
            let mut moments = BTreeMap::new();
            for second in &seconds {
                *moments.entry(*second).or_default() += 1_u64;
            }
            let (length, line) = spans(&moments);
            prop_assert!(length > 0 && line.len() <= 62, "{} of {}", line.len(), length);
            prop_assert_eq!(line.iter().map(|span| span.1).sum::<u64>(), seconds.len() as u64);
            for (from, count) in &line {
                let inside = seconds.iter().filter(|at| (*from..from + length).contains(at)).count();
                prop_assert_eq!(inside as u64, *count);
            }
        }
    }
}
