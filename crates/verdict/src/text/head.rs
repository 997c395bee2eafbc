//! The lines above the table: how much, since when, from how many samples, and what of the process it explains.

use std::fmt::Write as _;
use std::io::{self, Write};

use plimsoll_core::Bytes;

use super::table::{error_text, moment, percent, seconds};
use crate::clean;
use crate::metric::Metric;
use crate::profile::{Memory, Profile, Status};

pub(super) fn write(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let header = profile.header();
    let live = profile.live();
    let error = error_text(profile.live_samples(), header.interval.as_u64() == 1);
    write!(out, "{:10} {}", "live", Bytes::new(live.bytes))?;
    if profile.measures(Metric::LiveObjects) {
        write!(out, " in {} objects", live.objects)?;
    }
    writeln!(out, ", ± {error} from {} samples", profile.live_samples())?;
    if profile.measures(Metric::AllocatedBytes) {
        let allocated = profile.allocated();
        writeln!(
            out,
            "{:10} {} in {} objects since the start",
            "allocated",
            Bytes::new(allocated.bytes),
            allocated.objects
        )?;
    }
    let mut taken = String::new();
    if header.taken_unix_ms > 0 {
        taken.push_str(&moment(header.taken_unix_ms));
    } else {
        taken.push_str("at a time that it does not say");
    }
    if header.since_start_ms > 0 {
        // Writing into a text does not fail.
        let _ = write!(taken, ", {} after the start", seconds(header.since_start_ms));
    }
    if !header.origin.is_empty() {
        let _ = write!(taken, ", by {}", clean::line(&header.origin));
    }
    writeln!(out, "{:10} {taken}", "taken")?;
    // The first file of code that is mapped is the program's own.
    if let Some(program) = profile.mappings().first().filter(|program| !program.path.is_empty()) {
        write!(out, "{:10} {}", "program", clean::line(&program.path))?;
        if !program.build_id.is_empty() {
            write!(out, ", build {}", clean::line(&program.build_id))?;
        }
        writeln!(out)?;
    }
    if !header.interval.is_zero() {
        writeln!(out, "{:10} one sample in {}", "interval", header.interval)?;
    }
    if let Some(memory) = &header.memory {
        resident(memory, out)?;
    }
    if let Some(status) = &header.status {
        profiler(status, out)?;
    }
    Ok(())
}

fn resident(memory: &Memory, out: &mut impl Write) -> io::Result<()> {
    let (all, explained) = (memory.resident_bytes, memory.explained_bytes());
    writeln!(out, "{:10} {}, {} of it explained", "resident", Bytes::new(all), percent(explained, all))?;
    for part in &memory.parts {
        let size = Bytes::new(part.resident_bytes).to_string();
        let share = percent(part.resident_bytes, all);
        writeln!(out, "{:10} {size:>10} {share:>8}  {}", "", clean::line(&part.name))?;
    }
    Ok(())
}

fn profiler(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let running = if status.running { "running" } else { "NOT RUNNING" };
    let adaptive = if status.adaptive { "adaptive" } else { "fixed" };
    writeln!(
        out,
        "{:10} {running}, {adaptive} interval, stacks by {}, {} samples ({:.1}/s), {} stacks, \
         {:.3} % of CPU, {} of its own",
        "profiler",
        clean::line(&status.unwind_method),
        status.samples,
        status.samples_per_s,
        status.stacks,
        f64::from(status.cost_ppm) / 10_000.0,
        Bytes::new(status.own_bytes)
    )?;
    let lost = [status.dropped_large, status.dropped_small, status.dropped_stacks];
    let [large, small, stacks] = lost;
    if lost == [0; 3] {
        writeln!(out, "{:10} nothing", "lost")?;
    } else {
        writeln!(
            out,
            "{:10} not followed: {large} large, {small} small; {stacks} without their stack",
            "LOST"
        )?;
    }
    writeln!(
        out,
        "{:10} {} samples ({}) have a stack of which only the leaf end is kept",
        "cut",
        status.truncated,
        percent(status.truncated, status.samples)
    )?;
    if status.range_bytes < status.range_wanted_bytes {
        writeln!(
            out,
            "{:10} {} of {} address space for small blocks: raise `ulimit -v`",
            "RANGE",
            Bytes::new(status.range_bytes),
            Bytes::new(status.range_wanted_bytes)
        )?;
    }
    Ok(())
}
