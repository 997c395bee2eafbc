//! The deque, the counters and the lines of those who wait, as plain data: no lock, no clock, and nobody's
//! code is run. What is to be woken or dropped goes into an [`Outbox`] that is emptied outside the lock.
//!
//! An item's bytes go through three states, and their sum is what the queue holds:
//!
//! ```text
//! promised ──fill──▶ waiting ──pop──▶ flying ──let go──▶ (given back)
//!     └──────────────────┴── given up, dropped ───────▶ (given back)
//! ```
//!
//! Invariants, checked in debug builds after each change:
//! - items waiting and promised are at most `items_max`, all bytes at most `bytes_max`;
//! - the reservation on the account is all bytes, but for those whose producer waits at the account;
//! - nobody waits for room while the first in line would find some, and no consumer waits while an item
//!   is there that nobody was called for.
//!
//! A waiting consumer is not handed an item but *called*: the item stays in the deque until the consumer
//! comes, so that a stop or a drop of the oldest reaches it. A call can therefore turn out to be void; the
//! consumer is then put back where it stood.

mod entrance;
mod exit;
mod lines;

use std::collections::{HashMap, VecDeque};

use plimsoll_core::{Bytes, Tick};

use super::counts::{Counts, Fill};
use super::error::{RecvError, Refused};
use super::limits::{Key, QueueLimits};
use crate::budget::Reservation;
use crate::wait::{Line, Wakes};

/// How many may wait for the end of a drain.
const DRAINERS_MAX: usize = 16;

/// A deque that is mostly empty gives slots back when it has more than this many.
const SLOTS_KEPT: usize = 64;

#[derive(Debug)]
pub(in crate::queue) struct Entry<T> {
    pub(in crate::queue) item: T,
    pub(in crate::queue) key: Option<Key>,
    pub(in crate::queue) weight: Bytes,
    pub(in crate::queue) since: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// No more is taken in; what waits and what was promised may still come through.
    Closed,
    /// Closed, and nobody is left to receive.
    Abandoned,
    Stopped,
}

/// Room for one item, promised to a producer.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Room {
    pub(in crate::queue) weight: Bytes,
    /// Whether it is on the account; if not, the producer waits there, or is about to.
    pub(in crate::queue) charged: bool,
}

/// How a waiting consumer is called.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) enum Call {
    /// An item is kept for it.
    Item,
    /// Nothing will come any more.
    End,
}

/// What a consumer gets: an item, the end of a closed queue, or why neither.
pub(in crate::queue) type Taken<T> = Result<Option<Entry<T>>, RecvError>;

/// What is left to do after the lock was let go.
pub(in crate::queue) struct Outbox<T> {
    pub(in crate::queue) wakes: Wakes,
    dropped: Vec<Entry<T>>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { wakes: Wakes::default(), dropped: Vec::new() }
    }
}

impl<T> Outbox<T> {
    /// Wakes first: a destructor that panics must not leave anybody asleep.
    pub(in crate::queue) fn empty(self) {
        self.wakes.wake();
        drop(self.dropped);
    }
}

pub(in crate::queue) struct State<T> {
    name: &'static str,
    limits: QueueLimits,
    mode: Mode,
    // Entries leave in `pop`, in `drop_oldest` and in `drop_all`.
    entries: VecDeque<Entry<T>>,
    // Which number the first entry has. The others follow on.
    first: u64,
    // Where each key waits. An entry's key leaves with it.
    index: HashMap<Key, u64>,
    waiting_bytes: Bytes,
    promised: usize,
    promised_bytes: Bytes,
    flying: usize,
    flying_bytes: Bytes,
    // The part of the promised bytes that is not on the account yet.
    uncharged: Bytes,
    charge: Reservation,
    // Consumers that were called for an item and have not come yet.
    called: usize,
    pub(in crate::queue) senders: usize,
    pub(in crate::queue) receivers: usize,
    entrance: Line<Bytes, Result<Room, Refused>>,
    // Producers that wait at the account; called when the queue ends, so that they need not.
    at_account: Line<(), ()>,
    exit: Line<(), Call>,
    drainers: Line<(), ()>,
    pub(in crate::queue) counts: Counts,
}

impl<T> State<T> {
    pub(in crate::queue) fn new(name: &'static str, limits: QueueLimits, charge: Reservation) -> State<T> {
        State {
            name,
            limits,
            mode: Mode::Open,
            entries: VecDeque::new(),
            first: 0,
            index: HashMap::new(),
            waiting_bytes: Bytes::ZERO,
            promised: 0,
            promised_bytes: Bytes::ZERO,
            flying: 0,
            flying_bytes: Bytes::ZERO,
            uncharged: Bytes::ZERO,
            charge,
            called: 0,
            senders: 1,
            receivers: 1,
            entrance: Line::new(limits.waiters_max),
            at_account: Line::new(limits.waiters_max),
            exit: Line::new(limits.waiters_max),
            drainers: Line::new(DRAINERS_MAX),
            counts: Counts::default(),
        }
    }

    fn items(&self) -> usize {
        self.entries.len() + self.promised
    }

    fn bytes(&self) -> Bytes {
        self.waiting_bytes + self.promised_bytes + self.flying_bytes
    }

    pub(in crate::queue) fn fill(&self) -> Fill {
        let waiters = self.entrance.waiting_len() + self.at_account.waiting_len() + self.exit.waiting_len();
        Fill { items: self.items(), bytes: self.bytes(), waiters }
    }

    fn left(&self) -> Bytes {
        self.limits.bytes_max.saturating_sub(self.bytes())
    }

    /// The invariants at the head of this file, but for those that need a walk over a long deque.
    pub(super) fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let QueueLimits { items_max, bytes_max, .. } = self.limits;
        assert!(self.items() <= items_max, "{} of {items_max} items", self.items());
        assert!(self.bytes() <= bytes_max, "{} of {bytes_max}", self.bytes());
        assert_eq!(self.charge.bytes() + self.uncharged, self.bytes(), "what is held is charged");
        if self.entries.len() <= SLOTS_KEPT {
            let sum: Bytes = self.entries.iter().map(|entry| entry.weight).sum();
            assert_eq!(sum, self.waiting_bytes, "waiting bytes add up");
        }
    }
}
