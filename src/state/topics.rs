//! The topics that the broker holds for this bridge, so that the next start gives up those that a
//! crash or a broker that did not answer has left over: a broker never drops a dead subscriber, and
//! after some 500 of them it stops serving.
//!
//! On disk: a text file with one topic per line, only ever replaced atomically.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{self, Disk, Real};

/// A file with one topic per line.
#[derive(Debug)]
pub struct Topics {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Topics {
    /// The file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Topics::on(Arc::new(Real), path)
    }

    /// The file at `path` on this disk.
    pub fn on(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Topics { disk, path }
    }

    /// The topics of the last run; empty if there are none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn left_over(&self) -> io::Result<Vec<String>> {
        match disk::content(&*self.disk, &self.path) {
            Ok(text) => {
                let text = String::from_utf8(text)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                Ok(text.lines().map(str::to_owned).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Stores the topics that are held now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&self, topics: &[String]) -> io::Result<()> {
        let text: String = topics.iter().map(|topic| format!("{topic}\n")).collect();
        disk::replace(&*self.disk, &self.path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_there_after_a_restart() {
        let scratch = tempfile::tempdir().expect("a directory");
        let topics = Topics::new(scratch.path().join("topics"));
        assert!(topics.left_over().expect("read").is_empty());
        let held = ["abc".to_owned(), "def".to_owned()];
        topics.remember(&held).expect("written");
        assert_eq!(topics.left_over().expect("read"), held);
        topics.remember(&[]).expect("written");
        assert!(topics.left_over().expect("read").is_empty());
    }
}
