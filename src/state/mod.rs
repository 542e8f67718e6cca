//! Persistent state: sightings that wait for the bus, indicators whose query is not
//! finished, events that wait for others of their patterns, and the topics that the
//! broker holds for this bridge. All of it is in one directory (`--state-dir`), which
//! belongs to one process at a time.

pub mod disk;
pub mod journal;
mod records;
pub mod reported;
pub mod spool;
pub mod topics;
pub mod waiting;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use disk::{Disk, Real};

/// The directory, locked for this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked while it is open: a process that dies leaves no lock.
    _lock: File,
}

/// Why the directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process uses it.
    #[error(
        "the state directory {} is in use by another vast-threatbus; give each its own --state-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// The system refuses.
    #[error("the state directory cannot be used: {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

impl StateDir {
    /// Opens the directory, creating it (mode 0700) if it does not exist.
    ///
    /// # Errors
    /// Another process uses it, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let io = |error| StateError::Io(path.to_owned(), error);
        create_directories(path).map_err(io)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| StateError::Io(lock_path.clone(), error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(StateDir {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse(path.to_owned())),
            Err(error) => Err(StateError::Io(lock_path, error.into())),
        }
    }

    /// The path of one of its parts.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Creates a directory and its missing parents so that they survive a power loss.
fn create_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => create_directories(parent)?,
        _ => {}
    }
    Real.create_directory(path)?;
    disk::sync_directory_of(&Real, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("a/b");
        let first = StateDir::open(&path).expect("free");
        assert!(matches!(StateDir::open(&path), Err(StateError::InUse(_))));
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(first);
        assert!(StateDir::open(&path).is_ok());
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("file");
        std::fs::write(&path, "").expect("written");
        let error = StateDir::open(&path).expect_err("no directory").to_string();
        assert!(error.contains("file"), "{error}");
    }
}
