//! Sightings that cannot be delivered now: append-only segment files, read in order. The
//! delivered part is stored as a position, so that a process that was killed continues
//! where it was.
//!
//! # On disk
//!
//! ```text
//! 0000000000000002.spool   record*     a segment; the number has 16 digits or more
//! 0000000000000003.spool   record*     the next one
//! position                 segment: u64  offset: u64  crc32: u32
//!
//! record                   length: u32  crc32 of the bytes: u32  bytes
//! ```
//!
//! All numbers are little-endian. A record is the whole frame of a message, and never
//! empty. The position is where the undelivered records begin: an offset in a segment.
//! Segments before it are removed. Segment numbers increase and are never used twice: an
//! empty spool keeps the last one in its position.
//!
//! A new segment is begun when the last one has `SEGMENT` bytes, and by each run: it is
//! unknown whether everything that an earlier run wrote was synced, and synced records must
//! not follow unsynced ones.
//!
//! A segment is synced after each `push`. Its name is synced before the first record is
//! written to it, together with the position. At other times the position is written
//! without a sync: a power loss repeats records that were delivered since the segment was
//! begun, but loses none.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::warn;

use super::disk::{self, Disk, DiskFile, FileReading, OpenMode, Real};
use super::records::{self, HEADER, NextRecord};

/// The size in bytes at which a new segment is begun.
const SEGMENT: u64 = 8 << 20;

/// The highest segment number that this program could ever have written: far enough from
/// the largest number to count on.
const LAST_SEGMENT: u64 = u64::MAX / 2;

/// The size of the position file: two numbers and their checksum.
const POSITION: usize = 20;

/// A position between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    offset: u64,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    bytes: u64,
}

/// A queue of records on disk.
#[derive(Debug)]
pub struct Spool {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    most_bytes: u64,
    /// The existing segments, including delivered ones that cannot be removed yet.
    segments: VecDeque<Segment>,
    /// The last segment, if this run has begun it.
    end: Option<Box<dyn DiskFile>>,
    /// Whether invalid data may follow the records of the last segment. It has to be
    /// truncated before the next record.
    is_torn: bool,
    /// Records dropped at the limit that were not reported yet.
    lost: u64,
    position_file: Box<dyn DiskFile>,
    /// Everything before it is delivered.
    delivered: Position,
    /// The segment that is being read, and the position in it.
    reader: Option<(u64, BufReader<FileReading>, u64)>,
}

/// The damage found when opening.
#[derive(Debug, Default)]
pub struct Damage {
    /// The bytes at the end of the last segment that were not a whole record.
    pub torn_bytes: u64,
    /// The position of what is delivered could not be read: the content of the oldest
    /// segment is sent again.
    pub position: bool,
}

impl Spool {
    /// Opens the spool in `directory`, creating it if it does not exist. A torn last
    /// record is truncated.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(directory: &Path, most_bytes: u64) -> io::Result<(Self, Damage)> {
        Spool::open_on(Arc::new(Real), directory, most_bytes)
    }

    /// Opens the spool on this disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        directory: &Path,
        most_bytes: u64,
    ) -> io::Result<(Self, Damage)> {
        disk.create_directory(directory)?;
        disk::sync_directory_of(&*disk, directory)?;
        let mut damage = Damage::default();
        let segments = open_segments(&*disk, directory, &mut damage)?;
        let position_file = disk.open(&directory.join("position"), OpenMode::OrCreate)?;
        let start = Position {
            segment: segments.front().map_or(1, |segment| segment.number),
            offset: 0,
        };
        let delivered = match read_position(&*position_file)? {
            Some(position) if is_plausible(&*disk, directory, position, &segments)? => {
                position.max(start)
            }
            Some(_) => {
                damage.position = true;
                start
            }
            None => {
                damage.position = position_file.size()? > 0;
                start
            }
        };
        let mut spool = Spool {
            disk,
            directory: directory.to_owned(),
            most_bytes,
            delivered,
            segments,
            end: None,
            is_torn: false,
            lost: 0,
            position_file,
            reader: None,
        };
        spool.remove_delivered()?;
        // Reserves its place before the disk is full.
        spool.write_position()?;
        Ok((spool, damage))
    }

    /// The position after everything that is delivered.
    pub fn delivered(&self) -> Position {
        self.delivered
    }

    /// The position after everything that was pushed.
    pub fn end(&self) -> Position {
        let last = self.segments.back();
        last.map_or(self.delivered, |last| Position {
            segment: last.number,
            offset: last.bytes,
        })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// The number of bytes that wait, including headers.
    pub fn bytes(&self) -> u64 {
        self.bytes_behind(self.delivered)
    }

    /// The number of records that wait. This has to read them.
    pub fn count(&self) -> u64 {
        let segments = self.segments.iter();
        segments.map(|segment| self.undelivered_in(*segment)).sum()
    }

    /// The number of bytes after a position, including headers.
    pub fn bytes_behind(&self, position: Position) -> u64 {
        let position = position.max(self.delivered);
        let behind = |segment: &Segment| match segment.number.cmp(&position.segment) {
            Ordering::Less => 0,
            Ordering::Equal => segment.bytes.saturating_sub(position.offset),
            Ordering::Greater => segment.bytes,
        };
        self.segments.iter().map(behind).sum()
    }

    /// Appends records; they are safe on disk when this returns. At the limit the oldest
    /// segment is dropped; returns the number of records in it.
    ///
    /// # Errors
    /// The disk is full, or the system refuses otherwise: none of these records counts as
    /// pushed.
    pub fn push<'r>(&mut self, all: impl IntoIterator<Item = &'r [u8]>) -> io::Result<u64> {
        let mut buffer = Vec::new();
        for record in all {
            records::encode(record, &mut buffer);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        // Segments that could not be removed last time prevent pushing more.
        self.make_room()?;
        self.cut_torn()?;
        if let Err(error) = self.append(&buffer) {
            // There may be whole records that are not safe on disk and are pushed again.
            self.is_torn = true;
            let _ = self.cut_torn();
            return Err(error);
        }
        // The records are pushed, and must not be pushed again.
        if let Err(error) = self.make_room() {
            warn!("the oldest segment of the spool cannot be removed: {error}");
        }
        Ok(std::mem::take(&mut self.lost))
    }

    /// Removes the oldest segments until the limit is met.
    fn make_room(&mut self) -> io::Result<()> {
        let size = |spool: &Self| -> u64 { spool.segments.iter().map(|one| one.bytes).sum() };
        while self.segments.len() > 1 && size(self) > self.most_bytes {
            self.drop_oldest()?;
        }
        Ok(())
    }

    /// Truncates invalid data after the last segment's records.
    fn cut_torn(&mut self) -> io::Result<()> {
        if !self.is_torn {
            return Ok(());
        }
        // It may have been read and buffered already.
        self.reader = None;
        if let Some(last) = self.segments.back() {
            cut(&*self.disk, &self.directory, *last)?;
        }
        self.is_torn = false;
        Ok(())
    }

    fn append(&mut self, buffer: &[u8]) -> io::Result<()> {
        let roll = SEGMENT.min(self.most_bytes / 4).max(1);
        let is_full = self.segments.back().is_none_or(|last| last.bytes >= roll);
        if is_full || self.end.is_none() {
            self.begin_segment()?;
        }
        let last = self.segments.back_mut().expect("one was just begun");
        let file = self.end.as_ref().expect("it was opened then");
        file.write_at(buffer, last.bytes)?;
        file.sync()?;
        last.bytes += buffer.len() as u64;
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let last = self.segments.back().map(|last| last.number);
        let number = last.unwrap_or(self.delivered.segment) + 1;
        // The position of an earlier run could refer to this number.
        self.write_position()?;
        self.position_file.sync()?;
        let path = segment_path(&self.directory, number);
        // An existing file was begun when its name was not safe.
        let file = self.disk.open(&path, OpenMode::OrCreate)?;
        file.cut(0)?;
        disk::sync_directory_of(&*self.disk, &path)?;
        self.end = Some(file);
        self.segments.push_back(Segment { number, bytes: 0 });
        Ok(())
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        let Some(&oldest) = self.segments.front() else {
            return Ok(());
        };
        let lost = self.undelivered_in(oldest);
        self.remove_first(oldest)?;
        self.lost += lost;
        let next = self.segments.front().map(|segment| segment.number);
        let behind = Position {
            segment: next.unwrap_or(oldest.number + 1),
            offset: 0,
        };
        self.delivered = self.delivered.max(behind);
        // If this fails, the missing segment says the same.
        let _ = self.write_position();
        Ok(())
    }

    /// The number of records that wait in this segment.
    fn undelivered_in(&self, segment: Segment) -> u64 {
        let from = match segment.number.cmp(&self.delivered.segment) {
            Ordering::Less => return 0,
            Ordering::Equal => self.delivered.offset,
            Ordering::Greater => 0,
        };
        let path = segment_path(&self.directory, segment.number);
        let count = || count_records(&*self.disk, &path, from);
        count().or_else(|_| count()).unwrap_or_else(|error| {
            warn!(
                "{} cannot be read: {error}; its records are not counted",
                path.display()
            );
            0
        })
    }

    /// The record at a position, and the position after it; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read. A damaged record ends its segment: reading continues with
    /// the next, and the damage is reported as an error once.
    pub fn read(&mut self, at: Position) -> io::Result<Option<(Vec<u8>, Position)>> {
        let mut at = at.max(self.delivered);
        loop {
            let Some(segment) = self
                .segments
                .iter()
                .find(|segment| segment.number >= at.segment)
            else {
                return Ok(None);
            };
            let segment = *segment;
            if segment.number > at.segment {
                at = Position {
                    segment: segment.number,
                    offset: 0,
                };
            }
            if at.offset < segment.bytes {
                let record = self.read_in(segment, at.offset)?;
                let next = Position {
                    segment: at.segment,
                    offset: at.offset + (HEADER + record.len()) as u64,
                };
                return Ok(Some((record, next)));
            }
            at = Position {
                segment: segment.number + 1,
                offset: 0,
            };
        }
    }

    fn read_in(&mut self, segment: Segment, offset: u64) -> io::Result<Vec<u8>> {
        // Buffered bytes may be outdated, and a failed read leaves an unknown position:
        // only damage that is found again counts.
        for is_last in [false, true] {
            match self.try_read_in(segment, offset) {
                Ok(NextRecord::Record(record)) => return Ok(record),
                Ok(NextRecord::End | NextRecord::Torn) => self.reader = None,
                Err(error) => {
                    self.reader = None;
                    if is_last {
                        return Err(error);
                    }
                }
            }
        }
        self.cut_segment(segment.number, offset);
        let reason = format!(
            "the spool segment {} is damaged at byte {offset}; the {} bytes behind it are lost",
            segment.number,
            segment.bytes - offset
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, reason))
    }

    fn try_read_in(&mut self, segment: Segment, offset: u64) -> io::Result<NextRecord> {
        let open = match &mut self.reader {
            Some((number, _, _)) if *number == segment.number => &mut self.reader,
            other => {
                let path = segment_path(&self.directory, segment.number);
                let file = FileReading::at(self.disk.open(&path, OpenMode::Existing)?, 0);
                *other = Some((segment.number, BufReader::new(file), 0));
                other
            }
        };
        let (_, file, there) = open.as_mut().expect("it was just opened");
        let distance =
            i64::try_from(offset).unwrap_or(i64::MAX) - i64::try_from(*there).unwrap_or(i64::MAX);
        file.seek_relative(distance)?;
        *there = offset;
        let next = records::read(&mut *file)?;
        if let NextRecord::Record(record) = &next {
            *there = offset + (HEADER + record.len()) as u64;
        }
        Ok(next)
    }

    /// Ends the records of this segment here.
    fn cut_segment(&mut self, number: u64, at: u64) {
        let last = self.segments.back().map(|last| last.number);
        let mut segments = self.segments.iter_mut();
        if let Some(segment) = segments.find(|segment| segment.number == number) {
            segment.bytes = at;
        }
        if last == Some(number) {
            self.is_torn = true;
            // If this fails, the same damage is found again after a restart.
            let _ = self.cut_torn();
        }
    }

    /// Marks everything before this position as delivered.
    ///
    /// # Errors
    /// The position cannot be written: after a restart some records would be sent again.
    pub fn set_delivered(&mut self, position: Position) -> io::Result<()> {
        self.delivered = self.delivered.max(position);
        let written = self.write_position();
        // On a full disk this frees the space that the position needs. If the position is
        // not written, the missing segment says the same.
        self.remove_delivered().and(written)
    }

    fn write_position(&self) -> io::Result<()> {
        self.position_file
            .write_at(&position_bytes(self.delivered), 0)
    }

    /// Removes segments that are delivered completely. With the last one the spool starts
    /// over: the next has a higher number, so that no position is ever ambiguous.
    fn remove_delivered(&mut self) -> io::Result<()> {
        while let Some(&first) = self.segments.front() {
            let start = Position {
                segment: first.number,
                offset: 0,
            };
            let end = Position {
                offset: first.bytes,
                ..start
            };
            // An empty segment may have just been begun. If it was truncated before the
            // position, new records in it would count as delivered.
            let is_new = end == self.delivered && end == start;
            if self.delivered < end || (is_new && self.segments.len() == 1) {
                break;
            }
            self.remove_first(first)?;
        }
        Ok(())
    }

    fn remove_first(&mut self, first: Segment) -> io::Result<()> {
        let path = segment_path(&self.directory, first.number);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.segments.pop_front(),
        };
        let reads_it = |(number, _, _): &mut (u64, _, _)| *number == first.number;
        self.reader.take_if(reads_it);
        if self.segments.is_empty() {
            self.end = None;
        }
        Ok(())
    }
}

/// The existing segments, oldest first; the last is truncated where its records end.
fn open_segments(
    disk: &dyn Disk,
    directory: &Path,
    damage: &mut Damage,
) -> io::Result<VecDeque<Segment>> {
    let paths = disk.list(directory)?;
    let mut numbers: Vec<u64> = paths
        .iter()
        .filter_map(|path| segment_number(path))
        .collect();
    numbers.sort_unstable();
    let mut segments = VecDeque::new();
    for number in numbers {
        let file = disk.open(&segment_path(directory, number), OpenMode::Existing)?;
        let bytes = file.size()?;
        segments.push_back(Segment { number, bytes });
    }
    if let Some(last) = segments.back_mut() {
        let whole = whole_bytes(disk, &segment_path(directory, last.number))?;
        damage.torn_bytes = last.bytes - whole;
        last.bytes = whole;
        cut(disk, directory, *last)?;
    }
    Ok(segments)
}

/// Truncates a segment after its records, and makes these survive a power loss: the next
/// one may be safe on disk before this one is written again.
fn cut(disk: &dyn Disk, directory: &Path, segment: Segment) -> io::Result<()> {
    let file = disk.open(&segment_path(directory, segment.number), OpenMode::Existing)?;
    file.cut(segment.bytes)?;
    file.sync()
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016}.spool"))
}

fn segment_number(path: &Path) -> Option<u64> {
    if path.extension()? != "spool" {
        return None;
    }
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    (number <= LAST_SEGMENT).then_some(number)
}

/// The content of a position file.
fn position_bytes(position: Position) -> [u8; POSITION] {
    let mut bytes = [0; POSITION];
    bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.offset.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The position in its file; `None` unless the checksum confirms it.
fn read_position(file: &dyn DiskFile) -> io::Result<Option<Position>> {
    let mut bytes = [0; POSITION];
    match disk::read_exact_at(file, &mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (place, checksum) = bytes.split_at(16);
    let (segment, offset) = place.split_at(8);
    let number = |part: &[u8]| part.try_into().map_or(0, u64::from_le_bytes);
    let whole = crc32fast::hash(place).to_le_bytes() == checksum;
    Ok(whole.then(|| Position {
        segment: number(segment),
        offset: number(offset),
    }))
}

/// A valid position follows a record of an existing segment, or is in a removed one. A
/// position beyond them all would mark everything as delivered.
fn is_plausible(
    disk: &dyn Disk,
    directory: &Path,
    position: Position,
    segments: &VecDeque<Segment>,
) -> io::Result<bool> {
    let Some(last) = segments.back() else {
        return Ok(position.segment <= LAST_SEGMENT);
    };
    let mut numbers = segments.iter().map(|segment| segment.number);
    if !numbers.any(|number| number == position.segment) {
        return Ok(position.segment < last.number);
    }
    let mut file = reading(disk, &segment_path(directory, position.segment), 0)?;
    let mut whole = 0;
    while whole < position.offset {
        match records::read(&mut file)? {
            NextRecord::Record(record) => whole += (HEADER + record.len()) as u64,
            // Truncated, or damaged before it: the end of the records is unknown.
            NextRecord::End | NextRecord::Torn => return Ok(true),
        }
    }
    Ok(whole == position.offset)
}

fn reading(disk: &dyn Disk, path: &Path, from: u64) -> io::Result<BufReader<FileReading>> {
    let file = disk.open(path, OpenMode::Existing)?;
    Ok(BufReader::new(FileReading::at(file, from)))
}

/// The number of leading bytes of a segment that are whole records.
fn whole_bytes(disk: &dyn Disk, path: &Path) -> io::Result<u64> {
    let mut file = reading(disk, path, 0)?;
    let mut whole = 0;
    while let NextRecord::Record(record) = records::read(&mut file)? {
        whole += (HEADER + record.len()) as u64;
    }
    Ok(whole)
}

fn count_records(disk: &dyn Disk, path: &Path, from: u64) -> io::Result<u64> {
    let mut file = reading(disk, path, from)?;
    let mut count = 0;
    while let NextRecord::Record(_) = records::read(file.by_ref())? {
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
