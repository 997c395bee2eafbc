//! What is remembered of each lease, and what it may cost.

use std::any::Any;
use std::backtrace::Backtrace;
use std::fmt;
use std::sync::{Arc, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use plimsoll_core::{Bytes, Site, Tick};

use crate::sync::atomic::{AtomicU64, Ordering};

/// How much is remembered of each lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// Site and times only: what reclaiming needs.
    Off,
    /// Also thread and task, and a call stack for at most [`STACKS_PER_SECOND`] leases a second.
    #[default]
    Cheap,
    /// Also a call stack for every lease: some microseconds and some kilobytes each. For hunting a leak.
    Full,
}

/// At level [`Tracking::Cheap`], how many call stacks are captured in a second, over all sites.
pub const STACKS_PER_SECOND: u32 = 10;

#[cfg(not(loom))]
type TaskId = tokio::task::Id;
#[cfg(loom)]
type TaskId = u64;

/// On whose behalf a buffer is held.
#[derive(Clone)]
pub struct Owner {
    label: &'static str,
    alive: Option<Weak<dyn Any + Send + Sync>>,
}

impl Owner {
    /// An owner with a name only.
    pub fn new(label: &'static str) -> Owner {
        Owner { label, alive: None }
    }

    /// An owner that lives as long as the thing `alive` points to. Once that is gone, a lease held past
    /// the leak timeout is a leak however often it is touched.
    pub fn alive_while<T: Any + Send + Sync>(label: &'static str, alive: &Arc<T>) -> Owner {
        let alive: Weak<dyn Any + Send + Sync> = Arc::downgrade(alive) as _;
        Owner { label, alive: Some(alive) }
    }

    /// The owner's name.
    pub fn label(&self) -> &'static str {
        self.label
    }

    pub(super) fn is_gone(&self) -> bool {
        self.alive.as_ref().is_some_and(|alive| alive.strong_count() == 0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label)
    }
}

/// What kind of lease it is, and so what can be done about a leaked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// The holder owns the bytes. A leaked one can only be written off.
    Exclusive,
    /// The pool owns the bytes. A leaked one is taken back.
    Revocable,
}

/// Why a lease counts as leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakReason {
    /// Held past the leak timeout, and what it was for no longer exists.
    OwnerGone,
    /// Held past the leak timeout without a sign of life for as long.
    Silent,
    /// It has no owner, and was held past the leak timeout.
    Age,
}

/// The record of a live lease. Kept in the pool's slot table, never in the lease: a lease that was
/// forgotten ages and is found all the same.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: LeaseKind,
    // Counted as a leak already; each lease counts once.
    pub(super) leaked: bool,
    pub(super) asked: Bytes,
    pub(super) capacity: Bytes,
    pub(super) taken: Tick,
    pub(super) site: Site,
    pub(super) thread: Option<ThreadId>,
    pub(super) task: Option<TaskId>,
    pub(super) owner: Option<Box<Owner>>,
    pub(super) stack: Option<Arc<Backtrace>>,
}

// What tracking may cost for each slot; the buffer and its gate are not tracking.
const _: () = assert!(size_of::<Record>() <= 128);

impl Record {
    /// Whether the lease is a leak at `now`, and why.
    pub(super) fn leak(&self, touched: Tick, now: Tick, leak_timeout: Duration) -> Option<LeakReason> {
        if now.since(self.taken) < leak_timeout {
            return None;
        }
        match &self.owner {
            None => Some(LeakReason::Age),
            Some(owner) if owner.is_gone() => Some(LeakReason::OwnerGone),
            Some(_) if now.since(touched) >= leak_timeout => Some(LeakReason::Silent),
            Some(_) => None,
        }
    }
}

/// Who is asking, gathered outside the pool's lock.
pub(super) struct Caller {
    pub(super) site: Site,
    pub(super) thread: Option<ThreadId>,
    pub(super) task: Option<TaskId>,
    pub(super) stack: Option<Arc<Backtrace>>,
}

/// Decides whether this lease's stack is captured; the pool keeps one. The second above, below it in eight
/// bits how many were captured in it.
#[derive(Debug, Default)]
pub(super) struct StackRate(AtomicU64);

const _: () = assert!(STACKS_PER_SECOND < 1 << 8);

impl StackRate {
    pub(super) fn allow(&self, now: Tick) -> bool {
        let second = now.since_start().as_secs();
        let counted = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            let captured = if state >> 8 == second { state & 0xff } else { 0 };
            (captured < STACKS_PER_SECOND.into()).then_some((second << 8) | (captured + 1))
        });
        counted.is_ok()
    }
}

impl Caller {
    pub(super) fn gather(site: Site, tracking: Tracking, capture: impl FnOnce() -> bool) -> Caller {
        if tracking == Tracking::Off {
            return Caller { site, thread: None, task: None, stack: None };
        }
        let stack = (tracking == Tracking::Full || capture()).then(|| Arc::new(Backtrace::force_capture()));
        #[cfg(not(loom))]
        let task = tokio::task::try_id();
        #[cfg(loom)]
        let task = None;
        Caller { site, thread: Some(std::thread::current().id()), task, stack }
    }
}

/// One leaked lease, as a report shows it.
#[derive(Clone, Debug)]
pub struct LeakedLease {
    /// The lease's id, unique in its pool.
    pub id: u64,
    /// Exclusive or revocable.
    pub kind: LeaseKind,
    /// Why it counts as leaked.
    pub reason: LeakReason,
    /// What was done about it.
    pub outcome: LeakOutcome,
    /// What was asked for.
    pub asked: Bytes,
    /// What it really takes.
    pub capacity: Bytes,
    /// How long it has been held.
    pub age: Duration,
    /// How long it gave no sign of life.
    pub silent: Duration,
    /// The line that took it.
    pub site: Site,
    /// The thread that took it, unless tracking is off.
    pub thread: Option<ThreadId>,
    /// The tokio task that took it, when there was one; its number as text.
    pub task: Option<String>,
    /// On whose behalf, when that was said.
    pub owner: Option<&'static str>,
    /// The call stack that took it, when it was captured. Resolved when it is printed.
    pub stack: Option<Arc<Backtrace>>,
}

/// What was done about a leaked lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakOutcome {
    /// Its room is the pool's again; every later access is refused.
    Reclaimed,
    /// Revoked, but an access was under way: the room comes back when that ends.
    Pinned,
    /// It is exclusive: its bytes stay charged until it dies.
    Unrecoverable,
}
