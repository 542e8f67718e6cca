//! Sightings that cannot be delivered now: append-only segment files, read in
//! order. What is delivered is remembered as a position, so that a killed
//! process goes on where it was.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use log::warn;

use super::records::{self, HEADER, Next};

/// The size at which a new segment is begun, in bytes.
const SEGMENT: u64 = 8 << 20;

/// The highest number of a segment that this program could ever have written: far
/// enough from the end of the numbers to count on.
const LAST_SEGMENT: u64 = u64::MAX / 2;

/// The size of the file with the position: two numbers and their checksum.
const POSITION: usize = 20;

/// A place between two records.
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
    directory: PathBuf,
    most_bytes: u64,
    segments: VecDeque<Segment>,
    /// The last segment, open at its end.
    end: Option<File>,
    /// The last segment takes no more.
    is_closed: bool,
    position_file: File,
    /// Everything before it is delivered.
    delivered: Position,
    /// The segment that is being read.
    reader: Option<(u64, BufReader<File>, u64)>,
}

/// What opening found to be damaged.
#[derive(Debug, Default)]
pub struct Damage {
    /// Bytes at the end of the last segment that were no whole record.
    pub torn_bytes: u64,
    /// The position of what is delivered could not be read: what the oldest
    /// segment holds goes once more.
    pub position: bool,
}

impl Spool {
    /// Opens the spool in `directory`, making it where it is not there. A torn
    /// last record is cut off.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(directory: &Path, most_bytes: u64) -> io::Result<(Self, Damage)> {
        std::fs::create_dir_all(directory)?;
        let mut numbers: Vec<u64> = std::fs::read_dir(directory)?
            .filter_map(|entry| segment_number(&entry.ok()?.path()))
            .collect();
        numbers.sort_unstable();
        let mut damage = Damage::default();
        let mut segments = VecDeque::new();
        for (place, &number) in numbers.iter().enumerate() {
            let path = segment_path(directory, number);
            let mut bytes = std::fs::metadata(&path)?.len();
            if place + 1 == numbers.len() {
                let whole = whole_bytes(&path)?;
                if whole < bytes {
                    damage.torn_bytes = bytes - whole;
                    OpenOptions::new().write(true).open(&path)?.set_len(whole)?;
                    bytes = whole;
                }
            }
            segments.push_back(Segment { number, bytes });
        }
        let position_file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(directory.join("position"))?;
        let first = segments.front().map_or(1, |segment| segment.number);
        let start = Position {
            segment: first,
            offset: 0,
        };
        let delivered = match read_position(&position_file)? {
            Some(position) if is_plausible(directory, position, &segments)? => position.max(start),
            Some(_) => {
                damage.position = true;
                start
            }
            None => {
                damage.position = position_file.metadata()?.len() > 0;
                start
            }
        };
        let mut spool = Spool {
            directory: directory.to_owned(),
            most_bytes,
            delivered,
            segments,
            end: None,
            is_closed: false,
            position_file,
            reader: None,
        };
        spool.remove_delivered()?;
        // So that it has its place on the disk before that is full.
        spool.write_position()?;
        Ok((spool, damage))
    }

    /// The position after everything that is delivered.
    pub fn delivered(&self) -> Position {
        self.delivered
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// How many bytes wait, headers included.
    pub fn bytes(&self) -> u64 {
        let all = self.size();
        let read = match self.segments.front() {
            Some(first) if first.number == self.delivered.segment => self.delivered.offset,
            _ => 0,
        };
        all.saturating_sub(read)
    }

    /// Puts records at the end, safely on disk when it returns. At the limit
    /// the oldest segment goes; gives the number of records that went with it.
    ///
    /// # Errors
    /// The disk is full, or the system refuses otherwise: nothing of these
    /// records counts as put.
    pub fn push<'r>(&mut self, all: impl IntoIterator<Item = &'r [u8]>) -> io::Result<u64> {
        let mut buffer = Vec::new();
        for record in all {
            records::encode(record, &mut buffer);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let written = self.append(&buffer);
        if written.is_err() {
            // What was written of it must not stand before the next record.
            self.cut_back();
        }
        written?;
        let mut lost = 0;
        while self.segments.len() > 1 && self.size() > self.most_bytes {
            match self.drop_oldest() {
                Ok(count) => lost += count,
                // The records are put, and must not be put again; room is made with
                // the next ones.
                Err(error) => {
                    warn!("the oldest segment of the spool cannot be removed: {error}");
                    break;
                }
            }
        }
        Ok(lost)
    }

    fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn append(&mut self, buffer: &[u8]) -> io::Result<()> {
        let roll = SEGMENT.min(self.most_bytes / 4).max(1);
        let is_full = self.segments.back().is_none_or(|last| last.bytes >= roll);
        if is_full || self.is_closed {
            self.begin_segment()?;
            self.is_closed = false;
        }
        let last = self.segments.back_mut().expect("one was just begun");
        let file = match &mut self.end {
            Some(file) => file,
            none => {
                let path = segment_path(&self.directory, last.number);
                none.insert(OpenOptions::new().append(true).open(path)?)
            }
        };
        file.write_all(buffer)?;
        file.sync_data()?;
        last.bytes += buffer.len() as u64;
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self
            .segments
            .back()
            .map_or(self.delivered.segment, |last| last.number)
            + 1;
        let path = segment_path(&self.directory, number);
        // One that is there already was begun, and its name was not safe.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        file.set_len(0)?;
        super::sync_directory_of(&path)?;
        self.end = Some(file);
        self.segments.push_back(Segment { number, bytes: 0 });
        Ok(())
    }

    /// Whole records may stand there that were not safe on disk, and are put again.
    fn cut_back(&mut self) {
        let (Some(last), Some(file)) = (self.segments.back(), &self.end) else {
            return;
        };
        if file.set_len(last.bytes).is_err() {
            // What comes now must not stand behind them.
            self.end = None;
            self.is_closed = true;
        }
    }

    fn drop_oldest(&mut self) -> io::Result<u64> {
        let Some(&oldest) = self.segments.front() else {
            return Ok(0);
        };
        let path = segment_path(&self.directory, oldest.number);
        let from = match self.delivered.segment == oldest.number {
            true => self.delivered.offset,
            false => 0,
        };
        let lost = count_records(&path, from)?;
        std::fs::remove_file(path)?;
        self.segments.pop_front();
        let next = self
            .segments
            .front()
            .map_or(oldest.number + 1, |segment| segment.number);
        self.set_delivered(Position {
            segment: next,
            offset: 0,
        })?;
        Ok(lost)
    }

    /// The record at a position and the position behind it; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read. A damaged record ends its segment: reading goes
    /// on with the next, and the damage is an error once.
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
        // Bytes that were read before can be old ones, and a read that failed leaves
        // nobody knows where: only what a second look finds damaged is.
        for is_last in [false, true] {
            match self.try_read_in(segment, offset) {
                Ok(Next::Record(record)) => return Ok(record),
                Ok(Next::End | Next::Torn) => self.reader = None,
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

    fn try_read_in(&mut self, segment: Segment, offset: u64) -> io::Result<Next> {
        let open = match &mut self.reader {
            Some((number, _, _)) if *number == segment.number => &mut self.reader,
            other => {
                let file = File::open(segment_path(&self.directory, segment.number))?;
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
        if let Next::Record(record) = &next {
            *there = offset + (HEADER + record.len()) as u64;
        }
        Ok(next)
    }

    fn cut_segment(&mut self, number: u64, at: u64) {
        for segment in self
            .segments
            .iter_mut()
            .filter(|segment| segment.number == number)
        {
            segment.bytes = at;
        }
        // The next record goes to a new segment.
        self.end = None;
        if self
            .segments
            .back()
            .is_some_and(|last| last.number == number)
        {
            let path = segment_path(&self.directory, number);
            let cut = OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|file| file.set_len(at));
            // Where it fails, the same damage is found again after a restart.
            let _ = cut;
        }
    }

    /// Everything before this position is delivered.
    ///
    /// # Errors
    /// The position cannot be written: after a restart some records would come
    /// again.
    pub fn set_delivered(&mut self, position: Position) -> io::Result<()> {
        self.delivered = self.delivered.max(position);
        let written = self.write_position();
        // On a full disk this makes the room that the position needs; where it is not
        // written, a segment that is gone says as much.
        self.remove_delivered().and(written)
    }

    fn write_position(&self) -> io::Result<()> {
        self.position_file
            .write_all_at(&position_bytes(self.delivered), 0)
    }

    /// Removes segments that are delivered whole.
    fn remove_delivered(&mut self) -> io::Result<()> {
        while let Some(first) = self.segments.front() {
            let behind = first.number < self.delivered.segment;
            let whole =
                first.number == self.delivered.segment && self.delivered.offset >= first.bytes;
            if whole && !behind && self.segments.len() == 1 {
                // Cut off before the position, it can be empty: what came to it now
                // would be taken for delivered.
                if first.bytes > 0 || self.delivered.offset > 0 {
                    self.start_over(first.number)?;
                }
                break;
            }
            if !whole && !behind {
                break;
            }
            let number = first.number;
            self.segments.pop_front();
            std::fs::remove_file(segment_path(&self.directory, number))?;
            if self
                .reader
                .as_ref()
                .is_some_and(|(open, _, _)| *open == number)
            {
                self.reader = None;
            }
        }
        Ok(())
    }

    /// The only segment is delivered whole: it goes, and the next has a higher
    /// number, so that no position ever means two things.
    fn start_over(&mut self, number: u64) -> io::Result<()> {
        self.segments.clear();
        self.end = None;
        self.reader = None;
        std::fs::remove_file(segment_path(&self.directory, number))
    }
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

/// A position as its file holds it.
fn position_bytes(position: Position) -> [u8; POSITION] {
    let mut bytes = [0; POSITION];
    bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.offset.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The position in its file; `None` where there is none that its checksum
/// confirms.
fn read_position(file: &File) -> io::Result<Option<Position>> {
    let mut bytes = [0; POSITION];
    match file.read_exact_at(&mut bytes, 0) {
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

/// A position lies behind a record of a segment that is there, or in one that is gone.
/// One behind them all would have everything taken for delivered.
fn is_plausible(
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
    let path = segment_path(directory, position.segment);
    let mut file = BufReader::new(File::open(path)?);
    let mut whole = 0;
    while whole < position.offset {
        match records::read(&mut file)? {
            Next::Record(record) => whole += (HEADER + record.len()) as u64,
            // Cut off, or damaged before it: where records end is not known.
            Next::End | Next::Torn => return Ok(true),
        }
    }
    Ok(whole == position.offset)
}

/// How many bytes at the beginning of a segment are whole records.
fn whole_bytes(path: &Path) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let mut whole = 0;
    while let Next::Record(record) = records::read(&mut file)? {
        whole += (HEADER + record.len()) as u64;
    }
    Ok(whole)
}

fn count_records(path: &Path, from: u64) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(from))?;
    let mut count = 0;
    while let Next::Record(_) = records::read(file.by_ref())? {
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
