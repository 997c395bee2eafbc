//! Who may take a body in now: as many at once as the pool can hold whole.
//!
//! Two ingests that each hold a window and wait for the other's buffers would wait for ever. So none
//! begins before the pool can give it all that it may ever hold; the next waits its turn in line, with
//! nothing in hand.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use plimsoll_core::{Observe, Reading, Unit};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A limited number of turns, given out first come, first served.
pub(crate) struct Turns {
    turns: Semaphore,
    limit: usize,
    peak: AtomicUsize,
    rejected: AtomicU64,
}

impl Turns {
    pub(crate) fn new(limit: u64) -> Turns {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Turns { turns: Semaphore::new(limit), limit, peak: AtomicUsize::new(0), rejected: AtomicU64::new(0) }
    }

    /// A turn, or nothing (counted) when none came free within `patience`. *Cancel safety:* a caller that
    /// goes away loses its place in line.
    pub(crate) async fn take(&self, patience: Duration) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed: an error is a wait that ran out.
        let Ok(Ok(turn)) = tokio::time::timeout(patience, self.turns.acquire()).await else {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.peak.fetch_max(self.used(), Ordering::Relaxed);
        Some(turn)
    }

    fn used(&self) -> usize {
        self.limit - self.turns.available_permits()
    }
}

impl Observe for Turns {
    fn observe(&self, out: &mut Vec<Reading>) {
        out.push(Reading {
            name: "ingest.at_once".to_owned(),
            unit: Unit::Items,
            limit: self.limit as u64,
            used: self.used() as u64,
            peak: self.peak.load(Ordering::Relaxed) as u64,
            rejected: self.rejected.load(Ordering::Relaxed),
            counters: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_waits_its_turn_and_a_wait_that_ran_out_is_counted() {
        let turns = Turns::new(1);
        let first = turns.take(Duration::ZERO).await.expect("it is free");
        assert!(turns.take(Duration::from_secs(10)).await.is_none());
        drop(first);
        assert!(turns.take(Duration::ZERO).await.is_some());
        let mut readings = Vec::new();
        turns.observe(&mut readings);
        let reading = &readings[0];
        assert_eq!((reading.used, reading.peak, reading.rejected), (0, 1, 1));
    }
}
