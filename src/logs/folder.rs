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
    BEGINNING, Cut, Cutter, Detected, Event, LogFormat, detect, supported, unreadable, zeek_tsv,
};
use super::lines::{AtEnd, Block, Fill};
use super::read::LogError;
use crate::matching::recogniser::Recogniser;
use crate::process::input::{self, is_standard_input, name};

/// The deepest level of folders that is read. Zeek has one folder per day.
const DEEPEST_FOLDER: usize = 16;

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
            some_logs(path, &fail).unwrap_or_else(|error| {
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
/// answer. An empty folder is like an empty file. `fail` is called for folders in it that cannot be
/// read.
fn some_logs(folder: &Path, fail: impl Fn(&Path, io::Error)) -> io::Result<Vec<ListedLog>> {
    let mut search = Search::of(folder)?;
    let is_unread = !search.failed.is_empty();
    for (path, error) in search.failed.drain(..) {
        fail(&path, error);
    }
    if search.found.is_empty() && search.others > 0 {
        let count = match search.others {
            1 => "1 file was".to_owned(),
            count => format!("{count} files were"),
        };
        let more = if search.others > FILES_NAMED {
            ", …"
        } else {
            ""
        };
        return Err(io::Error::other(format!(
            "no file in it is a supported log, and {count} left out: {}{more}. What is read: {}",
            search.shown.join(", "),
            supported()
        )));
    }
    if search.found.is_empty() && !is_unread {
        warn!("{} has no logs", name(folder));
    }
    Ok(search.into_logs())
}

struct Search {
    /// Its path as it was named.
    folder: PathBuf,
    /// The same without links.
    root: PathBuf,
    folders: HashSet<Identity>,
    files: HashSet<Identity>,
    found: Vec<ListedLog>,
    /// The number of files that are not logs.
    others: usize,
    /// The first of these, with what they are.
    shown: Vec<String>,
    /// The folders that cannot be read.
    failed: Vec<(PathBuf, io::Error)>,
}

/// The most files that a message names.
const FILES_NAMED: usize = 3;

impl Search {
    /// Reads the whole folder.
    fn of(folder: &Path) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        let mut search = Search {
            folder: folder.to_owned(),
            root,
            folders: HashSet::new(),
            files: HashSet::new(),
            found: Vec::new(),
            others: 0,
            shown: Vec::new(),
            failed: Vec::new(),
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
        if !self.folders.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        if depth > DEEPEST_FOLDER {
            return Err(io::Error::other("it is in more folders than are read"));
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
            Err(error) => {
                left_out(&error.to_string());
                return self.note_other(&path, &error.to_string());
            }
        };
        if path.is_symlink() && file_name != "current" && !self.is_within(&path) {
            let what = "a link that leads out of the folder";
            left_out(&format!("it is {what}"));
            return self.note_other(&path, what);
        }
        if metadata.is_dir() {
            if let Err(error) = self.look_into(&path, depth + 1) {
                left_out(&error.to_string());
                self.failed.push((path, error));
            }
        } else if !metadata.is_file() {
            left_out("it is not a regular file");
            self.note_other(&path, "not a regular file");
        } else if self.files.insert((metadata.dev(), metadata.ino())) {
            match other(&path) {
                Ok(None) => self.found.push(ListedLog::new(path, Some(&metadata), true)),
                Ok(Some(_)) if metadata.len() == 0 => left_out("it is empty"),
                Ok(Some(what)) => {
                    left_out(&format!("it is not a supported log ({what})"));
                    self.note_other(&path, what);
                }
                // The error is reported when it is read.
                Err(_) => self.found.push(ListedLog::new(path, Some(&metadata), true)),
            }
        }
    }

    /// Counts a file that is not read.
    fn note_other(&mut self, path: &Path, what: &str) {
        self.others += 1;
        if self.shown.len() < FILES_NAMED {
            let path = path.strip_prefix(&self.folder).unwrap_or(path);
            self.shown.push(format!("{} ({what})", name(path)));
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

/// What a file is that does not look like a log, by its beginning; `None` for a log, and for a file
/// with an unsupported compression, since it may be one.
fn other(path: &Path) -> io::Result<Option<&'static str>> {
    let beginning = beginning(path)?;
    Ok(match format_of(&beginning) {
        Ok(Some(_)) => None,
        Ok(None) => Some(what_is(&beginning)),
        Err(_) => (!unreadable::may_be_log(&beginning)).then_some("packets"),
    })
}

/// What a file without events is, as far as its beginning shows.
fn what_is(beginning: &[u8]) -> &'static str {
    let mut lines = beginning.split(|byte| *byte == b'\n');
    let is_content = |line: &&[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
    let first = lines.find(is_content).unwrap_or_default();
    let holds = |delimiter: u8| memchr::memchr_iter(delimiter, first).count() > 1;
    if memchr::memchr(0, beginning).is_some() {
        "binary"
    } else if beginning.trim_ascii_start().starts_with(b"<") {
        "HTML or XML"
    } else if has_object(beginning) {
        "JSON without events"
    } else if holds(b',') || holds(b';') {
        "CSV"
    } else {
        "text without events"
    }
}

/// The format of a log, if it can be detected.
///
/// # Errors
/// It cannot be read.
pub fn format(path: &Path) -> Result<Option<LogFormat>, LogError> {
    format_of(&beginning(path)?)
}

fn format_of(beginning: &[u8]) -> Result<Option<LogFormat>, LogError> {
    match detect(beginning, true) {
        Detected::Format(LogFormat::JsonLines | LogFormat::JsonArray) if is_other(beginning) => {
            Ok(None)
        }
        Detected::Format(LogFormat::JsonLines) if !has_object(beginning) => {
            Ok(has_rows(beginning).then_some(LogFormat::Zeek))
        }
        Detected::Format(format) => Ok(Some(format)),
        Detected::Unreadable(reason) => Err(LogError::Unreadable(reason)),
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
        }) || !json_lines::several(line).0.is_empty();
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
    fn what_is_left_out_of_a_folder_without_logs_is_named() {
        let folder = Folder::new();
        let message = |folder: &Folder| {
            let logs = some_logs(folder.0.path(), |_, _| {});
            logs.expect_err("no logs").to_string()
        };
        folder.file("b/a.csv", b"# none\nip,port,first_seen\n192.0.2.1,1,x\n", 5);
        let named = message(&folder);
        assert!(
            named.contains("1 file was left out: b/a.csv (CSV). What is read: "),
            "{named}"
        );
        for (path, text) in [
            ("c.pcap", &b"\xd4\xc3\xb2\xa1\x02\x00"[..]),
            ("d.json", b"{\"error\":\"unauthorized\"}\n"),
            ("e.txt", b"text\n"),
        ] {
            folder.file(path, text, 5);
        }
        let named = message(&folder);
        let files = "4 files were left out: b/a.csv (CSV), c.pcap (packets), \
                     d.json (JSON without events), …. ";
        assert!(named.contains(files), "{named}");
    }

    #[test]
    fn a_folder_in_too_many_folders_is_no_secret() {
        let folder = Folder::new();
        folder.file("eve.json", EVENT, 5);
        folder.file(
            &format!("{}eve.json", "a/".repeat(DEEPEST_FOLDER + 1)),
            EVENT,
            5,
        );
        let failed = std::cell::Cell::new(0);
        let paths = [folder.0.path().to_owned()];
        let read = inputs(&paths, |_, _| failed.set(failed.get() + 1));
        assert_eq!((read.len(), failed.get()), (1, 1));
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
        // A link that is not followed, or cannot be, is not searched either.
        let elsewhere = Folder::new();
        let outside = elsewhere.file("conn.log", b"#fields\ta\n", 5);
        for target in [outside, elsewhere.0.path().join("missing.log")] {
            let folder = Folder::new();
            symlink(target, folder.0.path().join("conn.log")).expect("a link");
            assert_eq!(failed(&folder), 1);
        }
    }
}
