//! Whether the cost of allocating depends on how many samples live: the weakness of every profiler that looks
//! each freed address up in a table.
//!
//! The same program with 20,000 and 100,000 live samples is divided by itself with none. Beside it stands the
//! plain allocator with as many more blocks: what these alone do to it is not the profiler's.

use super::setups::{self, MEAN_512, Setup};
use crate::limits;
use crate::options::Options;
use crate::report::{Check, Row, Section, ns_text, spread_json, spread_text};
use crate::rounds;
use crate::statistics::Spread;
use crate::trouble::Trouble;
use crate::workers::{Call, Frames, Reading, Workers};

/// Live samples; the first is what the others are divided by.
const KEPT: [u64; 3] = [0, 20_000, 100_000];
/// The work that goes on meanwhile.
const WORK: &str = "ring";
/// Fewer than this share of the kept blocks as live samples, and it is not what it is said to be.
const LIVE_SHARE_MIN: f64 = 0.99;

const COLUMNS: [&str; 5] = ["inside", "live samples", "CPU an operation", "CPU ratio", "blocks, no profiler"];

/// Measures both sides.
pub(super) fn measure(options: &Options, workers: &Workers) -> Result<Section, Trouble> {
    // Plain and wrapped, one after the other, for each allocator inside.
    let groups = setups::groups(options).into_iter().filter(|group| group.frames == Frames::Pointers);
    let sides: Vec<(&str, [Setup; 2])> = groups
        .filter_map(|group| {
            let wrapped = group.setups.iter().find(|setup| setup.name == MEAN_512)?;
            Some((group.inside, [group.setups[0], *wrapped]))
        })
        .collect();
    let units: Vec<Vec<Call>> =
        sides.iter().flat_map(|(_, setups)| setups).map(|setup| calls(setup, options)).collect();
    let readings = rounds::interleaved("live", options.rounds, &units, |call| workers.run(call))?;

    let mut rows = Vec::new();
    for ((inside, _), readings) in sides.iter().zip(readings.chunks(2)) {
        let [plain, wrapped] = readings else { unreachable!("two units for each allocator inside") };
        for (number, kept) in KEPT.iter().enumerate() {
            rows.push(row(inside, *kept, number, plain, wrapped)?);
        }
    }
    let about = format!("{WORK} at 512 KiB, as a multiple of the same with no live samples");
    Ok(Section { name: "live", about, columns: &COLUMNS, rows, ..Section::default() })
}

fn calls(setup: &Setup, options: &Options) -> Vec<Call> {
    let again = &KEPT[..1];
    let call = |kept: &u64| setup.call(Frames::Pointers, setups::work(WORK), options, *kept);
    KEPT.iter().chain(again).map(call).collect()
}

fn row(
    inside: &str,
    kept: u64,
    number: usize,
    plain: &[Vec<Reading>],
    wrapped: &[Vec<Reading>],
) -> Result<Row, Trouble> {
    for reading in &wrapped[number] {
        let live = reading.number("live_samples")?;
        if live < kept as f64 * LIVE_SHARE_MIN {
            return Err(Trouble::Undone(format!("{kept} live samples were wanted, there were {live}")));
        }
    }
    let ns = spread(&times(&wrapped[number])?);
    let mut row = Row::default();
    row.figures.insert("cpu_ns_per_operation".to_owned(), spread_json(&ns));
    let (mut ratio, mut blocks) = (String::new(), String::new());
    if number > 0 {
        let (ratios, of_blocks) = (ratios(wrapped, number)?, ratios(plain, number)?);
        (ratio, blocks) = (spread_text(&ratios), spread_text(&of_blocks));
        row.figures.insert("cpu_ratio".to_owned(), spread_json(&ratios));
        row.figures.insert("cpu_ratio_no_profiler".to_owned(), spread_json(&of_blocks));
        let text = format!("≤ {}", limits::LIVE_RATIO_MAX);
        row.checks.push(Check::spread(&ratios, limits::LIVE_RATIO_MAX, text));
    }
    row.cells = vec![inside.to_owned(), kept.to_string(), ns_text(ns.median()), ratio, blocks];
    Ok(row)
}

/// By the mean of the two runs with none, the first and the last of the unit.
fn ratios(unit: &[Vec<Reading>], number: usize) -> Result<Spread, Trouble> {
    let (ns, first, again) = (times(&unit[number])?, times(&unit[0])?, times(&unit[KEPT.len()])?);
    let bases = first.iter().zip(&again).map(|(first, again)| first.midpoint(*again));
    Ok(spread(&ns.iter().zip(bases).map(|(ns, base)| ns / base).collect::<Vec<_>>()))
}

fn times(readings: &[Reading]) -> Result<Vec<f64>, Trouble> {
    let ns = |reading: &Reading| Ok(reading.number("cpu_ns")? / reading.number("operations")?);
    readings.iter().map(ns).collect()
}

fn spread(figures: &[f64]) -> Spread {
    Spread::of(figures.iter().copied()).expect("there is at least one round")
}
