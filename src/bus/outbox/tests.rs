use super::*;

fn key(frame: &[u8]) -> Key {
    u64::from(*frame.last().expect("not empty"))
}

fn texts(outbox: &mut Outbox, now: Instant) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(next) = outbox.next(now).expect("memory") {
        texts.push(String::from_utf8_lossy(next.frame()).into_owned());
        outbox.sent(next, now).expect("memory");
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

#[test]
fn messages_leave_in_order_and_make_room() {
    let mut outbox = Outbox::in_memory(2, None);
    push(&mut outbox, "a b");
    assert!(!outbox.has_room() && outbox.at_risk() == 2);
    assert_eq!(texts(&mut outbox, Instant::now()), ["a", "b"]);
    assert!(outbox.has_room() && outbox.is_empty());
}

#[test]
fn an_unconfirmed_message_is_sent_again() {
    let mut outbox = Outbox::in_memory(100, Some(key));
    let start = Instant::now();
    push(&mut outbox, "a b c");
    assert_eq!(texts(&mut outbox, start), ["a", "b", "c"]);
    outbox.confirmed(u64::from(b'b')).expect("memory");
    outbox.confirmed(u64::from(b'z')).expect("memory");
    assert!(texts(&mut outbox, start + CONFIRMATION_TIME / 2).is_empty());
    assert!(outbox.next_deadline().is_some());
    assert_eq!(texts(&mut outbox, start + CONFIRMATION_TIME), ["a", "c"]);
    let later = start + 10 * CONFIRMATION_TIME;
    outbox.reconnected(start + CONFIRMATION_TIME, later);
    assert_eq!(texts(&mut outbox, start + CONFIRMATION_TIME), ["a", "c"]);
    outbox.confirmed(u64::from(b'a')).expect("memory");
    outbox.confirmed(u64::from(b'c')).expect("memory");
    assert!(outbox.is_empty() && outbox.next_deadline().is_none());
}

#[test]
fn what_a_dying_broker_confirmed_goes_once_more() {
    let mut outbox = Outbox::in_memory(1000, Some(key));
    push(&mut outbox, "a b");
    let start = Instant::now();
    assert_eq!(texts(&mut outbox, start), ["a", "b"]);
    for letter in b"ab" {
        outbox.confirmed(u64::from(*letter)).expect("memory");
    }
    assert!(outbox.is_empty());
    outbox.reconnected(start, start);
    assert_eq!(texts(&mut outbox, start), ["a", "b"]);
    for letter in b"ab" {
        outbox.confirmed(u64::from(*letter)).expect("memory");
    }
    // Confirmed long before the connection was lost.
    outbox.reconnected(start, Instant::now() + 2 * LAG);
    assert!(outbox.is_empty());
}

#[test]
fn what_may_not_have_reached_the_broker_goes_first() {
    let mut outbox = Outbox::in_memory(100, None);
    push(&mut outbox, "b");
    assert_eq!(outbox.doubt(vec![b"a".to_vec()]), 0);
    assert_eq!(outbox.at_risk(), 2);
    assert!(!outbox.is_bypassed());
    assert_eq!(texts(&mut outbox, Instant::now()), ["a", "b"]);
    assert!(outbox.is_empty() && outbox.at_risk() == 0);
}

#[test]
fn on_disk_what_may_not_have_reached_the_broker_is_safe() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || Spool::open(scratch.path(), 1 << 20).expect("opened").0;
    let mut outbox = Outbox::on_disk(open(), 100, None);
    push(&mut outbox, "a b");
    let now = Instant::now();
    let first = outbox.next(now).expect("read").expect("a message");
    outbox.sent(first, now).expect("written");
    assert_eq!(outbox.doubt(vec![b"a".to_vec()]), 0);
    assert_eq!(outbox.at_risk(), 0);
    drop(outbox);
    let mut outbox = Outbox::on_disk(open(), 100, None);
    assert_eq!(texts(&mut outbox, now), ["b", "a"]);
}

#[test]
fn a_message_that_is_never_confirmed_is_given_up() {
    let mut outbox = Outbox::in_memory(100, Some(key));
    let mut now = Instant::now();
    push(&mut outbox, "a");
    for _ in 0..MOST_SENDINGS {
        assert!(outbox.give_up(now).expect("memory").is_empty());
        assert_eq!(texts(&mut outbox, now), ["a"]);
        now += CONFIRMATION_TIME;
    }
    assert!(texts(&mut outbox, now).is_empty());
    assert_eq!(outbox.give_up(now).expect("memory").len(), 1);
    assert!(outbox.is_empty() && outbox.awaited.is_empty());
}

#[test]
fn a_dropped_message_does_not_stand_in_the_way() {
    let now = Instant::now();
    let mut outbox = Outbox::in_memory(100, Some(key));
    push(&mut outbox, "a b c");
    for dropped in [false, true, false] {
        let next = outbox.next(now).expect("memory").expect("a message");
        let result = match dropped {
            true => outbox.dropped(next),
            false => outbox.sent(next, now),
        };
        result.expect("memory");
    }
    outbox.confirmed(u64::from(b'a')).expect("memory");
    outbox.confirmed(u64::from(b'c')).expect("memory");
    assert!(outbox.is_empty());
}

#[test]
fn equal_messages_need_an_echo_each() {
    let mut outbox = Outbox::in_memory(100, Some(key));
    push(&mut outbox, "a a");
    texts(&mut outbox, Instant::now());
    outbox.confirmed(u64::from(b'a')).expect("memory");
    assert_eq!(outbox.at_risk(), 1);
    outbox.confirmed(u64::from(b'a')).expect("memory");
    assert!(outbox.is_empty());
}

#[test]
fn on_disk_only_the_delivered_is_forgotten() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || Spool::open(scratch.path(), 1 << 20).expect("opened").0;
    let mut outbox = Outbox::on_disk(open(), 100, Some(key));
    push(&mut outbox, "a b c");
    assert!(!outbox.is_empty() && outbox.at_risk() == 0);
    assert_eq!(texts(&mut outbox, Instant::now()), ["a", "b", "c"]);
    assert!(!outbox.is_empty());
    outbox.confirmed(u64::from(b'a')).expect("written");
    outbox.confirmed(u64::from(b'c')).expect("written");
    drop(outbox);
    let mut outbox = Outbox::on_disk(open(), 100, None);
    assert_eq!(texts(&mut outbox, Instant::now()), ["b", "c"]);
    assert!(outbox.is_empty());
    assert!(Outbox::on_disk(open(), 100, None).is_empty());
}

#[test]
fn an_echo_is_for_what_still_waits_and_not_for_what_was_dropped() {
    let mut outbox = Outbox::in_memory(100, Some(key));
    let start = Instant::now();
    // Two sightings whose echoes look the same.
    push(&mut outbox, "1a 2a");
    assert_eq!(texts(&mut outbox, start), ["1a", "2a"]);
    let again = outbox.next(start + CONFIRMATION_TIME).expect("memory");
    let again = again.expect("its echo is overdue");
    assert_eq!(again.frame(), b"1a");
    outbox.dropped(again).expect("memory");
    outbox.confirmed(u64::from(b'a')).expect("memory");
    assert!(outbox.is_empty());
}
