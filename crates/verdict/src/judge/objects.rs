//! Objects that grow old and never die.
//!
//! A site leaks if allocations that have grown old keep being added and hardly any of the old ones dies. In a cache that
//! is full, a pool, sessions, a batch that is flushed, as many old ones die as come: their *flow* is balanced, whatever
//! their number does. So not the number is judged but the flow, at several lines of age: what is old is not known
//! beforehand, and a leak beside healthy objects of the same line is seen where the healthy ones are dead.

use std::time::Duration;

use super::flow::{Line, Past};
use super::rules::{CHANCE, CONFIRMED_PART, Conditions, Finding, Gates, RATE_MIN_PER_S, spoken};
use super::statistics;
use super::verdict::{Evidence, Kind, Rate, State};

use plimsoll_core::heap::GENERATIONS;

/// Old is at most this part of the time that was observed: older ones are too few to be judged.
const LINE_PART_MAX: f64 = 0.5;
/// And at least this part: what is younger is still in use.
const LINE_PART_MIN: f64 = 1.0 / 64.0;
/// Blocks of time in which survivors are counted.
const BLOCKS: usize = 12;
const BLOCKS_MIN: usize = 5;
/// With fewer survivors nothing is said.
const SURVIVORS_MIN: u64 = 8;
/// Of a leak not more than this part of the old objects dies.
const DEATHS_PART_MAX: f64 = 0.15;
/// From this part on as much dies as comes, but for the time that it takes.
const DEATHS_PART_STEADY: f64 = 0.7;
/// Survivors must be in this part of the blocks that would be hit by chance.
const SPREAD_PART_MIN: f64 = 0.65;
/// No block may have more than this part of the survivors: a burst is no leak.
const BLOCK_SHARE_MAX: f64 = 0.5;
/// A leak goes on for at least this part of the blocks.
const SPAN_PART_MIN: f64 = 0.4;
/// An inflow that surely slows down faster than this exponent is a cache or a table of names that fills.
const SLOWING_MAX: f64 = 0.3;
/// One that may be as slow as a logarithm is not yet known to be a leak.
const LOGARITHM: f64 = 1.0;
/// Of a normal distribution, so many errors to one side hold 95 %.
const ONE_SIDED: f64 = 1.645;
/// An inflow has stopped if the last quarter has less than this part of its share, and that is no chance.
const STOPPED_PART: f64 = 0.4;
const STOPPED_CHANCE: f64 = 0.02;

/// What is said of a group of stacks as to objects that never die.
pub(super) fn judge(past: Past<'_>, conditions: &Conditions) -> Finding {
    let Some(seen) = best_line(past, conditions) else {
        let mut finding = Finding::nothing(past);
        if conditions.is_warming(past) {
            finding.state = State::Warming;
        }
        return finding;
    };
    let earlier = |part: f64| {
        let until = past.until(past.begin_s() + (past.end_s() - past.begin_s()) * part);
        best_line(until, conditions)
    };
    let state = if conditions.is_warming(past) {
        State::Warming
    } else if seen.gates.passed() {
        let persists = earlier(CONFIRMED_PART).is_some_and(|before| before.gates.passed());
        if persists && seen.survivors >= 2 * SURVIVORS_MIN { State::Confirmed } else { State::Suspect }
    } else if seen.is_steady {
        let was_suspect =
            [0.5, 0.75].into_iter().any(|part| earlier(part).is_some_and(|it| it.gates.passed()));
        if was_suspect { State::Recovered } else { State::Steady }
    } else {
        State::Growing
    };
    let is_open = state == State::Growing && seen.is_open;
    Finding { state, is_open, growth: seen.growth, evidence: seen.evidence() }
}

/// What is seen at one line.
struct Seen {
    line: Line,
    window_s: f64,
    survivors: u64,
    deaths: u64,
    death_rate_high_per_s: f64,
    p_value: f64,
    e_value: f64,
    slowing: Option<(f64, f64)>,
    growth: Rate,
    gates: Gates,
    is_steady: bool,
    is_open: bool,
}

/// The line at which it looks most like a leak: of those at which all gates are passed the oldest, else the one with the
/// most gates passed, and then the most survivors.
fn best_line(past: Past<'_>, conditions: &Conditions) -> Option<Seen> {
    let observed_s = past.end_s() - past.begin_s();
    let lines = (1..GENERATIONS).filter(|&line| {
        let it = past.line_s(line);
        it.old_s <= observed_s * LINE_PART_MAX && it.young_s >= observed_s * LINE_PART_MIN
    });
    let mut best: Option<Seen> = None;
    for line in lines {
        let Some(seen) = at_line(past, line, conditions) else { continue };
        let rank = |seen: &Seen| {
            let passed = seen.gates.0.iter().filter(|gate| gate.passed).count();
            // Where nothing came into the gates, what is steady at a young line says more than nothing at an old one.
            (
                seen.gates.passed(),
                seen.is_open,
                if seen.gates.passed() { 0 } else { passed },
                seen.survivors > 0,
            )
        };
        if best.as_ref().is_none_or(|before| rank(&seen) >= rank(before)) {
            best = Some(seen);
        }
    }
    best
}

fn at_line(past: Past<'_>, number: usize, conditions: &Conditions) -> Option<Seen> {
    let line = past.line_s(number);
    let start_s = conditions.start_s(past);
    let from = past.first_from(start_s + line.old_s);
    let from_s = past.at_s(from);
    let window_s = past.end_s() - from_s;
    // Objects cross in blocks of time; to tell one block from the next, ours must be twice as long.
    let count = BLOCKS.min((window_s / (2.0 * line.block_s)) as usize);
    if count < BLOCKS_MIN {
        return None;
    }
    let parts = past.parts(from_s, count);
    let survivors_in: Vec<u64> = parts.windows(2).map(|it| past.promoted(number, it[0], it[1])).collect();
    let weights: Vec<f64> = parts.windows(2).map(|it| past.promoted_weight(number, it[0], it[1])).collect();
    let survivors: u64 = survivors_in.iter().sum();
    let deaths = past.died(number, from, past.last);
    let mut gates = Gates::default();

    let recent = parts[count - count.div_ceil(3)];
    let (recent_survivors, recent_deaths) =
        (past.promoted(number, recent, past.last), past.died(number, recent, past.last));
    let deaths_part = deaths as f64 / survivors.max(1) as f64;
    let recent_part = recent_deaths as f64 / recent_survivors.max(1) as f64;

    let p_value = statistics::imbalance(survivors, deaths);
    let chance = (p_value * conditions.sites.max(1) as f64).min(1.0);
    let is_enough = gates.test(
        "survivors",
        survivors >= SURVIVORS_MIN && chance < CHANCE,
        format!("{survivors} sampled objects became older than {}, p {p_value:.1e}", spoken(line.young_s)),
    );
    let is_kept = gates.test(
        "never freed",
        deaths_part <= DEATHS_PART_MAX && (recent_part <= 2.0 * DEATHS_PART_MAX || recent_deaths < 2),
        format!("{deaths} old ones died, {recent_deaths} of them in the last third"),
    );

    let first = survivors_in.iter().position(|&count| count > 0).unwrap_or(count);
    let blocks = count - first;
    let hit = survivors_in.iter().filter(|&&count| count > 0).count();
    let expected_hit = blocks as f64 * (1.0 - (1.0 - 1.0 / blocks.max(1) as f64).powf(survivors as f64));
    let largest = survivors_in.iter().copied().max().unwrap_or(0);
    let is_spread = gates.test(
        "spread",
        blocks as f64 >= SPAN_PART_MIN * count as f64
            && hit as f64 >= SPREAD_PART_MIN * expected_hit
            && largest as f64 <= BLOCK_SHARE_MAX * survivors as f64,
        format!("they came in {hit} of {count} blocks of time, at most {largest} in one"),
    );

    let last_blocks = blocks.div_ceil(4);
    let last: u64 = survivors_in[count - last_blocks..].iter().sum();
    let expected = survivors as f64 * last_blocks as f64 / blocks.max(1) as f64;
    let has_stopped =
        (last as f64) < STOPPED_PART * expected && statistics::at_most(last, expected) < STOPPED_CHANCE;
    let goes_on = gates.test(
        "goes on",
        !has_stopped && last > 0,
        format!("{last} came in the last quarter, where {expected:.1} would be an even share"),
    );

    let births_s = |block: usize| {
        let middle = (past.at_s(parts[block]) + past.at_s(parts[block + 1])) / 2.0;
        middle - (line.young_s + line.old_s) / 2.0
    };
    let at_s: Vec<f64> = (first..count).map(births_s).collect();
    let slowing = statistics::slowing(&at_s, &weights[first..], survivors);
    let (is_slowing, may_be_logarithm) = match slowing {
        Some((exponent, error)) => {
            (exponent - ONE_SIDED * error > SLOWING_MAX, exponent + ONE_SIDED * error >= LOGARITHM)
        }
        None => (false, true),
    };
    gates.test(
        "even inflow",
        !is_slowing && !may_be_logarithm,
        match slowing {
            Some((exponent, error)) => format!("falls as t^-x with x {exponent:.2} ± {error:.2}"),
            None => "too few to tell".to_owned(),
        },
    );

    let gained = past.bytes(number, past.last) as f64 - past.bytes(number, from) as f64;
    let per_s = gained.max(0.0) / window_s.max(1e-9);
    let error = 1.96 / (survivors.max(1) as f64).sqrt();
    let growth =
        Rate { bytes_per_s: per_s, low: per_s * (1.0 - error).max(0.0), high: per_s * (1.0 + error) };
    let is_large = gates.test(
        "size",
        per_s >= RATE_MIN_PER_S,
        format!("{:.0} B/s, of which anything under {RATE_MIN_PER_S:.0} B/s is let pass", per_s),
    );

    let exposure_s: f64 =
        (from..past.last).map(|at| past.live(number, at) as f64 * (past.at_s(at + 1) - past.at_s(at))).sum();
    let is_steady = survivors < SURVIVORS_MIN / 2
        || deaths_part >= DEATHS_PART_STEADY
        || recent_part >= DEATHS_PART_STEADY;
    let is_open = !is_steady
        && is_large
        && !has_stopped
        && !is_slowing
        && is_kept
        && (is_enough || is_spread)
        && (goes_on || last > 0);
    Some(Seen {
        line,
        window_s,
        survivors,
        deaths,
        death_rate_high_per_s: statistics::death_rate_high(deaths, exposure_s),
        p_value,
        e_value: statistics::e_value(survivors, deaths),
        slowing,
        growth,
        gates,
        is_steady,
        is_open,
    })
}

impl Seen {
    fn evidence(self) -> Evidence {
        Evidence {
            kind: Some(if self.is_steady { Kind::None } else { Kind::Objects }),
            window: Duration::from_secs_f64(self.window_s.max(0.0)),
            samples: self.survivors + self.deaths,
            old: Duration::from_secs_f64(self.line.young_s),
            old_objects: self.survivors,
            old_deaths: self.deaths,
            death_rate_high_per_s: self.death_rate_high_per_s,
            p_value: self.p_value,
            e_value: self.e_value,
            slowing: self.slowing,
            gates: self.gates.0,
        }
    }
}
