//! Reads files and standard input into blocks of lines.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, select};
use thiserror::Error;

use super::decode::{Compression, decoded};
use super::format::{Cut, Cutter};
use super::lines::{AtEnd, Block, Fill};
use super::scan::Chunk;
use super::source::Source;
use crate::observe::metrics::Metrics;
use crate::process::input::OpenInput;
use crate::process::stop::Stop;
use crate::protocol::MatchType;

/// Why a log could not be read to its end.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system or the decompressor reports an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The content is unreadable, for this reason.
    #[error("{0}")]
    Unreadable(&'static str),
}

/// The state shared by the reader threads.
pub struct BlockReader<'a> {
    /// Blocks for reuse.
    pub spare: &'a Receiver<Block>,
    /// Where blocks are sent.
    pub chunks: Sender<Chunk>,
    /// The number of stored bytes read.
    pub bytes_read: &'a AtomicU64,
    /// The metrics.
    pub metrics: &'a Metrics,
    /// The program's stop.
    pub stop: &'a Stop,
}

impl BlockReader<'_> {
    /// Sends a block; `false` at the end of the program.
    fn hand_over(&self, chunk: Chunk) -> bool {
        select! {
            send(self.chunks, chunk) -> sent => sent.is_ok(),
            recv(self.stop.drain_channel()) -> _ => false,
        }
    }

    /// Reads the next block of a log and sends it; `false` if there was none, or at the
    /// end of the program.
    ///
    /// # Errors
    /// What was read before has been sent.
    pub fn pass_on(
        &self,
        source: &Arc<Source>,
        cutter: &mut Cutter,
        reader: &mut impl Read,
        (fill, at_end): (Fill, AtEnd),
        match_type: MatchType,
    ) -> Result<bool, LogError> {
        let mut block = self.spare.try_recv().unwrap_or_default();
        let cut = cutter.next(reader, &mut block, fill, at_end)?;
        source.reject_long(cutter.take_too_long(), self.metrics);
        if let Some(beginning) = cutter.take_beginning() {
            source.begins(&beginning, cutter.format());
        }
        match cut {
            Cut::Unreadable(reason) => Err(LogError::Unreadable(reason)),
            Cut::Nothing => Ok(false),
            Cut::Block(parser) => Ok(self.hand_over(Chunk {
                block,
                source: source.clone(),
                parser,
                first_line: cutter.first_line(),
                match_type,
            })),
        }
    }

    /// Reads a file, or standard input, to its end.
    ///
    /// # Errors
    /// What was read before has been sent.
    pub fn read(
        &self,
        source: &Arc<Source>,
        path: &Path,
        match_type: MatchType,
    ) -> Result<(), LogError> {
        self.read_open(source, OpenInput::open(path, self.stop)?, match_type)
    }

    /// The same for an open input.
    ///
    /// # Errors
    /// What was read before has been sent.
    pub fn read_open(
        &self,
        source: &Arc<Source>,
        input: OpenInput,
        match_type: MatchType,
    ) -> Result<(), LogError> {
        let is_pipe = input.is_stream();
        let input = CountedInput {
            input,
            bytes_read: self.bytes_read,
        };
        let (compression, reader) = decoded(input)?;
        let mut reader = UpToError {
            reader,
            most: if compression == Compression::Plain {
                usize::MAX
            } else {
                DECODED
            },
            error: None,
        };
        let fill = if is_pipe && compression == Compression::Plain {
            Fill::Eager
        } else {
            Fill::Full
        };
        let mut cutter = Cutter::default();
        let how = (fill, AtEnd::Finish);
        // At the end of the program the input may stop inside a line.
        while !self.stop.is_draining()
            && self.pass_on(source, &mut cutter, &mut reader, how, match_type)?
        {}
        reader.error.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The most bytes that are decompressed at once: an error loses the others of its call.
const DECODED: usize = 64 << 10;

/// Ends an input at its first error, so that what came before is still searched.
struct UpToError<R> {
    reader: R,
    most: usize,
    error: Option<io::Error>,
}

impl<R: Read> Read for UpToError<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Ok(0);
        }
        let most = buffer.len().min(self.most);
        match self.reader.read(&mut buffer[..most]) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.error = Some(error);
                Ok(0)
            }
            result => result,
        }
    }
}

/// Counts the stored bytes that are read of an input.
struct CountedInput<'a> {
    input: OpenInput,
    bytes_read: &'a AtomicU64,
}

impl Read for CountedInput<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
