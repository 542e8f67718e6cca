use std::time::Duration;

use super::*;
use crate::indicator::{Protocol, Sequence};
use crate::matching::sequence::Expression;

/// A pattern of two events, each with one name, within this many seconds.
fn sequence(within: Option<u32>) -> Arc<Sequence> {
    let part = |name: &str| Indicator {
        ioc: vec![name.to_owned()],
        ..Indicator::new(
            "1".into(),
            Protocol::Stix2,
            vec![crate::observable::Observable::domain(name)],
        )
    };
    let observed = |part| Expression::Observed { part, times: 1 };
    let order = Expression::InOrder(vec![observed(0), observed(1)]);
    let expression = match within {
        Some(seconds) => Expression::Within(order.into(), Time::from(seconds) * 1_000_000_000),
        None => order,
    };
    Arc::new(Sequence::new(expression, vec![part("a"), part("b")]).expect("two events"))
}

/// The event that many seconds after nine o'clock, which arrives at that time.
fn event(second: u32, text: &str) -> Observed {
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let time = format!("2024-03-05T{:02}:{minutes:02}:{seconds:02}Z", 9 + hours);
    let line = format!(r#"{{"ts": "{time}", "n": "{text}"}}"#);
    let observed = Observed::new(&line, &"log".into()).expect("it has a time");
    Observed {
        arrived: observed.nanoseconds(),
        ..observed
    }
}

fn small(most: usize, most_bytes: usize) -> InstanceBounds {
    InstanceBounds {
        most,
        most_bytes,
        ..InstanceBounds::waiting(Duration::from_secs(3600))
    }
}

fn meet(
    partial: &mut Partial,
    id: &str,
    sequence: &Arc<Sequence>,
    (part, observed): (u16, Observed),
) -> EventOutcome {
    let now = observed.arrived;
    partial.meet(&id.into(), sequence, &[part], observed, now)
}

#[test]
fn first_halves_for_an_hour_take_no_more_than_there_is() {
    let ids: Vec<String> = (0..7).map(|number| number.to_string()).collect();
    let sequences: Vec<_> = ids.iter().map(|_| sequence(None)).collect();
    for bounds in [small(100, usize::MAX), small(usize::MAX, 20_000)] {
        let mut partial = Partial::new(bounds);
        let mut dropped = 0;
        for second in 0..3600 {
            let which = second as usize % ids.len();
            let half = (0, event(second, "x"));
            let met = meet(&mut partial, &ids[which], &sequences[which], half);
            dropped += met.dropped;
            assert!(met.instances.is_empty());
            assert!(partial.len() <= bounds.most && partial.bytes() <= bounds.most_bytes);
        }
        assert_eq!(dropped as usize + partial.len(), 3600);
        assert!((90..=110).contains(&partial.len()), "{}", partial.len());
        // The newest events are still there, and still found.
        let second = (1, event(3600, "y"));
        let [instance] = &meet(&mut partial, "0", &sequences[0], second).instances[..] else {
            panic!("no instance");
        };
        assert!(instance[0].nanoseconds() > event(3600 - 130, "").nanoseconds());
    }
}

#[test]
fn what_is_too_old_waits_no_longer() {
    for (within, last, is_found) in [
        (Some(600), 600, true),
        (Some(600), 601, false),
        (None, 3600, true),
        (None, 3601, false),
    ] {
        let sequence = sequence(within);
        let mut partial = Partial::new(small(100, usize::MAX));
        meet(&mut partial, "1", &sequence, (0, event(0, "x")));
        // The newest event of any indicator sets the time.
        meet(&mut partial, "2", &sequence, (0, event(last, "x")));
        let met = meet(&mut partial, "1", &sequence, (1, event(last, "y")));
        assert_eq!(!met.instances.is_empty(), is_found, "{within:?} {last}");
        let again = meet(&mut partial, "1", &sequence, (1, event(last + 4000, "y")));
        assert!(again.instances.is_empty());
        partial.tidy(event(last + 9000, "").nanoseconds());
        assert_eq!(partial.len(), 1, "only the newest");
        drop(sequence);
        partial.tidy(Time::MAX);
        assert!(
            partial.is_empty() && partial.bytes() == 0,
            "no part waits for it any more"
        );
    }
}

#[test]
fn nothing_is_too_old_before_a_gap_is_filled() {
    let sequence = sequence(Some(100));
    let mut partial = Partial::new(small(100, usize::MAX));
    partial.hold(true);
    meet(&mut partial, "1", &sequence, (0, event(0, "x")));
    meet(&mut partial, "1", &sequence, (0, event(5000, "x")));
    // An event of the gap, which arrives after later ones.
    let late = Observed {
        arrived: event(5001, "").nanoseconds(),
        ..event(50, "y")
    };
    let met = meet(&mut partial, "1", &sequence, (1, late));
    assert_eq!(met.instances.len(), 1);
    partial.hold(false);
    meet(&mut partial, "1", &sequence, (0, event(5200, "x")));
    assert_eq!(partial.len(), 1);
}

#[test]
fn what_waits_outlives_a_run_for_the_same_pattern_alone() {
    let first = sequence(None);
    let mut partial = Partial::new(small(100, usize::MAX));
    meet(&mut partial, "1", &first, (0, event(0, "x")));
    let met = meet(&mut partial, "1", &first, (1, event(1, "y")));
    assert_eq!(met.instances.len(), 1);
    let saved = partial.saved(event(1, "").nanoseconds());
    let directory = tempfile::tempdir().expect("a directory");
    let file = crate::state::waiting::SavedFile::new(directory.path().join("waiting"));
    assert_eq!(file.read().expect("nothing is there"), (vec![], 0));
    file.write(&saved).expect("it can be written");
    let (read, unreadable) = file.read().expect("it can be read");
    assert_eq!((&read, unreadable), (&saved, 0));
    let again = |sequence: &Arc<Sequence>, second| {
        let mut partial = Partial::new(small(100, usize::MAX));
        partial.take_up(read.clone());
        let met = meet(&mut partial, "1", sequence, (1, event(second, "z")));
        (
            met.instances.len(),
            partial.saved(event(second, "").nanoseconds()).len(),
        )
    };
    // The event that ended an instance is not reported again.
    assert_eq!(again(&sequence(None), 2), (1, 3));
    assert_eq!(again(&sequence(Some(9)), 2), (0, 1));
    // Events of an indicator that does not match again are stored as long as they can be
    // used.
    let mut other = Partial::new(small(100, usize::MAX));
    other.take_up(read);
    assert_eq!(other.saved(event(10, "").nanoseconds()).len(), 2);
    assert!(other.saved(event(9000, "").nanoseconds()).is_empty());
}

#[test]
fn a_run_that_ends_joins_what_it_met_in_whatever_order() {
    let sequence = sequence(None);
    let room = Room::new(usize::MAX, usize::MAX);
    let all = [(0, event(5, "x")), (1, event(1, "y")), (1, event(7, "y"))];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let collected = Collected::new(sequence.clone(), room.clone(), ArrivalOrder::Any);
        for at in order {
            let (part, observed): &(u16, Observed) = &all[at];
            collected.add(observed.clone(), &[*part], &mut |_| panic!("too early"));
        }
        let mut reported = Vec::new();
        let finished = collected.finish(&mut |instance| reported.push(instance.to_vec()));
        assert_eq!(finished, Ok(()));
        assert_eq!(reported, [[all[0].1.clone(), all[2].1.clone()]]);
    }
}

#[test]
fn one_event_that_comes_for_each_part_is_one() {
    let sequence = sequence(None);
    let room = Room::new(usize::MAX, usize::MAX);
    for (times, expected) in [(1, 0), (2, 1)] {
        let collected = Collected::new(sequence.clone(), room.clone(), ArrivalOrder::Any);
        for part in [0, 1] {
            for _ in 0..times {
                collected.add(event(1, "x"), &[part], &mut |_| ());
            }
        }
        let mut count = 0;
        let finished = collected.finish(&mut |_| count += 1);
        // Two equal lines are two events: the second completes an instance with the first.
        assert_eq!((finished, count), (Ok(()), expected));
    }
}

#[test]
fn what_takes_too_much_memory_goes_where_within_lets_it() {
    let run = |within, order: ArrivalOrder, backwards: bool| {
        let collected = Collected::new(sequence(within), Room::new(20_000, usize::MAX), order);
        let mut reported = 0;
        let seconds: Vec<u32> = if backwards {
            (0..1000).rev().collect()
        } else {
            (0..1000).collect()
        };
        for second in seconds {
            let part = u16::from(second % 2 == 1);
            collected.add(event(second, "x"), &[part], &mut |_| reported += 1);
        }
        collected.finish(&mut |_| reported += 1).map(|()| reported)
    };
    assert_eq!(run(Some(5), ArrivalOrder::Time, false), Ok(500));
    assert_eq!(
        run(Some(5), ArrivalOrder::Any, false),
        Err(Incomplete::Memory)
    );
    assert_eq!(
        run(None, ArrivalOrder::Time, false),
        Err(Incomplete::Memory)
    );
    assert_eq!(
        run(Some(5), ArrivalOrder::Time, true),
        Err(Incomplete::Disorder)
    );
}

#[test]
fn memory_is_given_back() {
    let room = Room::new(usize::MAX, 1000);
    let first = Collected::new(sequence(None), room.clone(), ArrivalOrder::Any);
    while first.finish(&mut |_| ()).is_ok() {
        first.add(event(1, "x"), &[0], &mut |_| ());
    }
    let second = Collected::new(sequence(None), room, ArrivalOrder::Any);
    second.add(event(1, "x"), &[0], &mut |_| ());
    assert_eq!(second.finish(&mut |_| ()), Ok(()));
}
