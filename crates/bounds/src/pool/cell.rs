//! Where the buffer of a revocable lease lives: in the pool, behind a gate that the pool can close.
//!
//! Rust cannot take back a `&mut [u8]` that somebody holds, so a revocable lease never has one of its own.
//! It has the number of a slot and a generation, and passes the slot's gate for each access. The gate is
//! one word that says for which generation it is open, and how many are inside:
//!
//! ```text
//!   | generation: 48 bits | closed: 1 bit | inside: 15 bits, all set for one who writes |
//!
//!           open(g)            install              close(g)
//!   empty ──────────▶ g, closed ─────▶ g, nobody ─┬──────────▶ nobody inside: the closer takes the buffer
//!     ▲               to all but       inside     └──────────▶ somebody inside: the last one out takes it
//!     │               the builder
//!     └─────────────────────── the buffer was taken, once ◀──────────────────────────────────┘
//! ```
//!
//! Closing and leaving are each one step on that one word, so exactly one of them finds "closed and nobody
//! inside", and that one takes the buffer; no fence and no second look is needed. Whoever comes with an older
//! generation is turned away by the word alone and leaves no trace: a stale lease cannot hold up the holder
//! that has the slot by now. The loom model `an_access_that_overlaps_the_reclaim_returns_the_buffer` walks
//! every order.
//!
//! The buffer itself stands under a lock, so that no `unsafe` is needed, and none is here. Who passed the gate
//! never waits for that lock: readers share it, and a writer or taker is alone behind the gate. That holds
//! also when an access is forgotten (`mem::forget`): it stays inside for ever, so nobody is let in whom its
//! lock would stop.

use super::buffer::Buffer;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Counts the leases of a slot.
pub(super) type Generation = u64;

/// The last generation of a slot, which is not used again after it. At 10^6 leases a second of one slot that
/// is after 8 years.
pub(super) const GENERATION_MAX: Generation = (1 << 48) - 1;

const INSIDE: u64 = (1 << 15) - 1;
const CLOSED: u64 = 1 << 15;
const GENERATION_SHIFT: u32 = 16;

const _: () = assert!((GENERATION_MAX << GENERATION_SHIFT) | CLOSED | INSIDE == u64::MAX);

#[derive(Debug)]
pub(super) struct Cell {
    gate: AtomicU64,
    // Nobody waits for it, see above.
    storage: RwLock<Option<Buffer>>,
    // When the holder last gave a sign of life, in nanoseconds of the pool's clock.
    pub(super) touched: AtomicU64,
}

/// How somebody is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// With others who read, at most 32,767 at a time.
    Read,
    /// Alone.
    Write,
}

impl Access {
    const fn weight(self) -> u64 {
        match self {
            Access::Read => 1,
            Access::Write => INSIDE,
        }
    }
}

/// What came of closing a gate.
#[derive(Debug)]
pub(super) enum Closed {
    /// Nobody was inside: here is the buffer.
    Took(Buffer),
    /// The last one out will bring it.
    Inside,
    /// It had been closed before.
    Before,
}

impl Cell {
    pub(super) fn new() -> Cell {
        Cell { gate: AtomicU64::new(CLOSED), storage: RwLock::new(None), touched: AtomicU64::new(0) }
    }

    /// Opens the gate for `generation`, to nobody but the one who builds the lease and is inside already.
    pub(super) fn open(&self, generation: Generation) {
        self.gate.store((generation << GENERATION_SHIFT) | INSIDE, Ordering::Release);
    }

    /// Puts in the buffer of a new lease and leaves. It comes back if the gate was closed meanwhile.
    pub(super) fn install(&self, buffer: Buffer) -> Option<Buffer> {
        *self.storage.write() = Some(buffer);
        self.leave(Access::Write)
    }

    pub(super) fn is_open(&self, generation: Generation) -> bool {
        let gate = self.gate.load(Ordering::Acquire);
        gate >> GENERATION_SHIFT == generation && gate & CLOSED == 0
    }

    /// Whether one may come in; [`Cell::leave`] is then owed.
    pub(super) fn enter(&self, generation: Generation, access: Access) -> bool {
        self.step(generation, |inside| (inside + access.weight() <= INSIDE).then(|| inside + access.weight()))
            .is_some()
    }

    /// For those inside, who came to read.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Option<Buffer>> {
        self.storage.read()
    }

    /// For the one inside who came to write.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Option<Buffer>> {
        self.storage.write()
    }

    /// Leaves; the lock was let go before. The last one out of a closed gate gets the buffer.
    pub(super) fn leave(&self, access: Access) -> Option<Buffer> {
        let left = self.gate.fetch_sub(access.weight(), Ordering::AcqRel) - access.weight();
        if left & (CLOSED | INSIDE) == CLOSED { self.storage.write().take() } else { None }
    }

    /// Closes the gate for `generation`.
    pub(super) fn close(&self, generation: Generation) -> Closed {
        match self.step(generation, |inside| Some(inside | CLOSED)) {
            // A gate is closed once, and its builder left the buffer there: this never finds it empty.
            Some(0) => self.storage.write().take().map_or(Closed::Before, Closed::Took),
            Some(_inside) => Closed::Inside,
            None => Closed::Before,
        }
    }

    /// Changes the lower bits of a gate that is open for `generation`; returns who was inside before.
    fn step(&self, generation: Generation, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let changed = self.gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, |gate| {
            let open = gate >> GENERATION_SHIFT == generation && gate & CLOSED == 0;
            let inside = if open { change(gate & INSIDE)? } else { return None };
            Some((generation << GENERATION_SHIFT) | inside)
        });
        changed.ok().map(|gate| gate & INSIDE)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn held(generation: Generation) -> Cell {
        let cell = Cell::new();
        cell.open(generation);
        assert!(cell.install(Buffer::new(Vec::with_capacity(4), 4)).is_none());
        cell
    }

    #[test]
    fn nobody_enters_before_the_buffer_is_in_or_with_another_generation() {
        let cell = Cell::new();
        assert!(!cell.enter(0, Access::Read));
        cell.open(7);
        assert!(!cell.enter(7, Access::Read) && !cell.enter(7, Access::Write));
        assert!(cell.install(Buffer::new(Vec::new(), 0)).is_none());
        assert!(!cell.enter(6, Access::Read) && !cell.enter(8, Access::Read));
        assert!(cell.enter(7, Access::Read));
    }

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let cell = held(1);
        for _ in 0..INSIDE {
            assert!(cell.enter(1, Access::Read));
        }
        assert!(!cell.enter(1, Access::Read), "one more would look like a writer, or spill over");
        assert!(!cell.enter(1, Access::Write));
        for _ in 0..INSIDE {
            assert!(cell.leave(Access::Read).is_none());
        }
        assert!(cell.enter(1, Access::Write));
        assert!(!cell.enter(1, Access::Read) && !cell.enter(1, Access::Write));
        assert!(cell.leave(Access::Write).is_none());
        assert!(cell.is_open(1));
    }

    #[test]
    fn exactly_one_takes_the_buffer() {
        let idle = held(1);
        assert!(matches!(idle.close(2), Closed::Before));
        assert!(matches!(idle.close(1), Closed::Took(_)));
        assert!(matches!(idle.close(1), Closed::Before));
        assert!(!idle.enter(1, Access::Read) && !idle.is_open(1));

        let busy = held(GENERATION_MAX);
        assert!(busy.enter(GENERATION_MAX, Access::Read) && busy.enter(GENERATION_MAX, Access::Read));
        assert!(matches!(busy.close(GENERATION_MAX), Closed::Inside));
        assert!(!busy.enter(GENERATION_MAX, Access::Read));
        assert!(busy.leave(Access::Read).is_none());
        assert!(busy.leave(Access::Read).is_some());

        let unbuilt = Cell::new();
        unbuilt.open(1);
        assert!(matches!(unbuilt.close(1), Closed::Inside));
        assert!(unbuilt.install(Buffer::new(Vec::new(), 0)).is_some());
    }
}
