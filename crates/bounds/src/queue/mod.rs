//! A queue bounded in items and in bytes at once, between any number of producers and consumers.
//!
//! A queue that counts items only is bounded until somebody sends large ones: a hundred events of 10 MiB
//! are a gigabyte. Here every item is weighed once, when it comes, and what the queue holds is charged to an
//! [`Account`] as well, so that all queues together stay within one budget.
//!
//! ```text
//! Sender ──reserve──▶ Permit ──send──▶ │ waiting … │ ──recv──▶ Delivered ──drop──▶ given back
//!        ◀── room ──                  bounded in items            │
//!                   └───────── bounded in bytes, charged ─────────┘
//! ```
//!
//! *Bytes* count from the permit until the consumer lets go of the item: what is being worked on is in
//! memory too. *Items* count from the permit until the item is received. An item's weight is what the
//! queue's weigher says it holds outside its own slot, plus [`Queue::ITEM_OVERHEAD`].
//!
//! *When full:* the queue's [`Policy`] says. Whatever does not come through is counted by its reason, in
//! the counters of `<name>.items`.
//!
//! *Order:* items come out in the order in which they were put in; producers that wait get room, and
//! consumers that wait get items, in the order in which they came, tasks and threads in one line.
//!
//! *Ends:* `close`, `drain` and `emergency_stop` are three things, told apart at [`Queue::close`],
//! [`Queue::drain`] and [`Queue::emergency_stop`].
//!
//! **When not to use this:** for news to many readers, of which each wants all (that is a hub), or within
//! one task (a `VecDeque` with a check is enough).
//!
//! Memory: at most `bytes_max`, items in work included, and 256 bytes for each waiter
//! ([`QueueLimits::worst_case`]). Items whose producers wait are still their producers'. The deque grows by
//! doubling, which the overhead pays for, and gives slots back when it is a quarter full.

mod core;
mod counts;
mod error;
mod limits;
mod plan;
mod recv;
mod send;
mod state;
mod stop;

use std::fmt;
use std::sync::{Arc, Weak};

use plimsoll_core::{Bytes, Clock, Observe};

use self::core::Core;
use self::state::State;
use crate::budget::{Account, ReserveError};
use crate::sync::Mutex;

pub use error::{RecvError, Refused, SendError, Shortage};
pub use limits::{Key, PATIENCE, Policy, QueueLimits, WAITER_BYTES};
pub use plan::{FormulaError, fits};
pub use recv::{Delivered, Receiver};
pub use send::{Permit, Sender, Sent};
pub use stop::{DrainReport, StopReport};

/// A queue as its supervisor sees it: to look at, to close, to drain and to stop. Cloning gives another
/// handle; none of them keeps the queue open.
pub struct Queue<T>(Arc<Core<T>>);

impl<T> Queue<T> {
    /// What each item is charged besides its weight: two slots of the deque.
    pub const ITEM_OVERHEAD: Bytes = Core::<T>::ITEM_OVERHEAD;

    /// A queue and its two ends. `weigh` says what an item holds outside its own slot: for a `Vec<u8>` its
    /// capacity. It is asked once for each item, before the item is taken in, and never under a lock.
    ///
    /// # Errors
    /// [`ReserveError`] when the account takes no more reservations.
    #[track_caller]
    pub fn bounded(
        name: &'static str,
        limits: QueueLimits,
        policy: Policy<T>,
        weigh: impl Fn(&T) -> Bytes + Send + Sync + 'static,
        account: &Account,
        clock: Arc<dyn Clock>,
    ) -> Result<(Sender<T>, Receiver<T>), ReserveError> {
        let charge = account.try_reserve(name, Bytes::ZERO)?;
        let state = Mutex::new(State::new(name, limits, charge));
        let weigh = Box::new(weigh);
        let queue =
            Queue(Arc::new(Core { name, limits, policy, weigh, account: account.clone(), clock, state }));
        Ok((Sender::new(queue.clone()), Receiver::new(queue)))
    }

    /// The limits it was made with.
    pub fn limits(&self) -> QueueLimits {
        self.0.limits
    }

    /// How many items wait now, permits included.
    pub fn items(&self) -> usize {
        self.0.state.lock().fill().items
    }

    /// What is held now: by items that wait, by permits and by items in work.
    pub fn bytes(&self) -> Bytes {
        self.0.state.lock().fill().bytes
    }

    /// What a registry looks at: `<name>.items`, `<name>.bytes` and `<name>.waiters`.
    pub fn observer(&self) -> Weak<dyn Observe>
    where
        T: Send + 'static,
    {
        let core: Weak<Core<T>> = Arc::downgrade(&self.0);
        core
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue(self.0.clone())
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fill = self.0.state.lock().fill();
        let QueueLimits { items_max, bytes_max, .. } = self.0.limits;
        let (name, policy) = (self.0.name, &self.0.policy);
        write!(f, "{name}: {} of {items_max} items, {} of {bytes_max}, {policy:?}", fill.items, fill.bytes)
    }
}
