//! External input: files, named pipes, standard input. One way to open them that neither
//! blocks nor misses the program's stop.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Access, OFlags, access};

use crate::process::stop::Stop;
use crate::process::text::printable;

/// An open input. Reading ends, as at the end of a file, when the program starts to stop,
/// even if it is a pipe without a writer.
#[derive(Debug)]
pub struct OpenInput {
    file: File,
    metadata: Metadata,
    stop: Stop,
}

impl OpenInput {
    /// Opens a file, or standard input for `-`. A named pipe is opened at once, and
    /// reading waits for a writer. It should be opened only once: what is written between
    /// two openings is lost.
    ///
    /// # Errors
    /// It does not exist, or the system refuses.
    pub fn open(path: &Path, stop: &Stop) -> io::Result<Self> {
        let file = if is_standard_input(path) {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let flags = i32::try_from(flags.bits()).expect("flags of open fit their type");
            OpenOptions::new()
                .read(true)
                .custom_flags(flags)
                .open(path)?
        };
        Ok(OpenInput {
            metadata: file.metadata()?,
            file,
            stop: stop.clone(),
        })
    }

    /// Its metadata when it was opened.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether it arrives as it is written, so that there is no end to stay at: a pipe, a
    /// terminal, a socket.
    pub fn is_stream(&self) -> bool {
        !self.metadata.is_file()
    }

    /// The file itself, for reads at any offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Waits until something can be read, or the program starts to stop.
    fn wait(&self) -> io::Result<()> {
        loop {
            let mut fds = [
                PollFd::new(&self.file, PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.drain_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for OpenInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_stream() {
                self.wait()?;
            }
            if self.stop.is_draining() {
                return Ok(0);
            }
            match self.file.read(buffer) {
                // Another reader of the same pipe was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_stream() => {}
                read => return read,
            }
        }
    }
}

/// Checks whether an input exists and is readable, without side effects: opening a named
/// pipe would wake a waiting writer.
///
/// # Errors
/// It does not exist, or the system refuses.
pub fn look(path: &Path) -> io::Result<Metadata> {
    let metadata = path.metadata()?;
    if metadata.is_file() {
        File::open(path)?;
    } else {
        access(path, Access::READ_OK)?;
    }
    Ok(metadata)
}

/// Whether this path means standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name of an input in logs.
pub fn name(path: &Path) -> String {
    if is_standard_input(path) {
        "standard input".to_owned()
    } else {
        printable(&path.to_string_lossy(), 4096).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn pipe(directory: &tempfile::TempDir) -> std::path::PathBuf {
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).expect("a named pipe");
        path
    }

    #[test]
    fn a_pipe_without_a_writer_waits_for_one_and_sees_the_end_of_the_program() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = pipe(&directory);
        let stop = Stop::new().expect("two socket pairs");
        let mut input = OpenInput::open(&path, &stop).expect("it is there");
        assert!(input.is_stream());
        let (sender, read) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            input.read_to_string(&mut text).expect("a pipe is read");
            sender.send(text).expect("somebody waits");
            let mut other = OpenInput::open(&path, &input.stop).expect("it is there");
            sender
                .send(format!("{:?}", other.read(&mut [0; 9]).ok()))
                .expect("somebody waits");
        });
        assert!(read.recv_timeout(Duration::from_millis(100)).is_err());
        let writer = OpenOptions::new()
            .write(true)
            .open(directory.path().join("pipe"));
        let mut writer = writer.expect("somebody reads");
        writer.write_all(b"a line\n").expect("somebody reads");
        drop(writer);
        assert_eq!(read.recv_timeout(LIMIT).as_deref(), Ok("a line\n"));
        stop.drain(Duration::ZERO);
        assert_eq!(read.recv_timeout(LIMIT).as_deref(), Ok("Some(0)"));
    }

    #[test]
    fn looking_wakes_nobody_and_names_what_is_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!look(&pipe(&directory)).expect("it is there").is_file());
        let file = directory.path().join("file");
        std::fs::write(&file, "abc").expect("written");
        assert_eq!(look(&file).expect("it is there").len(), 3);
        let missing = look(&directory.path().join("none"));
        assert_eq!(missing.expect_err("none").kind(), io::ErrorKind::NotFound);
    }
}
