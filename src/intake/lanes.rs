//! The way of an indicator from the receiver to the matchers: a lane to stored events and
//! one to new events, each with its limit. A lane only transports, and decides one thing:
//!
//! | the lane | an indicator arrives | a withdrawal, or the end of the current input |
//! |---|---|---|
//! | *has room* | it waits, in a place on the lane | waits behind it |
//! | *is full* | it is dropped, and its earlier version is withdrawn | waits |
//!
//! [`super::Life`] decides what happens next, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::{error, info, warn};

use super::Input;
use super::account::{Account, Budget, LanePlace, QUEUE_BYTES};
use super::fates::{Fate, Fates};
use crate::indicator::{Allowing, Because, Indicator, MatchExpansion};
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::process::text::printable;
use crate::state::journal::Ticket;

/// How much of [`QUEUE_BYTES`] a source fills that can wait: about two batches of the usual
/// size.
const ENOUGH_BYTES: usize = 8 << 20;

/// The same for all lanes together, if one engine is slower than the others.
const ENOUGH_OF_ALL: usize = QUEUE_BYTES / 2;

/// Accepts indicators. It never blocks.
#[derive(Clone)]
pub struct Intake {
    lanes: Vec<Lane>,
    metrics: Arc<Metrics>,
    allow: Allowing,
}

/// One way for indicators.
#[derive(Clone)]
struct Lane {
    /// Its engine.
    engine: Arc<str>,
    sender: Sender<Arrival>,
    account: Arc<Account>,
    wider: MatchExpansion,
}

impl Lane {
    /// Whether it accepts an indicator in the same form as another lane.
    fn is_like(&self, other: &Lane) -> bool {
        self.account.is_live() == other.account.is_live() && self.wider == other.wider
    }
}

/// The output of a lane.
#[derive(Debug)]
pub enum Arrival {
    /// An indicator.
    Indicator {
        /// The indicator.
        indicator: Arc<Indicator>,
        /// Its entry in the journal, if it has one.
        ticket: Option<Ticket>,
        /// Its place on the lane.
        place: LanePlace,
    },
    /// The indicator with this id is withdrawn.
    Withdrawal(Arc<str>),
    /// The end of the current input; changes may follow.
    Complete,
}

impl Arrival {
    /// Converts it for a [`super::Life`]. Its place has to be held until that is done.
    pub fn into_input(self) -> (Input, Option<LanePlace>) {
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
    /// The way to this engine's stored events.
    pub fn stored(
        engine: &Arc<str>,
        fates: Arc<Fates>,
        budget: &Arc<Budget>,
    ) -> (Self, Receiver<Arrival>, Arc<Account>) {
        let account = Account::new(fates, false, budget);
        let (intake, arrivals) = Intake::with_lane(engine, &account);
        (intake, arrivals, account)
    }

    /// The way to this engine's new events. It passes on indicators without their
    /// original message, and the journal does not wait for it.
    pub fn live(
        engine: &Arc<str>,
        fates: Arc<Fates>,
        budget: &Arc<Budget>,
    ) -> (Self, Receiver<Arrival>) {
        Intake::with_lane(engine, &Account::new(fates, true, budget))
    }

    fn with_lane(engine: &Arc<str>, account: &Arc<Account>) -> (Self, Receiver<Arrival>) {
        let (sender, arrivals) = unbounded();
        let lane = Lane {
            engine: engine.clone(),
            sender,
            account: account.clone(),
            wider: MatchExpansion::default(),
        };
        let intake = Intake {
            lanes: vec![lane],
            metrics: Arc::default(),
            allow: Allowing::default(),
        };
        (intake, arrivals)
    }

    /// Counts what is left out in these metrics.
    pub fn counting(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Expands the indicators on these ways.
    pub fn widened(mut self, wider: MatchExpansion) -> Self {
        self.lanes.iter_mut().for_each(|lane| lane.wider = wider);
        self
    }

    /// Leaves out what is allowed.
    pub fn allowing(mut self, allow: Allowing) -> Self {
        self.allow = allow;
        self
    }

    /// Combines the ways of both.
    pub fn and(mut self, other: Intake) -> Self {
        self.lanes.extend(other.lanes);
        // The last way gets the indicator itself, and the others one shared copy per
        // form.
        self.lanes
            .sort_by_key(|lane| (!lane.account.is_live(), lane.wider));
        self
    }

    /// Whether any indicator waits for stored events or is being searched in them.
    pub fn is_busy(&self) -> bool {
        let mut stored = self.lanes.iter().filter(|lane| !lane.account.is_live());
        stored.any(|lane| lane.account.is_busy())
    }

    /// Waits until there is room for more indicators, or the program stops; for a source
    /// that can wait. A slow engine only holds it back once it is far behind the others.
    pub fn wait_for_room(&self, stop: &Stop) {
        while self.has_enough() {
            // Nobody is woken for each indicator that leaves: this source only has to be
            // faster than the queries.
            if stop.sleep(Duration::from_millis(20)) {
                return;
            }
        }
    }

    fn has_enough(&self) -> bool {
        let is_full = |lane: &Lane| lane.account.bytes() > ENOUGH_BYTES;
        // Of an engine's lanes, the fuller one counts.
        let has_full = |engine: &Arc<str>| {
            let mut own = self.lanes.iter().filter(|lane| lane.engine == *engine);
            own.any(is_full)
        };
        let mut engines = self.lanes.iter().map(|lane| &lane.engine);
        engines.all(has_full)
            || self
                .lanes
                .iter()
                .any(|lane| lane.account.bytes_of_all() > ENOUGH_OF_ALL)
    }

    /// Adds an indicator, replacing the one with the same id. On a full lane it is
    /// dropped, counted and logged. A ticket tells which engines have answered already.
    /// Returns `false` if it is allowed, and so not added.
    pub fn add(&self, indicator: Indicator, ticket: Option<Ticket>) -> bool {
        if let Some(because) = self.allow.now().of(&indicator) {
            self.leave_out(&indicator, because);
            ticket.into_iter().for_each(Ticket::finish);
            // The one it replaces is outdated.
            self.withdraw(&indicator.id);
            return false;
        }
        let has_answered = |lane: &&Lane| {
            let ticket = ticket.as_ref().filter(|_| !lane.account.is_live());
            ticket.is_some_and(|ticket| ticket.has_answered(&lane.engine))
        };
        let lanes: Vec<&Lane> = self
            .lanes
            .iter()
            .filter(|lane| !has_answered(lane))
            .collect();
        let needs_ticket = |lane: &&&Lane| ticket.is_some() && !lane.account.is_live();
        let stored = lanes.iter().filter(needs_ticket);
        let engines: Vec<Arc<str>> = stored.map(|lane| lane.engine.clone()).collect();
        let mut tickets = ticket
            .map(|ticket| ticket.shared_by(&engines))
            .into_iter()
            .flatten();
        let mut groups = lanes.chunk_by(|one, other| one.is_like(other)).peekable();
        let mut whole = Some(indicator);
        while let Some(group) = groups.next() {
            let is_live = group[0].account.is_live();
            let is_last = groups.peek().is_none();
            let copy = match (is_live, is_last) {
                (true, _) => whole.as_ref().map(Indicator::for_live),
                (false, true) => whole.take(),
                (false, false) => whole.clone(),
            };
            let mut copy = copy.expect("it is taken for the last ones alone");
            group[0].wider.expand(&mut copy);
            let shared = Arc::new(copy);
            for lane in group {
                let ticket = if is_live { None } else { tickets.next() };
                self.add_to(lane, &shared, ticket);
            }
        }
        true
    }

    /// Counts an allowed indicator.
    fn leave_out(&self, indicator: &Indicator, because: Because<'_>) {
        self.metrics.indicators_allowed.add(1);
        let id = printable(&indicator.id, 200);
        let value = indicator.ioc.first().map_or("", String::as_str);
        let value = printable(value, 200);
        let kind = indicator.kind();
        match because {
            Because::File(name) => info!(
                indicator:% = id, kind = kind, file:% = name, reason = "allowed";
                "indicator {id} ({value}) is not searched: {name} allows it"
            ),
            Because::Hosts => info!(
                indicator:% = id, kind = kind, reason = "every hosts file has it";
                "indicator {id} ({value}) is not searched: every hosts file has it \
                 (--no-allow-defaults searches it)"
            ),
            Because::BuiltIn(reason) => {
                warn!(
                    indicator:% = id, kind = kind, reason = reason;
                    "indicator {id} ({value}) is not searched: {reason} (--no-allow-defaults \
                     searches it)"
                )
            }
        }
    }

    fn add_to(&self, lane: &Lane, indicator: &Arc<Indicator>, ticket: Option<Ticket>) {
        if lane.account.is_full(indicator.size()) {
            let fates = lane.account.fates();
            fates.settle(Fate::Dropped, 1);
            let id = printable(&indicator.id, 200);
            error!(
                indicator:% = id, kind = indicator.kind(), engine = fates.metrics().engine_name();
                "indicator {id} is dropped{}: waiting indicators fill the {} MiB that they may use",
                self.by_whom(lane),
                QUEUE_BYTES >> 20
            );
            // Its earlier version is outdated in any case.
            let _ = lane.sender.send(Arrival::Withdrawal(indicator.id.clone()));
            return;
        }
        let arrival = Arrival::Indicator {
            indicator: indicator.clone(),
            ticket,
            place: lane.account.place(indicator),
        };
        // The receiver only goes away when the program ends.
        let _ = lane.sender.send(arrival);
    }

    /// Names the engine, if there are several.
    fn by_whom(&self, lane: &Lane) -> String {
        let is_alone = self.lanes.iter().all(|other| other.engine == lane.engine);
        if is_alone {
            String::new()
        } else {
            format!(" for {}", printable(&lane.engine, 200))
        }
    }

    /// Marks the end of the current input. Matchers that expect changes after it may
    /// ignore it.
    pub fn complete(&self) {
        for lane in &self.lanes {
            let _ = lane.sender.send(Arrival::Complete);
        }
    }

    /// Withdraws the indicator with this id.
    pub fn withdraw(&self, id: &Arc<str>) {
        for lane in &self.lanes {
            let _ = lane.sender.send(Arrival::Withdrawal(id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;
    use crate::observable::Observable;
    use crate::process::stop::Stop;
    use crate::state::journal::Journal;

    fn engine() -> Arc<str> {
        "a".into()
    }

    fn indicator(id: &str, ioc: &str) -> Indicator {
        Indicator {
            ioc: vec![ioc.to_owned()],
            ..Indicator::new(
                id.into(),
                Protocol::Legacy,
                vec![Observable::domain("a.example")],
            )
        }
    }

    #[test]
    fn everything_goes_to_each_lane_and_the_account_ends_with_the_work() {
        let metrics = Arc::new(Metrics::default());
        let (stored, arrivals, account) =
            Intake::stored(&engine(), Fates::new(metrics.clone()), &Budget::new(1));
        let (live, new) = Intake::live(&engine(), Fates::new(metrics.clone()), &Budget::new(1));
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
        let one = Arc::new(indicator("1", "a"));
        place.wait(&one);
        assert_eq!(account.bytes(), one.size());
        drop(place);
        assert!(!intake.is_busy() && metrics.backlog.get() == 0);
        let second = arrivals.recv().expect("it was sent");
        assert!(matches!(second.into_input(), (Input::Withdrawn(_), None)));
    }

    #[test]
    fn a_full_lane_accepts_no_more_and_says_so() {
        let metrics = Arc::new(Metrics::default());
        let (intake, arrivals, _) =
            Intake::stored(&engine(), Fates::new(metrics.clone()), &Budget::new(1));
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("journal");
        let stop = Stop::new().expect("two socket pairs");
        let open = || Journal::open(&path, &stop).expect("opened");
        let (journal, ..) = open();
        let large = "a".repeat(QUEUE_BYTES / 5);
        for n in 0..4 {
            intake.add(
                indicator(&n.to_string(), &large),
                Some(journal.begin(b"it")),
            );
        }
        let dropped = metrics.indicators_dropped.get();
        assert!(dropped > 0);
        let all: Vec<Arrival> = arrivals.try_iter().collect();
        let gone = |one: &&Arrival| matches!(one, Arrival::Withdrawal(_));
        let gone = all.iter().filter(gone).count();
        // The earlier version of a dropped one is outdated.
        assert_eq!((all.len(), gone as u64), (4, dropped));
        // Nor has it an entry in the journal any more.
        let (_, left_over, _) = open();
        assert_eq!(left_over.len() as u64, 4 - dropped);
        drop(all);
        intake.add(indicator("x", &large), None);
        assert_eq!(arrivals.len(), 1);
    }
}
