//! The events that the node holds: files of JSON lines, one a type.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// The size of the reads; far more than a line.
const BUFFER: usize = 256 * 1024;

/// A file of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFile {
    /// Where it is.
    pub path: PathBuf,
    /// The type of its events: the name without `.json` or `.json.gz`.
    pub type_name: String,
    compressed: bool,
}

/// The event files of a folder, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<EventFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let plain = name.strip_suffix(".gz");
        let Some(type_name) = plain.unwrap_or(name).strip_suffix(".json") else {
            continue;
        };
        files.push(EventFile {
            type_name: type_name.to_string(),
            compressed: plain.is_some(),
            path,
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

impl EventFile {
    /// The events of the file.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> io::Result<Lines<Box<dyn Read>>> {
        let file = File::open(&self.path)?;
        let reader: Box<dyn Read> = if self.compressed {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file)))
        } else {
            Box::new(file)
        };
        Ok(Lines::new(reader))
    }
}

/// The lines of a reader, each without its newline; empty lines are left out.
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// The bytes of all whole lines that were read.
    consumed: u64,
}

impl<R: Read> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER, reader),
            line: Vec::new(),
            consumed: 0,
        }
    }

    /// The next line; a last one without a newline counts only if `partial`.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_line(&mut self, partial: bool) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let length = self.reader.read_until(b'\n', &mut self.line)?;
            if length == 0 {
                return Ok(None);
            }
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            } else if !partial {
                return Ok(None);
            }
            self.consumed += length as u64;
            if !self.line.is_empty() {
                return Ok(Some(&self.line));
            }
        }
    }
}

/// Follows a folder: what is appended to its files, and new files.
#[derive(Debug)]
pub struct Tail {
    folder: PathBuf,
    /// How much of each file is known.
    offsets: HashMap<PathBuf, u64>,
}

impl Tail {
    /// Follows a folder from now on.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let mut offsets = HashMap::new();
        for file in files(folder)? {
            offsets.insert(file.path.clone(), length(&file.path)?);
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            offsets,
        })
    }

    /// Hands out every new line with its type, and returns how many there were.
    ///
    /// # Errors
    /// When reading fails, and what `each` returns.
    pub fn poll<E: From<io::Error>>(
        &mut self,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut count = 0;
        for file in files(&self.folder)? {
            let known = self.offsets.entry(file.path.clone()).or_insert(0);
            let length = length(&file.path)?;
            if length < *known {
                *known = 0;
            }
            if length == *known {
                continue;
            }
            if file.compressed {
                let mut lines = file.open()?;
                while let Some(line) = lines.next_line(true)? {
                    each(&file.type_name, line)?;
                    count += 1;
                }
                *known = length;
                continue;
            }
            let mut plain = File::open(&file.path)?;
            plain.seek(SeekFrom::Start(*known))?;
            let mut lines = Lines::new(plain);
            while let Some(line) = lines.next_line(false)? {
                each(&file.type_name, line)?;
                count += 1;
            }
            *known += lines.consumed;
        }
        Ok(count)
    }
}

fn length(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, bytes: &[u8]) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("opened");
        file.write_all(bytes).expect("written");
    }

    fn poll(tail: &mut Tail) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        tail.poll::<io::Error>(|name, line| {
            seen.push((name.into(), String::from_utf8_lossy(line).into_owned()));
            Ok(())
        })
        .expect("read");
        seen
    }

    #[test]
    fn types_are_the_names_of_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["zeek.dns.json.gz", "zeek.conn.json", "README.txt"] {
            append(&folder.path().join(name), b"");
        }
        let names: Vec<String> = files(folder.path())
            .expect("listed")
            .into_iter()
            .map(|file| file.type_name)
            .collect();
        assert_eq!(names, ["zeek.conn", "zeek.dns"]);
    }

    #[test]
    fn a_tail_sees_whole_new_lines_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = folder.path().join("a.json");
        append(&old, b"1\n");
        let mut tail = Tail::new(folder.path()).expect("a tail");
        assert!(poll(&mut tail).is_empty());
        append(&old, b"2\n3");
        assert_eq!(poll(&mut tail), [("a".into(), "2".into())]);
        append(&old, b"3\n");
        append(&folder.path().join("b.json"), b"4\n\n5\n");
        let expected = [("a", "33"), ("b", "4"), ("b", "5")];
        assert_eq!(poll(&mut tail), expected.map(|(a, b)| (a.into(), b.into())));
        assert!(poll(&mut tail).is_empty());
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        let folder = tempfile::tempdir().expect("a folder");
        append(&folder.path().join("a.json"), b"1\n\n2");
        let file = files(folder.path()).expect("listed").remove(0);
        let mut lines = file.open().expect("opened");
        assert_eq!(lines.next_line(true).expect("read"), Some(&b"1"[..]));
        assert_eq!(lines.next_line(true).expect("read"), Some(&b"2"[..]));
        assert_eq!(lines.next_line(true).expect("read"), None);
    }
}
