//! The paths of what the tests need and cargo does not build.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether this is a CI run, in which everything must be installed.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Prints to standard error that a test, or a part of it, is skipped on this machine, and
/// why. It writes to the stream directly, since cargo hides the output of `eprintln!` in a
/// passing test.
pub fn skipped(why: impl Display) {
    let line = format!("skipped: {why}\n");
    // Nothing depends on this line, and the test must continue.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The same, for something that must exist in CI.
///
/// # Panics
///
/// In a CI run.
pub fn skipped_outside_ci(why: impl Display) {
    assert!(!in_ci(), "a CI run has to test this: {why}");
    skipped(why);
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of recordings beside the repository, or `None` (with a line that
/// says so) where it is not there. `VAST_THREATBUS_SHARED` names another place.
///
/// # Panics
///
/// In a CI run without the folder.
pub fn shared() -> Option<PathBuf> {
    let path = match std::env::var_os("VAST_THREATBUS_SHARED") {
        Some(path) => PathBuf::from(path),
        None => repository().join("../shared"),
    };
    if path.is_dir() {
        return Some(path);
    }
    skipped_outside_ci(format_args!(
        "there are no recordings at {}",
        path.display()
    ));
    None
}

/// The directory of this build's profile, where the binaries are
/// (`target/debug`, say).
pub fn profile_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its own program");
    // PROFILE/deps/TEST-HASH
    test.ancestors()
        .nth(2)
        .expect("cargo puts tests two levels below the profile's directory")
        .to_owned()
}

/// A Python environment that `tests/setup` made: `target/venvs/NAME`, beside
/// the profile's directory wherever the target directory is.
///
/// # Panics
///
/// Where it is missing: run `tests/setup`.
pub fn venv(name: &str) -> PathBuf {
    let profile = profile_directory();
    profile
        .ancestors()
        .map(|directory| directory.join("venvs").join(name))
        .find(|venv| venv.join("complete").is_file())
        .unwrap_or_else(|| panic!("no {name} in target/venvs: run tests/setup (or make test)"))
}

/// The interpreter of a Python environment, or `None` (with a line that says so) where
/// `tests/setup` did not make it.
///
/// # Panics
///
/// In a CI run without it.
pub fn interpreter(name: &str) -> Option<PathBuf> {
    let python = repository()
        .join("target/venvs")
        .join(name)
        .join("bin/python");
    if python.exists() {
        return Some(python);
    }
    skipped_outside_ci(format_args!(
        "there is no {}; see tests/setup",
        python.display()
    ));
    None
}

/// A script of `tests/judge`, for this interpreter.
pub fn judge_command(python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(repository().join("tests/judge").join(script));
    command
}

/// The `fever` program, or `None` (with a line that says so) where it is not
/// installed.
///
/// # Panics
///
/// In a CI run without it.
pub fn fever() -> Option<PathBuf> {
    installed("fever")
}

/// A program that the tests use where it is installed, or `None` (with a line that
/// says so).
///
/// # Panics
///
/// In a CI run without it.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = find_program(name);
    if path.is_none() {
        skipped_outside_ci(format_args!("{name} is not installed; see tests/setup"));
    }
    path
}

/// The folder with a real program of the system beside which the bridge runs, out of its
/// Debian package, or `None` (with a line that says so) where `tests/setup` could not
/// fetch it.
///
/// # Panics
///
/// In a CI run without it.
pub fn neighbour(program: &str) -> Option<PathBuf> {
    let profile = profile_directory();
    let mut places = profile
        .ancestors()
        .map(|directory| directory.join("tools/neighbours"));
    let place = places.find(|place| place.join(program).is_file());
    if place.is_none() {
        skipped_outside_ci(format_args!("{program} is not there; see tests/setup"));
    }
    place
}

/// Looks a program up in `PATH`.
fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// A command that runs with nothing of this process's environment but `PATH`
/// (and where coverage data goes), at home in `home`.
pub fn clean_command(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(
            ["PATH", "LLVM_PROFILE_FILE"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("LC_ALL", "C.UTF-8")
        .current_dir(home);
    command
}
