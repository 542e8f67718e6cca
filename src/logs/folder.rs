//! The files to read: named files, and the logs in folders.
//!
//! In a folder, every regular file that looks like a log is read once, whatever names it
//! has, in the order of modification times. Hidden files are not read. Links are only
//! followed within the folder, except `current`, which is Zeek's link to the current
//! logs.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use log::{info, warn};

use super::decode::{Compression, decoded};
use super::format::json_lines;
use super::format::{
    BEGINNING, Cut, Cutter, Detected, Event, LogFormat, detect, unreadable, zeek_tsv,
};
use super::lines::{AtEnd, Block, Fill};
use super::read::Failure;
use crate::matching::recogniser::Recogniser;
use crate::process::input::{self, is_standard_input, name};

/// The deepest level of folders that is read. Zeek has one folder per day.
const DEEPEST: usize = 16;

/// The device and the inode number of a file.
pub type Identity = (u64, u64);

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLog {
    /// Its path; `-` is standard input.
    pub path: PathBuf,
    /// Its identity, if it is known before the file is opened.
    pub identity: Option<Identity>,
    /// Its modification time.
    pub written: SystemTime,
    /// Its size in bytes; 0 unless it is a regular file.
    pub size: Option<u64>,
    /// Whether its folder was named and not itself.
    pub is_of_folder: bool,
}

impl ListedLog {
    fn new(path: PathBuf, metadata: Option<&Metadata>, is_of_folder: bool) -> Self {
        let regular = metadata.filter(|metadata| metadata.is_file());
        ListedLog {
            path,
            identity: metadata.map(|metadata| (metadata.dev(), metadata.ino())),
            written: metadata
                .and_then(|metadata| metadata.modified().ok())
                .unwrap_or(SystemTime::UNIX_EPOCH),
            size: regular.map(Metadata::len),
            is_of_folder,
        }
    }
}

/// The files that these paths name, each once. Folders are replaced by the logs in them;
/// `fail` is called for folders that cannot be read.
pub fn inputs(paths: &[PathBuf], fail: impl Fn(&Path, io::Error)) -> Vec<ListedLog> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for path in paths {
        let metadata = path.metadata().ok().filter(|_| !is_standard_input(path));
        let found = if metadata.as_ref().is_some_and(Metadata::is_dir) {
            some_logs(path).unwrap_or_else(|error| {
                fail(path, error);
                Vec::new()
            })
        } else {
            vec![ListedLog::new(path.clone(), metadata.as_ref(), false)]
        };
        for input in found {
            if input.identity.is_none_or(|identity| seen.insert(identity)) {
                all.push(input);
            } else {
                info!("{} is named twice, and read once", name(&input.path));
            }
        }
    }
    all
}

/// The logs in a folder, by modification time.
///
/// # Errors
/// The folder cannot be read. Errors in one of its files or subfolders are reported when
/// that is read, or logged when it is left out.
pub fn logs(folder: &Path) -> io::Result<Vec<ListedLog>> {
    Search::of(folder).map(Search::into_logs)
}

/// The same, with an error if there are no logs: a user would take "nothing found" for an
/// answer. An empty folder is like an empty file.
fn some_logs(folder: &Path) -> io::Result<Vec<ListedLog>> {
    let search = Search::of(folder)?;
    if search.found.is_empty() && search.holds_others {
        return Err(io::Error::other("no file in it is a supported log"));
    }
    if search.found.is_empty() {
        warn!("{} has no logs", name(folder));
    }
    Ok(search.into_logs())
}

struct Search {
    root: PathBuf,
    folders: HashSet<Identity>,
    files: HashSet<Identity>,
    found: Vec<ListedLog>,
    /// Whether there are files that are not logs.
    holds_others: bool,
}

impl Search {
    /// Reads the whole folder.
    fn of(folder: &Path) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        let mut search = Search {
            root,
            folders: HashSet::new(),
            files: HashSet::new(),
            found: Vec::new(),
            holds_others: false,
        };
        search.look_into(folder, 0)?;
        Ok(search)
    }

    /// The logs, by modification time.
    fn into_logs(self) -> Vec<ListedLog> {
        let mut found = self.found;
        found.sort_by(|one, other| (one.written, &one.path).cmp(&(other.written, &other.path)));
        found
    }

    fn look_into(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let metadata = folder.metadata()?;
        if depth > DEEPEST || !self.folders.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        paths.sort();
        for path in paths {
            self.take(path, depth);
        }
        Ok(())
    }

    fn take(&mut self, path: PathBuf, depth: usize) {
        let left_out = |reason: &str| info!("{} is left out: {reason}", name(&path));
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        if file_name.starts_with('.') {
            return left_out("it is hidden");
        }
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return left_out(&error.to_string()),
        };
        if path.is_symlink() && file_name != "current" && !self.is_within(&path) {
            return left_out("it is a link that leads out of the folder");
        }
        if metadata.is_dir() {
            if let Err(error) = self.look_into(&path, depth + 1) {
                left_out(&error.to_string());
            }
        } else if !metadata.is_file() {
            left_out("it is not a regular file");
        } else if self.files.insert((metadata.dev(), metadata.ino())) {
            match is_log(&path) {
                Ok(true) => self.found.push(ListedLog::new(path, Some(&metadata), true)),
                Ok(false) if metadata.len() == 0 => left_out("it is empty"),
                Ok(false) => {
                    self.holds_others = true;
                    left_out("it is not a supported log");
                }
                // The error is reported when it is read.
                Err(_) => self.found.push(ListedLog::new(path, Some(&metadata), true)),
            }
        }
    }

    fn is_within(&self, link: &Path) -> bool {
        link.canonicalize()
            .is_ok_and(|target| target.starts_with(&self.root))
    }
}

/// Whether an open file is compressed.
///
/// # Errors
/// It cannot be read.
pub fn is_compressed(input: &input::OpenInput) -> io::Result<bool> {
    let mut beginning = [0; 4];
    let count = input.file().read_at(&mut beginning, 0)?;
    Ok(Compression::of(&beginning[..count]) != Compression::Plain)
}

/// Whether a file looks like a log, by its beginning. A file with an unsupported
/// compression does, since it may be one.
fn is_log(path: &Path) -> io::Result<bool> {
    let beginning = beginning(path)?;
    Ok(match form_of(&beginning) {
        Ok(form) => form.is_some(),
        Err(_) => unreadable::may_be_log(&beginning),
    })
}

/// The format of a log, if it can be detected.
///
/// # Errors
/// It cannot be read.
pub fn form(path: &Path) -> Result<Option<LogFormat>, Failure> {
    form_of(&beginning(path)?)
}

fn form_of(beginning: &[u8]) -> Result<Option<LogFormat>, Failure> {
    match detect(beginning, true) {
        Detected::Format(LogFormat::JsonLines | LogFormat::JsonArray(_)) if is_other(beginning) => {
            Ok(None)
        }
        Detected::Format(LogFormat::JsonLines) if !has_object(beginning) => {
            Ok(has_rows(beginning).then_some(LogFormat::Zeek))
        }
        Detected::Format(form) => Ok(Some(form)),
        Detected::Unreadable(reason) => Err(Failure::Unreadable(reason)),
        Detected::More => Ok(None),
    }
}

/// The first bytes of a log, decompressed.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let (_, reader) = decoded(File::open(path)?)?;
    let mut beginning = Vec::new();
    reader.take(BEGINNING as u64).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Whether this is a whole file of JSON in which no object is an event. A longer one is only known
/// when it is read.
fn is_other(beginning: &[u8]) -> bool {
    if beginning.len() >= BEGINNING {
        return false;
    }
    let (mut cutter, mut block) = (Cutter::default(), Block::default());
    let (mut recogniser, mut reader) = (Recogniser::default(), beginning);
    let (mut objects, mut is_log) = (false, false);
    while let Ok(Cut::Block(mut reading)) =
        cutter.next(&mut reader, &mut block, Fill::Full, AtEnd::Finish)
    {
        reading.each(block.bytes(), |event| match event {
            Ok(Event::Json(line)) => match json_lines::is_event(line, &mut recogniser) {
                // The object may not be written to its end.
                Err(error) => is_log |= error.is_eof(),
                Ok(is_event) => (objects, is_log) = (true, is_log | is_event),
            },
            Ok(Event::Row(_)) => is_log = true,
            Err(_) => {}
        });
    }
    objects && !is_log
}

/// Whether these lines are rows of a Zeek log whose beginning is missing: its header may come
/// later.
fn has_rows(beginning: &[u8]) -> bool {
    let mut lines = beginning.split(|byte| *byte == b'\n');
    // The first one may have lost its start.
    zeek_tsv::has_header(beginning) || lines.by_ref().take(2).any(zeek_tsv::is_like_row)
}

/// Whether one of these lines is a JSON object, or the beginning of a long one.
pub fn has_object(beginning: &[u8]) -> bool {
    let mut has_one = false;
    json_lines::each(beginning, |line| {
        let object = if line.starts_with('{') {
            Some(line)
        } else {
            json_lines::within(line)
        };
        has_one |= object.is_some_and(|object| {
            let checked = serde_json::from_str::<serde::de::IgnoredAny>(object);
            checked.map_or_else(|error| error.is_eof(), |_| true)
        });
    });
    has_one
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Folder(tempfile::tempdir().expect("a temporary folder"))
        }

        /// Writes a file with a modification time `age` seconds ago.
        fn file(&self, path: &str, text: &[u8], age: u64) -> PathBuf {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, text).expect("there is room");
            let time = SystemTime::now() - Duration::from_secs(age);
            let file = File::options().write(true).open(&path).expect("just made");
            file.set_modified(time).expect("a time of this year");
            path
        }

        fn logs(&self) -> Vec<String> {
            let logs = logs(self.0.path()).expect("a folder");
            let relative = |log: ListedLog| {
                let path = log.path.strip_prefix(self.0.path()).expect("within");
                path.to_string_lossy().into_owned()
            };
            logs.into_iter().map(relative).collect()
        }
    }

    const EVENT: &[u8] = b"{\"ts\": 1}\n";

    #[test]
    fn the_logs_of_a_folder_are_read_by_date_and_the_rest_is_left_out() {
        let folder = Folder::new();
        folder.file("eve.json", EVENT, 10);
        folder.file("eve.json.1", EVENT, 20);
        folder.file("2024-03-05/conn.log", b"#separator \\x09\n", 30);
        folder.file("array.json", b"[\n{\"ts\": 1}]", 5);
        folder.file(
            "long.json",
            &[b"{\"a\":\"", &b"x".repeat(1 << 17)[..]].concat(),
            4,
        );
        folder.file("syslog", b"host x: {\"ts\": 1}\n", 3);
        folder.file("middle.log", b"C1\tx\n1714557600.000001\tC1\tx\n", 2);
        folder.file("old.json.xz", b"\xfd7zXZ\x00\x00", 40);
        folder.file(
            "fast.log",
            b"03/05/2024 [**] [1:1:1] A {TCP} 192.0.2.1\n",
            1,
        );
        folder.file("packets.pcap", b"\xd4\xc3\xb2\xa1\x02\x00", 1);
        folder.file(
            "package.json",
            b"{\n \"name\": \"a\",\n \"version\": \"1\"\n}\n",
            1,
        );
        folder.file("answer.json", b"{\"error\":\"unauthorized\"}\n", 1);
        folder.file(".hidden.json", EVENT, 1);
        folder.file("empty.json", b"", 1);
        assert_eq!(
            folder.logs(),
            [
                "old.json.xz",
                "2024-03-05/conn.log",
                "eve.json.1",
                "eve.json",
                "array.json",
                "long.json",
                "syslog",
                "middle.log"
            ]
        );
    }

    #[test]
    fn links_are_followed_within_the_folder_and_each_file_is_read_once() {
        let folder = Folder::new();
        let elsewhere = Folder::new();
        let outside = elsewhere.file("spool/conn.log", b"#fields\ta\n", 5);
        let log = folder.file("a.json", EVENT, 10);
        symlink(&log, folder.0.path().join("b.json")).expect("a link");
        fs::hard_link(&log, folder.0.path().join("c.json")).expect("a link");
        symlink(&outside, folder.0.path().join("outside.log")).expect("a link");
        symlink(folder.0.path(), folder.0.path().join("loop")).expect("a link");
        let spool = outside.parent().expect("a folder");
        symlink(spool, folder.0.path().join("current")).expect("a link");
        assert_eq!(folder.logs(), ["a.json", "current/conn.log"]);
        let twice = [log.clone(), folder.0.path().to_owned(), log.clone()];
        let read = inputs(&twice, |path, error| panic!("{path:?}: {error}"));
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].path, log);
    }

    #[test]
    fn a_folder_without_logs_counts_as_not_searched() {
        let folder = Folder::new();
        let failed = |folder: &Folder| {
            let count = std::cell::Cell::new(0);
            let paths = [folder.0.path().to_owned()];
            assert!(inputs(&paths, |_, _| count.set(count.get() + 1)).is_empty());
            count.get()
        };
        assert_eq!(failed(&folder), 0);
        folder.file("empty", b"", 5);
        assert_eq!(failed(&folder), 0);
        folder.file("a/readme", b"hello\n", 5);
        assert_eq!(failed(&folder), 1);
        assert!(folder.logs().is_empty());
    }
}
