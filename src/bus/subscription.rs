//! The subscription at the bus: how it is made, kept alive, made anew and given up. A
//! machine without a socket, a clock or a thread: who drives it does what [`Next`] says
//! and brings what came of it.
//!
//! | | success | no, or no answer | time, or the connection ends | stop |
//! |---|---|---|---|---|
//! | *probing*: is the broker there, and does it know the last topic, of this run or the one before? | ports | pausing; a broker that is there and does not know it was restarted: ports | | ended |
//! | *ports*: where does it listen and publish? | detecting | giving up | | ended |
//! | *detecting*: which generation is it? | connecting | giving up | | ended |
//! | *connecting*: to where it publishes | indicators | giving up | | ended |
//! | *indicators*: subscribes to them | sightings, or giving up the topic of *ports* | giving up | | ended |
//! | *sightings*: subscribes to them, where delivery is confirmed | giving up the topic of *ports* | giving up | | ended |
//! | *giving up* topics, one after the other | pausing, rechecking, or serving | the rest waits for the next occasion | | ended |
//! | *rechecking*: does the broker still know the topic from before? | serving | no: it was restarted meanwhile, serving; no answer: giving up | | ended |
//! | *pausing* | | | probing | ended |
//! | *serving* | | | beating, each [`HEARTBEAT`]; probing where the connection ended | closing |
//! | *beating*: does the broker know the topic? | giving up what is held beside, then serving | probing | | closing |
//! | *closing*: the last echoes come, where delivery is confirmed | | | beating, unless the program stops | ended when they are in |
//!
//! A topic is held from the answer that names it until the broker has answered that it is given up.

mod words;

use std::time::{Duration, Instant};

use super::alive::Moment;
use super::management::{ANSWER_TIME, ManageError, Subscription};
use crate::config::ProtocolChoice;
use crate::indicator::Protocol;
use crate::process::stop::Backoff;

pub use words::{GaveUp, Input, Next, Output, Request, Tale, Wishes, bus_topic, sighting_topic};

/// The pause between heartbeats, as the original's.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// If the first subscription takes longer, the broker may have been started meanwhile.
const LATE: Duration = Duration::from_secs(1);

/// How often a session that closes looks whether it may.
const CLOSING: Duration = Duration::from_millis(20);

/// The name under which the broker's ports are requested, and whether it is
/// there. Nothing is ever published on it.
pub const OWN_NAME: &str = "vast-threatbus/probe";

#[derive(Debug)]
enum State {
    Probing,
    Ports,
    Detecting,
    Connecting,
    Indicators,
    Sightings,
    GivingUp(Vec<String>, After),
    Rechecking,
    Pausing(Instant),
    Serving(Instant),
    Beating,
    /// With the time of the next heartbeat, where there is to be one.
    Closing(Option<Instant>),
    LastBeating,
    Ended,
}

/// What comes after giving up topics.
#[derive(Debug)]
enum After {
    Use,
    Serve,
    Pause(ManageError),
}

/// A subscription that is being made.
#[derive(Debug)]
struct Making {
    ports: Subscription,
    protocol: Protocol,
    topic: String,
    echo_topic: Option<String>,
    days: u32,
    /// When its indicators were requested.
    since: Moment,
}

/// The machine.
#[derive(Debug)]
pub struct Subscriber {
    wishes: Wishes,
    /// For the jitter of pauses.
    random: u64,
    state: State,
    held: Vec<String>,
    /// Those of them that the try under way has made.
    new: Vec<String>,
    making: Option<Making>,
    /// Topics of the subscription that was made last: of indicators, of sightings.
    link: Option<(String, Option<String>)>,
    has_former: bool,
    backoff: Backoff,
    started: Instant,
    /// When the last subscription was last known to work.
    alive: Moment,
    /// When the request was put that is not answered yet.
    asked_at: Moment,
    /// The broker does not know the last subscription, or was away until now.
    was_restarted: bool,
    gave_up: Option<GaveUp>,
}

impl Subscriber {
    /// Before the first try. `held` are topics that a run before this one left at the
    /// broker; `seed` is for the jitter of pauses.
    pub fn new(wishes: Wishes, held: Vec<String>, seed: u64, now: Moment) -> Self {
        Subscriber {
            wishes,
            random: seed | 1,
            state: State::Pausing(now.monotonic),
            held,
            new: Vec::new(),
            making: None,
            link: None,
            has_former: false,
            backoff: Backoff::new(),
            started: now.monotonic,
            alive: now,
            asked_at: now,
            was_restarted: false,
            gave_up: None,
        }
    }

    /// The topics that the broker holds.
    pub fn held(&self) -> &[String] {
        &self.held
    }

    /// Whether it receives: it may end by itself when nothing comes.
    pub fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving(_))
    }

    /// Whether only the last echoes are to come.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing(_) | State::LastBeating)
    }

    /// What is left at the end: the topics that the broker holds, and why it was not
    /// reached, where it never was.
    pub fn end(self) -> (Vec<String>, Option<GaveUp>) {
        (self.held, self.gave_up)
    }

    /// Takes what happened; says what is to be done.
    pub fn step(&mut self, now: Moment, input: Input) -> (Vec<Output>, Next) {
        let mut outputs = Vec::new();
        let next = match input {
            Input::Stop | Input::Idle => {
                self.close(now, matches!(input, Input::Idle), &mut outputs)
            }
            Input::Finished => self.finish(),
            Input::Cut(error) if self.is_serving() => self.lost(now, error, &mut outputs),
            Input::Cut(_) if self.is_closing() => {
                outputs.push(Output::Away);
                self.time(now)
            }
            // It is made anew already, or ends.
            Input::Cut(_) | Input::Time => self.time(now),
            Input::Answer(answer) => self.answered(now, answer, &mut outputs),
            Input::Generation(found) => self.detected(now, found, &mut outputs),
            Input::Connected(made) => self.connected(now, made, &mut outputs),
        };
        (outputs, next)
    }

    fn time(&mut self, now: Moment) -> Next {
        match self.state {
            State::Pausing(until) if now.monotonic >= until => self.probe(now),
            State::Pausing(until) => Next::Wait(until),
            State::Serving(beat_at) if now.monotonic >= beat_at => {
                self.state = State::Beating;
                self.beat(now)
            }
            State::Serving(beat_at) => Next::Wait(beat_at),
            State::Closing(Some(beat_at)) if now.monotonic >= beat_at => {
                self.state = State::LastBeating;
                self.beat(now)
            }
            State::Closing(_) => Next::Wait(now.monotonic + CLOSING),
            State::Ended => Next::End,
            // An answer is to come.
            _ => Next::Wait(now.monotonic + ANSWER_TIME),
        }
    }

    fn ask(&mut self, now: Moment, request: Request, time: Duration) -> Next {
        self.asked_at = now;
        Next::Ask(request, time)
    }

    fn beat(&mut self, now: Moment) -> Next {
        let own = self.link.as_ref().map(|(topic, _)| topic);
        let topic = own.or(self.held.first()).cloned();
        let topic = topic.unwrap_or_else(|| OWN_NAME.to_owned());
        self.ask(now, Request::Heartbeat(topic), ANSWER_TIME)
    }

    /// A try begins with a question that leaves nothing behind, should the broker answer
    /// it later than is waited.
    fn probe(&mut self, now: Moment) -> Next {
        self.state = State::Probing;
        let next = self.beat(now);
        match next {
            Next::Ask(request, time) => Next::Ask(request, self.time_left(now).min(time)),
            next => next,
        }
    }

    /// How long this try may take, where it is the first connection.
    fn time_left(&self, now: Moment) -> Duration {
        match (self.link.is_some(), self.wishes.connect_timeout) {
            (false, Some(limit)) => {
                limit.saturating_sub(now.monotonic.saturating_duration_since(self.started))
            }
            _ => Duration::MAX,
        }
    }

    fn answer_time(&self, now: Moment) -> Duration {
        self.time_left(now).min(ANSWER_TIME)
    }

    fn answered(
        &mut self,
        now: Moment,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Probing => self.probed(now, answer, outputs),
            State::Ports => match answer {
                Ok(Some(ports)) => self.found(ports, outputs),
                answer => self.failed(now, unanswered(answer), outputs),
            },
            State::Indicators => match answer {
                Ok(Some(made)) => self.listens(now, made.topic, outputs),
                answer => self.failed(now, unanswered(answer), outputs),
            },
            State::Sightings => match answer {
                Ok(Some(made)) => {
                    self.hold(&made.topic, outputs);
                    outputs.push(Output::Listen(made.topic.clone()));
                    if let Some(making) = &mut self.making {
                        making.echo_topic = Some(made.topic);
                    }
                    self.made(now, outputs)
                }
                answer => self.failed(now, unanswered(answer), outputs),
            },
            State::GivingUp(topics, after) => self.gave_up(now, answer, topics, after, outputs),
            State::Rechecking => match answer {
                Ok(_) => self.use_it(now, outputs),
                Err(ManageError::Refused(_)) => {
                    self.was_restarted = true;
                    self.use_it(now, outputs)
                }
                Err(error) => self.failed(now, error, outputs),
            },
            state @ State::Beating => {
                self.state = state;
                self.was_heard(now, answer, outputs)
            }
            state @ State::LastBeating => {
                self.state = state;
                self.was_heard_last(now, answer, outputs)
            }
            state => {
                self.state = state;
                self.time(now)
            }
        }
    }

    fn probed(
        &mut self,
        now: Moment,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            // It stood still, and has lost nothing.
            Ok(_) => self.was_restarted = false,
            Err(ManageError::Refused(_)) => {
                self.was_restarted |= self.link.is_some() || !self.held.is_empty();
            }
            Err(error) => return self.failed(now, error, outputs),
        }
        self.state = State::Ports;
        let time = self.answer_time(now);
        self.ask(now, Request::Subscribe(OWN_NAME.to_owned(), 0), time)
    }

    fn found(&mut self, ports: Subscription, outputs: &mut Vec<Output>) -> Next {
        self.hold(&ports.topic, outputs);
        let (protocol, is_known) = match self.wishes.protocol {
            ProtocolChoice::Legacy => (Protocol::Legacy, true),
            ProtocolChoice::Stix2 => (Protocol::Stix2, true),
            ProtocolChoice::Auto => (Protocol::Stix2, false),
        };
        let (publishes, listens) = (ports.pub_endpoint.clone(), ports.sub_endpoint.clone());
        self.making = Some(Making {
            ports,
            protocol,
            topic: String::new(),
            echo_topic: None,
            days: 0,
            since: self.asked_at,
        });
        if is_known {
            self.state = State::Connecting;
            return Next::Connect(publishes);
        }
        self.state = State::Detecting;
        Next::Detect(listens)
    }

    fn detected(
        &mut self,
        now: Moment,
        found: Result<Option<Protocol>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        let Some(making) = &mut self.making else {
            return Next::End;
        };
        match found {
            Ok(Some(protocol)) => making.protocol = protocol,
            Ok(None) => {
                let endpoint = making.ports.sub_endpoint.clone();
                outputs.push(Output::Tell(Tale::NoGeneration(endpoint)));
            }
            Err(error) => return self.failed(now, error, outputs),
        }
        self.state = State::Connecting;
        Next::Connect(making.ports.pub_endpoint.clone())
    }

    fn connected(
        &mut self,
        now: Moment,
        made: Result<(), ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        let time = self.answer_time(now);
        let days = self.days(now);
        let Some(making) = &mut self.making else {
            return Next::End;
        };
        if let Err(error) = made {
            return self.failed(now, error, outputs);
        }
        making.days = days;
        let topic = bus_topic(making.protocol).to_owned();
        self.state = State::Indicators;
        self.ask(now, Request::Subscribe(topic, days), time)
    }

    /// How many days of snapshot to ask for: for a subscription that was lost, those since.
    fn days(&self, now: Moment) -> u32 {
        match (self.wishes.snapshot_days, self.link.is_some()) {
            (0, _) => 0,
            (_, true) => self.alive.days_ago(now),
            (days, false) => days,
        }
    }

    fn listens(&mut self, now: Moment, topic: String, outputs: &mut Vec<Output>) -> Next {
        self.hold(&topic, outputs);
        outputs.push(Output::Listen(topic.clone()));
        let time = self.answer_time(now);
        let Some(making) = &mut self.making else {
            return Next::End;
        };
        making.topic = topic;
        making.since = self.asked_at;
        if !self.wishes.confirms {
            return self.made(now, outputs);
        }
        let bus_topic = sighting_topic(making.protocol).to_owned();
        self.state = State::Sightings;
        self.ask(now, Request::Subscribe(bus_topic, 0), time)
    }

    /// All is subscribed to; the topic under which the ports were requested is not needed.
    fn made(&mut self, now: Moment, outputs: &mut Vec<Output>) -> Next {
        self.new.clear();
        let ports = self
            .making
            .as_ref()
            .map(|making| making.ports.topic.clone());
        self.give_up(now, ports.into_iter().collect(), After::Use, outputs)
    }

    /// The try came to nothing. What it has made is of no use, and with each try there
    /// would be more of it.
    fn failed(&mut self, now: Moment, error: ManageError, outputs: &mut Vec<Output>) -> Next {
        if matches!(error, ManageError::Stopped) {
            self.state = State::Ended;
            return Next::End;
        }
        self.making = None;
        let useless = std::mem::take(&mut self.new);
        self.give_up(now, useless, After::Pause(error), outputs)
    }

    fn hold(&mut self, topic: &str, outputs: &mut Vec<Output>) {
        self.held.push(topic.to_owned());
        self.new.push(topic.to_owned());
        outputs.push(Output::Held(self.held.clone()));
    }

    fn give_up(
        &mut self,
        now: Moment,
        mut topics: Vec<String>,
        after: After,
        outputs: &mut Vec<Output>,
    ) -> Next {
        let Some(topic) = topics.pop() else {
            return self.go_on(now, after, outputs);
        };
        self.state = State::GivingUp(topics, after);
        let next = self.ask(now, Request::Unsubscribe(topic.clone()), ANSWER_TIME);
        // It is held until the answer is there.
        self.held.retain(|held| *held != topic);
        self.held.push(topic);
        next
    }

    fn gave_up(
        &mut self,
        now: Moment,
        answer: Result<Option<Subscription>, ManageError>,
        topics: Vec<String>,
        after: After,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            // Refused: a restarted broker does not know it, which is as good.
            Ok(_) | Err(ManageError::Refused(_)) => {
                self.was_restarted |= answer.is_err() && matches!(after, After::Use);
                self.held.pop();
                if topics.is_empty() {
                    outputs.push(Output::Held(self.held.clone()));
                }
                self.give_up(now, topics, after, outputs)
            }
            // It is not used any more.
            Err(ManageError::Stopped) if !matches!(after, After::Serve) => self.finish(),
            Err(error) => {
                let topic = self.held.last().cloned().unwrap_or_default();
                outputs.push(Output::Held(self.held.clone()));
                outputs.push(Output::Tell(Tale::NotGivenUp(topic, error)));
                // A broker that does not answer for one does not for the next.
                self.go_on(now, after, outputs)
            }
        }
    }

    fn go_on(&mut self, now: Moment, after: After, outputs: &mut Vec<Output>) -> Next {
        match after {
            After::Serve => self.serve(now),
            After::Use => self.recheck(now, outputs),
            After::Pause(error) => self.pause(now, error, outputs),
        }
    }

    fn serve(&mut self, now: Moment) -> Next {
        let beat_at = now.monotonic + HEARTBEAT;
        self.state = State::Serving(beat_at);
        Next::Wait(beat_at)
    }

    /// A broker that was restarted after it was probed answers all that came after as if
    /// nothing had been. Only the topic from before tells.
    fn recheck(&mut self, now: Moment, outputs: &mut Vec<Output>) -> Next {
        match &self.link {
            Some((topic, _)) if !self.was_restarted => {
                let topic = topic.clone();
                self.state = State::Rechecking;
                let time = self.answer_time(now);
                self.ask(now, Request::Heartbeat(topic), time)
            }
            _ => self.use_it(now, outputs),
        }
    }

    /// The new subscription is the one from now on.
    fn use_it(&mut self, now: Moment, outputs: &mut Vec<Output>) -> Next {
        let Some(making) = self.making.take() else {
            return Next::End;
        };
        let took = now.monotonic.saturating_duration_since(self.started);
        self.was_restarted |= self.link.is_none() && took > LATE;
        let restarted = self.was_restarted.then_some(self.alive.monotonic);
        let gap = self.alive.ago(now);
        let topics = (making.topic, making.echo_topic);
        outputs.push(Output::Use(topics.0.clone(), topics.1.clone()));
        // Only now, so that no echo is missed.
        outputs.push(Output::Listening(making.ports.sub_endpoint, restarted));
        outputs.push(Output::Tell(Tale::Subscribed(making.protocol, making.days)));
        let is_first = self.link.replace(topics).is_none();
        self.was_restarted = false;
        // The broker may have died while the requests after that one were waited for.
        self.alive = making.since;
        self.backoff = Backoff::new();
        if is_first {
            // What a run before this one left at the broker.
            let others = self.others();
            return self.give_up(now, others, After::Serve, outputs);
        }
        self.has_former = true;
        let days = (self.wishes.snapshot_days > 0).then_some(making.days);
        outputs.push(Output::Tell(Tale::Anew(gap, days)));
        self.serve(now)
    }

    fn pause(&mut self, now: Moment, error: ManageError, outputs: &mut Vec<Output>) -> Next {
        let random = self.fraction();
        let pause = self.backoff.pause_by(random);
        let left = self.time_left(now);
        if left.is_zero() {
            let tried_for = now.monotonic.saturating_duration_since(self.started);
            self.gave_up = Some(GaveUp {
                tried_for,
                last: error,
            });
            self.state = State::Ended;
            return Next::End;
        }
        outputs.push(Output::Tell(match self.link {
            Some(_) => Tale::StillAway(error),
            None => Tale::NotReady(error),
        }));
        // It may have been started while it was waited for.
        self.was_restarted |= self.link.is_none();
        let until = now.monotonic + pause.min(left);
        self.state = State::Pausing(until);
        Next::Wait(until)
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as f64 / f64::from(u32::MAX)
    }

    /// The broker answered to a heartbeat.
    fn was_heard(
        &mut self,
        now: Moment,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            Ok(_) => {
                // It was asked then, and may have died since.
                self.alive = self.asked_at;
                outputs.push(Output::Alive(self.alive.monotonic));
                if std::mem::take(&mut self.has_former) {
                    outputs.push(Output::CloseFormer);
                }
                let others = self.others();
                self.give_up(now, others, After::Serve, outputs)
            }
            Err(ManageError::Stopped) => self.close(now, false, outputs),
            Err(error) => self.lost(now, error, outputs),
        }
    }

    /// The broker answered to a heartbeat while only echoes are to come.
    fn was_heard_last(
        &mut self,
        now: Moment,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            Ok(_) => self.close(now, true, outputs),
            Err(ManageError::Stopped) => self.close(now, false, outputs),
            Err(error) => {
                outputs.push(Output::Tell(Tale::LostAtEnd(error)));
                self.finish()
            }
        }
    }

    /// The topics that are not in use: of former subscriptions, of a run that crashed,
    /// and those whose end was not answered earlier.
    fn others(&self) -> Vec<String> {
        let is_used = |topic: &String| {
            self.link.as_ref().is_some_and(|(indicators, sightings)| {
                topic == indicators || Some(topic) == sightings.as_ref()
            })
        };
        let held = self.held.iter().rev();
        held.filter(|topic| !is_used(topic)).cloned().collect()
    }

    fn lost(&mut self, now: Moment, error: ManageError, outputs: &mut Vec<Output>) -> Next {
        outputs.push(Output::Tell(Tale::Lost(error)));
        outputs.push(Output::HandOver);
        outputs.push(Output::Away);
        self.backoff = Backoff::new();
        self.probe(now)
    }

    /// Nothing new is taken in, but the last sightings are still on their way, and their
    /// echoes tell that they arrived.
    fn close(&mut self, now: Moment, beats: bool, outputs: &mut Vec<Output>) -> Next {
        let is_served =
            self.is_closing() || matches!(self.state, State::Serving(_) | State::Beating);
        if !is_served || !self.wishes.confirms {
            self.state = State::Ended;
            return Next::End;
        }
        outputs.push(Output::CloseIntake);
        self.state = State::Closing(beats.then(|| now.monotonic + HEARTBEAT));
        Next::Wait(now.monotonic + CLOSING)
    }

    fn finish(&mut self) -> Next {
        self.state = State::Ended;
        Next::End
    }
}

/// Why there is no subscription.
fn unanswered(answer: Result<Option<Subscription>, ManageError>) -> ManageError {
    answer.err().unwrap_or_else(|| ManageError::Unusable {
        reason: "opens no subscription".to_owned(),
        reply: Vec::new(),
    })
}
