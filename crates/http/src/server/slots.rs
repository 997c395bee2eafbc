//! A counted number of places, each held by a guard that gives it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plimsoll_core::{Observe, Reading, Unit};

/// At most so many of something at once: connections, streams.
pub struct Slots {
    name: &'static str,
    limit: usize,
    // Guards three numbers; held for an addition.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    used: usize,
    peak: usize,
    rejected: u64,
}

/// One place. Dropping it lets the next one in.
pub struct Slot(Arc<Slots>);

impl Slots {
    /// `limit` free places, shown under `name`.
    pub fn new(name: &'static str, limit: usize) -> Arc<Slots> {
        Arc::new(Slots { name, limit, counts: Mutex::default() })
    }

    /// A place, or nothing (counted) when all are taken.
    pub fn take(self: &Arc<Slots>) -> Option<Slot> {
        let mut counts = self.counts();
        if counts.used >= self.limit {
            counts.rejected += 1;
            return None;
        }
        counts.used += 1;
        counts.peak = counts.peak.max(counts.used);
        Some(Slot(self.clone()))
    }

    /// How many there are.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.counts().used -= 1;
    }
}

impl Observe for Slots {
    fn observe(&self, out: &mut Vec<Reading>) {
        let counts = self.counts();
        out.push(Reading {
            name: self.name.to_owned(),
            unit: Unit::Items,
            limit: self.limit as u64,
            used: counts.used as u64,
            peak: counts.peak as u64,
            rejected: counts.rejected,
            counters: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_given_back_is_free_at_once() {
        let slots = Slots::new("seats", 1);
        let taken = slots.take().expect("it is free");
        assert!(slots.take().is_none());
        drop(taken);
        assert!(slots.take().is_some());
        let mut readings = Vec::new();
        slots.observe(&mut readings);
        assert_eq!((readings[0].used, readings[0].peak, readings[0].rejected), (0, 1, 1));
    }
}
