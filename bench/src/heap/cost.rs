//! CPU time and instructions of every setup on every kind of work, as a multiple of the same program without
//! profiling.
//!
//! The base of a group runs first and last in its unit, and the others are divided by the mean of the two:
//! half of a drift within the unit is taken out so. The last against the first, a ratio that would be one on
//! a quiet machine, is printed as `base again`: what is nearer to one than its spread is noise.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::json;

use super::setups::{self, ADAPTIVE, Group, Kind, Setup, Work};
use crate::callgrind::{self, Counted};
use crate::limits;
use crate::options::Options;
use crate::report::{Check, Row, Section, count_text, ns_text, spread_json, spread_text};
use crate::rounds;
use crate::statistics::Spread;
use crate::trouble::Trouble;
use crate::workers::{self, Around, Call, Frames, Reading, Workers};

const COLUMNS: [&str; 7] =
    ["inside", "setup", "work", "CPU an operation", "CPU ratio", "no frame pointers", "instructions"];

/// What belongs together: a group on one kind of work.
struct Unit<'a> {
    group: &'a Group,
    work: &'static Work,
    /// By setup, the base again at the end; then by round.
    readings: Vec<Vec<Reading>>,
}

/// Measures times, then counts instructions.
pub(super) fn measure(options: &Options, workers: &Workers) -> Result<Section, Trouble> {
    let groups = setups::groups(options);
    let pairs: Vec<(&Group, &'static Work)> =
        groups.iter().flat_map(|group| group.works.iter().map(move |work| (group, *work))).collect();
    let calls: Vec<Vec<Call>> = pairs.iter().map(|(group, work)| calls(group, work, options)).collect();
    workers::need(Around::Callgrind)?;
    for call in calls.iter().flatten() {
        workers::need(call.around)?;
    }
    let readings = rounds::interleaved("cost", options.rounds, &calls, |call| workers.run(call))?;
    let units: Vec<Unit> = pairs
        .into_iter()
        .zip(readings)
        .map(|((group, work), readings)| Unit { group, work, readings })
        .collect();
    for unit in &units {
        unit.check_same_work()?;
        unit.check_followed()?;
    }
    let instructions = count(workers, &units)?;

    let mut rows = Vec::new();
    for unit in units.iter().filter(|unit| unit.group.frames == Frames::Pointers) {
        let unwound = units.iter().find(|other| {
            let alike = other.group.inside == unit.group.inside && other.work.name == unit.work.name;
            other.group.frames == Frames::None && alike
        });
        for number in 0..unit.readings.len() {
            rows.push(unit.row(number, unwound, &instructions)?);
        }
    }
    let about = "of the same work without profiling; median [min..max] of the rounds".to_owned();
    Ok(Section { name: "cost", about, columns: &COLUMNS, rows, ..Section::default() })
}

fn calls(group: &Group, work: &Work, options: &Options) -> Vec<Call> {
    let again = group.setups.first();
    group.setups.iter().chain(again).map(|setup| setup.call(group.frames, work, options, 0)).collect()
}

/// Instructions for one operation, by worker, mode and workload.
type Instructions = HashMap<(&'static str, &'static str, &'static str), f64>;

fn count(workers: &Workers, units: &[Unit]) -> Result<Instructions, Trouble> {
    let (mut keys, mut all) = (Vec::new(), Vec::new());
    for unit in units.iter().filter(|unit| unit.group.frames == Frames::Pointers) {
        let setups = unit.group.setups.iter().enumerate();
        for (number, setup) in setups.filter(|(_, setup)| setup.is_counted(unit.work)) {
            let key = (setup.worker, setup.mode, unit.work.name);
            if keys.contains(&key) {
                continue;
            }
            let mode = unit.counted_mode(number, setup)?;
            let call = |times| setup.counted_call(unit.work, &mode, times);
            keys.push(key);
            all.push(Counted { once: call(1), twice: call(2) });
        }
    }
    eprintln!("cost: counting the instructions of {} setups and workloads", all.len());
    let begun = Instant::now();
    let counts = callgrind::instructions(workers, &all)?;
    eprintln!("cost: counted, {:.0} s", begun.elapsed().as_secs_f64());
    Ok(keys.into_iter().zip(counts).collect())
}

impl Unit<'_> {
    /// The mode under callgrind: its own, except that the adaptive one is fixed at what it settled on in the
    /// timed rounds. Under callgrind a second is a fiftieth of one, and it would settle elsewhere.
    fn counted_mode(&self, number: usize, setup: &Setup) -> Result<String, Trouble> {
        if setup.name != ADAPTIVE {
            return Ok(setup.mode.to_owned());
        }
        Ok(format!("mean:{}", (self.interval_bytes(number)? / 1024.0).max(1.0) as u64))
    }

    /// The middle one of the intervals at the ends of the rounds.
    fn interval_bytes(&self, number: usize) -> Result<f64, Trouble> {
        let intervals: Result<Vec<f64>, Trouble> =
            self.readings[number].iter().map(|reading| reading.number("interval_bytes")).collect();
        Ok(Spread::of(intervals?).expect("there is at least one round").median())
    }

    /// Two runs of the same warm-up and iterations must have done the same, or one of them is broken.
    fn check_same_work(&self) -> Result<(), Trouble> {
        let mut checksums: HashMap<[u64; 2], f64> = HashMap::new();
        for reading in self.readings.iter().flatten() {
            let amounts = [reading.number("warm_up")?, reading.number("operations")?];
            let checksum = reading.number("checksum")?;
            let first = *checksums.entry(amounts.map(f64::to_bits)).or_insert(checksum);
            if first.to_bits() != checksum.to_bits() {
                return Err(Trouble::Undone(format!(
                    "{} in {} did not do the same work in all setups: {first} and {checksum}",
                    self.work.name, self.group.inside
                )));
            }
        }
        Ok(())
    }

    /// A profiler that follows nothing, or by another way than it is said to, is not what is measured.
    fn check_followed(&self) -> Result<(), Trouble> {
        let wanted = f64::from(self.group.frames == Frames::Pointers);
        for reading in self.readings.iter().flatten() {
            // Only those that can be asked say it; the others are checked where they are run.
            let none = reading.numbers("samples").contains(&0.0);
            let other_way = reading.numbers("frame_pointers").iter().any(|used| *used != wanted);
            if none || other_way {
                let (work, inside) = (self.work.name, self.group.inside);
                let what = if none { "nothing was sampled" } else { "the wrong unwinder was used" };
                return Err(Trouble::Undone(format!("{work} in {inside}: {what}: {reading:?}")));
            }
        }
        Ok(())
    }

    /// Nanoseconds for one operation, by round.
    fn ns(&self, number: usize) -> Result<Vec<f64>, Trouble> {
        let ns = |reading: &Reading| Ok(reading.number("cpu_ns")? / reading.number("operations")?);
        self.readings[number].iter().map(ns).collect()
    }

    /// The setup's time by the base's, of each round.
    fn ratios(&self, number: usize) -> Result<Spread, Trouble> {
        let last = self.readings.len() - 1;
        let (ns, first, again) = (self.ns(number)?, self.ns(0)?, self.ns(last)?);
        let base =
            |round: usize| if number == last { first[round] } else { first[round].midpoint(again[round]) };
        let ratios = ns.iter().enumerate().map(|(round, ns)| ns / base(round));
        Ok(Spread::of(ratios).expect("there is at least one round"))
    }

    fn row(&self, number: usize, unwound: Option<&Unit>, counts: &Instructions) -> Result<Row, Trouble> {
        let base = self.group.setups[0];
        let again = number == self.group.setups.len();
        let setup = if again { base.named("base again") } else { self.group.setups[number] };
        let is_base = number == 0;
        let ns = Spread::of(self.ns(number)?).expect("there is at least one round");
        let mut row = Row::default();
        row.figures.insert("cpu_ns_per_operation".to_owned(), spread_json(&ns));
        // Not in the table, but the first thing to look at when a time is strange.
        let faults = self.readings[number].iter().map(|reading| reading.number("page_faults"));
        let faults = Spread::of(faults.collect::<Result<Vec<f64>, Trouble>>()?);
        row.figures.extend(faults.map(|faults| ("page_faults".to_owned(), spread_json(&faults))));
        let limit = limits::COST
            .iter()
            .find(|limit| limit.setups.contains(&setup.name) && limit.workloads.contains(&self.work.name));

        let mut ratio = String::new();
        if !is_base {
            let ratios = self.ratios(number)?;
            ratio = spread_text(&ratios);
            row.figures.insert("cpu_ratio".to_owned(), spread_json(&ratios));
            if let Some(limit) = limit {
                let text = format!("≤ {}", limit.cpu_ratio_max);
                row.checks.push(Check::spread(&ratios, limit.cpu_ratio_max, text));
            }
        }

        let mut without_pointers = String::new();
        let other = unwound.and_then(|unit| {
            let same = |other: &Setup| other.name == setup.name && !is_base && !again;
            Some((unit, unit.group.setups.iter().position(same)?))
        });
        if let Some((unit, number)) = other {
            let ratios = unit.ratios(number)?;
            without_pointers = spread_text(&ratios);
            row.figures.insert("cpu_ratio_no_frame_pointers".to_owned(), spread_json(&ratios));
        }

        let mut instructions = String::new();
        let count = |setup: &Setup| {
            let key = (setup.worker, setup.mode, self.work.name);
            setup.is_counted(self.work).then(|| counts.get(&key).copied()).flatten()
        };
        if let (Some(own), Some(plain), false) = (count(&setup), count(&base), again) {
            row.figures.insert("instructions_per_operation".to_owned(), json!(own));
            let (added, unit, digits) = match self.work.kind {
                Kind::Pairs => (own - plain, " a pair", 1),
                Kind::Real => ((own / plain - 1.0) * 100.0, " %", 2),
            };
            instructions = if is_base {
                count_text(own)
            } else {
                row.figures.insert("instructions_added".to_owned(), json!(added));
                format!("{added:+.digits$}{unit}")
            };
            if let Some(max) = limit.and_then(|limit| limit.instructions_max) {
                row.checks.push(Check::exact(added, max, format!("≤ +{max}{unit}")));
            }
        }

        let mut name = setup.name.to_owned();
        if setup.name == ADAPTIVE {
            let interval_bytes = self.interval_bytes(number)?;
            row.figures.insert("interval_bytes".to_owned(), json!(interval_bytes));
            name = format!("{name} ({:.0} KiB)", interval_bytes / 1024.0);
        }
        let ns = ns_text(ns.median());
        row.cells = vec![
            self.group.inside.to_owned(),
            name,
            self.work.name.to_owned(),
            ns,
            ratio,
            without_pointers,
            instructions,
        ];
        Ok(row)
    }
}
