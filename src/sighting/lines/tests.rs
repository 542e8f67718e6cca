//! Commands that keep running, some of which misbehave, compared with one process per
//! context.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Short times for the tests.
const TIMES: TimeLimits = TimeLimits {
    patience: Duration::from_millis(300),
    start: Duration::from_millis(500),
    limit: Duration::from_secs(1),
    first_settling: Duration::from_millis(100),
    settling: Duration::from_millis(20),
    exit: Duration::from_secs(2),
};

struct Bed {
    pool: Pool,
    metrics: Arc<Metrics>,
    template: CommandTemplate,
    stop: Stop,
}

fn bed(command: &str, processes: usize) -> Bed {
    let template = CommandTemplate::parse(command).expect("a command");
    let metrics: Arc<Metrics> = Arc::default();
    let stop = Stop::new().expect("two socket pairs");
    let processes = NonZeroUsize::new(processes).expect("not 0");
    let pool = Pool::with_times(
        template.clone(),
        processes,
        metrics.clone(),
        stop.clone(),
        TIMES,
    );
    Bed {
        pool,
        metrics,
        template,
        stop,
    }
}

fn input(ioc: &str, context: &str) -> TransformInput {
    TransformInput {
        ioc: ioc.to_owned(),
        match_type: MatchType::Retro,
        context: Context::new(context).expect("an object").into_owned(),
    }
}

/// This many different contexts.
fn inputs(ioc: &str, count: usize) -> Vec<TransformInput> {
    let context = |number| input(ioc, &format!("{{\"n\":{number}}}"));
    (0..count).map(context).collect()
}

fn texts(outputs: Vec<TransformOutput>) -> Vec<Option<String>> {
    let text = |answer: TransformOutput| answer.ok().map(|context| context.as_str().to_owned());
    outputs.into_iter().map(text).collect()
}

impl Bed {
    fn transform(&self, inputs: Vec<TransformInput>) -> Vec<Option<String>> {
        texts(self.pool.transform(inputs))
    }

    /// The results of one process per context.
    fn each(&self, inputs: &[TransformInput]) -> Vec<Option<String>> {
        let one = |input: &TransformInput| {
            let TransformInput {
                ioc,
                match_type,
                context,
            } = input;
            transform(&self.template, context, ioc, *match_type, &self.stop)
        };
        texts(inputs.iter().map(one).collect())
    }

    fn repeated(&self) -> u64 {
        self.metrics.transforms_repeated.get()
    }
}

/// A command line that runs this script, and writes a line to a file for each of its
/// processes.
fn counting(script: &str) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("starts");
    (
        format!("sh -c 'echo >> {}; {script}' sh %ioc", file.display()),
        folder,
    )
}

fn starts(folder: &tempfile::TempDir) -> usize {
    let text = std::fs::read_to_string(folder.path().join("starts"));
    text.map_or(0, |text| text.lines().count())
}

#[test]
fn one_process_serves_all_contexts_of_an_indicator() {
    let (command, folder) = counting("exec cat");
    let bed = bed(&command, 8);
    for count in [1, 1, 5, 2000, 1] {
        let expected: Vec<_> = (0..count).map(|n| Some(format!("{{\"n\":{n}}}"))).collect();
        assert_eq!(bed.transform(inputs("a", count)), expected);
    }
    assert_eq!((starts(&folder), bed.repeated()), (1, 0));
    bed.transform(inputs("b", 3));
    bed.transform(inputs("a", 3));
    assert_eq!(starts(&folder), 2);
}

#[test]
fn the_least_recently_used_process_is_ended_first() {
    let (command, folder) = counting("exec cat");
    let bed = bed(&command, 2);
    for (ioc, expected) in [("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4)] {
        bed.transform(inputs(ioc, 2));
        assert_eq!(starts(&folder), expected, "{ioc}");
    }
}

#[test]
fn a_command_without_placeholders_is_one_process() {
    let (command, folder) = counting("exec cat");
    let bed = bed(command.strip_suffix(" %ioc").expect("it ends so"), 8);
    let mixed = (0..40).map(|n| input(&format!("ioc{n}"), &format!("{{\"n\":{n}}}")));
    let outputs = bed.transform(mixed.collect());
    assert_eq!(outputs[7].as_deref(), Some("{\"n\":7}"));
    assert_eq!(starts(&folder), 1);
}

#[test]
fn one_that_answers_at_the_end_of_its_input_is_served() {
    // Like `jq -c`, which writes to a pipe only when its buffer is full.
    let (command, folder) = counting("all=$(cat); echo \"$all\"");
    let bed = bed(&command, 8);
    let expected = |count| {
        (0..count)
            .map(|n| Some(format!("{{\"n\":{n}}}")))
            .collect::<Vec<_>>()
    };
    assert_eq!(bed.transform(inputs("a", 300)), expected(300));
    assert_eq!(bed.repeated(), 0);
    // From then on this is known, and nothing is waited for.
    let started = std::time::Instant::now();
    assert_eq!(bed.transform(inputs("b", 1)), expected(1));
    assert!(started.elapsed() < TIMES.patience);
    assert!(starts(&folder) <= 6, "{}", starts(&folder));
}

#[test]
fn contexts_are_lines_whatever_they_hold() {
    let bed = bed("cat", 1);
    let contexts = [
        "{\n\"a\":\r\n \"x\\ny\" }",
        "{\"\u{2028}\": \"\u{85}\\u000a\"}",
    ];
    let outputs = bed.transform(contexts.map(|context| input("a", context)).into());
    let expected = ["{\"a\":\"x\\ny\"}", "{\"\u{2028}\":\"\u{85}\\u000a\"}"];
    assert_eq!(outputs, expected.map(|text| Some(text.to_owned())));
}

#[test]
fn whoever_misbehaves_is_asked_once_more_one_by_one() {
    for (what, script) in [
        (
            "prints two for one",
            "while read -r x; do echo \"$x\"; echo \"$x\"; done",
        ),
        ("prints none for some", "grep -v 3"),
        ("prints none at all", "cat > /dev/null"),
        ("prints no JSON", "sed s/5/x/"),
        ("begins with a greeting", "echo \"{}\"; cat"),
        ("prints several lines for one", "jq ."),
        (
            "dies at the third",
            "read -r a; echo \"$a\"; read -r b && read -r c && exit 3",
        ),
        (
            "is killed at the second",
            "read -r a; echo \"$a\"; read -r b && kill -9 $$",
        ),
        ("ends after the first", "read -r a; echo \"$a\""),
        (
            "hangs at the second",
            "read -r a; echo \"$a\"; read -r b && sleep 600",
        ),
        ("reads nothing", "echo 1"),
        ("prints without end", "yes 1"),
    ] {
        let bed = bed(&format!("sh -c '{script}' sh %ioc"), 2);
        let twelve = inputs("a", 12);
        let expected = bed.each(&twelve);
        assert_eq!(bed.transform(twelve), expected, "{what}");
        assert!(bed.repeated() >= 2, "{what}");
    }
}

#[test]
fn a_line_that_nobody_asked_for_is_not_the_next_answer() {
    // The output arrives after the round: the process is given up.
    let script = "read -r a; echo \"$a\"; sleep 0.4; echo 0; exec cat";
    let bed = bed(&format!("sh -c '{script}'"), 1);
    assert_eq!(
        bed.transform(inputs("a", 1)),
        [Some("{\"n\":0}".to_owned())]
    );
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(bed.transform(inputs("a", 1)).len(), 1);
    assert_eq!(bed.repeated(), 1);
}

#[test]
fn a_process_that_ended_meanwhile_is_started_again() {
    let (command, folder) = counting("read -r a; echo \"$a\"");
    let bed = bed(&command, 1);
    for _ in 0..3 {
        assert_eq!(
            bed.transform(inputs("a", 1)),
            [Some("{\"n\":0}".to_owned())]
        );
    }
    assert_eq!((starts(&folder), bed.repeated()), (3, 0));
}

#[test]
fn a_command_that_cannot_be_started_answers_nothing() {
    let bed = bed("/nonexistent/command %ioc", 2);
    assert_eq!(bed.transform(inputs("a", 3)), [None, None, None]);
}

#[test]
fn the_end_of_the_program_does_not_wait_for_a_command() {
    let bed = bed("sh -c 'read -r a; sleep 600'", 1);
    let stop = bed.stop.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.now();
    });
    let started = std::time::Instant::now();
    assert_eq!(bed.transform(inputs("a", 3)), [None, None, None]);
    drop(bed);
    assert!(started.elapsed() < Duration::from_secs(10));
    stopper.join().expect("no panic");
}

#[test]
fn many_threads_share_the_processes() {
    let (command, folder) = counting("exec sed -u \"s/n/$1/\"");
    let bed = bed(&command, 3);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bed = &bed;
            scope.spawn(move || {
                for round in 0..5 {
                    let ioc = format!("x{}", (thread + round) % 5);
                    let expected = (0..50).map(|n| Some(format!("{{\"{ioc}\":{n}}}")));
                    assert_eq!(
                        bed.transform(inputs(&ioc, 50)),
                        expected.collect::<Vec<_>>()
                    );
                }
            });
        }
    });
    assert_eq!(bed.repeated(), 0);
    assert!(starts(&folder) <= 20);
}

/// Different kinds of commands, as scripts.
const SCRIPTS: [&str; 6] = [
    "exec sed -u \"s/n/$1/\"",
    "exec sed \"s/n/$1/\"",
    "while read -r x; do case $x in *4*) ;; *) printf \"%s\\n\" \"$x\";; esac; done",
    "while read -r x; do case $x in *2*) exit 1;; *) printf \"%s\\n\" \"$x\";; esac; done",
    "while read -r x; do printf \"%s\\n\" \"$x\"; case $x in *5*) echo 0;; esac; done",
    "while read -r x; do printf \"[%s]\\n\" \"$x\"; done",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The results are those of one process per context, whatever the command does.
    #[test]
    fn lines_gives_the_contexts_of_each(
        script in 0..SCRIPTS.len(),
        processes in 1..4_usize,
        asked in vec(vec((0..3_u8, 0..60_u32, "[ -~\u{e4}\u{2028}]{0,6}"), 1..20), 1..3),
    ) {
        let bed = bed(&format!("sh -c '{}' sh %ioc", SCRIPTS[script]), processes);
        for round in asked {
            let inputs: Vec<TransformInput> = round
                .iter()
                .map(|(ioc, number, text)| {
                    let context = serde_json::json!({"n": number, "text": text});
                    input(&format!("i{ioc}"), &context.to_string())
                })
                .collect();
            let expected = bed.each(&inputs);
            prop_assert_eq!(bed.transform(inputs), expected);
        }
    }
}
