//! Commands that a user configures: split into arguments once, filled in for every
//! sighting.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use thiserror::Error;

use crate::process::text::printable;

/// The most bytes of a path in an error message.
const PATH_SHOWN: usize = 4096;

/// A program and its arguments, with `%ioc` and `%matchtype` as placeholders.
///
/// The text is split like in a shell before the placeholders are replaced: an external
/// value can neither add an argument nor change another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTemplate {
    program: String,
    arguments: Vec<String>,
}

/// Why a text is not a [`CommandTemplate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// A quote is not closed, or a backslash is at the end.
    #[error("a quote is not closed, or a backslash is at the end")]
    Unbalanced,
    /// It names no program.
    #[error("it names no program")]
    Empty,
    /// It contains a NUL character, which arguments cannot have.
    #[error("it holds a NUL character")]
    Nul,
}

/// Why a program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// No directory of `PATH` has a program of this name.
    #[error("cannot find `{}` in PATH", shown(.0))]
    NotInPath(PathBuf),
    /// There is no file at this path.
    #[error("there is no file `{}`", shown(.0))]
    Missing(PathBuf),
    /// There is a file at this path, but it cannot be executed.
    #[error("`{}` is not an executable file", shown(.0))]
    NotExecutable(PathBuf),
}

impl CommandTemplate {
    /// Splits a command line like a shell: blanks separate arguments; single quotes,
    /// double quotes and backslashes keep them together. There are no variables,
    /// wildcards, comments or pipes.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        if text.contains('\0') {
            return Err(CommandError::Nul);
        }
        // `shlex` reads a `#` at the start of a word as a comment, which would silently
        // drop the rest of the command. NUL replaces it.
        let words = shlex::split(&text.replace('#', "\0")).ok_or(CommandError::Unbalanced)?;
        let mut words = words.into_iter().map(|word| word.replace('\0', "#"));
        let program = words.next().filter(|program| !program.is_empty());
        Ok(Self {
            program: program.ok_or(CommandError::Empty)?,
            arguments: words.collect(),
        })
    }

    /// The program, a name or a path. Placeholders in it are not replaced.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The arguments with `%ioc` and `%matchtype` replaced, in one pass: a placeholder
    /// inside `ioc` is not replaced.
    pub fn arguments(&self, ioc: &str, match_type: &str) -> Vec<String> {
        let fill =
            |argument: &String| fill_in(argument, &[("%ioc", ioc), ("%matchtype", match_type)]);
        self.arguments.iter().map(fill).collect()
    }

    /// Whether any argument contains `%ioc`, and whether any contains `%matchtype`, so
    /// that the command depends on the values.
    pub fn placeholders(&self) -> (bool, bool) {
        let differs = |ioc, match_type| {
            let fill =
                |argument: &String| fill_in(argument, &[("%ioc", ioc), ("%matchtype", match_type)]);
            self.arguments
                .iter()
                .any(|argument| fill(argument) != *argument)
        };
        (differs("", "%matchtype"), differs("%ioc", ""))
    }

    /// The file of the program, found by [`find_program`].
    pub fn resolve(&self, path_var: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
        find_program(Path::new(&self.program), path_var)
    }
}

impl fmt::Display for CommandTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let line = shlex::try_join(words.map(String::as_str));
        f.write_str(&line.expect("a template has no NUL, the one thing that cannot be quoted"))
    }
}

fn fill_in(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('%');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Finds a program: a name with a slash is a path, any other name is searched in the
/// directories of `path_var`, as in `execvp(3)`.
pub fn find_program(program: &Path, path_var: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return match () {
            () if is_executable(program) => Ok(program.to_owned()),
            () if program.exists() => Err(ProgramError::NotExecutable(program.to_owned())),
            () => Err(ProgramError::Missing(program.to_owned())),
        };
    }
    let path_var = path_var.unwrap_or(OsStr::new("/bin:/usr/bin"));
    let mut met = None;
    for directory in std::env::split_paths(path_var) {
        let candidate = if directory.as_os_str().is_empty() {
            Path::new(".").join(program)
        } else {
            directory.join(program)
        };
        if is_executable(&candidate) {
            return Ok(candidate);
        }
        if candidate.is_file() {
            met.get_or_insert(candidate);
        }
    }
    Err(match met {
        Some(file) => ProgramError::NotExecutable(file),
        None => ProgramError::NotInPath(program.to_owned()),
    })
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// A path, made printable.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy(), PATH_SHOWN).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> CommandTemplate {
        CommandTemplate::parse(text).expect(text)
    }

    #[test]
    fn a_command_is_split_like_a_shell_does_it() {
        let command =
            parse(r#"fever alertify --alert-prefix 'MY PREFIX' "a\"b" c\ d '' --ioc=%ioc"#);
        assert_eq!(command.program(), "fever");
        assert_eq!(
            command.arguments("x y", "RETRO"),
            [
                "alertify",
                "--alert-prefix",
                "MY PREFIX",
                "a\"b",
                "c d",
                "",
                "--ioc=x y"
            ]
        );
    }

    #[test]
    fn a_hash_sign_is_no_comment() {
        assert_eq!(
            parse(r"a #b '#c' \# d#").arguments("", ""),
            ["#b", "#c", "#", "d#"]
        );
    }

    #[test]
    fn what_is_no_command_says_why() {
        for (text, error) in [
            ("", CommandError::Empty),
            (" \t", CommandError::Empty),
            ("'' x", CommandError::Empty),
            ("fever 'x", CommandError::Unbalanced),
            ("fever \"x", CommandError::Unbalanced),
            ("fever \\", CommandError::Unbalanced),
            ("a \0", CommandError::Nul),
        ] {
            assert_eq!(CommandTemplate::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn placeholders_are_replaced_once_and_not_in_the_program() {
        let command = parse("%ioc %ioc,%matchtype %% %iocs %");
        assert_eq!(command.program(), "%ioc");
        assert_eq!(
            command.arguments("%matchtype", "%ioc"),
            ["%matchtype,%ioc", "%%", "%matchtypes", "%"]
        );
    }

    #[test]
    fn a_command_knows_what_it_waits_for() {
        for (text, expected) in [
            ("cat", (false, false)),
            ("%ioc %% %io", (false, false)),
            ("x --ioc=%ioc", (true, false)),
            ("x %matchtypes", (false, true)),
            ("x %ioc%matchtype", (true, true)),
        ] {
            assert_eq!(parse(text).placeholders(), expected, "{text}");
        }
    }

    #[test]
    fn programs_are_found_as_the_system_does_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (first, second) = (directory.path().join("1"), directory.path().join("2"));
        for (place, name, mode) in [
            (&first, "tool", 0o644),
            (&second, "tool", 0o755),
            (&first, "text", 0o644),
        ] {
            fs::create_dir_all(place).expect("a directory");
            fs::write(place.join(name), "").expect("a file");
            fs::set_permissions(place.join(name), Permissions::from_mode(mode)).expect("its mode");
        }
        let path = std::env::join_paths([&first, &second]).expect("no colon in it");
        let find = |name: &Path| find_program(name, Some(&path));

        assert_eq!(find(Path::new("tool")), Ok(second.join("tool")));
        assert_eq!(
            find(Path::new("text")),
            Err(ProgramError::NotExecutable(first.join("text")))
        );
        assert_eq!(
            find(Path::new("none")),
            Err(ProgramError::NotInPath("none".into()))
        );
        assert_eq!(find(&second.join("tool")), Ok(second.join("tool")));
        assert_eq!(
            find(&first),
            Err(ProgramError::NotExecutable(first.clone()))
        );
        assert_eq!(
            find(&first.join("none")),
            Err(ProgramError::Missing(first.join("none")))
        );
        assert!(find_program(Path::new("sh"), None).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_a_command_or_an_error(text in "[\\PC'\"\\\\ #\n\0]{0,40}") {
            if let Ok(command) = CommandTemplate::parse(&text) {
                prop_assert_eq!(CommandTemplate::parse(&command.to_string()), Ok(command));
            }
        }

        #[test]
        fn joined_words_come_back(words in vec("[^\0]{1,12}", 1..6)) {
            let line = shlex::try_join(words.iter().map(String::as_str)).expect("no NUL");
            let command = CommandTemplate::parse(&line).expect("quoted by the library");
            prop_assert_eq!(command.program(), &words[0]);
            prop_assert_eq!(command.arguments("%ioc", "%matchtype"), &words[1..]);
        }

        #[test]
        fn filling_in_never_changes_the_number_of_arguments(
            text in "a [ '\"%iocmatchtype]{0,40}",
            ioc in "\\PC{0,20}",
        ) {
            if let Ok(command) = CommandTemplate::parse(&text) {
                let count = command.arguments("", "").len();
                prop_assert_eq!(command.arguments(&ioc, "LIVE").len(), count);
            }
        }
    }
}
