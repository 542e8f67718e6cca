//! A broker, as `threatbus` 2020 to 2022 is one: what it holds is in memory and in order.
//!
//! A message that an app sends comes into its inbox; from there a copy goes into the queue
//! of each topic that is subscribed to its kind, and from there, at its own pace, to the
//! subscriber, if the publishing socket knows the prefix by then. All of it is gone when it
//! dies.

use std::collections::VecDeque;
use std::time::Duration;

use crate::random::Random;

/// A message inside the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A sighting of the bridge, by its number.
    Sighting(u32),
    /// A sighting of another app.
    Foreign(u32),
    /// An indicator, by its number; `true` where it was put into a snapshot.
    Indicator(u32, bool),
}

/// What a topic is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Indicators,
    Sightings,
    /// Nothing is ever published on it.
    Nothing,
}

/// Who holds a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The bridge.
    Bridge,
    /// The app with this number.
    App(usize),
}

/// A subscription.
#[derive(Debug)]
pub struct Topic {
    pub name: u32,
    pub kind: Kind,
    pub owner: Owner,
    queue: VecDeque<(Duration, Message)>,
    /// The publishing socket knows the prefix from then on.
    known_at: Option<Duration>,
    /// How far behind this subscriber is.
    lag: Duration,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    pub is_up: bool,
    pub is_frozen: bool,
    /// How often it was started.
    pub starts: u32,
    /// How many messages it takes from its inbox in a second.
    pub pace: u32,
    /// It sends no sighting back to who sent it.
    pub is_mute: bool,
    /// How long its publishing socket takes to know a prefix.
    pub late: Duration,
    inbox: VecDeque<Message>,
    pub topics: Vec<Topic>,
    names: u32,
    /// What it may still take before the next whole second of its pace.
    credit: u64,
    /// Topics of a subscriber that was not there for the answer.
    pub orphans: Vec<u32>,
    /// Indicators for the bridge that the publishing socket knew no subscriber of yet.
    pub dropped: Vec<u32>,
    /// Echoes that it knew no subscriber of yet.
    pub dropped_echoes: u32,
}

/// The longest that a subscriber is behind: some more than was seen.
const LONGEST_LAG: u64 = 9_000;

impl Broker {
    pub fn new(pace: u32) -> Self {
        Broker {
            is_up: true,
            is_frozen: false,
            starts: 1,
            pace,
            is_mute: false,
            late: Duration::ZERO,
            inbox: VecDeque::new(),
            topics: Vec::new(),
            names: 0,
            credit: 0,
            orphans: Vec::new(),
            dropped: Vec::new(),
            dropped_echoes: 0,
        }
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.is_up && !self.is_frozen
    }

    /// Everything that is inside it is gone; gives the sightings of the bridge that were.
    pub fn die(&mut self) -> Vec<u32> {
        self.is_up = false;
        self.is_frozen = false;
        let queued = self.topics.iter().flat_map(|topic| &topic.queue);
        let inside = self.inbox.iter().chain(queued.map(|(_, message)| message));
        let lost = inside.filter_map(|message| match message {
            Message::Sighting(number) => Some(*number),
            Message::Foreign(_) | Message::Indicator(..) => None,
        });
        let lost = lost.collect();
        self.inbox.clear();
        self.topics.clear();
        self.orphans.clear();
        lost
    }

    pub fn start(&mut self) {
        self.is_up = true;
        self.starts += 1;
    }

    pub fn subscribe(&mut self, kind: Kind, owner: Owner, random: &mut Random) -> u32 {
        self.names += 1;
        let lag = match owner {
            Owner::Bridge => 0,
            Owner::App(_) if random.one_in(4) => random.below(LONGEST_LAG as usize) as u64,
            Owner::App(_) => random.below(50) as u64,
        };
        self.topics.push(Topic {
            name: self.names,
            kind,
            owner,
            queue: VecDeque::new(),
            known_at: None,
            lag: Duration::from_millis(lag),
        });
        self.names
    }

    /// The subscriber listens to this topic; the broker gets to know.
    pub fn listen(&mut self, name: u32, now: Duration) {
        let late = self.late;
        if let Some(topic) = self.topic(name) {
            topic.known_at.get_or_insert(now + late);
        }
    }

    /// Another app answers to the request for a snapshot that came with a subscription.
    pub fn snapshot(&mut self, name: u32, indicators: std::ops::Range<u32>, now: Duration) {
        if let Some(topic) = self.topic(name) {
            let messages = indicators.map(|number| (now, Message::Indicator(number, true)));
            topic.queue.extend(messages);
        }
    }

    pub fn knows(&self, name: u32) -> bool {
        self.topics.iter().any(|topic| topic.name == name)
    }

    pub fn unsubscribe(&mut self, name: u32) -> bool {
        let known = self.knows(name);
        self.topics.retain(|topic| topic.name != name);
        self.orphans.retain(|orphan| *orphan != name);
        known
    }

    /// Its list of subscriptions loses those of one that holds some.
    pub fn forget(&mut self, owner: Owner) {
        self.topics.retain(|topic| topic.owner != owner);
        self.orphans.clear();
    }

    fn topic(&mut self, name: u32) -> Option<&mut Topic> {
        self.topics.iter_mut().find(|topic| topic.name == name)
    }

    /// A message comes in.
    pub fn take(&mut self, message: Message) {
        self.inbox.push_back(message);
    }

    /// How many of the bridge's sightings are inside, on their way to the bridge.
    pub fn inside(&self) -> usize {
        let is_own = |message: &&Message| matches!(message, Message::Sighting(_));
        self.inbox.iter().filter(is_own).count()
    }

    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.topics.iter().all(|topic| topic.queue.is_empty())
    }

    /// Hands out what is in the inbox for so long, up to `now`; gives what reaches
    /// whom, by name of the topic.
    pub fn run(&mut self, now: Duration, time: Duration, out: &mut Vec<(u32, Owner, Message)>) {
        if !self.answers() {
            return;
        }
        self.credit += u64::from(self.pace) * time.as_millis() as u64;
        while self.credit >= 1_000 {
            let Some(message) = self.inbox.pop_front() else {
                self.credit = 0;
                break;
            };
            self.credit -= 1_000;
            self.provide(message, now);
        }
        let is_mute = self.is_mute;
        for topic in &mut self.topics {
            while topic
                .queue
                .front()
                .is_some_and(|(at, _)| *at + topic.lag <= now)
            {
                let Some((_, message)) = topic.queue.pop_front() else {
                    break;
                };
                let is_own = topic.owner == Owner::Bridge;
                if topic.known_at.is_none_or(|known| known > now) {
                    match message {
                        Message::Indicator(number, _) if is_own => self.dropped.push(number),
                        Message::Sighting(_) if is_own => self.dropped_echoes += 1,
                        _ => {}
                    }
                } else if !(is_mute && is_own && topic.kind == Kind::Sightings) {
                    out.push((topic.name, topic.owner, message));
                }
            }
        }
    }

    fn provide(&mut self, message: Message, now: Duration) {
        let kind = match message {
            Message::Sighting(_) | Message::Foreign(_) => Kind::Sightings,
            Message::Indicator(..) => Kind::Indicators,
        };
        for topic in self.topics.iter_mut().filter(|topic| topic.kind == kind) {
            topic.queue.push_back((now, message));
        }
    }
}
