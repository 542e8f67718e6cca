//! Staying at the end of a file that grows, is renamed away and made anew, or is
//! cut short: what `tail -F` does.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::decode::Format;
use super::lines::{AtEnd, Fill, Lines};
use super::read::{Failure, Feed};
use crate::process::input::Input;
use crate::protocol::MatchType;

/// How often a file is looked at that has nothing new.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a file is still read after another has taken its name: its writer
/// may not know yet.
const AFTER_ROTATION: Duration = Duration::from_secs(5);

/// One file of which the end is read.
struct Tail {
    input: Input,
    identity: (u64, u64),
    position: u64,
    lines: Lines,
    /// What was there when the file was opened has been read.
    is_live: bool,
    existing: u64,
}

impl Tail {
    fn new(input: Input) -> Self {
        let metadata = input.metadata();
        Tail {
            identity: (metadata.dev(), metadata.ino()),
            position: 0,
            lines: Lines::default(),
            is_live: false,
            existing: metadata.len(),
            input,
        }
    }

    /// Skips what the file holds, up to the end of its last whole line: what is
    /// written half is read when it is whole.
    fn skip_existing(&mut self) -> io::Result<()> {
        let mut end = self.existing;
        let mut buffer = vec![0; 64 << 10];
        while end > 0 {
            let count = end.min(buffer.len() as u64);
            let part = &mut buffer[..count as usize];
            self.input.file().read_exact_at(part, end - count)?;
            if let Some(at) = memchr::memrchr(b'\n', part) {
                end = end - count + at as u64 + 1;
                break;
            }
            end -= count;
        }
        self.position = self.input.file().seek(SeekFrom::Start(end))?;
        self.is_live = true;
        Ok(())
    }

    /// Hands over every whole line that is there; `false` at the end of the
    /// program.
    fn read_new(&mut self, feed: &Feed<'_>, source: usize, at_end: AtEnd) -> io::Result<bool> {
        loop {
            let mut block = feed.block();
            let mut counted = Counted(self.input.file(), 0);
            let whole = self
                .lines
                .next(&mut counted, &mut block, Fill::Eager, at_end);
            self.position += counted.1;
            feed.sources[source].reject_long(self.lines.take_too_long(), feed.metrics);
            let match_type = match self.is_live {
                true => MatchType::Live,
                false => MatchType::Retro,
            };
            self.is_live |= self.position >= self.existing;
            if !whole? {
                return Ok(true);
            }
            if !feed.hand_over(source, block, match_type) {
                return Ok(false);
            }
        }
    }
}

/// Counts what is read.
struct Counted<'a>(&'a File, u64);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.0;
        let read = file.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// What has become of a file's name.
enum Change {
    Nothing,
    Shorter,
    Other(Input),
}

/// Follows the file at `path` until the program ends. What it holds at first is
/// matched too, if `from_start`.
///
/// # Errors
/// What the file is makes it impossible to follow it.
pub fn follow(
    feed: &Feed<'_>,
    source: usize,
    path: &Path,
    from_start: bool,
) -> Result<(), Failure> {
    let name = &feed.sources[source].name;
    let Some(input) = wait_for(feed, path) else {
        return Ok(());
    };
    if input.is_stream() {
        // It has no end to stay at.
        return feed.read_open(source, input, MatchType::Live);
    }
    let mut beginning = [0; 4];
    let count = input.file().read_at(&mut beginning, 0)?;
    if Format::of(&beginning[..count]) != Format::Plain {
        warn!("{name} is compressed: it does not grow, and is not followed");
        return match from_start {
            true => feed.read_open(source, input, MatchType::Retro),
            false => Ok(()),
        };
    }
    let mut current = Tail::new(input);
    if !from_start {
        current.skip_existing()?;
    }
    info!("following {name}");
    let mut former: Option<(Tail, Instant)> = None;
    loop {
        if let Some((tail, until)) = &mut former {
            let is_over = *until <= Instant::now();
            let at_end = if is_over { AtEnd::Finish } else { AtEnd::Keep };
            if !tail.read_new(feed, source, at_end)? {
                return Ok(());
            }
            former = former.filter(|_| !is_over);
        }
        if !current.read_new(feed, source, AtEnd::Keep)? || feed.stop.sleep(PAUSE) {
            return Ok(());
        }
        match look(feed, path, &current)? {
            Change::Nothing => {}
            Change::Shorter => {
                info!("{name} was cut short; reading it from its start");
                current.lines.forget();
                current.position = current.input.file().seek(SeekFrom::Start(0))?;
            }
            Change::Other(input) => {
                info!("{name} is another file now; reading that");
                let mut new = Tail::new(input);
                new.is_live = true;
                let mut old = std::mem::replace(&mut current, new);
                if let Some((mut oldest, _)) = former.take() {
                    oldest.read_new(feed, source, AtEnd::Finish)?;
                }
                old.read_new(feed, source, AtEnd::Keep)?;
                former = Some((old, Instant::now() + AFTER_ROTATION));
            }
        }
    }
}

/// Opens a file, when it is there; `None` where the program ends before.
fn wait_for(feed: &Feed<'_>, path: &Path) -> Option<Input> {
    let mut is_told = false;
    loop {
        match Input::open(path, feed.stop) {
            Ok(opened) => return Some(opened),
            Err(error) if !is_told => {
                warn!("{}: {error}; waiting for it", path.display());
                is_told = true;
            }
            Err(_) => {}
        }
        if feed.stop.sleep(PAUSE) {
            return None;
        }
    }
}

fn look(feed: &Feed<'_>, path: &Path, current: &Tail) -> io::Result<Change> {
    let by_name = path.metadata();
    let is_same = |metadata: &Metadata| (metadata.dev(), metadata.ino()) == current.identity;
    if !by_name.as_ref().is_ok_and(is_same) {
        // Where the name is gone, the next one is not there yet.
        return Ok(match Input::open(path, feed.stop) {
            Ok(input) if !input.is_stream() && !is_same(input.metadata()) => Change::Other(input),
            _ => Change::Nothing,
        });
    }
    match current.input.file().metadata()?.len() < current.position {
        true => Ok(Change::Shorter),
        false => Ok(Change::Nothing),
    }
}
