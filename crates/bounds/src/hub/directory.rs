//! The map of topics: finding, making and forgetting them, and moving room from the largest to the needy.
//!
//! Locks are taken in one order: the map's, then one topic's, then the budget's. Two topics are never
//! locked at once, so taking room from another topic means letting go of one's own, and trying again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use plimsoll_core::{Bytes, Clock};

use super::error::NoRoom;
use super::limits::HubLimits;
use super::name::TopicName;
use super::subscription::SubscriberId;
use super::sweep::Expiry;
use super::tally::Tally;
use super::topic::{Aftermath, Ask, Sacrifice, Topic, TopicState};
use crate::budget::Account;
use crate::sync::{Mutex, RwLock};

/// How often room is looked for before giving up. Each round but the last took history from another topic,
/// or found that the topic had just expired.
const ROUNDS_MAX: usize = 16;

pub(super) struct Core {
    pub(super) limits: HubLimits,
    pub(super) account: Account,
    pub(super) clock: Arc<dyn Clock>,
    epoch_seed: u64,
    epochs: AtomicU64,
    ids: AtomicU64,
    // Entries leave in `forget`: expired, or unused when their last reader left. At most `topics_max`.
    topics: RwLock<BTreeMap<TopicName, Arc<Topic>>>,
    // Topics with somebody over the limit; each at most once (`TopicState::listed`).
    watched: Mutex<Vec<Arc<Topic>>>,
    pub(super) expiry: Mutex<Expiry>,
    pub(super) alarm: Alarm,
    pub(super) tally: Tally,
    closed: AtomicBool,
}

/// Why a topic could not be entered.
pub(super) enum EnterError {
    TooManyTopics,
    NoRoom(NoRoom),
    Closed,
}

impl Core {
    pub(super) fn new(limits: HubLimits, account: Account, clock: Arc<dyn Clock>, epoch_seed: u64) -> Core {
        Core {
            limits,
            account,
            clock,
            epoch_seed,
            epochs: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            topics: RwLock::new(BTreeMap::new()),
            watched: Mutex::new(Vec::new()),
            expiry: Mutex::new(Expiry::default()),
            alarm: Alarm::default(),
            tally: Tally::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn next_subscriber(&self) -> SubscriberId {
        SubscriberId(self.next_id())
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What the hub's own limit leaves; the accounts above may leave less.
    pub(super) fn left(&self) -> Bytes {
        self.limits.limit.saturating_sub(Bytes::new(self.tally.held_bytes.get()))
    }

    /// What each topic could hold if all held the same.
    pub(super) fn equal_share(&self) -> u64 {
        self.limits.limit.as_u64() / self.tally.topics.get().max(1)
    }

    pub(super) fn find(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    fn find_or_make(&self, name: &TopicName) -> Result<Arc<Topic>, EnterError> {
        if let Some(topic) = self.find(name) {
            return Ok(topic);
        }
        let mut topics = self.topics.write();
        if let Some(topic) = topics.get(name) {
            return Ok(topic.clone());
        }
        // Under the map's lock: whoever closes takes it after having said so, and misses no topic.
        if self.is_closed() {
            return Err(EnterError::Closed);
        }
        if topics.len() >= self.limits.topics_max {
            self.tally.topics_refused.add(1);
            return Err(EnterError::TooManyTopics);
        }
        let epoch = self.epoch_seed.wrapping_add(self.epochs.fetch_add(1, Ordering::Relaxed));
        let queue = self.limits.queue(name);
        let topic = Arc::new(Topic::new(name.clone(), queue, epoch, self.clock.now()));
        topics.insert(name.clone(), topic.clone());
        self.tally.topics.add(1);
        self.tally.topics_created.add(1);
        let first = topics.len() == 1;
        drop(topics);
        if first {
            // There was nothing that could expire; now there is.
            self.alarm.raise();
        }
        Ok(topic)
    }

    /// Locks the topic, made when it is absent, with room reserved for `ask`, and acts on it.
    pub(super) fn enter<T>(
        &self,
        name: &TopicName,
        ask: Ask,
        act: impl FnOnce(&Arc<Topic>, &mut TopicState, &mut Aftermath) -> T,
    ) -> Result<T, EnterError> {
        let mut sacrifice = Sacrifice::AboveShare;
        for round in 1..=ROUNDS_MAX {
            let topic = self.find_or_make(name)?;
            if round == ROUNDS_MAX {
                sacrifice = Sacrifice::All;
            }
            let mut after = Aftermath::default();
            let mut state = topic.state.lock();
            if state.gone {
                // It expired between the map and its lock: once more, from the map.
                continue;
            }
            if state.closing {
                return Err(EnterError::Closed);
            }
            let room = state.make_room(&topic, self, ask, sacrifice, &mut after);
            if room.is_ok() {
                let done = act(&topic, &mut state, &mut after);
                topic.note_cost(&state);
                drop(state);
                after.run(self);
                return Ok(done);
            }
            topic.note_cost(&state);
            drop(state);
            after.run(self);
            let Err(short) = room else { continue };
            if sacrifice == Sacrifice::All {
                self.forget_unused(&topic);
                self.tally.no_room.add(1);
                let held = Bytes::new(self.tally.held_bytes.get());
                return Err(EnterError::NoRoom(NoRoom { asked: short, held, limit: self.limits.limit }));
            }
            if self.relieve(short, &topic).is_zero() {
                sacrifice = Sacrifice::All;
            }
        }
        // Only a topic that expired in every round comes here; it is idle again in none of them.
        self.tally.no_room.add(1);
        let held = Bytes::new(self.tally.held_bytes.get());
        Err(EnterError::NoRoom(NoRoom {
            asked: Bytes::new(ask.event + ask.place),
            held,
            limit: self.limits.limit,
        }))
    }

    /// Takes oldest events from the topic that holds most, `needy` aside; says what came free.
    fn relieve(&self, short: Bytes, needy: &Arc<Topic>) -> Bytes {
        let others = |topic: &&Arc<Topic>| !Arc::ptr_eq(topic, needy);
        let largest =
            self.topics.read().values().filter(others).max_by_key(|topic| topic.ring_cost()).cloned();
        let Some(largest) = largest else {
            return Bytes::ZERO;
        };
        let mut after = Aftermath::default();
        let mut state = largest.state.lock();
        if state.gone {
            return Bytes::ZERO;
        }
        let freed = state.relieve(&largest, self, short, &mut after);
        largest.note_cost(&state);
        drop(state);
        after.run(self);
        freed
    }

    /// Forgets a topic that nobody reads and nothing was published to, or nothing can be read from.
    pub(super) fn forget_unused(&self, topic: &Arc<Topic>) {
        self.forget(topic, TopicState::is_unused);
    }

    /// Takes the topic out of the map if `condition` still holds under both locks.
    pub(super) fn forget(&self, topic: &Arc<Topic>, condition: impl FnOnce(&TopicState) -> bool) -> bool {
        let mut after = Aftermath::default();
        {
            let mut topics = self.topics.write();
            let mut state = topic.state.lock();
            if state.gone || !condition(&state) {
                return false;
            }
            topics.remove(&topic.name);
            self.tally.topics.sub(1);
            state.end(self, &mut after);
            topic.note_cost(&state);
        }
        after.run(self);
        true
    }

    /// At most `most` topics after the one named, in the order of their names.
    pub(super) fn topics_after(&self, name: Option<&TopicName>, most: usize) -> Vec<Arc<Topic>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let topics = self.topics.read();
        let from = name.map_or(Unbounded, Excluded);
        topics.range::<TopicName, _>((from, Unbounded)).take(most).map(|(_, topic)| topic.clone()).collect()
    }

    /// Puts a topic on the list of those to look at, and wakes the driver.
    pub(super) fn watch(&self, topic: Arc<Topic>) {
        self.watched.lock().push(topic);
        self.alarm.raise();
    }

    pub(super) fn take_watched(&self) -> Vec<Arc<Topic>> {
        std::mem::take(&mut self.watched.lock())
    }

    /// Puts back those that are still to be looked at.
    pub(super) fn keep_watched(&self, topics: Vec<Arc<Topic>>) {
        self.watched.lock().extend(topics);
    }

    pub(super) fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        for topic in self.topics_after(None, usize::MAX) {
            let mut after = Aftermath::default();
            topic.state.lock().close(&mut after);
            after.run(self);
            self.forget_unused(&topic);
        }
        self.alarm.raise();
    }
}

/// Rings once for whoever drives the sweeps; stays raised until it is heard.
#[derive(Default)]
pub(super) struct Alarm {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Alarm {
    /// Runs the driver's waker: call it with no lock held.
    pub(super) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn poll_raised(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.raised.swap(false, Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}
