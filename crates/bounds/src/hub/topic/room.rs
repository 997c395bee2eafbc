//! A topic's memory: reserved before it is used, in steps, and given up oldest first.
//!
//! Giving back wakes those who wait for memory, which is other people's code; so what is given back is split
//! off under the lock and dropped in the [`Aftermath`].

use plimsoll_core::Bytes;

use super::super::directory::Core;
use super::super::ring::Ring;
use super::{Aftermath, SUBSCRIBER_BYTES, TOPIC_BYTES, Topic, TopicState};

/// Memory is reserved in steps, so that the budget's lock is not taken for each event.
const STEP_SMALL: u64 = 4 << 10;
/// The step from [`STEP_LARGE_FROM`] on.
const STEP_LARGE: u64 = 64 << 10;
const STEP_LARGE_FROM: u64 = 1 << 20;

fn step(cost: u64) -> u64 {
    if cost < STEP_LARGE_FROM { STEP_SMALL } else { STEP_LARGE }
}

fn in_steps(cost: u64) -> u64 {
    cost.next_multiple_of(step(cost))
}

/// What to charge for, before it is done.
#[derive(Clone, Copy)]
pub(in crate::hub) struct Ask {
    pub(in crate::hub) event: u64,
    pub(in crate::hub) place: u64,
}

/// How much of a topic's own history may be given up for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Sacrifice {
    /// What it holds beyond an equal share of the hub: first the larger topics pay.
    AboveShare,
    /// All of it.
    All,
}

impl TopicState {
    fn cost(&self) -> u64 {
        TOPIC_BYTES + self.places.len() as u64 * SUBSCRIBER_BYTES + self.ring.cost()
    }

    fn reserved(&self) -> u64 {
        self.reservation.as_ref().map_or(0, |reservation| reservation.bytes().as_u64())
    }

    /// Reserves for `ask`, giving up own history as far as `sacrifice` allows. On failure says how many
    /// bytes are missing.
    pub(in crate::hub) fn make_room(
        &mut self,
        topic: &Topic,
        core: &Core,
        ask: Ask,
        sacrifice: Sacrifice,
        after: &mut Aftermath,
    ) -> Result<(), Bytes> {
        let before = self.ring.trimmed();
        let topic_limit = core.limits.topic_limit.as_u64();
        while ask.event > 0 && self.ring.cost() + ask.event > topic_limit && self.ring.trim() {}
        let spared = match sacrifice {
            Sacrifice::AboveShare => core.equal_share(),
            Sacrifice::All => 0,
        };
        let room = loop {
            let need = self.cost() + ask.event + ask.place;
            if need <= self.reserved() || self.reserve(core, need) {
                break Ok(());
            }
            if need <= spared || !self.ring.trim() {
                break Err(Bytes::new(need - self.reserved()));
            }
        };
        if self.ring.trimmed() > before {
            core.tally.trimmed.add(self.ring.trimmed() - before);
            self.overtake(topic, core, after);
            self.give_back(core, ask.event + ask.place, Slack::Keep, after);
        }
        room
    }

    /// Raises the reservation to `need` bytes or a little more.
    fn reserve(&mut self, core: &Core, need: u64) -> bool {
        let held = self.reserved();
        [in_steps(need), need].into_iter().any(|goal| {
            let more = Bytes::new(goal - held);
            // A look before the budget is asked: its refusal lists who holds what, which is not for nothing.
            if more > core.left() {
                return false;
            }
            let reserved = match &mut self.reservation {
                Some(reservation) => reservation.try_grow(more).is_ok(),
                None => match core.account.try_reserve("hub topic", more) {
                    Ok(reservation) => {
                        self.reservation = Some(reservation);
                        true
                    }
                    Err(_) => false,
                },
            };
            if reserved {
                core.tally.held_bytes.add(more.as_u64());
            }
            reserved
        })
    }

    /// Gives back what is reserved and neither used nor about to be (`kept`). The memory is free when
    /// `after` has run.
    pub(super) fn give_back(&mut self, core: &Core, kept: u64, slack: Slack, after: &mut Aftermath) {
        let goal = in_steps(self.cost() + kept);
        let idle = self.reserved().saturating_sub(goal);
        let slack = match slack {
            Slack::Keep => step(goal),
            Slack::None => 0,
        };
        if idle > slack {
            // Split off rather than shrunk: giving back wakes others, and we hold a lock. Without a place
            // for one more reservation it stays charged until the next time.
            let split = self.reservation.as_mut().and_then(|all| all.split(Bytes::new(idle)).ok());
            if split.is_some() {
                core.tally.held_bytes.sub(idle);
                after.released.extend(split);
            }
        }
    }

    /// Gives up oldest events until `short` bytes can be given back, or none is left; says how many bytes
    /// that are.
    pub(in crate::hub) fn relieve(
        &mut self,
        topic: &Topic,
        core: &Core,
        short: Bytes,
        after: &mut Aftermath,
    ) -> Bytes {
        let before = (self.ring.trimmed(), self.reserved());
        let goal = before.1.saturating_sub(short.as_u64());
        while in_steps(self.cost()) > goal && self.ring.trim() {}
        core.tally.trimmed.add(self.ring.trimmed() - before.0);
        self.overtake(topic, core, after);
        self.give_back(core, 0, Slack::None, after);
        Bytes::new(before.1 - self.reserved())
    }

    /// The topic leaves the map: its memory goes as soon as `after` has run.
    pub(in crate::hub) fn end(&mut self, core: &Core, after: &mut Aftermath) {
        self.gone = true;
        core.tally.held_bytes.sub(self.reserved());
        after.released.extend(self.reservation.take());
        self.ring = Ring::default();
        self.wake_pacers(after);
    }
}

/// Whether [`TopicState::give_back`] keeps a step for what comes next.
#[derive(Clone, Copy)]
pub(super) enum Slack {
    Keep,
    None,
}
