//! A disk in memory that does what a real one may do: it is full, fails once, tears the
//! write in which the process is killed, and loses what was not synced (the content of
//! files, and names in directories) when the power fails.
//!
//! A process sees the disk through [`MemoryDisk::process`]. After [`MemoryDisk::kill`]
//! and [`MemoryDisk::cut_power`] every use of that view fails for good, and the next process
//! has its own view.
//!
//! It is as unkind as the system is allowed to be:
//!
//! | | process killed | power lost |
//! |---|---|---|
//! | written, synced | there | there |
//! | written, not synced | there | each write by itself: there, not there, a part of it, or zeros in its place |
//! | written, sync failed | there | as before, but no later sync makes it safe |
//! | name made, moved or removed, directory synced | there | there |
//! | the same, not synced | there | each change by itself, a rename as one |

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::random::Random;
use vast_threatbus::state::disk::{Disk, DiskFile, OpenMode};

/// The disk; clones are the same one.
#[derive(Clone)]
pub struct MemoryDisk(Arc<Mutex<Platter>>);

/// What the disk does wrong.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// How many bytes all files may have.
    pub capacity: u64,
    /// One in so many operations fails; 0 for none.
    pub fails_one_in: usize,
    /// The operation after so many fails.
    pub fails_at: Option<u64>,
    /// All those behind it do, too.
    pub fails_after: bool,
    /// The process is killed in the operation after so many.
    pub killed_in: Option<u64>,
}

impl Faults {
    /// A disk as it should be.
    pub const NONE: Faults = Faults {
        capacity: u64::MAX,
        fails_one_in: 0,
        fails_at: None,
        fails_after: false,
        killed_in: None,
    };
}

struct Platter {
    random: Random,
    faults: Faults,
    files: Vec<File>,
    /// What a process sees under each path.
    names: BTreeMap<PathBuf, Entry>,
    /// What is there after a loss of power.
    safe_names: BTreeMap<PathBuf, Entry>,
    /// What led from those to these, in order.
    changes: Vec<Renaming>,
    /// The process that may use it.
    process: u64,
    is_killed: bool,
    failures: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory,
    File(usize),
}

/// A change of names: what is gone, and what is there.
#[derive(Clone)]
struct Renaming {
    gone: Option<PathBuf>,
    there: Option<(PathBuf, Entry)>,
}

#[derive(Default)]
struct File {
    content: Vec<u8>,
    safe: Vec<u8>,
    /// What led from that to this and is not synced, in order.
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Cut(size) => content.resize(*size, 0),
        }
    }
}

fn refused(reason: &str) -> io::Error {
    io::Error::other(reason.to_owned())
}

impl MemoryDisk {
    /// An empty disk with a directory; the seed decides everything that is left to chance.
    pub fn new(directory: &Path, seed: u64) -> Self {
        let names = BTreeMap::from([(directory.to_owned(), Entry::Directory)]);
        MemoryDisk(Arc::new(Mutex::new(Platter {
            random: Random(seed),
            faults: Faults::NONE,
            files: Vec::new(),
            safe_names: names.clone(),
            names,
            changes: Vec::new(),
            process: 0,
            is_killed: false,
            failures: 0,
        })))
    }

    /// The disk as the present process sees it.
    pub fn process(&self) -> Arc<dyn Disk> {
        Arc::new(View {
            disk: self.clone(),
            process: self.lock().process,
        })
    }

    /// What it does wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Whether the process was killed in an operation.
    pub fn is_killed(&self) -> bool {
        self.lock().is_killed
    }

    /// How many operations were refused.
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// How many bytes its files have.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// How many bytes the files in this directory have.
    pub fn used_in(&self, directory: &Path) -> u64 {
        let platter = self.lock();
        let inside = platter
            .names
            .iter()
            .filter(|(name, _)| name.parent() == Some(directory));
        inside.map(|(_, entry)| platter.size(*entry)).sum()
    }

    /// Ends the process; what it wrote is there for the next.
    pub fn kill(&self) {
        let mut platter = self.lock();
        platter.process += 1;
        platter.is_killed = false;
        platter.faults.killed_in = None;
    }

    /// Ends the process and the power.
    pub fn cut_power(&self) {
        self.kill();
        self.lock().lose();
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    fn used(&self) -> u64 {
        self.names.values().map(|entry| self.size(*entry)).sum()
    }

    fn size(&self, entry: Entry) -> u64 {
        match entry {
            Entry::File(number) => self.files[number].content.len() as u64,
            Entry::Directory => 0,
        }
    }

    /// Begins an operation that changes something; whether it goes wrong.
    fn begin(&mut self, process: u64) -> io::Result<Fate> {
        self.check(process)?;
        if let Some(left) = &mut self.faults.killed_in {
            if *left == 0 {
                self.is_killed = true;
                return Ok(Fate::Killed);
            }
            *left -= 1;
        }
        Ok(if self.fails() {
            Fate::Fails
        } else {
            Fate::Fine
        })
    }

    /// Begins an operation that only looks.
    fn look(&mut self, process: u64) -> io::Result<()> {
        self.check(process)?;
        if self.fails() {
            Err(refused("it failed this time"))
        } else {
            Ok(())
        }
    }

    fn check(&self, process: u64) -> io::Result<()> {
        if process != self.process || self.is_killed {
            return Err(refused("the process was killed"));
        }
        Ok(())
    }

    fn fails(&mut self) -> bool {
        let one_in = self.faults.fails_one_in;
        let by_chance = one_in > 0 && self.random.one_in(one_in);
        let fails_after = self.faults.fails_after;
        let by_count = match &mut self.faults.fails_at {
            Some(left @ 1..) => {
                *left -= 1;
                false
            }
            Some(0) if fails_after => true,
            count => count.take().is_some(),
        };
        let fails = by_chance || by_count;
        self.failures += u64::from(fails);
        fails
    }

    /// A change of names is done whole or not at all.
    fn rename(&mut self, process: u64, change: Renaming) -> io::Result<()> {
        let (is_done, result) = match self.begin(process)? {
            Fate::Fine => (true, Ok(())),
            Fate::Fails => (false, Err(refused("it failed this time"))),
            Fate::Killed => (
                self.random.one_in(2),
                Err(refused("the process was killed")),
            ),
        };
        if is_done {
            apply(&change, &mut self.names);
            self.changes.push(change);
        }
        result
    }

    /// A change of a file, of which a part may be done.
    fn change(&mut self, process: u64, file: usize, change: Change) -> io::Result<()> {
        let fate = self.begin(process)?;
        let change = match (change, fate) {
            (change, Fate::Fine) => change,
            (Change::Write(offset, mut bytes), _) => {
                bytes.truncate(self.random.below(bytes.len() + 1));
                Change::Write(offset, bytes)
            }
            (Change::Cut(_), _) => return Err(refused("it failed this time")),
        };
        self.put(file, change)?;
        match fate {
            Fate::Fine => Ok(()),
            Fate::Fails => Err(refused("it failed this time")),
            Fate::Killed => Err(refused("the process was killed")),
        }
    }

    /// Changes a file, as far as there is room.
    fn put(&mut self, file: usize, mut change: Change) -> io::Result<()> {
        let free = self.faults.capacity.saturating_sub(self.used());
        let size = self.files[file].content.len();
        let mut result = Ok(());
        if let Change::Write(offset, bytes) = &mut change {
            let room = size.saturating_add(usize::try_from(free).unwrap_or(usize::MAX));
            if *offset + bytes.len() > size.max(room) {
                bytes.truncate(room.saturating_sub(*offset));
                self.failures += 1;
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        let file = &mut self.files[file];
        change.apply(&mut file.content);
        file.changes.push(change);
        result
    }

    fn sync(&mut self, process: u64, file: usize) -> io::Result<()> {
        let fate = self.begin(process)?;
        // What could not be written is taken for written from then on.
        let is_forgotten = self.random.one_in(2);
        let file = &mut self.files[file];
        match fate {
            Fate::Fine => {
                for change in file.changes.drain(..) {
                    change.apply(&mut file.safe);
                }
                Ok(())
            }
            Fate::Fails => {
                if is_forgotten {
                    file.changes.clear();
                }
                Err(refused("it failed this time"))
            }
            Fate::Killed => Err(refused("the process was killed")),
        }
    }

    fn sync_directory(&mut self, process: u64, path: &Path) -> io::Result<()> {
        match self.begin(process)? {
            Fate::Fine => {}
            Fate::Fails => return Err(refused("it failed this time")),
            Fate::Killed => return Err(refused("the process was killed")),
        }
        let concerns = |name: &Path| name.parent() == Some(path);
        let (now, later) =
            std::mem::take(&mut self.changes)
                .into_iter()
                .partition(|change: &Renaming| {
                    change.gone.as_deref().is_some_and(concerns)
                        || change
                            .there
                            .as_ref()
                            .is_some_and(|(name, _)| concerns(name))
                });
        self.changes = later;
        let now: Vec<Renaming> = now;
        now.iter()
            .for_each(|change| apply(change, &mut self.safe_names));
        Ok(())
    }

    /// Loses what was not synced, or what of it the chance takes.
    fn lose(&mut self) {
        let mut names = std::mem::take(&mut self.safe_names);
        let chance = Chance::draw(&mut self.random);
        for change in self.changes.drain(..) {
            if chance.takes(&mut self.random) {
                apply(&change, &mut names);
            }
        }
        // What stood in a directory that is gone is gone.
        let there = names.clone();
        names.retain(|name, _| {
            let mut above = name.ancestors().skip(1);
            above.all(|above| {
                there.contains_key(above) || !there.keys().any(|one| above.starts_with(one))
            })
        });
        for file in &mut self.files {
            let chance = Chance::draw(&mut self.random);
            for change in std::mem::take(&mut file.changes) {
                if let Some(change) = chance.of(&change, file.safe.len(), &mut self.random) {
                    change.apply(&mut file.safe);
                }
            }
            file.content = file.safe.clone();
        }
        self.safe_names = names.clone();
        self.names = names;
        self.forget_nameless();
    }

    /// The content of files that no name leads to.
    fn forget_nameless(&mut self) {
        for number in 0..self.files.len() {
            let entry = Entry::File(number);
            if !self.names.values().any(|one| *one == entry) {
                self.files[number] = File::default();
            }
        }
    }
}

/// How an operation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    Fails,
    Killed,
}

/// How much of what was not synced is there.
#[derive(Clone, Copy)]
enum Chance {
    All,
    Nothing,
    Some,
}

impl Chance {
    fn draw(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Chance::All,
            1 => Chance::Nothing,
            _ => Chance::Some,
        }
    }

    fn takes(self, random: &mut Random) -> bool {
        match self {
            Chance::All => true,
            Chance::Nothing => false,
            Chance::Some => random.one_in(2),
        }
    }

    /// What is there of a change; zeros only where the file was not as long.
    fn of(self, change: &Change, size: usize, random: &mut Random) -> Option<Change> {
        let Change::Write(offset, bytes) = change else {
            return self.takes(random).then(|| change.clone());
        };
        match (self, random.below(4)) {
            (Chance::All, _) | (Chance::Some, 0) => Some(change.clone()),
            (Chance::Nothing, _) | (Chance::Some, 1) => None,
            (Chance::Some, 2) => {
                let length = random.below(bytes.len() + 1);
                Some(Change::Write(*offset, bytes[..length].to_vec()))
            }
            (Chance::Some, _) => {
                let mut bytes = bytes.clone();
                let new = size.saturating_sub(*offset).min(bytes.len());
                bytes[new..].fill(0);
                Some(Change::Write(*offset, bytes))
            }
        }
    }
}

fn apply(change: &Renaming, names: &mut BTreeMap<PathBuf, Entry>) {
    if let Some(gone) = &change.gone {
        names.remove(gone);
    }
    if let Some((name, entry)) = &change.there {
        names.insert(name.clone(), *entry);
    }
}

/// The disk, for one process.
struct View {
    disk: MemoryDisk,
    process: u64,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({})", self.process)
    }
}

impl Disk for View {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        if platter.names.get(path) == Some(&Entry::Directory) {
            return platter.look(self.process);
        }
        let there = Some((path.to_owned(), Entry::Directory));
        platter.rename(self.process, Renaming { gone: None, there })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut platter = self.disk.lock();
        platter.look(self.process)?;
        let names = platter.names.keys();
        let inside = names.filter(|name| name.parent() == Some(directory));
        Ok(inside.cloned().collect())
    }

    fn open(&self, path: &Path, open: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.disk.lock();
        let file = match platter.names.get(path) {
            Some(Entry::File(file)) => {
                let file = *file;
                platter.look(self.process)?;
                file
            }
            Some(Entry::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            None if open == OpenMode::Existing => {
                platter.look(self.process)?;
                return Err(io::ErrorKind::NotFound.into());
            }
            None => {
                let file = platter.files.len();
                let there = Some((path.to_owned(), Entry::File(file)));
                platter.files.push(File::default());
                platter.rename(self.process, Renaming { gone: None, there })?;
                file
            }
        };
        Ok(Box::new(Handle {
            disk: self.disk.clone(),
            process: self.process,
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        let entry = platter.names.get(from).copied();
        let there = Some((to.to_owned(), entry.ok_or(io::ErrorKind::NotFound)?));
        let gone = Some(from.to_owned());
        platter.rename(self.process, Renaming { gone, there })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.disk.lock();
        if !platter.names.contains_key(path) {
            platter.look(self.process)?;
            return Err(io::ErrorKind::NotFound.into());
        }
        let gone = Some(path.to_owned());
        platter.rename(self.process, Renaming { gone, there: None })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.lock().sync_directory(self.process, path)
    }
}

/// An open file, for one process.
struct Handle {
    disk: MemoryDisk,
    process: u64,
    file: usize,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({} of {})", self.file, self.process)
    }
}

impl DiskFile for Handle {
    fn size(&self) -> io::Result<u64> {
        let mut platter = self.disk.lock();
        platter.look(self.process)?;
        Ok(platter.files[self.file].content.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut platter = self.disk.lock();
        platter.look(self.process)?;
        let content = &platter.files[self.file].content;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("offsets fit into memory here");
        let change = Change::Write(offset, bytes.to_vec());
        self.disk.lock().change(self.process, self.file, change)
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).expect("sizes fit into memory here");
        self.disk
            .lock()
            .change(self.process, self.file, Change::Cut(size))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.process, self.file)
    }
}
