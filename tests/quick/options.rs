//! The built program and its command line, and the texts in the repository that are generated from
//! the table of options.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::paths;
use tempfile::TempDir;
use vast_threatbus::config::options::version;
use vast_threatbus::config::texts::GeneratedText;
use vast_threatbus::config::{self, Config, Invocation, SinkChoice};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// Runs the program in an empty directory, without an environment.
fn run(args: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    run_in(&directory, args, &[])
}

fn run_in(directory: &TempDir, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vast-threatbus"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(directory)
        .output()
        .expect("the program was built")
}

/// The message of a run, which must end with status 2 and print nothing.
fn usage_error(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        output.stdout.is_empty(),
        "standard output belongs to the sink"
    );
    message
}

/// Loads a file with the library. `sh` replaces VAST's program and that of the transformation,
/// which may be missing.
fn load(file: &Path) -> Box<Config> {
    let args = ["--vast-binary=sh", "--transform-context=sh", "-c"].map(OsString::from);
    let args = args.into_iter().chain([file.into()]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    match config::from_args(args, [("PATH".into(), path)].into_iter()) {
        Ok(Invocation::Run(config)) => config,
        other => panic!("{}: {other:?}", file.display()),
    }
}

#[test]
fn the_texts_in_the_repository_are_those_of_the_table() {
    for (text, file) in [
        (GeneratedText::Man, "man/vast-threatbus.1"),
        (
            GeneratedText::Bash,
            "packaging/completions/vast-threatbus.bash",
        ),
        (GeneratedText::Zsh, "packaging/completions/_vast-threatbus"),
        (
            GeneratedText::Fish,
            "packaging/completions/vast-threatbus.fish",
        ),
        (GeneratedText::ConfigExample, "config.yaml.example"),
    ] {
        let there = fs::read_to_string(Path::new(SOURCE).join(file)).expect(file);
        assert!(
            there == text.generate(),
            "{file} is out of date: run `make man`"
        );
    }
}

#[test]
fn every_text_is_printed_on_request() {
    for text in GeneratedText::ALL {
        let output = run(&["--generate", text.name()]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), text.generate());
    }
}

#[test]
fn help_and_version_are_printed_whatever_else_is_wrong() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("config.yaml"), "no: such: file").expect("a file");
    for (flag, text) in [
        ("-h", GeneratedText::ShortHelp.generate()),
        ("--help", GeneratedText::LongHelp.generate()),
        ("-V", version() + "\n"),
        ("--version", version() + "\n"),
    ] {
        let output = run_in(&directory, &[flag], &[("VAST_THREATBUS_SNAPSHOT", "x")]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        assert!(output.stderr.is_empty());
    }
    assert!(version().starts_with("vast-threatbus 0."));
}

#[test]
fn the_manual_page_satisfies_mandoc() {
    let page = Path::new(SOURCE).join("man/vast-threatbus.1");
    match Command::new("mandoc")
        .args(["-T", "lint"])
        .arg(page)
        .output()
    {
        Ok(output) => {
            let findings = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && findings.is_empty(), "{findings}");
        }
        Err(_) => paths::skipped_outside_ci("mandoc is not installed"),
    }
}

#[test]
fn the_completions_are_valid_in_their_shells() {
    for (shell, file) in [
        ("bash", "vast-threatbus.bash"),
        ("zsh", "_vast-threatbus"),
        ("fish", "vast-threatbus.fish"),
    ] {
        let file = Path::new(SOURCE).join("packaging/completions").join(file);
        match Command::new(shell).arg("-n").arg(file).output() {
            Ok(output) => {
                let findings = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && findings.is_empty(), "{findings}");
            }
            Err(_) => paths::skipped_outside_ci(format_args!("{shell} is not installed")),
        }
    }
}

#[test]
fn bash_completes_flags_words_and_both_forms_of_a_value() {
    let script = r#"source "$0"; t() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vast_threatbus
        echo "${COMPREPLY[*]}"; }
        t x --protocol ""; t x --protocol = s; t x --protocol =; t x --no-un; t x --vast x"#;
    let file = Path::new(SOURCE).join("packaging/completions/vast-threatbus.bash");
    let Ok(output) = Command::new("bash").args(["-c", script]).arg(file).output() else {
        paths::skipped_outside_ci("bash is not installed");
        return;
    };
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "auto legacy stix2\nstix2\nauto legacy stix2\n--no-unflatten\n\n";
    assert_eq!(words, expected);
}

/// What fish offers after a command line, and its complaints.
fn fish(line: &str) -> Option<(String, String)> {
    let script = r#"source $argv[1]; complete -C $argv[2]"#;
    let file = Path::new(SOURCE).join("packaging/completions/vast-threatbus.fish");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new("fish")
        .args(["--no-config", "-c", script])
        .arg(file)
        .arg(line)
        .current_dir(&directory)
        .env("HOME", directory.path())
        .output()
        .ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

#[test]
fn fish_completes_flags_and_words_without_a_complaint() {
    for (line, expected) in [
        (
            "vast-threatbus --protocol ",
            "auto\twhat the broker says\n\
             legacy\tJSON messages, Threat Bus up to 2020.12\n\
             stix2\tSTIX-2 messages, Threat Bus from 2021.2 on\n",
        ),
        (
            "vast-threatbus --live-engine st",
            "start\ta matcher of this program's own, VAST 2020 with the plugin\n",
        ),
        (
            "vast-threatbus --log-format j",
            "json\ta JSON object (time, level, thread, message)\n",
        ),
        (
            "vast-threatbus --no-unf",
            "--no-unflatten\tdo not make nested objects of keys with dots in the context\n",
        ),
    ] {
        let Some((offered, complaints)) = fish(line) else {
            paths::skipped_outside_ci("fish is not installed");
            return;
        };
        assert_eq!(
            (offered.as_str(), complaints.as_str()),
            (expected, ""),
            "{line}"
        );
    }
    // At each Tab fish reads every option that has words.
    let offered = fish("vast-threatbus --").expect("it was there").0;
    for flag in ["--engine", "--live-engine", "--sink", "--log-format"] {
        assert!(offered.contains(flag), "{offered}");
    }
}

/// The command line that zsh makes of this one when Tab is pressed at its end.
fn zsh(line: &str) -> Option<String> {
    const SCRIPT: &str = r#"
        zmodload zsh/zpty
        zpty shell zsh -f -i
        ask() { zpty -w shell "$1"; }
        ask "fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -u -D"
        ask 'dump() { print -r -- "$BUFFER" > told; }; zle -N dump; bindkey "^X" dump'
        ask 'bindkey "^I" complete-word; : > ready'
        repeat 500 { [[ -e ready ]] && break; sleep 0.02 }
        zpty -w -n shell "$2"$'\t\x18'
        repeat 500 { [[ -s told ]] && break; sleep 0.02 }
        cat told
        zpty -d shell
    "#;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new("zsh")
        .args(["-f", "-c", SCRIPT, "zsh"])
        .arg(Path::new(SOURCE).join("packaging/completions"))
        .arg(line)
        .current_dir(&directory)
        .env("HOME", directory.path())
        .env("TERM", "vt100")
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn zsh_completes_flags_and_words() {
    for (line, expected) in [
        ("vast-threatbus --no-unf", "vast-threatbus --no-unflatten"),
        (
            "vast-threatbus --protocol=l",
            "vast-threatbus --protocol=legacy",
        ),
        (
            "vast-threatbus --live-engine st",
            "vast-threatbus --live-engine start",
        ),
    ] {
        let Some(completed) = zsh(line) else {
            paths::skipped_outside_ci("zsh is not installed");
            return;
        };
        assert_eq!(completed, expected, "{line}");
    }
}

#[test]
fn the_example_is_a_configuration() {
    let config = load(&Path::new(SOURCE).join("config.yaml.example"));
    // It names neither, so live matching is the default.
    assert!(!config.retro_match && config.live_match);
    assert_eq!(config.sink, SinkChoice::Bus);
    assert_eq!(config.threatbus.to_string(), "localhost:13370");
}

#[test]
fn the_examples_of_both_originals_load() {
    let Some(shared) = paths::shared() else {
        return;
    };
    for (file, unflatten) in [("config-2020.yaml", true), ("config-2022.yaml", false)] {
        let path = shared.join("threatbus").join(file);
        let config = load(&path);
        assert_eq!(config.snapshot_days, 30);
        assert_eq!(config.max_background_tasks.get(), 100);
        assert_eq!(config.sink, SinkChoice::Stdout);
        assert_eq!(config.unflatten, unflatten);
        assert_eq!(config.file.as_ref(), Some(&path));
    }
}

#[test]
fn the_first_default_file_that_exists_is_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str| fs::write(directory.path().join(name), "wrong: 1").expect(name);
    write("config.yml");
    let message = usage_error(&run_in(&directory, &[], &[]));
    assert!(
        message.contains("config.yml, line 1: wrong: unknown key"),
        "{message}"
    );
    write("config.yaml");
    let message = usage_error(&run_in(&directory, &[], &[]));
    assert!(
        message.contains("config.yaml, line 1: wrong: unknown key"),
        "{message}"
    );
    write("other.yaml");
    for (args, env) in [
        (&["-c", "other.yaml"][..], &[][..]),
        (&[], &[("VAST_THREATBUS_CONFIG", "other.yaml")]),
        (
            &["-c", "other.yaml"],
            &[("VAST_THREATBUS_CONFIG", "config.yml")],
        ),
    ] {
        let message = usage_error(&run_in(&directory, args, env));
        assert!(message.contains("other.yaml, line 1"), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let message = usage_error(&run(&["-c", "none.yaml"]));
    assert!(
        message.contains("cannot read the configuration file none.yaml"),
        "{message}"
    );
    let message = usage_error(&run(&["-c", "."]));
    assert!(
        message.contains("cannot read the configuration file"),
        "{message}"
    );

    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("c"), b"vast: a:1\nsink: \xff").expect("a file");
    let message = usage_error(&run_in(&directory, &["-c", "c"], &[]));
    assert!(message.contains("c: line 2 is not UTF-8"), "{message}");
    fs::write(directory.path().join("c"), vec![b'#'; (1 << 20) + 1]).expect("a file");
    let message = usage_error(&run_in(&directory, &["-c", "c"], &[]));
    assert!(message.contains("more than 1048576 bytes"), "{message}");
}

#[test]
fn wrong_flags_and_variables_end_with_status_2() {
    let message = usage_error(&run(&["--snapshto", "1"]));
    assert!(message.contains("did you mean --snapshot?"), "{message}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let env = [("VAST_THREATBUS_CONNECT_TIMEOUT", "soon")];
    let message = usage_error(&run_in(&directory, &["--retro-match"], &env));
    assert!(
        message.contains("VAST_THREATBUS_CONNECT_TIMEOUT: got \"soon\""),
        "{message}"
    );
}

#[test]
fn programs_that_cannot_be_run_are_found_at_start() {
    let none = "cannot find `vast` in PATH: install VAST or name its program with --vast-binary";
    for (args, part) in [
        (&[][..], none),
        (
            &["-b", "/nonexistent/vast"],
            "-b: there is no file `/nonexistent/vast`",
        ),
        (
            &["-b", "/dev/null"],
            "-b: `/dev/null` is not an executable file",
        ),
        (
            &["-b", "sh", "-S", "no-such-command x"],
            "-S: cannot find `no-such-command` in PATH",
        ),
        (
            &["-b", "sh", "-T", "/nonexistent x"],
            "-T: there is no file `/nonexistent`",
        ),
        (&["-b", "sh", "-T", "sh 'x"], "a quote is not closed"),
        (&["-b", "sh", "-S", "sh \"x"], "a quote is not closed"),
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let args = [&["--retro-match"], args].concat();
        let env = [("PATH", "/usr/bin:/bin")];
        let message = usage_error(&run_in(&directory, &args, &env));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn unknown_variables_are_warnings() {
    let args = ["--retro-match", "--vast-binary=/bin/sh"].map(OsString::from);
    let env = ("VAST_THREATBUS_SNAPSHOTS".into(), "1".into());
    let Ok(Invocation::Run(config)) = config::from_args(args.into_iter(), [env].into_iter()) else {
        panic!("a warning is no error");
    };
    let warning = "the environment variable VAST_THREATBUS_SNAPSHOTS is unknown; did you mean \
                   VAST_THREATBUS_SNAPSHOT?";
    assert_eq!(config.warnings, [warning]);
}
