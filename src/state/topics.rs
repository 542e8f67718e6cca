//! The topics that the broker holds for this bridge, so that those left over
//! from a crash are given up at the next start: a broker never drops a dead
//! subscriber, and after some 500 of them it serves nobody.

use std::io;
use std::path::PathBuf;

/// A file with one topic a line.
#[derive(Debug)]
pub struct Topics {
    path: PathBuf,
}

impl Topics {
    /// The file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Topics { path }
    }

    /// The topics of the last run; none where there was none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn left_over(&self) -> io::Result<Vec<String>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Remembers the topics that are held now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&self, topics: &[String]) -> io::Result<()> {
        let text: String = topics.iter().map(|topic| format!("{topic}\n")).collect();
        super::replace(&self.path, text.as_bytes())
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
