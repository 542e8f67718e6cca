//! The instances of an expression as the specification defines them, found by trying every way
//! to choose events.

use std::collections::BTreeSet;

use super::{Expression, Time};

/// An event: its time, and the parts that it satisfies.
pub type Event = (Time, Vec<u16>);

/// All sets of events that are an instance, each as the numbers of its events.
pub fn instances(expression: &Expression, events: &[Event]) -> BTreeSet<BTreeSet<usize>> {
    let time = |number: usize| events[number].0;
    match expression {
        Expression::Observed { part, times } => {
            let single = |(number, event): (usize, &Event)| {
                event.1.contains(part).then(|| BTreeSet::from([number]))
            };
            let singles = events.iter().enumerate().filter_map(single).collect();
            disjoint(&vec![singles; *times as usize])
        }
        Expression::All(parts) => {
            let parts = parts.iter().map(|part| instances(part, events));
            disjoint(&parts.collect::<Vec<_>>())
        }
        Expression::Any(parts) => parts
            .iter()
            .flat_map(|part| instances(part, events))
            .collect(),
        Expression::InOrder(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| instances(part, events)).collect();
            parts
                .into_iter()
                .reduce(|before, behind| {
                    let joined = before.iter().flat_map(|one| {
                        let fits = |other: &&BTreeSet<usize>| {
                            let last = one.iter().map(|number| time(*number)).max();
                            let first = other.iter().map(|number| time(*number)).min();
                            one.is_disjoint(other) && last <= first
                        };
                        behind
                            .iter()
                            .filter(fits)
                            .map(|other| one | other)
                            .collect::<Vec<_>>()
                    });
                    joined.collect()
                })
                .unwrap_or_default()
        }
        Expression::Within(inner, most) => {
            let mut found = instances(inner, events);
            found.retain(|one| {
                let times = one.iter().map(|number| time(*number));
                let (first, last) = (times.clone().min(), times.max());
                first
                    .zip(last)
                    .is_some_and(|(first, last)| last - first <= *most)
            });
            found
        }
        Expression::Repeated(inner, times) => {
            disjoint(&vec![instances(inner, events); *times as usize])
        }
    }
}

/// Every union of one set from each part, if those have no event in common.
fn disjoint(parts: &[BTreeSet<BTreeSet<usize>>]) -> BTreeSet<BTreeSet<usize>> {
    let none = BTreeSet::from([BTreeSet::new()]);
    parts.iter().fold(none, |all, part| {
        let joined = all.iter().flat_map(|one| {
            let others = part.iter().filter(|other| one.is_disjoint(other));
            others.map(|other| one | other).collect::<Vec<_>>()
        });
        joined.collect()
    })
}

/// The instance that is reported for an event. Of those that end with it, it is the first in the
/// order of their other events. Events that it does not need are then left out, the latest
/// first.
pub fn told(all: &BTreeSet<BTreeSet<usize>>, last: usize) -> Option<Vec<usize>> {
    let ending = all.iter().filter(|one| one.last() == Some(&last));
    let others = |one: &BTreeSet<usize>| -> Vec<usize> {
        one.iter()
            .copied()
            .filter(|number| *number != last)
            .collect()
    };
    let ending: BTreeSet<Vec<usize>> = ending.map(others).collect();
    let mut found = ending.first()?.clone();
    'smaller: loop {
        for without in (0..found.len()).rev() {
            let mut rest = found.clone();
            rest.remove(without);
            let is_inside = |one: &&Vec<usize>| one.iter().all(|number| rest.contains(number));
            if let Some(smaller) = ending.iter().find(is_inside) {
                found = smaller.clone();
                continue 'smaller;
            }
        }
        found.push(last);
        return Some(found);
    }
}
