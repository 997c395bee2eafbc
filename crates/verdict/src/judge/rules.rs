//! What the rules have in common: what they are told, what they find, and the thresholds.
//!
//! Everything is relative to the time that was observed, so that thirty seconds of a test and three weeks of a service
//! are judged alike. The constants were chosen on simulated services and on the labelled corpus, and were fixed before
//! the seeds were drawn that they are scored on.

use std::time::Duration;

use super::flow::Past;
use super::verdict::{Evidence, Gate, Kind, Rate, State};

/// What comes before this part of the observation is the start of the program: tables, pools and threads that are made
/// once.
pub(super) const START_PART: f64 = 0.1;
/// A leak is confirmed if it was one already when this part of the time had passed.
pub(super) const CONFIRMED_PART: f64 = 2.0 / 3.0;
/// The chance, over all sites together, to blame one by chance alone.
pub(super) const CHANCE: f64 = 0.01;
/// Less than this is no leak that anybody will notice: 64 KiB an hour.
pub(super) const RATE_MIN_PER_S: f64 = 64.0 * 1024.0 / 3600.0;

/// What a rule is told beside the flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    /// The process was seen from its first allocation on.
    pub(super) from_birth: bool,
    /// Before this much of its life has passed nothing is said, in seconds.
    pub(super) warm_up_s: f64,
    /// How many sites are looked at: the more, the more do badly by chance.
    pub(super) sites: usize,
}

/// What a rule found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) state: State,
    /// It could not be decided, and matters.
    pub(super) is_open: bool,
    pub(super) growth: Rate,
    pub(super) evidence: Evidence,
}

impl Conditions {
    /// Where the start of the program ends, for a past.
    pub(super) fn start_s(&self, past: Past<'_>) -> f64 {
        let begin_s = past.begin_s();
        let start_s = if self.from_birth { begin_s + (past.end_s() - begin_s) * START_PART } else { begin_s };
        // What was to die soon grew old in a stall, and died behind it: that is a start too.
        past.stalled_until_s().map_or(start_s, |end_s| start_s.max(end_s))
    }

    /// Whether the process is too young for anything to be said.
    pub(super) fn is_warming(&self, past: Past<'_>) -> bool {
        past.end_s() < self.warm_up_s
    }
}

impl Finding {
    /// Nothing grows, by the rule of this kind.
    pub(super) fn nothing(past: Past<'_>) -> Finding {
        let window = Duration::from_secs_f64((past.end_s() - past.begin_s()).max(0.0));
        Finding {
            state: State::Steady,
            is_open: false,
            growth: Rate::default(),
            evidence: Evidence {
                window,
                kind: Some(Kind::None),
                p_value: 1.0,
                e_value: 1.0,
                ..Evidence::default()
            },
        }
    }
}

/// The tests of one rule, in order, and whether all were passed.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates(pub(super) Vec<Gate>);

impl Gates {
    /// Notes a test, and says whether it was passed.
    pub(super) fn test(&mut self, name: &'static str, passed: bool, found: String) -> bool {
        self.0.push(Gate { name, passed, found });
        passed
    }

    pub(super) fn passed(&self) -> bool {
        self.0.iter().all(|gate| gate.passed)
    }
}

/// Seconds as people say them.
pub(super) fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
