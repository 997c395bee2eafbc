//! How long an ingest may still wait for readers: at most 100 ms in any one second.
//!
//! Waiting for a reader that is about to catch up is kind; waiting each time would hand the pace of the
//! whole ingest to its slowest reader. So all waits of the last second are remembered, and a new one may
//! only use what they left.
//!
//! Pure: times come in. Memory: [`WAITS_KEPT`] entries of two words.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core::Tick;

/// How long all waits in [`PACE_WINDOW`] may last together.
pub const PACE_WAIT_MAX: Duration = Duration::from_millis(100);
/// The time over which waits are added up.
pub const PACE_WINDOW: Duration = Duration::from_secs(1);

/// A timer may ring this much late without the sum passing its limit.
const TIMER_GRAIN: Duration = Duration::from_millis(1);
/// Waits remembered one by one. When there are more in a window, the oldest are taken together and remembered
/// for longer, which only ever allows less.
const WAITS_KEPT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Pace {
    // Newest last. Entries leave when their end is older than the window.
    waits: VecDeque<Wait>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    end: Tick,
    length: Duration,
}

impl Pace {
    /// How long a wait that begins now may be.
    pub(super) fn allowance(&mut self, now: Tick) -> Duration {
        while self.waits.front().is_some_and(|wait| now.since(wait.end) >= PACE_WINDOW) {
            self.waits.pop_front();
        }
        let used: Duration = self.waits.iter().map(|wait| wait.length).sum();
        PACE_WAIT_MAX.saturating_sub(used).saturating_sub(TIMER_GRAIN)
    }

    /// A wait of at most `length` begins. Counted whole until [`Pace::finish`] says what became of it, so
    /// that one whose future is dropped half-way is not forgotten.
    pub(super) fn begin(&mut self, now: Tick, length: Duration) {
        if self.waits.len() == WAITS_KEPT {
            let oldest = self.waits.pop_front().map_or(Duration::ZERO, |wait| wait.length);
            if let Some(next) = self.waits.front_mut() {
                next.length += oldest;
            }
        }
        self.waits.push_back(Wait { end: now + length, length });
    }

    /// The wait that began last is over.
    pub(super) fn finish(&mut self, now: Tick, length: Duration) {
        if let Some(last) = self.waits.back_mut() {
            *last = Wait { end: now, length };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Tick {
        Tick::START + Duration::from_micros(us)
    }

    /// Proves S1.
    #[test]
    fn waits_for_at_most_a_tenth_of_any_second() {
        let seed = 7;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pace = Pace::default();
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..20_000 {
            now += random.u64(0..30_000);
            let length = pace.allowance(at(now));
            if length.is_zero() {
                continue;
            }
            pace.begin(at(now), length);
            let asked = length.as_micros() as u64;
            // Woken early, in time, or as late as a timer is.
            let waited = random.u64(0..=asked + TIMER_GRAIN.as_micros() as u64);
            pace.finish(at(now + waited), Duration::from_micros(waited));
            waits.push((now, now + waited));
            now += waited;
            assert!(pace.waits.len() <= WAITS_KEPT);
        }
        assert!(waits.len() > 1000, "it waits at all: {}", waits.len());
        let window = PACE_WINDOW.as_micros() as u64;
        for (nth, (_, end)) in waits.iter().enumerate() {
            let from = end.saturating_sub(window);
            let within = |(start, end): &(u64, u64)| end.saturating_sub(*start.max(&from));
            let sum: u64 = waits[nth.saturating_sub(500)..=nth].iter().map(within).sum();
            assert!(sum <= PACE_WAIT_MAX.as_micros() as u64, "seed {seed}: {sum} µs before {end}");
        }
    }

    #[test]
    fn a_wait_that_was_given_up_counts_whole() {
        let mut pace = Pace::default();
        let length = pace.allowance(at(0));
        assert_eq!(length, PACE_WAIT_MAX - TIMER_GRAIN);
        pace.begin(at(0), length);
        assert_eq!(pace.allowance(at(1000)), Duration::ZERO);
        assert_eq!(pace.allowance(at(1_099_000)), length);
    }
}
