//! The process of the bridge: its start, its end, and how it is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use vast_threatbus::state::spool::Spool;

use crate::bridge::{self, Bridge, Waits};
use crate::broker::Owner;
use crate::machines::flight::KeyOf;
use crate::machines::outbox::Outbox;
use crate::machines::subscription::Input;

use super::network::KERNEL;
use super::requests::stopped;
use super::{Event, MOST_BYTES, TICK, World};

/// The grace period of a stopped program.
const GRACE: Duration = Duration::from_secs(5);

impl World {
    pub(super) fn start_bridge(&mut self) {
        // What the process before it sent may still be inside the broker.
        self.losses.push(self.now);
        self.note(Event::BridgeStarts);
        self.started_at = self.now;
        let confirm: Option<KeyOf> = self.plan.confirms.then_some(bridge::key);
        let outbox = if self.plan.has_state {
            Outbox::on_disk(self.open_spool(), MOST_BYTES, confirm)
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

    pub(super) fn open_spool(&self) -> Spool {
        let path = Path::new("/state/spool");
        let opened = Spool::open_on(self.disk.process(), path, 8 << 20);
        opened.expect("the disk is well").0
    }

    pub(super) fn kill_bridge(&mut self) {
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
            self.excuse_all();
        } else if self.is_trusted() {
            self.excuse(&in_library);
            if self.loss_known_at.is_some() {
                // What went past the spool into a connection that had ended.
                self.excuse_all();
            }
        }
        self.lose_wire();
        self.excuse_indicators();
        self.failures += 1;
        self.tally.kills += 1;
    }

    pub(super) fn stop_bridge(&mut self) {
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

    /// The end of a bridge that got the signal to end.
    pub(super) fn run_end(&mut self) {
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
        // In the very moment, before it could be noticed; or it stops.
        let died = self.died_at.is_some_and(|at| self.now - at <= 2 * TICK);
        // Or its machine lost its power, which no connection has shown yet: what came back
        // just before counts as delivered.
        if died || self.broker.is_frozen || self.silent_since.is_some() {
            self.excuse_inside(&[], self.now);
        }
        bridge.outbox.end(now).expect("the disk is well");
        if !self.plan.has_state && bridge.outbox.at_risk() > 0 {
            // It says how many are lost.
            self.excuse_all();
        }
        // The library has half a second at the least for what is in its queue.
        if !self.broker.answers() && self.is_trusted() {
            let wire: Vec<u32> = self.wire.iter().skip(KERNEL).copied().collect();
            self.excuse(&wire);
        }
        if self.is_trusted() && !self.is_wired {
            self.excuse_all();
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
}
