//! The three ways in which a queue ends, because they promise different things.
//!
//! | verb | new items | what waits | who waits |
//! | --- | --- | --- | --- |
//! | close | refused | is still received | producers are refused, consumers get the rest, then the end |
//! | drain | refused | is still received, and the caller waits until it was let go | as close |
//! | emergency stop | refused | is dropped, counted, its bytes given back | all are woken with `Stopped` |

use std::fmt;
#[cfg(not(loom))]
use std::time::Duration;

use plimsoll_core::Bytes;

use super::Queue;
use super::core::Drained;
use crate::wait::Waiting;

/// What was left when a drain ended. All zero when it is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Items that wait still.
    pub waiting_items: usize,
    /// Their bytes.
    pub waiting_bytes: Bytes,
    /// Permits that were neither used nor dropped.
    pub permits: usize,
    /// Items that were delivered and not let go.
    pub in_flight_items: usize,
    /// Their bytes.
    pub in_flight_bytes: Bytes,
}

impl DrainReport {
    /// Whether nothing was left.
    pub fn is_complete(&self) -> bool {
        *self == DrainReport::default()
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return write!(f, "drained");
        }
        let DrainReport { waiting_items, waiting_bytes, permits, in_flight_items, in_flight_bytes } = self;
        write!(
            f,
            "not drained: {waiting_items} items ({waiting_bytes}) wait, {in_flight_items} ({in_flight_bytes}) \
             are in work, {permits} permits are out"
        )
    }
}

/// What an emergency stop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Whether this call stopped the queue; a later one finds nothing to do.
    pub first_time: bool,
    /// Items that waited and were dropped.
    pub dropped_items: usize,
    /// Their bytes, which are free again.
    pub dropped_bytes: Bytes,
    /// Producers that were waiting.
    pub producers_woken: usize,
    /// Consumers that were waiting.
    pub consumers_woken: usize,
    /// Permits that are still out; what is sent with them is refused.
    pub permits: usize,
    /// Items that consumers hold still.
    pub in_flight_items: usize,
    /// Their bytes, which stay charged until they are let go.
    pub in_flight_bytes: Bytes,
}

impl<T> Queue<T> {
    /// Refuses new items from now on. Waiting producers are refused; permits that were given out may still
    /// be used; consumers get what waits and then the end. Also done when the last sender is dropped.
    pub fn close(&self) {
        self.0.change(|state, out| state.close(out));
    }

    /// Closes, and waits until every item was received and let go, for as long as the caller cares to poll.
    ///
    /// *Cancel safety:* the queue stays closed. *Bound:* at most 16 can wait for this; the next is told at
    /// once how things stand.
    pub async fn drained(&self) -> DrainReport {
        let core = &self.0;
        let joined = core.change(|state, out| state.drain_or_join(out));
        if let Some(ticket) = joined {
            Waiting::new(&Drained(core), ticket).await;
        }
        self.drain_report()
    }

    /// Closes, waits for at most `patience` until every item was received and let go, and says what is
    /// left; nothing of it is touched. Needs tokio's timer.
    ///
    /// *Cancel safety:* the queue stays closed.
    #[cfg(not(loom))]
    pub async fn drain(&self, patience: Duration) -> DrainReport {
        match tokio::time::timeout(patience, self.drained()).await {
            Ok(report) => report,
            Err(_elapsed) => self.drain_report(),
        }
    }

    /// [`Queue::drain`] on a plain thread. Not for use inside an async task: it stops the thread.
    #[cfg(not(loom))]
    pub fn drain_blocking(&self, patience: Duration) -> DrainReport {
        use crate::wait::{Deadline, block_on_until};
        block_on_until(self.drained(), Deadline::after(patience)).unwrap_or_else(|| self.drain_report())
    }

    fn drain_report(&self) -> DrainReport {
        self.0.state.lock().drain_report()
    }

    /// Drops what waits, counts it, gives its bytes back and wakes everybody with `Stopped`. There is no
    /// way back. What consumers hold stays theirs, and charged, until they let it go.
    pub fn emergency_stop(&self) -> StopReport {
        self.0.change(|state, out| state.stop(out))
    }
}
