//! The pool's books: slots, idle storage, the line, the counts. Pure but for the gates it closes.
//!
//! Invariants:
//! - `used + idle <= limit`, and the reservation on the budget is exactly `used + idle`;
//! - `acquired = reused + allocated = released + reclaimed + active`;
//! - while anybody waits in the line, nobody is served past it.
//!
//! Storage is never freed and nobody is woken under the pool's lock: both go into an [`Outbox`] that the
//! caller empties afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Bytes, Site, Tick};

use super::cell::{Cell, Closed, Generation};
use super::error::{AcquireError, Exhausted, TOP_SITES};
use super::slots::{Slots, State};
use super::stats::PoolStats;
use super::track::{Caller, LeakOutcome, LeakReason, LeakedLease, LeaseKind, Owner, Record};
use super::{LeakReport, PoolLimits, PoolMode};
use crate::budget::{Reservation, ReserveError};
use crate::sync::atomic::Ordering;
use crate::wait::{Line, Ticket, Wakes};

/// A reused buffer may be this much larger than what was asked for, as a fraction: 3/2.
const FIT_MAX: (usize, usize) = (3, 2);

/// No smaller buffer is allocated where buffers are reused, so this one fits whatever is smaller.
const SMALLEST: usize = 64;

/// How many sites are remembered as leaking, each about 64 bytes; further ones are counted together.
const LEAK_SITES_MAX: usize = 1024;

/// How often at most a full pool looks for leaks on behalf of somebody who finds no room, when a look has to
/// pass many leases.
const RECLAIM_INTERVAL: Duration = Duration::from_millis(100);

/// A look that passed no more leases than this may be had again at once. Only those past the leak timeout
/// are passed.
const RECLAIM_FREE: usize = 64;

/// How many leaks that were found on behalf of somebody without room wait for the next scan's report, each
/// about 200 bytes; further ones are only counted.
const UNREPORTED_MAX: usize = 1024;

/// What has to happen after the pool's lock was let go.
#[derive(Default)]
#[must_use = "the waiters sleep and the memory stays until it is emptied"]
pub(super) struct Outbox {
    pub(super) wakes: Wakes,
    freed: Vec<Vec<u8>>,
    // With a buffer that nobody can reach any more.
    given_up: Vec<Arc<Cell>>,
}

impl Outbox {
    /// Frees the storage, then wakes whom it serves.
    pub(super) fn empty(self) {
        drop((self.freed, self.given_up));
        self.wakes.wake();
    }
}

/// What somebody in the line wants.
pub(super) struct Request {
    pub(super) asked: Bytes,
    pub(super) kind: LeaseKind,
    pub(super) owner: Option<Box<Owner>>,
    pub(super) caller: Caller,
}

/// A slot with room charged to it, and perhaps storage to use again. Not yet a lease: the storage is
/// allocated outside the lock.
pub(super) struct Placed {
    pub(super) slot: usize,
    pub(super) generation: Generation,
    pub(super) cell: Arc<Cell>,
    pub(super) storage: Option<Vec<u8>>,
    pub(super) asked: Bytes,
    pub(super) capacity: Bytes,
    pub(super) site: Site,
}

pub(super) type Grant = Result<Placed, AcquireError>;

/// What a lease brings back when it is dropped.
pub(super) enum Returned {
    Storage(Vec<u8>),
    /// Nothing: the pool had revoked it before.
    Revoked,
    /// Nothing: an access to it was forgotten and has the buffer for ever.
    Forgotten,
}

struct Idle {
    storage: Vec<u8>,
    since: Tick,
}

/// Leaks of one line of source, since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteLeaks {
    /// How many leases.
    pub leases: u64,
    /// Their real size.
    pub bytes: Bytes,
}

pub(super) struct Ledger {
    limits: PoolLimits,
    slots: Slots,
    // By capacity, then by age; at most `leases_max`. Entries leave by reuse, for room, and in `trim`.
    idle: BTreeMap<(usize, u64), Idle>,
    idle_bytes: Bytes,
    idle_sequence: u64,
    charge: Reservation,
    pub(super) line: Line<Request, Grant>,
    // At most LEAK_SITES_MAX entries, never removed; the rest is in `leaks_elsewhere`.
    leak_sites: BTreeMap<Site, SiteLeaks>,
    leaks_elsewhere: SiteLeaks,
    // The last moment at which anything was booked.
    latest: Tick,
    // When a full pool last looked for leaks and had to pass many leases.
    reclaimed_at: Option<Tick>,
    // What it found, for the next scan to report; at most UNREPORTED_MAX.
    unreported: Vec<LeakedLease>,
    unreported_more: u64,
    counts: PoolStats,
}

impl Ledger {
    pub(super) fn new(limits: PoolLimits, charge: Reservation) -> Ledger {
        let counts =
            PoolStats { limit: limits.limit, waiters_max: limits.waiters_max as u64, ..PoolStats::default() };
        Ledger {
            slots: Slots::new(limits.leases_max),
            idle: BTreeMap::new(),
            idle_bytes: Bytes::ZERO,
            idle_sequence: 0,
            charge,
            line: Line::new(limits.waiters_max),
            leak_sites: BTreeMap::new(),
            leaks_elsewhere: SiteLeaks::default(),
            latest: Tick::START,
            reclaimed_at: None,
            unreported: Vec::new(),
            unreported_more: 0,
            counts,
            limits,
        }
    }

    /// `now`, or the last moment that was booked if that is later: who read the clock first may come to the
    /// books second, and they are kept in order of time.
    pub(super) fn not_before(&mut self, now: Tick) -> Tick {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// A lease now, if there is room and nobody waits for it already.
    pub(super) fn try_acquire(&mut self, request: Request, now: Tick, out: &mut Outbox) -> Grant {
        let asked = request.asked;
        match self.attempt(request, now, out)? {
            Ok(placed) => Ok(placed),
            Err(_request) => Err(self.refused(asked, Duration::ZERO, now)),
        }
    }

    /// A lease now, or a place in the line.
    pub(super) fn acquire_or_join(
        &mut self,
        request: Request,
        now: Tick,
        out: &mut Outbox,
    ) -> Result<Grant, Ticket> {
        let request = match self.attempt(request, now, out) {
            Err(error) => return Ok(Err(error)),
            Ok(Ok(placed)) => return Ok(Ok(placed)),
            Ok(Err(request)) => request,
        };
        match self.line.join(request) {
            Ok(ticket) => {
                let waiting = self.line.waiting_len() as u64;
                self.counts.waiters_peak = self.counts.waiters_peak.max(waiting);
                Err(ticket)
            }
            Err(_request) => {
                self.counts.rejected += 1;
                Ok(Err(AcquireError::TooManyWaiters { waiters_max: self.limits.waiters_max }))
            }
        }
    }

    /// The request back when it would have to wait.
    fn attempt(
        &mut self,
        request: Request,
        now: Tick,
        out: &mut Outbox,
    ) -> Result<Result<Placed, Request>, AcquireError> {
        let allowed = self.limits.buffer_limit.min(self.limits.limit);
        if request.asked > allowed {
            self.counts.rejected += 1;
            return Err(AcquireError::TooLarge { asked: request.asked, allowed });
        }
        if self.line.waiting_len() > 0 {
            // A leak may be what everybody waits for.
            if self.reclaim_for_waiters(now, out) {
                self.serve(now, out);
            }
            if self.line.waiting_len() > 0 {
                return Ok(Err(request));
            }
        }
        let mut room = self.find_room(request.asked, &mut None, out)?;
        if room.is_none() && self.reclaim_for_waiters(now, out) {
            room = self.find_room(request.asked, &mut None, out)?;
        }
        Ok(match room {
            Some(room) => Ok(self.place(room, request, now)),
            None => Err(request),
        })
    }

    /// Serves the line from its head for as long as there is room.
    pub(super) fn serve(&mut self, now: Tick, out: &mut Outbox) {
        let mut short = None;
        loop {
            let head = self.line.first();
            let Some((ticket, asked, site)) = head.map(|(t, r)| (t, r.asked, r.caller.site)) else { return };
            let grant = match self.find_room(asked, &mut short, out) {
                // Strictly first come: a small request behind a large one waits with it.
                Ok(None) => return,
                Ok(Some(room)) => Ok(self.placed(room, asked, site, now)),
                Err(error) => Err(error),
            };
            let at = grant.as_ref().ok().map(|placed| (placed.slot, placed.capacity));
            let request = self.line.grant(ticket, grant, &mut out.wakes);
            if let (Some((slot, capacity)), Some(request)) = (at, request) {
                self.slots.occupy(slot, State::Granted(record(request, capacity, now), ticket));
            }
        }
    }

    /// Somebody has come for what was handed to it in the line: it is a lease from now on.
    pub(super) fn collected(&mut self, placed: &Placed, now: Tick) {
        placed.cell.touched.store(nanos(now), Ordering::Relaxed);
        self.slots.collected(placed.slot, now);
    }

    /// Takes back what was placed for somebody who left, or for whom the allocator had nothing.
    pub(super) fn unplace(&mut self, placed: Placed, now: Tick, out: &mut Outbox) {
        let Some(record) = self.slots.vacate(placed.slot) else {
            debug_assert!(false, "a slot is freed once");
            return;
        };
        if record.leaked {
            // So slow between the two steps that a scan came upon it; it stands in the books as a lease.
            self.counts.returned_late += 1;
            self.counts.released += 1;
            self.no_longer_unrecoverable(&record);
        } else {
            self.counts.acquired -= 1;
            if placed.storage.is_some() {
                self.counts.reused -= 1;
            } else {
                self.counts.allocated -= 1;
            }
        }
        self.counts.active -= 1;
        self.store(placed.storage, placed.capacity, now, out);
        self.serve(now, out);
    }

    /// A lease is dropped.
    pub(super) fn release(
        &mut self,
        slot: usize,
        generation: Generation,
        returned: Returned,
        now: Tick,
        out: &mut Outbox,
    ) {
        let storage = match returned {
            Returned::Storage(storage) => storage,
            Returned::Revoked => {
                // Counted as a leak when it was revoked.
                self.counts.returned_late += 1;
                return;
            }
            Returned::Forgotten => return self.pin(slot),
        };
        let entry = self.slots.get(slot);
        debug_assert_eq!(entry.generation, generation, "a slot whose lease has storage is not used again");
        let touched = touched(&entry.cell);
        let Some(record) = self.slots.vacate(slot) else {
            debug_assert!(false, "a slot is freed once");
            return;
        };
        let outlived_owner = record.owner.as_ref().is_some_and(|owner| owner.is_gone());
        let late = outlived_owner || record.leak(touched, now, self.limits.leak_timeout).is_some();
        if record.leaked || late {
            self.counts.returned_late += 1;
            if !record.leaked {
                self.count_leak(record.site, record.capacity);
            }
            self.no_longer_unrecoverable(&record);
        }
        self.counts.released += 1;
        self.counts.active -= 1;
        self.store(Some(storage), record.capacity, now, out);
        self.serve(now, out);
    }

    /// The last access to a revoked lease has ended and brings its buffer.
    pub(super) fn reclaimed(
        &mut self,
        slot: usize,
        generation: Generation,
        storage: Vec<u8>,
        now: Tick,
        out: &mut Outbox,
    ) {
        let entry = self.slots.get(slot);
        debug_assert_eq!(entry.generation, generation, "a slot with a buffer inside is not used again");
        debug_assert!(matches!(entry.state, State::Closing(_)), "only a closing slot has its buffer brought");
        self.take_back(slot, Some(storage), now, out);
        self.serve(now, out);
    }

    /// Empties the slot of a revoked lease.
    fn take_back(&mut self, slot: usize, storage: Option<Vec<u8>>, now: Tick, out: &mut Outbox) {
        if let Some(record) = self.slots.vacate(slot) {
            self.counts.reclaimed += 1;
            self.counts.active -= 1;
            self.store(storage, record.capacity, now, out);
        }
    }

    /// A lease was dropped, but an access to it was forgotten, and its gate has the buffer: a leak. The next
    /// look for leaks that comes past it finds that nobody has the gate any more, and gives both up.
    fn pin(&mut self, slot: usize) {
        self.slots.closing(slot);
        if let State::Closing(record) = &mut self.slots.get_mut(slot).state {
            record.leaked = true;
            let (site, capacity) = (record.site, record.capacity);
            self.count_leak(site, capacity);
        }
    }

    fn no_longer_unrecoverable(&mut self, record: &Record) {
        if record.leaked && record.kind == LeaseKind::Exclusive {
            self.counts.unrecoverable -= 1;
            self.counts.unrecoverable_bytes -= record.capacity;
        }
    }

    /// Finds what leaked, takes back what can be taken, trims what has been idle for long.
    pub(super) fn scan(&mut self, now: Tick, out: &mut Outbox) -> LeakReport {
        let (mut leaks, omitted) =
            (std::mem::take(&mut self.unreported), std::mem::take(&mut self.unreported_more));
        self.reclaim_leaks(now, out, |leak| leaks.push(leak));
        self.trim(now, out);
        self.serve(now, out);
        LeakReport {
            leaks,
            omitted,
            unrecoverable: self.counts.unrecoverable,
            unrecoverable_bytes: self.counts.unrecoverable_bytes,
        }
    }

    /// Says whether there may be more room now.
    fn reclaim_for_waiters(&mut self, now: Tick, out: &mut Outbox) -> bool {
        if self.reclaimed_at.is_some_and(|last| now.since(last) < RECLAIM_INTERVAL) {
            return false;
        }
        let before = self.counts.reclaimed;
        let mut unreported = std::mem::take(&mut self.unreported);
        let mut more = 0;
        let passed = self.reclaim_leaks(now, out, |leak| {
            if unreported.len() < UNREPORTED_MAX {
                unreported.push(leak);
            } else {
                more += 1;
            }
        });
        self.unreported = unreported;
        self.unreported_more += more;
        self.reclaimed_at = (passed > RECLAIM_FREE).then_some(now);
        self.counts.reclaimed > before
    }

    /// Looks at all leases past the leak timeout, and says how many that were.
    fn reclaim_leaks(&mut self, now: Tick, out: &mut Outbox, mut report: impl FnMut(LeakedLease)) -> usize {
        let old = self.slots.older_than(now, self.limits.leak_timeout);
        for slot in &old {
            if let Some(leak) = self.look_at(*slot, now, out) {
                report(leak);
            }
        }
        old.len()
    }

    /// Finds out whether the lease in `slot` leaked, and books what becomes of it. Each is told once.
    fn look_at(&mut self, slot: usize, now: Tick, out: &mut Outbox) -> Option<LeakedLease> {
        let entry = self.slots.get_mut(slot);
        let touched = touched(&entry.cell);
        let told = |record: &Record, reason, outcome| {
            leaked_lease(lease_id(slot, entry.generation), record, reason, outcome, touched, now)
        };
        let (leak, storage) = match &mut entry.state {
            State::Free => return None,
            State::Closing(_) => {
                // Only the slot has the gate: the lease is gone, and so is every access that could end.
                if Arc::strong_count(&entry.cell) == 1 {
                    out.given_up.push(std::mem::replace(&mut entry.cell, Arc::new(Cell::new())));
                    self.take_back(slot, None, now, out);
                }
                return None;
            }
            State::Granted(record, ticket) => {
                let reason = record.leak(touched, now, self.limits.leak_timeout);
                let leak = told(record, reason.unwrap_or(LeakReason::Silent), LeakOutcome::Reclaimed);
                let ticket = *ticket;
                (leak, self.lapse(ticket, now))
            }
            State::Live(record) => {
                let reason = record.leak(touched, now, self.limits.leak_timeout);
                let reason = reason.filter(|_| !record.leaked)?;
                let (outcome, storage) = match record.kind {
                    LeaseKind::Exclusive => (LeakOutcome::Unrecoverable, None),
                    LeaseKind::Revocable => match entry.cell.close(entry.generation) {
                        Closed::Took(buffer) => (LeakOutcome::Reclaimed, Some(buffer.into_storage())),
                        Closed::Inside => (LeakOutcome::Pinned, None),
                        // It is being dropped at this moment, and will be counted as late.
                        Closed::Before => return None,
                    },
                };
                record.leaked = true;
                (told(record, reason, outcome), storage)
            }
        };
        self.count_leak(leak.site, leak.capacity);
        match leak.outcome {
            LeakOutcome::Unrecoverable => {
                self.counts.unrecoverable += 1;
                self.counts.unrecoverable_bytes += leak.capacity;
            }
            LeakOutcome::Pinned => self.slots.closing(slot),
            LeakOutcome::Reclaimed => self.take_back(slot, storage, now, out),
        }
        Some(leak)
    }

    /// Takes back what was handed to somebody in the line who did not come for it: it has timed out. Its
    /// place in the line it keeps until it looks or leaves.
    fn lapse(&mut self, ticket: Ticket, now: Tick) -> Option<Vec<u8>> {
        let Some(Ok(placed)) = self.line.uncollected(ticket) else { return None };
        let (asked, waited) = (placed.asked, now.since(self.slots.get(placed.slot).taken()));
        let refused = self.refused(asked, waited, now);
        let grant = self.line.uncollected(ticket)?;
        std::mem::replace(grant, Err(refused)).ok()?.storage
    }

    fn count_leak(&mut self, site: Site, capacity: Bytes) {
        self.counts.leaked += 1;
        let known = self.leak_sites.len();
        let leaks = match self.leak_sites.get_mut(&site) {
            Some(leaks) => leaks,
            None if known < LEAK_SITES_MAX => self.leak_sites.entry(site).or_default(),
            None => &mut self.leaks_elsewhere,
        };
        leaks.leases += 1;
        leaks.bytes += capacity;
    }

    /// Gives up idle storage that nobody has wanted for the idle timeout.
    fn trim(&mut self, now: Tick, out: &mut Outbox) {
        let timeout = self.limits.idle_timeout;
        let old: Vec<(usize, u64)> = self
            .idle
            .iter()
            .filter(|(_, idle)| now.since(idle.since) >= timeout)
            .map(|(key, _)| *key)
            .collect();
        for key in old {
            self.give_up_idle(key, out);
        }
    }

    /// Gives up all idle storage; returns how much that was.
    pub(super) fn give_back_idle(&mut self, out: &mut Outbox) -> Bytes {
        let given = self.idle_bytes;
        while let Some((key, _)) = self.idle.last_key_value() {
            self.give_up_idle(*key, out);
        }
        given
    }

    fn give_up_idle(&mut self, key: (usize, u64), out: &mut Outbox) {
        if let Some(idle) = self.idle.remove(&key) {
            let size = Bytes::of_len(key.0);
            self.idle_bytes -= size;
            self.charge.shrink_deferred(size, &mut out.wakes);
            out.freed.push(idle.storage);
        }
    }

    /// An idle buffer that fits, or room for a new one. Nothing when the request has to wait.
    ///
    /// `short` is what the budget said when it had no room, to be said again in the same step: it looks
    /// through all its holders to say it.
    fn find_room(
        &mut self,
        asked: Bytes,
        short: &mut Option<ReserveError>,
        out: &mut Outbox,
    ) -> Result<Option<Room>, AcquireError> {
        if self.slots.is_full() {
            return Ok(None);
        }
        let size = asked.as_usize();
        let fit_max = (size.saturating_mul(FIT_MAX.0) / FIT_MAX.1).max(SMALLEST);
        let best = self.idle.range((size, 0)..=(fit_max, u64::MAX)).next().map(|(key, _)| key.0);
        // Of that size the one that came last: it is the warmest, and those that nobody needs grow old.
        let best = best.and_then(|size| self.idle.range((size, 0)..=(size, u64::MAX)).next_back());
        if let Some(idle) = best.map(|(key, _)| *key).and_then(|key| self.idle.remove(&key)) {
            let capacity = Bytes::of_len(idle.storage.capacity());
            self.idle_bytes -= capacity;
            return Ok(Some(Room { capacity, storage: Some(idle.storage) }));
        }
        let class = match self.limits.mode {
            PoolMode::Pooled => size_class(asked).min(self.limits.buffer_limit.max(asked)),
            PoolMode::Direct => asked,
        };
        // When the class does not fit any more, the exact size may.
        if self.make_room(class, out) {
            return Ok(Some(Room { capacity: class, storage: None }));
        }
        if self.make_room(asked, out) {
            return Ok(Some(Room { capacity: asked, storage: None }));
        }
        if self.counts.used + asked > self.limits.limit {
            return Ok(None);
        }
        if let Some(ReserveError::Full(shortage)) = short {
            shortage.asked = asked;
            return Err(AcquireError::Budget(ReserveError::Full(shortage.clone())));
        }
        // An account above is short. Asked once more for the words, it may have room after all.
        if let Err(error) = self.charge.try_grow(asked) {
            *short = Some(error.clone());
            return Err(AcquireError::Budget(error));
        }
        Ok(Some(Room { capacity: asked, storage: None }))
    }

    /// Charges `size` if that can be, giving up idle storage for it where that helps.
    fn make_room(&mut self, size: Bytes, out: &mut Outbox) -> bool {
        if self.counts.used + size > self.limits.limit {
            return false;
        }
        // Idle storage goes for the pool's own limit, and before an account above refuses anybody.
        while self.counts.used + self.idle_bytes + size > self.limits.limit || !self.charge.grow_if_room(size)
        {
            let Some((key, _)) = self.idle.last_key_value() else { return false };
            self.give_up_idle(*key, out);
        }
        true
    }

    /// Takes a slot for a lease; [`Slots::occupy`] is then owed.
    fn placed(&mut self, room: Room, asked: Bytes, site: Site, now: Tick) -> Placed {
        let (slot, entry) = self.slots.take();
        entry.cell.touched.store(nanos(now), Ordering::Relaxed);
        let counts = &mut self.counts;
        counts.used += room.capacity;
        counts.used_peak = counts.used_peak.max(counts.used);
        counts.active += 1;
        counts.active_peak = counts.active_peak.max(counts.active);
        counts.acquired += 1;
        if room.storage.is_some() {
            counts.reused += 1;
        } else {
            counts.allocated += 1;
        }
        let (generation, cell) = (entry.generation, entry.cell.clone());
        Placed { slot, generation, cell, storage: room.storage, asked, capacity: room.capacity, site }
    }

    fn place(&mut self, room: Room, request: Request, now: Tick) -> Placed {
        let placed = self.placed(room, request.asked, request.caller.site, now);
        self.slots.occupy(placed.slot, State::Live(record(request, placed.capacity, now)));
        placed
    }

    /// Takes storage out of use: to the idle, or to be freed. Nothing when it was never allocated, or is lost.
    fn store(&mut self, storage: Option<Vec<u8>>, capacity: Bytes, now: Tick, out: &mut Outbox) {
        self.counts.used -= capacity;
        // A holder of two leases can swap their buffers: what is not of the size in the books is not kept.
        let keep = |storage: &Vec<u8>| {
            self.limits.mode == PoolMode::Pooled
                && self.idle.len() < self.limits.leases_max
                && storage.capacity() == capacity.as_usize()
        };
        match storage {
            Some(storage) if keep(&storage) => {
                self.idle_sequence += 1;
                self.idle_bytes += capacity;
                self.idle.insert((capacity.as_usize(), self.idle_sequence), Idle { storage, since: now });
            }
            storage => {
                self.charge.shrink_deferred(capacity, &mut out.wakes);
                out.freed.extend(storage);
            }
        }
    }

    /// The error of somebody who would not wait, or not any longer. Counted.
    pub(super) fn refused(&mut self, asked: Bytes, waited: Duration, now: Tick) -> AcquireError {
        self.counts.rejected += 1;
        let exhausted = Box::new(Exhausted {
            asked,
            waited,
            stats: self.stats(now),
            top_sites: self.slots.top_sites(now, TOP_SITES),
        });
        if waited.is_zero() { AcquireError::Exhausted(exhausted) } else { AcquireError::TimedOut(exhausted) }
    }

    /// The numbers at `now`, the process's resident memory excepted.
    pub(super) fn stats(&self, now: Tick) -> PoolStats {
        let oldest = self.slots.oldest().map(|taken| now.since(taken)).unwrap_or_default();
        PoolStats {
            idle: self.idle_bytes,
            free: self.idle.len() as u64,
            waiters: self.line.waiting_len() as u64,
            oldest,
            ..self.counts
        }
    }

    pub(super) fn leak_sites(&self) -> Vec<(Option<Site>, SiteLeaks)> {
        let known = self.leak_sites.iter().map(|(site, leaks)| (Some(*site), *leaks));
        let elsewhere = (self.leaks_elsewhere.leases > 0).then_some((None, self.leaks_elsewhere));
        known.chain(elsewhere).collect()
    }
}

struct Room {
    capacity: Bytes,
    storage: Option<Vec<u8>>,
}

fn record(request: Request, capacity: Bytes, now: Tick) -> Record {
    let Request { asked, kind, owner, caller: Caller { site, thread, task, stack } } = request;
    Record { kind, leaked: false, asked, capacity, taken: now, site, thread, task, owner, stack }
}

/// Unique in a pool: the slot below, the generation above.
pub(super) fn lease_id(slot: usize, generation: Generation) -> u64 {
    generation.wrapping_shl(24) | slot as u64
}

pub(super) fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX)
}

fn touched(cell: &Cell) -> Tick {
    Tick::from_start(Duration::from_nanos(cell.touched.load(Ordering::Relaxed)))
}

/// The capacity that is allocated for a request: four steps for each doubling, so that at most a fifth of a
/// buffer is more than was asked for, and mixed sizes meet in few classes.
fn size_class(asked: Bytes) -> Bytes {
    let asked = asked.as_u64().max(SMALLEST as u64);
    let step = asked.checked_next_power_of_two().map_or(1, |power| power / 8);
    Bytes::new(asked.checked_next_multiple_of(step).unwrap_or(asked))
}

fn leaked_lease(
    id: u64,
    record: &Record,
    reason: LeakReason,
    outcome: LeakOutcome,
    touched: Tick,
    now: Tick,
) -> LeakedLease {
    LeakedLease {
        id,
        kind: record.kind,
        reason,
        outcome,
        asked: record.asked,
        capacity: record.capacity,
        age: now.since(record.taken),
        silent: now.since(touched),
        site: record.site,
        thread: record.thread,
        task: record.task.map(|task| task.to_string()),
        owner: record.owner.as_ref().map(|owner| owner.label()),
        stack: record.stack.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_a_fifth_and_never_fall_short() {
        for asked in (0..5000).chain([65_535, 65_536, 65_537, 10 << 20]) {
            let class = size_class(Bytes::new(asked)).as_u64();
            assert!(class >= asked && class >= 64, "{asked} in {class}");
            let asked = asked.max(64);
            assert!(class * 4 <= asked * 5, "{asked} in {class}");
            assert!(class * 2 <= asked * 3, "{asked} must fit its own class again");
        }
    }
}
