//! What was seen, as a file: so that it can be judged again, with another judge or in a report of a bug.
//!
//! The schema is `plimsoll.series/1`, JSON in gzip. Of each process it has the series as it was kept and the last profile
//! with its names; judging what was read gives the same verdict as judging what was written. Reading is for files of
//! strangers: what it holds is bounded by [`ReadLimits`], and what contradicts itself is refused.

use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_core::heap::{Amount, GENERATIONS, Generation, Growth, MemoryPart, ProcessMemory};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::process::memory_part;
use super::series::{Gap, Kept, Series, SeriesLimits, StackCounts};
use super::verdict::Owner;
use crate::json;
use crate::profile::Profile;
use crate::read::{ReadError, ReadLimits, unpacked};

/// The schema.
pub const SCHEMA: &str = "plimsoll.series/1";

/// The most processes of a file.
const PROCESSES_MAX: usize = 1024;
/// Of one process; ours keeps far fewer.
const READINGS_MAX: usize = 1 << 16;
const STACKS_MAX: usize = 1 << 16;
/// No count of samples is higher: with so many stacks their sum still has room.
const SAMPLES_MAX: u64 = 1 << 40;
/// No time is later: a thousand years.
const SECONDS_MAX: f64 = 3.2e10;
/// Three numbers of each generation, and seven more.
const NUMBERS: usize = 7 + 3 * GENERATIONS;

/// What was seen of one process.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which.
    pub owner: Owner,
    /// Its past.
    pub series: Series,
    /// The names of its stacks, if it has any.
    pub names: Option<Profile>,
}

/// Why a file is no recorded series.
#[derive(Debug)]
pub enum RecordedError {
    /// It cannot be unpacked.
    Packing(ReadError),
    /// It is not JSON of the form, and this is said of it.
    Json(serde_json::Error),
    /// It says another schema.
    Schema(String),
    /// It contradicts itself.
    Contradiction(&'static str),
    /// The names in it cannot be read.
    Names(ReadError),
}

impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordedError::Packing(error) => write!(f, "{error}"),
            RecordedError::Json(error) => {
                write!(f, "this is no file that `plimsoll watch --series` wrote: {error}")
            }
            RecordedError::Schema(found) => {
                let found = crate::clean::line(found).chars().take(60).collect::<String>();
                write!(f, "it says `schema` \"{found}\", and only \"{SCHEMA}\" is understood")
            }
            RecordedError::Contradiction(what) => write!(f, "the file contradicts itself: {what}"),
            RecordedError::Names(error) => write!(f, "the names in it cannot be read: {error}"),
        }
    }
}

impl std::error::Error for RecordedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecordedError::Packing(error) | RecordedError::Names(error) => Some(error),
            RecordedError::Json(error) => Some(error),
            RecordedError::Schema(_) | RecordedError::Contradiction(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: String,
    processes: Vec<Process>,
}

#[derive(Serialize, Deserialize)]
struct Process {
    pid: Option<i32>,
    program: String,
    readings_max: usize,
    entries_max: usize,
    /// How many readings were added.
    added: u32,
    readings: Vec<Row>,
    /// Of each stack its number and its readings.
    stacks: Vec<(u32, Vec<Entry>)>,
    /// The stacks that left, a bit each.
    left_out: Vec<u64>,
    left_out_count: u64,
    gaps: Vec<WireGap>,
    gaps_left_out: u64,
    /// A document of `plimsoll.heap/1`.
    profile: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    number: u32,
    at_s: f64,
    unix_ms: u64,
    epoch_s: f64,
    interval_bytes: u64,
    dropped: u64,
    work_bytes: u64,
    live_bytes: u64,
    has_stacks: bool,
    memory: Option<WireMemory>,
}

#[derive(Serialize, Deserialize)]
struct WireMemory {
    resident_bytes: u64,
    parts: Vec<(String, u64)>,
}

/// The number of the reading, and the counts without the zeros at the end.
#[derive(Serialize, Deserialize)]
struct Entry(u32, Vec<u64>);

#[derive(Serialize, Deserialize)]
enum WireGap {
    #[serde(rename = "clock_jumped_s")]
    ClockJumped(f64),
    #[serde(rename = "unseen_s")]
    Unseen(f64),
}

/// Writes what was seen. Allocates about as much as the series have, twice.
///
/// # Errors
/// Those of `out`.
pub fn write(recorded: &[(&Owner, &Series, Option<&Profile>)], out: impl Write) -> io::Result<()> {
    let processes = recorded.iter().take(PROCESSES_MAX).map(|it| process(it.0, it.1, it.2));
    let file = File { schema: SCHEMA.to_owned(), processes: processes.collect::<io::Result<_>>()? };
    let mut packed = GzEncoder::new(out, Compression::default());
    serde_json::to_writer(&mut packed, &file)?;
    packed.finish()?.flush()
}

fn process(owner: &Owner, series: &Series, names: Option<&Profile>) -> io::Result<Process> {
    let profile = match names {
        Some(profile) => {
            let mut text = Vec::new();
            json::write(profile, &mut text)?;
            let text = String::from_utf8(text).map_err(io::Error::other)?;
            Some(RawValue::from_string(text.trim_end().to_owned())?)
        }
        None => None,
    };
    Ok(Process {
        pid: owner.pid,
        program: owner.program.clone(),
        readings_max: series.limits.readings_max,
        entries_max: series.limits.entries_max,
        added: series.next,
        readings: series.readings.iter().map(row).collect(),
        stacks: series
            .stacks
            .iter()
            .map(|(&id, entries)| {
                (id, entries.iter().map(|(number, counts)| Entry(*number, numbers(counts))).collect())
            })
            .collect(),
        left_out: series.left_out.clone(),
        left_out_count: series.left_out_count,
        gaps: series
            .gaps
            .iter()
            .map(|gap| match *gap {
                Gap::ClockJumped(by_s) => WireGap::ClockJumped(by_s),
                Gap::Unseen(for_s) => WireGap::Unseen(for_s),
            })
            .collect(),
        gaps_left_out: series.gaps_left_out,
        profile,
    })
}

fn row(kept: &Kept) -> Row {
    Row {
        number: kept.number,
        at_s: kept.at_s,
        unix_ms: kept.unix_ms,
        epoch_s: kept.epoch_s,
        interval_bytes: kept.interval_bytes,
        dropped: kept.dropped,
        work_bytes: kept.work_bytes,
        live_bytes: kept.live_bytes,
        has_stacks: kept.has_stacks,
        memory: kept.memory.as_ref().map(|memory| WireMemory {
            resident_bytes: memory.resident_bytes,
            parts: memory.parts.iter().map(|part| (part.name.to_owned(), part.resident_bytes)).collect(),
        }),
    }
}

fn numbers(counts: &StackCounts) -> Vec<u64> {
    let StackCounts { allocated, live, generations, growth } = counts;
    let mut numbers = vec![
        allocated.objects,
        allocated.bytes,
        live.objects,
        live.bytes,
        growth.grown,
        growth.grown_bytes,
        u64::from(growth.longest_chain),
    ];
    for generation in generations {
        numbers.extend([generation.live_samples, generation.live_bytes, generation.died_samples]);
    }
    let used = numbers.iter().rposition(|&number| number != 0).map_or(0, |last| last + 1);
    numbers.truncate(used);
    numbers
}

/// Reads what [`write()`] wrote, within `limits`.
///
/// # Errors
/// Says what is wrong with the file.
pub fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Vec<Recorded>, RecordedError> {
    let bytes = &*unpacked(bytes, limits).map_err(RecordedError::Packing)?;
    if bytes.len() > limits.decompressed_max.as_usize() {
        let error = ReadError::Limit { what: "bytes", max: limits.decompressed_max.as_u64() };
        return Err(RecordedError::Packing(error));
    }
    let file: File = serde_json::from_slice(bytes).map_err(RecordedError::Json)?;
    if file.schema != SCHEMA {
        return Err(RecordedError::Schema(file.schema));
    }
    if file.processes.len() > PROCESSES_MAX {
        return Err(RecordedError::Contradiction("it has more processes than are ever watched"));
    }
    file.processes.into_iter().map(|process| recorded(process, limits)).collect()
}

fn recorded(process: Process, limits: &ReadLimits) -> Result<Recorded, RecordedError> {
    let Process { pid, program, profile, .. } = &process;
    let owner = Owner { pid: *pid, program: program.clone() };
    let names = match profile {
        Some(text) => Some(json::read(text.get().as_bytes(), limits).map_err(RecordedError::Names)?),
        None => None,
    };
    Ok(Recorded { owner, series: series(process).map_err(RecordedError::Contradiction)?, names })
}

fn series(process: Process) -> Result<Series, &'static str> {
    let Process { readings, stacks, added, .. } = process;
    if readings.len() > READINGS_MAX || stacks.len() > STACKS_MAX {
        return Err("it has more readings or stacks than are ever kept");
    }
    let is_time = |seconds: f64| (0.0..SECONDS_MAX).contains(&seconds);
    let rises = readings.windows(2).all(|it| it[0].number < it[1].number && it[0].at_s < it[1].at_s);
    if !rises || !readings.iter().all(|row| is_time(row.at_s) && is_time(row.epoch_s) && row.number < added) {
        return Err("its readings are not in their order");
    }
    let readings: Vec<Kept> = readings.into_iter().map(kept).collect();
    let mut entries = 0;
    let mut by_id = std::collections::BTreeMap::new();
    for (id, rows) in stacks {
        if !rows.windows(2).all(|it| it[0].0 < it[1].0) || rows.iter().any(|row| row.0 >= added) {
            return Err("the readings of a stack are not in their order");
        }
        let rows: Vec<(u32, StackCounts)> = rows
            .into_iter()
            .map(|Entry(number, numbers)| Ok((number, counts(&numbers)?)))
            .collect::<Result<_, _>>()?;
        entries += rows.len();
        if by_id.insert(id, rows).is_some() {
            return Err("it has a stack twice");
        }
    }
    let gaps = process.gaps.into_iter().map(|gap| match gap {
        WireGap::ClockJumped(by_s) => Gap::ClockJumped(by_s),
        WireGap::Unseen(for_s) => Gap::Unseen(for_s),
    });
    Ok(Series {
        limits: SeriesLimits { readings_max: process.readings_max.max(8), entries_max: process.entries_max },
        readings,
        stacks: by_id,
        entries,
        next: added,
        // Nothing is added to what was read, so nothing is thinned.
        stride: 1,
        left_out: process.left_out,
        left_out_count: process.left_out_count,
        gaps: gaps.collect(),
        gaps_left_out: process.gaps_left_out,
    })
}

fn kept(row: Row) -> Kept {
    Kept {
        number: row.number,
        at_s: row.at_s,
        unix_ms: row.unix_ms,
        epoch_s: row.epoch_s,
        interval_bytes: row.interval_bytes,
        dropped: row.dropped,
        work_bytes: row.work_bytes,
        live_bytes: row.live_bytes,
        has_stacks: row.has_stacks,
        memory: row.memory.map(|memory| ProcessMemory {
            resident_bytes: memory.resident_bytes,
            parts: memory
                .parts
                .into_iter()
                .map(|(name, resident_bytes)| MemoryPart { name: memory_part(&name), resident_bytes })
                .collect(),
        }),
    }
}

fn counts(numbers: &[u64]) -> Result<StackCounts, &'static str> {
    if numbers.len() > NUMBERS {
        return Err("a stack has more numbers than there are");
    }
    let at = |nth: usize| numbers.get(nth).copied().unwrap_or_default();
    let mut generations = [Generation::default(); GENERATIONS];
    for (nth, generation) in generations.iter_mut().enumerate() {
        let first = 7 + 3 * nth;
        *generation =
            Generation { live_samples: at(first), live_bytes: at(first + 1), died_samples: at(first + 2) };
        if generation.live_samples > SAMPLES_MAX || generation.died_samples > SAMPLES_MAX {
            return Err("it has more samples than there can be");
        }
    }
    Ok(StackCounts {
        allocated: Amount { objects: at(0), bytes: at(1) },
        live: Amount { objects: at(2), bytes: at(3) },
        generations,
        growth: Growth {
            grown: at(4),
            grown_bytes: at(5),
            longest_chain: u32::try_from(at(6)).unwrap_or(u32::MAX),
        },
    })
}
