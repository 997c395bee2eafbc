//! Objects that grow old and never die.
//!
//! A site leaks if allocations that have grown old keep being added and hardly any of the old ones dies. In a cache that
//! is full, a pool, sessions, a batch that is flushed, as many old ones die as come: their *flow* is balanced, whatever
//! their number does. So not the number is judged but the flow, at several lines of age: what is old is not known
//! beforehand, and a leak beside healthy objects of the same line is seen where the healthy ones are dead.

use std::time::Duration;

use super::flow::{Line, Past};
use super::rules::{CHANCE, CONFIRMED_PART, Conditions, Finding, Gates, RATE_MIN_PER_S, START_PART, spoken};
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
/// Nor are ever more than this part of the old ones freed at one go: what is flushed is not lost.
const FLUSH_PART_MAX: f64 = 0.5;
/// Fewer are no flush.
const FLUSH_MIN: u64 = 4;
/// From this part on as much dies as comes, but for the time that it takes.
const DEATHS_PART_STEADY: f64 = 0.7;
/// Survivors must be in this part of the blocks that would be hit by chance.
const SPREAD_PART_MIN: f64 = 0.65;
/// No block may have more than this part of the survivors: a burst is no leak.
const BLOCK_SHARE_MAX: f64 = 0.5;
/// A leak goes on for at least this part of the blocks: what has come since is else the last tooth of a saw.
const SPAN_PART_MIN: f64 = 0.5;
/// An inflow that surely slows down faster than this exponent is a cache or a table of names that fills.
const SLOWING_MAX: f64 = 0.3;
/// One that may be as slow as a logarithm is not yet known to be a leak.
const LOGARITHM: f64 = 1.0;
/// The first part of the time in which nearly every program makes its tables.
const EARLY_PART: f64 = 0.02;
/// From there on an inflow must surely fall less than this: one like a logarithm that begins late falls so.
const EARLY_MAX: f64 = 0.7;
/// The error of an exponent from as few survivors as are enough, but for chance. What is known worse came in clumps.
const FEW_ERROR_MAX: f64 = 0.65;
/// The name of the gate that judges that.
const EVEN: &str = "even inflow";
/// Of a normal distribution, so many errors to one side hold 95 %.
const ONE_SIDED: f64 = 1.645;
/// And so many 99 %.
const SURELY: f64 = 2.326;
/// An inflow has stopped if the last quarter has less than this part of its share, and that is no chance.
const STOPPED_PART: f64 = 0.4;
const STOPPED_CHANCE: f64 = 0.02;

/// Whether ages are told apart finely enough for the time that was observed; if not, for how long it must be, in seconds.
pub(super) fn needs_s(past: Past<'_>) -> Option<f64> {
    let observed_s = past.end_s() - past.begin_s();
    let Line { old_s, block_s, .. } = past.line_s(1);
    // The start, the time until something is old, and the fewest blocks in which to count it.
    let needed_s = (old_s + 2.0 * block_s * BLOCKS_MIN as f64) / (1.0 - START_PART);
    let needed_s = needed_s.max(old_s / LINE_PART_MAX);
    (observed_s < needed_s).then_some(needed_s)
}

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
        if persists && seen.survivors >= 2 * SURVIVORS_MIN && seen.is_surely_even {
            State::Confirmed
        } else {
            State::Suspect
        }
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
    is_kept: bool,
    is_even: bool,
    /// The same by the stricter measure of what is confirmed.
    is_surely_even: bool,
    is_steady: bool,
    is_open: bool,
}

/// The line at which it looks most like a leak: of those at which all gates are passed the oldest that is surely even, else
/// the one with the most gates passed, and then one at which anything survived.
fn best_line(past: Past<'_>, conditions: &Conditions) -> Option<Seen> {
    let observed_s = past.end_s() - past.begin_s();
    let lines = (1..GENERATIONS).filter(|&line| {
        let it = past.line_s(line);
        it.old_s <= observed_s * LINE_PART_MAX && it.young_s >= observed_s * LINE_PART_MIN
    });
    let mut seen: Vec<Seen> = lines.filter_map(|line| at_line(past, line, conditions)).collect();
    veto(&mut seen);
    let rank = |seen: &Seen| {
        let passed = seen.gates.0.iter().filter(|gate| gate.passed).count();
        // Where nothing came into the gates, what is steady at a young line says more than nothing at an old one.
        (
            seen.gates.passed(),
            seen.is_surely_even,
            seen.is_open,
            if seen.gates.passed() { 0 } else { passed },
            seen.survivors > 0,
        )
    };
    // Of equals the oldest.
    seen.into_iter().max_by_key(rank)
}

/// At an old line there are fewer survivors in less time, and what slows down there may pass for even. So a line's word
/// counts for less than that of one at which nothing dies either and the exponent is better known.
fn veto(seen: &mut [Seen]) {
    let doubts: Vec<f64> =
        seen.iter().filter(|it| it.is_kept && !it.is_even).filter_map(|it| Some(it.slowing?.1)).collect();
    let Some(best_known) = doubts.into_iter().min_by(f64::total_cmp) else { return };
    for it in seen.iter_mut().filter(|it| it.is_even) {
        if it.slowing.is_some_and(|(_, error)| error > best_known) {
            it.is_even = false;
            if let Some(gate) = it.gates.0.iter_mut().find(|gate| gate.name == EVEN) {
                gate.passed = false;
                gate.found.push_str(", and surely not evenly among younger ones");
            }
        }
    }
}

fn at_line(past: Past<'_>, number: usize, conditions: &Conditions) -> Option<Seen> {
    let line = past.line_s(number);
    let crossings = past.crossings(number, conditions.start_s(past), BLOCKS);
    let count = crossings.len();
    if count < BLOCKS_MIN {
        return None;
    }
    let from = crossings[0].from;
    let window_s = past.end_s() - past.at_s(from);
    let survivors_in: Vec<u64> = crossings.iter().map(|it| past.promoted(number, it.from, it.to)).collect();
    let weights: Vec<f64> = crossings.iter().map(|it| past.promoted_weight(number, it.from, it.to)).collect();
    let lengths: Vec<f64> = crossings.iter().map(|it| it.blocks).collect();
    let survivors: u64 = survivors_in.iter().sum();
    let deaths = past.died(number, from, past.last);
    let mut gates = Gates::default();

    let recent = crossings[count - count.div_ceil(3)].from;
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
    let is_flushed = crossings.iter().any(|it| {
        let (lived, died) = (past.live(number, it.from), past.died(number, it.from, it.to));
        died >= FLUSH_MIN && died as f64 > FLUSH_PART_MAX * lived as f64
    });
    let is_kept = gates.test(
        "never freed",
        deaths_part <= DEATHS_PART_MAX
            && (recent_part <= 2.0 * DEATHS_PART_MAX || recent_deaths < 2)
            && !is_flushed,
        format!("{deaths} old ones died, {recent_deaths} of them in the last third"),
    );

    let first = survivors_in.iter().position(|&count| count > 0).unwrap_or(count);
    let blocks = count - first;
    let hit = survivors_in.iter().filter(|&&count| count > 0).count();
    let length: f64 = lengths[first..].iter().sum();
    let expected_hit: f64 =
        lengths[first..].iter().map(|it| 1.0 - (1.0 - it / length).powf(survivors as f64)).sum();
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
    let expected = survivors as f64 * lengths[count - last_blocks..].iter().sum::<f64>() / length.max(1.0);
    let has_stopped =
        (last as f64) < STOPPED_PART * expected && statistics::at_most(last, expected) < STOPPED_CHANCE;
    let goes_on = gates.test(
        "goes on",
        !has_stopped && last > 0,
        format!("{last} came in the last quarter, where {expected:.1} would be an even share"),
    );

    let at_s: Vec<f64> = crossings[first..].iter().map(|it| it.born_s).collect();
    let slowing = statistics::slowing(&at_s, &lengths[first..], &weights[first..], survivors);
    let (is_slowing, mut may_be_logarithm) = match slowing {
        Some((exponent, error)) => {
            (exponent - ONE_SIDED * error > SLOWING_MAX, exponent + ONE_SIDED * error >= LOGARITHM)
        }
        None => (false, true),
    };
    let is_only_few = slowing.is_some_and(|(_, error)| error <= FEW_ERROR_MAX);
    let early = if conditions.from_birth && is_only_few { from_the_start(past, number) } else { None };
    let starts_no_faster =
        |errors: f64| early.is_some_and(|(exponent, error)| exponent + errors * error < EARLY_MAX);
    let is_no_logarithm = |errors: f64| {
        slowing.is_some_and(|(exponent, error)| exponent + errors * error < LOGARITHM)
            || starts_no_faster(errors)
    };
    may_be_logarithm &= !starts_no_faster(ONE_SIDED);
    let is_even = gates.test(
        EVEN,
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
    let is_open =
        !is_steady && is_large && !has_stopped && !is_slowing && is_kept && is_enough && is_spread && goes_on;
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
        is_kept: is_kept && is_enough && is_spread,
        is_even,
        is_surely_even: is_no_logarithm(SURELY),
        is_steady,
        is_open,
    })
}

/// How the inflow falls from the start of the program on. Few survivors do not tell an even inflow from one that falls like
/// a logarithm within the last nine tenths of the time; but of the logarithm half is in the first tenth. A program makes
/// its tables then too, so what comes there speaks for an even inflow or not at all.
fn from_the_start(past: Past<'_>, number: usize) -> Option<(f64, f64)> {
    let from_s = past.begin_s() + (past.end_s() - past.begin_s()) * EARLY_PART;
    let crossings = past.crossings(number, from_s, 2 * BLOCKS);
    let weights: Vec<f64> = crossings.iter().map(|it| past.promoted_weight(number, it.from, it.to)).collect();
    let lengths: Vec<f64> = crossings.iter().map(|it| it.blocks).collect();
    let at_s: Vec<f64> = crossings.iter().map(|it| it.born_s).collect();
    let survivors = crossings.iter().map(|it| past.promoted(number, it.from, it.to)).sum();
    statistics::slowing(&at_s, &lengths, &weights, survivors)
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
