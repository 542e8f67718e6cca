//! Events that wait for others of their patterns, as they outlive a run in `--state-dir`.
//!
//! The file holds one event a line, as JSON. It is only ever replaced as a whole, in one step.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::disk::{self, Disk, Real};

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The indicator.
    pub id: String,
    /// What it asks for; another version of it has no use for the event.
    pub asked: String,
    /// The parts that the event matches.
    pub parts: Vec<u16>,
    /// It was told as the end of an instance.
    pub has_ended: bool,
    /// When it came, in seconds since 1970.
    pub arrived: i64,
    /// What it is from.
    pub source: String,
    /// As it was printed.
    pub event: String,
}

/// Where they are kept.
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

    /// What the last run left, and how many lines of it cannot be read; nothing where there
    /// was none.
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

    /// Puts these in place of what is there.
    ///
    /// # Errors
    /// The file cannot be written; the old one is still there.
    pub fn write(&self, all: &[Saved]) -> io::Result<()> {
        let mut text = Vec::new();
        for one in all {
            serde_json::to_writer(&mut text, one)?;
            text.push(b'\n');
        }
        disk::replace(&*self.disk, &self.path, &text)
    }
}
