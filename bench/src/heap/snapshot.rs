//! A snapshot of 100,000 live samples over 5,000 stacks while two threads allocate: how long it holds anybody
//! up, what the samples and stacks weigh, and whether the profiler says so itself.

use serde_json::{Map, json};

use crate::limits::{
    SAMPLE_BYTES_MAX, SELF_REPORT_SHARE_MAX, SNAPSHOT_COPY_US_MAX, SNAPSHOT_SAMPLES, SNAPSHOT_STACKS,
    STACK_BYTES_MAX,
};
use crate::options::Options;
use crate::report::{Check, Row, Section, spread_json, spread_text};
use crate::statistics::Spread;
use crate::trouble::Trouble;
use crate::workers::{Around, Call, Frames, Reading, Workers};

/// Processes that it is measured in.
const PROCESSES: usize = 3;
/// Snapshots that each takes.
const SNAPSHOTS: u64 = 31;
/// By how large a share the samples and stacks may be more or fewer than what they are said to be: the program
/// has some of its own, and the last ones may still be on their way.
const SHARE_OFF_MAX: f64 = 0.01;

const COLUMNS: [&str; 2] = ["what", "measured"];

/// Measures it.
pub(super) fn measure(options: &Options, workers: &Workers) -> Result<Section, Trouble> {
    let about =
        format!("{SNAPSHOT_SAMPLES} live samples over {SNAPSHOT_STACKS} stacks, 2 threads allocating");
    let mut section =
        Section { name: "snapshot", about, columns: &COLUMNS, rows: Vec::new(), ..Section::default() };
    let worker = "work_snapshot";
    if !options.wants_setup(&[worker, "plimsoll"]) {
        return Ok(section);
    }
    eprintln!("snapshot: {PROCESSES} processes with {SNAPSHOTS} snapshots each");
    let args = [SNAPSHOT_SAMPLES, SNAPSHOT_STACKS, SNAPSHOTS].map(|number| number.to_string());
    let (frames, around, env) = (Frames::Pointers, Around::Nothing, None);
    let call = Call { worker, frames, around, env, args: args.into() };
    let readings = (0..PROCESSES).map(|_| workers.run(&call)).collect::<Result<Vec<_>, _>>()?;
    readings.iter().try_for_each(check_is_full)?;

    let us =
        |name: &str| spread(readings.iter().flat_map(|reading| reading.numbers(name)).map(|ns| ns / 1e3));
    let each = |name: &str| -> Result<Spread, Trouble> {
        let numbers: Result<Vec<f64>, _> = readings.iter().map(|reading| reading.number(name)).collect();
        Ok(spread(numbers?.into_iter()))
    };
    let mut add = |what: &str, measured: &Spread, unit: &str, limit: Option<f64>| {
        let mut figures = Map::new();
        figures.insert("measured".to_owned(), spread_json(measured));
        figures.insert("unit".to_owned(), json!(unit));
        let check = limit.map(|max| Check::spread(measured, max, format!("≤ {max} {unit}")));
        section.rows.push(Row {
            cells: vec![what.to_owned(), format!("{} {unit}", spread_text(measured))],
            checks: check.into_iter().collect(),
            figures,
            ..Row::default()
        });
    };
    add("copy", &us("copy_ns"), "µs", Some(SNAPSHOT_COPY_US_MAX));
    add("whole snapshot", &us("snapshot_ns"), "µs", None);
    add("own memory of a live sample", &each("sample_bytes")?, "B", Some(SAMPLE_BYTES_MAX));
    add("own memory of a stack", &each("stack_bytes")?, "B", Some(STACK_BYTES_MAX));
    let kib = |name: &str| -> Result<Spread, Trouble> {
        Ok(spread(each(name)?.figures().iter().map(|bytes| bytes / 1024.0)))
    };
    add("own memory at the start, as said", &kib("started_own_bytes")?, "KiB", None);
    add("own memory at the end, as said", &kib("full_own_bytes")?, "KiB", None);
    add("own memory at the end, as seen", &kib("full_seen_bytes")?, "KiB", None);
    let off = readings.iter().map(|reading| {
        let (said, seen) = (reading.number("full_own_bytes")?, reading.number("full_seen_bytes")?);
        Ok((said / seen - 1.0).abs() * 100.0)
    });
    let off = spread(off.collect::<Result<Vec<f64>, Trouble>>()?.into_iter());
    add("said and seen differ by", &off, "%", Some(SELF_REPORT_SHARE_MAX * 100.0));
    Ok(section)
}

/// A profiler that lost what it was to follow is fast and small.
fn check_is_full(reading: &Reading) -> Result<(), Trouble> {
    let wanted = [("samples", SNAPSHOT_SAMPLES), ("stacks", SNAPSHOT_STACKS)];
    for (what, wanted) in wanted {
        let (said, seen) = match what {
            "samples" => (reading.number("live_samples")?, reading.number("snapshot_samples")?),
            _ => (reading.number("stacks")?, reading.number("snapshot_stacks")?),
        };
        let off = |number: f64| (number / wanted as f64 - 1.0).abs();
        if off(said).max(off(seen)) > SHARE_OFF_MAX {
            let dropped = reading.number("dropped")?;
            return Err(Trouble::Undone(format!(
                "{wanted} live {what} were made; the status says {said}, the snapshot holds {seen}, \
                 {dropped} samples were dropped"
            )));
        }
    }
    Ok(())
}

fn spread(figures: impl Iterator<Item = f64>) -> Spread {
    Spread::of(figures).expect("there is at least one process with one snapshot")
}
