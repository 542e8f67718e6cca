//! Where results go: standard output, or the file of `--write`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::calls::CallLog;

/// Results on their way out, counted in the record of the call.
pub struct Output {
    writer: BufWriter<Box<dyn Write>>,
    log: Arc<CallLog>,
}

impl Output {
    /// To a file, or else to standard output.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(file: Option<&Path>, log: Arc<CallLog>) -> io::Result<Self> {
        let inner: Box<dyn Write> = match file {
            Some(path) => Box::new(File::create(path)?),
            None => Box::new(io::stdout()),
        };
        Ok(Self {
            writer: BufWriter::with_capacity(64 * 1024, inner),
            log,
        })
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When the reader went away.
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.writer.write_all(line)?;
        self.writer.write_all(b"\n")?;
        self.log.lines.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Prints a piece of a line, at once.
    ///
    /// # Errors
    /// When the reader went away.
    pub fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        self.writer.write_all(piece)?;
        self.flush()
    }

    /// Hands everything to the reader.
    ///
    /// # Errors
    /// When the reader went away.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
