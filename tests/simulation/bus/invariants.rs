//! What has to hold: after each step, and at the end.

use std::time::{Duration, Instant};

use crate::bridge;
use crate::broker::Owner;
use crate::machines::pace::LEAST_IN_FLIGHT;

use super::{MOST_BYTES, World};

/// How long a stopped program may take.
const LONGEST_END: Duration = Duration::from_secs(8);

/// How long it takes at the most until as many are with the broker as suits its pace.
const PACED: Duration = Duration::from_secs(60);

impl World {
    /// What holds at any time.
    pub(super) fn check(&self) -> Result<(), String> {
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
                "indicator {indicator} was accepted through two subscriptions"
            ));
        }
        if bridge.warned_of_others > 1 {
            return Err("the warning about the echoes of others came twice in an hour".to_owned());
        }
        let bytes = bridge.outbox.bytes_in_memory();
        if bytes > MOST_BYTES + (MOST_BYTES / 2) + 4_096 {
            return Err(format!("the outbox uses {bytes} bytes"));
        }
        let inside = self.inside();
        if !self.is_trusted() && inside > self.most_inside {
            return Err(format!("{inside} sightings are with the broker"));
        }
        self.check_sendings()
    }

    /// How many sightings are with the broker, or on their way to it.
    pub(super) fn inside(&self) -> usize {
        self.broker.inside() + self.wire.len()
    }

    /// How many sightings may be with the broker if one is sent now: what it passes on in a second and a half
    /// by the fastest pace of the last minute, and once more for each connection that was
    /// lost and each process that was started meanwhile, or since none was with the broker:
    /// what is inside is sent again, or not known to the new one.
    pub(super) fn most_inside_now(&self) -> usize {
        let is_late = |at: &Duration| self.now - *at <= PACED;
        let earlier = self.paces.iter().rev().find(|(at, _)| !is_late(at));
        let lately = self.paces.iter().filter(|(at, _)| is_late(at));
        let fastest = lately.chain(earlier).map(|(_, pace)| *pace).max();
        let may_be_inside = |at: &&Duration| is_late(at) || **at >= self.none_inside_at;
        let losses = self.losses.iter().filter(may_be_inside).count();
        LEAST_IN_FLIGHT.max(fastest.unwrap_or(0) as usize * 3 / 2) * (1 + losses)
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

    pub(super) fn check_end(&self) -> Result<(), String> {
        let stopped = self.bridge.as_ref().and_then(|bridge| bridge.stopped_at);
        match stopped {
            Some(at) if self.instant() > at + LONGEST_END => {
                Err("it does not end after the signal".to_owned())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_arrivals(&self) -> Result<(), String> {
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
                    return Err(format!("indicator {number} was delivered and not accepted"));
                }
                if !in_gap {
                    return Err(format!(
                        "indicator {number} did not arrive, and no gap is reported"
                    ));
                }
            }
            let is_one_subscription = self.plan.is_healthy && !indicator.is_excused;
            // What is in a snapshot may be on its way besides.
            let is_twice = indicator.taken > indicator.published && self.plan.snapshot_days == 0;
            let is_wrong = indicator.taken < indicator.published || is_twice;
            if is_one_subscription && is_wrong {
                return Err(format!(
                    "indicator {number} was published {} times and accepted {} times",
                    indicator.published, indicator.taken
                ));
            }
        }
        Ok(())
    }
    /// At the end the broker holds no topic for the bridge, and the spool is empty.
    pub(super) fn check_nothing_is_left(&self) -> Result<(), String> {
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
            let bytes = self.open_spool().bytes();
            if bytes > 0 {
                return Err(format!("{bytes} bytes are left in the spool"));
            }
        }
        Ok(())
    }
}
