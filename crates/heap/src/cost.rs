//! What sampling costs, and the interval that follows from it.
//!
//! Every sampled operation is timed with the processor's time stamp. About ten times a second one thread compares the
//! sum with the CPU time of the process: if it is above the target, the interval doubles; if it would be below it at
//! half the interval, with some room, the interval halves. Between the two nothing moves.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::os;
use crate::sampler;

/// The finest and the coarsest interval, in bytes.
pub(crate) const FINEST: f64 = 32.0 * 1024.0;
/// See [`FINEST`].
pub(crate) const COARSEST: f64 = 512.0 * 1024.0;
/// What sampling may cost, in parts of a million of the process's CPU time: half a percent.
pub(crate) const TARGET_PPM: u32 = 5000;
/// Half the interval costs about twice; it is taken only if that leaves this much room below the target.
const ROOM_PPM: u32 = TARGET_PPM * 4 / 10;
/// A look is taken after this many nanoseconds of CPU time: less says little.
const LOOK_NS: u64 = 100_000_000;
/// Between looks, in cycles of the time stamp: 30 to 100 ms on today's machines.
const LOOK_CYCLES: i64 = 1 << 27;
/// No operation takes longer by itself: what does was interrupted, and counts as much as this.
const LONGEST_CYCLES: i64 = 1 << 16;

/// See the head of this file.
pub(crate) struct Cost {
    adaptive: AtomicBool,
    spent_cycles: AtomicU64,
    looked_cycles: AtomicU64,
    looked_ns: AtomicU64,
    looked_cpu_ns: AtomicU64,
    looked_spent_cycles: AtomicU64,
    ppm: AtomicU32,
}

/// An operation that is timed, if operations are. It ends when this is dropped.
pub(crate) struct Timed<'a> {
    cost: &'a Cost,
    began: Option<u64>,
}

impl Drop for Timed<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.cost.add(began);
        }
    }
}

impl Cost {
    pub(crate) fn new() -> Self {
        Self {
            adaptive: AtomicBool::new(false),
            spent_cycles: AtomicU64::new(0),
            looked_cycles: AtomicU64::new(os::cycles()),
            looked_ns: AtomicU64::new(os::coarse_ns()),
            looked_cpu_ns: AtomicU64::new(os::process_cpu_ns()),
            looked_spent_cycles: AtomicU64::new(0),
            ppm: AtomicU32::new(0),
        }
    }

    pub(crate) fn set_adaptive(&self, adaptive: bool) {
        self.adaptive.store(adaptive, Relaxed);
    }

    pub(crate) fn is_adaptive(&self) -> bool {
        self.adaptive.load(Relaxed)
    }

    /// At the last look, in parts of a million of the process's CPU time.
    pub(crate) fn ppm(&self) -> u32 {
        self.ppm.load(Relaxed)
    }

    /// Times what happens until the answer is dropped.
    #[inline(always)]
    pub(crate) fn timed(&self) -> Timed<'_> {
        Timed { cost: self, began: self.is_adaptive().then(os::cycles) }
    }

    fn add(&self, began: u64) {
        let now = os::cycles();
        // Time stamps of two processors may differ a little: what seems to end before it began took no time.
        let spent = now.wrapping_sub(began).cast_signed().clamp(0, LONGEST_CYCLES);
        self.spent_cycles.fetch_add(spent.cast_unsigned(), Relaxed);
        let looked = self.looked_cycles.load(Relaxed);
        let passed = now.wrapping_sub(looked).cast_signed();
        // One thread wins the exchange, and looks.
        if passed > LOOK_CYCLES && self.looked_cycles.compare_exchange(looked, now, Relaxed, Relaxed).is_ok()
        {
            self.look(passed.cast_unsigned());
        }
    }

    #[cold]
    fn look(&self, cycles: u64) {
        let (now_ns, cpu_ns) = (os::coarse_ns(), os::process_cpu_ns());
        // How long a cycle is follows from the look itself: over these times the coarse clock is good enough.
        let passed_ns = now_ns.saturating_sub(self.looked_ns.swap(now_ns, Relaxed));
        let looked_cpu_ns = self.looked_cpu_ns.load(Relaxed);
        if cpu_ns < looked_cpu_ns {
            // A forked child, whose CPU time begins anew.
            self.looked_cpu_ns.store(cpu_ns, Relaxed);
            self.looked_spent_cycles.store(self.spent_cycles.load(Relaxed), Relaxed);
            return;
        }
        let used_ns = cpu_ns - looked_cpu_ns;
        if used_ns < LOOK_NS {
            return;
        }
        self.looked_cpu_ns.store(cpu_ns, Relaxed);
        let spent = self.spent_cycles.load(Relaxed);
        let spent_cycles = spent.saturating_sub(self.looked_spent_cycles.swap(spent, Relaxed));
        let spent_ns = spent_cycles as f64 * passed_ns as f64 / cycles.max(1) as f64;
        let ppm = (spent_ns / used_ns as f64 * 1e6) as u32;
        self.ppm.store(ppm, Relaxed);
        if let Some(interval) = sampler::interval()
            && let Some(next) = next(interval, ppm)
            && self.is_adaptive()
        {
            sampler::adjust(interval, next);
        }
    }
}

/// The interval to go on with, if it is another.
fn next(interval: f64, ppm: u32) -> Option<f64> {
    let next = match ppm {
        ppm if ppm > TARGET_PPM => interval * 2.0,
        ppm if ppm < ROOM_PPM => interval / 2.0,
        _ => interval,
    };
    let next = next.clamp(FINEST, COARSEST);
    (next != interval).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_goes_where_the_cost_is_below_the_target_and_stays() {
        // A program in which an interval of 32 KiB costs this much, and twice the interval half of it.
        for finest_ppm in [0.0, 1000.0, 4900.0, 5100.0, 9000.0, 30_000.0, 200_000.0] {
            let cost = |interval: f64| (finest_ppm * FINEST / interval) as u32;
            let mut interval = COARSEST;
            for _ in 0..10 {
                interval = next(interval, cost(interval)).unwrap_or(interval);
            }
            assert!(cost(interval) <= TARGET_PPM || interval == COARSEST, "{finest_ppm}");
            assert!(cost(interval) >= ROOM_PPM || interval == FINEST, "{finest_ppm}");
            assert_eq!(next(interval, cost(interval)), None, "it does not swing");
        }
    }
}
