//! When a sample is taken: settings that can change while the program runs, and what a thread does when its
//! count ran out.
//!
//! Off is a count like any other, of half a MiB, after which a thread looks whether it still is: so on and off
//! are one branch in the allocation path, and a thread learns of a start with its next half MiB.

use crate::sync::{Acquire, Relaxed, Release};
use crate::thread::Thread;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// How far a thread counts before it looks whether sampling was started.
const OFF_STEP_BYTES: i64 = 512 * 1024;

/// The interval in bytes, as the bits of a floating-point number. Zero is off.
static INTERVAL: AtomicU64 = AtomicU64::new(0);
/// Rises with every start and stop. What a thread counted in another generation was not drawn from the present
/// interval, and a count that ran out then is no hit. Odd from the first start on, so no thread begins with it.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Every allocation is sampled with this interval.
pub(crate) const EVERY: f64 = 1.0;

/// Starts sampling, for all threads that come by.
pub(crate) fn start(interval: f64) {
    INTERVAL.store(interval.max(EVERY).to_bits(), Relaxed);
    GENERATION.fetch_add(1, Release);
    crate::thread::with(|thread| thread.left.set(0));
}

/// Stops sampling. Samples that live go on being followed.
pub(crate) fn stop() {
    INTERVAL.store(0, Relaxed);
    GENERATION.fetch_add(1, Release);
}

/// Another interval: at once for this thread, for the others after their next hit. Nothing if it is stopped.
pub(crate) fn change(interval: f64) {
    let bits = interval.max(EVERY).to_bits();
    let changed = INTERVAL.fetch_update(Relaxed, Relaxed, |now| (now != 0).then_some(bits)).is_ok();
    if changed {
        crate::thread::with(|thread| {
            if thread.generation.get() == GENERATION.load(Acquire) {
                // No byte has a memory: to draw again at any moment changes no probability.
                thread.interval.set(interval);
                thread.left.set(thread.draw(interval));
            } else {
                // It has not heard of the last start yet, and draws when it does: with its next allocation.
                thread.left.set(0);
            }
        });
    }
}

/// The present interval; `None` if it is off.
pub(crate) fn interval() -> Option<f64> {
    match INTERVAL.load(Relaxed) {
        0 => None,
        bits => Some(f64::from_bits(bits)),
    }
}

/// This thread's count ran out with an allocation (or growth) of `bytes`. The interval at which the hit was
/// drawn, if it was one.
pub(crate) fn hit(thread: &Thread, bytes: usize) -> Option<f64> {
    let generation = GENERATION.load(Acquire);
    let Some(interval) = interval() else {
        thread.left.set(OFF_STEP_BYTES);
        thread.generation.set(generation);
        return None;
    };
    if thread.generation.replace(generation) != generation {
        // What it counted meant nothing: begin here, with this allocation the first.
        thread.interval.set(interval);
        let left = thread.draw(interval) - bytes as i64;
        thread.left.set(left);
        if left >= 0 {
            return None;
        }
    }
    // Drawn once more, whatever the allocation was larger than the count: it is one sample.
    thread.left.set(thread.draw(interval));
    Some(thread.interval.replace(interval))
}
