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
pub struct Journal(Arc<Mutex<Inner>>);

/// An open entry. It stays open unless [`Ticket::finish`] is called, whatever
/// becomes of the ticket: what a crash interrupts is begun again.
#[derive(Clone)]
pub struct Ticket {
    number: u64,
    journal: Journal,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}

impl Ticket {
    /// The indicator is answered and its sightings are safe.
    pub fn finish(self) {
        self.journal.finish(self.number);
    }
}

impl Journal {
    /// Opens the journal and gives what was not finished, oldest first, and the
    /// number of bytes that were cut off as torn.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<LeftOver>, u64)> {
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
        let journal = Journal(Arc::new(Mutex::new(inner)));
        let ticket = |number| Ticket {
            number,
            journal: journal.clone(),
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
            journal: self.clone(),
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn what_is_not_finished_comes_back() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let (journal, left_over, torn) = Journal::open(&path).expect("opened");
        assert!(left_over.is_empty() && torn == 0);
        let tickets: Vec<Ticket> = ["a", "b", "c"]
            .iter()
            .map(|text| journal.begin(text.as_bytes()))
            .collect();
        tickets[1].clone().finish();
        tickets[1].clone().finish();
        drop((tickets, journal));
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        file.write_all(b"torn").expect("written");
        let (_, left_over, torn) = Journal::open(&path).expect("opened");
        assert_eq!(messages(&left_over), ["a", "c"]);
        assert_eq!(torn, 4);
        // Not finished this time either, but for one.
        left_over[0].1.clone().finish();
        drop(left_over);
        let (_, left_over, _) = Journal::open(&path).expect("opened");
        assert_eq!(messages(&left_over), ["c"]);
    }

    #[test]
    fn finished_entries_do_not_pile_up() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let (journal, _, _) = Journal::open(&path).expect("opened");
        let kept = journal.begin(b"kept");
        let message = vec![b'x'; 1 << 20];
        for _ in 0..40 {
            journal.begin(&message).finish();
        }
        let size = std::fs::metadata(&path).expect("there").len();
        assert!(size < 2 * GARBAGE, "{size}");
        drop(kept);
        let (_, left_over, _) = Journal::open(&path).expect("opened");
        assert_eq!(messages(&left_over), ["kept"]);
    }
}
