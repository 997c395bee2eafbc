//! Time as a value: a [`Tick`] is read from a [`Clock`] that somebody handed in.
//!
//! Ages, timeouts and sweeps that read the system's clock in secret cannot be tested in less than the
//! time they bound. Everything in Plimsoll that ages is given a clock; tests give it a [`ManualClock`]
//! and let an hour pass in one call. The clock that reads the machine's time lives one floor up.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment: nanoseconds since the clock that gave it was made. Never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The moment at which every clock starts.
    pub const START: Tick = Tick(0);

    /// The moment `since_start` after the clock's start; saturates after 584 years.
    pub fn from_start(since_start: Duration) -> Tick {
        Tick(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long after the clock's start this moment is.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this moment is; zero when `earlier` is in fact the later one.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, later: Duration) -> Tick {
        Tick::from_start(self.since_start().saturating_add(later))
    }
}

/// Where moments come from.
pub trait Clock: Send + Sync {
    /// The present moment; never earlier than one that was given before.
    fn now(&self) -> Tick;
}

/// A clock that stands still until it is told to go on: the clock of tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows [`Tick::START`].
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Tick {
        Tick(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(clock.now().since(start), Duration::from_secs(3600));
    }

    #[test]
    fn time_never_runs_backwards_in_arithmetic() {
        let later = Tick::START + Duration::from_secs(1);
        assert_eq!(Tick::START.since(later), Duration::ZERO);
        assert_eq!(Tick::from_start(Duration::MAX) + Duration::MAX, Tick::from_start(Duration::MAX));
    }
}
