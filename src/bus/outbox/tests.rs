use super::super::flight::{LAG, RISK};
use super::*;

fn key(frame: &[u8]) -> Option<Key> {
    frame.last().map(|last| u64::from(*last))
}

fn texts(outbox: &mut Outbox, now: Instant) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(next) = outbox.next_to_send().expect("read") {
        texts.push(String::from_utf8_lossy(&next.frame).into_owned());
        outbox.sent(next, now).expect("written");
    }
    texts
}

fn push(outbox: &mut Outbox, text: &str) {
    let frames = text
        .split(' ')
        .map(|text| text.as_bytes().to_vec())
        .collect();
    assert_eq!(outbox.push(frames).expect("room"), 0);
}

fn echo(outbox: &mut Outbox, letters: &str, now: Instant) {
    for letter in letters.bytes() {
        assert_eq!(outbox.echo(Some(u64::from(letter)), now), None);
    }
}

#[test]
fn messages_leave_in_order_and_make_room() {
    let mut outbox = Outbox::in_memory(2, None);
    push(&mut outbox, "a b");
    assert!(!outbox.has_room() && outbox.at_risk() == 2);
    assert_eq!(texts(&mut outbox, Instant::now()), ["a", "b"]);
    assert!(outbox.has_room() && outbox.is_empty());
}

#[test]
fn what_is_with_the_broker_takes_room_until_it_came_back() {
    let now = Instant::now();
    let mut outbox = Outbox::in_memory(3, Some(key));
    push(&mut outbox, "a b c");
    assert_eq!(texts(&mut outbox, now), ["a", "b", "c"]);
    assert!(!outbox.has_room() && outbox.awaits_echoes());
    echo(&mut outbox, "za", now);
    assert!(outbox.has_room() && outbox.at_risk() == 2);
    echo(&mut outbox, "bc", now);
    assert!(outbox.is_empty() && outbox.at_risk() == 0);
}

#[test]
fn what_may_not_have_reached_the_broker_goes_first() {
    let now = Instant::now();
    let mut outbox = Outbox::in_memory(100, None);
    assert!(outbox.is_bypassed());
    outbox.sent_at_once(b"a".to_vec(), now);
    push(&mut outbox, "b");
    assert_eq!(outbox.lost(now), 0);
    assert_eq!(outbox.at_risk(), 2);
    assert!(!outbox.is_bypassed());
    assert_eq!(texts(&mut outbox, now), ["a", "b"]);
    assert!(outbox.is_empty() && outbox.at_risk() == 0);
}

#[test]
fn on_disk_what_may_not_have_reached_the_broker_is_safe() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || Spool::open(scratch.path(), 1 << 20).expect("opened").0;
    let mut outbox = Outbox::on_disk(open(), 100, None);
    let now = Instant::now();
    outbox.sent_at_once(b"a".to_vec(), now);
    push(&mut outbox, "b");
    assert_eq!(outbox.lost(now), 0);
    assert_eq!(outbox.at_risk(), 0);
    drop(outbox);
    let mut outbox = Outbox::on_disk(open(), 100, None);
    assert_eq!(texts(&mut outbox, now), ["b", "a"]);
}

#[test]
fn a_dropped_message_does_not_stand_in_the_way() {
    let now = Instant::now();
    let mut outbox = Outbox::in_memory(100, Some(key));
    push(&mut outbox, "a b c");
    for dropped in [false, true, false] {
        let next = outbox.next_to_send().expect("memory").expect("a message");
        let result = if dropped {
            outbox.dropped(next, now)
        } else {
            outbox.sent(next, now)
        };
        result.expect("memory");
    }
    echo(&mut outbox, "ac", now);
    assert!(outbox.is_empty());
}

#[test]
fn on_disk_only_what_is_done_is_forgotten() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || Spool::open(scratch.path(), 1 << 20).expect("opened").0;
    let now = Instant::now();
    let mut outbox = Outbox::on_disk(open(), 100, Some(key));
    push(&mut outbox, "a b c");
    assert!(!outbox.is_empty() && outbox.at_risk() == 0);
    assert_eq!(texts(&mut outbox, now), ["a", "b", "c"]);
    echo(&mut outbox, "ac", now);
    drop(outbox);
    // The broker may have died with copies of the others.
    let mut outbox = Outbox::on_disk(open(), 100, Some(key));
    assert_eq!(texts(&mut outbox, now), ["a", "b", "c"]);
    echo(&mut outbox, "ac", now);
    outbox.alive(now + LAG).expect("written");
    drop(outbox);
    let mut outbox = Outbox::on_disk(open(), 100, Some(key));
    assert_eq!(texts(&mut outbox, now), ["b", "c"]);
    echo(&mut outbox, "bc", now);
    outbox.end(now).expect("written");
    assert!(Outbox::on_disk(open(), 100, None).is_empty());
}

#[test]
fn without_confirmation_what_was_sent_is_forgotten_after_a_moment() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || Spool::open(scratch.path(), 1 << 20).expect("opened").0;
    let now = Instant::now();
    let mut outbox = Outbox::on_disk(open(), 1 << 20, None);
    push(&mut outbox, &["a"; 300].join(" "));
    assert_eq!(texts(&mut outbox, now).len(), 300);
    outbox.time(now + 2 * RISK).1.expect("written");
    drop(outbox);
    let mut outbox = Outbox::on_disk(open(), 1 << 20, None);
    // As many as ZeroMQ may have queued.
    assert_eq!(texts(&mut outbox, now).len(), 192);
    outbox.end(now).expect("written");
    assert!(Outbox::on_disk(open(), 100, None).is_empty());
}
