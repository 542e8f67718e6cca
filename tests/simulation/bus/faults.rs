//! What can fail, and what may be lost with it.

use std::time::Duration;

use crate::bridge;
use crate::broker::{Message, Owner};
use crate::machines::flight::RISK;
use crate::machines::subscription::Request;

use super::network::KERNEL;
use super::{App, Event, MOST_BYTES, World};

/// How long after the end of a bridge an app may not have had what came back to it: the
/// longest that it is behind. The time in which the broker is frozen does not count.
const AFTER_END: Duration = Duration::from_secs(80);

/// How soon a bridge knows that its broker has died, at the latest.
const NOTICED: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn fail(&mut self, fault: usize) {
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

    fn kill_broker(&mut self) {
        self.note(Event::BrokerDies);
        let in_library: Vec<u32> = self.wire.iter().skip(KERNEL).copied().collect();
        self.lose_wire();
        self.broker.die();
        // A bridge that has ended cannot send once more what it was sent back.
        let has_ended = self
            .ended_at
            .is_some_and(|at| self.bridge.is_none() || self.now - at <= AFTER_END);
        if !self.plan.confirms && self.bridge.is_some() && !has_ended {
            // What is not older is sent again, by the process that sent it, where it has the memory.
            let old = self.now.saturating_sub(RISK.saturating_sub(NOTICED));
            let until = old.max(self.started_at).max(self.kept_since());
            self.excuse_inside(&in_library, until);
        } else if self.is_trusted() || has_ended {
            self.excuse_inside(&in_library, self.now);
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

    /// What was sent up to this time may be forgotten: what was sent later takes the memory for
    /// it, which is half of what sightings may take.
    fn kept_since(&self) -> Duration {
        let longest = bridge::frame(self.sightings.len() as u32).len();
        let mut sent: Vec<Duration> = self
            .sightings
            .iter()
            .filter_map(|one| one.sent_at)
            .collect();
        sent.sort_unstable();
        let kept = MOST_BYTES / 2 / longest;
        let forgotten = sent.len().checked_sub(kept + 1);
        forgotten.map_or(Duration::ZERO, |last| sent[last])
    }

    pub(super) fn revive_broker(&mut self) {
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
    pub(super) fn lose_wire(&mut self) {
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

    fn millis(&mut self, least: u64, span: usize) -> Duration {
        Duration::from_millis(least + self.random.below(span) as u64)
    }

    /// Whether sightings are sent whose echo is not awaited: without confirmation, and to a
    /// broker that is taken for mute, as one is, too, that is minutes behind with what is of
    /// others. A warning says so.
    pub(super) fn is_trusted(&self) -> bool {
        !self.plan.confirms || self.tally.mutes > 0 || self.was_mute
    }

    /// What was sent up to this time, and that an app had not had when the broker died,
    /// was inside it, but for what was still in the library.
    pub(super) fn excuse_inside(&mut self, in_library: &[u32], until: Duration) {
        for (number, sighting) in self.sightings.iter_mut().enumerate() {
            let had = |app: &App| app.got.get(number).is_some_and(|count| *count > 0);
            sighting.is_excused |= sighting.sent_at.is_some_and(|at| at <= until)
                && !self.apps.iter().all(had)
                && !in_library.contains(&(number as u32));
        }
    }

    pub(super) fn excuse(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.sightings[*number as usize].is_excused = true;
        }
    }

    pub(super) fn excuse_all(&mut self) {
        for sighting in &mut self.sightings {
            sighting.is_excused = true;
        }
    }

    /// Nobody accepts what comes now; that is for the journal and for snapshots.
    pub(super) fn excuse_indicators(&mut self) {
        for indicator in &mut self.indicators {
            indicator.is_excused |= indicator.taken == 0;
        }
    }
}
