//! The indicators that wait for a worker, in order of arrival, and the batches of the
//! workers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use log::debug;

use super::event_multiset::EventMultiset;
use super::sequences::QueriedPart;
use crate::indicator::Indicator;
use crate::intake::{Account, Expiry, LanePlace, PutOutcome, Table, note_unsupported};
use crate::observe::metrics::Metrics;
use crate::process::text::printable;
use crate::state::journal::Ticket;

/// One indicator on its way through retro matching.
#[derive(Debug)]
pub struct RetroRequest {
    /// The indicator to query.
    pub indicator: Arc<Indicator>,
    /// Its entry in the journal, if it has one.
    pub ticket: Option<Ticket>,
    /// Its place in the account of waiting and running requests.
    pub place: Option<LanePlace>,
    /// When its validity ends.
    end: Option<Expiry>,
    /// The number of sightings that unfinished queries have reported.
    pub count: u64,
    /// The events of these sightings.
    pub reported: EventMultiset,
    /// The number of reported events for which `reported` had no room.
    pub forgotten: u64,
    /// The part of an indicator that this request is for, if it is not for a whole one.
    pub part: Option<QueriedPart>,
}

impl RetroRequest {
    /// A new request.
    pub fn new(indicator: impl Into<Arc<Indicator>>) -> Self {
        RetroRequest {
            indicator: indicator.into(),
            ticket: None,
            place: None,
            end: None,
            count: 0,
            reported: EventMultiset::default(),
            forgotten: 0,
            part: None,
        }
    }
}

/// An indicator that a worker is querying.
#[derive(Debug)]
struct RunningIndicator {
    indicator: Arc<Indicator>,
    end: Option<Expiry>,
}

/// The waiting and running requests: the [`Table`] of retro matching.
#[derive(Debug)]
pub struct Queue {
    /// Requests that share a query with others.
    listed: BTreeMap<u64, RetroRequest>,
    /// Requests that need their own query.
    alone: BTreeMap<u64, RetroRequest>,
    by_id: HashMap<Arc<str>, Vec<u64>>,
    next: u64,
    observables: usize,
    /// The batches of the workers, each with the indicators in it that are still wanted.
    running: HashMap<u64, HashMap<Arc<str>, RunningIndicator>>,
    batches: u64,
    /// Why the engine only supports queries for values, if that is the case.
    lists_only: Option<String>,
    account: Arc<Account>,
    metrics: Arc<Metrics>,
}

/// The result of adding a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// An equal request waits already.
    Folded,
}

impl Table for Queue {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        if let Some(reason) = self
            .lists_only
            .as_ref()
            .filter(|_| indicator.needs_selection())
        {
            note_unsupported(&indicator, reason, &self.metrics);
            return PutOutcome::Refused;
        }
        self.forget_others(&indicator);
        let place = self.account.place(&indicator);
        let request = RetroRequest {
            ticket,
            place: Some(place),
            end,
            ..RetroRequest::new(indicator)
        };
        match self.push(request) {
            Pushed::Queued => PutOutcome::Added,
            Pushed::Folded => PutOutcome::Repeated,
        }
    }

    /// A running query continues, but the indicator is not queried again.
    fn remove(&mut self, id: &str) -> bool {
        for wanted in self.running.values_mut() {
            wanted.remove(id);
        }
        !self.take_out(id).is_empty()
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        let waiting = self.by_id.get(id).into_iter().flatten();
        let waiting = waiting.filter_map(|number| self.get(*number)?.end);
        let running = self
            .running
            .values()
            .filter_map(|wanted| wanted.get(id)?.end);
        waiting.chain(running).max()
    }

    fn len(&self) -> usize {
        self.listed.len() + self.alone.len()
    }
}

impl Queue {
    /// An empty queue; `lists_only` is the reason if the engine only supports queries for
    /// values.
    pub fn new(lists_only: Option<String>, account: Arc<Account>, metrics: Arc<Metrics>) -> Self {
        Queue {
            listed: BTreeMap::new(),
            alone: BTreeMap::new(),
            by_id: HashMap::new(),
            next: 0,
            observables: 0,
            running: HashMap::new(),
            batches: 0,
            lists_only,
            account,
            metrics,
        }
    }

    /// Drops requests with the same id for something else: they are outdated.
    fn forget_others(&mut self, indicator: &Indicator) {
        let is_other = |other: &Indicator| !is_same(other, indicator);
        for wanted in self.running.values_mut() {
            if wanted
                .get(&indicator.id)
                .is_some_and(|one| is_other(&one.indicator))
            {
                wanted.remove(&indicator.id);
            }
        }
        let waiting = self.by_id.get(&indicator.id).into_iter().flatten();
        let mut waiting = waiting.filter_map(|number| self.get(*number));
        if waiting.any(|one| is_other(&one.indicator)) {
            self.take_out(&indicator.id);
        }
    }

    /// Adds a request at the end.
    fn push(&mut self, request: RetroRequest) -> Pushed {
        let id = &request.indicator.id;
        let numbers = self.by_id.get(id).cloned().unwrap_or_default();
        let same = |number: &u64| {
            let waiting = self.get(*number);
            waiting.is_some_and(|waiting| is_same(&waiting.indicator, &request.indicator))
        };
        if let Some(number) = numbers
            .into_iter()
            .find(same)
            .filter(|_| request.count == 0)
        {
            let listed = self.listed.get_mut(&number);
            if let Some(waiting) = listed.or_else(|| self.alone.get_mut(&number)) {
                // The newest validity counts; the waiting request has its own ticket.
                waiting.end = request.end;
            }
            return Pushed::Folded;
        }
        self.observables += request.indicator.weight();
        self.by_id.entry(id.clone()).or_default().push(self.next);
        match request.indicator.selection {
            None => self.listed.insert(self.next, request),
            Some(_) => self.alone.insert(self.next, request),
        };
        self.next += 1;
        Pushed::Queued
    }

    /// Removes and returns all waiting requests with this id.
    fn take_out(&mut self, id: &str) -> Vec<RetroRequest> {
        let numbers = self.by_id.remove(id).unwrap_or_default();
        let removed: Vec<RetroRequest> = numbers
            .iter()
            .filter_map(|number| {
                let listed = self.listed.remove(number);
                listed.or_else(|| self.alone.remove(number))
            })
            .collect();
        self.observables -= count(&removed);
        removed
    }

    /// Removes the next batch for a worker; returns it with its number.
    pub fn hand_out(&mut self, observables: usize) -> (u64, Vec<RetroRequest>) {
        let mut requests = self.take(observables);
        let number = self.batches;
        self.batches += 1;
        let wanted = requests.iter_mut().map(|request| {
            request.place.iter_mut().for_each(LanePlace::begin);
            let running = RunningIndicator {
                indicator: request.indicator.clone(),
                end: request.end,
            };
            (request.indicator.id.clone(), running)
        });
        let wanted = wanted.collect();
        self.running.insert(number, wanted);
        (number, requests)
    }

    /// Ends a batch. Its unanswered requests wait again, unless they were withdrawn.
    pub fn take_back(&mut self, number: u64, unanswered: Vec<RetroRequest>) {
        let wanted = self.running.remove(&number).unwrap_or_default();
        for mut request in unanswered {
            let Some(running) = wanted.get(&request.indicator.id) else {
                debug!(
                    "indicator {} was withdrawn while it was queried",
                    printable(&request.indicator.id, 200)
                );
                continue;
            };
            request.end = running.end;
            let indicator = &request.indicator;
            let wait = |place: &mut LanePlace| place.wait(indicator);
            request.place.iter_mut().for_each(wait);
            self.push(request);
        }
    }

    /// Leaves all waiting requests to the journal: the next run queries them.
    pub fn leave_to_journal(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        let alone = std::mem::take(&mut self.alone);
        let waiting = listed.into_values().chain(alone.into_values());
        waiting
            .filter_map(|request| request.ticket)
            .for_each(Ticket::keep);
    }

    /// Whether a worker still has a batch.
    pub fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    fn get(&self, number: u64) -> Option<&RetroRequest> {
        let listed = self.listed.get(&number);
        listed.or_else(|| self.alone.get(&number))
    }

    /// Removes and returns the oldest requests with at most `observables` observables in
    /// total, but at least one request if any waits. If the oldest request needs its own
    /// query, it is returned alone.
    fn take(&mut self, observables: usize) -> Vec<RetroRequest> {
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

    /// The number of waiting observables, by weight.
    pub fn observables(&self) -> usize {
        self.observables
    }
}

/// Whether two indicators with the same id search for the same, in the same protocol.
fn is_same(one: &Indicator, other: &Indicator) -> bool {
    one.searches_the_same(other) && one.protocol == other.protocol
}

fn count(requests: &[RetroRequest]) -> usize {
    requests
        .iter()
        .map(|request| request.indicator.weight())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;
    use crate::intake::{Budget, Fates};
    use crate::observable::Observable;
    use crate::process::stop::Stop;
    use crate::state::journal::Journal;

    fn request(id: &str, value: &str) -> RetroRequest {
        RetroRequest::new(Indicator {
            ioc: vec![value.into()],
            ..Indicator::new(
                id.into(),
                Protocol::Legacy,
                vec![Observable::Domain(value.into())],
            )
        })
    }

    fn queue() -> Queue {
        let metrics = Arc::new(Metrics::default());
        Queue::new(
            None,
            Account::new(Fates::new(metrics.clone()), false, &Budget::new(1)),
            metrics,
        )
    }

    fn ids(requests: &[RetroRequest]) -> Vec<&str> {
        requests
            .iter()
            .map(|request| &*request.indicator.id)
            .collect()
    }

    #[test]
    fn requests_leave_in_order_and_by_number() {
        let mut queue = queue();
        for id in ["1", "2", "3"] {
            assert_eq!(queue.push(request(id, id)), Pushed::Queued);
        }
        assert_eq!(ids(&queue.take(2)), ["1", "2"]);
        assert_eq!((queue.len(), queue.observables()), (1, 1));
        assert_eq!(ids(&queue.take(0)), ["3"]);
        assert!(queue.is_empty() && queue.take(9).is_empty());
    }

    #[test]
    fn duplicates_fold_and_changes_do_not() {
        let mut queue = queue();
        queue.push(request("1", "a"));
        assert_eq!(queue.push(request("1", "a")), Pushed::Folded);
        assert_eq!(queue.push(request("1", "b")), Pushed::Queued);
        // A query that was begun keeps its reported events.
        let mut begun = request("1", "a");
        begun.count = 7;
        assert_eq!(queue.push(begun), Pushed::Queued);
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn a_separate_query_is_taken_alone_and_splits_no_list() {
        use crate::indicator::Selection;
        use crate::matching::condition::{Field, Operator};
        let own = |id: &str| {
            let RetroRequest { indicator, .. } = request(id, id);
            let mut indicator = Arc::into_inner(indicator).expect("just made");
            indicator.observables.clear();
            let port = Selection::Number(Field::DestinationPort, Operator::Equal, 80);
            indicator.selection = Some(Arc::new(port));
            RetroRequest::new(indicator)
        };
        let mut queue = queue();
        for request in [request("1", "a"), own("2"), request("3", "b"), own("4")] {
            assert_eq!(queue.push(request), Pushed::Queued);
        }
        assert_eq!(queue.push(own("2")), Pushed::Folded);
        assert_eq!((queue.len(), queue.observables()), (4, 2));
        for expected in [&["1", "3"][..], &["2"], &["4"], &[]] {
            assert_eq!(ids(&queue.take(9)), expected);
        }
        queue.push(own("2"));
        assert_eq!(queue.take_out("2").len(), 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_removed_id_is_gone_whole() {
        let mut queue = queue();
        queue.push(request("1", "a"));
        queue.push(request("2", "b"));
        queue.push(request("1", "c"));
        assert_eq!(queue.take_out("1").len(), 2);
        assert!(!queue.remove("1"));
        assert_eq!(queue.observables(), 1);
        assert_eq!(ids(&queue.take(9)), ["2"]);
        assert_eq!(queue.push(request("2", "b")), Pushed::Queued);
    }

    fn indicator(id: &str, value: &str) -> Arc<Indicator> {
        request(id, value).indicator
    }

    #[test]
    fn what_came_last_counts_also_for_what_is_in_work() {
        let mut queue = queue();
        assert_eq!(
            queue.put(indicator("1", "a"), None, None),
            PutOutcome::Added
        );
        assert_eq!(
            queue.put(indicator("1", "b"), None, None),
            PutOutcome::Added
        );
        assert_eq!(
            queue.put(indicator("1", "b"), None, None),
            PutOutcome::Repeated
        );
        assert_eq!(queue.len(), 1);
        let (number, requests) = queue.hand_out(9);
        assert!(queue.is_empty() && queue.is_running());
        queue.put(indicator("1", "c"), None, None);
        queue.take_back(number, requests);
        let (number, requests) = queue.hand_out(9);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].indicator.ioc, ["c"]);
        // The same again, and withdrawn at the end.
        queue.put(indicator("1", "c"), None, None);
        queue.take_back(number, requests);
        let (number, requests) = queue.hand_out(9);
        assert_eq!(requests.len(), 1);
        assert!(!queue.remove("1"));
        queue.take_back(number, requests);
        assert!(queue.is_empty() && !queue.is_running());
        assert_eq!(queue.metrics.backlog.get(), 0);
    }

    #[test]
    fn a_request_that_is_folded_on_its_way_back_leaves_no_entry_open() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let stop = Stop::new().expect("two socket pairs");
        let open = || Journal::open(&path, &stop).expect("opened");
        let (journal, ..) = open();
        let ticket = |message: &str| Some(journal.begin(message.as_bytes()));
        let mut queue = queue();
        queue.put(indicator("1", "a"), ticket("first"), None);
        let (number, requests) = queue.hand_out(9);
        queue.put(indicator("1", "a"), ticket("second"), None);
        queue.take_back(number, requests);
        assert_eq!(queue.len(), 1);
        queue.leave_to_journal();
        let (_, left_over, _) = open();
        assert_eq!(left_over.len(), 1);
        assert_eq!(left_over[0].message(), b"second");
    }

    #[test]
    fn what_the_engine_cannot_be_asked_is_counted_and_not_kept() {
        use crate::indicator::Selection;
        use crate::matching::condition::{Field, Operator};
        let port = Selection::Number(Field::DestinationPort, Operator::Equal, 80);
        for (lists_only, put) in [
            (Some("why".to_owned()), PutOutcome::Refused),
            (None, PutOutcome::Added),
        ] {
            let mut queue = Queue {
                lists_only,
                ..queue()
            };
            let mut indicator = indicator("1", "80");
            Arc::make_mut(&mut indicator).selection = Some(Arc::new(port.clone()));
            let unsupported = u64::from(put == PutOutcome::Refused);
            assert_eq!(queue.put(indicator, None, None), put);
            assert_eq!(queue.metrics.indicators_unsupported.get(), unsupported);
            assert_eq!(queue.metrics.backlog.get(), 1 - unsupported);
        }
    }
}
