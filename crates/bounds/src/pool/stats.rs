//! The numbers of a pool. They always add up, because all are read in one step.

use std::fmt;
use std::time::Duration;

use plimsoll_core::{Bytes, Counter, Reading, Unit};

/// A pool at one moment. Counts are since the pool was made.
///
/// `acquired = reused + allocated`, and `acquired = released + reclaimed + active`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolStats {
    /// What all buffers together may hold, idle ones included.
    pub limit: Bytes,
    /// The real size of the buffers that are leased, written-off ones included.
    pub used: Bytes,
    /// The highest `used`.
    pub used_peak: Bytes,
    /// The real size of the buffers that wait to be used again.
    pub idle: Bytes,
    /// Buffers leased now.
    pub active: u64,
    /// The highest `active`.
    pub active_peak: u64,
    /// Buffers that wait to be used again.
    pub free: u64,
    /// Leases handed out.
    pub acquired: u64,
    /// Leases for which memory was allocated.
    pub allocated: u64,
    /// Leases served from an idle buffer.
    pub reused: u64,
    /// Leases given back by their holder.
    pub released: u64,
    /// Leases whose room the pool took back.
    pub reclaimed: u64,
    /// Leases found to be leaks: reported by a scan, or given back too late. Each counts once.
    pub leaked: u64,
    /// Of the leaked, those whose holder gave them back (or dropped them after they were revoked) late.
    pub returned_late: u64,
    /// Exclusive leases that leaked and live still. Their bytes are part of `used`.
    pub unrecoverable: u64,
    /// The bytes of those.
    pub unrecoverable_bytes: Bytes,
    /// Requests waiting in line now.
    pub waiters: u64,
    /// The most that ever waited at once.
    pub waiters_peak: u64,
    /// How many may wait.
    pub waiters_max: u64,
    /// Requests refused: too large, no room, timed out, too many waiting.
    pub rejected: u64,
    /// Resident memory of the whole process, where the system says. Read only by
    /// [`Pool::stats`](super::Pool::stats).
    pub resident: Option<Bytes>,
    /// The age of the oldest live lease; zero when there is none.
    pub oldest: Duration,
}

impl PoolStats {
    /// All buffers there are, leased or idle.
    pub fn total(&self) -> u64 {
        self.active + self.free
    }

    /// The share of the limit that is leased, in percent.
    pub fn used_percent(&self) -> f64 {
        self.used.percent_of(self.limit)
    }

    /// The share of leases that were served without allocating, in percent.
    pub fn reuse_percent(&self) -> f64 {
        Bytes::new(self.reused).percent_of(Bytes::new(self.acquired))
    }

    pub(super) fn readings(&self, out: &mut Vec<Reading>) {
        let counter = |name, value| Counter { name, value };
        out.push(Reading {
            name: "pool.bytes".to_owned(),
            unit: Unit::Bytes,
            limit: self.limit.as_u64(),
            used: self.used.as_u64(),
            peak: self.used_peak.as_u64(),
            rejected: self.rejected,
            counters: vec![
                counter("idle_bytes", self.idle.as_u64()),
                counter("active", self.active),
                counter("free", self.free),
                counter("acquired", self.acquired),
                counter("allocated", self.allocated),
                counter("reused", self.reused),
                counter("reuse_percent", self.reuse_percent() as u64),
                counter("released", self.released),
                counter("reclaimed", self.reclaimed),
                counter("leaked", self.leaked),
                counter("returned_late", self.returned_late),
                counter("unrecoverable", self.unrecoverable),
                counter("unrecoverable_bytes", self.unrecoverable_bytes.as_u64()),
                counter("oldest_ms", self.oldest.as_millis() as u64),
            ],
        });
        out.push(Reading {
            name: "pool.waiters".to_owned(),
            unit: Unit::Items,
            limit: self.waiters_max,
            used: self.waiters,
            peak: self.waiters_peak,
            rejected: 0,
            counters: Vec::new(),
        });
    }
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} leased in {} buffers, {} idle, {} waiting, {} leaked, oldest {:.1}s",
            self.used,
            self.limit,
            self.active,
            self.idle,
            self.waiters,
            self.leaked,
            self.oldest.as_secs_f64()
        )
    }
}
