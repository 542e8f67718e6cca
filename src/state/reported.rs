//! `--report-once`: the sightings that were reported already, so that a nightly job
//! reports each match once.
//!
//! A sighting is identified by 16 bytes: a hash of the indicator's id and of the event as
//! the engine printed it. The hash has a random key, one for each state directory. The file
//! contains the key, and for each day the hashes that were last found on it:
//!
//! ```text
//! "VTBSEEN2"  key: 16 bytes  ( day: u32  count: u32  count × 16 bytes )*  crc32: u32
//! ```
//!
//! All numbers are little-endian; days are counted from 1970 in UTC. The file is only ever
//! replaced atomically.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::disk::{self, Disk, Real};

const MAGIC: &[u8; 8] = b"VTBSEEN2";

/// The magic number from when the ids of values in lists were the values themselves. Such
/// a file is still read; what was reported for those values counts as new.
const OLD_MAGIC: &[u8; 8] = b"VTBSEEN1";

/// The most sightings that are stored. They take up to 50 MiB of memory; beyond that, the
/// oldest days are dropped.
const MOST_REPORTED: usize = 1_800_000;

/// A sighting.
type Mark = [u8; 16];
/// Days since 1970. A u16 lasts until 2149 and keeps an entry at 18 bytes.
type Day = u16;

/// The reported sightings, shared by all threads that report.
#[derive(Debug)]
pub struct Reported {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    knows_lists: bool,
    key: [u8; 16],
    today: Day,
    remember_days: Day,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    /// Those of earlier runs, with the day on which each was last found.
    old: HashMap<Mark, Day>,
    /// Those reported by this run.
    new: HashMap<Mark, ()>,
}

impl Reported {
    /// Reads the file at `path`, or starts a new one.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn open(path: PathBuf, remember_days: u16) -> io::Result<Self> {
        Reported::open_on(Arc::new(Real), path, remember_days)
    }

    /// Reads the file at `path` on this disk, or starts a new one.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn open_on(disk: Arc<dyn Disk>, path: PathBuf, remember_days: u16) -> io::Result<Self> {
        let read = disk::content(&*disk, &path);
        let knows_lists = !matches!(&read, Ok(bytes) if bytes.starts_with(OLD_MAGIC));
        let (key, old) = match read {
            Ok(bytes) => decode(&bytes).ok_or_else(|| {
                let reason = format!(
                    "{} is damaged; without it every match is reported again",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (uuid::Uuid::new_v4().into_bytes(), HashMap::new())
            }
            Err(error) => return Err(error),
        };
        Ok(Reported {
            disk,
            path,
            knows_lists,
            key,
            today: today(),
            remember_days,
            marks: Mutex::new(Marks {
                old,
                new: HashMap::new(),
            }),
        })
    }

    /// Whether its ids for values in lists are the current ones. If an earlier release
    /// wrote it they are not, and those values are reported again.
    pub fn knows_lists(&self) -> bool {
        self.knows_lists
    }

    /// The number of stored sightings.
    pub fn len(&self) -> usize {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.old.len() + marks.new.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this sighting is found for the first time, and so is to be reported.
    pub fn is_new(&self, indicator: &str, event: &str) -> bool {
        let mark = self.mark(indicator, event);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(day) = marks.old.get_mut(&mark) {
            *day = self.today;
            return false;
        }
        if marks.new.len() >= MOST_REPORTED {
            // The limit is exceeded in any case.
            return true;
        }
        marks.new.insert(mark, ()).is_none()
    }

    /// Records that the sighting was not reported after all.
    pub fn forget(&self, indicator: &str, event: &str) {
        let mark = self.mark(indicator, event);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.new.remove(&mark);
    }

    /// Writes the file; what this run reported is only included `with_new`.
    ///
    /// # Errors
    /// The file cannot be written; the old one still exists.
    pub fn save(&self, with_new: bool) -> io::Result<()> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = self.today.saturating_sub(self.remember_days);
        let mut days: BTreeMap<Day, Vec<Mark>> = BTreeMap::new();
        // A clock that was set back must not drop them.
        for (mark, day) in marks.old.iter().filter(|(_, day)| **day >= oldest) {
            days.entry(*day).or_default().push(*mark);
        }
        if with_new {
            let new = marks.new.keys().copied();
            days.entry(self.today).or_default().extend(new);
        }
        drop(marks);
        disk::replace(
            &*self.disk,
            &self.path,
            &encode(&self.key, &days, MOST_REPORTED),
        )
    }

    /// The length of the id separates it from the event, whatever they contain.
    fn mark(&self, indicator: &str, event: &str) -> Mark {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&(indicator.len() as u64).to_le_bytes());
        hasher.write(indicator.as_bytes());
        hasher.write(event.as_bytes());
        hasher.finish128().as_bytes()
    }
}

fn today() -> Day {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    day_of(since.unwrap_or_default())
}

fn day_of(since_1970: Duration) -> Day {
    Day::try_from(since_1970.as_secs() / 86_400).unwrap_or(Day::MAX)
}

/// Encodes the newest `most` of them.
fn encode(key: &[u8; 16], days: &BTreeMap<Day, Vec<Mark>>, most: usize) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(key);
    let mut room = most;
    for (day, marks) in days.iter().rev() {
        let marks = &marks[..marks.len().min(room)];
        room -= marks.len();
        if marks.is_empty() {
            continue;
        }
        bytes.extend(u32::from(*day).to_le_bytes());
        let count = u32::try_from(marks.len()).expect("no more than MOST_REPORTED");
        bytes.extend(count.to_le_bytes());
        marks.iter().for_each(|mark| bytes.extend(mark));
    }
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// `None` if it is not such a file, or not complete.
fn decode(bytes: &[u8]) -> Option<([u8; 16], HashMap<Mark, Day>)> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let rest = body
        .strip_prefix(MAGIC)
        .or_else(|| body.strip_prefix(OLD_MAGIC))?;
    let (key, mut rest) = rest.split_first_chunk::<16>()?;
    let mut marks = HashMap::new();
    while !rest.is_empty() {
        let (day, behind) = rest.split_first_chunk::<4>()?;
        let (count, behind) = behind.split_first_chunk::<4>()?;
        let day = Day::try_from(u32::from_le_bytes(*day)).ok()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (of_day, behind) = behind.split_at_checked(count.checked_mul(16)?)?;
        for mark in of_day.chunks_exact(16) {
            marks.insert(mark.try_into().expect("16 bytes"), day);
        }
        rest = behind;
    }
    Some((*key, marks))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(path: &std::path::Path) -> Reported {
        Reported::open(path.to_owned(), 90).expect("readable")
    }

    #[test]
    fn a_sighting_is_new_once_and_takes_16_bytes() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("reported");
        let first = open(&path);
        assert!(first.is_new("a", "event") && first.is_new("ae", "vent"));
        assert!(first.is_new("b", "event") && first.is_new("a", "event 2"));
        assert!(!first.is_new("a", "event"));
        first.forget("a", "event 2");
        first.save(true).expect("written");
        let size = std::fs::metadata(&path).expect("written").len();
        assert_eq!(size, 8 + 16 + 8 + 3 * 16 + 4);
        let second = open(&path);
        assert_eq!(second.len(), 3);
        assert!(!second.is_new("a", "event") && !second.is_new("b", "event"));
        assert!(second.is_new("a", "event 2"));
        second.save(false).expect("written");
        assert!(open(&path).is_new("a", "event 2"));
    }

    #[test]
    fn what_an_earlier_release_wrote_is_read_and_recognised() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("reported");
        let first = open(&path);
        assert!(first.knows_lists() && first.is_new("a", "event"));
        first.save(true).expect("written");
        let mut bytes = std::fs::read(&path).expect("written");
        bytes.truncate(bytes.len() - 4);
        bytes[..8].copy_from_slice(OLD_MAGIC);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        std::fs::write(&path, bytes).expect("written");
        let old = open(&path);
        assert!(!old.knows_lists() && !old.is_new("a", "event"));
        old.save(true).expect("written");
        assert!(open(&path).knows_lists());
    }

    #[test]
    fn what_is_not_met_falls_out() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("reported");
        let mut reported = open(&path);
        assert!(reported.is_new("met", "x") && reported.is_new("not met", "x"));
        reported.today = 100;
        reported.save(true).expect("written");
        let mut reported = open(&path);
        reported.today = 190;
        assert!(!reported.is_new("met", "x"));
        reported.save(true).expect("written");
        let mut reported = open(&path);
        assert_eq!(reported.len(), 2);
        reported.today = 191;
        reported.save(true).expect("written");
        let reported = open(&path);
        assert_eq!(reported.len(), 1);
        assert!(!reported.is_new("met", "x") && reported.is_new("not met", "x"));
    }

    #[test]
    fn the_oldest_fall_out_where_there_are_too_many() {
        let day = |first: u8, count: u8| (first..first + count).map(|n| [n; 16]).collect();
        let days = BTreeMap::from([(1, day(0, 5)), (2, day(10, 3)), (3, day(20, 2))]);
        let (_, marks) = decode(&encode(&[7; 16], &days, 6)).expect("whole");
        let of = |wanted| marks.values().filter(|day| **day == wanted).count();
        assert_eq!((of(1), of(2), of(3)), (1, 3, 2));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_an_empty_one() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("reported");
        let reported = open(&path);
        reported.is_new("a", "x");
        reported.save(true).expect("written");
        let whole = std::fs::read(&path).expect("written");
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            let error = Reported::open(path.clone(), 90).expect_err("torn");
            assert!(error.to_string().contains("damaged"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in any::<[u8; 16]>(),
            marks in proptest::collection::hash_map(any::<[u8; 16]>(), any::<u16>(), 0..50),
        ) {
            let mut days: BTreeMap<Day, Vec<Mark>> = BTreeMap::new();
            for (mark, day) in &marks {
                days.entry(*day).or_default().push(*mark);
            }
            prop_assert_eq!(decode(&encode(&key, &days, 1000)), Some((key, marks)));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
            bytes.splice(0..0, *MAGIC);
            let sum = crc32fast::hash(&bytes);
            bytes.extend(sum.to_le_bytes());
            decode(&bytes);
        }
    }
}
