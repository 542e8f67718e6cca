//! Decides which of a few places does which job: a pure state machine.
//!
//! A job has a key, the values of its command's placeholders. A place holds one process,
//! which has one key. A job is assigned to the place with its key; else to an empty place,
//! or else to the one that was unused for the longest time. All waiting jobs with the same
//! key are assigned with it, in their order.

use std::collections::VecDeque;

/// A place for one process.
#[derive(Debug)]
struct ProcessPlace<K> {
    /// The key of the process in it.
    key: Option<K>,
    is_busy: bool,
    /// When it was last used, as a number that only grows.
    used: u64,
}

/// Jobs with one key that begin now.
#[derive(Debug, PartialEq, Eq)]
pub struct Begun<J> {
    /// The place of the jobs.
    pub place: usize,
    /// The jobs, at least one.
    pub jobs: Vec<J>,
    /// Whether other keys wait for a place, so that the process is not to be kept.
    pub is_pressed: bool,
}

/// The places, and the waiting jobs.
#[derive(Debug)]
pub struct Schedule<K, J> {
    places: Vec<ProcessPlace<K>>,
    waiting: VecDeque<(K, J)>,
    begun: u64,
}

impl<K: PartialEq + Clone, J> Schedule<K, J> {
    /// Starts with this many empty places.
    pub fn new(places: usize) -> Self {
        let place = || ProcessPlace {
            key: None,
            is_busy: false,
            used: 0,
        };
        Schedule {
            places: std::iter::repeat_with(place).take(places).collect(),
            waiting: VecDeque::new(),
            begun: 0,
        }
    }

    /// Adds a job; returns what begins now.
    pub fn submit(&mut self, key: K, job: J) -> Vec<Begun<J>> {
        self.waiting.push_back((key, job));
        self.begin()
    }

    /// A place has finished its jobs, and `is_kept` tells whether it still has its process;
    /// returns what begins now.
    pub fn done(&mut self, place: usize, is_kept: bool) -> Vec<Begun<J>> {
        self.places[place].is_busy = false;
        if !is_kept {
            self.places[place].key = None;
        }
        self.begin()
    }

    fn begin(&mut self) -> Vec<Begun<J>> {
        let mut begun = Vec::new();
        let mut at = 0;
        while at < self.waiting.len() && self.places.iter().any(|place| !place.is_busy) {
            match self.place_for(&self.waiting[at].0) {
                None => at += 1,
                Some(place) => {
                    let key = self.waiting[at].0.clone();
                    self.begun += 1;
                    begun.push(Begun {
                        place,
                        jobs: self.take(&key),
                        is_pressed: false,
                    });
                    self.places[place] = ProcessPlace {
                        key: Some(key),
                        is_busy: true,
                        used: self.begun,
                    };
                }
            }
        }
        let is_pressed = self.is_pressed();
        for one in &mut begun {
            one.is_pressed = is_pressed;
        }
        begun
    }

    /// Removes and returns all waiting jobs with this key.
    fn take(&mut self, key: &K) -> Vec<J> {
        let mut taken = Vec::new();
        for (other, job) in std::mem::take(&mut self.waiting) {
            if other == *key {
                taken.push(job);
            } else {
                self.waiting.push_back((other, job));
            }
        }
        taken
    }

    /// The place where a job with this key can begin.
    fn place_for(&self, key: &K) -> Option<usize> {
        let holder = self
            .places
            .iter()
            .position(|place| place.key.as_ref() == Some(key));
        if let Some(holder) = holder {
            return (!self.places[holder].is_busy).then_some(holder);
        }
        let idle = self
            .places
            .iter()
            .enumerate()
            .filter(|(_, place)| !place.is_busy);
        let least = idle.min_by_key(|(_, place)| (place.key.is_some(), place.used));
        least.map(|(number, _)| number)
    }

    /// Whether a job waits for a key that no place has.
    fn is_pressed(&self) -> bool {
        let is_held = |key| {
            self.places
                .iter()
                .any(|place| place.key.as_ref() == Some(key))
        };
        self.waiting.iter().any(|(key, _)| !is_held(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn begun(place: usize, job: u32) -> Begun<u32> {
        Begun {
            place,
            jobs: vec![job],
            is_pressed: false,
        }
    }

    #[test]
    fn a_key_keeps_its_place_and_the_least_used_one_is_given_up() {
        let mut schedule = Schedule::new(2);
        assert_eq!(schedule.submit("a", 1), [begun(0, 1)]);
        assert_eq!(schedule.submit("a", 2), []);
        assert_eq!(schedule.submit("b", 3), [begun(1, 3)]);
        assert_eq!(schedule.done(0, true), [begun(0, 2)]);
        assert_eq!(schedule.done(1, true), []);
        assert_eq!(schedule.done(0, true), []);
        assert_eq!(schedule.submit("b", 4), [begun(1, 4)]);
        assert_eq!(schedule.done(1, true), []);
        // `a` was used before `b`.
        assert_eq!(schedule.submit("c", 5), [begun(0, 5)]);
        // A place without a process is used first.
        assert_eq!(schedule.done(0, false), []);
        assert_eq!(schedule.submit("d", 6), [begun(0, 6)]);
    }

    #[test]
    fn who_holds_a_place_that_others_wait_for_is_told() {
        let mut schedule = Schedule::new(1);
        schedule.submit("a", 1);
        assert_eq!(schedule.submit("a", 2), []);
        assert_eq!(schedule.submit("b", 3), []);
        let begun = schedule.done(0, true);
        assert!(begun.len() == 1 && begun[0].jobs == [2] && begun[0].is_pressed);
        let begun = schedule.done(0, false);
        assert!(begun.len() == 1 && begun[0].jobs == [3] && !begun[0].is_pressed);
    }

    #[test]
    fn jobs_of_a_key_that_wait_go_together() {
        let mut schedule = Schedule::new(1);
        schedule.submit("a", 1);
        for (key, job) in [("b", 2), ("a", 3), ("b", 4)] {
            assert_eq!(schedule.submit(key, job), []);
        }
        let begun = schedule.done(0, true);
        assert_eq!((begun.len(), &begun[0].jobs), (1, &vec![2, 4]));
        assert_eq!(schedule.done(0, true)[0].jobs, [3]);
    }

    proptest! {
        /// Every job is done once; jobs with one key are done in order and never in two
        /// places.
        #[test]
        fn every_job_is_done_once_and_in_order(
            places in 1..4_usize,
            steps in vec((0..5_u8, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut schedule: Schedule<u8, (u8, u32)> = Schedule::new(places);
            let (mut running, mut ended) = (Vec::new(), Vec::new());
            let mut number = 0;
            type Running = Vec<(usize, Vec<(u8, u32)>)>;
            let take = |begun: Vec<Begun<(u8, u32)>>, running: &mut Running| {
                for one in begun {
                    assert!(one.place < places);
                    assert!(one.jobs.iter().all(|job| job.0 == one.jobs[0].0));
                    assert!(running.iter().all(|(place, _)| *place != one.place));
                    assert!(running.iter().all(|(_, jobs)| jobs[0].0 != one.jobs[0].0));
                    running.push((one.place, one.jobs));
                }
            };
            for (key, submits, is_kept) in steps {
                if submits || running.is_empty() {
                    number += 1;
                    take(schedule.submit(key, (key, number)), &mut running);
                } else {
                    let (place, jobs) = running.remove(usize::from(key) % running.len());
                    ended.extend(jobs);
                    take(schedule.done(place, is_kept), &mut running);
                }
            }
            while let Some((place, jobs)) = running.pop() {
                ended.extend(jobs);
                take(schedule.done(place, true), &mut running);
            }
            let mut numbers: Vec<u32> = ended.iter().map(|job| job.1).collect();
            for key in 0..5 {
                let of_key: Vec<u32> = ended.iter().filter(|job| job.0 == key).map(|job| job.1).collect();
                prop_assert!(of_key.is_sorted());
            }
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (1..=number).collect::<Vec<_>>());
        }
    }
}
