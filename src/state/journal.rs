//! Indicators whose retro query is not finished, or whose sightings are not out
//! yet. A bridge that is killed asks for them again when it starts.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use log::error;

use super::records::{self, Next};
use crate::process::stop::Stop;

/// How many bytes of finished entries are tolerated before the file is written
/// anew.
const GARBAGE: u64 = 16 << 20;

/// An entry begins with one of these.
const BEGUN: u8 = b'+';
const FINISHED: u8 = b'-';

struct Inner {
    path: PathBuf,
    file: File,
    next: u64,
    /// Where each open entry's message stands in the file.
    open: BTreeMap<u64, Place>,
    /// The size of the file, and of the open messages in it.
    bytes: u64,
    open_bytes: u64,
    failed: bool,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: usize,
}

/// A message that the last run did not finish, and its entry.
pub type LeftOver = (Vec<u8>, Ticket);

/// The journal; clones share one file.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    /// The end of the program.
    stop: Stop,
}

/// An open entry. When it is dropped, nothing waits for its indicator any more, and
/// the entry is closed, but for two cases: the program stops, so that what was not
/// finished is begun again by the next run, or a thread ends by a defect.
pub struct Ticket {
    number: u64,
    /// Gone once it is decided.
    journal: Option<Journal>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}

impl Ticket {
    /// The indicator is answered and its sightings are safe, also while the program
    /// stops.
    pub fn finish(mut self) {
        if let Some(journal) = self.journal.take() {
            journal.finish(self.number);
        }
    }

    /// The entry stays open for the next run.
    pub fn keep(mut self) {
        self.journal = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(journal) = self.journal.take() else {
            return;
        };
        if !journal.stop.is_draining() && !std::thread::panicking() {
            journal.finish(self.number);
        }
    }
}

impl Journal {
    /// Opens the journal and gives what was not finished, oldest first, and the
    /// number of bytes that were cut off as torn.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(path: &Path, stop: &Stop) -> io::Result<(Self, Vec<LeftOver>, u64)> {
        let (left_over, torn) = read_all(path)?;
        let (mut buffer, mut open) = (Vec::new(), BTreeMap::new());
        for (&number, message) in &left_over {
            let offset = (buffer.len() + BEFORE_MESSAGE) as u64;
            let length = message.len();
            open.insert(number, Place { offset, length });
            encode(BEGUN, number, message, &mut buffer);
        }
        super::replace(path, &buffer)?;
        let inner = Inner {
            path: path.to_owned(),
            file: open_file(path)?,
            next: left_over.keys().next_back().map_or(0, |last| last + 1),
            open,
            bytes: buffer.len() as u64,
            open_bytes: left_over.values().map(|message| message.len() as u64).sum(),
            failed: false,
        };
        let journal = Journal {
            inner: Arc::new(Mutex::new(inner)),
            stop: stop.clone(),
        };
        let ticket = |number| Ticket {
            number,
            journal: Some(journal.clone()),
        };
        let left_over = left_over
            .into_iter()
            .map(|(number, message)| (message, ticket(number)))
            .collect();
        Ok((journal, left_over, torn))
    }

    /// Begins an entry for this message.
    pub fn begin(&self, message: &[u8]) -> Ticket {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        let place = Place {
            offset: inner.bytes + BEFORE_MESSAGE as u64,
            length: message.len(),
        };
        if inner.append(BEGUN, number, message) {
            inner.open_bytes += message.len() as u64;
            inner.open.insert(number, place);
        }
        drop(inner);
        Ticket {
            number,
            journal: Some(self.clone()),
        }
    }

    fn finish(&self, number: u64) {
        let mut inner = self.lock();
        let Some(place) = inner.open.remove(&number) else {
            return;
        };
        inner.open_bytes -= place.length as u64;
        inner.append(FINISHED, number, b"");
        if inner.bytes > GARBAGE + 2 * inner.open_bytes {
            let written = inner.write_anew();
            inner.note(written);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands before a message in the file: a record's header, the kind of the
/// entry and its number.
const BEFORE_MESSAGE: usize = records::HEADER + 9;

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

impl Inner {
    /// Appends a record; whether it stands in the file whole.
    fn append(&mut self, kind: u8, number: u64, message: &[u8]) -> bool {
        let mut buffer = Vec::with_capacity(message.len() + BEFORE_MESSAGE);
        encode(kind, number, message, &mut buffer);
        let written = self.file.write_all(&buffer);
        let whole = written.is_ok();
        if whole {
            self.bytes += buffer.len() as u64;
        } else {
            // A part of a record would hide what follows it. Where this fails
            // too, the next rewriting mends it.
            let _ = self.file.set_len(self.bytes);
        }
        self.note(written);
        whole
    }

    /// Writes a file that holds the open entries only.
    fn write_anew(&mut self) -> io::Result<()> {
        let (mut buffer, mut open) = (Vec::new(), BTreeMap::new());
        for (&number, &place) in &self.open {
            let mut message = vec![0; place.length];
            self.file.read_exact_at(&mut message, place.offset)?;
            let offset = (buffer.len() + BEFORE_MESSAGE) as u64;
            open.insert(number, Place { offset, ..place });
            encode(BEGUN, number, &message, &mut buffer);
        }
        super::replace(&self.path, &buffer)?;
        self.file = open_file(&self.path)?;
        self.bytes = buffer.len() as u64;
        self.open = open;
        Ok(())
    }

    /// A full disk does not stop the matching; it is said once.
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.failed = false,
            Err(reason) => {
                if !std::mem::replace(&mut self.failed, true) {
                    error!(
                        "the journal {} cannot be written: {reason}; after a crash, indicators \
                         that are being matched now would be lost",
                        self.path.display()
                    );
                }
            }
        }
    }
}

fn encode(kind: u8, number: u64, message: &[u8], buffer: &mut Vec<u8>) {
    let mut record = Vec::with_capacity(message.len() + 9);
    record.push(kind);
    record.extend_from_slice(&number.to_le_bytes());
    record.extend_from_slice(message);
    records::encode(&record, buffer);
}

/// The unfinished messages of a journal, and how many bytes at its end are torn.
fn read_all(path: &Path) -> io::Result<(BTreeMap<u64, Vec<u8>>, u64)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((BTreeMap::new(), 0)),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    let mut file = BufReader::new(file);
    let mut open = BTreeMap::new();
    let mut whole = 0;
    while let Next::Record(record) = records::read(&mut file)? {
        whole += (records::HEADER + record.len()) as u64;
        let Some((head, message)) = record.split_at_checked(9) else {
            continue;
        };
        let number = head[1..].try_into().map_or(0, u64::from_le_bytes);
        match head[0] {
            BEGUN => {
                open.insert(number, message.to_vec());
            }
            _ => {
                open.remove(&number);
            }
        }
    }
    Ok((open, size - whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(left_over: &[LeftOver]) -> Vec<String> {
        let text = |(message, _): &LeftOver| String::from_utf8_lossy(message).into_owned();
        left_over.iter().map(text).collect()
    }

    fn open(path: &Path) -> (Journal, Vec<LeftOver>, u64, Stop) {
        let stop = Stop::new().expect("two socket pairs");
        let (journal, left_over, torn) = Journal::open(path, &stop).expect("opened");
        (journal, left_over, torn, stop)
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_dropped_does_not() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let (journal, left_over, torn, _) = open(&path);
        assert!(left_over.is_empty() && torn == 0);
        let begin = |text: &str| journal.begin(text.as_bytes());
        begin("finished").finish();
        begin("kept").keep();
        let dropped = begin("dropped");
        begin("kept too").keep();
        drop(dropped);
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        file.write_all(b"torn").expect("written");
        let (_, left_over, torn, _) = open(&path);
        assert_eq!(messages(&left_over), ["kept", "kept too"]);
        assert_eq!(torn, 4);
        // Taken up by this run, one of them is not finished either.
        let mut left_over = left_over.into_iter().map(|(_, ticket)| ticket);
        left_over.next().expect("two are left").keep();
        drop(left_over);
        let (_, left_over, _, _) = open(&path);
        assert_eq!(messages(&left_over), ["kept"]);
    }

    #[test]
    fn a_stop_keeps_what_is_not_finished() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let (journal, _, _, stop) = open(&path);
        let [one, other, third] = ["1", "2", "3"].map(|text| journal.begin(text.as_bytes()));
        drop(one);
        stop.drain(std::time::Duration::ZERO);
        other.finish();
        drop(third);
        let (_, left_over, _, _) = open(&path);
        assert_eq!(messages(&left_over), ["3"]);
    }

    #[test]
    fn a_defect_keeps_what_it_was_about() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let (journal, _, _, _) = open(&path);
        let ticket = journal.begin(b"it");
        let thread = std::thread::spawn(move || {
            let _ticket = ticket;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        let (_, left_over, _, _) = open(&path);
        assert_eq!(messages(&left_over), ["it"]);
    }

    #[test]
    fn finished_entries_do_not_pile_up() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let (journal, _, _, _) = open(&path);
        journal.begin(b"kept").keep();
        let message = vec![b'x'; 1 << 20];
        for _ in 0..40 {
            journal.begin(&message).finish();
        }
        let size = std::fs::metadata(&path).expect("there").len();
        assert!(size < 2 * GARBAGE, "{size}");
        let (_, left_over, _, _) = open(&path);
        assert_eq!(messages(&left_over), ["kept"]);
    }
}
