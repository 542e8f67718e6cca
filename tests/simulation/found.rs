//! Each fault that the simulation found, by name, and some that it would take long to find:
//! in the state on disk, where the disk fails, and in the subscription. Those of sightings
//! in flight are in `src/bus/flight/tests.rs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use vast_threatbus::indicator::Protocol;
use vast_threatbus::process::stop::Stop;
use vast_threatbus::state::journal::{GARBAGE, Journal, Ticket};
use vast_threatbus::state::reported::Reported;
use vast_threatbus::state::spool::Spool;
use vast_threatbus::state::topics::Topics;

use crate::bridge;
use crate::machines::alive::ClockTimes;
use crate::machines::subscription::{HEARTBEAT, Input, Next, Notice, Output, Request, Subscriber};
use crate::world::disk::{Faults, MemoryDisk};

/// How often each of these is tried: chance decides what a loss of power destroys.
const TRIES: u64 = 100;

fn state() -> PathBuf {
    PathBuf::from("/state")
}

fn disk(seed: u64) -> MemoryDisk {
    MemoryDisk::new(&state(), seed)
}

fn spool(disk: &MemoryDisk, most_bytes: u64) -> Spool {
    let opened = Spool::open_on(disk.process(), &state().join("spool"), most_bytes);
    opened.expect("the disk is well").0
}

fn journal(disk: &MemoryDisk, stop: &Stop, garbage: u64) -> (Journal, Vec<Vec<u8>>) {
    let path = state().join("journal");
    let opened = Journal::open_on(disk.process(), &path, stop, garbage);
    let (journal, left_over, _) = opened.expect("the disk is well");
    let messages = left_over.iter().map(|one| one.message().to_vec()).collect();
    (journal, messages)
}

fn put(spool: &mut Spool, number: u8) -> std::io::Result<u64> {
    spool.push([&[number; 100][..]])
}

/// Takes everything out that waits, and returns the first byte of each.
fn take_all(spool: &mut Spool) -> Vec<u8> {
    let mut found = Vec::new();
    while let Some((record, next)) = spool.read(spool.delivered()).expect("the disk is well") {
        found.push(record[0]);
        spool.set_delivered(next).expect("the disk is well");
    }
    found
}

/// A new segment's name is synced in its directory, and the directory's name in its parent.
#[test]
fn what_was_put_outlives_a_loss_of_power() {
    for seed in 0..TRIES {
        let disk = disk(seed);
        // Two records fill a segment.
        let mut spool = spool_of_segments(&disk);
        for number in 0..6 {
            put(&mut spool, number).expect("the disk is well");
        }
        disk.cut_power();
        assert_eq!(take_all(&mut spool_of_segments(&disk)), [0, 1, 2, 3, 4, 5]);
    }
}

fn spool_of_segments(disk: &MemoryDisk) -> Spool {
    spool(disk, 800)
}

/// When a file has been rewritten, its name is safe on disk too.
#[test]
fn what_was_replaced_outlives_a_loss_of_power() {
    let stop = Stop::new().expect("two socket pairs");
    for seed in 0..TRIES {
        let disk = disk(seed);
        let topics = Topics::on(disk.process(), state().join("topics"));
        let reported = |disk: &MemoryDisk| {
            Reported::open_on(disk.process(), state().join("reported"), 9).expect("whole")
        };
        let (held, found) = (["a".to_owned()], reported(&disk));
        assert!(found.is_new("indicator", "event"));
        topics.remember(&held).expect("the disk is well");
        found.save(true).expect("the disk is well");
        let (one, _) = journal(&disk, &stop, GARBAGE);
        one.begin(b"it").keep();
        // Opened again, it is rewritten.
        disk.kill();
        journal(&disk, &stop, GARBAGE);
        disk.cut_power();
        let topics = Topics::on(disk.process(), state().join("topics"));
        assert_eq!(topics.left_over().expect("the disk is well"), held);
        assert!(!reported(&disk).is_new("indicator", "event"));
        assert_eq!(journal(&disk, &stop, GARBAGE).1, [b"it"]);
    }
}

/// Whichever operation the process is killed in, a file that is replaced has the old content
/// or the new one, and so is never damaged.
#[test]
fn what_is_replaced_is_old_or_new() {
    for seed in 0..TRIES {
        for (at, power) in (0..12).flat_map(|at| [(at, false), (at, true)]) {
            let disk = disk(seed);
            let path = state().join("topics");
            let topics = Topics::on(disk.process(), path.clone());
            let (old, new) = (["a".repeat(40)], ["b".repeat(70)]);
            topics.remember(&old).expect("the disk is well");
            disk.set_faults(Faults {
                killed_in: Some(at),
                ..Faults::NONE
            });
            let is_confirmed = topics.remember(&new).is_ok();
            if power {
                disk.cut_power()
            } else {
                disk.kill()
            }
            let found = Topics::on(disk.process(), path).left_over();
            let found = found.expect("the disk is well");
            assert!(found == new || (found == old && !is_confirmed), "{found:?}");
        }
    }
}

/// A part of an entry, written while the disk was full, hid all entries after it. And when a
/// shorter entry overwrites that part, the rest of it must not be read as an entry, whatever
/// bytes it holds.
#[test]
fn an_entry_that_found_no_room_hides_no_other_and_leaves_none() {
    let stop = Stop::new().expect("two socket pairs");
    let disk = disk(1);
    let (open, _) = journal(&disk, &stop, GARBAGE);
    let keep = |message: &[u8]| open.begin(message).keep();
    keep(b"first");
    let ghost = [&b"+"[..], &99_u64.to_le_bytes(), b"ghost"].concat();
    let length = u32::try_from(ghost.len()).expect("short").to_le_bytes();
    let sum = crc32fast::hash(&ghost).to_le_bytes();
    // Its rest, after the bytes that "second" overwrites, is an entry.
    let message = [&b"......"[..], &length, &sum, &ghost, &[b'.'; 50]].concat();
    // There is no room for all of it, and the part that was written cannot be cut off.
    disk.set_faults(Faults {
        capacity: disk.used() + 17 + message.len() as u64 - 10,
        fails_at: Some(1),
        ..Faults::NONE
    });
    keep(&message);
    disk.set_faults(Faults::NONE);
    keep(b"second");
    disk.kill();
    let (_, left_over) = journal(&disk, &stop, GARBAGE);
    assert_eq!(left_over, [&b"first"[..], b"second"]);
}

/// It continued in the file that had the name before.
#[test]
fn a_journal_that_was_rewritten_continues_in_the_new_file() {
    let stop = Stop::new().expect("two socket pairs");
    for at in 0..8 {
        let disk = disk(1);
        let (open, _) = journal(&disk, &stop, 100);
        let large = open.begin(&[b'x'; 200]);
        disk.set_faults(Faults {
            fails_at: Some(at),
            ..Faults::NONE
        });
        large.finish();
        disk.set_faults(Faults::NONE);
        open.begin(b"after it").keep();
        disk.kill();
        let (_, left_over) = journal(&disk, &stop, 100);
        let found = left_over.iter().any(|message| message == b"after it");
        assert!(found, "operation {at} failed: {left_over:?}");
    }
}

/// A push that failed left its record in the file. It was read, and remembered: it came out in
/// place of the record that was then written there.
#[test]
fn what_was_refused_does_not_come_out() {
    let disk = disk(1);
    let mut spool = spool(&disk, 1 << 20);
    put(&mut spool, 1).expect("the disk is well");
    // Written, and neither synced nor cut off.
    disk.set_faults(Faults {
        fails_at: Some(1),
        fails_after: true,
        ..Faults::NONE
    });
    put(&mut spool, 2).expect_err("it is not safe");
    disk.set_faults(Faults::NONE);
    let (_, next) = spool.read(spool.delivered()).expect("read").expect("one");
    spool.push([&[3; 60][..]]).expect("the disk is well");
    let (record, _) = spool.read(next).expect("read").expect("another");
    assert_eq!(record, [3; 60]);
    assert_eq!(take_all(&mut spool), [1, 3]);
}

/// Records that were safe came after one that an earlier run had written and could not sync.
#[test]
fn what_is_safe_does_not_come_after_what_is_not() {
    for seed in 0..TRIES {
        let disk = disk(seed);
        let mut first = spool(&disk, 1 << 20);
        put(&mut first, 1).expect("the disk is well");
        disk.set_faults(Faults {
            fails_at: Some(1),
            fails_after: true,
            ..Faults::NONE
        });
        put(&mut first, 2).expect_err("it is not safe");
        disk.set_faults(Faults::NONE);
        disk.kill();
        let mut second = spool(&disk, 1 << 20);
        put(&mut second, 3).expect("the disk is well");
        disk.cut_power();
        let mut found = Vec::new();
        let mut third = spool(&disk, 1 << 20);
        let mut at = third.delivered();
        loop {
            match third.read(at) {
                Ok(Some((record, next))) => {
                    found.push(record[0]);
                    at = next;
                }
                Ok(None) => break,
                // The second one, which was refused.
                Err(error) => assert!(error.to_string().contains("damaged"), "{error}"),
            }
        }
        assert!(found == [1, 3] || found == [1, 2, 3], "{found:?}");
    }
}

/// When the position could not be written whole, segments were numbered from the start again.
/// A loss of power then brought back an older position, of another segment with the same
/// number.
#[test]
fn a_position_of_an_earlier_segment_delivers_nothing() {
    for seed in 0..TRIES {
        let disk = disk(seed);
        let mut first = spool(&disk, 1 << 20);
        put(&mut first, 1).expect("the disk is well");
        take_all(&mut first);
        // It may make the position safe.
        disk.cut_power();
        let mut second = spool(&disk, 1 << 20);
        take_all(&mut second);
        put(&mut second, 2).expect("the disk is well");
        let (_, next) = second.read(second.delivered()).expect("read").expect("one");
        disk.set_faults(Faults {
            fails_at: Some(0),
            ..Faults::NONE
        });
        second.set_delivered(next).expect_err("it is not written");
        disk.set_faults(Faults::NONE);
        disk.kill();
        let mut third = spool(&disk, 1 << 20);
        take_all(&mut third);
        put(&mut third, 3).expect("the disk is well");
        disk.cut_power();
        let found = take_all(&mut spool(&disk, 1 << 20));
        assert_eq!(found.last(), Some(&3), "seed {seed}: {found:?}");
    }
}

/// A failed read is no damage: whichever read fails, everything comes out.
#[test]
fn a_read_that_fails_costs_no_segment() {
    for at in 0..60 {
        let disk = disk(1);
        let mut spool = spool_of_segments(&disk);
        for number in 0..6 {
            put(&mut spool, number).expect("the disk is well");
        }
        disk.set_faults(Faults {
            fails_at: Some(at),
            ..Faults::NONE
        });
        let mut found = Vec::new();
        loop {
            match spool.read(spool.delivered()) {
                Ok(Some((record, next))) => {
                    found.push(record[0]);
                    let _ = spool.set_delivered(next);
                }
                Ok(None) => break,
                Err(error) => assert!(!error.to_string().contains("damaged"), "{error}"),
            }
        }
        assert_eq!(found, [0, 1, 2, 3, 4, 5], "operation {at} failed");
    }
}

/// Everything that is dropped at the limit is counted, whichever operation fails; and the limit
/// is not exceeded by more than what was put at once.
#[test]
fn what_is_dropped_at_the_limit_is_counted_whatever_fails() {
    for at in 0..80 {
        let disk = disk(1);
        let mut spool = spool_of_segments(&disk);
        disk.set_faults(Faults {
            fails_at: Some(at),
            ..Faults::NONE
        });
        let (mut taken, mut lost) = (0, 0);
        for number in 0..20 {
            // Refused, it is put again.
            while let Err(error) = put(&mut spool, number).map(|count| lost += count) {
                assert!(error.to_string().contains("this time"), "{error}");
            }
            taken += 1;
            let used = disk.used_in(&state().join("spool"));
            assert!(used <= 800 + 2 * 108 + 20, "{used} bytes");
        }
        let left = take_all(&mut spool);
        assert_eq!(left.len() as u64 + lost, taken, "operation {at} failed");
        assert!(left.is_sorted(), "{left:?}");
    }
}

/// Entries that a run has not taken up stay, also if it ends before it could.
#[test]
fn a_start_that_fails_leaves_the_journal_as_it_was() {
    let stop = Stop::new().expect("two socket pairs");
    let disk = disk(1);
    journal(&disk, &stop, GARBAGE).0.begin(b"it").keep();
    for _ in 0..3 {
        assert_eq!(journal(&disk, &stop, GARBAGE).1, [b"it"]);
        disk.kill();
    }
    let path = state().join("journal");
    let (_, left_over, _) =
        Journal::open_on(disk.process(), &path, &stop, GARBAGE).expect("the disk is well");
    left_over
        .into_iter()
        .for_each(|one| Ticket::finish(one.take_up().1));
    assert!(journal(&disk, &stop, GARBAGE).1.is_empty());
    assert!(disk.used_in(Path::new("/state")) == 0);
}

/// The subscription was believed to have worked until the last request that made it had ended.
/// A broker that died during that request left a gap that was not reported.
#[test]
fn a_gap_begins_when_the_subscription_was_requested() {
    let start = ClockTimes {
        monotonic: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    let after = |time: Duration| ClockTimes {
        monotonic: start.monotonic + time,
        wall: start.wall + time,
    };
    let mut session = Subscriber::new(bridge::wishes(0, false), Vec::new(), 1, start);
    let mut topics = 0;
    let mut subscribe = |session: &mut Subscriber, mut now: ClockTimes, input: Input| {
        let (mut said, mut next) = session.step(now, input);
        let mut gaps = Vec::new();
        loop {
            gaps.extend(said.iter().filter_map(|output| match output {
                Output::Log(Notice::SubscribedAgain(gap, _)) => Some(*gap),
                _ => None,
            }));
            let input = match next {
                Next::Ask(Request::Subscribe(..), _) => {
                    topics += 1;
                    Input::Answer(Ok(Some(bridge::subscription(topics))))
                }
                Next::Ask(Request::Heartbeat(_), _) => Input::Answer(Err(bridge::refused())),
                // It died after the subscription was made.
                Next::Ask(Request::Unsubscribe(_), time) => {
                    now.monotonic += time;
                    now.wall += time;
                    Input::Answer(Err(bridge::no_answer(time)))
                }
                Next::Detect(_) => Input::Generation(Ok(Some(Protocol::Stix2))),
                Next::Connect(_) => Input::Connected(Ok(())),
                Next::Wait(_) | Next::End => return gaps,
            };
            (said, next) = session.step(now, input);
        }
    };
    assert!(subscribe(&mut session, start, Input::Time).is_empty());
    let later = after(4 * HEARTBEAT);
    let gaps = subscribe(&mut session, later, Input::Cut(bridge::refused()));
    assert!(gaps[0] >= 4 * HEARTBEAT, "{gaps:?}");
}

/// Makes a subscription at a broker that answers each request after `time`, and heartbeats as
/// `heartbeats` says; whether the session believes that the broker was restarted.
fn is_believed_restarted(
    session: &mut Subscriber,
    mut now: ClockTimes,
    first: Input,
    time: Duration,
    heartbeats: &mut Vec<bool>,
) -> bool {
    let mut topics = 0;
    let (mut said, mut next) = session.step(now, first);
    let mut restarted = false;
    loop {
        restarted |= said
            .iter()
            .any(|output| matches!(output, Output::Listening(_, Some(_))));
        let input = match next {
            Next::Ask(Request::Subscribe(..), _) => {
                now.monotonic += time;
                topics += 1;
                Input::Answer(Ok(Some(bridge::subscription(topics))))
            }
            Next::Ask(Request::Heartbeat(_), _) => Input::Answer(match heartbeats.pop() {
                Some(true) => Ok(None),
                _ => Err(bridge::refused()),
            }),
            Next::Ask(Request::Unsubscribe(_), _) => Input::Answer(Ok(None)),
            Next::Detect(_) => Input::Generation(Ok(Some(Protocol::Stix2))),
            Next::Connect(_) => Input::Connected(Ok(())),
            Next::Wait(_) | Next::End => return restarted,
        };
        (said, next) = session.step(now, input);
    }
}

/// A broker that was restarted between two requests of a subscription was taken for the one
/// before. Its apps, which need seconds to come back, missed what was sent meanwhile.
#[test]
fn a_restart_while_a_subscription_is_made_is_noticed() {
    let start = ClockTimes {
        monotonic: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    for (time, is_known_after, expected) in [
        (Duration::ZERO, true, false),
        (Duration::ZERO, false, true),
        (Duration::from_millis(1_100), true, false),
    ] {
        let mut session = Subscriber::new(bridge::wishes(0, false), Vec::new(), 1, start);
        let none = Duration::ZERO;
        let first = is_believed_restarted(&mut session, start, Input::Time, none, &mut Vec::new());
        assert!(!first, "no broker is known from before");
        let cut = Input::Cut(bridge::refused());
        // It knows the topic when it is probed, and perhaps no more after that.
        let mut heartbeats = vec![is_known_after, true];
        let again = is_believed_restarted(&mut session, start, cut, time, &mut heartbeats);
        assert_eq!(again, expected, "{time:?} {is_known_after}");
    }
    // At the first subscription there is no topic to probe: only the time shows it.
    for (time, expected) in [(100, false), (600, true)] {
        let mut session = Subscriber::new(bridge::wishes(0, false), Vec::new(), 1, start);
        let time = Duration::from_millis(time);
        let first = is_believed_restarted(&mut session, start, Input::Time, time, &mut Vec::new());
        assert_eq!(first, expected, "{time:?}");
    }
}

/// Where the connection ended before each heartbeat, the topics of all former subscriptions
/// stayed at the broker, which suffers from a few hundred.
#[test]
fn topics_do_not_pile_up_where_a_connection_ends_again_and_again() {
    let start = ClockTimes {
        monotonic: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    let mut session = Subscriber::new(bridge::wishes(0, true), Vec::new(), 1, start);
    let mut topics = 0;
    let mut input = Input::Time;
    for _ in 0..50 {
        let mut next = session.step(start, input).1;
        loop {
            let input = match next {
                Next::Ask(Request::Subscribe(..), _) => {
                    topics += 1;
                    Input::Answer(Ok(Some(bridge::subscription(topics))))
                }
                Next::Ask(..) => Input::Answer(Ok(None)),
                Next::Detect(_) => Input::Generation(Ok(Some(Protocol::Stix2))),
                Next::Connect(_) => Input::Connected(Ok(())),
                Next::Wait(_) | Next::End => break,
            };
            next = session.step(start, input).1;
        }
        assert!(session.is_serving());
        // Those of the subscription in use, and of the one before it, which is still read.
        assert!(session.held().len() <= 4, "{:?}", session.held());
        input = Input::Cut(bridge::refused());
    }
    assert_eq!(session.held().len(), 4);
}
