//! What a subscriber may lag, what is done when it lags more, and which words are used on the way there.
//!
//! Pure arithmetic. One event alone is never "over" in bytes: it could not be delivered otherwise.

use std::fmt;
use std::str::FromStr;

use plimsoll_core::Bytes;

/// What is done with a subscriber that is over its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It gets `evict_after` without progress, then it is sent away with a last `evicted` frame. Nothing is
    /// lost silently, and a reader that moves, however slowly, stays until the ring's trimming overtakes it.
    #[default]
    Evict,
    /// Its cursor jumps forward so that it is within its limit; a `gap` frame says what it missed. For
    /// readers that would rather be current than complete.
    DropOldest,
    /// Newer events are not for it until it has taken everything that it had; then a `gap` frame, and on
    /// from the newest. For readers to whom an unbroken run is worth more than being current. Mind the
    /// hysteresis: one event over the limit costs it everything that comes until it has drained.
    DropNewest,
    /// Its cursor jumps to the newest event, with a `gap` frame. For states, each of which replaces the
    /// one before.
    KeepLatest,
}

impl Policy {
    /// Every policy, for texts that list them.
    pub const ALL: [Policy; 4] = [Policy::Evict, Policy::DropOldest, Policy::DropNewest, Policy::KeepLatest];

    /// The name in settings and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Evict => "evict",
            Policy::DropOldest => "drop_oldest",
            Policy::DropNewest => "drop_newest",
            Policy::KeepLatest => "keep_latest",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The beginning of the text, at most 40 characters.
    pub text: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a policy: write", self.text)?;
        for (nth, policy) in Policy::ALL.into_iter().enumerate() {
            write!(f, "{} {policy}", if nth == 0 { "" } else { " or" })?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        let named = Policy::ALL.into_iter().find(|policy| policy.name() == text);
        named.ok_or_else(|| PolicyError { text: text.chars().take(40).collect() })
    }
}

/// How near a subscriber is to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LagLevel {
    /// Below [`LAG_WARNING_PERCENT`] of its limit.
    Ok,
    /// From [`LAG_WARNING_PERCENT`] on.
    Warning,
    /// From [`LAG_CRITICAL_PERCENT`] on.
    Critical,
}

/// From this share of its limit on a subscriber's lag is a warning, in percent.
pub const LAG_WARNING_PERCENT: u64 = 50;
/// From this share of its limit on a subscriber's lag is critical, in percent.
pub const LAG_CRITICAL_PERCENT: u64 = 90;

const _: () = assert!(LAG_WARNING_PERCENT < LAG_CRITICAL_PERCENT && LAG_CRITICAL_PERCENT <= 100);

/// How far a cursor is behind the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) events: u64,
    /// Bytes of frames.
    pub(super) bytes: u64,
}

/// What the subscribers of one topic may lag, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueLimits {
    pub(super) events_max: u64,
    pub(super) bytes_max: Bytes,
    pub(super) policy: Policy,
}

impl QueueLimits {
    pub(super) fn is_over(&self, lag: Lag) -> bool {
        lag.events > self.events_max || (lag.bytes > self.bytes_max.as_u64() && lag.events > 1)
    }

    /// The level by the larger of the two shares.
    pub(super) fn level(&self, lag: Lag) -> LagLevel {
        let share = |lag: u64, limit: u64| u128::from(lag) * 100 / u128::from(limit.max(1));
        let percent = share(lag.events, self.events_max).max(share(lag.bytes, self.bytes_max.as_u64()));
        if percent >= u128::from(LAG_CRITICAL_PERCENT) {
            LagLevel::Critical
        } else if percent >= u128::from(LAG_WARNING_PERCENT) {
            LagLevel::Warning
        } else {
            LagLevel::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_by_its_name() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        let error = "kick".parse::<Policy>().expect_err("there is none").to_string();
        assert_eq!(
            error,
            "\"kick\" is not a policy: write evict or drop_oldest or drop_newest or keep_latest"
        );
    }

    /// Proves S4.
    #[test]
    fn the_larger_share_makes_the_level() {
        let limits = QueueLimits { events_max: 10, bytes_max: Bytes::new(1000), policy: Policy::Evict };
        for (events, bytes, level) in [
            (0, 0, LagLevel::Ok),
            (4, 499, LagLevel::Ok),
            (5, 0, LagLevel::Warning),
            (1, 500, LagLevel::Warning),
            (8, 899, LagLevel::Warning),
            (9, 0, LagLevel::Critical),
            (1, 900, LagLevel::Critical),
            (u64::MAX, u64::MAX, LagLevel::Critical),
        ] {
            assert_eq!(limits.level(Lag { events, bytes }), level, "{events} events, {bytes} bytes");
        }
    }

    #[test]
    fn over_is_more_than_the_limit_and_never_one_large_event() {
        let limits = QueueLimits { events_max: 2, bytes_max: Bytes::new(100), policy: Policy::Evict };
        for (events, bytes, over) in
            [(0, 0, false), (2, 100, false), (3, 3, true), (2, 101, true), (1, 5000, false)]
        {
            assert_eq!(limits.is_over(Lag { events, bytes }), over, "{events} events, {bytes} bytes");
        }
    }
}
