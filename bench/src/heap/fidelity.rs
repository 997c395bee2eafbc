//! Whether memory behaves as without the wrapper: vectors that grow are not copied page by page, zeroed
//! buffers are not touched.

use super::setups::{self, ADAPTIVE, EVERY, MEAN_512, Setup};
use crate::limits::{FIDELITY_BYTES_SLACK, FIDELITY_FAULTS_SLACK, FIDELITY_RATIO_MAX};
use crate::options::Options;
use crate::report::{Check, Row, Section, spread_json};
use crate::rounds;
use crate::statistics::Spread;
use crate::trouble::Trouble;
use crate::workers::{Call, Frames, Reading, Workers};

/// What is done, and what it stands for.
const WORKS: [(&str, &str); 3] = [
    ("grow", "4 vectors pushed to 64 MiB in turn"),
    ("zeroed", "vec![0; 256 MiB], not touched"),
    ("calloc", "4,000 zeroed buffers of 4 to 200 KiB"),
];
/// The setups beside the base.
const SETUPS: [&str; 4] = ["off", ADAPTIVE, MEAN_512, EVERY];
/// Processes for each: faults hardly differ from one to the next.
const ROUNDS_MAX: usize = 5;

const COLUMNS: [&str; 5] = ["inside", "setup", "work", "page faults", "peak resident"];

/// Measures it.
pub(super) fn measure(options: &Options, workers: &Workers) -> Result<Section, Trouble> {
    let groups = setups::groups(options);
    let wrapped = |setup: &Setup| SETUPS.contains(&setup.name);
    let groups: Vec<(&str, Vec<Setup>)> = groups
        .iter()
        .filter(|group| group.frames == Frames::Pointers && group.setups.iter().any(wrapped))
        .map(|group| {
            let others = group.setups[1..].iter().filter(|setup| wrapped(setup));
            (group.inside, group.setups[..1].iter().chain(others).copied().collect())
        })
        .collect();
    let keys: Vec<(&str, &[Setup], &str, &str)> = groups
        .iter()
        .flat_map(|(inside, setups)| WORKS.map(|(work, about)| (*inside, &**setups, work, about)))
        .collect();
    let call = |work: &str, setup: &Setup| setup.call_with(Frames::Pointers, work, setup.mode, &[0, 1]);
    let units: Vec<Vec<Call>> = keys
        .iter()
        .map(|(_, setups, work, _)| setups.iter().map(|setup| call(work, setup)).collect())
        .collect();
    let rounds = options.rounds.min(ROUNDS_MAX);
    let readings = rounds::interleaved("fidelity", rounds, &units, |call| workers.run(call))?;

    let mut rows = Vec::new();
    for ((inside, setups, _, about), readings) in keys.iter().zip(&readings) {
        for (setup, own) in setups.iter().zip(readings) {
            rows.push(row(inside, setup, about, &readings[0], own)?);
        }
    }
    let about = "page faults of the work and the process's peak, as without the wrapper".to_owned();
    Ok(Section { name: "fidelity", about, columns: &COLUMNS, rows, ..Section::default() })
}

fn row(inside: &str, setup: &Setup, about: &str, base: &[Reading], own: &[Reading]) -> Result<Row, Trouble> {
    let mut row =
        Row { cells: vec![inside.to_owned(), setup.name.to_owned(), about.to_owned()], ..Row::default() };
    let is_base = std::ptr::eq(base, own);
    for (name, slack) in [("page_faults", FIDELITY_FAULTS_SLACK), ("peak_bytes", FIDELITY_BYTES_SLACK)] {
        let (base, own) = (spread(base, name)?, spread(own, name)?);
        row.cells.push(text(name, own.median()));
        row.figures.insert(name.to_owned(), spread_json(&own));
        if !is_base {
            let max = base.median() * FIDELITY_RATIO_MAX + slack;
            row.checks.push(Check::spread(&own, max, format!("≤ {}", text(name, max))));
        }
    }
    Ok(row)
}

fn text(name: &str, number: f64) -> String {
    if name == "peak_bytes" {
        format!("{:.1} MiB", number / f64::from(1 << 20))
    } else {
        format!("{number:.0}")
    }
}

fn spread(readings: &[Reading], name: &str) -> Result<Spread, Trouble> {
    let numbers: Result<Vec<f64>, _> = readings.iter().map(|reading| reading.number(name)).collect();
    Ok(Spread::of(numbers?).expect("there is at least one round"))
}
