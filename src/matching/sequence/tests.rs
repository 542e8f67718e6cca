use std::sync::Arc;

use proptest::prelude::*;

use super::oracle::{self, Event};
use super::shape::Shape;
use super::track::Track;
use super::*;

fn part(part: u16) -> Expression {
    Expression::Observed { part, times: 1 }
}

fn times(part: u16, times: u64) -> Expression {
    Expression::Observed { part, times }
}

/// The instances that end with each event if events arrive in this order. Events are
/// identified by their position in order of time.
fn told(expression: &Expression, events: &[Event], order: &[usize]) -> Vec<Vec<usize>> {
    let shape = Arc::new(Shape::new(expression).expect("a small expression"));
    let mut track = Track::new(shape);
    let mut all = Vec::new();
    for &number in order {
        let (time, parts) = &events[number];
        if parts.is_empty() {
            continue;
        }
        let at = track.insert(*time, parts, number);
        track
            .endings(at, &mut |instance| all.push(instance))
            .expect("few ways");
    }
    all
}

fn in_order(expression: &Expression, events: &[Event]) -> Vec<Vec<usize>> {
    let order: Vec<usize> = (0..events.len()).collect();
    told(expression, events, &order)
}

fn expected(expression: &Expression, events: &[Event]) -> Vec<Vec<usize>> {
    let all = oracle::instances(expression, events);
    let told = (0..events.len()).filter_map(|last| oracle::told(&all, last));
    told.collect()
}

#[test]
fn each_event_that_ends_an_instance_is_reported_with_the_earliest_others() {
    use Expression::{All, InOrder, Repeated, Within};
    let events = |list: &[(Time, &[u16])]| -> Vec<Event> {
        list.iter()
            .map(|(time, parts)| (*time, parts.to_vec()))
            .collect()
    };
    let a_b = || vec![part(0), part(1)];
    for (expression, list, expected) in [
        (
            All(a_b()),
            &[(1, &[1][..]), (2, &[0]), (3, &[0]), (4, &[1])][..],
            &[&[0, 1][..], &[0, 2], &[1, 3]][..],
        ),
        (
            InOrder(a_b()),
            &[(1, &[1]), (2, &[0]), (3, &[0]), (4, &[1])],
            &[&[1, 3]],
        ),
        // At the same time is in order, whichever is first here.
        (InOrder(a_b()), &[(1, &[1]), (1, &[0])], &[&[0, 1]]),
        (
            times(0, 3),
            &[(1, &[0]), (2, &[0]), (3, &[0]), (9, &[0])],
            &[&[0, 1, 2], &[0, 1, 3]],
        ),
        (
            Within(Box::new(times(0, 2)), 1),
            &[(1, &[0]), (2, &[0]), (4, &[0]), (5, &[0])],
            &[&[0, 1], &[2, 3]],
        ),
        // One event is not two.
        (All(a_b()), &[(1, &[0, 1]), (2, &[0])], &[&[0, 1]]),
        (
            Repeated(Box::new(InOrder(a_b())), 2),
            &[(1, &[0]), (2, &[1]), (3, &[0, 1]), (4, &[1])],
            &[&[0, 1, 2, 3]],
        ),
        (
            Expression::Any(vec![All(a_b()), part(2)]),
            &[(1, &[0]), (2, &[1, 2]), (3, &[1])],
            &[&[1], &[0, 2]],
        ),
    ] {
        let list = events(list);
        assert_eq!(in_order(&expression, &list), expected, "{expression}");
        assert_eq!(
            super::tests::expected(&expression, &list),
            expected,
            "{expression}"
        );
    }
}

#[test]
fn equivalent_expressions_become_one() {
    use Expression::{All, Any, Repeated, Within};
    for (expression, simple) in [
        (
            All(vec![part(0), All(vec![part(1), part(0)])]),
            All(vec![times(0, 2), part(1)]),
        ),
        (
            Repeated(Box::new(All(vec![part(0), part(1)])), 3),
            All(vec![times(0, 3), times(1, 3)]),
        ),
        (
            Repeated(Box::new(Repeated(Box::new(part(0)), 2)), 3),
            times(0, 6),
        ),
        (Within(Box::new(part(0)), 5), part(0)),
        (
            Within(Box::new(Within(Box::new(times(0, 2)), 9)), 5),
            Within(Box::new(times(0, 2)), 5),
        ),
        (Any(vec![part(0), Any(vec![part(0)])]), part(0)),
    ] {
        assert_eq!(expression.clone().simplified(), simple, "{expression}");
    }
    assert!(Shape::new(&times(0, MOST_EVENTS)).is_some());
    assert!(Shape::new(&times(0, MOST_EVENTS + 1)).is_none());
    let order = Expression::InOrder(vec![part(0), part(1)]);
    assert!(Shape::new(&Repeated(Box::new(order.clone()), 100)).is_some());
    assert!(Shape::new(&Repeated(Box::new(order), 1000)).is_none());
}

#[test]
fn many_events_for_one_observation_do_not_take_long() {
    let order = Expression::InOrder(vec![part(0), part(1)]);
    let pairs = Expression::Repeated(Box::new(order), 10);
    let events: Vec<Event> = (0..20)
        .map(|n| (n, if n > 5 { vec![0, 1] } else { vec![0] }))
        .collect();
    let all: Vec<usize> = (0..20).collect();
    assert_eq!(in_order(&pairs, &events), [all]);
    let within = Expression::Within(Box::new(times(0, 100)), 1000);
    let events: Vec<Event> = (0..3000).map(|n| (n, vec![0])).collect();
    assert_eq!(in_order(&within, &events).len(), 2901);
    let never = Expression::All(vec![part(0), part(1), part(2)]);
    let mut events = events;
    events[7].1 = vec![0, 1, 2];
    assert_eq!(in_order(&never, &events), Vec::<Vec<usize>>::new());
}

#[test]
fn what_is_forgotten_is_in_no_instance() {
    let shape = Arc::new(Shape::new(&times(0, 2)).expect("small"));
    let mut track = Track::new(shape);
    for time in 0..5 {
        track.insert(time, &[0], time);
    }
    let mut gone = Vec::new();
    track.forget_before(3, &mut |event| gone.push(event));
    assert_eq!((gone, track.len()), (vec![0, 1, 2], 2));
    assert_eq!((track.oldest(), track.newest()), (Some(3), Some(4)));
    let mut told = Vec::new();
    track
        .endings(0, &mut |instance| told.push(instance))
        .expect("few ways");
    assert_eq!(told, [[3, 4]]);
    assert_eq!(
        (
            track.forget_oldest(),
            track.forget_oldest(),
            track.forget_oldest()
        ),
        (Some(3), Some(4), None)
    );
    assert!(track.is_empty() && track.oldest().is_none());
    track.insert(9, &[0], 9);
    assert_eq!(track.each().count(), 1);
}

fn expression() -> impl Strategy<Value = Expression> {
    let leaf = (0..3u16, 1..3u64).prop_map(|(part, times)| Expression::Observed { part, times });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several.clone().prop_map(Expression::All),
            several.clone().prop_map(Expression::InOrder),
            several.prop_map(Expression::Any),
            (inner.clone(), 0..6i32)
                .prop_map(|(one, most)| Expression::Within(one.into(), most.into())),
            (inner, 1..3u64).prop_map(|(one, times)| Expression::Repeated(one.into(), times)),
        ]
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let parts = prop::collection::btree_set(0..3u16, 0..3);
    let event =
        (0..8i32, parts).prop_map(|(time, parts)| (time.into(), parts.into_iter().collect()));
    prop::collection::vec(event, 0..9).prop_map(|mut events: Vec<Event>| {
        events.sort_by_key(|(time, _)| *time);
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn agrees_with_the_specification(
        expression in expression().prop_filter("small", |one| one.most_events() < 9),
        events in events(),
    ) {
        prop_assert_eq!(in_order(&expression, &events), expected(&expression, &events), "{}", expression);
    }

    #[test]
    fn the_same_events_end_an_instance_whatever_their_order_of_arrival(
        expression in expression().prop_filter("small", |one| one.most_events() < 9),
        (events, order) in events().prop_flat_map(|events| {
            let order: Vec<usize> = (0..events.len()).collect();
            (Just(events), Just(order).prop_shuffle())
        }),
    ) {
        let ends = |told: Vec<Vec<usize>>| {
            let mut ends: Vec<usize> = told.iter().filter_map(|one| one.last().copied()).collect();
            ends.sort_unstable();
            ends
        };
        let shuffled = ends(told(&expression, &events, &order));
        prop_assert_eq!(shuffled, ends(in_order(&expression, &events)));
    }

    #[test]
    fn a_simplified_expression_means_the_same(
        expression in expression().prop_filter("small", |one| one.most_events() < 9),
        events in events(),
    ) {
        let simple = expression.clone().simplified();
        prop_assert_eq!(oracle::instances(&simple, &events), oracle::instances(&expression, &events));
    }
}
