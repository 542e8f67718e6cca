//! Which engine is chosen, and which of its options' names counts.

use super::*;

#[test]
fn of_two_names_of_one_thing_the_one_given_last_counts() {
    let both = "engine_endpoint: a:1\nvast: b:2\nengine_binary: c\nvast_binary: d";
    let env = [("VAST_THREATBUS_VAST", "e:3")];
    let other_env = [("VAST_THREATBUS_ENGINE_BINARY", "f")];
    for (file, env, args, endpoint, binary) in [
        ("", &[][..], &[][..], None, None),
        ("engine: tenzir", &[], &[], None, None),
        // In a file, the neutral name counts, regardless of order.
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
    ] {
        let args = [&["--retro-match"], args].concat();
        let config = load(file, env, &args).expect("valid");
        let [engine::EngineTarget { program, .. }] = &*config.engines else {
            panic!("one engine is meant");
        };
        let given = program
            .endpoint
            .as_ref()
            .map(|endpoint| endpoint.to_string());
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
        assert_eq!((config.engines, config.jobs.events.len()), (Vec::new(), 1));
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

/// The engines of a configuration: name, kind, node, and program if given.
fn engines(file: &str, args: &[&str]) -> Result<Vec<[String; 4]>, String> {
    let args = [&["--retro-match"], args].concat();
    let config = load(file, &[], &args).map_err(|error| error.to_string())?;
    let engines = config.engines.iter().map(|one| {
        let path = one.program.path.as_ref();
        let endpoint = one.program.endpoint.as_ref();
        [
            one.name.to_string(),
            format!("{:?}", one.choice),
            endpoint.map_or_else(String::new, ToString::to_string),
            path.map_or_else(String::new, |path| path.display().to_string()),
        ]
    });
    Ok(engines.collect())
}

#[test]
fn several_engines_are_a_list_each_with_its_name_kind_and_program() {
    let row = |row: [&str; 4]| row.map(str::to_owned);
    let given = [
        "--vast",
        "a:1",
        "--engine-endpoint",
        "dmz=tenzir://b:2",
        "-v",
        "vast://c:3",
    ];
    let plain = [
        row(["a:1", "Auto", "a:1", ""]),
        row(["dmz", "Tenzir", "b:2", ""]),
        row(["c:3", "Vast", "c:3", ""]),
    ];
    assert_eq!(engines("", &given), Ok(plain.to_vec()));
    let list = "vast: [\"a:1\", dmz=tenzir://b:2, 'vast://c:3']";
    assert_eq!(engines(list, &[]), Ok(plain.to_vec()));
    let programs = ["--vast-binary", "v", "--tenzir-binary", "t"];
    let named = [
        row(["a:1", "Auto", "a:1", "v"]),
        row(["dmz", "Tenzir", "b:2", "t"]),
        row(["c:3", "Vast", "c:3", "v"]),
    ];
    assert_eq!(engines(list, &programs), Ok(named.to_vec()));
    // A program given without a kind is Tenzir's if there is nothing else.
    let all_tenzir = ["-v", "tenzir://b:2", "-b", "x"];
    assert_eq!(
        engines("", &all_tenzir),
        Ok(vec![row(["b:2", "Tenzir", "b:2", "x"])])
    );
    assert_eq!(
        engines("", &["-v", "tenzir://b:2", "-v", "a:1", "-b", "x"]).map(|all| all[0].clone()),
        Ok(row(["b:2", "Tenzir", "b:2", ""]))
    );
    // Those of the command line replace those of the file.
    assert_eq!(
        engines(list, &["-v", "d:4"]),
        Ok(vec![row(["d:4", "Auto", "d:4", ""])])
    );
}

#[test]
fn log_files_replace_engines_of_a_weaker_source() {
    let files = ["--events", "/dev/null", "--once"];
    let count = |file: &str, args: &[&str]| engines(file, args).map(|all| all.len());
    let beside = [&files[..], &["--vast", "a:1"]].concat();
    assert_eq!(count("", &beside), Ok(1));
    assert_eq!(count("vast: [\"a:1\", \"b:2\"]", &files), Ok(0));
    assert_eq!(
        count(
            "vast: [\"a:1\", \"b:2\"]\nevents: /dev/null\nonce: true",
            &[]
        ),
        Ok(2)
    );
    // Engines from the command line, log files from the file.
    assert_eq!(
        count("events: /dev/null\nonce: true", &["--vast", "a:1"]),
        Ok(1)
    );
    // Unchanged behaviour.
    assert_eq!(
        count(
            "vast: \"localhost:42000\"\nevents: /dev/null\nonce: true",
            &[]
        ),
        Ok(0)
    );
    let config = load("", &[], &[&beside[..], &["--retro-match"]].concat()).expect("valid");
    assert!(config.is_fleet() && config.retro_match && !config.live_match);
    let alone = load("", &[], &[&files[..], &["--retro-match"]].concat()).expect("valid");
    assert!(!alone.is_fleet() && !alone.retro_match);
}

#[test]
fn engines_that_cannot_be_distinguished_are_refused() {
    let events = ["--events", "/dev/null", "--once"];
    for (args, problem) in [
        (
            &["-v", "a:1", "-v", "a:1"][..],
            "-v: two engines are called a:1; NAME=HOST:PORT",
        ),
        (
            &["-v", "x=a:1", "-v", "x=b:1"],
            "-v: two engines are called x; NAME=HOST:PORT",
        ),
        (
            &["-v", "x=a:1", "-v", "vast://a:1"],
            "-v: x and a:1 are the same node, a:1; each is queried once",
        ),
        (
            &["-v", "zeek://a:1"],
            "-v: got \"zeek://a:1\"; it accepts [NAME=][SCHEME://]HOST:PORT: there is no engine \
             \"zeek://\"; the schemes are vast:// and tenzir://",
        ),
        (
            &["-v", "x=tenzir://a"],
            "-v: got \"x=tenzir://a\"; it names a host without a port: write `a:42000`",
        ),
        (
            &["-v", "=a:1"],
            "-v: got \"=a:1\"; it accepts [NAME=][SCHEME://]HOST:PORT: a name has",
        ),
    ] {
        let error = engines("", args).expect_err("they cannot be");
        assert!(error.starts_with(problem), "{error}");
    }
    for (args, problem) in [
        (
            &["-v", "files=a:1"][..],
            "-v: files is what the log files of --events are called",
        ),
        (
            &["-v", "vast://a:1", "--engine", "files"],
            "-v: --engine files queries no node",
        ),
    ] {
        let error = engines("", &[&events[..], args].concat()).expect_err("they cannot be");
        assert!(error.starts_with(problem), "{error}");
    }
}
