//! Indicators whose retro query is not finished, or whose sightings are not delivered
//! yet. A bridge that was killed queries them again when it starts.
//!
//! # On disk
//!
//! One file of records (`length: u32  crc32: u32  bytes`, little-endian as in the spool),
//! each of them an entry:
//!
//! ```text
//! kind: u8  number: u64  message
//!
//! '+'  an indicator was received in this message; its number is the entry's
//! '='  the engine of this name has answered for this number
//! '~'  the message of this number ends with this, instead of its previous ending
//! '-'  this number is finished, by all engines; the message is empty
//! ```
//!
//! The file is rewritten with only the open entries when a run starts, and when finished
//! entries take too much of it. The new file is synced. Entries are appended without a
//! sync: they survive the process. A power loss may lose the newest entries, or leave a
//! finished indicator open.
//!
//! Entries of an unknown kind are ignored, and dropped when the file is rewritten. So a
//! later release may add a kind that says more about an open entry, as long as an earlier
//! release, which ignores it, only queries an indicator again.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use log::error;

use super::disk::{self, Disk, DiskFile, FileReading, OpenMode, Real};
use super::records::{self, NextRecord};
use crate::process::stop::Stop;

/// The bytes of finished entries that are tolerated before the file is rewritten.
pub const GARBAGE: u64 = 16 << 20;

/// The kinds of entries.
const BEGUN: u8 = b'+';
const ANSWERED: u8 = b'=';
const AMENDED: u8 = b'~';
const FINISHED: u8 = b'-';

struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    next: u64,
    open: BTreeMap<u64, JournalEntry>,
    /// The size of the file, and of the open entries in it.
    bytes: u64,
    open_bytes: u64,
    /// The most bytes of finished entries.
    garbage: u64,
    /// The size below which rewriting the file is not tried again.
    not_below: u64,
    /// A partial entry follows the entries, and has to be truncated before the next.
    is_torn: bool,
    failed: bool,
}

/// An open entry.
struct JournalEntry {
    /// The offset of its message in the file.
    offset: u64,
    length: usize,
    /// The engines that have answered.
    answered: Vec<Arc<str>>,
    /// What follows its message ([`Ticket::amend`]).
    tail: Vec<u8>,
    /// The number of its tickets.
    tickets: usize,
    /// Its size in the file in bytes.
    bytes: u64,
}

impl JournalEntry {
    fn new(offset: u64, length: usize) -> Self {
        JournalEntry {
            offset,
            length,
            answered: Vec::new(),
            tail: Vec::new(),
            tickets: 1,
            bytes: (BEFORE_MESSAGE + length) as u64,
        }
    }
}

/// A message that the last run did not finish. Its entry stays open until it is taken up:
/// a run that does not get that far leaves it for the next.
pub struct LeftOver {
    message: Vec<u8>,
    number: u64,
    journal: Journal,
}

impl LeftOver {
    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The message and its entry, which belongs to this run from now on.
    pub fn take_up(self) -> (Vec<u8>, Ticket) {
        (self.message, Ticket::new(self.number, None, self.journal))
    }
}

/// The journal. Clones share one file.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    /// The program's stop.
    stop: Stop,
}

/// An open entry. When it is dropped, nothing waits for its indicator any more, and the
/// entry is closed, with two exceptions: the program stops, so that the next run repeats
/// what was not finished, or a thread panics.
pub struct Ticket {
    number: u64,
    /// The engine that it is for, if there are several.
    engine: Option<Arc<str>>,
    /// `None` once it is closed or kept.
    journal: Option<Journal>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}

impl Ticket {
    fn new(number: u64, engine: Option<Arc<str>>, journal: Journal) -> Self {
        Ticket {
            number,
            engine,
            journal: Some(journal),
        }
    }

    /// Whether this engine has answered, in an earlier run.
    pub fn has_answered(&self, engine: &str) -> bool {
        let Some(journal) = &self.journal else {
            return false;
        };
        let inner = journal.lock();
        let entry = inner.open.get(&self.number);
        entry.is_some_and(|entry| entry.answered.iter().any(|one| &**one == engine))
    }

    /// One ticket for each of these engines, which have not answered. The entry is closed
    /// with the last of them, and records which have answered.
    pub fn shared_by(mut self, engines: &[Arc<str>]) -> Vec<Ticket> {
        // Without engines nothing waits for it: it is dropped.
        let Some(journal) = self.journal.take_if(|_| !engines.is_empty()) else {
            return Vec::new();
        };
        if let Some(entry) = journal.lock().open.get_mut(&self.number) {
            entry.tickets = engines.len();
        }
        let ticket =
            |engine: &Arc<str>| Ticket::new(self.number, Some(engine.clone()), journal.clone());
        engines.iter().map(ticket).collect()
    }

    /// Appends this to the message, replacing what was appended before.
    pub fn amend(&self, tail: &[u8]) {
        if let Some(journal) = &self.journal {
            journal.lock().amend(self.number, tail);
        }
    }

    /// Closes the entry, since the indicator is answered and its sightings are safe; also
    /// while the program stops.
    pub fn finish(mut self) {
        if let Some(journal) = self.journal.take() {
            journal.finish(self.number, self.engine.take());
        }
    }

    /// Leaves the entry open for the next run.
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
            journal.finish(self.number, self.engine.take());
        }
    }
}

impl Journal {
    /// Opens the journal. Returns the unfinished messages, oldest first, and the number
    /// of torn bytes that were truncated.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(path: &Path, stop: &Stop) -> io::Result<(Self, Vec<LeftOver>, u64)> {
        Journal::open_on(Arc::new(Real), path, stop, GARBAGE)
    }

    /// Opens the journal on this disk, tolerating `garbage` bytes of finished entries.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        stop: &Stop,
        garbage: u64,
    ) -> io::Result<(Self, Vec<LeftOver>, u64)> {
        let (left_over, torn) = read_all(&*disk, path)?;
        let mut content = Content::default();
        for (
            &number,
            Unfinished {
                message,
                answered,
                tail,
            },
        ) in &left_over
        {
            content.add(number, message, answered, tail, 1);
        }
        let file = disk::write_anew(&*disk, path, &content.bytes)?;
        disk::sync_directory_of(&*disk, path)?;
        let bytes = content.bytes.len() as u64;
        let inner = Inner {
            disk,
            path: path.to_owned(),
            file,
            next: left_over.keys().next_back().map_or(0, |last| last + 1),
            open: content.open,
            bytes,
            open_bytes: bytes,
            garbage,
            not_below: 0,
            is_torn: false,
            failed: false,
        };
        let journal = Journal {
            inner: Arc::new(Mutex::new(inner)),
            stop: stop.clone(),
        };
        let left_over = left_over
            .into_iter()
            .map(|(number, Unfinished { message, tail, .. })| LeftOver {
                message: [message, tail].concat(),
                number,
                journal: journal.clone(),
            })
            .collect();
        Ok((journal, left_over, torn))
    }

    /// Begins an entry for this message.
    pub fn begin(&self, message: &[u8]) -> Ticket {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        let offset = inner.bytes + BEFORE_MESSAGE as u64;
        if inner.append(BEGUN, number, message) {
            let entry = JournalEntry::new(offset, message.len());
            inner.open_bytes += entry.bytes;
            inner.open.insert(number, entry);
        }
        drop(inner);
        Ticket::new(number, None, self.clone())
    }

    /// Closes an entry, or this engine's part of it.
    fn finish(&self, number: u64, engine: Option<Arc<str>>) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(entry) = inner.open.get_mut(&number) else {
            return;
        };
        entry.tickets -= 1;
        match engine.filter(|_| entry.tickets > 0) {
            Some(engine) => inner.answer(number, engine),
            None => {
                inner.open_bytes -= entry.bytes;
                inner.open.remove(&number);
                inner.append(FINISHED, number, b"");
            }
        }
        inner.tidy();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes before a message in the file: the record's header, the entry's kind and its
/// number.
const BEFORE_MESSAGE: usize = records::HEADER + 9;

/// The content of a file with only open entries.
#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    open: BTreeMap<u64, JournalEntry>,
}

impl Content {
    fn add(
        &mut self,
        number: u64,
        message: &[u8],
        answered: &[Arc<str>],
        tail: &[u8],
        tickets: usize,
    ) {
        let start = self.bytes.len();
        let mut entry = JournalEntry::new((start + BEFORE_MESSAGE) as u64, message.len());
        encode(BEGUN, number, message, &mut self.bytes);
        for engine in answered {
            encode(ANSWERED, number, engine.as_bytes(), &mut self.bytes);
        }
        if !tail.is_empty() {
            encode(AMENDED, number, tail, &mut self.bytes);
        }
        entry.answered = answered.to_vec();
        entry.tail = tail.to_vec();
        entry.bytes = (self.bytes.len() - start) as u64;
        entry.tickets = tickets;
        self.open.insert(number, entry);
    }
}

impl Inner {
    /// Appends a record; returns whether it was written completely.
    fn append(&mut self, kind: u8, number: u64, message: &[u8]) -> bool {
        let mut buffer = Vec::with_capacity(message.len() + BEFORE_MESSAGE);
        encode(kind, number, message, &mut buffer);
        let written = self.cut_torn().and_then(|()| {
            self.is_torn = true;
            self.file.write_at(&buffer, self.bytes)
        });
        let whole = written.is_ok();
        if whole {
            self.is_torn = false;
            self.bytes += buffer.len() as u64;
        } else {
            let _ = self.cut_torn();
        }
        self.note(written);
        whole
    }

    /// Records that one of several engines has answered. If that cannot be written, a
    /// later run queries it again.
    fn answer(&mut self, number: u64, engine: Arc<str>) {
        let before = self.bytes;
        self.append(ANSWERED, number, engine.as_bytes());
        let written = self.bytes - before;
        if let Some(entry) = self.open.get_mut(&number) {
            entry.answered.push(engine);
            entry.bytes += written;
            self.open_bytes += written;
        }
    }

    /// Changes what follows the message of an open entry.
    fn amend(&mut self, number: u64, tail: &[u8]) {
        if !self.open.contains_key(&number) || !self.append(AMENDED, number, tail) {
            return;
        }
        if let Some(entry) = self.open.get_mut(&number) {
            let size = |tail: &[u8]| match tail.len() {
                0 => 0,
                length => (BEFORE_MESSAGE + length) as u64,
            };
            let (old, new) = (size(&entry.tail), size(tail));
            entry.tail = tail.to_vec();
            entry.bytes = entry.bytes + new - old;
            self.open_bytes = self.open_bytes + new - old;
        }
        self.tidy();
    }

    /// A partial record would hide what follows it.
    fn cut_torn(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.cut(self.bytes)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Rewrites the file if finished entries take too much of it.
    fn tidy(&mut self) {
        let is_large = self.bytes > self.garbage + 2 * self.open_bytes;
        if !is_large || self.bytes < self.not_below {
            return;
        }
        let written = self.write_anew();
        // It reads and writes everything that is open, so it is not done for each
        // finished entry.
        self.not_below = match written {
            Ok(()) => 0,
            Err(_) => self.bytes + self.garbage / 4,
        };
        self.note(written);
    }

    /// Writes a file with only the open entries.
    fn write_anew(&mut self) -> io::Result<()> {
        let mut content = Content::default();
        for (&number, entry) in &self.open {
            let mut message = vec![0; entry.length];
            disk::read_exact_at(&*self.file, &mut message, entry.offset)?;
            content.add(
                number,
                &message,
                &entry.answered,
                &entry.tail,
                entry.tickets,
            );
        }
        // From here on it is the journal, even if its name is not safe yet.
        self.file = disk::write_anew(&*self.disk, &self.path, &content.bytes)?;
        self.bytes = content.bytes.len() as u64;
        self.open_bytes = self.bytes;
        self.open = content.open;
        self.is_torn = false;
        disk::sync_directory_of(&*self.disk, &self.path)
    }

    /// A full disk does not stop the matching; it is logged once.
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

/// An unfinished entry.
#[derive(Default)]
struct Unfinished {
    message: Vec<u8>,
    /// The engines that have answered.
    answered: Vec<Arc<str>>,
    tail: Vec<u8>,
}

/// The unfinished entries of a journal, and the number of torn bytes at its end.
fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<(BTreeMap<u64, Unfinished>, u64)> {
    let file = match disk.open(path, OpenMode::Existing) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((BTreeMap::new(), 0)),
        Err(error) => return Err(error),
    };
    let size = file.size()?;
    let mut file = BufReader::new(FileReading::at(file, 0));
    let mut open = BTreeMap::<u64, Unfinished>::new();
    let mut whole = 0;
    while let NextRecord::Record(record) = records::read(&mut file)? {
        whole += (records::HEADER + record.len()) as u64;
        let Some((&[kind, a, b, c, d, e, f, g, h], message)) = record.split_first_chunk() else {
            continue;
        };
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match kind {
            BEGUN => {
                let message = message.to_vec();
                open.insert(
                    number,
                    Unfinished {
                        message,
                        ..Unfinished::default()
                    },
                );
            }
            ANSWERED => {
                if let Some(entry) = open.get_mut(&number) {
                    let engine = String::from_utf8_lossy(message).into();
                    entry.answered.push(engine);
                }
            }
            AMENDED => {
                if let Some(entry) = open.get_mut(&number) {
                    entry.tail = message.to_vec();
                }
            }
            FINISHED => {
                open.remove(&number);
            }
            _ => {}
        }
    }
    Ok((open, size - whole))
}

#[cfg(test)]
mod tests;
