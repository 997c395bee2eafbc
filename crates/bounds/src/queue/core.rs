//! The shared middle of a queue: the lock around the state, and the desks at which producers and consumers
//! wait.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
#[cfg(not(loom))]
use std::time::Duration;

use futures_util::future::{Either, select};
use plimsoll_core::{Bytes, Clock, Observe, Reading};

use super::error::Refused;
use super::limits::{Key, Policy, QueueLimits};
use super::state::{Entry, Outbox, Room, State, Taken};
use crate::budget::Account;
#[cfg(not(loom))]
use crate::budget::ReserveError;
use crate::sync::Mutex;
use crate::wait::{Desk, Ticket, Waiting};

pub(super) type Weigh<T> = Box<dyn Fn(&T) -> Bytes + Send + Sync>;

pub(super) struct Core<T> {
    pub(super) name: &'static str,
    pub(super) limits: QueueLimits,
    pub(super) policy: Policy<T>,
    pub(super) weigh: Weigh<T>,
    pub(super) account: Account,
    pub(super) clock: Arc<dyn Clock>,
    // Guards the deque and all numbers. Wakers, weighers and destructors run outside it; the budget's own
    // lock is taken under it, never the other way round.
    pub(super) state: Mutex<State<T>>,
}

impl<T> Core<T> {
    /// What an item costs besides what its weigher says: its slot twice, because a deque grows by doubling.
    pub(super) const ITEM_OVERHEAD: Bytes = Bytes::of_len(2 * size_of::<Entry<T>>());

    /// Changes the state, then wakes and drops what the change let go, outside the lock.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State<T>, &mut Outbox<T>) -> R) -> R {
        let mut out = Outbox::default();
        let result = change(&mut self.state.lock(), &mut out);
        out.empty();
        result
    }

    /// Weighs an item, once. Runs the caller's code, so never under the lock.
    pub(super) fn entry(&self, item: T) -> Entry<T> {
        let key: Option<Key> = match self.policy {
            Policy::LatestByKey(key_of) => Some(key_of(&item)),
            _ => None,
        };
        let weight =
            Self::ITEM_OVERHEAD + (self.weigh)(&item) + key.as_ref().map_or(Bytes::ZERO, Key::weight);
        Entry { item, key, weight, since: self.clock.now() }
    }

    /// Room by the policy, but without waiting; says how many items were dropped for it.
    pub(super) fn try_admit(self: &Arc<Self>, weight: Bytes) -> Result<(Held<T>, usize), Refused> {
        let now = self.clock.now();
        let (room, dropped) = self.change(|state, out| match self.policy {
            Policy::DropOldest => state.promise_by_dropping(weight, now, out),
            _ => state.try_promise(weight, now).map(|room| (room, 0)),
        })?;
        Ok((self.held(room), dropped))
    }

    /// Room for which the producer waits as long as it cares to poll: at the entrance, then at the account.
    ///
    /// In this order, because who holds a place in the queue and waits for memory delays this queue only;
    /// who held memory and waited for a place would delay everybody on the account.
    pub(super) async fn acquire(self: &Arc<Self>, weight: Bytes) -> Result<Held<T>, Refused> {
        let joined = self.change(|state, _| state.promise_or_join(weight));
        let room = match joined {
            Ok(room) => room?,
            Err(ticket) => Waiting::new(&Entrance(self), ticket).await?,
        };
        let mut held = self.held(room);
        if !room.charged {
            self.charge(&mut held).await?;
        }
        Ok(held)
    }

    async fn charge(&self, held: &mut Held<T>) -> Result<(), Refused> {
        let weight = held.room.weight;
        // The line at the account knows nothing of this queue, so its end has to call those who stand there.
        let ticket = self.change(|state, _| state.join_at_account(weight))?;
        let at_account = AtAccount(self);
        let ended = pin!(Waiting::new(&at_account, ticket));
        let granted = pin!(self.account.reserve(self.name, weight));
        match select(granted, ended).await {
            Either::Left((grant, _)) => {
                let mut grant = grant.map_err(|error| Refused::Budget(Box::new(error)))?;
                self.change(|state, _| state.charged(&mut held.room, &mut grant));
                Ok(())
            }
            Either::Right(((), _)) => Err(self.state.lock().end_reason(weight)),
        }
    }

    /// Patience is at its end: room if there happens to be some, or how things stand.
    #[cfg(not(loom))]
    pub(super) fn last_look(self: &Arc<Self>, weight: Bytes, waited: Duration) -> Result<Held<T>, Refused> {
        let now = self.clock.now();
        match self.change(|state, _| state.try_promise(weight, now)) {
            Ok(room) => Ok(self.held(room)),
            Err(Refused::Full(shortage)) => Err(Refused::TimedOut { waited, shortage }),
            Err(Refused::Budget(error)) => Err(Refused::Budget(Box::new(match *error {
                ReserveError::Full(shortage) => ReserveError::TimedOut { waited, shortage },
                other => other,
            }))),
            Err(refused) => Err(refused),
        }
    }

    /// Room by the policy, waited for on the caller's task.
    pub(super) async fn admit(self: &Arc<Self>, weight: Bytes) -> Result<Held<T>, Refused> {
        match self.policy {
            Policy::Wait => self.acquire(weight).await,
            #[cfg(not(loom))]
            Policy::WaitUntil(patience) => match tokio::time::timeout(patience, self.acquire(weight)).await {
                Ok(admitted) => admitted,
                Err(_elapsed) => self.last_look(weight, patience),
            },
            // There is no time in a model.
            #[cfg(loom)]
            Policy::WaitUntil(_) => self.acquire(weight).await,
            _ => self.try_admit(weight).map(|(held, _)| held),
        }
    }

    /// Room by the policy, waited for on the caller's thread.
    #[cfg(not(loom))]
    pub(super) fn admit_blocking(self: &Arc<Self>, weight: Bytes) -> Result<Held<T>, Refused> {
        use crate::wait::{Deadline, block_on_until};
        let patience = match self.policy {
            Policy::Wait => Duration::MAX,
            Policy::WaitUntil(patience) => patience,
            _ => return self.try_admit(weight).map(|(held, _)| held),
        };
        match block_on_until(self.acquire(weight), Deadline::after(patience)) {
            Some(admitted) => admitted,
            None => self.last_look(weight, patience),
        }
    }

    fn held(self: &Arc<Self>, room: Room) -> Held<T> {
        Held { core: self.clone(), room, filled: false }
    }

    pub(super) fn count_refused(&self, reason: &Refused) {
        self.state.lock().counts.refused(reason);
    }
}

impl<T: Send> Observe for Core<T> {
    fn observe(&self, out: &mut Vec<Reading>) {
        let state = self.state.lock();
        let (counts, fill) = (state.counts.clone(), state.fill());
        drop(state);
        counts.readings(self.name, &self.limits, fill, out);
    }
}

/// Room that goes back when it is dropped unfilled.
pub(super) struct Held<T> {
    pub(super) core: Arc<Core<T>>,
    pub(super) room: Room,
    pub(super) filled: bool,
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if !self.filled {
            self.core.change(|state, out| state.give_back(self.room, out));
        }
    }
}

/// Where producers wait for room.
pub(super) struct Entrance<'core, T>(pub(super) &'core Core<T>);

impl<T> Desk for Entrance<'_, T> {
    type Grant = Result<Room, Refused>;

    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<Self::Grant> {
        self.0.state.lock().poll_entrance(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        self.0.change(|state, out| state.leave_entrance(ticket, out));
    }
}

/// Where producers that have a place and wait for the account are told of the end.
pub(super) struct AtAccount<'core, T>(pub(super) &'core Core<T>);

impl<T> Desk for AtAccount<'_, T> {
    type Grant = ();

    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<()> {
        self.0.state.lock().poll_at_account(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        self.0.state.lock().leave_at_account(ticket);
    }
}

/// Where consumers wait for items.
pub(super) struct Exit<'core, T>(pub(super) &'core Core<T>);

impl<T> Desk for Exit<'_, T> {
    type Grant = Taken<T>;

    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<Taken<T>> {
        self.0.change(|state, out| state.poll_exit(ticket, waker, out))
    }

    fn leave(&self, ticket: Ticket) {
        self.0.change(|state, out| state.leave_exit(ticket, out));
    }
}

/// Where those wait who drain the queue.
pub(super) struct Drained<'core, T>(pub(super) &'core Core<T>);

impl<T> Desk for Drained<'_, T> {
    type Grant = ();

    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<()> {
        self.0.state.lock().poll_drainers(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        self.0.state.lock().leave_drainers(ticket);
    }
}
