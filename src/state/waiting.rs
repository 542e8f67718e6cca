//! Events that wait for others of their patterns, stored across runs in `--state-dir`.
//!
//! The file has one event per line, as JSON. It is only ever replaced atomically.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::disk::{self, Disk, Real};

/// A waiting event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The indicator.
    pub id: String,
    /// What it searches for. Another version of the indicator drops the event.
    #[serde(rename = "asked")]
    pub target: String,
    /// The parts that the event matches.
    pub parts: Vec<u16>,
    /// Whether it was reported as the end of an instance.
    pub has_ended: bool,
    /// When it arrived, in seconds since 1970.
    pub arrived: i64,
    /// Its source.
    pub source: String,
    /// The event as it was printed.
    pub event: String,
}

/// The file that stores them.
#[derive(Debug)]
pub struct SavedFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl SavedFile {
    /// The file at `path`.
    pub fn new(path: PathBuf) -> Self {
        SavedFile {
            disk: Arc::new(Real),
            path,
        }
    }

    /// Reads what the last run left, and the number of unreadable lines; nothing if there
    /// is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> io::Result<(Vec<Saved>, usize)> {
        let text = match disk::content(&*self.disk, &self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((vec![], 0)),
            Err(error) => return Err(error),
        };
        let (mut all, mut unreadable) = (Vec::new(), 0);
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(saved) => all.push(saved),
                Err(_) => unreadable += 1,
            }
        }
        Ok((all, unreadable))
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// The file cannot be written; the old one still exists.
    pub fn write(&self, all: &[Saved]) -> io::Result<()> {
        let mut text = Vec::new();
        for one in all {
            serde_json::to_writer(&mut text, one)?;
            text.push(b'\n');
        }
        disk::replace(&*self.disk, &self.path, &text)
    }
}
