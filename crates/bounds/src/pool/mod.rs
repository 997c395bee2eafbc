//! Byte buffers out of one bounded pool, each held through a lease that ages, is reported when it leaks,
//! and, if it is revocable, is taken back.
//!
//! A pool that trusts its guards is emptied by the first one that is forgotten, kept in a cycle, or held by
//! a task that is stuck: four days later nobody knows which line took it. Here the record of each lease
//! stands in the pool's own slot table, so that a lease that nobody will ever drop still ages and is found
//! with its file and line.
//!
//! ```text
//!              try_acquire / acquire                     drop
//!   free room ─────────────────────▶ leased ───────────────────────▶ idle ──▶ reused, or freed
//!                    ▲  │               │ leak timeout passed and owner gone or silent
//!        line, first │  │ no room      ├─ revocable: revoked ──▶ idle      (later access: `Revoked`)
//!        come, first │  ▼              └─ exclusive: written off           (charged until it dies)
//!        served      waiting
//! ```
//!
//! The danger of taking a buffer back is that the old holder still writes to it while a new one reads. A
//! [`RevocableLease`] therefore never holds its bytes (see the `cell` module); an [`ExclusiveLease`] does, and is
//! therefore never taken back.
//!
//! Words: *asked* is what the caller wanted, *capacity* the real size; *used* is leased, *idle* waits to be
//! used again; both count inside the limit.
//!
//! **When full:** idle buffers are given up, then leaked ones reclaimed, and only then does the caller wait,
//! in one first-come line for threads and tasks. The line is bounded too.
//!
//! **When not to use this:** for buffers under a kilobyte, or for one that lives as long as the program. An
//! allocator is faster; a pool is for memory that must have a limit and a holder with a name.
//!
//! Memory: `limit` bytes of buffers, and for each lease that lived at the same time a slot of at most 208
//! bytes with its gate, at most `leases_max` of them; for each idle buffer an entry of about 80 bytes, at
//! most `leases_max` too; call stacks come on top, some kilobytes each, [`STACKS_PER_SECOND`] a second at
//! level cheap and freed with the lease.

mod buffer;
mod cell;
mod error;
mod lease;
mod ledger;
#[cfg(all(test, not(loom)))]
mod miri_tests;
mod slots;
mod stats;
mod track;

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use plimsoll_core::{Bytes, Clock, Observe, Reading, Site, Tick};

pub use buffer::Buffer;
pub use error::{AcquireError, Exhausted, Revoked, SiteUse, TOP_SITES};
pub use lease::{ExclusiveLease, Lease, ReadAccess, RevocableLease, WriteAccess};
pub use ledger::SiteLeaks;
pub use stats::PoolStats;
pub use track::{LeakOutcome, LeakReason, LeakedLease, LeaseKind, Owner, STACKS_PER_SECOND, Tracking};

use cell::{Cell, Generation};
use ledger::{Grant, Ledger, Outbox, Placed, Request, Returned, nanos};
use track::{Caller, StackRate};

use crate::budget::{Account, ReserveError};
use crate::resident::resident_memory;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
#[cfg(not(loom))]
use crate::wait::{Deadline, block_on_until};
use crate::wait::{Desk, Left, Ticket, Waiting};

/// Whether buffers are used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// Buffers that come back are kept for the next request that fits.
    #[default]
    Pooled,
    /// Each lease allocates and frees: the same interface, limits and numbers, without reuse. To fall back
    /// on when reuse itself is under suspicion.
    Direct,
}

/// The limits of a pool.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// What all buffers together may hold, idle ones included. Default 100 MiB.
    pub limit: Bytes,
    /// What one buffer may hold. Default 10 MiB.
    pub buffer_limit: Bytes,
    /// How many leases may live at once, and how many buffers may lie idle, whatever their size; about 200
    /// bytes for a lease and 80 for an idle buffer. Default 65,536; more than 16,777,216 count as that.
    pub leases_max: usize,
    /// How many may wait in line; about 250 bytes each. Default 1,024.
    pub waiters_max: usize,
    /// How long [`Pool::acquire`] waits. Default 30 s. Zero is a try.
    pub acquire_timeout: Duration,
    /// The age past which a lease without owner, or with one that is gone or silent for as long, is a
    /// leak. Default 300 s.
    pub leak_timeout: Duration,
    /// How long a buffer may lie idle before a scan frees it. Default 60 s.
    pub idle_timeout: Duration,
    /// Whether buffers are used again.
    pub mode: PoolMode,
    /// How much is remembered of each lease.
    pub tracking: Tracking,
}

impl Default for PoolLimits {
    fn default() -> PoolLimits {
        PoolLimits {
            limit: Bytes::mib(100),
            buffer_limit: Bytes::mib(10),
            leases_max: 65_536,
            waiters_max: 1024,
            acquire_timeout: Duration::from_secs(30),
            leak_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(60),
            mode: PoolMode::Pooled,
            tracking: Tracking::Cheap,
        }
    }
}

/// What a caller asks a pool for: a size, and perhaps on whose behalf.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    bytes: Bytes,
    owner: Option<Box<Owner>>,
}

impl LeaseRequest {
    /// A buffer of `bytes`, without an owner: past the leak timeout its age alone makes it a leak.
    pub fn new(bytes: Bytes) -> LeaseRequest {
        LeaseRequest { bytes, owner: None }
    }

    /// On whose behalf; past the leak timeout it is a leak when the owner is gone or it was not touched.
    pub fn owner(self, owner: Owner) -> LeaseRequest {
        LeaseRequest { owner: Some(Box::new(owner)), ..self }
    }
}

impl From<Bytes> for LeaseRequest {
    fn from(bytes: Bytes) -> LeaseRequest {
        LeaseRequest::new(bytes)
    }
}

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct LeakReport {
    /// Leaks found by this scan, and since the last one where a full pool looked for room. Each lease is
    /// reported once.
    pub leaks: Vec<LeakedLease>,
    /// Leaks found since the last scan for which there was no place in the list: 1,024 are kept between two
    /// scans. They are in [`Pool::leak_sites`] like all others.
    pub omitted: u64,
    /// Exclusive leases that leaked, then or earlier, and live still.
    pub unrecoverable: u64,
    /// Their bytes, which stay charged until they die.
    pub unrecoverable_bytes: Bytes,
}

/// A bounded pool of byte buffers. Cloning gives another handle on the same pool.
///
/// All leases keep the pool's books alive, so a pool may be dropped before them.
#[derive(Clone)]
pub struct Pool(Arc<PoolInner>);

struct PoolInner {
    // Guards the books; storage is freed and wakers are run after it was let go.
    ledger: Mutex<Ledger>,
    clock: Arc<dyn Clock>,
    limits: PoolLimits,
    stack_rate: StackRate,
}

mod sealed {
    //! Keeps the kinds of lease to the two that the pool knows how to take back.

    use std::sync::Arc;

    use super::lease::Place;
    use super::{Buffer, LeaseKind, Placed, PoolInner};

    #[allow(unreachable_pub, private_interfaces, reason = "a supertrait that nobody outside can name")]
    pub trait Build: Sized {
        const KIND: LeaseKind;
        fn build(pool: Arc<PoolInner>, placed: Placed, buffer: Buffer) -> Self;
        fn place(&self) -> &Place;
    }
}

impl Pool {
    /// A pool whose buffers are charged to `account`. Allocates nothing until it is asked.
    ///
    /// # Errors
    /// [`ReserveError`] when the account takes no more reservations.
    pub fn new(limits: PoolLimits, account: &Account, clock: Arc<dyn Clock>) -> Result<Pool, ReserveError> {
        let charge = account.try_reserve("buffers", Bytes::ZERO)?;
        let ledger = Mutex::new(Ledger::new(limits.clone(), charge));
        Ok(Pool(Arc::new(PoolInner { ledger, clock, limits, stack_rate: StackRate::default() })))
    }

    /// A buffer now or not at all. Does not pass those who wait.
    ///
    /// # Errors
    /// [`AcquireError`], but for `TimedOut` and `TooManyWaiters`.
    #[track_caller]
    pub fn try_acquire<L: Lease>(&self, request: impl Into<LeaseRequest>) -> Result<L, AcquireError> {
        let inner = &self.0;
        inner.at_once(inner.request::<L>(request.into(), Site::caller()))
    }

    /// A buffer, waiting in line for as long as the caller cares to poll.
    ///
    /// *Cancel safety:* dropping the future loses its place in line; a grant it had not seen goes to the
    /// next.
    ///
    /// # Errors
    /// [`AcquireError`], but for `Exhausted` and `TimedOut`.
    #[track_caller]
    pub fn acquire_in_line<L: Lease>(
        &self,
        request: impl Into<LeaseRequest>,
    ) -> impl Future<Output = Result<L, AcquireError>> + Send + 'static {
        let inner = self.0.clone();
        let request = inner.request::<L>(request.into(), Site::caller());
        async move { inner.in_line(request).await }
    }

    /// A buffer, waiting in line for at most the pool's `acquire_timeout`. Needs tokio's timer.
    ///
    /// *Cancel safety:* as [`Pool::acquire_in_line`].
    ///
    /// # Errors
    /// [`AcquireError`], but for `Exhausted`.
    #[cfg(not(loom))]
    #[track_caller]
    pub fn acquire<L: Lease>(
        &self,
        request: impl Into<LeaseRequest>,
    ) -> impl Future<Output = Result<L, AcquireError>> + Send + 'static {
        self.acquire_within(request, self.0.limits.acquire_timeout)
    }

    /// A buffer, waiting in line for at most `patience`; zero is a try. Needs tokio's timer.
    ///
    /// *Cancel safety:* as [`Pool::acquire_in_line`].
    ///
    /// # Errors
    /// As [`Pool::acquire`].
    #[cfg(not(loom))]
    #[track_caller]
    pub fn acquire_within<L: Lease>(
        &self,
        request: impl Into<LeaseRequest>,
        patience: Duration,
    ) -> impl Future<Output = Result<L, AcquireError>> + Send + 'static {
        let inner = self.0.clone();
        let request = inner.request::<L>(request.into(), Site::caller());
        let asked = request.asked;
        async move {
            if patience.is_zero() {
                return inner.at_once(request);
            }
            match tokio::time::timeout(patience, inner.in_line(request)).await {
                Ok(result) => result,
                Err(_elapsed) => Err(inner.timed_out(asked, patience)),
            }
        }
    }

    /// A buffer on a plain thread, waiting in the same line for at most `patience`. Not for use inside an
    /// async task: it stops the thread.
    ///
    /// # Errors
    /// As [`Pool::acquire`].
    #[cfg(not(loom))]
    #[track_caller]
    pub fn acquire_blocking<L: Lease>(
        &self,
        request: impl Into<LeaseRequest>,
        patience: Duration,
    ) -> Result<L, AcquireError> {
        let inner = &self.0;
        let request = inner.request::<L>(request.into(), Site::caller());
        if patience.is_zero() {
            return inner.at_once(request);
        }
        let asked = request.asked;
        match block_on_until(inner.in_line(request), Deadline::after(patience)) {
            Some(result) => result,
            None => Err(inner.timed_out(asked, patience)),
        }
    }

    /// Looks for leaks: reports each once, takes back those that are revocable, writes off the others, and
    /// frees what has been idle for long. To be called every minute or so; walks the leases that are past
    /// the leak timeout. A grant in the line that nobody came for in that time is taken back too.
    pub fn scan(&self) -> LeakReport {
        self.0.change(|ledger, now, out| ledger.scan(now, out))
    }

    /// Frees all idle buffers; returns their bytes.
    pub fn give_back_idle(&self) -> Bytes {
        self.0.change(|ledger, _now, out| ledger.give_back_idle(out))
    }

    /// The pool's numbers now.
    pub fn stats(&self) -> PoolStats {
        let now = self.0.clock.now();
        let stats = self.0.ledger.lock().stats(now);
        PoolStats { resident: resident_memory(), ..stats }
    }

    /// Leaks by the line that took them, since the pool was made. Past 1,024 lines the rest stands under
    /// `None`.
    pub fn leak_sites(&self) -> Vec<(Option<Site>, SiteLeaks)> {
        self.0.ledger.lock().leak_sites()
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &PoolLimits {
        &self.0.limits
    }
}

impl PoolInner {
    /// Changes the books, then frees and wakes what the change let go, outside the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Ledger, Tick, &mut Outbox) -> T) -> T {
        let mut out = Outbox::default();
        let now = self.clock.now();
        let mut ledger = self.ledger.lock();
        let now = ledger.not_before(now);
        let result = change(&mut ledger, now, &mut out);
        drop(ledger);
        out.empty();
        result
    }

    fn request<L: Lease>(&self, request: LeaseRequest, site: Site) -> Request {
        let allow = || self.stack_rate.allow(self.clock.now());
        let caller = Caller::gather(site, self.limits.tracking, allow);
        Request { asked: request.bytes, kind: L::KIND, owner: request.owner, caller }
    }

    /// A lease now or not at all.
    fn at_once<L: Lease>(self: &Arc<Self>, request: Request) -> Result<L, AcquireError> {
        let placed = self.change(|ledger, now, out| ledger.try_acquire(request, now, out))?;
        self.build(placed)
    }

    /// A lease now or when the line has come to it.
    async fn in_line<L: Lease>(self: &Arc<Self>, request: Request) -> Result<L, AcquireError> {
        let joined = self.change(|ledger, now, out| ledger.acquire_or_join(request, now, out));
        let grant = match joined {
            Ok(grant) => grant,
            Err(ticket) => Waiting::new(&**self, ticket).await,
        };
        self.build(grant?)
    }

    /// Makes the lease out of what was placed, allocating where no idle buffer was found.
    fn build<L: Lease>(self: &Arc<Self>, mut placed: Placed) -> Result<L, AcquireError> {
        let mut storage = placed.storage.take().unwrap_or_default();
        let capacity = placed.capacity.as_usize();
        if storage.capacity() == 0 && storage.try_reserve_exact(capacity).is_err() {
            let asked = placed.asked;
            self.change(|ledger, now, out| ledger.unplace(placed, now, out));
            return Err(AcquireError::OutOfMemory { asked });
        }
        debug_assert!(storage.capacity() == capacity, "the allocator gives what it was asked for");
        let buffer = Buffer::new(storage, placed.asked.as_usize());
        Ok(L::build(self.clone(), placed, buffer))
    }

    fn touch(&self, cell: &Cell) {
        cell.touched.store(nanos(self.clock.now()), Ordering::Relaxed);
    }

    fn release(&self, slot: usize, generation: Generation, returned: Returned) {
        self.change(|ledger, now, out| ledger.release(slot, generation, returned, now, out));
    }

    fn reclaimed(&self, slot: usize, generation: Generation, buffer: Buffer) {
        self.change(|ledger, now, out| ledger.reclaimed(slot, generation, buffer.into_storage(), now, out));
    }

    #[cfg(not(loom))]
    fn timed_out(&self, asked: Bytes, waited: Duration) -> AcquireError {
        let now = self.clock.now();
        self.ledger.lock().refused(asked, waited, now)
    }
}

impl Desk for PoolInner {
    type Grant = Grant;

    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<Grant> {
        self.change(|ledger, now, _out| {
            let polled = ledger.line.poll(ticket, waker);
            if let Poll::Ready(Ok(placed)) = &polled {
                ledger.collected(placed, now);
            }
            polled
        })
    }

    fn leave(&self, ticket: Ticket) {
        let left = self.change(|ledger, now, out| match ledger.line.leave(ticket) {
            Left::Granted(Ok(placed)) => {
                ledger.unplace(placed, now, out);
                None
            }
            // A large request at the head may have held back those behind it.
            Left::Waiting(request) => {
                ledger.serve(now, out);
                Some(request)
            }
            Left::Granted(Err(_)) | Left::Nothing => None,
        });
        // Its owner may be the last handle on somebody else's value: dropped outside the lock.
        drop(left);
    }
}

impl Observe for Pool {
    fn observe(&self, out: &mut Vec<Reading>) {
        let now = self.0.clock.now();
        let stats = self.0.ledger.lock().stats(now);
        stats.readings(out);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.stats())
    }
}
