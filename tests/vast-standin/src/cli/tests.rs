use super::*;

fn call(line: &[&str], version: &str, matcher: MatcherPlugin) -> Result<Call, Usage> {
    let version = Version::parse(version).expect(version);
    let features = Features {
        version: &version,
        matcher,
        concepts: true,
    };
    let arguments: Vec<String> = line.iter().map(|word| word.to_string()).collect();
    parse(&arguments, features)
}

fn command(line: &[&str]) -> Result<Command, Usage> {
    call(line, "2020.12.16", MatcherPlugin::None).map(|call| call.command)
}

const EXPORT: Usage = Usage::Export {
    low_priority: false,
};
const JSON: Usage = Usage::Json { flatten: false };

#[test]
fn the_endpoint_has_three_spellings() {
    for line in [
        &["-e", "h:1", "status"][..],
        &["-eh:1", "status"],
        &["--endpoint=h:1", "status"],
    ] {
        let call = call(line, "2020.12.16", MatcherPlugin::None).expect("a call");
        assert_eq!(call.endpoint.as_deref(), Some("h:1"));
        assert_eq!(call.command, Command::Status);
    }
}

#[test]
fn options_of_export() {
    let line = [
        "export",
        "--max-events=5",
        "--read=-",
        "--continuous",
        "--caf.scheduler.max-threads=1",
        "json",
        "1.2.3.4",
    ];
    let expected = Export {
        max_events: Some(5),
        read: Some("-".into()),
        continuous: true,
        arguments: vec!["1.2.3.4".into()],
        ..Export::default()
    };
    assert_eq!(command(&line), Ok(Command::Export(expected)));
    assert_eq!(command(&["export", "help"]), Ok(Command::Help(EXPORT)));
    let low = ["export", "--low-priority", "json", "1.2.3.4"];
    assert_eq!(command(&low), Err(EXPORT));
    assert!(call(&low, "2021.09.30", MatcherPlugin::None).is_ok());
    let flat = ["export", "json", "--flatten", "1.2.3.4"];
    assert_eq!(command(&flat), Err(JSON));
    assert!(call(&flat, "2021.01.28", MatcherPlugin::None).is_ok());
}

#[test]
fn unknown_words_get_the_usage_text_of_their_place() {
    for (line, usage) in [
        (&[][..], Usage::Root),
        (&["frobnicate"], Usage::Root),
        (&["-x", "status"], Usage::Root),
        (&["-e"], Usage::Root),
        (&["status", "x"], Usage::Root),
        (&["dump", "x"], Usage::Root),
        (&["matcher", "start", "--name=m"], Usage::Root),
        (&["matcher", "attach", "json", "m"], Usage::Root),
        (&["export"], EXPORT),
        (&["export", "--max-events=-1", "json", "x"], EXPORT),
        (&["export", "nosuch", "x"], EXPORT),
        (&["export", "json", "-x"], JSON),
        (&["export", "json", "--", "x"], JSON),
        (&["export", "json", "x", "-y"], JSON),
    ] {
        assert_eq!(command(line), Err(usage), "{line:?}");
    }
}

#[test]
fn each_matcher_plugin_knows_its_own_commands() {
    let start = |line: &[&str]| call(line, "2020.12.16", MatcherPlugin::Start).map(|c| c.command);
    assert_eq!(
        start(&["matcher", "start", "--name=m"]),
        Ok(Command::MatcherStart("m".into()))
    );
    assert_eq!(
        start(&["matcher", "ioc-remove", "m", "v", "domain"]),
        Ok(Command::MatcherIocRemove("m".into(), "v".into()))
    );
    assert_eq!(
        start(&["import", "json", "--type=intel.indicator"]),
        Ok(Command::ImportIndicators)
    );
    let help = Ok(Command::Help(Usage::MatcherStart));
    assert_eq!(start(&["matcher", "help"]), help);
    assert_eq!(start(&["matcher", "start", "help"]), help);
    assert_eq!(start(&["matcher", "start", "--help"]), help);
    let usage = Err(Usage::MatcherStart);
    assert_eq!(start(&["matcher", "attach", "help"]), usage);
    assert_eq!(
        start(&["matcher", "ioc-remove", "m", "-v", "domain"]),
        usage
    );

    let attach = |line: &[&str]| call(line, "v2.0.0", MatcherPlugin::Attach).map(|c| c.command);
    assert_eq!(
        attach(&["matcher", "attach", "json", "a,b"]),
        Ok(Command::MatcherAttach(vec!["a".into(), "b".into()]))
    );
    assert_eq!(
        attach(&["matcher", "add", "m", "v", "c"]),
        Ok(Command::MatcherAdd(
            "m".into(),
            "v".into(),
            Some("c".into())
        ))
    );
    assert_eq!(
        attach(&["matcher", "remove", "m", "v"]),
        Ok(Command::MatcherRemove("m".into(), "v".into()))
    );
    let help = Ok(Command::Help(Usage::MatcherAttach));
    assert_eq!(attach(&["matcher", "attach", "help"]), help);
    let usage = Err(Usage::MatcherAttach);
    assert_eq!(attach(&["matcher", "start", "--name=m"]), usage);
    assert_eq!(attach(&["matcher", "add", "m", "-v"]), usage);
}

#[test]
fn last_lines_are_the_recorded_ones() {
    for (usage, last) in [
        (Usage::Root, "  version  prints the software version"),
        (
            EXPORT,
            "  null   exports query without printing them (debug option)",
        ),
        (
            JSON,
            "  [-d | --uds]                   treat -w as UNIX domain socket to connect to",
        ),
        (
            Usage::Json { flatten: true },
            "  [--flatten]                    flatten nested objects into the top-level",
        ),
    ] {
        assert_eq!(usage.text().lines().last(), Some(last));
    }
    let with = Usage::Export { low_priority: true }.text();
    assert!(with.contains("--low-priority") && !with.contains('@'));
    assert!(!EXPORT.text().contains("low-priority") && !EXPORT.text().contains('@'));
}
