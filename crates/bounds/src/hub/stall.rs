//! Whether a subscriber that is over its limit stands still.
//!
//! Not "no progress since 100 ms ago by the clock": a laptop that was suspended, a process that got no CPU
//! and a thread that sat in a page fault all wake up to find that nobody progressed for seconds, and would
//! evict everybody. Time counts here only as a sum of short steps between consecutive looks, each of which
//! found the subscriber blocked and unmoved. A look that comes much too late adds nothing.
//!
//! Pure: looks come from outside, with their time.

use std::time::Duration;

use plimsoll_core::Tick;

use super::meter::Moved;

/// How many looks make up the time to evict.
const LOOKS_PER_EVICTION: u32 = 4;
/// The shortest time between looks: what timers can do.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// How late a look may be beside a whole interval and still count: a busy machine's scheduling.
const LOOK_SLACK: Duration = Duration::from_millis(10);

/// How often to look at those that are over their limit.
pub(super) fn look_interval(evict_after: Duration) -> Duration {
    (evict_after / LOOKS_PER_EVICTION).max(LOOK_INTERVAL_MIN)
}

/// A subscriber's progress so far; two that are equal mean that it stood still between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The last offset it took.
    pub(super) cursor: u64,
    /// What its transport reports, if it has one.
    pub(super) moved: Option<Moved>,
    /// What its peer acknowledged, as far as anybody can say.
    pub(super) acknowledged: u64,
}

/// A stand-still under observation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    progress: Progress,
    stood_still: Duration,
    looked: Tick,
}

impl Stall {
    /// The first look.
    pub(super) fn begin(progress: Progress, now: Tick) -> Stall {
        Stall { progress, stood_still: Duration::ZERO, looked: now }
    }

    /// Another look; says whether the subscriber has now stood still for `evict_after`.
    pub(super) fn look(&mut self, progress: Progress, now: Tick, evict_after: Duration) -> bool {
        if progress != self.progress {
            *self = Stall::begin(progress, now);
            return false;
        }
        let step = now.since(self.looked);
        self.looked = now;
        if step <= look_interval(evict_after) * 2 + LOOK_SLACK {
            self.stood_still += step;
        }
        self.stood_still >= evict_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Tick {
        Tick::START + Duration::from_millis(ms)
    }

    fn taken(cursor: u64) -> Progress {
        Progress { cursor, moved: None, acknowledged: 0 }
    }

    #[test]
    fn standing_still_for_the_whole_time_is_needed() {
        let mut stall = Stall::begin(taken(1), at(0));
        for ms in [25, 50, 75, 99] {
            assert!(!stall.look(taken(1), at(ms), AFTER), "{ms}");
        }
        assert!(stall.look(taken(1), at(100), AFTER));
    }

    #[test]
    fn any_progress_begins_it_anew() {
        let mut stall = Stall::begin(taken(1), at(0));
        assert!(!stall.look(taken(1), at(50), AFTER));
        assert!(!stall.look(taken(2), at(90), AFTER));
        assert!(!stall.look(taken(2), at(140), AFTER));
        let acknowledged = Progress { acknowledged: 1, ..taken(2) };
        assert!(!stall.look(acknowledged, at(189), AFTER));
        assert!(!stall.look(acknowledged, at(239), AFTER));
        assert!(stall.look(acknowledged, at(289), AFTER));
    }

    #[test]
    fn a_suspended_machine_evicts_nobody() {
        let mut stall = Stall::begin(taken(1), at(0));
        assert!(!stall.look(taken(1), at(3_600_000), AFTER));
        assert!(!stall.look(taken(1), at(7_200_000), AFTER));
        // Awake again, the time that was seen before still counts, and only what is seen is added.
        assert!(!stall.look(taken(1), at(7_200_050), AFTER));
        assert!(stall.look(taken(1), at(7_200_100), AFTER));
    }

    #[test]
    fn one_look_never_evicts_however_short_the_time() {
        let mut stall = Stall::begin(taken(1), at(0));
        assert!(stall.look(taken(1), at(1), Duration::ZERO), "the second may");
        assert_eq!(look_interval(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(look_interval(AFTER), Duration::from_millis(25));
    }
}
