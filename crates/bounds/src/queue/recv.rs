//! The consumers' end.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
#[cfg(not(loom))]
use std::time::Duration;

use plimsoll_core::{Bytes, Tick};

use super::Queue;
use super::core::{Core, Exit};
use super::error::RecvError;
use super::state::{Entry, Taken};
use crate::wait::Waiting;

/// Takes items out of a queue, each by one receiver. Cloning gives another; when the last is dropped, what
/// waits is dropped and counted, and senders are refused.
pub struct Receiver<T> {
    queue: Queue<T>,
}

/// An item in work. Its bytes count in the queue and on the account until it is dropped.
///
/// A consumer that gathers several before it lets go of the first needs them all to fit into `bytes_max`:
/// otherwise it waits for an item whose producer waits for it.
pub struct Delivered<T> {
    // Fields drop in order: first the item, then its bytes.
    item: T,
    flight: Flight<T>,
}

struct Flight<T> {
    core: Arc<Core<T>>,
    weight: Bytes,
    since: Tick,
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.core.change(|state, out| state.let_go(self.weight, out));
    }
}

impl<T> Receiver<T> {
    pub(super) fn new(queue: Queue<T>) -> Receiver<T> {
        Receiver { queue }
    }

    /// The next item, or nothing when the queue was closed and is empty. Waits on the calling task, first
    /// come first served.
    ///
    /// *Cancel safety:* a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`RecvError::Stopped`], [`RecvError::TooManyWaiters`].
    pub async fn recv(&self) -> Result<Option<Delivered<T>>, RecvError> {
        let core = &self.queue.0;
        let joined = core.change(|state, out| state.take_or_join(out));
        let taken = match joined {
            Ok(taken) => taken,
            Err(ticket) => Waiting::new(&Exit(core), ticket).await,
        };
        self.deliver(taken)
    }

    /// [`Receiver::recv`] on a plain thread, for at most `patience`. Not for use inside an async task: it
    /// stops the thread.
    ///
    /// # Errors
    /// As [`Receiver::recv`], and [`RecvError::TimedOut`].
    #[cfg(not(loom))]
    pub fn recv_blocking(&self, patience: Duration) -> Result<Option<Delivered<T>>, RecvError> {
        use crate::wait::{Deadline, block_on_until};
        block_on_until(self.recv(), Deadline::after(patience))
            .unwrap_or(Err(RecvError::TimedOut { waited: patience }))
    }

    /// The next item now. Does not pass those who wait.
    ///
    /// # Errors
    /// [`RecvError::Empty`] when it would have to wait, [`RecvError::Stopped`].
    pub fn try_recv(&self) -> Result<Option<Delivered<T>>, RecvError> {
        let taken = self.queue.0.change(|state, out| state.take(out));
        self.deliver(taken.unwrap_or(Err(RecvError::Empty)))
    }

    fn deliver(&self, taken: Taken<T>) -> Result<Option<Delivered<T>>, RecvError> {
        Ok(taken?.map(|Entry { item, weight, since, .. }| {
            let core = self.queue.0.clone();
            Delivered { item, flight: Flight { core, weight, since } }
        }))
    }

    /// The queue itself: to look at, to drain and to stop.
    pub fn queue(&self) -> &Queue<T> {
        &self.queue
    }
}

impl<T> Delivered<T> {
    /// What it weighs, overhead included.
    pub fn weight(&self) -> Bytes {
        self.flight.weight
    }

    /// When it was sent, by the queue's clock.
    pub fn sent_at(&self) -> Tick {
        self.flight.since
    }

    /// The item alone. Its bytes are given back now, although it lives on: who keeps it should hold a
    /// reservation for it.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> Deref for Delivered<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T> DerefMut for Delivered<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.item
    }
}

impl<T: fmt::Debug> fmt::Debug for Delivered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivered").field(&self.item).finish()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.queue.0.state.lock().receivers += 1;
        Receiver { queue: self.queue.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.queue.0.change(|state, out| {
            state.receivers -= 1;
            if state.receivers == 0 {
                state.abandon(out);
            }
        });
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", self.queue)
    }
}
