//! Which engine, and which of the names of its options.

use super::*;

#[test]
fn of_two_names_of_one_thing_the_one_given_last_counts() {
    let both = "engine_endpoint: a:1\nvast: b:2\nengine_binary: c\nvast_binary: d";
    let env = [("VAST_THREATBUS_VAST", "e:3")];
    let other_env = [("VAST_THREATBUS_ENGINE_BINARY", "f")];
    for (file, env, args, endpoint, binary) in [
        ("", &[][..], &[][..], None, None),
        ("engine: tenzir", &[], &[], None, None),
        // In a file, the neutral name, wherever it stands.
        (both, &[], &[], Some("a:1"), Some("c")),
        (both, &env, &[], Some("e:3"), Some("c")),
        (both, &other_env, &[], Some("a:1"), Some("f")),
        (
            both,
            &env,
            &["-v", "g:4", "-b", "h"],
            Some("g:4"),
            Some("h"),
        ),
        (
            "vast: b:2",
            &env,
            &["--engine-endpoint", "i:5"],
            Some("i:5"),
            None,
        ),
        (
            both,
            &[],
            &["--engine-endpoint", "i:5", "--vast", "j:6"],
            Some("j:6"),
            Some("c"),
        ),
        (
            both,
            &[],
            &["--vast", "j:6", "--engine-endpoint", "i:5"],
            Some("i:5"),
            Some("c"),
        ),
    ] {
        let args = [&["--retro-match"], args].concat();
        let program = load(file, env, &args).expect("valid").program;
        let given = program.endpoint.map(|endpoint| endpoint.to_string());
        assert_eq!(given.as_deref(), endpoint, "{file} {env:?} {args:?}");
        let given = program.path.as_deref().and_then(Path::to_str);
        assert_eq!(given, binary, "{file} {env:?} {args:?}");
    }
}

#[test]
fn files_are_an_engine_where_there_are_files() {
    let events = ["--events", "/dev/null", "--indicators", "-"];
    for engine in [None, Some("auto"), Some("files")] {
        let engine: Vec<&str> = engine.iter().flat_map(|name| ["--engine", name]).collect();
        let config = load("", &[], &[&events, &*engine].concat()).expect("valid");
        assert_eq!(config.engine, engine::Choice::Files);
    }
    for (args, problem) in [
        (
            vec!["--engine", "files"],
            "--engine: it needs --events FILE",
        ),
        (
            [&events[..], &["--engine", "tenzir"]].concat(),
            "--engine: with --events the engine is `files`",
        ),
    ] {
        let error = load("", &[], &args).expect_err("it cannot be").to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}
