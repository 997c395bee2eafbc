//! The two kinds of lease, each a type of its own, because they can do different things when they leak.
//!
//! | | exclusive | revocable |
//! | --- | --- | --- |
//! | who owns the bytes | the lease | the pool |
//! | access | direct, no check | through a short guard or a closure: one lock and one comparison |
//! | leaked | written off: charged until it dies | taken back; every later access is [`Revoked`] |
//! | across an await | yes | the lease yes, an access no (its guard is not `Send`) |

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use plimsoll_core::{Bytes, Site};

use super::buffer::Buffer;
use super::cell::{Access, Cell, Closed, Generation};
use super::error::Revoked;
use super::ledger::{Placed, Returned, lease_id};
use super::track::LeaseKind;
use super::{PoolInner, sealed};
use crate::sync::{RwLockReadGuard, RwLockWriteGuard};

/// A kind of lease that a pool hands out: [`ExclusiveLease`] or [`RevocableLease`].
pub trait Lease: sealed::Build + Send + 'static {
    /// The lease's id, unique in its pool; leak reports name it.
    fn id(&self) -> u64 {
        self.place().id()
    }

    /// What was asked for.
    fn capacity(&self) -> Bytes {
        self.place().capacity
    }

    /// Says that the lease is in use: its silence counts from now.
    fn touch(&self) {
        self.place().touch();
    }
}

impl Lease for ExclusiveLease {}
impl Lease for RevocableLease {}

/// Where a lease stands in its pool, common to both kinds.
pub(super) struct Place {
    pool: Arc<PoolInner>,
    cell: Arc<Cell>,
    slot: usize,
    generation: Generation,
    capacity: Bytes,
    site: Site,
}

impl Place {
    fn touch(&self) {
        // A lease that was revoked must not vouch for the next one in its slot.
        if self.cell.is_open(self.generation) {
            self.pool.touch(&self.cell);
        }
    }

    fn id(&self) -> u64 {
        lease_id(self.slot, self.generation)
    }
}

/// A buffer that its holder owns until it drops it. Reads and writes cost nothing extra.
///
/// The pool cannot take it back. When it leaks it is reported as unrecoverable and stays charged, because
/// its bytes are in use and nobody else may have them.
pub struct ExclusiveLease {
    place: Place,
    buffer: Buffer,
}

/// A buffer that the pool can take back while the holder still exists.
///
/// Each access counts as a sign of life, as [`Lease::touch`] does.
pub struct RevocableLease {
    place: Place,
}

#[allow(private_interfaces, reason = "nobody outside can name the trait")]
impl sealed::Build for ExclusiveLease {
    const KIND: LeaseKind = LeaseKind::Exclusive;

    fn build(pool: Arc<PoolInner>, placed: Placed, buffer: Buffer) -> ExclusiveLease {
        ExclusiveLease { place: place(pool, placed), buffer }
    }

    fn place(&self) -> &Place {
        &self.place
    }
}

#[allow(private_interfaces, reason = "nobody outside can name the trait")]
impl sealed::Build for RevocableLease {
    const KIND: LeaseKind = LeaseKind::Revocable;

    fn build(pool: Arc<PoolInner>, placed: Placed, buffer: Buffer) -> RevocableLease {
        let lease = RevocableLease { place: place(pool, placed) };
        let Place { pool, cell, slot, generation, .. } = &lease.place;
        // So slow that it was revoked before it was there.
        if let Some(buffer) = cell.install(buffer) {
            pool.reclaimed(*slot, *generation, buffer);
        }
        lease
    }

    fn place(&self) -> &Place {
        &self.place
    }
}

fn place(pool: Arc<PoolInner>, placed: Placed) -> Place {
    let Placed { slot, generation, cell, asked, site, .. } = placed;
    Place { pool, cell, slot, generation, capacity: asked, site }
}

impl Deref for ExclusiveLease {
    type Target = Buffer;
    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl DerefMut for ExclusiveLease {
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }
}

impl RevocableLease {
    /// Reads the bytes. Fails once the pool has taken them back.
    ///
    /// While `f` runs the pool cannot reuse the buffer; keep it short.
    ///
    /// # Errors
    /// [`Revoked`].
    pub fn with<R>(&self, f: impl FnOnce(&Buffer) -> R) -> Result<R, Revoked> {
        self.read().map(|access| f(&access))
    }

    /// Changes the bytes. Fails once the pool has taken them back.
    ///
    /// # Errors
    /// [`Revoked`].
    pub fn with_mut<R>(&mut self, f: impl FnOnce(&mut Buffer) -> R) -> Result<R, Revoked> {
        self.write().map(|mut access| f(&mut access))
    }

    /// Enters to read. The guard is not `Send`: it cannot be held across an await in a task that moves.
    ///
    /// A guard that is forgotten (`mem::forget`) never leaves: the bytes can then no longer be changed, and
    /// are the pool's again only when the lease is dropped and a scan has come past.
    ///
    /// # Errors
    /// [`Revoked`]; also when an earlier guard of [`RevocableLease::write`] was forgotten.
    pub fn read(&self) -> Result<ReadAccess<'_>, Revoked> {
        let exit = self.enter(Access::Read)?;
        Ok(ReadAccess { guard: self.place.cell.read(), _exit: exit })
    }

    /// Enters to change. The guard is not `Send`.
    ///
    /// # Errors
    /// [`Revoked`]; also when an earlier guard was forgotten.
    pub fn write(&mut self) -> Result<WriteAccess<'_>, Revoked> {
        let exit = self.enter(Access::Write)?;
        Ok(WriteAccess { guard: self.place.cell.write(), _exit: exit })
    }

    fn enter(&self, access: Access) -> Result<Exit<'_>, Revoked> {
        let Place { cell, generation, .. } = &self.place;
        if !cell.enter(*generation, access) {
            return Err(self.revoked());
        }
        // Made before anything else can go wrong: who came in leaves.
        let exit = Exit { place: &self.place, access };
        self.place.pool.touch(cell);
        Ok(exit)
    }

    /// Whether the pool has taken it back.
    pub fn is_revoked(&self) -> bool {
        !self.place.cell.is_open(self.place.generation)
    }

    fn revoked(&self) -> Revoked {
        Revoked { lease: self.place.id(), site: self.place.site }
    }
}

/// Leaving an access: if the gate was closed meanwhile, the last one out takes the buffer to the pool.
/// Runs on panic too.
struct Exit<'lease> {
    place: &'lease Place,
    access: Access,
}

impl Drop for Exit<'_> {
    fn drop(&mut self) {
        let Place { pool, cell, slot, generation, .. } = self.place;
        if let Some(buffer) = cell.leave(self.access) {
            pool.reclaimed(*slot, *generation, buffer);
        }
    }
}

/// Read access to a revocable lease. Fields drop in order: the lock first, then the exit.
pub struct ReadAccess<'lease> {
    guard: RwLockReadGuard<'lease, Option<Buffer>>,
    _exit: Exit<'lease>,
}

impl Deref for ReadAccess<'_> {
    type Target = Buffer;
    fn deref(&self) -> &Buffer {
        self.guard.as_ref().expect("it is there for as long as somebody is inside")
    }
}

/// Write access to a revocable lease. Fields drop in order: the lock first, then the exit.
pub struct WriteAccess<'lease> {
    guard: RwLockWriteGuard<'lease, Option<Buffer>>,
    _exit: Exit<'lease>,
}

impl Deref for WriteAccess<'_> {
    type Target = Buffer;
    fn deref(&self) -> &Buffer {
        self.guard.as_ref().expect("it is there for as long as somebody is inside")
    }
}

impl DerefMut for WriteAccess<'_> {
    fn deref_mut(&mut self) -> &mut Buffer {
        self.guard.as_mut().expect("it is there for as long as somebody is inside")
    }
}

impl Drop for ExclusiveLease {
    fn drop(&mut self) {
        let buffer = std::mem::replace(&mut self.buffer, Buffer::new(Vec::new(), 0));
        let returned = Returned::Storage(buffer.into_storage());
        self.place.pool.release(self.place.slot, self.place.generation, returned);
    }
}

impl Drop for RevocableLease {
    fn drop(&mut self) {
        let Place { pool, cell, slot, generation, .. } = &self.place;
        let returned = match cell.close(*generation) {
            Closed::Took(buffer) => Returned::Storage(buffer.into_storage()),
            // Accesses borrow the lease, so this one was forgotten.
            Closed::Inside => Returned::Forgotten,
            Closed::Before => Returned::Revoked,
        };
        pool.release(*slot, *generation, returned);
    }
}

impl fmt::Debug for ExclusiveLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExclusiveLease({} of {} at {})", self.buffer.len(), self.place.capacity, self.place.site)
    }
}

impl fmt::Debug for RevocableLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocableLease({} at {})", self.place.capacity, self.place.site)
    }
}
