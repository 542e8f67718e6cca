//! The operations on files that what outlives a run is made of, so that a test can have
//! them fail: [`Real`] is the disk of the system, and the tests have one in memory
//! (`tests/simulation/world/disk.rs`) that is full, fails, and loses power.
//!
//! What the system promises, and no more, is what is relied on:
//!
//! * What was written is there for whoever opens the file next, also where the process
//!   is killed; a write in which it is killed may be there in part.
//! * Only what [`DiskFile::sync`] has returned for is there after a loss of power. Of
//!   the rest any part may be, and zeros in its place.
//! * A name (new, renamed or removed) stands in its directory, not in the file: it is
//!   safe after [`Disk::sync_directory`].
//! * A rename is done whole or not at all.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Directories and the names in them.
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory, where it is not there; its parent is.
    ///
    /// # Errors
    /// The system refuses.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// The paths of what is in a directory, in no order.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// The system refuses; [`io::ErrorKind::NotFound`] where there is no such file
    /// and none is to be made.
    fn open(&self, path: &Path, open: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file a new name, in place of what has it now.
    ///
    /// # Errors
    /// The system refuses: the file has its old name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system refuses; [`io::ErrorKind::NotFound`] where it is gone.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Has the names in a directory outlive a loss of power.
    ///
    /// # Errors
    /// The system refuses: nobody knows which do.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// Which file [`Disk::open`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// One that is there.
    Existing,
    /// One that is there, as it is, or a new one.
    OrCreate,
}

/// An open file.
pub trait DiskFile: Debug + Send {
    /// Its size in bytes.
    ///
    /// # Errors
    /// The system refuses.
    fn size(&self) -> io::Result<u64>;

    /// Reads from an offset; how many bytes, 0 at the end.
    ///
    /// # Errors
    /// The system refuses.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of this at an offset.
    ///
    /// # Errors
    /// The disk is full, or the system refuses otherwise: a part may be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file off at this size.
    ///
    /// # Errors
    /// The system refuses.
    fn cut(&self, size: u64) -> io::Result<()>;

    /// Has what was written outlive a loss of power.
    ///
    /// # Errors
    /// The system refuses: nobody knows what does, and a second call that succeeds
    /// says nothing of what was written before the first.
    fn sync(&self) -> io::Result<()>;
}

/// The disk of the system. What is made there is the user's own (0600, 0700).
#[derive(Clone, Copy, Debug, Default)]
pub struct Real;

impl Disk for Real {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    }

    fn open(&self, path: &Path, open: Open) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(open == Open::OrCreate)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A file read from a place on.
#[derive(Debug)]
pub(super) struct Reading {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl Reading {
    /// From this offset on.
    pub(super) fn at(file: Box<dyn DiskFile>, offset: u64) -> Self {
        Reading { file, offset }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.offset.checked_add_signed(distance),
            SeekFrom::End(distance) => self.file.size()?.checked_add_signed(distance),
        };
        self.offset = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

/// Fills the buffer from an offset; [`io::ErrorKind::UnexpectedEof`] where the file ends
/// before.
pub(super) fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The whole content of a file.
pub(super) fn content(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Reading::at(disk.open(path, Open::Existing)?, 0).read_to_end(&mut content)?;
    Ok(content)
}

/// Writes a file anew in one step: whoever reads it sees the old or the new content,
/// whenever the process is killed or the power is lost. The file comes back as soon as
/// it has its name, which is safe after [`sync_directory_of`].
pub(super) fn write_anew(
    disk: &dyn Disk,
    path: &Path,
    content: &[u8],
) -> io::Result<Box<dyn DiskFile>> {
    let new = path.with_extension("new");
    let file = disk.open(&new, Open::OrCreate)?;
    file.cut(0)?;
    file.write_at(content, 0)?;
    file.sync()?;
    disk.rename(&new, path)?;
    Ok(file)
}

/// Replaces a file in one step, safely on disk when it returns.
pub(super) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    write_anew(disk, path, content)?;
    sync_directory_of(disk, path)
}

/// Has the name of this path outlive a loss of power.
pub(super) fn sync_directory_of(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => disk.sync_directory(Path::new(".")),
        Some(parent) => disk.sync_directory(parent),
        None => Ok(()),
    }
}
