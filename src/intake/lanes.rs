//! The way from who receives indicators to who looks for them, in a lane to stored
//! events and one to new events, each with its limit. A lane carries, and decides one thing:
//!
//! | the lane | an indicator comes | a withdrawal, or the end of what there is for now |
//! |---|---|---|
//! | *has room* | it waits, in a place of its own | waits behind it |
//! | *is full* | it is dropped, and what it was before is withdrawn | waits |
//!
//! What becomes of it then is decided by [`super::Life`], a step at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::{error, info, warn};

use crate::indicator::{Allowing, Because, Indicator, Wider};
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::process::text::printable;
use crate::state::journal::Ticket;

use super::Input;

/// How much memory the indicators that wait on a lane may take, in bytes. Who
/// receives them never blocks, so this is the one queue that grows; it grows while
/// the engine is away or slow.
pub const QUEUE_BYTES: usize = 256 << 20;

/// How much of that a source fills that can wait: a few batches of the largest size.
const ENOUGH_BYTES: usize = 16 << 20;

/// Where indicators are put in. It never blocks.
#[derive(Clone)]
pub struct Intake {
    lanes: Vec<Lane>,
    metrics: Arc<Metrics>,
    allow: Allowing,
}

/// One way for indicators.
#[derive(Clone)]
struct Lane {
    sender: Sender<Arrival>,
    account: Arc<Account>,
    wider: Wider,
}

/// How much waits on a lane or is in work.
#[derive(Debug)]
pub struct Account {
    /// Those that wait, in bytes.
    bytes: AtomicUsize,
    /// Those that wait or are in work.
    count: AtomicUsize,
    /// New events have no end that somebody could wait for.
    is_live: bool,
    metrics: Arc<Metrics>,
}

impl Account {
    /// An account of nothing.
    pub fn new(metrics: Arc<Metrics>, is_live: bool) -> Arc<Self> {
        Arc::new(Account {
            bytes: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            is_live,
            metrics,
        })
    }

    /// A place for something of this many bytes.
    pub fn place(self: &Arc<Self>, bytes: usize) -> Place {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
        let came = Instant::now();
        if !self.is_live {
            self.metrics.backlog.add(1);
            self.metrics.waiting.begin(came);
        }
        Place {
            account: self.clone(),
            bytes,
            came,
        }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}

/// The place of one indicator in an [`Account`], free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    account: Arc<Account>,
    bytes: usize,
    came: Instant,
}

impl Place {
    /// How long ago the indicator was put in.
    pub fn age(&self) -> Duration {
        self.came.elapsed()
    }

    /// It waits no more, but is in work.
    pub fn begin(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.account.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// It waits once more, with this many bytes.
    pub fn wait(&mut self, bytes: usize) {
        self.begin();
        self.bytes = bytes;
        self.account.bytes.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.begin();
        self.account.count.fetch_sub(1, Ordering::AcqRel);
        if !self.account.is_live {
            self.account.metrics.backlog.remove(1);
            self.account.metrics.waiting.end(self.came);
        }
    }
}

/// What comes out of a lane.
// Nearly all that comes is an indicator: a box for each would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Arrival {
    /// An indicator.
    Indicator {
        /// What to look for.
        indicator: Indicator,
        /// Its entry in the journal, where it has one.
        ticket: Option<Ticket>,
        /// Its place on the lane.
        place: Place,
    },
    /// The indicator with this id is withdrawn.
    Withdrawal(Arc<str>),
    /// All that there is for now has come; there may be changes.
    Complete,
}

impl Arrival {
    /// What it is for a [`super::Life`], and its place, which is to be held until
    /// that is done.
    pub fn into_input(self) -> (Input, Option<Place>) {
        match self {
            Arrival::Indicator {
                indicator,
                ticket,
                place,
            } => (Input::Came(indicator, ticket), Some(place)),
            Arrival::Withdrawal(id) => (Input::Withdrawn(id), None),
            Arrival::Complete => (Input::Time, None),
        }
    }
}

impl Intake {
    /// A way to who looks in stored events.
    pub fn stored(metrics: Arc<Metrics>) -> (Self, Receiver<Arrival>, Arc<Account>) {
        Intake::with_lane(metrics, false)
    }

    /// A way to who looks in new events: it gets indicators without the message that
    /// they came in, and has no end that the journal would wait for.
    pub fn live(metrics: Arc<Metrics>) -> (Self, Receiver<Arrival>, Arc<Account>) {
        Intake::with_lane(metrics, true)
    }

    fn with_lane(metrics: Arc<Metrics>, is_live: bool) -> (Self, Receiver<Arrival>, Arc<Account>) {
        let (sender, arrivals) = unbounded();
        let account = Account::new(metrics.clone(), is_live);
        let lane = Lane {
            sender,
            account: account.clone(),
            wider: Wider::default(),
        };
        let intake = Intake {
            lanes: vec![lane],
            metrics,
            allow: Allowing::default(),
        };
        (intake, arrivals, account)
    }

    /// Indicators on these ways are made wider.
    pub fn widened(mut self, wider: Wider) -> Self {
        self.lanes.iter_mut().for_each(|lane| lane.wider = wider);
        self
    }

    /// What is allowed is not put in.
    pub fn allowing(mut self, allow: Allowing) -> Self {
        self.allow = allow;
        self
    }

    /// Everything goes both ways.
    pub fn and(mut self, other: Intake) -> Self {
        self.lanes.extend(other.lanes);
        // The indicator itself goes last, the other way gets a copy.
        self.lanes.sort_by_key(|lane| !lane.account.is_live);
        self
    }

    /// Whether something waits for stored events, or is being looked for in them.
    pub fn is_busy(&self) -> bool {
        let mut stored = self.lanes.iter().filter(|lane| !lane.account.is_live);
        stored.any(|lane| lane.account.count.load(Ordering::Acquire) > 0)
    }

    /// Waits until there is room for more indicators, or the program stops; for
    /// a source that can wait.
    pub fn wait_for_room(&self, stop: &Stop) {
        let is_full = |lane: &Lane| lane.account.bytes() > ENOUGH_BYTES;
        while self.lanes.iter().any(is_full) {
            // Nobody is woken for each that leaves; this source only has to be
            // faster than the queries.
            if stop.sleep(Duration::from_millis(20)) {
                return;
            }
        }
    }

    /// Puts an indicator in, in place of the one with the same id. One that finds a
    /// lane full is dropped there, counted and logged.
    pub fn add(&self, indicator: Indicator, ticket: Option<Ticket>) {
        if let Some(because) = self.allow.now().of(&indicator) {
            self.leave_out(&indicator, because);
            ticket.into_iter().for_each(Ticket::finish);
            // The one that it was to take the place of is out of date.
            return self.withdraw(&indicator.id);
        }
        let Some((last, others)) = self.lanes.split_last() else {
            return;
        };
        for lane in others {
            self.add_to(lane, indicator.for_live(), None);
        }
        if last.account.is_live {
            self.add_to(last, indicator.for_live(), None);
        } else {
            self.add_to(last, indicator, ticket);
        }
    }

    /// Counts an indicator that is allowed.
    fn leave_out(&self, indicator: &Indicator, because: Because<'_>) {
        self.metrics.indicators_allowed.add(1);
        let id = printable(&indicator.id, 200);
        let value = indicator.ioc.first().map_or("", String::as_str);
        let value = printable(value, 200);
        let kind = indicator.kind();
        match because {
            Because::File(name) => info!(
                indicator:% = id, kind = kind, file:% = name, reason = "allowed";
                "indicator {id} ({value}) is not asked for: {name} allows it"
            ),
            Because::Hosts => info!(
                indicator:% = id, kind = kind, reason = "it stands in every file of hosts";
                "indicator {id} ({value}) is not asked for: it stands in every file of hosts \
                 (--no-allow-defaults asks for it)"
            ),
            Because::BuiltIn(reason) => {
                warn!(
                    indicator:% = id, kind = kind, reason = reason;
                    "indicator {id} ({value}) is not asked for: {reason} (--no-allow-defaults asks for it)"
                )
            }
        }
    }

    fn add_to(&self, lane: &Lane, mut indicator: Indicator, ticket: Option<Ticket>) {
        lane.wider.widen(&mut indicator);
        let size = indicator.size();
        if lane.account.bytes() + size > QUEUE_BYTES {
            self.metrics.indicators_dropped.add(1);
            let id = printable(&indicator.id, 200);
            error!(
                indicator:% = id, kind = indicator.kind(), engine = self.metrics.engine_name();
                "indicator {id} is dropped: indicators that wait take {} MiB, the most they may",
                QUEUE_BYTES >> 20
            );
            // What it was before is out of date all the same.
            let _ = lane.sender.send(Arrival::Withdrawal(indicator.id.clone()));
            return;
        }
        let arrival = Arrival::Indicator {
            indicator,
            ticket,
            place: lane.account.place(size),
        };
        // The other side is gone only when the program ends.
        let _ = lane.sender.send(arrival);
    }

    /// All that there is for now has been put in. Who would wait for the end, before which
    /// there can be changes, need not.
    pub fn complete(&self) {
        for lane in &self.lanes {
            let _ = lane.sender.send(Arrival::Complete);
        }
    }

    /// The indicator with this id is not to be looked for any more.
    pub fn withdraw(&self, id: &Arc<str>) {
        for lane in &self.lanes {
            let _ = lane.sender.send(Arrival::Withdrawal(id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{Protocol, Validity};
    use crate::observable::Observable;

    fn indicator(id: &str, ioc: &str) -> Indicator {
        Indicator {
            id: id.into(),
            protocol: Protocol::Legacy,
            observables: vec![Observable::domain("a.example")],
            selection: None,
            condition: None,
            validity: Validity::ALWAYS,
            ioc: vec![ioc.to_owned()],
            original: None,
            properties: None,
        }
    }

    #[test]
    fn everything_goes_to_each_lane_and_the_account_ends_with_the_work() {
        let metrics = Arc::new(Metrics::default());
        let (stored, arrivals, account) = Intake::stored(metrics.clone());
        let (live, new, _) = Intake::live(metrics.clone());
        let intake = stored.and(live);
        intake.add(indicator("1", "a"), None);
        intake.withdraw(&"1".into());
        assert!(intake.is_busy() && metrics.backlog.get() == 1);
        assert_eq!((arrivals.len(), new.len()), (2, 2));
        let first = arrivals.recv().expect("it was sent");
        let (Input::Came(_, None), Some(mut place)) = first.into_input() else {
            panic!("an indicator came first");
        };
        place.begin();
        assert_eq!(account.bytes(), 0);
        assert!(intake.is_busy());
        place.wait(7);
        assert_eq!(account.bytes(), 7);
        drop(place);
        assert!(!intake.is_busy() && metrics.backlog.get() == 0);
        let second = arrivals.recv().expect("it was sent");
        assert!(matches!(second.into_input(), (Input::Withdrawn(_), None)));
    }

    #[test]
    fn a_full_lane_takes_no_more_and_says_so() {
        let metrics = Arc::new(Metrics::default());
        let (intake, arrivals, _) = Intake::stored(metrics.clone());
        let large = "a".repeat(QUEUE_BYTES / 5);
        for n in 0..4 {
            intake.add(indicator(&n.to_string(), &large), None);
        }
        let dropped = metrics.indicators_dropped.get();
        assert!(dropped > 0);
        let all: Vec<Arrival> = arrivals.try_iter().collect();
        let gone = |one: &&Arrival| matches!(one, Arrival::Withdrawal(_));
        let gone = all.iter().filter(gone).count();
        // What a dropped one was before is out of date.
        assert_eq!((all.len(), gone as u64), (4, dropped));
        drop(all);
        intake.add(indicator("x", &large), None);
        assert_eq!(arrivals.len(), 1);
    }
}
