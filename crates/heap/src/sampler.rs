//! When a sample is taken: settings that can change while the program runs, and what a thread does when its
//! count ran out.
//!
//! Off is a count like any other, of half a MiB, after which a thread looks whether it still is: so on and off are one
//! branch in the allocation path. A count that is drawn longer than that is cut, and drawn again when it runs out: no byte
//! has a memory, so that changes no probability, and a thread learns of any change with its next half MiB. Where
//! intervals are finer than usual, so are these steps: a thread that allocates little would else count on for
//! minutes in an interval that is long over.

use crate::sync::{Acquire, Relaxed, Release};
use crate::thread::Thread;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

/// How far a thread counts at most before it looks what has changed: this at least, and at most.
const STEP_BYTES_MIN: i64 = 4 * 1024;
/// See [`STEP_BYTES_MIN`].
const STEP_BYTES_MAX: i64 = 512 * 1024;
/// How far at present.
static STEP_BYTES: AtomicI64 = AtomicI64::new(STEP_BYTES_MAX);

/// The interval in bytes, as the bits of a floating-point number. Zero is off.
static INTERVAL: AtomicU64 = AtomicU64::new(0);
/// Rises with every start and stop. What a thread counted in another generation was not drawn from the present
/// interval, and a count that ran out then is no hit. Threads begin with 0, which it never is again.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Every allocation is sampled with this interval.
pub(crate) const EVERY: f64 = 1.0;

/// How far threads count from now on before they look.
pub(crate) fn set_step(bytes: f64) {
    STEP_BYTES.store((bytes as i64).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX), Relaxed);
}

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

/// Another interval: at once for this thread, for the others with their next half MiB. Nothing if it is stopped.
pub(crate) fn change(interval: f64) {
    let bits = interval.max(EVERY).to_bits();
    if INTERVAL.fetch_update(Relaxed, Relaxed, |now| (now != 0).then_some(bits)).is_ok() {
        crate::thread::with(|thread| {
            if thread.generation.get() == GENERATION.load(Acquire) {
                thread.interval.set(f64::from_bits(bits));
                arm(thread, thread.draw(f64::from_bits(bits)));
            } else {
                // It has not heard of the last start yet, and draws when it does: with its next allocation.
                thread.left.set(0);
            }
        });
    }
}

/// Another interval, unless it was changed by somebody else meanwhile.
pub(crate) fn adjust(from: f64, to: f64) {
    // Who lost has nothing to say: a setting was made just now.
    let _ = INTERVAL.compare_exchange(from.to_bits(), to.to_bits(), Relaxed, Relaxed);
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
        thread.left.set(STEP_BYTES_MAX);
        thread.generation.set(generation);
        return None;
    };
    // How many of the bytes are still to be counted: all, if what it counted before meant nothing; those behind the
    // step, if the count was cut there; none, if it was a hit.
    let uncounted = if thread.generation.replace(generation) != generation {
        Some(bytes as i64)
    } else if thread.ends_in_hit.get() {
        None
    } else {
        Some(thread.left.get().wrapping_neg())
    };
    if let Some(uncounted) = uncounted {
        thread.interval.set(interval);
        let gap = thread.draw(interval);
        if gap >= uncounted {
            arm(thread, gap - uncounted);
            return None;
        }
    }
    // Drawn once more, however much larger the allocation was than the count: it is one sample.
    let drawn_at = thread.interval.replace(interval);
    arm(thread, thread.draw(interval));
    Some(drawn_at)
}

/// Lets the thread count this far, or to where it looks again.
fn arm(thread: &Thread, gap: i64) {
    let step = STEP_BYTES.load(Relaxed);
    thread.ends_in_hit.set(gap <= step);
    thread.left.set(gap.min(step));
}
