//! More comes than goes: a queue whose reader is too slow, or a leak beside healthy objects of the same line and age.
//!
//! Old ones die here, so the flow alone does not tell. What does: their number rises evenly while no more are born than
//! before, so each lives longer and longer. Where load rises, more are born; where a cache fills, the rise slows down.

use std::time::Duration;

use super::flow::Past;
use super::rules::{CONFIRMED_PART, Conditions, Finding, Gates, RATE_MIN_PER_S, spoken};
use super::statistics;
use super::verdict::{Evidence, Kind, Rate, State};

/// The line from which on objects are counted: the youngest that has a past.
const LINE: usize = 1;
/// The last part of the time, which is looked at: what has a lifetime has settled by then.
const SETTLED_PART: f64 = 0.4;
/// Each half of that must rise by as many standard errors.
const HALF_ERRORS_MIN: f64 = 1.5;
/// Both together by as many.
const ERRORS_MIN: f64 = 3.5;
/// The second half rises by at least this part of what the first does.
const EVEN_PART_MIN: f64 = 0.6;
/// No more may be born in the second half than so many times those of the first.
const BIRTHS_MAX: f64 = 1.15;
/// Nor much less: what is born less and less and never dies is a table of names, and the rule for objects knows those.
const BIRTHS_MIN: f64 = 0.75;
/// So many old ones must die for each that comes. Where none does, the rule for objects says more, and is stricter.
const DEATHS_PART_MIN: f64 = 0.1;
/// Blocks of time; in so many of them the least number must be above that of the one before.
const BLOCKS: usize = 8;
const RISES_MIN: usize = 6;
/// The number rises to at least so many times what it was when the window began.
const RISE_MIN: f64 = 1.3;
/// Where things have a lifetime, more die when there are more of them. A reader that is too slow does not become faster.
/// So few deaths in the second half must be no chance.
const KEEPS_UP_CHANCE: f64 = 0.05;
/// But nor does it stop: if far fewer die than in the first half, they were flushed, and will be again.
const STILL_PART_MIN: f64 = 0.4;
/// What is confirmed must be evener and less of a chance: lifetimes with a heavy tail settle so slowly that now and then
/// they look like this.
const SURELY_EVEN_PART_MIN: f64 = 0.75;
const SURELY_CHANCE: f64 = 1e-3;
const LOAD_MAX: f64 = 1.25;

/// What is said of a group of stacks as to a backlog.
pub(super) fn judge(past: Past<'_>, conditions: &Conditions) -> Finding {
    let Some(seen) = look(past) else { return Finding::nothing(past) };
    let state = if conditions.is_warming(past) {
        State::Warming
    } else if seen.gates.passed() {
        let before = past.until(past.begin_s() + (past.end_s() - past.begin_s()) * CONFIRMED_PART);
        let persists = look(before).is_some_and(|it| it.gates.passed());
        if persists && seen.is_sure { State::Confirmed } else { State::Suspect }
    } else {
        State::Steady
    };
    Finding { state, is_open: false, growth: seen.growth, evidence: seen.evidence }.with_gates(seen.gates)
}

impl Finding {
    fn with_gates(mut self, gates: Gates) -> Finding {
        self.evidence.gates = gates.0;
        self
    }
}

struct Seen {
    growth: Rate,
    gates: Gates,
    evidence: Evidence,
    /// Also by the stricter measure of what is confirmed.
    is_sure: bool,
}

fn look(past: Past<'_>) -> Option<Seen> {
    let observed_s = past.end_s() - past.begin_s();
    let from_s = past.begin_s() + observed_s * SETTLED_PART;
    let parts = past.parts(from_s, BLOCKS);
    let (from, middle, end) = (parts[0], parts[BLOCKS / 2], past.last);
    if parts.windows(2).any(|it| it[0] == it[1]) {
        return None;
    }
    let rise = |a: usize, b: usize| past.live(LINE, b) as f64 - past.live(LINE, a) as f64;
    let error =
        |a: usize, b: usize| ((past.promoted(LINE, a, b) + past.died(LINE, a, b)) as f64).sqrt().max(1.0);
    let (first, second) = (rise(from, middle), rise(middle, end));
    let mut gates = Gates::default();
    gates.test(
        "rise",
        first >= HALF_ERRORS_MIN * error(from, middle)
            && second >= HALF_ERRORS_MIN * error(middle, end)
            && first + second >= ERRORS_MIN * error(from, end)
            && past.live(LINE, end) as f64 >= RISE_MIN * past.live(LINE, from) as f64,
        format!(
            "{} sampled objects at {}, {} in the middle, {} now",
            past.live(LINE, from),
            spoken(past.at_s(from)),
            past.live(LINE, middle),
            past.live(LINE, end)
        ),
    );
    gates.test("even rise", second >= EVEN_PART_MIN * first, format!("{first:.0}, then {second:.0}"));
    let least: Vec<u64> =
        parts.windows(2).map(|it| (it[0]..=it[1]).map(|at| past.live(LINE, at)).min().unwrap_or(0)).collect();
    let rises = least.windows(2).filter(|it| it[1] > it[0]).count();
    gates.test(
        "never less",
        rises >= RISES_MIN,
        format!("the least number rose {rises} times in {BLOCKS} blocks of time"),
    );
    let births = |a: usize, b: usize| {
        let born = past.allocated_objects(b).saturating_sub(past.allocated_objects(a));
        born as f64 / (past.at_s(b) - past.at_s(a)).max(1e-9)
    };
    let more = births(middle, end) / births(from, middle).max(1e-9);
    gates.test(
        "births",
        (BIRTHS_MIN..=BIRTHS_MAX).contains(&more),
        format!("{more:.2} times as many in the second half"),
    );
    let load = past.load_rise();
    gates.test("load", load < LOAD_MAX, format!("{load:.2} times as much work as in the octave before"));
    let window_s = past.end_s() - past.at_s(from);
    let per_s = past.bytes(LINE, end).saturating_sub(past.bytes(LINE, from)) as f64 / window_s.max(1e-9);
    gates.test("size", per_s >= RATE_MIN_PER_S, format!("{per_s:.0} B/s"));
    let (grew, died) = (past.promoted(LINE, from, end), past.died(LINE, from, end));
    gates.test(
        "some die",
        died as f64 >= DEATHS_PART_MIN * grew as f64,
        format!("{died} old ones died, and {grew} came"),
    );
    let half = |a: usize, b: usize| {
        let lived = (a..b).map(|at| past.live(LINE, at) as f64 * (past.at_s(at + 1) - past.at_s(at)));
        (past.died(LINE, a, b), lived.sum::<f64>())
    };
    let ((died_first, lived_first), (died_second, lived_second)) = (half(from, middle), half(middle, end));
    let share = lived_second / (lived_first + lived_second).max(1e-9);
    let keeps_up = statistics::of_coins(died_second, died_first + died_second, share);
    gates.test(
        "not freed faster",
        keeps_up < KEEPS_UP_CHANCE && died_second as f64 >= STILL_PART_MIN * died_first as f64,
        format!(
            "{died_first} died, then {died_second}, where {:.0} would if each died as soon as before, p {keeps_up:.1e}",
            died_first as f64 * lived_second / lived_first.max(1e-9)
        ),
    );
    let spread = 1.96 * error(from, end) / (first + second).max(1.0);
    let evidence = Evidence {
        kind: Some(Kind::Backlog),
        window: Duration::from_secs_f64(window_s.max(0.0)),
        samples: grew + died,
        old: Duration::from_secs_f64(past.line_s(LINE).young_s),
        old_objects: grew,
        old_deaths: died,
        death_rate_high_per_s: 0.0,
        p_value: statistics::imbalance(grew, died),
        e_value: statistics::e_value(grew, died),
        slowing: None,
        gates: Vec::new(),
    };
    let growth =
        Rate { bytes_per_s: per_s, low: per_s * (1.0 - spread).max(0.0), high: per_s * (1.0 + spread) };
    let is_sure = second >= SURELY_EVEN_PART_MIN * first && keeps_up < SURELY_CHANCE;
    Some(Seen { growth, gates, evidence, is_sure })
}
