//! Publishing for an ingest: gives readers that have just gone over their limit a moment to catch up.
//!
//! An ingest is faster than any network. Without pacing, a healthy reader that is scheduled a little late
//! finds itself 100 events behind and is given its 100 ms; with it, the ingest itself waits out a part of
//! them, at most [`PACE_WAIT_MAX`](super::PACE_WAIT_MAX) in any [`PACE_WINDOW`](super::PACE_WINDOW), so that
//! one slow reader costs it a tenth of its speed and no more. `/publish` does not pace: it never waits.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Hub;
use super::directory::Core;
use super::error::PublishError;
use super::event_id::EventId;
use super::name::TopicName;
use super::pace::Pace;
use super::topic::{Aftermath, Topic};

/// A publisher that paces itself; one for each ingest. Its waits are counted in it, over all topics that it
/// publishes to.
pub struct Pacer {
    hub: Hub,
    pace: Pace,
}

impl Pacer {
    pub(super) fn new(hub: Hub) -> Pacer {
        Pacer { hub, pace: Pace::default() }
    }

    /// Publishes as [`Hub::publish`] does, but first waits while a subscriber of the topic, under
    /// [`Policy::Evict`](super::Policy::Evict), is over its limit and went over it less than `evict_after`
    /// ago: until it came back, or that time is over, or this pacer's share of waiting is used up.
    ///
    /// *Cancel safety:* dropped before it is ready, nothing was published. Needs a tokio runtime with its
    /// timer on.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn publish(
        &mut self,
        topic: &TopicName,
        event_type: &str,
        data: &str,
    ) -> Result<EventId, PublishError> {
        self.wait(topic).await;
        self.hub.publish(topic, event_type, data)
    }

    async fn wait(&mut self, topic: &TopicName) {
        let core = &self.hub.0;
        let Some(topic) = core.find(topic) else {
            return;
        };
        let now = core.clock.now();
        let grace = topic.state.lock().grace_left(now, core.limits.evict_after);
        if grace.is_zero() {
            return;
        }
        let patience = grace.min(self.pace.allowance(now));
        if patience.is_zero() {
            return;
        }
        self.pace.begin(now, patience);
        let mut room = Room { core, topic: &topic, id: core.next_id() };
        let caught_up = tokio::time::timeout(patience, std::future::poll_fn(|cx| room.poll(cx))).await;
        let end = core.clock.now();
        // Bounded by the timer also when the hub's clock stands still.
        let least = if caught_up.is_err() { patience } else { Duration::ZERO };
        let waited = end.since(now).max(least);
        self.pace.finish(end, waited);
        core.tally.paced.add(1);
        core.tally.paced_us.add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
    }
}

/// A wait until nobody on the topic is worth waiting for.
struct Room<'pacer> {
    core: &'pacer Core,
    topic: &'pacer Arc<Topic>,
    id: u64,
}

impl Room<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut after = Aftermath::default();
        let waits = {
            let mut state = self.topic.state.lock();
            let grace = state.grace_left(self.core.clock.now(), self.core.limits.evict_after);
            !grace.is_zero() && state.join_pacers(self.id, context.waker(), &mut after)
        };
        after.run(self.core);
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut after = Aftermath::default();
        self.topic.state.lock().leave_pacers(self.id, &mut after);
        after.run(self.core);
    }
}
