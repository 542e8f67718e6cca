//! The bridge: the machines of the bus, with what their threads do around them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use vast_threatbus::bus::management::{ManageError, Subscription};
use vast_threatbus::config::ProtocolChoice;
use vast_threatbus::indicator::Protocol;
use vast_threatbus::process::endpoint::Endpoint;

use crate::machines::alive::ClockTimes;
use crate::machines::flight::Key;
use crate::machines::gate::{Gate, MaySend};
use crate::machines::outbox::Outbox;
use crate::machines::seen_indicators::Remembered;
use crate::machines::subscription::{Input, Next, Notice, Output, Request, Subscriber, Wishes};

/// The topic in front of each sighting.
pub const TOPIC: &str = "stix2/sighting";

/// Remainders of a sighting's number by `ROUND`: a broker rewrites sightings with the first,
/// so that their echoes are not recognised. Those with the second cannot be recognised, and
/// the bridge knows it.
const REWRITTEN: u32 = 90;
const UNKNOWN: u32 = 91;
const ROUND: u32 = 97;

/// Whether a broker rewrites this sighting, so that its echo is not recognised.
pub fn is_rewritten(number: u32) -> bool {
    number % ROUND == REWRITTEN
}

pub fn frame(number: u32) -> Vec<u8> {
    format!("{TOPIC} {number}").into_bytes()
}

pub fn number(frame: &[u8]) -> u32 {
    let digits = &frame[TOPIC.len() + 1..];
    digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

/// The key of a sighting that is sent.
pub fn key(frame: &[u8]) -> Option<Key> {
    let number = number(frame);
    (number % ROUND != UNKNOWN).then_some(u64::from(number))
}

/// The key of its echo.
pub fn echo_key(number: u32) -> Option<Key> {
    match number % ROUND {
        UNKNOWN => None,
        REWRITTEN => Some(u64::from(number) | 1 << 40),
        _ => Some(u64::from(number)),
    }
}

/// What the world has to do for the session.
#[derive(Debug)]
pub enum Waits {
    /// It sent a request, which is answered by then.
    Answer(Request, Instant),
    /// It waits for messages until then.
    Until(Instant),
    /// It has ended.
    Ended,
}

/// A socket for indicators and echoes.
#[derive(Debug)]
pub struct Link {
    pub topic: u32,
    pub echo_topic: Option<u32>,
    pub number: u64,
}

/// The process.
pub struct Bridge {
    pub session: Subscriber,
    pub waits: Waits,
    pub outbox: Outbox,
    pub gate: Gate,
    has_left_over: bool,
    is_connected: bool,
    pub remembered: Remembered,
    pub link: Option<Link>,
    pub former: Option<Link>,
    /// The topics that the new socket is subscribed to.
    pub listens: Vec<u32>,
    sockets: u64,
    pub closed: bool,
    /// When it was asked to stop.
    pub stopped_at: Option<Instant>,
    pub ended_at: Option<Instant>,
    /// The gaps that were reported: from when until when.
    pub gaps: Vec<(Instant, Instant)>,
    /// Whether it ever was subscribed.
    pub subscribed_at: Option<Instant>,
    pub unconfirmed: u32,
    pub was_mute: bool,
    /// The number of the socket through which each indicator came last.
    came: HashMap<u32, u64>,
    /// Indicators that were accepted again after they had come through another socket.
    pub taken_twice: Vec<u32>,
    /// How often it was reported that most echoes are of other sightings.
    pub warned_of_others: u32,
}

/// What the session did that the world has to know.
#[derive(Debug)]
pub enum Act {
    Held(Vec<String>),
    Listen(u32),
}

impl Bridge {
    pub fn new(
        wishes: Wishes,
        held: Vec<String>,
        outbox: Outbox,
        seed: u64,
        now: ClockTimes,
    ) -> Self {
        let with_snapshot = wishes.snapshot_days > 0;
        let has_left_over = outbox.spooled_bytes() > 0;
        Bridge {
            session: Subscriber::new(wishes, held, seed, now),
            waits: Waits::Until(now.monotonic),
            outbox,
            gate: Gate::new(false, now.monotonic),
            is_connected: false,
            has_left_over,
            remembered: Remembered::new(with_snapshot),
            link: None,
            former: None,
            listens: Vec::new(),
            sockets: 0,
            closed: false,
            stopped_at: None,
            ended_at: None,
            gaps: Vec::new(),
            subscribed_at: None,
            unconfirmed: 0,
            was_mute: false,
            came: HashMap::new(),
            taken_twice: Vec::new(),
            warned_of_others: 0,
        }
    }

    /// How many sockets for indicators there have been.
    pub fn sockets(&self) -> u64 {
        self.sockets
    }

    /// Steps the session until it waits for something.
    pub fn step(&mut self, now: ClockTimes, input: Input, acts: &mut Vec<Act>) {
        let mut input = input;
        loop {
            let (outputs, next) = self.session.step(now, input);
            for output in outputs {
                self.perform(now, output, acts);
            }
            input = match next {
                Next::Ask(request, time) => {
                    self.waits = Waits::Answer(request, now.monotonic + time);
                    return;
                }
                Next::Detect(_) => Input::Generation(Ok(Some(Protocol::Stix2))),
                Next::Connect(_) => {
                    self.sockets += 1;
                    self.listens.clear();
                    Input::Connected(Ok(()))
                }
                Next::Wait(until) => {
                    self.waits = Waits::Until(until);
                    return;
                }
                Next::End => {
                    self.waits = Waits::Ended;
                    self.ended_at = Some(now.monotonic);
                    return;
                }
            };
        }
    }

    fn perform(&mut self, now: ClockTimes, output: Output, acts: &mut Vec<Act>) {
        match output {
            Output::Listen(topic) => {
                let topic = name(&topic);
                self.listens.push(topic);
                acts.push(Act::Listen(topic));
            }
            Output::Use(topic, echo_topic) => {
                let link = Link {
                    topic: name(&topic),
                    echo_topic: echo_topic.as_deref().map(name),
                    number: self.sockets,
                };
                self.former = self.link.replace(link);
            }
            Output::CloseFormer => {
                self.former = None;
                self.remembered.settle();
            }
            Output::HandOver => self.remembered.hand_over(),
            Output::CloseIntake => self.closed = true,
            Output::Held(topics) => acts.push(Act::Held(topics)),
            Output::Listening(_, restarted) => {
                let may_be_new = restarted.is_some() || std::mem::take(&mut self.has_left_over);
                if !std::mem::replace(&mut self.is_connected, true) {
                    self.gate = Gate::new(false, now.monotonic);
                }
                if may_be_new {
                    self.gate.may_be_new();
                }
                self.outbox.subscribed(now.monotonic, restarted);
            }
            Output::Alive(at) => self.outbox.alive(at).expect("the disk is well"),
            Output::Away => self.outbox.away(),
            Output::Log(notice) => self.tell(now, &notice),
        }
    }

    fn tell(&mut self, now: ClockTimes, notice: &Notice) {
        match notice {
            Notice::Subscribed(..) => {
                self.subscribed_at.get_or_insert(now.monotonic);
            }
            Notice::SubscribedAgain(gap, _) => {
                let from = now.monotonic.checked_sub(*gap).unwrap_or(now.monotonic);
                self.gaps.push((from, now.monotonic));
            }
            _ => {}
        }
    }

    /// Whether an indicator that came through the subscription to this topic is accepted.
    pub fn takes(&mut self, topic: u32, indicator: u32) -> bool {
        let links = [&self.link, &self.former];
        let link = links.into_iter().flatten().find(|link| link.topic == topic);
        let number = match link {
            Some(link) => link.number,
            // It waits in the new socket until that socket is used.
            None if self.listens.contains(&topic) => self.sockets,
            None => return false,
        };
        if self.closed {
            return false;
        }
        let id = indicator.to_string();
        let is_taken = !self.remembered.is_repeated(&id, id.as_bytes(), number);
        let before = self.came.insert(indicator, number);
        if is_taken && before.is_some_and(|before| before != number) {
            self.taken_twice.push(indicator);
        }
        is_taken
    }

    /// Whether one of its sockets is subscribed to this topic.
    pub fn hears(&self, topic: u32) -> bool {
        let links = [&self.link, &self.former];
        let mut links = links.into_iter().flatten();
        self.listens.contains(&topic)
            || links.any(|link| link.topic == topic || link.echo_topic == Some(topic))
    }

    /// Sends what can be sent, `room` messages at most.
    pub fn send(&mut self, now: Instant, room: usize) -> Vec<u32> {
        let mut sent = Vec::new();
        if self.gate.take_loss() {
            assert_eq!(self.outbox.lost(now), 0, "the spool is large enough");
        }
        let is_ending = self.stopped_at.is_some() && !self.outbox.is_on_disk();
        while let Some(next) = self.outbox.next_to_send().expect("the disk is well") {
            if self.gate.may_send(TOPIC.as_bytes(), now, is_ending) != MaySend::Yes
                || sent.len() >= room
            {
                break;
            }
            sent.push(number(&next.frame));
            self.outbox.sent(next, now).expect("the disk is well");
        }
        let (overdue, written) = self.outbox.time(now);
        written.expect("the disk is well");
        self.unconfirmed += u32::try_from(overdue.given_up.len()).expect("few");
        self.was_mute |= overdue.is_mute;
        sent
    }

    /// Sends a sighting at once, past the outbox, if that is possible; whether it was.
    pub fn sends_at_once(&mut self, number: u32, now: Instant, room: usize) -> bool {
        let is_open = self.gate.may_send(TOPIC.as_bytes(), now, false) == MaySend::Yes;
        if !self.outbox.is_bypassed() || !is_open || room == 0 {
            return false;
        }
        self.outbox.sent_at_once(frame(number), now);
        true
    }
}

/// The number of a topic, by the broker's name for it.
pub fn name(topic: &str) -> u32 {
    topic[1..].parse().expect("made by this world")
}

/// The answer to a subscription.
pub fn subscription(topic: u32) -> Subscription {
    let endpoint = |port: u16| {
        let port = port.try_into().expect("not 0");
        Endpoint::new("broker", port).expect("a host")
    };
    Subscription {
        topic: format!("t{topic}"),
        pub_endpoint: endpoint(13_371),
        sub_endpoint: endpoint(13_372),
    }
}

pub fn wishes(snapshot_days: u32, confirms: bool) -> Wishes {
    Wishes {
        protocol: ProtocolChoice::Auto,
        snapshot_days,
        connect_timeout: None,
        confirms,
    }
}

pub fn refused() -> ManageError {
    ManageError::Refused("error".to_owned())
}

pub fn no_answer(time: Duration) -> ManageError {
    ManageError::NoAnswer(time)
}
