//! One writer, any number of readers, and memory that does not depend on how slow they are.
//!
//! The usual hub gives each subscriber a queue. One that stops reading fills its own, a hundred that stop
//! fill a hundred, and the process dies of its slowest clients. Here an event is framed once and kept once,
//! in its topic's ring; a subscriber is a cursor into it:
//!
//! ```text
//!                        ring of topic "build/17" (bytes, charged to the budget)
//!  publish ─────────────► │ 41 │ 42 │ 43 │ 44 │ 45 │ 46 │ ◄─ head
//!                   trimmed    ▲         ▲              ▲
//!                   when full  │         │              └ reader C: has everything, sleeps
//!                              │         └ reader B: lags by 3
//!                              └ reader A: lags by 5, over its limit: the policy decides
//! ```
//!
//! What a stalled reader costs is its cursor. How far a cursor may lag is bounded in events and bytes; what
//! happens to one that lags more is its topic's [`Policy`], and every event that a reader does not get is
//! told to it in the stream and counted by reason.
//!
//! Words: the *head* is the newest event; the *lag* of a reader is what lies between its cursor and the
//! head; a *frame* is an event's text as it goes over the wire; *trimming* lets the oldest events go.
//!
//! Danger: a cursor says what was taken from the hub, not what reached the reader. Whether a reader that
//! takes nothing is stuck or only slow is known by its transport alone: see [`Meter`].
//!
//! **When not to use this:** between two parts of one program where every item must arrive, use a queue,
//! which makes the producer wait; a hub never waits for its readers.
//!
//! | file | idea |
//! | --- | --- |
//! | `topic` | one topic behind one lock: its events and readers, its memory, the looks at those who lag |
//! | `ring`, `place`, `policy`, `stall` | history, a reader's cursor, what a lag leads to, when a reader stands still; pure |
//! | `directory`, `sweep` | the map of topics and how room moves between them; looks and expiry |
//! | `frame`, `event_id`, `name` | the texts |
//! | `meter`, `subscription`, `pacer` | the ends: the transport's, the reader's, the ingest's |
//!
//! Not here: sockets, HTTP, heartbeats, a limit of connections, any runtime. [`Hub::drive`] and [`Pacer`]
//! use tokio's timer; everything else runs anywhere.

#![cfg_attr(loom, allow(dead_code, reason = "only the pacer, which needs tokio's timer, uses it"))]

mod directory;
mod error;
mod event_id;
mod frame;
mod lag;
mod limits;
mod meter;
mod name;
mod pace;
#[cfg(not(loom))]
mod pacer;
mod place;
mod policy;
mod ring;
mod stall;
mod subscription;
mod sweep;
mod tally;
mod topic;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use plimsoll_core::{Bytes, Clock, Observe, Reading, Tick};

pub use error::{HubError, NoRoom, PublishError, SubscribeError};
pub use event_id::{EVENT_ID_BYTES_MAX, EventId, EventIdError};
pub use frame::{EVENT_TYPE_CHARS_MAX, EventTypeError};
pub use lag::LagEntry;
pub use limits::{HubLimits, LimitsError, TOPIC_RULES_MAX, TopicPattern, TopicRule};
pub use meter::{EvictReason, Meter};
pub use name::{TOPIC_NAME_BYTES_MAX, TopicName, TopicNameError, TopicNameFault};
pub use pace::{PACE_WAIT_MAX, PACE_WINDOW};
#[cfg(not(loom))]
pub use pacer::Pacer;
pub use place::BATCH_EVENTS_MAX;
pub use policy::{LAG_CRITICAL_PERCENT, LAG_WARNING_PERCENT, LagLevel, Policy, PolicyError};
pub use ring::EVENT_OVERHEAD_BYTES;
pub use subscription::{Batch, SubscriberId, Subscription};
pub use topic::{SUBSCRIBER_BYTES, TOPIC_BYTES};

use crate::budget::Account;
use directory::{Core, EnterError};
use frame::Unnumbered;
use topic::Ask;

/// The hub. Cloning gives another handle; the last one that goes, subscriptions included, gives everything
/// back.
#[derive(Clone)]
pub struct Hub(Arc<Core>);

impl Hub {
    /// A hub without topics, whose memory is charged to an account `hub` that it opens under `account`.
    ///
    /// `epoch_seed` makes ids of one run of the program differ from those of another: give it something
    /// that differs from run to run by more than the number of topics made in one, like the time in
    /// nanoseconds. Not a secret, and no secret is made of it.
    ///
    /// # Errors
    /// [`HubError`] when the limits allow nothing to be delivered or the account cannot be opened.
    pub fn new(
        limits: HubLimits,
        account: &Account,
        clock: Arc<dyn Clock>,
        epoch_seed: u64,
    ) -> Result<Hub, HubError> {
        limits.check().map_err(HubError::Limits)?;
        let account = account.account("hub", limits.limit).map_err(HubError::Account)?;
        Ok(Hub(Arc::new(Core::new(limits, account, clock, epoch_seed))))
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &HubLimits {
        &self.0.limits
    }

    /// Publishes an event to `topic`, which is made when it is absent. Each line of `data` becomes a `data:`
    /// line. Never waits for readers.
    ///
    /// *When full:* the topic's ring lets its oldest events go. When the hub's account is full, a topic that
    /// holds more than an equal share of it lets its own oldest go, any other takes the room from the topic
    /// that holds most.
    ///
    /// *Cost:* one framing, one look at each subscriber of the topic.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was published then.
    pub fn publish(&self, topic: &TopicName, event_type: &str, data: &str) -> Result<EventId, PublishError> {
        let core = &*self.0;
        frame::check_event_type(event_type).map_err(PublishError::EventType)?;
        if core.is_closed() {
            return Err(PublishError::Closed);
        }
        // Before anything is copied.
        let length = Unnumbered::length_max(event_type, data);
        let event = ring::event_cost(length);
        let ring_max = core.limits.topic_limit.min(core.limits.limit.saturating_sub(Bytes::new(TOPIC_BYTES)));
        if event > ring_max.as_u64() {
            core.tally.too_large.add(1);
            let allowed = ring_max.saturating_sub(Bytes::new(EVENT_OVERHEAD_BYTES));
            return Err(PublishError::TooLarge { asked: Bytes::of_len(length), allowed });
        }
        let frame = Unnumbered::new(event_type, data);
        let published = core.enter(topic, Ask { event, place: 0 }, |topic, state, after| {
            // Read under the lock, so that the times in a topic are in the order of its events.
            let now = core.clock.now();
            state.append(topic, core, frame, now, after)
        });
        published.map_err(|error| match error {
            EnterError::TooManyTopics => PublishError::TooManyTopics { topics_max: core.limits.topics_max },
            EnterError::NoRoom(no_room) => PublishError::NoRoom(no_room),
            EnterError::Closed => PublishError::Closed,
        })
    }

    /// A publisher for an ingest, which gives readers a moment to catch up.
    #[cfg(not(loom))]
    pub fn pacer(&self) -> Pacer {
        Pacer::new(self.clone())
    }

    /// Subscribes to `topic`, which is made when it is absent.
    ///
    /// Without `last_event_id` the latest event comes first, if there is one, then what is published from
    /// now on. With an id that the ring still connects to, everything after it. With any other a `reset`
    /// frame that says why, everything that is held, and what is published from now on. Whatever is replayed
    /// is read from the ring, batch by batch, and never copied.
    ///
    /// `meter` is how the transport and the hub speak of this subscriber; without one (a reader inside the
    /// program) only its cursor is judged.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is kept then.
    pub fn subscribe(
        &self,
        topic: &TopicName,
        last_event_id: Option<&str>,
        meter: Option<Meter>,
    ) -> Result<Subscription, SubscribeError> {
        let core = &*self.0;
        if core.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let subscribers_max = core.limits.subscribers_max;
        if !core.tally.subscribers.try_add_one(subscribers_max as u64) {
            core.tally.subscribers_refused.add(1);
            return Err(SubscribeError::TooManySubscribers { subscribers_max });
        }
        let id = core.next_subscriber();
        let entered = core.enter(topic, Ask { event: 0, place: SUBSCRIBER_BYTES }, |topic, state, after| {
            (topic.clone(), state.join(topic, core, id, last_event_id, meter, after))
        });
        match entered {
            Ok((topic, letterbox)) => Ok(Subscription::new(self.0.clone(), topic, id, letterbox)),
            Err(error) => {
                core.tally.subscribers.sub(1);
                Err(match error {
                    EnterError::TooManyTopics => {
                        SubscribeError::TooManyTopics { topics_max: core.limits.topics_max }
                    }
                    EnterError::NoRoom(no_room) => SubscribeError::NoRoom(no_room),
                    EnterError::Closed => SubscribeError::Closed,
                })
            }
        }
    }

    /// Evicts those who stood still over their limit for `evict_after`, and forgets topics that were idle
    /// for `topic_idle`. Says when it wants to be called next; `None` when nothing is pending, and then
    /// [`Hub::sweep_needed`] tells when something is. Calling it too early or too late harms nothing: a
    /// stand-still is a sum of looks that came in time.
    ///
    /// *Cost:* the subscribers of topics where somebody is over, and at most 256 topics.
    pub fn sweep(&self, now: Tick) -> Option<Tick> {
        self.0.sweep(now)
    }

    /// Waits until a sweep is due that the last one could not foresee, or the hub is closed. For one driver.
    ///
    /// *Cancel safety:* loses nothing.
    pub async fn sweep_needed(&self) {
        poll_fn(|context| self.0.alarm.poll_raised(context)).await;
    }

    /// Sweeps whenever that is due, until the hub is closed. To be run as a task of the service, once.
    ///
    /// *Cancel safety:* may be dropped at any time and run again. Needs a tokio runtime with its timer on.
    #[cfg(not(loom))]
    pub async fn drive(&self) {
        while !self.is_closed() {
            let now = self.0.clock.now();
            match self.sweep(now) {
                None => self.sweep_needed().await,
                Some(next) => {
                    let pause = next.since(self.0.clock.now());
                    // Either way it is time to look again.
                    let _ = tokio::time::timeout(pause, self.sweep_needed()).await;
                }
            }
        }
    }

    /// Closes the hub: nothing more is published or subscribed to; each subscriber gets what is held, then
    /// an `evicted` frame with the reason `closing`, and its end. Memory comes back topic by topic as they
    /// leave. How long that may take is for the caller to bound, by dropping the subscriptions.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Observe for Hub {
    fn observe(&self, out: &mut Vec<Reading>) {
        self.0.tally.readings(&self.0.limits, out);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.0.tally;
        write!(f, "Hub({} topics, {} subscribers)", tally.topics.get(), tally.subscribers.get())
    }
}
