//! Lists the files of indicators in folders.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::protocol::feed::LONGEST;

/// The deepest nesting of folders.
const DEEPEST_FOLDER: usize = 16;

/// The file that lists the events in a folder of MISP.
const MANIFEST: &str = "manifest.json";

/// Why a hidden file is left out.
const HIDDEN: &str = "it is hidden";

/// Why a file that was listed before is left out.
const READ_ALREADY: &str = "it is read under another name";

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedFile {
    /// Its path; `-` is standard input.
    pub path: PathBuf,
    /// The folder that contains it, if the folder was named and not the file.
    pub folder: Option<PathBuf>,
}

/// The files at some paths.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files to read, each once.
    pub sources: Vec<FeedFile>,
    /// The files that are not read, with reasons.
    pub left_out: Vec<(PathBuf, String)>,
    /// Files that should not be there, or are missing, with reasons.
    pub warnings: Vec<(PathBuf, String)>,
    /// The paths that cannot be examined.
    pub failed: Vec<(PathBuf, io::Error)>,
    inodes: HashSet<(u64, u64)>,
}

/// Lists the files at these paths. Folders are listed recursively, sorted by name.
pub fn list(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    for path in paths {
        match path.metadata() {
            _ if path.as_os_str() == "-" => listing.sources.push(named(path)),
            Ok(metadata) if metadata.is_dir() => {
                if let Err(error) = listing.some_of_folder(path) {
                    listing.failed.push((path.clone(), error));
                }
            }
            Ok(metadata) if !listing.is_new(&metadata) => {
                listing.leave_out(path, "it is named twice");
            }
            // If it cannot be used, opening it reveals the reason.
            Ok(_) | Err(_) => listing.sources.push(named(path)),
        }
    }
    listing
}

fn named(path: &Path) -> FeedFile {
    FeedFile {
        path: path.to_owned(),
        folder: None,
    }
}

impl Listing {
    /// Whether the file was not listed yet, by any name.
    fn is_new(&mut self, metadata: &fs::Metadata) -> bool {
        self.inodes.insert((metadata.dev(), metadata.ino()))
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        self.left_out.push((path.to_owned(), why.to_owned()));
    }

    /// Lists a folder, with an error if there is something in it and nothing to read: a user
    /// would take "nothing found" for an answer. An empty folder is like an empty file.
    fn some_of_folder(&mut self, folder: &Path) -> io::Result<()> {
        let (sources, left_out) = (self.sources.len(), self.left_out.len());
        let warnings = self.warnings.len();
        self.folder(folder)?;
        let left_out = &self.left_out[left_out..];
        let is_read_elsewhere = left_out.iter().any(|(_, why)| why == READ_ALREADY);
        if self.sources.len() > sources || is_read_elsewhere {
            return Ok(());
        }
        if self.warnings.len() > warnings || left_out.iter().any(|(_, why)| why != HIDDEN) {
            return Err(io::Error::other("no file in it can be read"));
        }
        let why = "it contains no files to read".to_owned();
        self.warnings.push((folder.to_owned(), why));
        Ok(())
    }

    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        let root = folder.canonicalize()?;
        match manifest(folder)? {
            Some(names) => {
                let known: BTreeSet<&str> = names.iter().flatten().map(String::as_str).collect();
                for path in sorted(folder)? {
                    let name = path.file_name().and_then(OsStr::to_str);
                    if !name.is_some_and(|name| name == MANIFEST || known.contains(name)) {
                        self.leave_out(&path, "the manifest of the feed does not name it");
                    }
                }
                for name in names {
                    match name {
                        Ok(name) if is_missing(&folder.join(&name)) => self.warnings.push((
                            folder.join(MANIFEST),
                            format!("it names {name}, which is missing"),
                        )),
                        Ok(name) => self.entry(&folder.join(name), folder, &root, DEEPEST_FOLDER),
                        Err(key) => self.leave_out(
                            &folder.join(MANIFEST),
                            &format!("{key:?} in it is not the UUID of an event"),
                        ),
                    }
                }
                Ok(())
            }
            None => self.entries(folder, folder, &root, 0),
        }
    }

    fn entries(&mut self, of: &Path, folder: &Path, root: &Path, depth: usize) -> io::Result<()> {
        for path in sorted(of)? {
            self.entry(&path, folder, root, depth);
        }
        Ok(())
    }

    /// Adds an entry of a folder. Only regular files are opened: a named pipe would wait
    /// for its writer.
    fn entry(&mut self, path: &Path, folder: &Path, root: &Path, depth: usize) {
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            return self.leave_out(path, HIDDEN);
        }
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.leave_out(path, &error.to_string()),
        };
        let is_within = |path: &Path| path.canonicalize().is_ok_and(|at| at.starts_with(root));
        if !is_within(path) {
            self.leave_out(path, "it is a link that leads out of the folder");
        } else if !metadata.is_dir() && !metadata.is_file() {
            self.leave_out(path, "it is not a regular file");
        } else if !self.is_new(&metadata) {
            self.leave_out(path, READ_ALREADY);
        } else if metadata.is_file() {
            self.sources.push(FeedFile {
                path: path.to_owned(),
                folder: Some(folder.to_owned()),
            });
        } else if depth >= DEEPEST_FOLDER {
            self.leave_out(path, "it is nested too deep");
        } else if let Err(error) = self.entries(path, folder, root, depth + 1) {
            self.failed.push((path.to_owned(), error));
        }
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The entries of a folder, sorted by name.
fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The names of the files in the manifest of a MISP feed, in order, or the key that is not
/// an event's UUID; `None` if the folder has no such manifest.
fn manifest(folder: &Path) -> io::Result<Option<Vec<Result<String, String>>>> {
    let path = folder.join(MANIFEST);
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let mut json = Vec::new();
    File::open(path)?
        .take(LONGEST as u64)
        .read_to_end(&mut json)?;
    let Ok(events) = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&json) else {
        return Ok(None);
    };
    let name = |key: String| match Uuid::try_parse(&key) {
        Ok(_) if key.len() == 36 => Ok(format!("{key}.json")),
        Ok(_) | Err(_) => Err(key),
    };
    let names: Vec<Result<String, String>> = events.into_keys().map(name).collect();
    Ok(names.iter().any(Result::is_ok).then_some(names))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names of the files to read, and of those left out.
    fn names(paths: &[PathBuf]) -> (Vec<String>, Vec<String>) {
        let listing = list(paths);
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let sources = listing.sources.iter().map(|source| name(&source.path));
        let left_out = listing.left_out.iter().map(|(path, _)| name(path));
        (sources.collect(), left_out.collect())
    }

    #[test]
    fn a_folder_is_read_whole_and_nothing_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("feeds/deep")).expect("a directory");
        for name in [
            "b.txt",
            "feeds/b",
            "feeds/a",
            "feeds/.hidden",
            "feeds/deep/c",
        ] {
            fs::write(at(name), "x").expect("a file");
        }
        symlink("deep", at("feeds/current")).expect("a link");
        symlink(at("b.txt"), at("feeds/out")).expect("a link");
        fs::hard_link(at("feeds/a"), at("feeds/z")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("feeds/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        let (read, left_out) = names(&[at("feeds"), at("feeds/a"), "-".into(), at("none")]);
        assert_eq!(read, ["a", "b", "c", "-", "none"]);
        assert_eq!(left_out, [".hidden", "deep", "out", "pipe", "z", "a"]);
    }

    #[test]
    fn a_folder_without_anything_to_read_is_reported() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let listed = || list(&[directory.path().to_owned()]);
        assert_eq!(listed().warnings.len(), 1);
        fs::write(at(".hidden"), "x").expect("a file");
        assert_eq!((listed().warnings.len(), listed().failed.len()), (1, 0));
        symlink("none", at("link")).expect("a link");
        assert_eq!((listed().warnings.len(), listed().failed.len()), (0, 1));
        let event = "00000000-0000-4000-8000-000000000001";
        fs::write(at(MANIFEST), format!(r#"{{"{event}": {{}}}}"#)).expect("a file");
        assert_eq!((listed().warnings.len(), listed().failed.len()), (1, 1));
        fs::write(at(&format!("{event}.json")), "{}").expect("a file");
        assert_eq!((listed().warnings.len(), listed().failed.len()), (0, 0));
        let twice = list(&[at(&format!("{event}.json")), directory.path().to_owned()]);
        assert_eq!((twice.warnings.len(), twice.failed.len()), (0, 0));
    }

    #[test]
    fn a_manifest_names_events_by_uuid_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let event = "00000000-0000-4000-8000-000000000001";
        fs::write(at("other.json"), "{}").expect("a file");
        fs::write(at(&format!("{event}.json")), "{}").expect("a file");
        let manifest = format!(r#"{{"{event}": {{}}, "../../etc/passwd": {{}}}}"#);
        fs::write(at(MANIFEST), manifest).expect("a file");
        let (read, left_out) = names(&[directory.path().to_owned()]);
        assert_eq!(read, [format!("{event}.json")]);
        assert_eq!(left_out, ["other.json", MANIFEST]);
        fs::write(at(MANIFEST), "[]").expect("a file");
        assert_eq!(names(&[directory.path().to_owned()]).0.len(), 3);
    }
}
