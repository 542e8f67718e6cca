//! The indicators that wait for a worker, in the order they came.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ledger::Ledger;
use crate::indicator::Indicator;

/// One indicator on its way through retro matching.
#[derive(Debug)]
pub struct Request {
    /// What to ask for.
    pub indicator: Arc<Indicator>,
    /// How many sightings were reported for it already, by queries that were not
    /// finished.
    pub count: u64,
    /// Their events.
    pub reported: Ledger,
    /// How many of them the ledger had no room for.
    pub forgotten: u64,
}

impl Request {
    /// A new request.
    pub fn new(indicator: Indicator) -> Self {
        Request {
            indicator: Arc::new(indicator),
            count: 0,
            reported: Ledger::default(),
            forgotten: 0,
        }
    }
}

impl Request {
    /// Nobody wants the answer any more.
    pub fn abandon(self) {
        if let Some(ticket) = self.indicator.ticket.clone() {
            ticket.finish();
        }
    }
}

/// Waiting requests. An id can wait more than once, with different content.
#[derive(Debug, Default)]
pub struct Queue {
    /// Those that go into the lists of a query with others.
    listed: BTreeMap<u64, Request>,
    /// Those that take a query of their own.
    alone: BTreeMap<u64, Request>,
    by_id: HashMap<Arc<str>, Vec<u64>>,
    next: u64,
    observables: usize,
}

/// What became of a request that was put in.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Queued,
    /// The same id with the same observables waits already.
    Folded,
}

impl Queue {
    /// Puts a request at the end.
    pub fn push(&mut self, request: Request) -> Put {
        let id = &request.indicator.id;
        let same = |number: &u64| {
            self.get(*number).is_some_and(|waiting| {
                waiting.indicator.asks_the_same(&request.indicator)
                    && waiting.indicator.protocol == request.indicator.protocol
            })
        };
        if request.count == 0
            && self
                .by_id
                .get(id)
                .is_some_and(|numbers| numbers.iter().any(same))
        {
            return Put::Folded;
        }
        self.observables += request.indicator.weight();
        self.by_id.entry(id.clone()).or_default().push(self.next);
        match request.indicator.selection {
            None => self.listed.insert(self.next, request),
            Some(_) => self.alone.insert(self.next, request),
        };
        self.next += 1;
        Put::Queued
    }

    /// Takes out every request for this id.
    pub fn remove(&mut self, id: &str) -> Vec<Request> {
        let numbers = self.by_id.remove(id).unwrap_or_default();
        let removed: Vec<Request> = numbers
            .iter()
            .filter_map(|number| {
                let listed = self.listed.remove(number);
                listed.or_else(|| self.alone.remove(number))
            })
            .collect();
        self.observables -= count(&removed);
        removed
    }

    fn get(&self, number: u64) -> Option<&Request> {
        let listed = self.listed.get(&number);
        listed.or_else(|| self.alone.get(&number))
    }

    /// Takes out the oldest requests, as many as have at most `observables`
    /// between them, but at least one if any waits. One that takes a query of its
    /// own is taken alone when it is the oldest.
    pub fn take(&mut self, observables: usize) -> Vec<Request> {
        let oldest = self.listed.first_key_value().map(|(number, _)| *number);
        let mut taken = Vec::new();
        if let Some(entry) = self.alone.first_entry() {
            if oldest.is_none_or(|oldest| *entry.key() < oldest) {
                let (number, request) = entry.remove_entry();
                self.forget_number(&request.indicator.id, number);
                taken.push(request);
                return taken;
            }
        }
        let mut sum = 0;
        while let Some(entry) = self.listed.first_entry() {
            let more = entry.get().indicator.weight();
            if !taken.is_empty() && sum + more > observables {
                break;
            }
            sum += more;
            let (number, request) = entry.remove_entry();
            self.forget_number(&request.indicator.id, number);
            taken.push(request);
        }
        self.observables -= sum;
        taken
    }

    fn forget_number(&mut self, id: &str, number: u64) {
        if let Some(numbers) = self.by_id.get_mut(id) {
            numbers.retain(|waiting| *waiting != number);
            if numbers.is_empty() {
                self.by_id.remove(id);
            }
        }
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.listed.len() + self.alone.len()
    }

    /// How many observables wait, by their weight.
    pub fn observables(&self) -> usize {
        self.observables
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.alone.is_empty()
    }
}

fn count(requests: &[Request]) -> usize {
    requests
        .iter()
        .map(|request| request.indicator.weight())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{Protocol, Validity};
    use crate::observable::Observable;

    fn request(id: &str, value: &str) -> Request {
        Request::new(Indicator {
            id: id.into(),
            protocol: Protocol::Legacy,
            observables: vec![Observable::Domain(value.into())],
            selection: None,
            condition: None,
            validity: Validity::ALWAYS,
            ioc: vec![value.into()],
            original: None,
            ticket: None,
        })
    }

    fn ids(requests: &[Request]) -> Vec<&str> {
        requests
            .iter()
            .map(|request| &*request.indicator.id)
            .collect()
    }

    #[test]
    fn requests_leave_in_order_and_by_number() {
        let mut queue = Queue::default();
        for id in ["1", "2", "3"] {
            assert_eq!(queue.push(request(id, id)), Put::Queued);
        }
        assert_eq!(ids(&queue.take(2)), ["1", "2"]);
        assert_eq!((queue.len(), queue.observables()), (1, 1));
        assert_eq!(ids(&queue.take(0)), ["3"]);
        assert!(queue.is_empty() && queue.take(9).is_empty());
    }

    #[test]
    fn duplicates_fold_and_changes_do_not() {
        let mut queue = Queue::default();
        queue.push(request("1", "a"));
        assert_eq!(queue.push(request("1", "a")), Put::Folded);
        assert_eq!(queue.push(request("1", "b")), Put::Queued);
        // A query that was begun carries what it has reported.
        let mut begun = request("1", "a");
        begun.count = 7;
        assert_eq!(queue.push(begun), Put::Queued);
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn a_query_of_its_own_is_taken_alone_and_parts_no_list() {
        use crate::indicator::Selection;
        use crate::matching::condition::{Field, Order};
        let own = |id: &str| {
            let Request { indicator, .. } = request(id, id);
            let mut indicator = Arc::into_inner(indicator).expect("just made");
            indicator.observables.clear();
            let port = Selection::Number(Field::DestinationPort, Order::Equal, 80);
            indicator.selection = Some(Arc::new(port));
            Request::new(indicator)
        };
        let mut queue = Queue::default();
        for request in [request("1", "a"), own("2"), request("3", "b"), own("4")] {
            assert_eq!(queue.push(request), Put::Queued);
        }
        assert_eq!(queue.push(own("2")), Put::Folded);
        assert_eq!((queue.len(), queue.observables()), (4, 2));
        for expected in [&["1", "3"][..], &["2"], &["4"], &[]] {
            assert_eq!(ids(&queue.take(9)), expected);
        }
        queue.push(own("2"));
        assert_eq!(queue.remove("2").len(), 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_removed_id_is_gone_whole() {
        let mut queue = Queue::default();
        queue.push(request("1", "a"));
        queue.push(request("2", "b"));
        queue.push(request("1", "c"));
        assert_eq!(queue.remove("1").len(), 2);
        assert!(queue.remove("1").is_empty());
        assert_eq!(queue.observables(), 1);
        assert_eq!(ids(&queue.take(9)), ["2"]);
        assert_eq!(queue.push(request("2", "b")), Put::Queued);
    }
}
