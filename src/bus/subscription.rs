//! The subscription at the bus: how it is made, kept alive, replaced and given up. A state
//! machine without a socket, a clock or a thread: the caller does what [`Next`] says and
//! passes on the result.
//!
//! | | success | refused, or no response | time, or the connection ends | stop |
//! |---|---|---|---|---|
//! | *probing*: is the broker there, and does it know the last topic, of this run or the previous one? | ports | no response: pausing; refused: the broker was restarted, ports | | ended |
//! | *ports*: where does it listen and publish? | detecting | giving up | | ended |
//! | *detecting*: which generation is it? | connecting | giving up | | ended |
//! | *connecting* to its publisher | indicators | giving up | | ended |
//! | *indicators*: subscribes to them | sightings, or giving up the topic of *ports* | giving up | | ended |
//! | *sightings*: subscribes to them, if delivery is confirmed | giving up the topic of *ports* | giving up | | ended |
//! | *giving up* topics, one after the other | pausing, rechecking, or serving | no response: the rest is given up later | | ended |
//! | *rechecking*: does the broker still know the previous topic? | giving up older topics, then serving | refused: it was restarted meanwhile, the same; no response: giving up | | ended |
//! | *pausing* | | | probing | ended |
//! | *serving* | | | beating, each [`HEARTBEAT`]; probing if the connection ended | closing |
//! | *beating*: does the broker know the topic? | giving up other topics, then serving | probing | | closing |
//! | *closing*: the last echoes arrive, if delivery is confirmed | | | beating, unless the program stops | ended when all have arrived |
//!
//! A topic is held from the response that names it until the broker has responded to giving it up.

mod making;
mod words;

use std::time::{Duration, Instant};

use super::alive::ClockTimes;
use super::management::{ANSWER_TIME, ManageError, Subscription};
use crate::process::stop::Backoff;

use making::Making;
pub use words::{GaveUp, Input, Next, Notice, Output, Request, Wishes, bus_topic, sighting_topic};

/// The time between heartbeats, the same as in the original.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often a closing session checks whether it may end.
const CLOSING: Duration = Duration::from_millis(20);

/// A bus topic on which nothing is ever published. Subscribing to it returns the broker's
/// ports, and shows that the broker is there.
pub const PROBE_TOPIC: &str = "vast-threatbus/probe";

#[derive(Debug)]
enum SubscriptionState {
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
    /// With the time of the next heartbeat, if there is one.
    Closing(Option<Instant>),
    LastBeating,
    Ended,
}

/// What to do after giving up topics.
#[derive(Debug)]
enum After {
    Use,
    Serve,
    Pause(ManageError),
}

/// The state machine.
#[derive(Debug)]
pub struct Subscriber {
    wishes: Wishes,
    /// The random state for the jitter of pauses.
    random: u64,
    state: SubscriptionState,
    held: Vec<String>,
    /// Those of them that belong to the current try.
    new: Vec<String>,
    making: Option<Making>,
    /// The topics of the current subscription: for indicators, and for sightings.
    link: Option<(String, Option<String>)>,
    /// Those of the previous subscription, while it is still read.
    former: Option<(String, Option<String>)>,
    backoff: Backoff,
    started: Instant,
    /// When the last subscription was last known to be alive.
    alive: ClockTimes,
    /// When the last request was sent.
    requested_at: ClockTimes,
    /// Whether the broker does not know the last subscription, or may have been started
    /// during this try.
    was_restarted: bool,
    gave_up: Option<GaveUp>,
}

impl Subscriber {
    /// Before the first try. `held` are topics that an earlier run left at the broker;
    /// `seed` is for the jitter of pauses.
    pub fn new(wishes: Wishes, held: Vec<String>, seed: u64, now: ClockTimes) -> Self {
        Subscriber {
            wishes,
            random: seed | 1,
            state: SubscriptionState::Pausing(now.monotonic),
            held,
            new: Vec::new(),
            making: None,
            link: None,
            former: None,
            backoff: Backoff::new(),
            started: now.monotonic,
            alive: now,
            requested_at: now,
            was_restarted: false,
            gave_up: None,
        }
    }

    /// The topics that the broker holds.
    pub fn held(&self) -> &[String] {
        &self.held
    }

    /// Whether it receives, so that it may end by itself if nothing arrives.
    pub fn is_serving(&self) -> bool {
        matches!(self.state, SubscriptionState::Serving(_))
    }

    /// Whether it only waits for the last echoes.
    pub fn is_closing(&self) -> bool {
        matches!(
            self.state,
            SubscriptionState::Closing(_) | SubscriptionState::LastBeating
        )
    }

    /// The final result: the topics that the broker holds, and why it was never reached, if
    /// so.
    pub fn end(self) -> (Vec<String>, Option<GaveUp>) {
        (self.held, self.gave_up)
    }

    /// Processes an event; returns what to do.
    pub fn step(&mut self, now: ClockTimes, input: Input) -> (Vec<Output>, Next) {
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
            // A new subscription is being made already, or the session ends.
            Input::Cut(_) | Input::Time => self.time(now),
            Input::Answer(answer) => self.answered(now, answer, &mut outputs),
            Input::Generation(found) => self.detected(now, found, &mut outputs),
            Input::Connected(made) => self.connected(now, made, &mut outputs),
        };
        (outputs, next)
    }

    fn time(&mut self, now: ClockTimes) -> Next {
        match self.state {
            SubscriptionState::Pausing(until) if now.monotonic >= until => self.probe(now),
            SubscriptionState::Pausing(until) => Next::Wait(until),
            SubscriptionState::Serving(beat_at) if now.monotonic >= beat_at => {
                self.state = SubscriptionState::Beating;
                self.beat(now)
            }
            SubscriptionState::Serving(beat_at) => Next::Wait(beat_at),
            SubscriptionState::Closing(Some(beat_at)) if now.monotonic >= beat_at => {
                self.state = SubscriptionState::LastBeating;
                self.beat(now)
            }
            SubscriptionState::Closing(_) => Next::Wait(now.monotonic + CLOSING),
            SubscriptionState::Ended => Next::End,
            // It waits for a response.
            _ => Next::Wait(now.monotonic + ANSWER_TIME),
        }
    }

    fn ask(&mut self, now: ClockTimes, request: Request, time: Duration) -> Next {
        self.requested_at = now;
        Next::Ask(request, time)
    }

    fn beat(&mut self, now: ClockTimes) -> Next {
        let own = self.link.as_ref().map(|(topic, _)| topic);
        let topic = own.or(self.held.first()).cloned();
        let topic = topic.unwrap_or_else(|| PROBE_TOPIC.to_owned());
        self.ask(now, Request::Heartbeat(topic), ANSWER_TIME)
    }

    /// A try begins with a request that leaves nothing behind, even if the broker responds
    /// to it too late.
    fn probe(&mut self, now: ClockTimes) -> Next {
        self.state = SubscriptionState::Probing;
        let next = self.beat(now);
        match next {
            Next::Ask(request, time) => Next::Ask(request, self.time_left(now).min(time)),
            next => next,
        }
    }

    /// The time left for this try, if it is for the first connection.
    fn time_left(&self, now: ClockTimes) -> Duration {
        match (self.link.is_some(), self.wishes.connect_timeout) {
            (false, Some(limit)) => {
                limit.saturating_sub(now.monotonic.saturating_duration_since(self.started))
            }
            _ => Duration::MAX,
        }
    }

    fn answer_time(&self, now: ClockTimes) -> Duration {
        self.time_left(now).min(ANSWER_TIME)
    }

    fn answered(
        &mut self,
        now: ClockTimes,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match std::mem::replace(&mut self.state, SubscriptionState::Ended) {
            SubscriptionState::Probing => self.probed(now, answer, outputs),
            SubscriptionState::Ports => match answer {
                Ok(Some(ports)) => self.found(ports, outputs),
                answer => self.failed(now, unanswered(answer), outputs),
            },
            SubscriptionState::Indicators => match answer {
                Ok(Some(made)) => self.listens(now, made.topic, outputs),
                answer => self.failed(now, unanswered(answer), outputs),
            },
            SubscriptionState::Sightings => match answer {
                Ok(Some(made)) => self.listens_to_echoes(now, made.topic, outputs),
                answer => self.failed(now, unanswered(answer), outputs),
            },
            SubscriptionState::GivingUp(topics, after) => {
                self.gave_up(now, answer, topics, after, outputs)
            }
            SubscriptionState::Rechecking => match answer {
                Ok(_) => self.use_it(now, outputs),
                Err(ManageError::Refused(_)) => {
                    self.was_restarted = true;
                    self.use_it(now, outputs)
                }
                Err(error) => self.failed(now, error, outputs),
            },
            state @ SubscriptionState::Beating => {
                self.state = state;
                self.was_heard(now, answer, outputs)
            }
            state @ SubscriptionState::LastBeating => {
                self.state = state;
                self.was_heard_last(now, answer, outputs)
            }
            state => {
                self.state = state;
                self.time(now)
            }
        }
    }

    /// The try has failed. Its topics are given up, since every try would leave more of
    /// them.
    fn failed(&mut self, now: ClockTimes, error: ManageError, outputs: &mut Vec<Output>) -> Next {
        if matches!(error, ManageError::Stopped) {
            self.state = SubscriptionState::Ended;
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
        now: ClockTimes,
        mut topics: Vec<String>,
        after: After,
        outputs: &mut Vec<Output>,
    ) -> Next {
        let Some(topic) = topics.pop() else {
            return self.go_on(now, after, outputs);
        };
        self.state = SubscriptionState::GivingUp(topics, after);
        let next = self.ask(now, Request::Unsubscribe(topic.clone()), ANSWER_TIME);
        // It is held until the broker has responded.
        self.held.retain(|held| *held != topic);
        self.held.push(topic);
        next
    }

    fn gave_up(
        &mut self,
        now: ClockTimes,
        answer: Result<Option<Subscription>, ManageError>,
        topics: Vec<String>,
        after: After,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            // If it is refused, a restarted broker does not know the topic, which is just
            // as good.
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
                outputs.push(Output::Log(Notice::NotGivenUp(topic, error)));
                // A broker that does not respond to this request will not respond to the
                // next.
                self.go_on(now, after, outputs)
            }
        }
    }

    fn go_on(&mut self, now: ClockTimes, after: After, outputs: &mut Vec<Output>) -> Next {
        match after {
            After::Serve => self.serve(now),
            After::Use => self.recheck(now, outputs),
            After::Pause(error) => self.pause(now, error, outputs),
        }
    }

    fn serve(&mut self, now: ClockTimes) -> Next {
        let beat_at = now.monotonic + HEARTBEAT;
        self.state = SubscriptionState::Serving(beat_at);
        Next::Wait(beat_at)
    }

    fn pause(&mut self, now: ClockTimes, error: ManageError, outputs: &mut Vec<Output>) -> Next {
        let random = self.fraction();
        let pause = self.backoff.pause_by(random);
        let left = self.time_left(now);
        if left.is_zero() {
            let tried_for = now.monotonic.saturating_duration_since(self.started);
            self.gave_up = Some(GaveUp {
                tried_for,
                last: error,
            });
            self.state = SubscriptionState::Ended;
            return Next::End;
        }
        outputs.push(Output::Log(match self.link {
            Some(_) => Notice::StillAway(error),
            None => Notice::NotReady(error),
        }));
        // The broker may have been started in the meantime.
        self.was_restarted |= self.link.is_none();
        let until = now.monotonic + pause.min(left);
        self.state = SubscriptionState::Pausing(until);
        Next::Wait(until)
    }

    /// A random number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as f64 / f64::from(u32::MAX)
    }

    /// The broker responded to a heartbeat.
    fn was_heard(
        &mut self,
        now: ClockTimes,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            Ok(_) => {
                // The request was sent at that time. The broker may have died since.
                self.alive = self.requested_at;
                outputs.push(Output::Alive(self.alive.monotonic));
                if self.former.take().is_some() {
                    outputs.push(Output::CloseFormer);
                }
                let others = self.others();
                self.give_up(now, others, After::Serve, outputs)
            }
            Err(ManageError::Stopped) => self.close(now, false, outputs),
            Err(error) => self.lost(now, error, outputs),
        }
    }

    /// The response to a heartbeat while only echoes are awaited.
    fn was_heard_last(
        &mut self,
        now: ClockTimes,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            Ok(_) => self.close(now, true, outputs),
            Err(ManageError::Stopped) => self.close(now, false, outputs),
            Err(error) => {
                outputs.push(Output::Log(Notice::LostAtEnd(error)));
                self.finish()
            }
        }
    }

    /// The topics that are not in use: of subscriptions that are not read any more, of an earlier
    /// run, and those that could not be given up before.
    fn others(&self) -> Vec<String> {
        let is_used = |topic: &String| {
            let links = self.link.iter().chain(&self.former);
            links.into_iter().any(|(indicators, sightings)| {
                topic == indicators || Some(topic) == sightings.as_ref()
            })
        };
        let held = self.held.iter().rev();
        held.filter(|topic| !is_used(topic)).cloned().collect()
    }

    fn lost(&mut self, now: ClockTimes, error: ManageError, outputs: &mut Vec<Output>) -> Next {
        outputs.push(Output::Log(Notice::Lost(error)));
        outputs.push(Output::HandOver);
        outputs.push(Output::Away);
        self.backoff = Backoff::new();
        self.probe(now)
    }

    /// Accepts nothing more. The last sightings are still on their way, and their echoes
    /// show that they have arrived.
    fn close(&mut self, now: ClockTimes, beats: bool, outputs: &mut Vec<Output>) -> Next {
        let is_served = self.is_closing()
            || matches!(
                self.state,
                SubscriptionState::Serving(_) | SubscriptionState::Beating
            );
        if !is_served || !self.wishes.confirms {
            self.state = SubscriptionState::Ended;
            return Next::End;
        }
        outputs.push(Output::CloseIntake);
        self.state = SubscriptionState::Closing(beats.then(|| now.monotonic + HEARTBEAT));
        Next::Wait(now.monotonic + CLOSING)
    }

    fn finish(&mut self) -> Next {
        self.state = SubscriptionState::Ended;
        Next::End
    }
}

/// The reason why there is no subscription.
fn unanswered(answer: Result<Option<Subscription>, ManageError>) -> ManageError {
    answer.err().unwrap_or_else(|| ManageError::Unusable {
        reason: "opens no subscription".to_owned(),
        reply: Vec::new(),
    })
}
