//! How long is watched, how often is looked, and how densely is sampled: all from the duration, which the user gives.

use std::time::Duration;

use plimsoll_core::Bytes;

use crate::session::sample::Sample;

/// So many readings are taken in the time, so that each rule of the judge has enough.
const READINGS: u32 = 120;
/// So many there are at any time before the end.
const READINGS_EARLY: u32 = 30;
/// Looking costs something, and says nothing new within this time.
const READ_INTERVAL_MIN: Duration = Duration::from_millis(250);
/// The state before the end of a program is at most so old.
const READ_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// A service writes a whole profile for each reading.
const GET_INTERVAL_MIN: Duration = Duration::from_millis(500);
/// How often something is shown, at most and in parts of the time.
const SHOW_INTERVAL_MAX: Duration = Duration::from_secs(60);
const SHOWN: u32 = 10;

/// The unit of ages is such a part of the time: a leak must be older than a unit to be seen, and the judge needs old and
/// young within the time.
const EPOCHS: u32 = 240;
const EPOCH_MIN: Duration = Duration::from_millis(50);
const EPOCH_MAX: Duration = Duration::from_secs(10);

/// In a short time there are few samples, so they are taken from such an interval on, by the second.
const FINEST_BYTES_PER_S: u64 = 4;
const FINEST_BYTES_MIN: u64 = 256;
const FINEST_BYTES_MAX: u64 = 32 << 10;
/// What sampling may cost, in parts of a million of the program's CPU time: a test may be slowed down, a service not.
const COST_SHORT_PPM: u32 = 100_000;
const COST_LONG_PPM: u32 = 10_000;
/// And so much of a processor it may cost in any case: what hardly works has hardly any CPU time to measure by.
const SPARE_SHORT_PPM: u32 = 50_000;
const SPARE_LONG_PPM: u32 = 1_000;
const SHORT: Duration = Duration::from_secs(600);

/// How something is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) duration: Duration,
    /// How often something is shown.
    pub(crate) interval: Duration,
}

impl Plan {
    pub(crate) fn new(duration: Duration, interval: Option<Duration>) -> Plan {
        let interval = interval.unwrap_or_else(|| SHOW_INTERVAL_MAX.min(duration / SHOWN));
        Plan { duration, interval: interval.max(READ_INTERVAL_MIN) }
    }

    /// How often a process is looked at, whatever is shown.
    /// In the beginning it is looked at more often, so that whoever interrupts us early has an answer too.
    pub(crate) fn read_interval(&self, passed: Duration) -> Duration {
        let usual = (self.duration / READINGS).clamp(READ_INTERVAL_MIN, READ_INTERVAL_MAX);
        usual.min((passed / READINGS_EARLY).max(READ_INTERVAL_MIN))
    }

    /// How often a service is asked.
    pub(crate) fn get_interval(&self) -> Duration {
        self.read_interval(self.duration).max(GET_INTERVAL_MIN)
    }

    /// The unit of ages, in whole milliseconds.
    pub(crate) fn epoch(&self) -> Duration {
        let epoch = (self.duration / EPOCHS).clamp(EPOCH_MIN, EPOCH_MAX);
        Duration::from_millis(u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// How densely is sampled if nobody says.
    pub(crate) fn sample(&self) -> Sample {
        let finest = self.duration.as_secs().saturating_mul(FINEST_BYTES_PER_S);
        Sample::Fine {
            cost_max_ppm: if self.duration <= SHORT { COST_SHORT_PPM } else { COST_LONG_PPM },
            finest: Bytes::new(finest.clamp(FINEST_BYTES_MIN, FINEST_BYTES_MAX)),
            spare_ppm: if self.duration <= SHORT { SPARE_SHORT_PPM } else { SPARE_LONG_PPM },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_follows_from_the_duration() {
        let seconds = |seconds| Plan::new(Duration::from_secs(seconds), None);
        for (duration_s, read_ms, epoch_ms, shown_s, sample) in [
            (20, 250, 83, 2, "adaptive:100000:256:50000"),
            (600, 5_000, 2_500, 60, "adaptive:100000:2400:50000"),
            (86_400, 10_000, 10_000, 60, "adaptive:10000:32768:1000"),
        ] {
            let plan = seconds(duration_s);
            assert_eq!(plan.read_interval(plan.duration).as_millis(), read_ms, "{duration_s} s");
            assert_eq!(plan.epoch().as_millis(), epoch_ms, "{duration_s} s");
            assert_eq!(plan.interval.as_secs(), shown_s, "{duration_s} s");
            assert_eq!(plan.sample().to_string(), sample, "{duration_s} s");
        }
        assert_eq!(seconds(0).read_interval(Duration::ZERO), READ_INTERVAL_MIN);
        assert_eq!(seconds(86_400).read_interval(Duration::from_secs(60)), Duration::from_secs(2));
        assert_eq!(seconds(1).epoch(), EPOCH_MIN);
        assert_eq!(seconds(20).get_interval(), GET_INTERVAL_MIN);
    }
}
