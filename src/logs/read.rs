//! Reading files and standard input into blocks of lines.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, select};

use super::decode::{Format, decoded};
use super::lines::{AtEnd, Block, Fill, Lines};
use super::scan::{Chunk, Source};
use crate::observe::metrics::Metrics;
use crate::process::input::Input;
use crate::process::stop::Stop;
use crate::protocol::MatchType;

/// Why a file could not be read to its end.
#[derive(Debug)]
pub enum Failure {
    /// The system, or the compressed data, says no.
    Io(io::Error),
    /// It is one of Zeek's own tables, and no JSON.
    ZeekTable,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(error) => error.fmt(f),
            Failure::ZeekTable => f.write_str(
                "it is a tab-separated log of Zeek; JSON lines are read \
                 (in Zeek: @load policy/tuning/json-logs)",
            ),
        }
    }
}

/// What the threads that read share.
pub struct Feed<'a> {
    /// Where lines come from.
    pub sources: &'a [Source],
    /// Blocks to be filled again.
    pub spare: &'a Receiver<Block>,
    /// Where they go.
    pub chunks: Sender<Chunk>,
    /// How many stored bytes are read.
    pub bytes_read: &'a AtomicU64,
    /// What is counted.
    pub metrics: &'a Metrics,
    /// The program's end.
    pub stop: &'a Stop,
}

impl Feed<'_> {
    /// A block to fill.
    pub fn block(&self) -> Block {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Hands a block over; `false` at the end of the program.
    pub fn hand_over(&self, source: usize, block: Block, match_type: MatchType) -> bool {
        let chunk = Chunk {
            block,
            source,
            match_type,
        };
        select! {
            send(self.chunks, chunk) -> sent => sent.is_ok(),
            recv(self.stop.drain_channel()) -> _ => false,
        }
    }

    /// Reads one file, or standard input, to its end.
    ///
    /// # Errors
    /// What was read until then is handed over.
    pub fn read(&self, source: usize, path: &Path, match_type: MatchType) -> Result<(), Failure> {
        self.read_open(source, Input::open(path, self.stop)?, match_type)
    }

    /// The same with what is open already.
    ///
    /// # Errors
    /// What was read until then is handed over.
    pub fn read_open(
        &self,
        source: usize,
        input: Input,
        match_type: MatchType,
    ) -> Result<(), Failure> {
        let is_pipe = input.is_stream();
        let input = Counted {
            input,
            bytes_read: self.bytes_read,
        };
        let (format, mut reader) = decoded(input)?;
        let fill = match is_pipe && format == Format::Plain {
            true => Fill::Eager,
            false => Fill::Full,
        };
        let mut lines = Lines::default();
        let mut is_first = true;
        loop {
            let mut block = self.block();
            let more = lines.next(&mut reader, &mut block, fill, AtEnd::Finish)?;
            self.sources[source].reject_long(lines.take_too_long(), self.metrics);
            // At the end of the program the input breaks off inside a line.
            if !more || self.stop.is_draining() {
                return Ok(());
            }
            if std::mem::take(&mut is_first) && block.bytes().starts_with(b"#separator") {
                return Err(Failure::ZeekTable);
            }
            if !self.hand_over(source, block, match_type) {
                return Ok(());
            }
        }
    }
}

/// Counts what is read of an input as it is stored.
struct Counted<'a> {
    input: Input,
    bytes_read: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
