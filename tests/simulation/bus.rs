//! The bus with everything that can go wrong on it, around the state machines of `src/bus/`.
//!
//! One schedule is some hundred steps that a seed decides: sightings are found and
//! indicators published; the broker is slow, stands still, dies and comes back, loses a
//! connection, forgets who is subscribed, sends nothing back; the clock is set; the bridge
//! is killed, ended and started, with a state directory or without. Then everything is well
//! again for as long as it takes, and the bridge is told to end. Held after each step, or at
//! the end:
//!
//! 1. An indicator that the broker delivered is accepted, once for each time that it was
//!    published. One that it did not deliver is in a gap that was reported. A broker with a
//!    backlog delivers it later than it was published, and that later time has to be in the
//!    gap, since only the broker knows its backlog.
//! 2. With a state directory and confirmed delivery, a sighting that was added to the outbox
//!    reaches every other subscriber, whatever dies, and however often.
//! 3. Without these, lost sightings were in a broker that died, or in a bridge that was
//!    killed.
//! 4. A topic that the broker holds for the bridge is known to the bridge or to its state
//!    directory, unless nobody was there to receive the broker's response. At the end the
//!    broker holds no other topic for it.
//! 5. The bridge ends within 8 s after it was stopped.
//! 6. The sightings in memory, those at the broker, and the warnings about echoes of others
//!    stay within their limits.
//! 7. Without failures no sighting is sent twice; each failure repeats it at most twice. No
//!    run accepts an indicator from two subscriptions.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use vast_threatbus::state::spool::Spool;

use crate::bridge::{self, Act, Bridge, Waits};
use crate::broker::{Broker, Kind, Message, Owner};
use crate::machines::alive::Moment;
use crate::machines::outbox::Outbox;
use crate::machines::pace::LEAST;
use crate::machines::subscription::{Input, OWN_NAME, Request};
use crate::random::Random;
use crate::world::disk::MemoryDisk;

/// The memory limit of the outbox: small, so that it is reached.
const MOST_BYTES: usize = 64 << 10;

/// The number of messages on their way to the broker in the library and in the kernel.
const QUEUE: usize = 64;
const KERNEL: usize = 40;

/// How long a stopped program may take, and how long its grace period is.
const LONGEST_END: Duration = Duration::from_secs(8);
const GRACE: Duration = Duration::from_secs(5);

/// After this time, a connection to a stalled broker is given up.
const GIVEN_UP: Duration = Duration::from_secs(65);

/// How long things may take to come right at the end.
const LONGEST_HEALING: Duration = Duration::from_secs(1_200);

/// How many of the last events a report has.
const EVENTS: usize = 400;

/// A broker that answers as soon as that may have been started a moment ago, all the same.
const LATE: Duration = Duration::from_secs(1);

/// How long it takes at the most until as many are with the broker as suits its pace.
const PACED: Duration = Duration::from_secs(60);

/// How long the library takes at the most to notice a dead connection by its heartbeat.
const SILENT: Duration = Duration::from_secs(65);

/// One answer in so many comes a moment later.
const ANSWERS_LATER: usize = 6;

/// How many messages the library takes for a connection that has ended: that many were
/// seen.
const VOID: usize = 86;

/// How long after the end of a bridge an app may not have had what came back to it: the
/// longest that it is behind. The time in which the broker is frozen does not count.
const AFTER_END: Duration = Duration::from_secs(80);

/// The coarsest step of time.
const TICK: Duration = Duration::from_millis(500);

/// What happened, for the report.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code)] // What they hold is printed.
enum Event {
    Found(usize, usize),
    Sent(u32),
    Echoed(u32),
    Arrived(usize, u32),
    Published(u32),
    ForeignBurst(usize),
    BrokerDies,
    BrokerStarts,
    BrokerFreezes,
    BrokerThaws,
    BrokerForgets,
    Pace(u32),
    Mute(bool),
    Late(Duration),
    WireCut,
    SubCut,
    ClockSet(i64),
    BridgeKilled,
    BridgeStopped,
    BridgeStarts,
    BridgeEnded,
    Healed,
}

/// A sighting that was found.
#[derive(Clone, Copy, Debug, Default)]
struct Sighting {
    sendings: u32,
    /// It may be lost.
    is_excused: bool,
}

/// An indicator that was published.
#[derive(Clone, Copy, Debug)]
struct Indicator {
    /// When it was published, or passed on to a connection that had ended.
    at: Instant,
    was_delivered: bool,
    /// How often it was published.
    published: u32,
    /// It was published again, perhaps while nobody was there.
    was_repeated: bool,
    taken: u32,
    /// It need not arrive: nobody was subscribed, or not for the broker's socket.
    is_excused: bool,
}

/// Another app that is subscribed to sightings.
#[derive(Debug, Default)]
struct App {
    topic: u32,
    /// When it notices that the broker knows it no more.
    notices_at: Option<Duration>,
    got: Vec<u8>,
}

/// What a schedule came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub schedules: u64,
    pub steps: u64,
    pub deaths: u64,
    pub freezes: u64,
    pub cuts: u64,
    pub kills: u64,
    pub ends: u64,
    pub sightings: u64,
    pub sendings: u64,
    pub excused: u64,
    pub indicators: u64,
    pub mutes: u64,
    /// Times that the broker lost its list of subscriptions.
    pub forgotten: u64,
    /// Indicators that a broker dropped before its socket knew the prefix.
    pub dropped_early: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.deaths += other.deaths;
        self.freezes += other.freezes;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.ends += other.ends;
        self.sightings += other.sightings;
        self.sendings += other.sendings;
        self.excused += other.excused;
        self.indicators += other.indicators;
        self.mutes += other.mutes;
        self.forgotten += other.forgotten;
        self.dropped_early += other.dropped_early;
    }

    /// Panics where so many schedules hold no fault that they are no test.
    pub fn is_not_idle(&self) {
        let least = [self.deaths, self.freezes, self.cuts, self.kills, self.ends];
        let is_idle = least.iter().any(|count| *count < self.schedules / 2);
        assert!(self.schedules < 100 || !is_idle, "{self:?}");
        assert!(self.sightings > 10 * self.schedules, "{self:?}");
    }
}

/// What stays the same in a schedule.
#[derive(Clone, Copy, Debug)]
struct Plan {
    confirms: bool,
    has_state: bool,
    snapshot_days: u32,
    /// Nothing fails.
    is_healthy: bool,
    /// The broker may lose its list of subscriptions, and nothing else.
    forgets: bool,
    /// How many sightings are found at once, at the most.
    burst: usize,
}

struct World {
    random: Random,
    plan: Plan,
    start: Instant,
    now: Duration,
    wall: SystemTime,
    broker: Broker,
    frozen_at: Option<Duration>,
    disk: MemoryDisk,
    held_on_disk: Vec<String>,
    bridge: Option<Bridge>,
    sockets: u64,
    /// On the way to the broker.
    wire: VecDeque<u32>,
    /// The way stands; the bridge may not know yet that it does no more.
    is_wired: bool,
    in_void: usize,
    loss_known_at: Option<Duration>,
    wired_at: Option<Duration>,
    /// Nothing reaches the bridge until then.
    deaf_until: Option<Duration>,
    was_cut: bool,
    /// Since when the connection is dead without a word of it.
    silent_since: Option<Duration>,
    /// Requests that nobody waits for any more, and that a frozen broker still has.
    late_requests: Vec<Request>,
    apps: Vec<App>,
    sightings: Vec<Sighting>,
    indicators: Vec<Indicator>,
    foreign: u32,
    started_at: Duration,
    /// The bridge held a topic when it was started that the broker does not know.
    knows_of_restart: bool,
    /// When the last bridge ended, plus the time for which the broker was frozen since then.
    ended_at: Option<Duration>,
    died_at: Option<Duration>,
    broker_started_at: Duration,
    failures: u32,
    /// From when on the broker had which pace.
    paces: Vec<(Duration, u32)>,
    /// The broker was taken for mute.
    was_mute: bool,
    /// When the connection for sightings was lost.
    losses: Vec<Duration>,
    events: VecDeque<(usize, Duration, Event)>,
    at: usize,
    tally: Tally,
    /// The sighting of which everything is noted.
    watched: Option<u32>,
    out: Vec<(u32, Owner, Message)>,
    acts: Vec<Act>,
}

/// Runs one schedule.
///
/// # Errors
/// What did not hold, with the seed, the step, and what happened before it.
pub fn run(seed: u64, steps: usize) -> Result<Tally, String> {
    let mut world = World::new(seed);
    let result = world.run(steps);
    result.map_err(|reason| world.report(seed, &reason))?;
    Ok(world.tally())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let confirms = !random.one_in(3);
        let plan = Plan {
            confirms,
            has_state: !random.one_in(3),
            snapshot_days: if random.one_in(2) { 1 } else { 0 },
            is_healthy: random.one_in(5),
            forgets: seed % 4 == 0,
            burst: [3, 20, 120][random.below(3)],
        };
        let pace = [100, 600, 1_700, 5_500][random.below(4)];
        let mut broker = Broker::new(pace);
        let apps = (0..1 + random.below(2)).map(|app| App {
            topic: broker.subscribe(Kind::Sightings, Owner::App(app), &mut random),
            ..App::default()
        });
        let apps: Vec<App> = apps.collect();
        for app in &apps {
            broker.listen(app.topic, Duration::ZERO);
        }
        let disk = MemoryDisk::new(Path::new("/state"), seed);
        let mut world = World {
            random,
            plan,
            start: Instant::now(),
            now: Duration::ZERO,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            broker,
            frozen_at: None,
            disk,
            held_on_disk: Vec::new(),
            bridge: None,
            sockets: 0,
            wire: VecDeque::new(),
            is_wired: false,
            in_void: 0,
            loss_known_at: None,
            wired_at: None,
            deaf_until: None,
            was_cut: false,
            silent_since: None,
            late_requests: Vec::new(),
            apps,
            sightings: Vec::new(),
            indicators: Vec::new(),
            foreign: 0,
            started_at: Duration::ZERO,
            knows_of_restart: false,
            ended_at: None,
            died_at: None,
            broker_started_at: Duration::ZERO,
            failures: 0,
            paces: vec![(Duration::ZERO, pace)],
            losses: Vec::new(),
            was_mute: false,
            events: VecDeque::new(),
            at: 0,
            tally: Tally::default(),
            watched: std::env::var("SIGHTING")
                .ok()
                .and_then(|text| text.parse().ok()),
            out: Vec::new(),
            acts: Vec::new(),
        };
        world.start_bridge();
        world
    }

    fn run(&mut self, steps: usize) -> Result<(), String> {
        for step in 0..steps {
            self.at = step;
            self.act();
            let time = match self.random.below(40) {
                0 => self.random.below(40_000),
                1 | 2 => self.random.below(12_000),
                3..=9 => self.random.below(1_500),
                _ => self.random.below(100),
            };
            self.pass(Duration::from_millis(time as u64))?;
            self.check()?;
        }
        self.heal()?;
        self.finish()
    }

    fn moment(&self) -> Moment {
        Moment {
            monotonic: self.start + self.now,
            wall: self.wall,
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn note(&mut self, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((self.at, self.now, event));
    }

    /// Notes what becomes of the one sighting that is watched.
    fn watch(&mut self, number: u32, event: Event) {
        if self.watched == Some(number) {
            self.note(event);
        }
    }

    fn report(&self, seed: u64, reason: &str) -> String {
        let events: Vec<String> = self
            .events
            .iter()
            .map(|(step, at, event)| format!("step {step}, {:.3} s: {event:?}", at.as_secs_f64()))
            .collect();
        format!(
            "seed {seed}, step {}, {:.3} s, {:?}: {reason}\n{}",
            self.at,
            self.now.as_secs_f64(),
            self.plan,
            events.join("\n")
        )
    }

    fn tally(&mut self) -> Tally {
        self.tally.schedules = 1;
        self.tally.steps += self.at as u64 + 1;
        self.tally.sightings = self.sightings.len() as u64;
        self.tally.indicators = self.indicators.len() as u64;
        let sendings = self.sightings.iter().map(|one| u64::from(one.sendings));
        self.tally.sendings = sendings.sum();
        let excused = self.sightings.iter().filter(|one| one.is_excused);
        self.tally.excused = excused.count() as u64;
        self.tally
    }

    /// One thing that happens.
    fn act(&mut self) {
        let faults = match self.plan {
            Plan {
                is_healthy: true, ..
            } => 0,
            Plan { forgets: true, .. } => 13,
            _ => 12,
        };
        match self.random.below(20 + faults) {
            0..=9 => {
                let count = 1 + self.random.below(self.plan.burst);
                self.note(Event::Found(self.sightings.len(), count));
                (0..count).for_each(|_| self.find());
            }
            10..=13 => self.publish(),
            14 | 15 => self.foreign_burst(),
            16 => {
                let pace = [100, 600, 1_700, 5_500][self.random.below(4)];
                self.broker.pace = pace;
                self.paces.push((self.now, pace));
                self.note(Event::Pace(pace));
            }
            17..=19 => {}
            fault => self.fail(fault - 20),
        }
    }

    fn fail(&mut self, fault: usize) {
        match fault {
            0 if self.broker.is_up => self.kill_broker(),
            1 if self.broker.is_up && !self.broker.is_frozen => {
                self.note(Event::BrokerFreezes);
                self.broker.is_frozen = true;
                self.frozen_at = Some(self.now);
                self.failures += 1;
                self.tally.freezes += 1;
            }
            2..=4 => self.revive_broker(),
            5 => self.cut_wire(),
            6 => self.cut_sub(),
            7 => self.set_clock(),
            8 => self.kill_bridge(),
            9 if self
                .bridge
                .as_ref()
                .is_some_and(|bridge| bridge.stopped_at.is_none()) =>
            {
                self.stop_bridge();
            }
            10 if self.bridge.is_none() => self.start_bridge(),
            11 => {
                if self.random.one_in(8) {
                    self.broker.is_mute = !self.broker.is_mute;
                    self.note(Event::Mute(self.broker.is_mute));
                    self.failures += 2;
                    self.tally.mutes += 1;
                } else {
                    let late = Duration::from_millis(self.random.below(300) as u64);
                    self.broker.late = late;
                    self.note(Event::Late(late));
                }
            }
            12 if self.broker.is_up => self.forget_topics(),
            _ => {}
        }
    }

    /// The broker loses the subscriptions of the bridge, and no connection ends.
    fn forget_topics(&mut self) {
        self.note(Event::BrokerForgets);
        // It looks restarted: what is inside is sent again.
        self.losses.push(self.now);
        self.broker.forget(Owner::Bridge);
        // What waited on them is gone with them.
        for indicator in &mut self.indicators {
            indicator.is_excused |= !indicator.was_delivered;
        }
        self.failures += 2;
        self.tally.forgotten += 1;
    }

    /// A worker finds a sighting.
    fn find(&mut self) {
        let now = self.instant();
        let room = self.room();
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        if bridge.stopped_at.is_some() || !bridge.outbox.has_room() {
            return;
        }
        let number = u32::try_from(self.sightings.len()).expect("few");
        self.sightings.push(Sighting::default());
        if bridge.sends_at_once(number, now, room) {
            self.put_on_wire(&[number]);
        } else {
            let pushed = bridge.outbox.push(vec![bridge::frame(number)]);
            assert_eq!(pushed.ok(), Some(0), "the disk is well");
        }
    }

    /// Another app publishes an indicator.
    fn publish(&mut self) {
        if !self.broker.answers() {
            return;
        }
        let session = self.bridge.as_ref();
        let is_excused = session
            .is_none_or(|bridge| bridge.subscribed_at.is_none() || bridge.stopped_at.is_some());
        if self.random.one_in(8) && !self.indicators.is_empty() {
            let number = self.random.below(self.indicators.len());
            let again = &mut self.indicators[number];
            again.published += u32::from(!is_excused);
            again.was_repeated = true;
            let number = u32::try_from(number).expect("few");
            self.broker.take(Message::Indicator(number, false));
            self.note(Event::Published(number));
            return;
        }
        let number = u32::try_from(self.indicators.len()).expect("few");
        self.indicators.push(Indicator {
            at: self.instant(),
            was_delivered: false,
            published: 1,
            was_repeated: false,
            taken: 0,
            is_excused,
        });
        self.broker.take(Message::Indicator(number, false));
        self.note(Event::Published(number));
    }

    fn foreign_burst(&mut self) {
        if !self.broker.answers() {
            return;
        }
        let count = [5, 200, 3_000][self.random.below(3)];
        for _ in 0..count {
            self.foreign += 1;
            self.broker.take(Message::Foreign(self.foreign));
        }
        self.note(Event::ForeignBurst(count));
    }

    fn kill_broker(&mut self) {
        self.note(Event::BrokerDies);
        let in_library: Vec<u32> = self.wire.iter().skip(KERNEL).copied().collect();
        self.lose_wire();
        self.broker.die();
        // A bridge that has ended cannot send once more what it was sent back.
        let has_ended = self
            .ended_at
            .is_some_and(|at| self.bridge.is_none() || self.now - at <= AFTER_END);
        if self.is_trusted() || has_ended {
            self.excuse_inside(&in_library);
        }
        self.died_at = Some(self.now);
        for indicator in &mut self.indicators {
            // Whether it was inside is not looked at: it died with what it had.
            indicator.is_excused |= !indicator.was_delivered;
        }
        self.late_requests.clear();
        self.frozen_at = None;
        // A machine that loses its power ends no connection: the bridge learns of it when the
        // broker is there again and knows none of its connections, or by the library's own
        // heartbeat.
        self.silent_since = self.random.one_in(4).then_some(self.now);
        self.was_cut = self.silent_since.is_none();
        self.failures += 2;
        self.tally.deaths += 1;
        for app in &mut self.apps {
            app.notices_at = None;
        }
    }

    /// Whether sightings are sent whose echo is not awaited: without confirmation, and to a
    /// broker that is taken for mute, as one is, too, that is minutes behind with what is of
    /// others. That is told with a warning.
    fn is_trusted(&self) -> bool {
        !self.plan.confirms || self.tally.mutes > 0 || self.was_mute
    }

    /// What was sent, and that an app had not had when the broker died, was inside it,
    /// but for what was still in the library.
    fn excuse_inside(&mut self, in_library: &[u32]) {
        for (number, sighting) in self.sightings.iter_mut().enumerate() {
            let had = |app: &App| app.got.get(number).is_some_and(|count| *count > 0);
            sighting.is_excused |= sighting.sendings > 0
                && !self.apps.iter().all(had)
                && !in_library.contains(&(number as u32));
        }
    }

    fn excuse(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.sightings[*number as usize].is_excused = true;
        }
    }

    fn revive_broker(&mut self) {
        if !self.broker.is_up {
            self.note(Event::BrokerStarts);
            self.broker.start();
            self.was_cut |= self.silent_since.take().is_some();
            self.broker_started_at = self.now;
            self.wired_at = Some(self.now + self.millis(50, 1_000));
            for app in 0..self.apps.len() {
                self.apps[app].notices_at = Some(self.now + self.millis(4_000, 5_000));
            }
        } else if self.broker.is_frozen {
            self.note(Event::BrokerThaws);
            self.broker.is_frozen = false;
            self.frozen_at = None;
            for request in std::mem::take(&mut self.late_requests) {
                if let Request::Subscribe(..) = request {
                    self.orphan(&request);
                } else {
                    let _ = self.answer(&request);
                }
            }
            if !self.is_wired && self.loss_known_at.is_none() {
                self.wired_at = Some(self.now + self.millis(50, 1_000));
            }
        }
    }

    fn millis(&mut self, least: u64, span: usize) -> Duration {
        Duration::from_millis(least + self.random.below(span) as u64)
    }

    /// The connection for sightings ends.
    fn cut_wire(&mut self) {
        if !self.is_wired {
            return;
        }
        self.note(Event::WireCut);
        self.lose_wire();
        self.wired_at = Some(self.now + self.millis(1_000, 2_000));
        self.failures += 1;
        self.tally.cuts += 1;
    }

    /// What is in the library is lost; what is in the kernel is inside the broker.
    fn lose_wire(&mut self) {
        if !self.is_wired {
            return;
        }
        let arrived: Vec<u32> = self.wire.iter().take(KERNEL).copied().collect();
        for number in arrived {
            self.broker.take(Message::Sighting(number));
        }
        self.wire.clear();
        self.losses.push(self.now);
        self.is_wired = false;
        self.in_void = 0;
        self.wired_at = None;
        self.loss_known_at = Some(self.now + self.millis(0, 900));
    }

    /// The connection for indicators and echoes ends.
    fn cut_sub(&mut self) {
        self.note(Event::SubCut);
        self.was_cut = true;
        self.deaf_until = Some(self.now + self.millis(100, 2_000));
        self.tally.cuts += 1;
        // Echoes do not come.
        self.failures += 2;
    }

    fn set_clock(&mut self) {
        let seconds = self.random.below(200_000) as i64 - 100_000;
        let by = Duration::from_secs(seconds.unsigned_abs());
        self.wall = if seconds < 0 {
            self.wall - by
        } else {
            self.wall + by
        };
        self.note(Event::ClockSet(seconds));
    }

    fn start_bridge(&mut self) {
        // What the process before it sent may still be inside the broker.
        self.losses.push(self.now);
        self.note(Event::BridgeStarts);
        self.started_at = self.now;
        let confirm: Option<crate::machines::flight::KeyOf> =
            self.plan.confirms.then_some(bridge::key);
        let outbox = if self.plan.has_state {
            let path = Path::new("/state/spool");
            let opened = Spool::open_on(self.disk.process(), path, 8 << 20);
            Outbox::on_disk(opened.expect("the disk is well").0, MOST_BYTES, confirm)
        } else {
            Outbox::in_memory(MOST_BYTES, confirm)
        };
        let wishes = bridge::wishes(self.plan.snapshot_days, self.plan.confirms);
        let held = if self.plan.has_state {
            self.held_on_disk.clone()
        } else {
            Vec::new()
        };
        let is_known = |topic: &String| self.broker.knows(bridge::name(topic));
        self.knows_of_restart = !held.is_empty() && !held.iter().any(is_known);
        let seed = self.random.next();
        let moment = self.moment();
        self.bridge = Some(Bridge::new(wishes, held, outbox, seed, moment));
        self.sockets = 0;
        self.wire.clear();
        self.is_wired = false;
        self.wired_at = None;
        self.loss_known_at = None;
        self.deaf_until = None;
    }

    fn kill_bridge(&mut self) {
        let Some(bridge) = self.bridge.take() else {
            return;
        };
        self.note(Event::BridgeKilled);
        // The request may have gone out.
        if let Waits::Answer(request, _) = &bridge.waits {
            if self.broker.is_up && self.random.one_in(2) {
                if self.broker.is_frozen {
                    self.late_requests.push(request.clone());
                } else {
                    let request = request.clone();
                    self.orphan(&request);
                }
            }
        }
        if !self.plan.has_state {
            // It knew them alone.
            for topic in &self.broker.topics {
                if topic.owner == Owner::Bridge && !self.broker.orphans.contains(&topic.name) {
                    self.broker.orphans.push(topic.name);
                }
            }
        }
        self.disk.kill();
        let in_library: Vec<u32> = self.wire.iter().skip(KERNEL).copied().collect();
        if !self.plan.has_state {
            let all: Vec<u32> = (0..self.sightings.len() as u32).collect();
            self.excuse(&all);
        } else if self.is_trusted() {
            self.excuse(&in_library);
            if self.loss_known_at.is_some() {
                // What went past the spool into a connection that had ended.
                let all: Vec<u32> = (0..self.sightings.len() as u32).collect();
                self.excuse(&all);
            }
        }
        self.lose_wire();
        self.excuse_indicators();
        self.failures += 1;
        self.tally.kills += 1;
    }

    /// Nobody takes in what comes now; that is for the journal and for snapshots.
    fn excuse_indicators(&mut self) {
        for indicator in &mut self.indicators {
            indicator.is_excused |= indicator.taken == 0;
        }
    }

    fn stop_bridge(&mut self) {
        self.note(Event::BridgeStopped);
        let (now, moment) = (self.instant(), self.moment());
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        bridge.stopped_at = Some(now);
        let input = match &bridge.waits {
            Waits::Answer(..) => Input::Answer(Err(stopped())),
            Waits::Until(_) => Input::Stop,
            Waits::Ended => return,
        };
        let request = match &bridge.waits {
            Waits::Answer(request, _) => Some(request.clone()),
            _ => None,
        };
        if let Some(request) = request {
            if self.broker.answers() && self.random.one_in(2) {
                self.orphan(&request);
            }
        }
        self.step_session(moment, input);
        self.excuse_indicators();
        self.failures += 1;
        self.tally.ends += 1;
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let mut left = time;
        loop {
            let tick = left.min(TICK);
            self.tick(tick);
            self.check_end()?;
            left -= tick;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn tick(&mut self, tick: Duration) {
        self.now += tick;
        self.wall += tick;
        if self.broker.is_frozen {
            self.ended_at = self.ended_at.map(|at| at + tick);
        }
        if self.frozen_at.is_some_and(|at| self.now >= at + GIVEN_UP) {
            if self.is_wired {
                self.lose_wire();
                self.failures += 1;
            }
            if self.deaf_until.is_none() {
                self.was_cut = true;
                self.failures += 1;
            }
            self.deaf_until = Some(self.now + TICK);
        }
        self.run_apps();
        self.run_wire();
        self.run_broker(tick);
        self.run_session();
        self.send();
        self.run_wire();
        self.run_end();
    }

    fn run_apps(&mut self) {
        for app in 0..self.apps.len() {
            let notices = self.apps[app].notices_at.is_some_and(|at| at <= self.now);
            if notices && self.broker.answers() {
                let owner = Owner::App(app);
                let topic = self
                    .broker
                    .subscribe(Kind::Sightings, owner, &mut self.random);
                let late = std::mem::take(&mut self.broker.late);
                self.broker.listen(topic, self.now);
                self.broker.late = late;
                self.apps[app].topic = topic;
                self.apps[app].notices_at = None;
            }
        }
    }

    fn run_wire(&mut self) {
        let is_connected = self
            .bridge
            .as_ref()
            .is_some_and(|one| one.subscribed_at.is_some());
        if self.loss_known_at.is_some_and(|at| at <= self.now) {
            self.loss_known_at = None;
            let now = self.instant();
            if let Some(bridge) = &mut self.bridge {
                bridge.gate.heard(b"\x00stix2/", now);
            }
            if self.broker.answers() && self.wired_at.is_none() {
                self.wired_at = Some(self.now + TICK);
            }
        }
        let may_wire = self.wired_at.is_none_or(|at| at <= self.now);
        if is_connected
            && !self.is_wired
            && self.loss_known_at.is_none()
            && may_wire
            && self.broker.answers()
        {
            self.is_wired = true;
            self.wired_at = None;
            let now = self.instant();
            if let Some(bridge) = &mut self.bridge {
                bridge.gate.heard(b"\x01stix2/", now);
            }
        }
        if self.is_wired && self.broker.answers() {
            for number in self.wire.drain(..) {
                self.broker.take(Message::Sighting(number));
            }
        }
    }

    fn room(&self) -> usize {
        if self.is_wired {
            (QUEUE + KERNEL).saturating_sub(self.wire.len())
        } else {
            VOID.saturating_sub(self.in_void)
        }
    }

    fn put_on_wire(&mut self, numbers: &[u32]) {
        // A bridge that starts after its broker was restarted, and of which nothing was left
        // to tell of that, cannot know that an app is not there yet.
        let before = LATE + TICK;
        let cannot_know = !self.knows_of_restart
            && self.started_at + before > self.broker_started_at
            && !self.apps.iter().all(|app| self.broker.knows(app.topic));
        // What is in memory goes while there is time, better early than never.
        let is_last = !self.plan.has_state
            && self
                .bridge
                .as_ref()
                .is_some_and(|one| one.stopped_at.is_some());
        for number in numbers {
            self.watch(*number, Event::Sent(*number));
            self.sightings[*number as usize].is_excused |= cannot_know || is_last;
            self.sightings[*number as usize].sendings += 1;
            // What goes into a connection that has just ended is dropped.
            if self.is_wired {
                self.wire.push_back(*number);
            } else {
                self.in_void += 1;
            }
        }
    }

    fn send(&mut self) {
        let (now, room) = (self.instant(), self.room());
        // A wire to a broker that reads is emptied meanwhile.
        let room = if self.is_wired && self.broker.answers() {
            usize::MAX
        } else {
            room
        };
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        let sent = bridge.send(now, room);
        self.was_mute |= bridge.was_mute;
        self.put_on_wire(&sent);
    }

    fn run_broker(&mut self, tick: Duration) {
        let mut out = std::mem::take(&mut self.out);
        self.broker.run(self.now, tick, &mut out);
        for (topic, owner, message) in out.drain(..) {
            match owner {
                Owner::App(app) => self.give_app(app, message),
                Owner::Bridge => self.give_bridge(topic, message),
            }
        }
        self.out = out;
        for number in std::mem::take(&mut self.broker.dropped) {
            self.indicators[number as usize].is_excused = true;
            self.tally.dropped_early += 1;
        }
    }

    fn give_app(&mut self, app: usize, message: Message) {
        if let Message::Sighting(number) = message {
            self.watch(number, Event::Arrived(app, number));
            let got = &mut self.apps[app].got;
            let number = number as usize;
            if got.len() <= number {
                got.resize(number + 1, 0);
            }
            got[number] = got[number].saturating_add(1);
        }
    }

    fn give_bridge(&mut self, topic: u32, message: Message) {
        if self.deaf_until.is_some_and(|until| until > self.now) {
            // What counts for a gap is when the broker passed it on: how far it is behind,
            // nobody knows.
            if let Message::Indicator(number, _) = message {
                self.indicators[number as usize].at = self.instant();
            }
            return;
        }
        self.deaf_until = None;
        let now = self.instant();
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.hears(topic)) else {
            return;
        };
        let key = match message {
            Message::Sighting(number) => {
                if self.watched == Some(number) {
                    self.events
                        .push_back((self.at, self.now, Event::Echoed(number)));
                }
                bridge::echo_key(number)
            }
            Message::Foreign(number) => Some(u64::from(number) | 1 << 41),
            Message::Indicator(number, _) => {
                let indicator = &mut self.indicators[number as usize];
                indicator.was_delivered = true;
                if bridge.takes(topic, number) {
                    indicator.taken += 1;
                }
                return;
            }
        };
        bridge.told_of_others += u32::from(bridge.outbox.echo(key, now).is_some());
    }

    /// The session goes on, if something is there that it waits for.
    fn run_session(&mut self) {
        if self
            .silent_since
            .take_if(|since| self.now - *since >= SILENT)
            .is_some()
        {
            self.was_cut = true;
        }
        for _ in 0..30 {
            let moment = self.moment();
            let Some(bridge) = &self.bridge else {
                return;
            };
            let input = match &bridge.waits {
                Waits::Ended => return,
                Waits::Until(_) if bridge.stopped_at.is_some() && !bridge.session.is_closing() => {
                    Input::Stop
                }
                Waits::Until(_) if std::mem::take(&mut self.was_cut) => {
                    Input::Cut(bridge::refused())
                }
                Waits::Until(until) if moment.monotonic >= *until => Input::Time,
                Waits::Until(_) => return,
                Waits::Answer(request, until) => {
                    let (request, until) = (request.clone(), *until);
                    // It went out, and nobody waits for what comes of it.
                    if bridge.stopped_at.is_some() {
                        if self.broker.answers() && self.random.one_in(2) {
                            self.orphan(&request);
                        }
                        self.step_session(moment, Input::Answer(Err(stopped())));
                        continue;
                    }
                    // Between two requests anything may happen.
                    if self.broker.answers() && self.random.one_in(ANSWERS_LATER) {
                        return;
                    }
                    if self.broker.answers() {
                        Input::Answer(self.answer(&request))
                    } else if moment.monotonic >= until {
                        if self.broker.is_frozen && self.random.one_in(2) {
                            self.late_requests.push(request);
                        }
                        Input::Answer(Err(bridge::no_answer(Duration::from_secs(5))))
                    } else {
                        return;
                    }
                }
            };
            self.step_session(moment, input);
        }
    }

    fn step_session(&mut self, moment: Moment, input: Input) {
        let mut acts = std::mem::take(&mut self.acts);
        if let Some(bridge) = &mut self.bridge {
            bridge.step(moment, input, &mut acts);
            // A new socket has no past.
            if bridge.sockets() != self.sockets {
                self.sockets = bridge.sockets();
                self.was_cut = false;
                self.silent_since = None;
                self.deaf_until = None;
            }
        }
        for act in acts.drain(..) {
            match act {
                Act::Held(topics) => self.held_on_disk = topics,
                Act::Listen(topic) => self.broker.listen(topic, self.now),
            }
        }
        self.acts = acts;
    }

    fn answer(
        &mut self,
        request: &Request,
    ) -> Result<
        Option<vast_threatbus::bus::management::Subscription>,
        vast_threatbus::bus::management::ManageError,
    > {
        match request {
            Request::Heartbeat(topic) => {
                if topic != OWN_NAME && self.broker.knows(bridge::name(topic)) {
                    Ok(None)
                } else {
                    Err(bridge::refused())
                }
            }
            Request::Unsubscribe(topic) => {
                if self.broker.unsubscribe(bridge::name(topic)) {
                    Ok(None)
                } else {
                    Err(bridge::refused())
                }
            }
            Request::Subscribe(topic, days) => {
                let kind = kind_of(topic);
                let name = self.broker.subscribe(kind, Owner::Bridge, &mut self.random);
                if *days > 0 {
                    let all = 0..u32::try_from(self.indicators.len()).expect("few");
                    self.broker.snapshot(name, all, self.now);
                }
                Ok(Some(bridge::subscription(name)))
            }
        }
    }

    /// A request whose answer nobody is there to hear.
    fn orphan(&mut self, request: &Request) {
        if let Ok(Some(made)) = self.answer(request) {
            self.broker.orphans.push(bridge::name(&made.topic));
        }
    }

    /// The end of a bridge that was told to end.
    fn run_end(&mut self) {
        let (now, moment) = (self.instant(), self.moment());
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        let Some(stopped_at) = bridge.stopped_at else {
            return;
        };
        let is_over = now >= stopped_at + GRACE;
        if !bridge.outbox.is_empty() && !is_over {
            return;
        }
        if matches!(bridge.waits, Waits::Until(_)) {
            self.step_session(moment, Input::Finished);
        }
        let Some(bridge) = self.bridge.take_if(|one| matches!(one.waits, Waits::Ended)) else {
            return;
        };
        self.end_bridge(bridge, now);
    }

    fn end_bridge(&mut self, mut bridge: Bridge, now: Instant) {
        self.note(Event::BridgeEnded);
        self.ended_at = Some(self.now);
        // In the very moment, before it could be noticed; or it stands still.
        let died = self.died_at.is_some_and(|at| self.now - at <= 2 * TICK);
        // Or its machine lost its power, which no connection has shown yet: what came back
        // just before counts as delivered.
        if died || self.broker.is_frozen || self.silent_since.is_some() {
            self.excuse_inside(&[]);
        }
        bridge.outbox.end(now).expect("the disk is well");
        if !self.plan.has_state && bridge.outbox.at_risk() > 0 {
            // It says how many are lost.
            let all: Vec<u32> = (0..self.sightings.len() as u32).collect();
            self.excuse(&all);
        }
        // The library has half a second at the least for what is in its queue.
        if !self.broker.answers() && self.is_trusted() {
            let wire: Vec<u32> = self.wire.iter().skip(KERNEL).copied().collect();
            self.excuse(&wire);
        }
        if self.is_trusted() && !self.is_wired {
            let all: Vec<u32> = (0..self.sightings.len() as u32).collect();
            self.excuse(&all);
        }
        self.run_wire();
        self.lose_wire();
        let (mut held, gave_up) = bridge.session.end();
        assert!(gave_up.is_none(), "it has no limit");
        while self.broker.answers() && !held.is_empty() {
            let topic = held.pop().expect("not empty");
            self.broker.unsubscribe(bridge::name(&topic));
        }
        self.held_on_disk = held;
        if !self.plan.has_state {
            for topic in &self.held_on_disk {
                self.broker.orphans.push(bridge::name(topic));
            }
        }
    }

    /// What holds at any time.
    fn check(&self) -> Result<(), String> {
        let Some(bridge) = &self.bridge else {
            return Ok(());
        };
        for topic in &self.broker.topics {
            let name = format!("t{}", topic.name);
            let is_known = topic.owner != Owner::Bridge
                || bridge.session.held().contains(&name)
                || self.plan.has_state && self.held_on_disk.contains(&name)
                || self.broker.orphans.contains(&topic.name);
            if !is_known {
                return Err(format!("the topic {name} is held by nobody"));
            }
        }
        if bridge.session.held().len() > 24 {
            return Err(format!("{} topics are held", bridge.session.held().len()));
        }
        let is_unique = |number: &&u32| !self.indicators[**number as usize].was_repeated;
        if let Some(indicator) = bridge.taken_twice.iter().find(is_unique) {
            return Err(format!(
                "indicator {indicator} was taken in through two subscriptions"
            ));
        }
        if bridge.told_of_others > 1 {
            return Err("it was told twice in an hour whose echoes come".to_owned());
        }
        let bytes = bridge.outbox.bytes_in_memory();
        if bytes > MOST_BYTES + (MOST_BYTES / 2) + 4_096 {
            return Err(format!("the outbox takes {bytes} bytes"));
        }
        let inside = self.broker.inside() + self.wire.len();
        let most = self.most_inside();
        if !self.is_trusted() && inside > most {
            return Err(format!("{inside} sightings are with the broker"));
        }
        self.check_sendings()
    }

    /// How many sightings may be with the broker: what it passes on in a second and a half
    /// by the fastest pace of the last minute, and once more for each connection that was
    /// lost and each process that was started meanwhile: what is inside is sent again, or
    /// not known to the new one.
    fn most_inside(&self) -> usize {
        let is_late = |at: &Duration| self.now - *at <= PACED;
        let earlier = self.paces.iter().rev().find(|(at, _)| !is_late(at));
        let lately = self.paces.iter().filter(|(at, _)| is_late(at));
        let fastest = lately.chain(earlier).map(|(_, pace)| *pace).max();
        let losses = self.losses.iter().filter(|at| is_late(at)).count();
        LEAST.max(fastest.unwrap_or(0) as usize * 3 / 2) * (1 + losses)
    }

    fn check_sendings(&self) -> Result<(), String> {
        for (number, sighting) in self.sightings.iter().enumerate() {
            let again = if bridge::is_rewritten(number as u32) {
                2
            } else {
                0
            };
            // A broker that is two minutes behind with what is of others is not waited for.
            let behind = self.foreign / 9_000;
            let failures = self.failures + self.broker.dropped_echoes + behind;
            if sighting.sendings > 1 + again + 2 * failures {
                return Err(format!(
                    "sighting {number} was sent {} times with {} failures",
                    sighting.sendings, self.failures
                ));
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        let stopped = self.bridge.as_ref().and_then(|bridge| bridge.stopped_at);
        match stopped {
            Some(at) if self.instant() > at + LONGEST_END => {
                Err("it does not end though it was told to".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Everything is well from now on, until nothing is left to do.
    fn heal(&mut self) -> Result<(), String> {
        self.at += 1;
        self.note(Event::Healed);
        self.revive_broker();
        self.revive_broker();
        self.broker.is_mute = false;
        self.broker.late = Duration::ZERO;
        self.broker.pace = self.broker.pace.max(600);
        self.paces.push((self.now, self.broker.pace));
        while self
            .bridge
            .as_ref()
            .is_some_and(|one| one.stopped_at.is_some())
        {
            self.tick(TICK);
            self.check_end()?;
        }
        if self.bridge.is_none() {
            self.start_bridge();
        }
        let began = self.now;
        let mut is_well = 0;
        while is_well < 40 {
            self.tick(TICK);
            is_well = if self.is_well() { is_well + 1 } else { 0 };
            if self.now - began > LONGEST_HEALING {
                return Err(format!("it does not come right: {}", self.ills()));
            }
        }
        self.check()?;
        self.check_arrivals()
    }

    fn is_well(&self) -> bool {
        let Some(bridge) = &self.bridge else {
            return false;
        };
        self.broker.is_idle()
            && self.wire.is_empty()
            && bridge.outbox.is_empty()
            // Subscribed again, which is when a gap is told of.
            && bridge.session.is_serving()
            && self.apps.iter().all(|app| self.broker.knows(app.topic))
    }

    fn ills(&self) -> String {
        let Some(bridge) = &self.bridge else {
            return "no bridge".to_owned();
        };
        format!(
            "broker idle {}, {} on the wire, outbox empty {}, subscribed {}, {:?}",
            self.broker.is_idle(),
            self.wire.len(),
            bridge.outbox.is_empty(),
            bridge.session.is_serving(),
            bridge.session
        )
    }

    fn check_arrivals(&self) -> Result<(), String> {
        for (number, sighting) in self.sightings.iter().enumerate() {
            for (app, one) in self.apps.iter().enumerate() {
                let got = one.got.get(number).copied().unwrap_or(0);
                if got == 0 && !sighting.is_excused {
                    return Err(format!(
                        "sighting {number}, sent {} times, did not reach app {app}",
                        sighting.sendings
                    ));
                }
            }
        }
        self.check_indicators()
    }

    fn check_indicators(&self) -> Result<(), String> {
        let Some(bridge) = &self.bridge else {
            return Ok(());
        };
        for (number, indicator) in self.indicators.iter().enumerate() {
            let is_inside = |gap: &(Instant, Instant)| (gap.0..=gap.1).contains(&indicator.at);
            let in_gap = bridge.gaps.iter().any(is_inside);
            if indicator.taken == 0 && !indicator.is_excused {
                if indicator.was_delivered {
                    return Err(format!("indicator {number} came and was not taken in"));
                }
                if !in_gap {
                    return Err(format!(
                        "indicator {number} did not come, and no gap is told of"
                    ));
                }
            }
            let is_one_subscription = self.plan.is_healthy && !indicator.is_excused;
            // What is in a snapshot may be on its way besides.
            let is_twice = indicator.taken > indicator.published && self.plan.snapshot_days == 0;
            let is_wrong = indicator.taken < indicator.published || is_twice;
            if is_one_subscription && is_wrong {
                return Err(format!(
                    "indicator {number} was published {} times and taken in {} times",
                    indicator.published, indicator.taken
                ));
            }
        }
        Ok(())
    }

    /// The bridge is told to end, with a broker that is well.
    fn finish(&mut self) -> Result<(), String> {
        self.at += 1;
        self.stop_bridge();
        while self.bridge.is_some() {
            self.tick(Duration::from_millis(100));
            self.check_end()?;
        }
        let left: Vec<u32> = self
            .broker
            .topics
            .iter()
            .filter(|topic| topic.owner == Owner::Bridge)
            .map(|topic| topic.name)
            .filter(|name| !self.broker.orphans.contains(name))
            .collect();
        if !left.is_empty() || !self.held_on_disk.is_empty() {
            return Err(format!("topics are left: {left:?} {:?}", self.held_on_disk));
        }
        if self.plan.has_state {
            let path = Path::new("/state/spool");
            let opened = Spool::open_on(self.disk.process(), path, 8 << 20);
            let bytes = opened.expect("the disk is well").0.bytes();
            if bytes > 0 {
                return Err(format!("{bytes} bytes are left in the spool"));
            }
        }
        Ok(())
    }
}

fn kind_of(topic: &str) -> Kind {
    match topic {
        "stix2/indicator" => Kind::Indicators,
        "stix2/sighting" => Kind::Sightings,
        _ => Kind::Nothing,
    }
}

fn stopped() -> vast_threatbus::bus::management::ManageError {
    vast_threatbus::bus::management::ManageError::Stopped
}
