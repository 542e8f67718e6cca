use std::fs::OpenOptions;
use std::io::Write;

use super::*;

fn messages(left_over: &[LeftOver]) -> Vec<String> {
    let text = |one: &LeftOver| String::from_utf8_lossy(one.message()).into_owned();
    left_over.iter().map(text).collect()
}

fn open(path: &Path) -> (Journal, Vec<LeftOver>, u64, Stop) {
    let stop = Stop::new().expect("two socket pairs");
    let (journal, left_over, torn) = Journal::open(path, &stop).expect("opened");
    (journal, left_over, torn, stop)
}

#[test]
fn what_is_kept_comes_back_and_what_is_dropped_does_not() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    let (journal, left_over, torn, _) = open(&path);
    assert!(left_over.is_empty() && torn == 0);
    let begin = |text: &str| journal.begin(text.as_bytes());
    begin("finished").finish();
    begin("kept").keep();
    let dropped = begin("dropped");
    begin("kept too").keep();
    drop(dropped);
    drop(journal);
    let mut file = OpenOptions::new().append(true).open(&path).expect("open");
    file.write_all(b"torn").expect("written");
    let (_, left_over, torn, _) = open(&path);
    assert_eq!(messages(&left_over), ["kept", "kept too"]);
    assert_eq!(torn, 4);
    // Taken up by this run, but one of them is not finished again.
    let mut tickets = left_over.into_iter().map(LeftOver::take_up);
    tickets.next().expect("two are left").1.keep();
    tickets.for_each(drop);
    let (_, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["kept"]);
}

#[test]
fn the_last_that_was_put_behind_a_message_counts() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    let (journal, _, _, _) = open(&path);
    let [one, other] = ["one", "other"].map(|text| journal.begin(text.as_bytes()));
    let long = vec![b'x'; 1 << 20];
    for _ in 0..40 {
        one.amend(&long);
    }
    one.amend(b" 2");
    other.amend(b" 1");
    other.finish();
    one.keep();
    let size = std::fs::metadata(&path).expect("there").len();
    assert!(size < 2 * GARBAGE, "{size}");
    drop(journal);
    for _ in 0..2 {
        let (_, left_over, torn, _) = open(&path);
        assert_eq!((messages(&left_over), torn), (vec!["one 2".to_owned()], 0));
    }
}

#[test]
fn a_stop_keeps_what_is_not_finished() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    let (journal, _, _, stop) = open(&path);
    let [one, other, third] = ["1", "2", "3"].map(|text| journal.begin(text.as_bytes()));
    drop(one);
    stop.drain(std::time::Duration::ZERO);
    other.finish();
    drop(third);
    let (_, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["3"]);
}

/// Found by simulation: a run whose spool could not be opened closed all entries.
#[test]
fn a_run_that_ends_too_early_leaves_what_was_left_over() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    open(&path).0.begin(b"it").keep();
    let (_, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["it"]);
    drop(left_over);
    let (_, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["it"]);
}

#[test]
fn a_defect_keeps_what_it_was_about() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    let (journal, _, _, _) = open(&path);
    let ticket = journal.begin(b"it");
    let thread = std::thread::spawn(move || {
        let _ticket = ticket;
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    let (_, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["it"]);
}

#[test]
fn an_entry_is_closed_by_the_last_engine_and_knows_the_others() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    let engines = ["one", "two", "three"].map(Arc::<str>::from);
    let (journal, _, _, _) = open(&path);
    let mut tickets = journal.begin(b"it").shared_by(&engines);
    tickets.pop().expect("three").finish();
    tickets.into_iter().for_each(Ticket::keep);
    // Also if it is rewritten during a run.
    let written = journal.lock().write_anew();
    written.expect("written");
    drop(journal);
    let (journal, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["it"]);
    let (_, ticket) = left_over.into_iter().next().expect("one").take_up();
    let left: Vec<Arc<str>> = engines
        .into_iter()
        .filter(|engine| !ticket.has_answered(engine))
        .collect();
    assert_eq!(left, ["one".into(), "two".into()]);
    let mut tickets = ticket.shared_by(&left);
    drop(tickets.pop());
    assert_eq!(journal.lock().open.len(), 1);
    drop(tickets.pop());
    assert!(journal.lock().open.is_empty() && journal.lock().open_bytes == 0);
    // There is no engine left to query.
    assert!(journal.begin(b"other").shared_by(&[]).is_empty());
    let (_, left_over, _, _) = open(&path);
    assert!(left_over.is_empty());
}

#[test]
fn finished_entries_do_not_pile_up() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("journal");
    let (journal, _, _, _) = open(&path);
    journal.begin(b"kept").keep();
    let message = vec![b'x'; 1 << 20];
    for _ in 0..40 {
        journal.begin(&message).finish();
    }
    let size = std::fs::metadata(&path).expect("there").len();
    assert!(size < 2 * GARBAGE, "{size}");
    let (_, left_over, _, _) = open(&path);
    assert_eq!(messages(&left_over), ["kept"]);
}
