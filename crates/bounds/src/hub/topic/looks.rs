//! The looks at those who are over their limit, by the judge and by ingests that wait for them.

use std::task::Waker;
use std::time::Duration;

use plimsoll_core::Tick;

use super::super::directory::Core;
use super::super::meter::{EvictReason, Meter};
use super::super::place::Place;
use super::super::ring::Ring;
use super::super::subscription::SubscriberId;
use super::{Aftermath, Topic, TopicState};

/// How many ingests may wait for the readers of one topic at a time; the next one does not wait.
const PACERS_MAX: usize = 64;

impl TopicState {
    /// Those whose time counts now, with the meters to ask.
    pub(in crate::hub) fn on_the_clock(&self) -> Vec<(SubscriberId, Option<Meter>)> {
        let counted = |(id, place): (&SubscriberId, &Place)| {
            place.is_on_the_clock().then(|| (*id, place.meter.clone()))
        };
        self.places.iter().filter_map(counted).collect()
    }

    /// One look at everybody who is over; evicts those who stood still too long. Says whether anybody is
    /// left to look at.
    pub(in crate::hub) fn judge(
        &mut self,
        topic: &Topic,
        core: &Core,
        acknowledged: &[(SubscriberId, u64)],
        now: Tick,
        after: &mut Aftermath,
    ) -> bool {
        let mut evict = Vec::new();
        for (id, place) in self.places.iter_mut().filter(|(_, place)| place.is_over()) {
            let asked = acknowledged.binary_search_by_key(id, |(id, _)| *id);
            // Nobody asked for it when it was not on the clock a moment ago; then this look is its first.
            let acknowledged = asked.map_or(0, |nth| acknowledged[nth].1);
            if place.judge(acknowledged, now, core.limits.evict_after) {
                evict.push(*id);
            }
        }
        for id in evict {
            self.evict(topic, core, id, EvictReason::Stalled, after);
        }
        self.listed = self.over > 0;
        self.listed
    }

    /// How long an ingest would be right to wait for a subscriber that has just gone over its limit.
    pub(in crate::hub) fn grace_left(&self, now: Tick, evict_after: Duration) -> Duration {
        if self.over == 0 || self.closing || self.gone {
            return Duration::ZERO;
        }
        let left = |place: &Place| Some(evict_after.saturating_sub(place.over_for(now)?));
        self.places.values().filter_map(left).max().unwrap_or_default()
    }

    /// Keeps an ingest's waker until somebody came back under the limit; false when too many wait.
    pub(in crate::hub) fn join_pacers(&mut self, id: u64, waker: &Waker, after: &mut Aftermath) -> bool {
        if let Some((_, known)) = self.pacers.iter_mut().find(|(known, _)| *known == id) {
            after.wakers.push(std::mem::replace(known, waker.clone()));
            return true;
        }
        let room = self.pacers.len() < PACERS_MAX;
        if room {
            self.pacers.push((id, waker.clone()));
        }
        room
    }

    pub(in crate::hub) fn leave_pacers(&mut self, id: u64, after: &mut Aftermath) {
        if let Some(nth) = self.pacers.iter().position(|(known, _)| *known == id) {
            after.wakers.push(self.pacers.swap_remove(nth).1);
        }
    }

    pub(super) fn wake_pacers(&mut self, after: &mut Aftermath) {
        for (_, waker) in self.pacers.drain(..) {
            after.wakes.push(Some(waker));
        }
    }

    pub(in crate::hub) fn places(&self) -> impl Iterator<Item = (SubscriberId, &Place)> {
        self.places.iter().map(|(id, place)| (*id, place))
    }

    pub(in crate::hub) fn ring(&self) -> &Ring {
        &self.ring
    }
}
