//! Who lags most, for operators and alerts: the readings say how many, this says who.

use std::cmp::Reverse;
use std::time::Duration;

use plimsoll_core::Bytes;

use super::Hub;
use super::meter::Meter;
use super::name::TopicName;
use super::policy::{LagLevel, Policy};
use super::subscription::SubscriberId;

/// How one subscriber stands, at the moment when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagEntry {
    /// What it reads.
    pub topic: TopicName,
    /// Which one it is.
    pub subscriber: SubscriberId,
    /// Its level.
    pub level: LagLevel,
    /// What is done when it is over its limit.
    pub policy: Policy,
    /// Events between its cursor and the head.
    pub lag_events: u64,
    /// Their frames' bytes.
    pub lag_bytes: Bytes,
    /// How many events it may lag.
    pub limit_events: u64,
    /// How many bytes it may lag.
    pub limit_bytes: Bytes,
    /// For how long it has been over its limit; only under [`Policy::Evict`].
    pub over_for: Option<Duration>,
    /// For how long its transport has not been able to write.
    pub blocked_for: Option<Duration>,
}

impl Hub {
    /// The subscribers that lag most, worst first, at most `most`; those that lag by nothing are left out.
    ///
    /// Takes the lock of each topic in turn; memory for twice `most` entries and those of one topic.
    pub fn lag_report(&self, most: usize) -> Vec<LagEntry> {
        let now = self.0.clock.now();
        let mut entries = Vec::new();
        let cut = |entries: &mut Vec<LagEntry>| {
            entries.sort_by_key(|entry| {
                (Reverse(entry.level), Reverse(entry.lag_events), Reverse(entry.lag_bytes), entry.subscriber)
            });
            entries.truncate(most);
        };
        for topic in self.0.topics_after(None, usize::MAX) {
            let state = topic.state.lock();
            for (subscriber, place) in state.places() {
                let lag = place.lag(state.ring());
                if lag.events > 0 {
                    entries.push(LagEntry {
                        topic: topic.name.clone(),
                        subscriber,
                        level: place.level(),
                        policy: topic.queue.policy,
                        lag_events: lag.events,
                        lag_bytes: Bytes::new(lag.bytes),
                        limit_events: topic.queue.events_max,
                        limit_bytes: topic.queue.bytes_max,
                        over_for: place.over_for(now),
                        blocked_for: place.meter.as_ref().and_then(|meter: &Meter| meter.blocked_for(now)),
                    });
                }
            }
            drop(state);
            if entries.len() > most.saturating_mul(2) {
                cut(&mut entries);
            }
        }
        cut(&mut entries);
        entries
    }
}
