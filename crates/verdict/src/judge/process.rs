//! The process as a whole: what its resident memory says, the profiled heap aside.
//!
//! A heap that is in order says nothing of what was mapped by hand, of threads' stacks, of an allocator that does not give
//! back, or of a C library that is not profiled. Resident memory has it all. It has no ages, so the rule is a coarse one:
//! what never falls below again must rise in most blocks of time, and not less in the second half than in the first.

use plimsoll_core::Bytes;
use plimsoll_core::heap::{MemoryPart, ProcessMemory};

use super::rules::{Gates, spoken};
use super::series::{Kept, Series};
use super::verdict::{PartChange, ProcessVerdict, Rate, State};
use crate::profile::Memory;

/// Parts of memory by name. What a reader does not know is counted with the last.
const PARTS: [&str; 7] =
    ["heap", "allocator_slack", "thread_stacks", "files", "profiler", "shared_memory", UNEXPLAINED];
const UNEXPLAINED: &str = crate::profile::UNEXPLAINED;
/// Not the program's growth: the heap is judged by its sites, files can be dropped by the kernel at any time, and the
/// profiler is we ourselves.
const NOT_JUDGED: [&str; 3] = ["heap", "files", "profiler"];
/// Mapped whole at the start by those who have it, such as servers of databases, and touched little by little: it leaves the
/// verdict open and blames nobody.
const NOT_BLAMED: &str = "shared_memory";

/// The first part of the time is the start of the program.
const START_PART: f64 = 0.25;
const BLOCKS: usize = 10;
/// In so many of the nine steps from block to block the lower envelope must rise.
const RISES_MIN: usize = 7;
/// The second half rises by at least this part of what the first does.
const EVEN_PART_MIN: f64 = 0.6;
/// A rise must be at least this, and this part of resident memory: an allocator's slack and pages that are touched for the
/// first time come to a MiB in many a healthy program, and evenly at that.
const RISE_MIN: u64 = 2 << 20;
const RISE_PART_MIN: f64 = 0.05;
/// A smaller one blames nobody, but from here on nobody is sure, if it is this even; and for the heap as a whole if it is this
/// part of it.
const SMALL_RISE_MIN: u64 = 96 << 10;
const SURELY_EVEN_PART_MIN: f64 = 0.75;
const HEAP_RISE_PART_MIN: f64 = 0.25;
/// One that fits no rule leaves the verdict open from here on.
const OPEN_MIN: u64 = 4 << 20;
const OPEN_PART_MIN: f64 = 0.1;

/// The parts of a file, whose names are text.
pub(super) fn memory_of(memory: &Memory) -> ProcessMemory {
    let mut parts: Vec<MemoryPart> = Vec::new();
    for part in &memory.parts {
        let name = memory_part(&part.name);
        match parts.iter_mut().find(|known| known.name == name) {
            Some(known) => known.resident_bytes = known.resident_bytes.saturating_add(part.resident_bytes),
            None => parts.push(MemoryPart { name, resident_bytes: part.resident_bytes }),
        }
    }
    ProcessMemory { resident_bytes: memory.resident_bytes, parts }
}

/// The part that a name of a file means.
pub(super) fn memory_part(name: &str) -> &'static str {
    PARTS.iter().find(|known| **known == name).copied().unwrap_or(UNEXPLAINED)
}

/// What is said of the process, and whether something in it stays open.
pub(super) struct Judged {
    pub(super) verdict: ProcessVerdict,
    /// The part that leaves the verdict open, and by how much it rose in the last half.
    pub(super) open: Option<(String, Bytes)>,
    /// How fast what lives on the profiled heap rises as a whole, if it does so evenly, in bytes a second. Where no line
    /// explains that, nobody can call it clean.
    pub(super) heap_rises_per_s: Option<f64>,
}

/// Judges the process. Without a profiled heap resident memory is judged as a whole.
pub(super) fn judge(series: &Series, has_heap: bool) -> Judged {
    let seen: Vec<(&Kept, &ProcessMemory)> =
        series.readings().iter().filter_map(|reading| Some((reading, reading.memory.as_ref()?))).collect();
    let heap_live = Bytes::new(series.readings().last().map_or(0, |reading| reading.live_bytes));
    let (Some((_, first)), Some((_, last))) = (seen.first(), seen.last()) else {
        return Judged {
            verdict: ProcessVerdict {
                state: State::Warming,
                resident_first: Bytes::new(0),
                resident_last: Bytes::new(0),
                growth: Rate::default(),
                heap_live,
                parts: Vec::new(),
                gates: Vec::new(),
                history: Vec::new(),
            },
            open: None,
            heap_rises_per_s: heap_rises_per_s(series),
        };
    };
    let history = |value: &dyn Fn(&ProcessMemory) -> u64| -> Vec<(f64, u64)> {
        seen.iter().map(|(reading, memory)| (reading.at_s, value(memory))).collect()
    };
    let resident = history(&|memory| memory.resident_bytes);
    // What the profiler has is not the program's.
    let own = history(&|memory| memory.resident_bytes.saturating_sub(memory.part("profiler").unwrap_or(0)));
    let whole = rise(&own, last.resident_bytes);
    let heap = history(&|memory| memory.part("heap").unwrap_or(0));
    let mut parts: Vec<PartChange> = Vec::new();
    let (mut gates, mut open) = (Vec::new(), None);
    for name in PARTS {
        let values = history(&|memory| memory.part(name).unwrap_or(0));
        let (begin, end) = (values[0].1, values[values.len() - 1].1);
        if begin == 0 && end == 0 {
            continue;
        }
        let rise = if name == UNEXPLAINED {
            rise(&beyond_the_heap(&values, &heap), last.resident_bytes)
        } else {
            rise(&values, last.resident_bytes)
        };
        let is_judged = has_heap && !NOT_JUDGED.contains(&name);
        let is_blamed = is_judged && rise.state.is_blamed() && name != NOT_BLAMED;
        let state = match rise.state {
            _ if !is_judged => State::Steady,
            state if state.is_blamed() && !is_blamed => State::Growing,
            state => state,
        };
        let is_open = rise.is_open || rise.state.is_blamed() && !is_blamed;
        if is_blamed {
            gates.extend(rise.gates.0);
        } else if is_judged && is_open && open.is_none() {
            open = Some((name.to_owned(), Bytes::new(rise.last_half)));
        }
        parts.push(PartChange {
            name: name.to_owned(),
            first: Bytes::new(begin),
            last: Bytes::new(end),
            growth: rise.growth,
            state,
        });
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.last.as_u64().saturating_sub(part.first.as_u64())));
    let state = if has_heap {
        parts.iter().map(|part| part.state).max().unwrap_or(State::Steady)
    } else {
        if whole.is_open || whole.is_even_and_small() {
            open = Some(("resident memory".to_owned(), Bytes::new(whole.last_half)));
        }
        gates = whole.gates.0;
        whole.state
    };
    Judged {
        verdict: ProcessVerdict {
            state,
            resident_first: Bytes::new(first.resident_bytes),
            resident_last: Bytes::new(last.resident_bytes),
            growth: whole.growth,
            heap_live,
            parts,
            gates,
            history: resident,
        },
        open,
        heap_rises_per_s: if has_heap { heap_rises_per_s(series) } else { None },
    }
}

fn heap_rises_per_s(series: &Series) -> Option<f64> {
    let live: Vec<(f64, u64)> =
        series.readings().iter().map(|reading| (reading.at_s, reading.live_bytes)).collect();
    let last = live.last()?.1;
    let rise = rise(&live, last);
    let enough = SMALL_RISE_MIN.max((last as f64 * HEAP_RISE_PART_MIN) as u64);
    (rise.is_even && rise.total >= enough).then_some(rise.growth.bytes_per_s)
}

/// What is left of the unexplained memory when the pages are taken away that the heap once had: an allocator keeps them when
/// the heap falls, and that is no growth.
fn beyond_the_heap(unexplained: &[(f64, u64)], heap: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let mut largest = 0;
    unexplained
        .iter()
        .zip(heap)
        .map(|(&(at_s, bytes), &(_, heap))| {
            largest = heap.max(largest);
            (at_s, bytes.saturating_sub(largest - heap))
        })
        .collect()
}

struct Rise {
    state: State,
    growth: Rate,
    gates: Gates,
    is_open: bool,
    /// By how much it rose in the last half of the time, in bytes.
    last_half: u64,
    /// And in all.
    total: u64,
    /// It rose in most blocks of time, and not less in the second half.
    is_even: bool,
}

impl Rise {
    /// Too little to blame anybody by resident memory alone, and too even to call it nothing.
    fn is_even_and_small(&self) -> bool {
        self.is_even && !self.state.is_blamed() && self.total >= SMALL_RISE_MIN
    }
}

/// The rule, for one row of numbers that belongs to so much resident memory.
fn rise(values: &[(f64, u64)], resident: u64) -> Rise {
    let mut gates = Gates::default();
    let nothing = |gates| Rise {
        state: State::Warming,
        growth: Rate::default(),
        gates,
        is_open: false,
        last_half: 0,
        total: 0,
        is_even: false,
    };
    let (Some(&(begin_s, _)), Some(&(end_s, _))) = (values.first(), values.last()) else {
        return nothing(gates);
    };
    if values.len() < BLOCKS {
        return nothing(gates);
    }
    let mut envelope: Vec<(f64, u64)> = values.to_vec();
    let mut least = u64::MAX;
    for (_, value) in envelope.iter_mut().rev() {
        least = least.min(*value);
        *value = least;
    }
    let from_s = begin_s + (end_s - begin_s) * START_PART;
    let at = |s: f64| {
        let after = envelope.partition_point(|&(at, _)| at < s).min(envelope.len() - 1);
        envelope[after].1
    };
    let steps: Vec<u64> =
        (0..=BLOCKS).map(|nth| at(from_s + (end_s - from_s) * nth as f64 / BLOCKS as f64)).collect();
    let rises = steps.windows(2).filter(|it| it[1] > it[0]).count();
    let (first, second) = (steps[BLOCKS / 2] - steps[0], steps[BLOCKS] - steps[BLOCKS / 2]);
    let total = first + second;
    let enough = RISE_MIN.max((resident as f64 * RISE_PART_MIN) as u64);
    gates.test(
        "rise",
        total >= enough,
        format!("{total} bytes in {}, of which anything under {enough} is let pass", spoken(end_s - from_s)),
    );
    gates.test("never falls", rises >= RISES_MIN, format!("it rose in {rises} of {BLOCKS} blocks of time"));
    gates.test(
        "even rise",
        second as f64 >= EVEN_PART_MIN * first as f64,
        format!("{first}, then {second} bytes"),
    );
    let per_s = total as f64 / (end_s - from_s).max(1e-9);
    // Each block's rise is one measurement of the rate.
    let mean = total as f64 / BLOCKS as f64;
    let variance =
        steps.windows(2).map(|it| ((it[1] - it[0]) as f64 - mean).powi(2)).sum::<f64>() / (BLOCKS - 1) as f64;
    let error = if mean > 0.0 { 1.96 * (variance / BLOCKS as f64).sqrt() / mean } else { 0.0 };
    let open_from = OPEN_MIN.max((resident as f64 * OPEN_PART_MIN) as u64);
    let is_leaking = gates.passed();
    // What goes up and down ends high at times: it is news only where it was never as high in the first half.
    let was = values.iter().filter(|&&(at, _)| at <= f64::midpoint(begin_s, end_s)).map(|it| it.1).max();
    let is_news = least_now(values) > was.unwrap_or(0).saturating_add(enough);
    Rise {
        state: if is_leaking {
            State::Suspect
        } else if is_news && second >= enough {
            State::Growing
        } else {
            State::Steady
        },
        growth: Rate { bytes_per_s: per_s, low: per_s * (1.0 - error).max(0.0), high: per_s * (1.0 + error) },
        gates,
        is_open: !is_leaking && is_news && second >= open_from,
        last_half: second,
        total,
        is_even: rises > RISES_MIN && second as f64 >= SURELY_EVEN_PART_MIN * first as f64,
    }
}

/// The least of the last tenth.
fn least_now(values: &[(f64, u64)]) -> u64 {
    let tenth = values.len().div_ceil(BLOCKS);
    values[values.len() - tenth..].iter().map(|it| it.1).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(value: impl Fn(f64) -> f64) -> State {
        let values: Vec<(f64, u64)> =
            (0..120).map(|nth| (f64::from(nth) / 2.0, value(f64::from(nth) / 2.0) as u64)).collect();
        rise(&values, values[values.len() - 1].1).state
    }

    #[test]
    fn pages_that_an_allocator_keeps_are_no_growth() {
        let at =
            |values: [u64; 4]| values.iter().enumerate().map(|(s, &b)| (s as f64, b)).collect::<Vec<_>>();
        let beyond = beyond_the_heap(&at([10, 10, 40, 70]), &at([100, 90, 60, 70]));
        assert_eq!(beyond.iter().map(|it| it.1).collect::<Vec<_>>(), [10, 0, 0, 40]);
    }

    #[test]
    fn a_steady_rise_is_told_from_one_that_ends() {
        const MIB: f64 = 1048576.0;
        assert_eq!(judged(|s| 10.0 * MIB + s * MIB / 10.0), State::Suspect);
        assert_eq!(judged(|s| 10.0 * MIB + s.min(25.0) * MIB), State::Steady, "filled");
        assert_eq!(judged(|s| 10.0 * MIB + (s % 12.0) * MIB), State::Steady, "sawtooth");
        assert_eq!(
            judged(|s| 10.0 * MIB + if s < 40.0 { 0.0 } else { 8.0 * MIB }),
            State::Growing,
            "one step"
        );
        assert_eq!(judged(|_| 10.0 * MIB), State::Steady);
    }
}
