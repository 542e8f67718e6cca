//! The files to read: named files, and the logs in folders.
//!
//! In a folder, every regular file that looks like a log is read once, whatever names it
//! has, in the order of modification times. Hidden files are not read. Links are only
//! followed within the folder, except `current`, which is Zeek's link to the current
//! logs.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use log::{error, info, warn};

use super::contents::{self, Contents, Kind};
use super::decode::Compression;
use super::format::supported;
use super::read::LogError;
use crate::process::input::{self, is_standard_input, name};
use crate::process::unreadable;

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
            let found = some_logs(path, &fail).unwrap_or_else(|error| {
                fail(path, error);
                Vec::new()
            });
            found.into_iter().map(|(log, _)| log).collect()
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

/// What the last search of a followed folder has found, so that nothing is read or logged again.
#[derive(Debug, Default)]
pub struct Memory {
    files: HashMap<Identity, SeenFile>,
    /// What was left out, and why.
    left_out: HashSet<(PathBuf, String)>,
}

/// A file whose beginning was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenFile {
    /// When it was last written, and its size. A log stays one.
    state: Option<(SystemTime, u64)>,
    /// What it is, unless it is a log.
    other: Option<&'static str>,
}

/// The logs in a folder, by modification time. Folders in it that cannot be read are logged.
///
/// # Errors
/// The folder cannot be read. Errors in one of its files are reported when that is read, or logged
/// when it is left out.
pub fn logs(folder: &Path, memory: &mut Memory) -> io::Result<Vec<ListedLog>> {
    let mut search = Search::of(folder, memory)?;
    for (path, error) in search.failed.drain(..) {
        let reason = (path, error.to_string());
        if !memory.left_out.contains(&reason) {
            error!("{} cannot be searched: {error}", name(&reason.0));
        }
        search.memory.left_out.insert(reason);
    }
    let found_now = std::mem::take(&mut search.memory);
    let found = search.into_found();
    *memory = found_now;
    Ok(found.into_iter().map(|(log, _)| log).collect())
}

/// A log in a folder, and what its beginning holds.
pub type FoundLog = (ListedLog, Result<Contents, LogError>);

/// The logs in a folder, by modification time, with an error if there are none: a user would take
/// "nothing found" for an answer. An empty folder is like an empty file. `fail` is called for folders
/// in it that cannot be read.
///
/// # Errors
/// The folder cannot be read, or what is in it is no log.
pub fn some_logs(folder: &Path, fail: impl Fn(&Path, io::Error)) -> io::Result<Vec<FoundLog>> {
    let memory = Memory::default();
    let mut search = Search::of(folder, &memory)?;
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
    let found = search.into_found().into_iter();
    Ok(found
        .filter_map(|(log, contents)| Some((log, contents?)))
        .collect())
}

struct Search<'a> {
    /// What the last search has found.
    before: &'a Memory,
    /// What this one finds.
    memory: Memory,
    /// Its path as it was named.
    folder: PathBuf,
    /// The same without links.
    root: PathBuf,
    folders: HashSet<Identity>,
    files: HashSet<Identity>,
    /// The logs, with what their beginnings hold if they are new.
    found: Vec<(ListedLog, Option<Result<Contents, LogError>>)>,
    /// The number of files that are not logs.
    others: usize,
    /// The first of these, with what they are.
    shown: Vec<String>,
    /// The folders that cannot be read.
    failed: Vec<(PathBuf, io::Error)>,
}

/// The most files that a message names.
const FILES_NAMED: usize = 3;

impl<'a> Search<'a> {
    /// Reads the whole folder.
    fn of(folder: &Path, before: &'a Memory) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        let mut search = Search {
            before,
            memory: Memory::default(),
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
    fn into_found(self) -> Vec<(ListedLog, Option<Result<Contents, LogError>>)> {
        let mut found = self.found;
        found.sort_by(|(one, _), (other, _)| {
            (one.written, &one.path).cmp(&(other.written, &other.path))
        });
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
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        if file_name.starts_with('.') {
            return self.leave_out(path, "it is hidden".to_owned());
        }
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                self.note_other(&path, &error.to_string());
                return self.leave_out(path, error.to_string());
            }
        };
        if path.is_symlink() && file_name != "current" && !self.is_within(&path) {
            let what = "a link that leads out of the folder";
            self.note_other(&path, what);
            return self.leave_out(path, format!("it is {what}"));
        }
        if metadata.is_dir() {
            if let Err(error) = self.look_into(&path, depth + 1) {
                self.failed.push((path, error));
            }
        } else if !metadata.is_file() {
            self.note_other(&path, "not a regular file");
            self.leave_out(path, "it is not a regular file".to_owned());
        } else if self.files.insert((metadata.dev(), metadata.ino())) {
            self.take_file(path, &metadata);
        }
    }

    fn take_file(&mut self, path: PathBuf, metadata: &Metadata) {
        let identity = (metadata.dev(), metadata.ino());
        let state = metadata.modified().ok().map(|time| (time, metadata.len()));
        let known = self.before.files.get(&identity);
        let known = known.filter(|file| file.other.is_none() || file.state == state);
        let (file, contents) = if let Some(known) = known {
            (*known, None)
        } else {
            let contents = contents::of_file(&path);
            let other = other(&contents);
            (SeenFile { state, other }, Some(contents))
        };
        self.memory.files.insert(identity, file);
        match file.other {
            None => {
                let log = ListedLog::new(path, Some(metadata), true);
                self.found.push((log, contents));
            }
            Some(EMPTY) => self.leave_out(path, "it is empty".to_owned()),
            Some(what) => {
                self.note_other(&path, what);
                self.leave_out(path, format!("it is not a supported log ({what})"));
            }
        }
    }

    /// Logs that a file is not read, unless that was logged before.
    fn leave_out(&mut self, path: PathBuf, reason: String) {
        let reason = (path, reason);
        if !self.before.left_out.contains(&reason) {
            info!("{} is left out: {}", name(&reason.0), reason.1);
        }
        self.memory.left_out.insert(reason);
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

/// What an empty file is.
const EMPTY: &str = "empty";

/// What a file is that is no log; `None` for a log, and for one that cannot be read, which is
/// reported when it is read.
fn other(contents: &Result<Contents, LogError>) -> Option<&'static str> {
    match contents {
        Ok(contents) => match contents.kind {
            Kind::Other(what) => Some(what),
            Kind::Empty => Some(EMPTY),
            _ => None,
        },
        Err(LogError::Unreadable(reason)) if unreadable::is_no_log(reason) => Some("packets"),
        Err(_) => None,
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

#[cfg(test)]
mod tests {
    use std::fs::File;
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
            let logs = logs(self.0.path(), &mut Memory::default()).expect("a folder");
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
