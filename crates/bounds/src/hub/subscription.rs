//! A reader's end: polled by whoever writes to the socket, given up by dropping it.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use plimsoll_core::Bytes as Size;

use super::directory::Core;
use super::name::TopicName;
use super::place::Letterbox;
use super::topic::{Aftermath, Taken, Topic};

/// Names a subscriber for as long as the hub lives. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(pub(super) u64);

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Frames to be written to the socket, in this order.
///
/// They are complete, and shared with the ring and with every other reader: nothing was copied. Each keeps
/// its event's memory until it is dropped, also when the ring has let the event go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    frames: Vec<Bytes>,
    length: usize,
}

impl Batch {
    pub(super) fn of(frames: Vec<Bytes>) -> Batch {
        let length = frames.iter().map(Bytes::len).sum();
        Batch { frames, length }
    }

    /// Length of all frames together.
    pub fn bytes(&self) -> Size {
        Size::of_len(self.length)
    }

    /// The frames as a list of their own.
    pub fn into_frames(self) -> Vec<Bytes> {
        self.frames
    }
}

impl Deref for Batch {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        &self.frames
    }
}

/// A subscription to one topic: a cursor into its ring. Dropping it frees its place at once.
pub struct Subscription {
    core: Arc<Core>,
    topic: Arc<Topic>,
    id: SubscriberId,
    letterbox: Letterbox,
    ended: bool,
}

impl Subscription {
    pub(super) fn new(
        core: Arc<Core>,
        topic: Arc<Topic>,
        id: SubscriberId,
        letterbox: Letterbox,
    ) -> Subscription {
        Subscription { core, topic, id, letterbox, ended: false }
    }

    /// The subscriber's number, as in [`LagEntry`](super::LagEntry).
    pub fn id(&self) -> SubscriberId {
        self.id
    }

    /// What it reads.
    pub fn topic(&self) -> &TopicName {
        &self.topic.name
    }

    /// Everything between the cursor and the head, up to `bytes_max` bytes (and
    /// [`BATCH_EVENTS_MAX`](super::BATCH_EVENTS_MAX) events), but at least one event; waits while there is
    /// nothing. Control frames (`reset`, `gap`) come in their place between the events.
    ///
    /// Evicted, or closed and everything taken, it yields one last batch with an `evicted` frame, and then
    /// `None` for ever.
    ///
    /// *Allocation:* one list of references for each batch; what they refer to is the ring's.
    pub fn poll_batch(&mut self, context: &mut Context<'_>, bytes_max: Size) -> Poll<Option<Batch>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut after = Aftermath::default();
        // A statement of its own, so that the lock is let go before the aftermath.
        let taken = self.topic.state.lock().take(
            &self.topic,
            &self.core,
            self.id,
            bytes_max.as_usize(),
            context.waker(),
            &mut after,
        );
        after.run(&self.core);
        match taken {
            Taken::Batch(batch) => Poll::Ready(Some(batch)),
            Taken::Nothing => Poll::Pending,
            Taken::Gone => {
                self.ended = true;
                if self.core.is_closed() {
                    self.core.forget_unused(&self.topic);
                }
                let frames: Vec<Bytes> =
                    self.letterbox.get().map(|letter| letter.frame()).into_iter().collect();
                Poll::Ready(Some(Batch::of(frames)))
            }
        }
    }

    /// [`Subscription::poll_batch`] as a future.
    ///
    /// *Cancel safety:* dropped before it is ready, it took nothing; the cursor moves with the batch that is
    /// handed out.
    pub async fn next_batch(&mut self, bytes_max: Size) -> Option<Batch> {
        poll_fn(|context| self.poll_batch(context, bytes_max)).await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut after = Aftermath::default();
        let unused = {
            let mut state = self.topic.state.lock();
            state.leave(&self.core, self.id, &mut after);
            state.is_unused()
        };
        after.run(&self.core);
        if unused {
            self.core.forget_unused(&self.topic);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({} to {})", self.id, self.topic.name)
    }
}
