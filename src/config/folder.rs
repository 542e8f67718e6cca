//! A folder of configuration files (`conf.d`): its `*.yaml` in the order of their names,
//! each overriding those before it.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Origin, UsageError, file, shown};
use crate::config::options::Assignment;

/// Write permission for everyone.
const OTHERS_WRITE: u32 = 0o002;

/// The values of configuration files.
#[derive(Default)]
pub(super) struct Sources {
    /// The values of each file; later files override.
    pub files: Vec<Vec<Assignment>>,
    /// Notes for the log.
    pub notes: Vec<String>,
}

impl Sources {
    /// The sources in the order in which they are merged.
    pub fn all(&self) -> impl Iterator<Item = &[Assignment]> {
        self.files.iter().map(Vec::as_slice)
    }
}

/// Reads a file, or the files of a folder.
///
/// # Errors
/// Something cannot be read, contains a mistake, or is writable by everyone.
pub(super) fn read(path: &Path) -> Result<Sources, UsageError> {
    if !path.is_dir() {
        return Ok(Sources {
            files: vec![file::read(path)?],
            notes: Vec::new(),
        });
    }
    let metadata = path.metadata().map_err(|error| refuse(path, error))?;
    check_writers(path, &metadata)?;
    let mut names = Vec::new();
    let mut notes = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| refuse(path, error))? {
        let name = entry.map_err(|error| refuse(path, error))?.path();
        match name.extension().and_then(|end| end.to_str()) {
            Some("yaml") => names.push(name),
            Some("yml") => notes.push(format!("{} is not read: it is not a *.yaml", shown(&name))),
            _ => {}
        }
    }
    if names.is_empty() {
        return Err(refuse(path, "it is a folder without any *.yaml"));
    }
    names.sort();
    let files = names.iter().map(|name| read_one(name.as_path()));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    notes.extend(overridden(&files));
    Ok(Sources { files, notes })
}

fn read_one(path: &Path) -> Result<Vec<Assignment>, UsageError> {
    let metadata = path.metadata().map_err(|error| refuse(path, error))?;
    // A named pipe would block.
    if !metadata.is_file() {
        return Err(refuse(path, "it is not a regular file"));
    }
    check_writers(path, &metadata)?;
    file::read(path)
}

fn check_writers(path: &Path, metadata: &Metadata) -> Result<(), UsageError> {
    match metadata.mode() & OTHERS_WRITE {
        0 => Ok(()),
        _ => Err(refuse(
            path,
            "anybody may write to it, and it names programs to run: `chmod o-w` changes that",
        )),
    }
}

fn refuse(path: &Path, reason: impl ToString) -> UsageError {
    UsageError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Notes which value counts for each key that a later file sets again.
fn overridden(files: &[Vec<Assignment>]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut set: HashMap<String, &Origin> = HashMap::new();
    for file in files {
        // Lists have an assignment per element.
        let mut here: HashMap<String, &Origin> = HashMap::new();
        for assignment in file {
            here.entry(assignment.option.title())
                .or_insert(&assignment.place);
        }
        let mut keys: Vec<_> = here.into_iter().collect();
        keys.sort_by_key(|(_, place)| line(place));
        for (key, place) in keys {
            if let Some(before) = set.insert(key, place) {
                notes.push(format!("{place} overrides that in {}", shown_place(before)));
            }
        }
    }
    notes
}

fn line(place: &Origin) -> usize {
    match place {
        Origin::File { line, .. } => *line,
        _ => 0,
    }
}

fn shown_place(place: &Origin) -> String {
    match place {
        Origin::File { path, line, .. } => format!("{}, line {line}", shown(path)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        directory
    }

    fn error(directory: &tempfile::TempDir) -> String {
        let error = read(directory.path())
            .err()
            .expect("it is refused")
            .to_string();
        error.replace(&*directory.path().to_string_lossy(), "D")
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names_and_the_later_one_counts() {
        let directory = folder(&[
            ("20-site.yaml", "snapshot: 7\nallow: [c]\n"),
            (
                "10-all.yaml",
                "vast: \"a:1\"\nallow: [a, b]\nsnapshot: 30\n",
            ),
            ("30-more.yml", "snapshot: 1\n"),
            ("notes.txt", "no: yaml"),
        ]);
        let sources = read(directory.path()).expect("good files");
        let values = |file: &[Assignment]| {
            let values = file.iter().map(|assignment| assignment.given.text.clone());
            values.collect::<Vec<_>>()
        };
        let files: Vec<_> = sources.all().map(values).collect();
        assert_eq!(files, [vec!["a:1", "30", "a", "b"], vec!["7", "c"]]);
        let place = directory.path().to_string_lossy().into_owned();
        let notes: Vec<_> = sources
            .notes
            .iter()
            .map(|note| note.replace(&place, "D"))
            .collect();
        assert_eq!(
            notes,
            [
                "D/30-more.yml is not read: it is not a *.yaml",
                "D/20-site.yaml, line 1: snapshot overrides that in D/10-all.yaml, line 3",
                "D/20-site.yaml, line 2: allow overrides that in D/10-all.yaml, line 2",
            ]
        );
    }

    #[test]
    fn a_mistake_is_named_with_its_file_line_and_key() {
        let directory = folder(&[("a.yaml", "snapshot: 7\n"), ("b.yaml", "\nsnapshots: 7\n")]);
        let message = error(&directory);
        assert!(
            message.starts_with("D/b.yaml, line 2: snapshots: unknown key"),
            "{message}"
        );
    }

    #[test]
    fn what_anybody_may_write_and_what_is_no_file_is_refused() {
        let directory = folder(&[("a.yaml", "snapshot: 7\n")]);
        let path = directory.path().join("a.yaml");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        mode(&path, 0o646);
        assert!(error(&directory).contains("D/a.yaml: anybody may write to it"));
        mode(&path, 0o664);
        assert!(read(directory.path()).is_ok());
        mode(directory.path(), 0o777);
        assert!(error(&directory).contains("file D: anybody may write to it"));
        mode(directory.path(), 0o755);
        fs::create_dir(directory.path().join("b.yaml")).expect("a directory");
        assert!(error(&directory).contains("D/b.yaml: it is not a regular file"));
        assert!(error(&folder(&[("a.yml", "")])).contains("D: it is a folder without any *.yaml"));
    }
}
