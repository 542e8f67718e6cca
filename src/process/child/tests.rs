//! Children of every kind, run to their end.

use rustix::process::Pid;

use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn run_shell(script: &str, input: &[u8], time: Duration) -> (ChildOutcome, Vec<u8>) {
    let stop = Stop::new().expect("two socket pairs");
    let limits = Limits {
        time: Some(time),
        stop: &stop,
    };
    run_to_end(&mut shell(script), input, limits, 1 << 30).expect("sh starts")
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn input_output_and_status_pass_through() {
    let input = vec![b'x'; 3_000_000];
    let (outcome, output) = run_shell("cat; echo oops >&2; exit 3", &input, LONG);
    assert_eq!(output, input);
    assert!(matches!(outcome.end, ChildEnd::Exited(status) if status.code() == Some(3)));
    assert_eq!(outcome.last_words(), "oops");
}

#[test]
fn a_child_that_ignores_its_input_is_no_error() {
    let (outcome, output) = run_shell("echo done", &vec![0; 1_000_000], LONG);
    assert_eq!(output, b"done\n");
    assert!(matches!(outcome.end, ChildEnd::Exited(status) if status.success()));
}

#[test]
fn only_the_end_of_standard_error_is_kept() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done";
    let (outcome, _) = run_shell(script, b"", LONG);
    assert!(outcome.stderr.len() <= STDERR_KEPT);
    assert_eq!(outcome.last_words(), "line 1999");
}

#[test]
fn a_hanging_child_is_ended_and_its_output_counts() {
    let (outcome, output) = run_shell("echo one; sleep 600", b"", Duration::from_millis(300));
    assert!(matches!(outcome.end, ChildEnd::TimedOut));
    assert_eq!(output, b"one\n");
}

#[test]
fn a_child_that_ignores_sigterm_is_killed() {
    let script = "trap '' TERM; echo $$; while :; do sleep 1; done";
    let (outcome, output) = run_shell(script, b"", Duration::from_millis(300));
    assert!(matches!(outcome.end, ChildEnd::TimedOut));
    let pid: i32 = String::from_utf8_lossy(&output)
        .trim()
        .parse()
        .expect("a pid");
    let pid = Pid::from_raw(pid).expect("not zero");
    assert!(rustix::process::test_kill_process(pid).is_err());
}

#[test]
fn an_exit_is_noticed_while_a_grandchild_holds_the_pipe() {
    let started = Instant::now();
    let (outcome, output) = run_shell("sleep 60 & echo here", b"", LONG);
    assert!(matches!(outcome.end, ChildEnd::Exited(status) if status.success()));
    assert_eq!(output, b"here\n");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn closed_output_does_not_end_the_wait() {
    let (outcome, _) = run_shell("exec >&-; exec 2>&-; sleep 0.2; exit 5", b"", LONG);
    assert!(matches!(outcome.end, ChildEnd::Exited(status) if status.code() == Some(5)));
    let (outcome, _) = run_shell("exec >&-; sleep 60", b"", Duration::from_millis(300));
    assert!(matches!(outcome.end, ChildEnd::TimedOut));
}

#[test]
fn closed_output_holds_up_neither_input_nor_standard_error() {
    let input = vec![b'x'; 1_000_000];
    let script = "exec >&-; wc -c >&2; i=0; \
                  while [ $i -lt 3000 ]; do echo a line that fills the pipe: $i >&2; \
                  i=$((i+1)); done; exit 7";
    let (outcome, _) = run_shell(script, &input, LONG);
    assert!(matches!(outcome.end, ChildEnd::Exited(status) if status.code() == Some(7)));
    assert_eq!(outcome.last_words(), "a line that fills the pipe: 2999");
}

#[test]
fn endless_standard_error_does_not_outlive_the_limit() {
    let started = Instant::now();
    let (outcome, _) = run_shell("yes >&2", b"", Duration::from_millis(300));
    assert!(matches!(outcome.end, ChildEnd::TimedOut));
    assert!(started.elapsed() < LONG);
}

/// A tracer is notified of a process's end first, and the parent has to wait until the
/// tracer has acknowledged it: like for a process in uninterruptible sleep.
#[test]
fn no_thread_hangs_on_a_child_that_cannot_be_reaped() {
    const TRACER: &str = "import ctypes, sys, time\n\
         seized = ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None)\n\
         print(seized, flush=True)\n\
         time.sleep(600)\n";
    let stop = Stop::new().expect("two socket pairs");
    let time = Some(Duration::from_secs(1));
    let limits = Limits { time, stop: &stop };
    let mut tracer = None;
    let started = Instant::now();
    let outcome = run(
        &mut shell("echo $$; exec sleep 600"),
        io::empty(),
        limits,
        |pid| {
            let mut python = Command::new("python3");
            python.args(["-c", TRACER, String::from_utf8_lossy(pid).trim()]);
            tracer = python.stdout(std::process::Stdio::piped()).spawn().ok();
            Flow::Continue
        },
    );
    let Some(mut tracer) = tracer else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let took = started.elapsed();
    tracer.kill().expect("it runs");
    let mut seized = String::new();
    let mut said = tracer.stdout.take().expect("a pipe");
    said.read_to_string(&mut seized).expect("a line");
    tracer.wait().expect("it was killed");
    if seized.trim() != "0" {
        eprintln!("skipped: no process may be traced here");
        return;
    }
    assert!(matches!(
        outcome.expect("sh starts").end,
        ChildEnd::TimedOut
    ));
    assert!(
        took > Duration::from_secs(2),
        "it was not hard to reap: {took:?}"
    );
    assert!(took < Duration::from_secs(30), "{took:?}");
    // It is reaped later, once that is possible.
    let until = Instant::now() + LONG;
    while !guard::nothing_is_left() {
        assert!(Instant::now() < until, "a zombie stays");
        run_shell("true", b"", LONG);
    }
}

#[test]
fn what_a_child_has_started_ends_with_it() {
    // The grandchild ignores SIGTERM.
    let script = "sh -c 'trap \"\" TERM; echo $$; exec sleep 600' & sleep 600";
    let (outcome, output) = run_shell(script, b"", Duration::from_millis(500));
    assert!(matches!(outcome.end, ChildEnd::TimedOut));
    let pid = String::from_utf8_lossy(&output).trim().to_owned();
    let until = Instant::now() + LONG;
    // Once killed it may remain a zombie: another process is responsible for reaping it.
    while std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        assert!(Instant::now() < until, "{pid} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn enough_output_ends_the_child() {
    let stop = Stop::new().expect("two socket pairs");
    let limits = Limits {
        time: Some(LONG),
        stop: &stop,
    };
    let (outcome, output) =
        run_to_end(&mut shell("yes"), io::empty(), limits, 100_000).expect("sh");
    assert!(matches!(outcome.end, ChildEnd::Enough));
    assert!(output.len() <= 100_000);
}

#[test]
fn draining_shortens_the_time_and_now_ends_it() {
    let stop = Stop::new().expect("two socket pairs");
    let limits = Limits {
        time: None,
        stop: &stop,
    };
    let outcome = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            run(&mut shell("sleep 60"), io::empty(), limits, |_| {
                Flow::Continue
            })
        });
        std::thread::sleep(Duration::from_millis(100));
        stop.drain(LONG);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!run.is_finished());
        stop.now();
        run.join().expect("no panic").expect("sh starts")
    });
    assert!(matches!(outcome.end, ChildEnd::Stopped));
}
