//! Decides whether a condition holds in an event, with one object for all tests on a
//! subject.
//!
//! A condition holds if there is an object of the event for each subject such that the
//! tests, each applied to the object of its subject, make the whole condition true. The
//! tests that an object passes are its *profile*. Few objects differ in it, and a profile
//! that another one dominates can be ignored. A test on a property of a file that the
//! event does not contain is *unknown*; it counts as passed if an equal hash in the same
//! `AND` identifies the file.

use std::collections::HashMap;

use super::{Condition, Subject, Test, TestedPlace, View};
use crate::matching::event::Object;
use crate::observable::Kind;

/// The most combinations of objects that are tried. For an event and a pattern made to
/// need more, each test may use a different object, which answers yes.
const MOST_CHOICES: usize = 10_000;

/// The most profiles that are compared with each other.
const MOST_COMPARED: usize = 200;

/// The outcome of a test for an object. A greater one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TestOutcome {
    Failed,
    /// The event does not say.
    Unknown,
    Passed,
}

/// Whether the condition holds.
pub(super) fn holds(condition: &Condition, event: &impl View) -> bool {
    // Each test separately first: if that fails, the objects need not be examined.
    let any_identifies = condition.any_test(&Test::identifies);
    let alone = |test: &Test| any_value(test, event) || any_identifies && test.is_passed_unknown();
    if !plainly(condition, event, &alone) {
        return false;
    }
    if !any_identifies && !needs_one_object(condition) {
        return true;
    }
    let mut subjects: Vec<SubjectTests<'_>> = Vec::new();
    gather(condition, &mut subjects);
    for subject in &mut subjects {
        subject.look_at(event);
    }
    ObjectSearch {
        condition,
        subjects,
        chosen: Vec::new(),
        left: MOST_CHOICES,
        event,
    }
    .any()
}

/// Whether any value of the event passes a test.
fn any_value(test: &Test, event: &impl View) -> bool {
    let mut passes = false;
    event.each(test.place, &mut |seen| passes = passes || test.passes(seen));
    passes
}

/// Whether the condition holds with each test applied separately.
fn plainly(condition: &Condition, event: &impl View, passes: &impl Fn(&Test) -> bool) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|one| plainly(one, event, passes)),
        Condition::Any(parts) => parts.iter().any(|one| plainly(one, event, passes)),
        Condition::Test(test) => passes(test),
        Condition::Without(test) => !any_value(test, event),
        Condition::During(start, stop) => {
            let time = event.time();
            time.is_some_and(|time| (*start..*stop).contains(&time))
        }
    }
}

/// Whether two tests on one subject have to hold together.
fn needs_one_object(condition: &Condition) -> bool {
    /// The subjects in a condition, as bits; `None` once the answer is known.
    fn subjects(condition: &Condition) -> Option<u32> {
        match condition {
            Condition::All(parts) => {
                let mut all = 0;
                for part in parts {
                    let own = subjects(part)?;
                    if all & own != 0 {
                        return None;
                    }
                    all |= own;
                }
                Some(all)
            }
            Condition::Any(parts) => parts
                .iter()
                .try_fold(0, |all, part| Some(all | subjects(part)?)),
            Condition::Test(test) => Some(match test.subject {
                Subject::Nobody => 0,
                subject => 1 << subject as u32,
            }),
            Condition::Without(_) | Condition::During(..) => Some(0),
        }
    }
    subjects(condition).is_none()
}

/// A subject, its tests in the order of the condition, and the profiles to choose from.
struct SubjectTests<'c> {
    subject: Subject,
    tests: Vec<&'c Test>,
    profiles: Vec<Vec<TestOutcome>>,
}

/// Groups the tests by subject.
fn gather<'c>(condition: &'c Condition, subjects: &mut Vec<SubjectTests<'c>>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|one| gather(one, subjects));
        }
        Condition::Test(test) => {
            let same = |one: &&mut SubjectTests<'_>| one.subject == test.subject;
            match subjects.iter_mut().find(same) {
                Some(one) => one.tests.push(test),
                None => subjects.push(SubjectTests {
                    subject: test.subject,
                    tests: vec![test],
                    profiles: vec![],
                }),
            }
        }
        Condition::Without(_) | Condition::During(..) => {}
    }
}

impl SubjectTests<'_> {
    /// The places of its tests, with the numbers of those tests.
    fn by_place(&self) -> Vec<(TestedPlace, Vec<usize>)> {
        let mut places: Vec<(TestedPlace, Vec<usize>)> = Vec::new();
        for (number, test) in self.tests.iter().enumerate() {
            match places.iter_mut().find(|(place, _)| *place == test.place) {
                Some((_, numbers)) => numbers.push(number),
                None => places.push((test.place, vec![number])),
            }
        }
        places
    }

    /// Computes the profiles of the event's objects, without the dominated ones.
    fn look_at(&mut self, event: &impl View) {
        let count = self.tests.len();
        if self.subject == Subject::Nobody {
            let outcome = |test: &&Test| {
                if any_value(test, event) {
                    TestOutcome::Passed
                } else {
                    TestOutcome::Failed
                }
            };
            self.profiles = vec![self.tests.iter().map(outcome).collect()];
            return;
        }
        // The outcomes of the tests for each object; `None` if the event does not tell.
        let mut objects: HashMap<Object, Vec<Option<bool>>> = HashMap::new();
        let mut shared: Vec<Option<bool>> = vec![None; count];
        for (place, numbers) in self.by_place() {
            let is_shared = is_shared(self.subject, place);
            event.each(place, &mut |seen| {
                let outcomes = if is_shared {
                    &mut shared
                } else {
                    objects
                        .entry(seen.object)
                        .or_insert_with(|| vec![None; count])
                };
                for &number in &numbers {
                    let test = self.tests[number];
                    if outcomes[number] != Some(true) && test.sees(seen) {
                        outcomes[number] = Some(test.passes(seen));
                    }
                }
            });
        }
        if objects.is_empty() {
            objects.insert(Object::Connection, vec![None; count]);
        }
        let profiles = objects.into_values().map(|own| {
            let outcomes = own.iter().zip(&shared).zip(&self.tests);
            outcomes
                .map(|((own, shared), test)| match own.or(*shared) {
                    Some(true) => TestOutcome::Passed,
                    Some(false) => TestOutcome::Failed,
                    None if test.is_passed_unknown() => TestOutcome::Unknown,
                    None => TestOutcome::Failed,
                })
                .collect()
        });
        self.profiles = best(profiles.collect());
    }
}

/// Whether the values of a place belong to every object of the subject: an event is about
/// one connection, one mail, one process, and a DNS answer belongs to all its names.
fn is_shared(subject: Subject, place: TestedPlace) -> bool {
    subject.is_one_in_an_event() || place == TestedPlace::Kind(Kind::Answer)
}

/// The profiles that no other dominates, each once; if there are too many, all.
fn best(mut all: Vec<Vec<TestOutcome>>) -> Vec<Vec<TestOutcome>> {
    all.sort_unstable();
    all.dedup();
    if all.len() > MOST_COMPARED {
        return all;
    }
    let outdoes = |other: &Vec<TestOutcome>, one: &Vec<TestOutcome>| {
        other != one && other.iter().zip(one).all(|(other, one)| other >= one)
    };
    let is_best = |one: &&Vec<TestOutcome>| !all.iter().any(|other| outdoes(other, one));
    all.iter().filter(is_best).cloned().collect()
}

/// The ways in which a part of a condition can hold: 16 bits, one per way. The number of
/// a way has two bits for what it assumes (an identified file, an identified
/// certificate), and two for what it identifies.
type Ways = u16;

/// The part holds, assumes nothing and identifies nothing.
const PLAINLY: Ways = 1;

/// The bit for assuming this subject; shifted by 2, for identifying it.
fn bit(subject: Subject) -> u16 {
    if subject == Subject::File { 1 } else { 2 }
}

/// The conjunction of two parts: each way of one with each way of the other.
fn both(one: Ways, other: Ways) -> Ways {
    let ways = |of: Ways| (0..16u16).filter(move |way| of & 1 << way != 0);
    let mut all = 0;
    for way in ways(one) {
        for more in ways(other) {
            all |= 1 << (way | more);
        }
    }
    all
}

/// Whether any way identifies everything that it assumes.
fn any_is_settled(ways: Ways) -> bool {
    (0..16u16).any(|way| {
        let (granted, identified) = (way & 3, way >> 2);
        ways & 1 << way != 0 && granted & !identified == 0
    })
}

struct ObjectSearch<'c, E> {
    condition: &'c Condition,
    subjects: Vec<SubjectTests<'c>>,
    /// The chosen profile of each subject so far.
    chosen: Vec<usize>,
    /// The number of combinations that may still be tried.
    left: usize,
    event: &'c E,
}

impl<E: View> ObjectSearch<'_, E> {
    /// Whether the condition holds for any combination of objects.
    fn any(&mut self) -> bool {
        if self.left == 0 {
            return true;
        }
        let at = self.chosen.len();
        if at == self.subjects.len() {
            self.left -= 1;
            let mut next = vec![0; at];
            return any_is_settled(self.ways(self.condition, &mut next));
        }
        for profile in 0..self.subjects[at].profiles.len() {
            self.chosen.push(profile);
            let found = self.any();
            self.chosen.pop();
            if found {
                return true;
            }
        }
        false
    }

    /// The ways in which a part holds for the chosen objects; `next` counts the tests on
    /// each subject.
    fn ways(&self, condition: &Condition, next: &mut [usize]) -> Ways {
        match condition {
            Condition::All(parts) => parts
                .iter()
                .fold(PLAINLY, |all, one| both(all, self.ways(one, next))),
            Condition::Any(parts) => parts.iter().fold(0, |all, one| all | self.ways(one, next)),
            Condition::Test(test) => {
                let is_its = |one: &SubjectTests<'_>| one.subject == test.subject;
                let at = self.subjects.iter().position(is_its);
                let at = at.expect("every test was gathered with its subject");
                let number = next[at];
                next[at] += 1;
                match self.subjects[at].profiles[self.chosen[at]][number] {
                    TestOutcome::Failed => 0,
                    TestOutcome::Unknown => 1 << bit(test.subject),
                    TestOutcome::Passed if test.identifies() => 1 << (bit(test.subject) << 2),
                    TestOutcome::Passed => PLAINLY,
                }
            }
            Condition::Without(_) | Condition::During(..) => {
                if plainly(condition, self.event, &|_| false) {
                    PLAINLY
                } else {
                    0
                }
            }
        }
    }
}
