//! The file operations on which persistent state is built, so that tests can make them
//! fail: [`Real`] is the system's disk; the disk of the tests is in memory
//! (`tests/simulation/world/disk.rs`) and can be full, fail, and lose power.
//!
//! The code only relies on what the system promises:
//!
//! * Written data is there for the next process that opens the file, even if this one is
//!   killed; a write during which it is killed may be partial.
//! * Only data for which [`DiskFile::sync`] has returned survives a power loss. Of the
//!   rest any part may survive, with zeros in place of the others.
//! * A name (new, renamed or removed) belongs to its directory, not to the file: it
//!   survives after [`Disk::sync_directory`].
//! * A rename is atomic.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Directories and their names.
pub trait Disk: Debug + Send + Sync {
    /// Creates a directory unless it exists; its parent exists.
    ///
    /// # Errors
    /// The system refuses.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// The paths in a directory, in any order.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// The system refuses; [`io::ErrorKind::NotFound`] if the file does not exist and is
    /// not to be created.
    fn open(&self, path: &Path, open: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file, replacing the file with the new name.
    ///
    /// # Errors
    /// The system refuses: the file has its old name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system refuses; [`io::ErrorKind::NotFound`] if it does not exist.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory survive a power loss.
    ///
    /// # Errors
    /// The system refuses: it is unknown which names do.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// Which file [`Disk::open`] opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file.
    Existing,
    /// An existing file unchanged, or a new one.
    OrCreate,
}

/// An open file.
pub trait DiskFile: Debug + Send {
    /// Its size in bytes.
    ///
    /// # Errors
    /// The system refuses.
    fn size(&self) -> io::Result<u64>;

    /// Reads from an offset; returns the number of bytes, 0 at the end.
    ///
    /// # Errors
    /// The system refuses.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes everything at an offset.
    ///
    /// # Errors
    /// The disk is full, or the system refuses otherwise: a part may be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Truncates the file to this size.
    ///
    /// # Errors
    /// The system refuses.
    fn cut(&self, size: u64) -> io::Result<()>;

    /// Makes written data survive a power loss.
    ///
    /// # Errors
    /// The system refuses: it is unknown what survives, and success of a second call says
    /// nothing about data written before the first.
    fn sync(&self) -> io::Result<()>;
}

/// The system's disk. New files and directories are private to the user (0600, 0700).
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

    fn open(&self, path: &Path, open: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(open == OpenMode::OrCreate)
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

/// Reads a file from an offset on.
#[derive(Debug)]
pub(super) struct FileReading {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl FileReading {
    /// Starts at this offset.
    pub(super) fn at(file: Box<dyn DiskFile>, offset: u64) -> Self {
        FileReading { file, offset }
    }
}

impl Read for FileReading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Seek for FileReading {
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

/// Fills the buffer from an offset; [`io::ErrorKind::UnexpectedEof`] if the file is
/// shorter.
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
    FileReading::at(disk.open(path, OpenMode::Existing)?, 0).read_to_end(&mut content)?;
    Ok(content)
}

/// Rewrites a file atomically: readers see the old or the new content, even if the
/// process is killed or the power is lost. The file is returned once it has its name,
/// which survives after [`sync_directory_of`].
pub(super) fn write_anew(
    disk: &dyn Disk,
    path: &Path,
    content: &[u8],
) -> io::Result<Box<dyn DiskFile>> {
    let new = path.with_extension("new");
    let file = disk.open(&new, OpenMode::OrCreate)?;
    file.cut(0)?;
    file.write_at(content, 0)?;
    file.sync()?;
    disk.rename(&new, path)?;
    Ok(file)
}

/// Replaces a file atomically; it is safe on disk when this returns.
pub(super) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    write_anew(disk, path, content)?;
    sync_directory_of(disk, path)
}

/// Makes the name of this path survive a power loss.
pub(super) fn sync_directory_of(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => disk.sync_directory(Path::new(".")),
        Some(parent) => disk.sync_directory(parent),
        None => Ok(()),
    }
}
