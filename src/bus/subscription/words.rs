//! What the machine of the subscription hears and says.

use std::time::{Duration, Instant};

use crate::bus::management::{ManageError, Subscription};
use crate::config::ProtocolChoice;
use crate::indicator::Protocol;
use crate::process::endpoint::Endpoint;
use crate::protocol::{legacy, stix};

/// How the bus is used.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Which generation to speak.
    pub protocol: ProtocolChoice,
    /// How many days of snapshot to ask for; 0 for none.
    pub snapshot_days: u32,
    /// How long the first connection may take; `None` for ever.
    pub connect_timeout: Option<Duration>,
    /// Whether sightings are subscribed to as well.
    pub confirms: bool,
}

/// A management request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Is this topic known?
    Heartbeat(String),
    /// A subscription to a bus topic, with so many days of snapshot.
    Subscribe(String, u32),
    /// This topic is given up.
    Unsubscribe(String),
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The answer to a request, with what it opens where it was a subscription.
    Answer(Result<Option<Subscription>, ManageError>),
    /// What the broker subscribes to told its generation, or nothing.
    Generation(Result<Option<Protocol>, ManageError>),
    /// The connection to where it publishes was made.
    Connected(Result<(), ManageError>),
    /// Time went by.
    Time,
    /// The connection to where the broker publishes ended.
    Cut(ManageError),
    /// No more indicators are to come.
    Idle,
    /// The program stops.
    Stop,
    /// No more echoes are needed.
    Finished,
}

/// What is to be done next; what comes of it is the next input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Put this request, and wait so long for the answer.
    Ask(Request, Duration),
    /// Ask the broker that listens there for its generation.
    Detect(Endpoint),
    /// Connect a new socket to where the broker publishes.
    Connect(Endpoint),
    /// Wait for what comes, at most until then.
    Wait(Instant),
    /// It is over.
    End,
}

/// What is to be done besides.
#[derive(Debug)]
pub enum Output {
    /// Take what comes for this topic through the new socket.
    Listen(String),
    /// The new socket is the one from now on, with the topics of indicators and of
    /// sightings; the one before it is read until [`Output::CloseFormer`].
    Use(String, Option<String>),
    /// The subscription before this one has nothing more.
    CloseFormer,
    /// The subscription is lost: another is to take its place.
    HandOver,
    /// The broker does not answer, or does not know the subscription.
    Away,
    /// Nothing new is taken in.
    CloseIntake,
    /// These topics are held now.
    Held(Vec<String>),
    /// Sightings can be sent there; the broker was restarted since that moment.
    Listening(Endpoint, Option<Instant>),
    /// The broker knew the subscription at this moment.
    Alive(Instant),
    /// Something to be said.
    Tell(Tale),
}

/// What there is to be said.
#[derive(Debug)]
pub enum Tale {
    /// There is no subscription yet.
    NotReady(ManageError),
    /// There is no subscription again, yet.
    StillAway(ManageError),
    /// The subscription was lost.
    Lost(ManageError),
    /// The broker at this endpoint tells no generation.
    NoGeneration(Endpoint),
    /// There is a subscription, with so many days of snapshot.
    Subscribed(Protocol, u32),
    /// There is one again, after so long, with so many days of snapshot.
    Anew(Duration, Option<u32>),
    /// A topic could not be given up.
    NotGivenUp(String, ManageError),
    /// The broker lost the subscription while the last sightings went out.
    LostAtEnd(ManageError),
}

/// The broker was not reached in time.
#[derive(Debug)]
pub struct GaveUp {
    /// How long it was tried.
    pub tried_for: Duration,
    /// What came of the last try.
    pub last: ManageError,
}

/// What the indicators of a generation are published on.
pub fn bus_topic(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Legacy => legacy::INTEL_TOPIC,
        Protocol::Stix2 => stix::message::INDICATOR_TOPIC,
    }
}

/// What its sightings are published on.
pub fn sighting_topic(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Legacy => legacy::SIGHTING_TOPIC,
        Protocol::Stix2 => stix::message::SIGHTING_TOPIC,
    }
}
