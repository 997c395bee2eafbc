//! What a queue may hold, and what it does when it holds that much.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::Bytes;

/// How long a producer waits for room before it says so, when nothing else was set.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What one waiter costs: its place in a line, its relay and its waker.
pub const WAITER_BYTES: Bytes = Bytes::new(256);

/// What a key costs besides its length: its counted text and its entry in the index.
pub(super) const KEY_BYTES: Bytes = Bytes::new(96);

/// How many lines a queue has: producers at its entrance, producers at the account, consumers.
const LINES: u64 = 3;

/// The limits of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// How many items may wait, permits that were given out included. Default 100. Zero refuses all.
    pub items_max: usize,
    /// What may be held in all: by items that wait, by permits, and by items that were delivered and not
    /// let go yet. Zero refuses all, because every item weighs its overhead.
    pub bytes_max: Bytes,
    /// How many producers may wait for room, how many for the account, and how many consumers for an
    /// item; [`WAITER_BYTES`] each. Default 1,024. Zero lets nobody wait.
    pub waiters_max: usize,
}

impl QueueLimits {
    /// 100 items of together `bytes_max`, and 1,024 waiters of each kind.
    pub const fn of(bytes_max: Bytes) -> QueueLimits {
        QueueLimits { items_max: 100, bytes_max, waiters_max: 1024 }
    }

    /// The limits of one queue that `workers` share, when these are the limits for one worker.
    #[must_use]
    pub fn for_workers(self, workers: usize) -> QueueLimits {
        QueueLimits {
            items_max: self.items_max.saturating_mul(workers),
            bytes_max: self.bytes_max * workers as u64,
            ..self
        }
    }

    /// The most that queues with these limits hold: one shared by `workers`
    /// ([`QueueLimits::for_workers`]), or one for each. Items in the workers' hands and waiters included.
    ///
    /// `workers × bytes_max + 3 lines × waiters_max × 256B`
    pub fn worst_case(&self, workers: usize) -> Bytes {
        self.bytes_max * workers as u64 + WAITER_BYTES * LINES * self.waiters_max as u64
    }
}

/// What a queue does with an item for which it has no room.
///
/// No room is: as many items as may be, as many bytes as may be, or nothing left on the account. An item
/// that could never fit is refused at once under every policy.
pub enum Policy<T> {
    /// The producer waits for as long as it takes. Closing and stopping wake it.
    Wait,
    /// The producer waits for at most this long, in one sum for the queue and for the account, and is then
    /// told how things stand. The usual choice, with [`PATIENCE`].
    WaitUntil(Duration),
    /// The item is handed back with the reason.
    Reject,
    /// The item is dropped and counted. For samples of which the early ones matter.
    DropNewest,
    /// The items that have waited longest are dropped and counted. For news of which the late ones matter.
    DropOldest,
    /// An item takes the place of the waiting one with the same key, which is dropped and counted. An item
    /// with a new key for which there is no room is handed back. For states of which only the last counts.
    LatestByKey(fn(&T) -> Key),
}

impl<T> Policy<T> {
    /// Waits for [`PATIENCE`].
    pub const fn patient() -> Policy<T> {
        Policy::WaitUntil(PATIENCE)
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self, Policy::Wait | Policy::WaitUntil(_))
    }
}

impl<T> Clone for Policy<T> {
    fn clone(&self) -> Policy<T> {
        *self
    }
}

impl<T> Copy for Policy<T> {}

impl<T> fmt::Debug for Policy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Wait => write!(f, "Wait"),
            Policy::WaitUntil(patience) => write!(f, "WaitUntil({patience:?})"),
            Policy::Reject => write!(f, "Reject"),
            Policy::DropNewest => write!(f, "DropNewest"),
            Policy::DropOldest => write!(f, "DropOldest"),
            Policy::LatestByKey(_) => write!(f, "LatestByKey"),
        }
    }
}

/// What makes two items the same thing at different times. Counted into the item's weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    pub(super) fn weight(&self) -> Bytes {
        KEY_BYTES + Bytes::of_len(self.0.len())
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Key {
        Key(key.into())
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Key {
        Key(key.as_bytes().into())
    }
}

impl From<u64> for Key {
    fn from(key: u64) -> Key {
        Key(key.to_be_bytes().as_slice().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shared_queue_and_one_for_each_worker_are_the_same_sum() {
        let each = QueueLimits { items_max: 100, bytes_max: Bytes::mib(8), waiters_max: 10 };
        let shared = each.for_workers(4);
        assert_eq!((shared.items_max, shared.bytes_max), (400, Bytes::mib(32)));
        assert_eq!(each.worst_case(4), shared.worst_case(1));
        assert_eq!(each.worst_case(4), Bytes::mib(32) + Bytes::new(3 * 10 * 256));
    }

    #[test]
    fn limits_beyond_what_a_number_can_say_are_more_than_there_is() {
        let limits = QueueLimits::of(Bytes::MAX);
        assert_eq!(limits.worst_case(usize::MAX), Bytes::MAX);
        assert_eq!(limits.for_workers(usize::MAX).items_max, usize::MAX);
    }
}
