use super::super::pace::{LEAST_IN_FLIGHT, SHORT};
use super::*;

/// The last letter; none for `?`, whose echo would not be recognised.
fn key(frame: &[u8]) -> Option<Key> {
    let last = *frame.last().expect("not empty");
    (last != b'?').then(|| u64::from(last))
}

fn confirming() -> Flight {
    Flight::new(1_000, Some(key))
}

fn send(flight: &mut Flight, texts: &str, now: Instant) {
    for text in texts.split(' ') {
        flight.sent(text.as_bytes().to_vec(), None, now);
    }
}

fn echo(flight: &mut Flight, letters: &str, now: Instant) {
    for letter in letters.bytes() {
        assert!(flight.echo(u64::from(letter), now), "{letter}");
    }
}

/// Sends all that is in doubt; gives it.
fn again(flight: &mut Flight, now: Instant) -> String {
    let mut texts = Vec::new();
    while let Some((number, frame)) = flight.next_doubt() {
        texts.push(String::from_utf8_lossy(frame).into_owned());
        flight.sent_again(number, now);
    }
    texts.join(" ")
}

fn is_empty(flight: &mut Flight) -> bool {
    flight.take_done();
    flight.queue.numbers().is_empty()
        && flight.queue.awaited_keys() == 0
        && flight.queue.open_bytes() == 0
}

const MOMENT: Duration = Duration::from_millis(10);

#[test]
fn what_came_back_is_done_when_the_broker_lived_on() {
    let now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a b", now);
    echo(&mut flight, "ab", now);
    flight.alive(now + LAG - MOMENT);
    assert!(!is_empty(&mut flight) && flight.open() == 0);
    flight.alive(now + LAG);
    assert!(is_empty(&mut flight) && flight.queue.kept_bytes() == 0);
}

#[test]
fn nothing_is_sent_twice_while_nothing_fails() {
    let start = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a", start);
    // The broker is behind with what is of others.
    for second in 1..100 {
        let now = start + Duration::from_secs(second);
        assert!(!flight.echo(7, now));
        assert_eq!(flight.time(now), (Vec::new(), false));
        assert_eq!(again(&mut flight, now), "");
    }
    echo(&mut flight, "a", start + LONGEST);
}

#[test]
fn what_was_passed_over_goes_again_and_is_given_up() {
    let mut now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "1a", now);
    for sending in 2..=MOST_SENDINGS {
        send(&mut flight, "b", now + MOMENT);
        echo(&mut flight, "b", now + 2 * MOMENT);
        flight.time(now + CONFIRMATION_TIME / 2);
        assert_eq!(again(&mut flight, now), "", "{sending}");
        now += CONFIRMATION_TIME;
        flight.time(now);
        assert_eq!(again(&mut flight, now), "1a", "{sending}");
    }
    send(&mut flight, "b", now + MOMENT);
    echo(&mut flight, "b", now + 2 * MOMENT);
    now += CONFIRMATION_TIME;
    let (given_up, is_mute) = flight.time(now);
    assert_eq!((given_up.len(), is_mute), (1, false));
    assert_eq!(given_up[0].sendings, MOST_SENDINGS);
    flight.alive(now + LAG);
    assert!(is_empty(&mut flight));
}

#[test]
fn a_mute_broker_is_not_waited_for() {
    let mut now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a b", now);
    now += CONFIRMATION_TIME;
    assert_eq!(flight.time(now), (Vec::new(), false));
    assert_eq!(again(&mut flight, now), "a b");
    now += CONFIRMATION_TIME;
    assert_eq!(flight.time(now), (Vec::new(), true));
    assert!(!flight.awaits() && flight.open() == 0);
    for _ in 0..10 * LEAST_IN_FLIGHT {
        assert!(flight.may_send());
        send(&mut flight, "c", now);
    }
    now += 2 * RISK;
    flight.time(now);
    // One echo, and it is trusted to give more.
    echo(&mut flight, "c", now);
    assert!(flight.awaits());
    // So it is at a new subscription.
    flight.is_mute = true;
    flight.subscribed(now);
    assert!(flight.awaits());
}

#[test]
fn a_lost_connection_puts_what_was_sent_in_doubt() {
    let now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a b c", now);
    echo(&mut flight, "a", now);
    flight.lost(now + 10 * RISK);
    // It had arrived.
    echo(&mut flight, "c", now);
    assert_eq!(again(&mut flight, now), "b");
    echo(&mut flight, "b", now);
    flight.alive(now + LAG);
    assert!(is_empty(&mut flight));
}

#[test]
fn what_a_broker_sent_back_shortly_before_it_died_goes_once_more() {
    let now = Instant::now();
    for (alive, expected) in [(now + LAG, "a b"), (now + LAG + MOMENT, "b")] {
        let mut flight = confirming();
        send(&mut flight, "a b", now);
        echo(&mut flight, "a", now);
        flight.restarted(now + 2 * LAG, alive);
        assert_eq!(again(&mut flight, now), expected);
        assert_eq!(flight.open(), flight.queue.awaited_keys());
    }
}

#[test]
fn one_that_is_not_recognised_is_not_waited_for() {
    let now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a b?", now);
    assert_eq!(flight.open(), 1);
    flight.lost(now);
    assert_eq!(again(&mut flight, now), "a b?");
    echo(&mut flight, "a", now);
    flight.restarted(now, now);
    assert_eq!(again(&mut flight, now), "a b?");
}

/// It was taken for confirmed when it was sent, and lost with a broker that was behind by
/// more than [`LAG`].
#[test]
fn one_that_is_not_recognised_is_confirmed_by_what_was_sent_later() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut flight = confirming();
    send(&mut flight, "a", start);
    send(&mut flight, "b?", at(1));
    send(&mut flight, "c", at(2));
    echo(&mut flight, "a", at(30));
    flight.alive(at(60));
    flight.restarted(at(60), at(60));
    assert_eq!(again(&mut flight, at(60)), "b? c");
    // Its broker may be behind with what is of others, too.
    send(&mut flight, "d", at(61));
    echo(&mut flight, "d", at(90));
    flight.alive(at(90) + LAG - MOMENT);
    assert_eq!(flight.open(), 1);
    flight.restarted(at(101), at(90) + LAG);
    assert_eq!(again(&mut flight, at(101)), "b? c d");
    // Nothing is sent later.
    flight.time(at(101) + LONGEST - MOMENT);
    echo(&mut flight, "cd", at(101) + LONGEST);
    flight.alive(at(101) + LONGEST + LAG);
    assert!(!is_empty(&mut flight));
    flight.time(at(102) + LONGEST);
    flight.alive(at(102) + LONGEST + LAG);
    assert!(is_empty(&mut flight));
}

/// What was to go once more was taken for arrived when the broker turned out to be mute.
#[test]
fn what_is_in_doubt_goes_once_more_to_a_mute_broker() {
    let mut now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a b", now);
    echo(&mut flight, "a", now);
    flight.restarted(now, now);
    let (number, _) = flight.next_doubt().expect("in doubt");
    flight.sent_again(number, now);
    flight.queue[0].sendings = 2;
    now += CONFIRMATION_TIME;
    assert_eq!(flight.time(now), (Vec::new(), true));
    assert_eq!(again(&mut flight, now), "b");
    assert_eq!(flight.open(), 0);
}

#[test]
fn no_more_are_with_the_broker_than_its_pace_allows() {
    let now = Instant::now();
    let mut flight = Flight::new(1 << 20, Some(key));
    while flight.may_send() {
        send(&mut flight, "a", now);
    }
    assert_eq!(flight.open(), LEAST_IN_FLIGHT);
    echo(&mut flight, "a", now);
    assert!(!flight.may_send());
    // Those that went back into doubt wait like the others.
    flight.restarted(now, now);
    assert!(flight.may_send());
    assert_eq!(flight.open(), LEAST_IN_FLIGHT);
}

#[test]
fn without_confirmation_the_last_moment_is_in_doubt() {
    let now = Instant::now();
    for (later, expected) in [(RISK, "a b"), (QUEUE_RISK, "b"), (QUEUE_RISK + MOMENT, "")] {
        let mut flight = Flight::new(1_000, None);
        send(&mut flight, "a", now);
        send(&mut flight, "b", now + MOMENT);
        flight.time(now + later);
        flight.lost(now + later + MOMENT);
        assert_eq!(again(&mut flight, now), expected);
    }
    let mut flight = Flight::new(1 << 20, None);
    for _ in 0..2 * LAST {
        send(&mut flight, "a", now);
    }
    flight.time(now + 2 * RISK);
    flight.take_done();
    assert_eq!(flight.queue.entries().count(), LAST);
}

/// The STIX-2 broker has 10,000 sightings within two seconds, and passes on 1,700 a second: one
/// that dies within [`RISK`] loses none of such a burst, and none that is sent to it again.
#[test]
fn without_confirmation_a_burst_that_a_dying_broker_holds_is_sent_again() {
    const BURST: u64 = 10_000;
    let sighting = |n: u64| format!("stix2/sighting {n:0700}").into_bytes();
    let start = Instant::now();
    let mut flight = Flight::new(64 << 20, None);
    for n in 0..BURST {
        flight.sent(sighting(n), None, start);
    }
    let mut now = start;
    for _ in 0..3 {
        now += RISK;
        flight.time(now);
        flight.take_done();
        flight.lost(now);
        for n in 0..BURST {
            let (number, frame) = flight.next_doubt().expect("it is in doubt");
            assert_eq!(*frame, sighting(n));
            flight.sent_again(number, now);
        }
        assert!(!flight.has_doubts());
    }
}

#[test]
fn the_order_of_the_sendings_decides_what_may_still_be_queued() {
    let now = Instant::now();
    let mut flight = Flight::new(1 << 20, None);
    for _ in 0..2 * LAST {
        send(&mut flight, "a", now);
    }
    flight.lost(now + MOMENT);
    // One goes again, and the broker stands still before the next.
    let (number, _) = flight.next_doubt().expect("all are in doubt");
    flight.sent_again(number, now + 2 * MOMENT);
    flight.time(now + 2 * RISK);
    flight.lost(now + 2 * RISK);
    let (first, _) = flight.next_doubt().expect("it is in doubt again");
    assert_eq!(first, number);
}

#[test]
fn what_is_kept_without_confirmation_has_a_bound() {
    let now = Instant::now();
    let mut flight = Flight::new(1_000, None);
    for _ in 0..1_000 {
        flight.sent(b"0123456789a".to_vec(), None, now);
        flight.time(now);
        flight.take_done();
    }
    assert!(
        flight.queue.kept_bytes() <= 500,
        "{}",
        flight.queue.kept_bytes()
    );
    assert!(flight.queue.entries().count() < 50);
}

/// What came back was forgotten where there was no memory for it, and lost with a broker
/// that died before it had passed it on to others.
#[test]
fn what_came_back_is_kept_and_nothing_new_sent_before_there_is_room() {
    let now = Instant::now();
    let mut flight = confirming();
    let mut sent = 0;
    while flight.may_send() && flight.has_memory_for_new() {
        flight.sent(b"0123456789a".to_vec(), None, now);
        echo(&mut flight, "a", now);
        flight.time(now);
        flight.take_done();
        sent += 1;
    }
    assert!((40..60).contains(&sent), "{sent}");
    assert_eq!(flight.queue.entries().count(), sent);
    // All of them, whatever memory they take.
    flight.restarted(now, now);
    assert_eq!(again(&mut flight, now).split(' ').count(), sent);
    (0..sent).for_each(|_| echo(&mut flight, "a", now));
    assert!(!flight.has_memory_for_new());
    flight.alive(now + LAG);
    assert!(flight.has_memory_for_new() && is_empty(&mut flight));
}

/// A mute broker is not waited for, whatever memory there is.
#[test]
fn what_came_back_before_a_broker_was_mute_is_kept_within_the_bound() {
    let now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a", now);
    echo(&mut flight, "a", now);
    flight.is_mute = true;
    for _ in 0..1_000 {
        flight.sent(b"0123456789b".to_vec(), None, now);
        flight.time(now);
        flight.take_done();
    }
    assert!(flight.has_memory_for_new() && flight.queue.kept_bytes() <= 500);
}

#[test]
fn equal_messages_need_an_echo_each() {
    let now = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a a", now);
    echo(&mut flight, "a", now);
    assert_eq!(flight.open(), 1);
    echo(&mut flight, "a", now);
    assert_eq!(flight.open(), 0);
}

#[test]
fn an_echo_is_for_what_still_waits_and_not_for_what_was_dropped() {
    let now = Instant::now();
    let mut flight = confirming();
    // Two sightings whose echoes look the same.
    send(&mut flight, "1a 2a", now);
    flight.lost(now);
    let (number, frame) = flight.next_doubt().expect("in doubt");
    assert_eq!(frame, b"1a");
    flight.gave_up_resending(number, now);
    echo(&mut flight, "a", now);
    assert_eq!(flight.open(), 0);
}

#[test]
fn the_echo_of_an_earlier_sending_does_not_make_others_overdue() {
    let start = Instant::now();
    let mut flight = confirming();
    send(&mut flight, "a", start);
    // Nothing came back for so long: sent again, while the broker still has the first one.
    let again_at = start + CONFIRMATION_TIME;
    flight.time(again_at);
    send(&mut flight, "b", again_at - MOMENT);
    assert_eq!(again(&mut flight, again_at), "a");
    echo(&mut flight, "a", again_at + MOMENT);
    flight.time(again_at + CONFIRMATION_TIME);
    assert!(!flight.has_doubts(), "what was sent before is not passed");
}

#[test]
fn a_full_broker_gets_more_when_half_have_come_back() {
    let now = Instant::now();
    let mut flight = confirming();
    for _ in 0..LEAST_IN_FLIGHT {
        assert!(flight.may_send());
        send(&mut flight, "a", now);
    }
    // Late echoes, which allow no more.
    for _ in 0..LEAST_IN_FLIGHT / 2 {
        assert!(!flight.may_send());
        flight.echo(u64::from('a'), now + SHORT + MOMENT);
    }
    for _ in 0..LEAST_IN_FLIGHT / 2 {
        assert!(flight.may_send());
        send(&mut flight, "a", now);
    }
    assert!(!flight.may_send());
}

#[test]
fn a_broker_that_sends_nothing_back_gets_fewer() {
    let start = Instant::now();
    let mut flight = Flight::new(1 << 20, Some(key));
    send(&mut flight, "a", start);
    for _ in 0..6 {
        flight.pace.with_broker(start, flight.pace.limit());
        flight.pace.echo(start, MOMENT, 1);
    }
    let before = flight.pace.limit();
    for second in 1..60 {
        flight.time(start + second * CHECK_INTERVAL);
    }
    assert!(before > LEAST_IN_FLIGHT && flight.pace.limit() == LEAST_IN_FLIGHT);
}
