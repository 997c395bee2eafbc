//! One container that only grows.
//!
//! A `Vec`, a table of hashes or a buffer that nobody empties is one object, or two for a moment; it has no flow. It grows
//! in steps: by doubling mostly, so that at an even inflow each step comes twice as late as the one before. What tells it
//! from one that has reached its size is that steps came in each of the last octaves of time, and that the next one is not
//! overdue.

use std::time::Duration;

use super::flow::Past;
use super::rules::{CONFIRMED_PART, Conditions, Finding, Gates, RATE_MIN_PER_S, spoken};
use super::verdict::{Evidence, Kind, Rate, State};

/// A step is a rise by this factor at least: what doubles, but for the neighbours that do not.
const STEP: f64 = 1.2;
/// Steps in the last three octaves of time.
const STEPS_MIN: usize = 3;
/// It is that many times as large as an eighth of the time before the end.
const GROWTH_MIN: f64 = 3.0;
/// And an object of the site so many times as large: else there are more objects, and their rule says more.
const OBJECT_GROWTH_MIN: f64 = 1.8;
/// So much of the growth, by its logarithm, must come from objects that are larger: buffers that are made one after the
/// other, and each grown once, are more and larger at the same time.
const OBJECT_PART_MIN: f64 = 0.7;
/// Where `realloc` is used at all, some block must have been made larger that often since it was first sampled.
const CHAIN_MIN: u32 = 2;
/// The next step is overdue if this many times the time of the last one has passed; with an even inflow it is two.
const OVERDUE: f64 = 2.4;
/// Of the largest that it ever was it has this part still. While a table is moved, the old and the new one are both there.
const KEPT_PART_MIN: f64 = 0.6;
/// Smaller ones are not looked at, in bytes.
const BYTES_MIN: u64 = 2048;
/// Work that rose by more than this from one octave to the next explains a larger container.
const LOAD_MAX: f64 = 1.75;

/// What is said of a group of stacks as to a container that grows.
pub(super) fn judge(past: Past<'_>, conditions: &Conditions) -> Finding {
    let Some(seen) = look(past, conditions.from_birth) else { return Finding::nothing(past) };
    let state = if conditions.is_warming(past) {
        State::Warming
    } else if seen.gates.passed() {
        let before = past.until(past.begin_s() + (past.end_s() - past.begin_s()) * CONFIRMED_PART);
        let persists = look(before, conditions.from_birth).is_some_and(|it| it.gates.passed());
        // Six doublings: a factor of 64, at an even pace.
        if persists && seen.steps >= 2 * STEPS_MIN { State::Confirmed } else { State::Suspect }
    } else if seen.is_growing {
        State::Growing
    } else {
        State::Steady
    };
    let is_open = state == State::Growing && seen.is_open;
    let evidence = Evidence {
        kind: Some(if state == State::Steady { Kind::None } else { Kind::Container }),
        window: Duration::from_secs_f64((past.end_s() - past.begin_s()).max(0.0)),
        samples: seen.steps as u64,
        old: Duration::ZERO,
        old_objects: past.live_objects(past.last),
        old_deaths: 0,
        death_rate_high_per_s: 0.0,
        // Each step falls into its octave by chance with about one half.
        p_value: 0.5_f64.powi(seen.steps as i32),
        e_value: 1.0,
        slowing: None,
        gates: seen.gates.0,
    };
    Finding { state, is_open, growth: seen.growth, evidence }
}

struct Seen {
    steps: usize,
    growth: Rate,
    gates: Gates,
    is_growing: bool,
    is_open: bool,
}

fn look(past: Past<'_>, from_birth: bool) -> Option<Seen> {
    // Time is counted from the birth of the process: steps double from there.
    let end_s = past.end_s();
    let octave = |nth: i32| past.first_from(end_s / 2.0_f64.powi(nth));
    // A step is seen at the first reading after it: so early ones are looked for from the reading before on.
    let (eighth, quarter, half) = (octave(3).saturating_sub(1), octave(2).saturating_sub(1), octave(1));
    let now = past.live_bytes(past.last);
    if now < BYTES_MIN || past.last < 8 || half == quarter {
        return None;
    }
    let envelope = past.lower_envelope(|reading| past.live_bytes(reading));
    let steps = steps(&envelope);
    let in_last = |from: usize| steps.iter().filter(|&&at| at > from).count();
    let mut gates = Gates::default();
    let before = envelope[eighth].max(1);
    let least = envelope[past.last];
    gates.test(
        "growth",
        least as f64 >= GROWTH_MIN * before as f64,
        format!("{before} bytes after {}, {least} now", spoken(past.at_s(eighth))),
    );
    let is_stepping = gates.test(
        "steps",
        in_last(eighth) >= STEPS_MIN && in_last(half) >= 1 && in_last(quarter) > in_last(half),
        format!(
            "{} steps in the last half of the time, {} in the last three quarters, {} in all",
            in_last(half),
            in_last(quarter),
            steps.len()
        ),
    );
    // From the first moment in the last three quarters at which there was any of it.
    let then = (quarter..=past.last).find(|&reading| past.live_objects(reading) > 0).unwrap_or(past.last);
    let object = |reading: usize| past.live_bytes(reading) as f64 / past.live_objects(reading).max(1) as f64;
    let larger = object(past.last) / object(then).max(1.0);
    let more = now as f64 / past.live_bytes(then).max(1) as f64;
    let chain = past.longest_chain();
    let is_one = gates.test(
        "one object",
        larger >= OBJECT_GROWTH_MIN
            && larger.ln() >= OBJECT_PART_MIN * more.ln()
            && chain.is_none_or(|chain| chain >= CHAIN_MIN),
        format!(
            "{} objects of {:.0} bytes, before {} of {:.0}; one was made larger {} times",
            past.live_objects(past.last),
            object(past.last),
            past.live_objects(then),
            object(then),
            chain.unwrap_or(0)
        ),
    );
    let largest = (0..=past.last).map(|reading| past.live_bytes(reading)).max().unwrap_or(0);
    let is_kept = gates.test(
        "never smaller",
        now as f64 >= KEPT_PART_MIN * largest as f64,
        format!("{largest} bytes at its largest"),
    );
    let last_step_s = steps.last().map_or(0.0, |&at| past.at_s(at));
    let is_due = gates.test(
        "not overdue",
        end_s <= OVERDUE * last_step_s,
        format!("the last step came after {}", spoken(last_step_s)),
    );
    let load = past.load_rise();
    let is_not_load =
        gates.test("load", load < LOAD_MAX, format!("{load:.2} times as much work as in the octave before"));
    let window_s = (end_s - past.at_s(quarter)).max(1e-9);
    let per_s = least.saturating_sub(envelope[quarter]) as f64 / window_s;
    gates.test("size", per_s >= RATE_MIN_PER_S, format!("{per_s:.0} B/s"));
    // What doubles is known to a factor of two.
    let growth = Rate { bytes_per_s: per_s, low: per_s / 2.0, high: per_s * 2.0 };
    let is_growing = in_last(half) >= 1 && is_one;
    Some(Seen {
        steps: steps.len(),
        growth,
        is_growing,
        is_open: is_growing
            && is_kept
            && is_due
            && per_s >= RATE_MIN_PER_S
            // Of a process that was not seen from its birth on the earlier steps are missing.
            && (is_stepping && !is_not_load || !from_birth),
        gates,
    })
}

/// The readings at which a value that never falls had risen by [`STEP`] since the last such one.
fn steps(envelope: &[u64]) -> Vec<usize> {
    let mut steps = Vec::new();
    let mut level = 0;
    for (reading, &value) in envelope.iter().enumerate() {
        if value > 0 && value as f64 >= STEP * level as f64 {
            // What is there at the first reading was there before.
            if reading > 0 {
                steps.push(reading);
            }
            level = value;
        }
    }
    steps
}
