//! Follows a file that grows, is renamed and recreated, or is truncated, like `tail -F`.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::contents::{contents, has_object};
use super::folder::{Identity, is_compressed};
use super::format::json_lines::may_have_object;
use super::format::{BEGINNING, Cut, Cutter, Detected, detect};
use super::lines::{AtEnd, Block, Fill};
use super::read::{BlockReader, LogError};
use super::source::Source;
use crate::process::input::OpenInput;
use crate::protocol::MatchType;

/// How often a file without new data is checked.
pub const LOG_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The bytes that are read at once from the end of a file.
const BUFFER: usize = 64 << 10;

/// How long a file is still read after another has its name, since its writer may not
/// have noticed yet.
const AFTER_ROTATION: Duration = Duration::from_secs(5);

/// A file whose end is read.
struct Tail {
    input: OpenInput,
    identity: Identity,
    position: u64,
    cutter: Cutter,
    /// Whether the initial content has been read.
    is_live: bool,
    existing: u64,
}

impl Tail {
    fn new(input: OpenInput) -> Self {
        let metadata = input.metadata();
        Tail {
            identity: (metadata.dev(), metadata.ino()),
            position: 0,
            cutter: Cutter::default(),
            is_live: false,
            existing: metadata.len(),
            input,
        }
    }

    /// Skips the initial content up to the end of its last whole line. A partial line is
    /// read once it is complete.
    fn skip_existing(&mut self, source: &Source) -> Result<(), LogError> {
        self.is_live = true;
        let mut beginning = vec![0; BEGINNING];
        let count = self.input.file().read_at(&mut beginning, 0)?;
        beginning.truncate(count);
        if contents(&beginning).is_ok_and(|contents| contents.is_no_log()) {
            source.follow_other(&beginning);
        }
        match detect(&beginning, false) {
            Detected::Unreadable(reason) => Err(LogError::Unreadable(reason)),
            // Lines without objects may be rows below a header further on.
            Detected::Format(format) if !format.needs_start() && has_object(&beginning) => {
                let end = self.end_of_lines()?;
                if !self.ends_with_object(end)? {
                    // The writer may have changed its format, and a header is needed.
                    return Ok(self.read_over()?);
                }
                self.cutter = Cutter::behind(format);
                self.position = self.input.file().seek(SeekFrom::Start(end))?;
                Ok(())
            }
            // A row is meaningless without its header, wherever that is.
            Detected::Format(_) | Detected::More => Ok(self.read_over()?),
        }
    }

    /// The end of the last whole line.
    fn end_of_lines(&self) -> io::Result<u64> {
        let mut end = self.existing;
        let mut buffer = vec![0; BUFFER];
        while end > 0 {
            let count = end.min(buffer.len() as u64);
            let part = &mut buffer[..count as usize];
            self.input.file().read_exact_at(part, end - count)?;
            if let Some(at) = memchr::memrchr(b'\n', part) {
                return Ok(end - count + at as u64 + 1);
            }
            end -= count;
        }
        Ok(0)
    }

    /// Whether the last line before this place has an object, or is too long for a row.
    fn ends_with_object(&self, end: u64) -> io::Result<bool> {
        let mut lines = vec![0; end.min(BUFFER as u64) as usize];
        let start = end - lines.len() as u64;
        self.input.file().read_exact_at(&mut lines, start)?;
        let lines = lines.trim_ascii_end();
        let line = memchr::memrchr(b'\n', lines).map(|at| &lines[at + 1..]);
        Ok(match line {
            Some(line) => may_have_object(line),
            None => start > 0 || may_have_object(lines),
        })
    }

    fn read_over(&mut self) -> io::Result<()> {
        let mut block = Block::default();
        let mut existing = self.input.file().take(self.existing);
        while let Cut::Block(_) =
            self.cutter
                .next(&mut existing, &mut block, Fill::Full, AtEnd::Keep)?
        {}
        self.cutter.take_too_long();
        self.position = self.existing - existing.limit();
        Ok(())
    }

    /// Passes on every complete line, unless the program ends.
    fn read_new(
        &mut self,
        reader: &BlockReader<'_>,
        source: &Arc<Source>,
        at_end: AtEnd,
    ) -> Result<(), LogError> {
        loop {
            let mut counted = CountedFile(self.input.file(), 0);
            let match_type = if self.is_live {
                MatchType::Live
            } else {
                MatchType::Retro
            };
            let how = (Fill::Eager, at_end);
            let passed_on = reader.pass_on(source, &mut self.cutter, &mut counted, how, match_type);
            self.position += counted.1;
            self.is_live |= self.position >= self.existing;
            if !passed_on? {
                return Ok(());
            }
        }
    }
}

/// Counts the bytes read.
struct CountedFile<'a>(&'a File, u64);

impl Read for CountedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.0;
        let read = file.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// What has happened to a file's name.
enum Change {
    Nothing,
    Shorter,
    Other(OpenInput),
}

/// A file that is followed by name.
pub struct Follower {
    path: PathBuf,
    source: Arc<Source>,
    current: Tail,
    /// The file that had the name before, and until when it is read.
    former: Option<(Tail, Instant)>,
}

impl Follower {
    /// Follows an open file from its start or from its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(
        path: &Path,
        source: Arc<Source>,
        input: OpenInput,
        from_start: bool,
    ) -> Result<Self, LogError> {
        let mut current = Tail::new(input);
        if !from_start {
            current.skip_existing(&source)?;
        }
        info!("following {}", source.name);
        Ok(Follower {
            path: path.to_owned(),
            source,
            current,
            former: None,
        })
    }

    /// Marks all its content as new.
    pub fn made_live(mut self) -> Self {
        self.current.is_live = true;
        self
    }

    /// The followed path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The last known file with this name.
    pub fn identity(&self) -> Identity {
        self.current.identity
    }

    /// Passes on new lines, and checks whether another file has the name.
    ///
    /// # Errors
    /// The content makes it impossible to follow the file.
    pub fn step(&mut self, reader: &BlockReader<'_>) -> Result<(), LogError> {
        if let Some((tail, until)) = &mut self.former {
            let is_over = *until <= Instant::now();
            let at_end = if is_over { AtEnd::Finish } else { AtEnd::Keep };
            tail.read_new(reader, &self.source, at_end)?;
            self.former = self.former.take().filter(|_| !is_over);
        }
        self.current.read_new(reader, &self.source, AtEnd::Keep)?;
        let name = &self.source.name;
        match look(reader, &self.path, &self.current)? {
            Change::Nothing => {}
            Change::Shorter => {
                info!("{name} was truncated; reading it from its start");
                self.current.cutter = Cutter::default();
                self.current.position = self.current.input.file().seek(SeekFrom::Start(0))?;
            }
            Change::Other(input) => {
                info!("{name} was replaced; reading the new file");
                let mut new = Tail::new(input);
                new.is_live = true;
                let mut old = std::mem::replace(&mut self.current, new);
                if let Some((mut oldest, _)) = self.former.take() {
                    oldest.read_new(reader, &self.source, AtEnd::Finish)?;
                }
                old.read_new(reader, &self.source, AtEnd::Keep)?;
                self.former = Some((old, Instant::now() + AFTER_ROTATION));
            }
        }
        Ok(())
    }
}

/// Follows the file at `path` until the program ends. With `from_start`, its initial
/// content is matched too.
///
/// # Errors
/// The content makes it impossible to follow the file.
pub fn follow(
    reader: &BlockReader<'_>,
    source: &Arc<Source>,
    path: &Path,
    from_start: bool,
) -> Result<(), LogError> {
    let Some(input) = wait_for(reader, path) else {
        return Ok(());
    };
    if input.is_stream() {
        // A stream is read to its end.
        return reader.read_open(source, input, MatchType::Live);
    }
    if is_compressed(&input)? {
        warn!(
            "{} is compressed: it does not grow, and is not followed",
            source.name
        );
        return if from_start {
            reader.read_open(source, input, MatchType::Retro)
        } else {
            Ok(())
        };
    }
    let mut follower = Follower::new(path, source.clone(), input, from_start)?;
    loop {
        follower.step(reader)?;
        if reader.stop.sleep(LOG_CHECK_INTERVAL) {
            return Ok(());
        }
    }
}

/// Opens a file once it exists; `None` if the program ends first.
fn wait_for(reader: &BlockReader<'_>, path: &Path) -> Option<OpenInput> {
    let mut is_told = false;
    loop {
        match OpenInput::open(path, reader.stop) {
            Ok(opened) => return Some(opened),
            Err(error) if !is_told => {
                warn!("{}: {error}; waiting for it", path.display());
                is_told = true;
            }
            Err(_) => {}
        }
        if reader.stop.sleep(LOG_CHECK_INTERVAL) {
            return None;
        }
    }
}

fn look(reader: &BlockReader<'_>, path: &Path, current: &Tail) -> io::Result<Change> {
    let by_name = path.metadata();
    let is_same = |metadata: &Metadata| (metadata.dev(), metadata.ino()) == current.identity;
    if !by_name.as_ref().is_ok_and(is_same) {
        // If the name is gone, the next file does not exist yet.
        return Ok(match OpenInput::open(path, reader.stop) {
            Ok(input) if !input.is_stream() && !is_same(input.metadata()) => Change::Other(input),
            _ => Change::Nothing,
        });
    }
    if current.input.file().metadata()?.len() < current.position {
        Ok(Change::Shorter)
    } else {
        Ok(Change::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::format::tests::text_of;
    use super::*;
    use crate::process::stop::Stop;

    /// The events in `new`, which is written behind what was there before.
    fn events(existing: &str, new: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        fs::write(&path, existing).expect("there is room");
        let stop = Stop::new().expect("a pipe");
        let mut tail = Tail::new(OpenInput::open(&path, &stop).expect("a file"));
        tail.skip_existing(&Source::default()).expect("a log");
        fs::write(&path, format!("{existing}{new}")).expect("there is room");
        let (mut block, mut file, mut events) = (Block::default(), tail.input.file(), Vec::new());
        while let Cut::Block(mut parser) = tail
            .cutter
            .next(&mut file, &mut block, Fill::Eager, AtEnd::Keep)
            .expect("a file")
        {
            parser.each(block.bytes(), |event| events.push(text_of(event)));
        }
        events
    }

    #[test]
    fn what_is_appended_is_read_by_the_header_that_was_there_before() {
        let (json, row) = ("{\"ts\":1}\n", "3.0\tb\n");
        let zeek = "#separator \\x09\n#fields\tts\ta\n2.0\ta\n";
        let as_json = "{\"ts\":\"3.0\",\"a\":\"b\"}";
        for existing in [
            format!("{json}{zeek}"),
            format!("{json}{zeek}\n\n3.0\t"),
            format!("{}{zeek}#close\t2024-03-05-11-00-00\n", json.repeat(20_000)),
            format!("{zeek}{json}"),
        ] {
            let new = if existing.ends_with('\t') { "b\n" } else { row };
            assert_eq!(events(&existing, new), [as_json], "{zeek}");
        }
        assert_eq!(events(json, json), [json.trim_end()]);
        assert_eq!(
            events(&format!("{json}{{"), "\"ts\":1}\n"),
            [json.trim_end()]
        );
    }
}
