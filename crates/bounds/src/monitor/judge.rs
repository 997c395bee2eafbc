//! From a percentage to a level, with hysteresis. Pure.

use std::fmt;

/// How far usage must fall below the start of a level before that level is left, in percentage points.
/// Raised, a level flaps less and ends later.
pub const HYSTERESIS_POINTS: f64 = 5.0;

/// How serious it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Below the warning threshold.
    #[default]
    Normal,
    /// Somebody should look.
    Warning,
    /// Requests are about to be refused.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Normal => "normal",
            Level::Warning => "warning",
            Level::Critical => "critical",
        })
    }
}

/// Where the levels begin, in percent of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Default 80.
    pub warning_percent: u8,
    /// Default 95. Larger than the warning, and at most 100.
    pub critical_percent: u8,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds { warning_percent: 80, critical_percent: 95 }
    }
}

/// Thresholds in the wrong order, or past the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThresholdsError(pub Thresholds);

impl fmt::Display for ThresholdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Thresholds { warning_percent, critical_percent } = self.0;
        write!(
            f,
            "a warning at {warning_percent} % and critical at {critical_percent} %: the warning must come \
             first, and critical at 100 % at the latest"
        )
    }
}

impl std::error::Error for ThresholdsError {}

/// Remembers the level between looks.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    thresholds: Thresholds,
    level: Level,
}

impl Judge {
    /// Starts at [`Level::Normal`].
    ///
    /// # Errors
    /// [`ThresholdsError`].
    pub fn new(thresholds: Thresholds) -> Result<Judge, ThresholdsError> {
        let Thresholds { warning_percent, critical_percent } = thresholds;
        if warning_percent >= critical_percent || critical_percent > 100 {
            return Err(ThresholdsError(thresholds));
        }
        Ok(Judge { thresholds, level: Level::Normal })
    }

    /// The level at the last look.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes the present usage; the new level, when it changed.
    pub fn judge(&mut self, usage_percent: f64) -> Option<Level> {
        // A level that is held begins lower than one that is entered.
        let reached = |level: Level, start: u8| {
            let start = f64::from(start);
            usage_percent >= if self.level >= level { start - HYSTERESIS_POINTS } else { start }
        };
        let level = if reached(Level::Critical, self.thresholds.critical_percent) {
            Level::Critical
        } else if reached(Level::Warning, self.thresholds.warning_percent) {
            Level::Warning
        } else {
            Level::Normal
        };
        (std::mem::replace(&mut self.level, level) != level).then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves P13.
    #[test]
    fn tells_a_change_once_and_does_not_flap() {
        let mut judge = Judge::new(Thresholds::default()).expect("the defaults are in order");
        let steps = [
            (79.9, None),
            (80.0, Some(Level::Warning)),
            (94.9, None),
            (79.0, None), // still a warning: it is not clearly over
            (75.0, None),
            (74.9, Some(Level::Normal)),
            (95.0, Some(Level::Critical)), // straight past the warning
            (90.0, None),
            (89.9, Some(Level::Warning)),
            (0.0, Some(Level::Normal)),
            (200.0, Some(Level::Critical)),
            (0.0, Some(Level::Normal)),
        ];
        for (percent, change) in steps {
            assert_eq!(judge.judge(percent), change, "{percent}");
        }
    }

    #[test]
    fn refuses_thresholds_that_contradict_each_other() {
        for (warning_percent, critical_percent) in [(80, 80), (95, 80), (80, 101)] {
            let thresholds = Thresholds { warning_percent, critical_percent };
            assert_eq!(Judge::new(thresholds).err(), Some(ThresholdsError(thresholds)));
        }
    }
}
