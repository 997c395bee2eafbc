//! The table for a terminal: how much lives, which lines hold it, and how far to trust the numbers.
//!
//! An estimate without its error is taken for a measurement, and a profile of an inactive profiler for a healthy
//! program. So each row has its error, and the head says how the profiler did. The layout is pinned by tests.

mod head;
pub(crate) mod table;

use std::io::{self, Write};

use plimsoll_core::Bytes;

use crate::library::Owner;
use crate::metric::Metric;
use crate::profile::{Frame, Frames, Profile, Stack};
use crate::sites::{Site, sites, total};
use table::{error_text, percent, place, short_name};

/// What the table shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// How many rows at most; what is left out is summed up in the last line.
    pub top: usize,
    /// By what rows are sorted, and what they show: live or allocated amounts. The profile must have it: see
    /// [`Profile::require`].
    pub metric: Metric,
    /// How many callers each row shows at most, of the stack that has the most; none at 0. Those of libraries in
    /// between are one line.
    pub callers: usize,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions { top: 20, metric: Metric::LiveBytes, callers: 0 }
    }
}

/// Before the lines that belong to a row.
const INDENT: usize = 42;

/// Writes the table. A row is all stacks with the same line of the program ([`Frames::own`]) and the same leaf.
/// Allocates about 400 bytes for each row.
///
/// # Errors
/// Those of `out`.
pub fn write(profile: &Profile, options: &TextOptions, mut out: impl Write) -> io::Result<()> {
    let metric = options.metric;
    head::write(profile, &mut out)?;
    let frames = profile.frames();
    let rows = sites(profile, &frames, metric);
    let amounts = if metric.is_live() { "live" } else { "allocated" };
    writeln!(out, "\n{amounts:>10} {:>11} {:>8} {:>8}  allocated by", "objects", "±", "share")?;
    let all = total(&rows, metric);
    let exact = profile.header().interval.as_u64() == 1;
    for row in rows.iter().take(options.top) {
        let amount = row.amount(metric);
        // From how many samples, is known of what lives only.
        let samples = if metric.is_live() { row.live_samples } else { 0 };
        write!(
            out,
            "{:>10} {:>11} {:>8} {:>8}  ",
            Bytes::new(amount.bytes).to_string(),
            amount.objects,
            error_text(samples, exact),
            percent(row.of(metric), all)
        )?;
        match row.own {
            Some(own) => frame(frames.get(own), &mut out)?,
            None => writeln!(out, "{}", crate::collapsed::UNKNOWN)?,
        }
        if let Some(leaf) = row.leaf.filter(|&leaf| Some(leaf) != row.own) {
            write!(out, "{:INDENT$}in ", "")?;
            frame(frames.get(leaf), &mut out)?;
        }
        callers(&profile.stacks()[row.heaviest], &frames, row, options.callers, &mut out)?;
    }
    if let Some(rest) = rows.get(options.top..).filter(|rest| !rest.is_empty()) {
        writeln!(
            out,
            "and {} more, with {} {}",
            rest.len(),
            metric.show(total(rest, metric)),
            metric.noun()
        )?;
    }
    out.flush()
}

/// A frame to the end of its line.
fn frame(frame: &Frame<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}{}", short_name(&frame.function), place(frame.file, frame.line))
}

/// Who called the line of `row`, in `stack`: at most `most` lines. A run of frames that are not the program's is one
/// of them, with their number, for a service has twenty of its runtime between two of its own; so is recursion.
fn callers(
    stack: &Stack,
    frames: &Frames<'_>,
    row: &Site,
    most: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    if most == 0 {
        return Ok(());
    }
    let mixed = frames.is_mixed(stack);
    let own = |number: usize| {
        let frame = frames.get(number);
        // The bare `main` that the linker calls is nobody's line.
        let nobodys = &frame.function == "main" && frame.file.is_none();
        (frames.owner_in(number, mixed) == Owner::Program && !nobodys).then_some(frame)
    };
    let mut above: Vec<Option<&Frame<'_>>> =
        frames.numbers(stack).skip_while(|&number| Some(number) != row.own).skip(1).map(own).collect();
    // Before the first of the program there is only how threads and programs begin.
    above.truncate(above.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
    let runs: Vec<&[Option<&Frame<'_>>]> = above.chunk_by(|a, b| a == b).collect();
    for run in runs.iter().take(most) {
        match (run[0], run.len()) {
            (Some(caller), times) => {
                write!(out, "{:INDENT$}from ", "")?;
                if times > 1 {
                    write!(out, "{times} times ")?;
                }
                frame(caller, out)?;
            }
            (None, 1) => writeln!(out, "{:INDENT$}from a frame of a library", "")?,
            (None, count) => writeln!(out, "{:INDENT$}from {count} frames of libraries", "")?,
        }
    }
    let rest: usize = runs.iter().skip(most).map(|run| run.len()).sum();
    if rest > 0 {
        writeln!(out, "{:INDENT$}from {rest} more", "")?;
    }
    match row.stacks - 1 {
        0 => Ok(()),
        1 => writeln!(out, "{:INDENT$}and by another stack", ""),
        others => writeln!(out, "{:INDENT$}and by {others} other stacks", ""),
    }
}
