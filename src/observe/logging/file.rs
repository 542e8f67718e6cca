//! A log file that may be moved while it is being written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A log file shared by all writers.
#[derive(Clone, Debug)]
pub struct LogFile(Arc<Mutex<OpenLog>>);

#[derive(Debug)]
struct OpenLog {
    path: PathBuf,
    file: File,
    /// The beginning of an incomplete line. Only whole lines are written, so that lines
    /// of two processes do not mix.
    line: Vec<u8>,
}

impl LogFile {
    /// Opens a file for appending, and creates it if necessary.
    ///
    /// # Errors
    /// The system cannot open it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = OpenLog {
            path: path.to_owned(),
            file: at_end(path)?,
            line: Vec::new(),
        };
        Ok(LogFile(Arc::new(Mutex::new(open))))
    }

    /// Reopens the file if its path names another file than the open one, or none:
    /// logrotate has moved it, or somebody has deleted it.
    ///
    /// # Errors
    /// The system cannot open the new one; writing continues to the old one.
    pub fn follow(&self) -> io::Result<()> {
        let mut open = self.lock();
        let names_it = match fs::metadata(&open.path) {
            Ok(there) => {
                let ours = open.file.metadata()?;
                (there.dev(), there.ino()) == (ours.dev(), ours.ino())
            }
            Err(_) => false,
        };
        if !names_it {
            open.file = at_end(&open.path)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, OpenLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.lock();
        open.line.extend_from_slice(bytes);
        if open.line.ends_with(b"\n") {
            let line = std::mem::take(&mut open.line);
            open.file.write_all(&line)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn at_end(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_deleted_or_replaced_is_reopened() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).expect(name);
        let mut file = LogFile::open(&path).expect("a new file");
        let mut write = |text: &str| {
            file.follow().expect("it can be opened");
            file.write_all(text.as_bytes()).expect("it can be written");
        };
        write("a\n");
        fs::rename(&path, directory.path().join("log.1")).expect("rename");
        write("b\n");
        assert_eq!((read("log.1"), read("log")), ("a\n".into(), "b\n".into()));
        fs::remove_file(&path).expect("remove");
        write("c\n");
        assert_eq!(read("log"), "c\n");
        fs::write(directory.path().join("other"), "x\n").expect("write");
        fs::rename(directory.path().join("other"), &path).expect("rename");
        write("d\n");
        assert_eq!(read("log"), "x\nd\n");
        // It may have been truncated in the meantime.
        fs::write(&path, "").expect("truncate");
        write("e\n");
        assert_eq!(read("log"), "e\n");
    }

    #[test]
    fn where_no_new_file_can_be_made_the_old_one_is_written_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let (folder, moved) = (directory.path().join("a"), directory.path().join("b"));
        fs::create_dir(&folder).expect("a folder");
        let mut file = LogFile::open(&folder.join("log")).expect("a new file");
        fs::rename(&folder, &moved).expect("rename");
        assert!(file.follow().is_err());
        file.write_all(b"still there\n").expect("it can be written");
        let text = fs::read_to_string(moved.join("log")).expect("it is there");
        assert_eq!(text, "still there\n");
    }

    #[test]
    fn lines_are_written_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut file = LogFile::open(&path).expect("a new file");
        file.write_all(b"a ").expect("kept");
        assert_eq!(fs::read(&path).expect("it is there"), b"");
        file.write_all(b"line\n").expect("written");
        assert_eq!(fs::read(&path).expect("it is there"), b"a line\n");
    }
}
