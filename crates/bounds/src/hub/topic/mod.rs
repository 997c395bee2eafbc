//! One topic: its ring, its subscribers, and the memory that both are charged for, behind one lock.
//!
//! Registering a cursor and reading the head is one step under that lock, so a newcomer has neither a gap
//! nor an event twice. What must run outside it (wakers, destructors of other people's values, giving
//! memory back, which wakes those who wait for it) is collected in an [`Aftermath`].
//!
//! - `room`: the memory that it reserves, and what it gives up for it.
//! - `looks`: judging those who are over their limit, and ingests that wait for them.
//!
//! Publishing looks at every subscriber of the topic once: right, and not yet fast.

mod looks;
mod room;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use plimsoll_core::Tick;

use super::directory::Core;
use super::event_id::EventId;
use super::frame::{ResetReason, Unnumbered, reset};
use super::meter::{EvictReason, Meter};
use super::name::TopicName;
use super::place::{Farewell, Letterbox, Overtaken, Place, Standing, Start};
use super::policy::QueueLimits;
use super::ring::Ring;
use super::subscription::{Batch, SubscriberId};
use crate::budget::Reservation;
use crate::sync::Mutex;
use crate::wait::Wakes;
use room::Slack;
pub(super) use room::{Ask, Sacrifice};

/// What a topic is charged beside its events: its state, its name, its place in the map, its first slots.
pub const TOPIC_BYTES: u64 = 2048;
/// What a subscriber's place is charged.
pub const SUBSCRIBER_BYTES: u64 = 512;

// Not under loom, whose locks are larger.
#[cfg(not(loom))]
const _: () = assert!(
    size_of::<Topic>() + super::name::TOPIC_NAME_BYTES_MAX + super::ring::SLOTS_KEPT_BYTES + 256
        <= TOPIC_BYTES as usize
);
const _: () = assert!(size_of::<Place>() + size_of::<Farewell>() + 128 <= SUBSCRIBER_BYTES as usize);

pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) queue: QueueLimits,
    // What the ring costs, copied here when the lock is let go: to find the largest without all the locks.
    ring_cost: AtomicU64,
    // Guards everything in this topic. Taken after the map's lock, never before it; under it only the
    // budget's lock is taken.
    pub(super) state: Mutex<TopicState>,
}

pub(super) struct TopicState {
    epoch: u64,
    ring: Ring,
    // Places leave in `leave` (the subscription was dropped) and `evict`.
    places: BTreeMap<SubscriberId, Place>,
    // Covers `cost()`; nothing before the first charge.
    reservation: Option<Reservation>,
    // When it was last published to, or last had a reader.
    active: Tick,
    // How many places are over their limit under `Policy::Evict`.
    over: usize,
    // Whether it is on the hub's list of topics to look at.
    pub(super) listed: bool,
    // Ingests that wait for readers; at most `PACERS_MAX`. They leave when woken or dropped.
    pacers: Vec<(u64, Waker)>,
    /// It is no longer in the map: whoever still has a handle looks the name up again.
    pub(super) gone: bool,
    pub(super) closing: bool,
}

/// What a subscription found.
pub(super) enum Taken {
    Batch(Batch),
    Nothing,
    /// Its place is gone; the letterbox says why.
    Gone,
}

/// What is to be done when the lock is let go.
#[derive(Default)]
#[must_use = "wakers sleep and memory stays charged until it is run"]
pub(super) struct Aftermath {
    wakes: Wakes,
    evicted: Vec<(Meter, EvictReason)>,
    // Dropped outside the lock: places hold wakers and meters, reservations wake those who wait for memory.
    places: Vec<Place>,
    wakers: Vec<Waker>,
    released: Vec<Reservation>,
    // A topic that has somebody over the limit and was not on the list.
    list: Option<Arc<Topic>>,
}

impl Aftermath {
    pub(super) fn run(self, core: &Core) {
        let Aftermath { wakes, evicted, places, wakers, released, list } = self;
        drop(released);
        if let Some(topic) = list {
            core.watch(topic);
        }
        for (meter, reason) in evicted {
            meter.evict(reason);
        }
        wakes.wake();
        drop((places, wakers));
    }
}

impl Topic {
    pub(super) fn new(name: TopicName, queue: QueueLimits, epoch: u64, now: Tick) -> Topic {
        let state = TopicState {
            epoch,
            ring: Ring::default(),
            places: BTreeMap::new(),
            reservation: None,
            active: now,
            over: 0,
            listed: false,
            pacers: Vec::new(),
            gone: false,
            closing: false,
        };
        Topic { name, queue, ring_cost: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// What the ring cost when the lock was last let go.
    pub(super) fn ring_cost(&self) -> u64 {
        self.ring_cost.load(Ordering::Relaxed)
    }

    pub(super) fn note_cost(&self, state: &TopicState) {
        self.ring_cost.store(state.ring.cost(), Ordering::Relaxed);
    }
}

impl TopicState {
    /// Appends an event for which there is room, and applies the policy to everybody.
    pub(super) fn append(
        &mut self,
        topic: &Arc<Topic>,
        core: &Core,
        frame: Unnumbered,
        now: Tick,
        after: &mut Aftermath,
    ) -> EventId {
        let id = EventId { epoch: self.epoch, offset: self.ring.head() + 1 };
        let frame = frame.number(id);
        core.tally.published.add(1);
        core.tally.published_bytes.add(frame.len() as u64);
        self.ring.append(frame);
        self.active = now;
        for place in self.places.values_mut() {
            if place.published(&self.ring, &topic.queue, now, &core.tally) == Standing::WentOver {
                self.over += 1;
            }
            after.wakes.push(place.waker.take());
        }
        self.list(topic, after);
        id
    }

    /// Puts the topic on the list of those to look at, when it belongs there and is not on it.
    fn list(&mut self, topic: &Arc<Topic>, after: &mut Aftermath) {
        if self.over > 0 && !self.listed {
            self.listed = true;
            after.list = Some(topic.clone());
        }
    }

    /// Registers a subscriber for which there is room. Head and cursor are of one moment.
    pub(super) fn join(
        &mut self,
        topic: &Arc<Topic>,
        core: &Core,
        id: SubscriberId,
        last_event_id: Option<&str>,
        meter: Option<Meter>,
        after: &mut Aftermath,
    ) -> Letterbox {
        let now = core.clock.now();
        let start = self.start(last_event_id);
        if start.reset.is_some() {
            core.tally.resets.add(1);
        }
        let letterbox = Letterbox::default();
        let mut place = Place::new(start, &self.ring, meter, letterbox.clone());
        if place.weigh(&self.ring, &topic.queue, now, &core.tally) == Standing::WentOver {
            self.over += 1;
        }
        self.places.insert(id, place);
        self.active = now;
        self.list(topic, after);
        letterbox
    }

    /// Where a newcomer begins: the latest event without an id, all that it missed with one that is still
    /// known, all that is held with any other.
    fn start(&self, last_event_id: Option<&str>) -> Start {
        let (head, trimmed) = (self.ring.head(), self.ring.trimmed());
        let Some(text) = last_event_id else {
            return Start { cursor: head.saturating_sub(1).max(trimmed), reset: None };
        };
        let asked: Option<EventId> = text.parse().ok();
        let reason = match asked {
            None => ResetReason::InvalidId,
            Some(asked) if asked.epoch != self.epoch => ResetReason::UnknownEpoch,
            // An event that is still to come was never seen.
            Some(asked) if asked.offset > head => ResetReason::InvalidId,
            Some(asked) if asked.offset < trimmed => ResetReason::HistoryExceeded,
            Some(asked) => return Start { cursor: asked.offset, reset: None },
        };
        let held = self.ring.held();
        let id = |offset| EventId { epoch: self.epoch, offset };
        let (oldest, latest) = (held.map(|(oldest, _)| id(oldest)), held.map(|(_, latest)| id(latest)));
        Start { cursor: trimmed, reset: Some(reset(reason, asked, oldest, latest)) }
    }

    /// What waits for a subscriber, or its waker kept for when something does.
    pub(super) fn take(
        &mut self,
        topic: &Topic,
        core: &Core,
        id: SubscriberId,
        bytes_max: usize,
        waker: &Waker,
        after: &mut Aftermath,
    ) -> Taken {
        let Some(place) = self.places.get_mut(&id) else {
            return Taken::Gone;
        };
        let Some(batch) = place.take(&self.ring, self.epoch, bytes_max, &core.tally) else {
            if self.closing {
                self.evict(topic, core, id, EvictReason::Closing, after);
                return Taken::Gone;
            }
            if !place.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                after.wakers.extend(place.waker.replace(waker.clone()));
            }
            return Taken::Nothing;
        };
        if place.weigh(&self.ring, &topic.queue, core.clock.now(), &core.tally) == Standing::CameBack {
            self.over -= 1;
            self.wake_pacers(after);
        }
        Taken::Batch(batch)
    }

    /// The subscription was dropped.
    pub(super) fn leave(&mut self, core: &Core, id: SubscriberId, after: &mut Aftermath) {
        if let Some(place) = self.remove(core, id, after) {
            after.places.push(place);
        }
    }

    fn evict(
        &mut self,
        topic: &Topic,
        core: &Core,
        id: SubscriberId,
        reason: EvictReason,
        after: &mut Aftermath,
    ) {
        let Some(mut place) = self.remove(core, id, after) else {
            return;
        };
        core.tally.evicted(reason);
        let farewell = Farewell {
            reason,
            lag: place.lag(&self.ring),
            limits: topic.queue,
            resume_after: EventId { epoch: self.epoch, offset: place.cursor() },
        };
        // Empty until now: a place is evicted once, when it leaves.
        let _ = place.letterbox.set(farewell);
        after.evicted.extend(place.meter.take().map(|meter| (meter, reason)));
        after.wakes.push(place.waker.take());
        after.places.push(place);
    }

    fn remove(&mut self, core: &Core, id: SubscriberId, after: &mut Aftermath) -> Option<Place> {
        let mut place = self.places.remove(&id)?;
        place.leave(&core.tally);
        core.tally.subscribers.sub(1);
        if place.is_over() {
            self.over -= 1;
            self.wake_pacers(after);
        }
        self.active = core.clock.now();
        self.give_back(core, 0, Slack::Keep, after);
        Some(place)
    }

    /// The ring let events go: those that had not taken them are evicted or told, by their policy.
    fn overtake(&mut self, topic: &Topic, core: &Core, after: &mut Aftermath) {
        let mut evict = Vec::new();
        for (id, place) in &mut self.places {
            match place.trimmed(&self.ring, &topic.queue, &core.tally) {
                Overtaken::No => {}
                Overtaken::Evict => evict.push(*id),
                Overtaken::Skipped => {
                    // Never over: only `Policy::Evict` counts those.
                    place.weigh(&self.ring, &topic.queue, self.active, &core.tally);
                    after.wakes.push(place.waker.take());
                }
            }
        }
        for id in evict {
            self.evict(topic, core, id, EvictReason::Overrun, after);
        }
    }

    /// Nothing is published any more: those who have everything are to look and be told.
    pub(super) fn close(&mut self, after: &mut Aftermath) {
        self.closing = true;
        for place in self.places.values_mut() {
            after.wakes.push(place.waker.take());
        }
        self.wake_pacers(after);
    }

    /// Whether it has neither readers nor anything that was ever published, or can only be read no more.
    pub(super) fn is_unused(&self) -> bool {
        self.places.is_empty() && (self.ring.head() == 0 || self.closing)
    }

    /// Whether it has had neither reader nor event for `idle`.
    pub(super) fn is_expired(&self, now: Tick, idle: Duration) -> bool {
        self.places.is_empty() && now.since(self.active) >= idle
    }
}
