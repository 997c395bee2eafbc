//! The producers' end.

use std::fmt;
use std::sync::Arc;

use plimsoll_core::Bytes;

use super::Queue;
use super::core::{Core, Held};
use super::error::{Refused, SendError};
use super::limits::Policy;
use super::state::Entry;
use crate::budget::ReserveError;

/// What became of an item that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It waits in the queue.
    Queued,
    /// It waits in the queue, and so many older ones were dropped to make room for it.
    Displaced(usize),
    /// It waits where one with the same key waited, which was dropped.
    Replaced,
    /// There was no room, and by the policy it was dropped itself.
    Dropped,
}

/// Sends items into a queue. Cloning gives another sender; when the last is dropped, the queue is closed.
pub struct Sender<T> {
    queue: Queue<T>,
}

/// Room for one item, charged. Sending with it never waits; dropping it gives the room back.
///
/// It outlives [`Queue::close`]: what was promised may still come through, and a drain waits for it.
#[must_use = "dropping a permit gives its room back"]
pub struct Permit<T>(Held<T>);

/// An item on its way: counted when its producer is cancelled before it was sent.
struct Unsent<'core, T> {
    core: &'core Core<T>,
    entry: Option<Entry<T>>,
}

impl<T> Unsent<'_, T> {
    fn weight(&self) -> Bytes {
        self.entry.as_ref().map_or(Bytes::ZERO, |entry| entry.weight)
    }

    fn settle(mut self, admitted: Result<Held<T>, Refused>) -> Result<Sent, SendError<T>> {
        // Taken only here, and this takes the whole.
        let entry = self.entry.take().expect("an unsent entry is settled once");
        match admitted {
            Ok(held) => held.fill(entry),
            Err(reason) => self.core.hand_back(entry, reason),
        }
    }
}

impl<T> Drop for Unsent<'_, T> {
    fn drop(&mut self) {
        if self.entry.is_some() {
            self.core.state.lock().counts.cancelled += 1;
        }
    }
}

impl<T> Held<T> {
    fn fill(mut self, entry: Entry<T>) -> Result<Sent, SendError<T>> {
        self.filled = true;
        let room = self.room;
        let entry = Entry { weight: room.weight, ..entry };
        match self.core.change(|state, out| state.put(room, entry, out)) {
            Ok(sent) => Ok(sent),
            Err((entry, reason)) => self.core.hand_back(entry, reason),
        }
    }
}

impl<T> Core<T> {
    fn hand_back<R>(&self, entry: Entry<T>, reason: Refused) -> Result<R, SendError<T>> {
        self.count_refused(&reason);
        Err(SendError { item: entry.item, reason })
    }

    /// Sends by the policy without ever waiting.
    fn send_now(self: &Arc<Self>, item: T) -> Result<Sent, SendError<T>> {
        let entry = self.entry(item);
        if let Policy::LatestByKey(_) = self.policy {
            let now = entry.since;
            return match self.change(|state, out| state.put_latest(entry, now, out)) {
                Ok(sent) => Ok(sent),
                Err((entry, reason)) => self.hand_back(entry, reason),
            };
        }
        match self.try_admit(entry.weight) {
            Ok((held, 0)) => held.fill(entry),
            Ok((held, dropped)) => held.fill(entry).map(|_| Sent::Displaced(dropped)),
            Err(reason) if matches!(self.policy, Policy::DropNewest) && passes(&reason) => {
                let mut state = self.state.lock();
                state.counts.dropped_newest += 1;
                if let Refused::Full(shortage) = &reason {
                    state.counts.met(shortage.items >= shortage.items_max);
                }
                Ok(Sent::Dropped)
            }
            Err(reason) => self.hand_back(entry, reason),
        }
    }
}

/// Whether there could be room another time: only then is an item dropped by policy.
fn passes(reason: &Refused) -> bool {
    match reason {
        Refused::Full(_) => true,
        Refused::Budget(error) => matches!(**error, ReserveError::Full(_)),
        _ => false,
    }
}

impl<T> Sender<T> {
    pub(super) fn new(queue: Queue<T>) -> Sender<T> {
        Sender { queue }
    }

    /// Sends by the queue's policy; under the waiting ones this waits on the calling task, first come first
    /// served. [`Policy::WaitUntil`] needs tokio's timer.
    ///
    /// *When full:* what the policy says. *Cancel safety:* a future dropped before it was ready has sent
    /// nothing; the item is dropped with it and counted as `cancelled`. To keep the item, [`Sender::reserve`]
    /// first.
    ///
    /// # Errors
    /// [`SendError`] with the item and the reason.
    pub async fn send(&self, item: T) -> Result<Sent, SendError<T>> {
        let core = &self.queue.0;
        if !core.policy.waits() {
            return core.send_now(item);
        }
        let unsent = Unsent { core, entry: Some(core.entry(item)) };
        let admitted = core.admit(unsent.weight()).await;
        unsent.settle(admitted)
    }

    /// Sends by the queue's policy from a plain thread; under the waiting ones it waits in the same line.
    /// Not for use inside an async task: it stops the thread.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[cfg(not(loom))]
    pub fn send_blocking(&self, item: T) -> Result<Sent, SendError<T>> {
        let core = &self.queue.0;
        if !core.policy.waits() {
            return core.send_now(item);
        }
        let unsent = Unsent { core, entry: Some(core.entry(item)) };
        let admitted = core.admit_blocking(unsent.weight());
        unsent.settle(admitted)
    }

    /// Sends by the queue's policy, but where that would wait the item is handed back.
    ///
    /// # Errors
    /// As [`Sender::send`]; [`Refused::Full`] or [`Refused::Budget`] when it would have to wait.
    pub fn try_send(&self, item: T) -> Result<Sent, SendError<T>> {
        self.queue.0.send_now(item)
    }

    /// Room for an item of which the weigher will say at most `weight` (and under [`Policy::LatestByKey`]
    /// its key comes on top). Waits where the policy waits; drops the oldest where it says so; the other
    /// policies refuse when there is none.
    ///
    /// *Cancel safety:* dropping the future loses its place in line; room it had not seen goes to the next.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn reserve(&self, weight: Bytes) -> Result<Permit<T>, Refused> {
        let core = &self.queue.0;
        let admitted = core.admit(Core::<T>::ITEM_OVERHEAD + weight).await;
        core.permit(admitted)
    }

    /// [`Sender::reserve`] on a plain thread.
    ///
    /// # Errors
    /// [`Refused`].
    #[cfg(not(loom))]
    pub fn reserve_blocking(&self, weight: Bytes) -> Result<Permit<T>, Refused> {
        let core = &self.queue.0;
        core.permit(core.admit_blocking(Core::<T>::ITEM_OVERHEAD + weight))
    }

    /// [`Sender::reserve`] without waiting.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn try_reserve(&self, weight: Bytes) -> Result<Permit<T>, Refused> {
        let core = &self.queue.0;
        core.permit(core.try_admit(Core::<T>::ITEM_OVERHEAD + weight).map(|(held, _)| held))
    }

    /// The queue itself: to look at, to drain and to stop.
    pub fn queue(&self) -> &Queue<T> {
        &self.queue
    }
}

impl<T> Core<T> {
    fn permit(&self, admitted: Result<Held<T>, Refused>) -> Result<Permit<T>, Refused> {
        admitted.map(Permit).inspect_err(|reason| self.count_refused(reason))
    }
}

impl<T> Permit<T> {
    /// What it holds, overhead included.
    pub fn weight(&self) -> Bytes {
        self.0.room.weight
    }

    /// Puts the item into the queue, at once. What the permit holds is what is charged for it.
    ///
    /// # Errors
    /// [`Refused::HeavierThanPermit`], or the queue was stopped or its last receiver has gone.
    pub fn send(self, item: T) -> Result<Sent, SendError<T>> {
        let core = &self.0.core;
        let entry = core.entry(item);
        if entry.weight > self.weight() {
            let reason = Refused::HeavierThanPermit { item: entry.weight, permit: self.weight() };
            return core.hand_back(entry, reason);
        }
        self.0.fill(entry)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.queue.0.state.lock().senders += 1;
        Sender { queue: self.queue.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.queue.0.change(|state, out| {
            state.senders -= 1;
            if state.senders == 0 {
                state.close(out);
            }
        });
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.queue)
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} of {})", self.weight(), self.0.core.name)
    }
}
