//! The bus with everything that can go wrong on it, around the state machines of `src/bus/`.
//!
//! One schedule is some hundred steps that a seed decides: sightings are found and
//! indicators published; the broker is slow, stops, dies and comes back, loses a
//! connection, forgets who is subscribed, sends nothing back; the clock is set; the bridge
//! is killed, ended and started, with a state directory or without. Then everything is well
//! again for as long as it takes, and the bridge is stopped. `invariants.rs` checks after each
//! step, or at the end:
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

mod faults;
mod invariants;
mod network;
mod process;
mod requests;
mod schedule;
mod tally;
mod workload;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

pub use tally::Tally;

use crate::bridge::{Act, Bridge};
use crate::broker::{Broker, Kind, Message, Owner};
use crate::machines::alive::ClockTimes;
use crate::machines::subscription::Request;
use crate::random::Random;
use crate::world::disk::MemoryDisk;

/// The memory limit of the outbox: small, so that it is reached.
const MOST_BYTES: usize = 64 << 10;

/// How many of the last events a report has.
const EVENTS: usize = 400;

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
    /// When it was last sent.
    sent_at: Option<Duration>,
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
    /// When none of the bridge's sightings was with the broker last.
    none_inside_at: Duration,
    /// How many sightings might be with the broker when one was last sent to it: what is
    /// there stays there if the broker becomes slow.
    most_inside: usize,
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
            none_inside_at: Duration::ZERO,
            most_inside: 0,
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

    fn moment(&self) -> ClockTimes {
        ClockTimes {
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
}
