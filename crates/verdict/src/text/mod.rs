//! The table for a terminal: how much lives, which lines hold it, and how far to trust the numbers.
//!
//! An estimate without its error is taken for a measurement, and a profile of an inactive profiler for a healthy
//! program. So each row has its error, and the head says how the profiler did. The layout is pinned by tests.

mod head;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::io::{self, Write};

use plimsoll_core::Bytes;

use crate::profile::{Frames, Profile};
use table::{error_text, percent, place, short_name};

/// What the table shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// How many rows at most; what is left out is summed up in the last line.
    pub top: usize,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions { top: 20 }
    }
}

/// Writes the table. A row is all stacks with the same line of the program ([`Frames::own`]) and the same leaf;
/// rows are in the order of live bytes. Allocates about 200 bytes for each row.
///
/// # Errors
/// Those of `out`.
pub fn write(profile: &Profile, options: &TextOptions, mut out: impl Write) -> io::Result<()> {
    head::write(profile, &mut out)?;
    let frames = profile.frames();
    let rows = rows(profile, &frames);
    writeln!(out, "\n{:>10} {:>11} {:>8} {:>8}  allocated by", "live", "objects", "±", "share")?;
    let all = profile.live().bytes;
    let exact = profile.header().interval.as_u64() == 1;
    for row in rows.iter().take(options.top) {
        let share = percent(row.bytes, all);
        write!(
            out,
            "{:>10} {:>11} {:>8} {:>8}  ",
            Bytes::new(row.bytes).to_string(),
            row.objects,
            error_text(row.samples, exact),
            share
        )?;
        match row.own.map(|own| frames.get(own)) {
            Some(own) => writeln!(out, "{}{}", short_name(&own.function), place(own.file, own.line))?,
            None => writeln!(out, "{}", crate::collapsed::UNKNOWN)?,
        }
        if let Some(leaf) = row.leaf.filter(|&leaf| Some(leaf) != row.own).map(|leaf| frames.get(leaf)) {
            let (name, place) = (short_name(&leaf.function), place(leaf.file, leaf.line));
            writeln!(out, "{:42}in {name}{place}", "")?;
        }
    }
    if let Some(rest) = rows.get(options.top..).filter(|rest| !rest.is_empty()) {
        let bytes = rest.iter().fold(0, |sum: u64, row| sum.saturating_add(row.bytes));
        writeln!(out, "and {} more, with {} live", rest.len(), Bytes::new(bytes))?;
    }
    out.flush()
}

/// Stacks with the same line of the program and the same leaf.
struct Row {
    own: Option<usize>,
    leaf: Option<usize>,
    bytes: u64,
    objects: u64,
    samples: u64,
}

/// What is shown of a frame, and so what makes two frames one.
type Shown<'a> = Option<(&'a str, Option<&'a str>, Option<u32>)>;

fn rows(profile: &Profile, frames: &Frames<'_>) -> Vec<Row> {
    let shown = |number: Option<usize>| -> Shown<'_> {
        number.map(|number| frames.get(number)).map(|it| (&*it.function, it.file, it.line))
    };
    let mut rows: BTreeMap<(Shown<'_>, Shown<'_>), Row> = BTreeMap::new();
    for stack in profile.stacks() {
        let live = stack.live();
        if live == plimsoll_core::heap::Amount::default() {
            continue;
        }
        let (own, leaf) = (frames.own_number(stack), frames.leaf_number(stack));
        let row = rows.entry((shown(own), shown(leaf)));
        let row = row.or_insert(Row { own, leaf, bytes: 0, objects: 0, samples: 0 });
        row.bytes = row.bytes.saturating_add(live.bytes);
        row.objects = row.objects.saturating_add(live.objects);
        row.samples = row.samples.saturating_add(stack.live_samples());
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    // Stable: equal ones stay in the order of their names.
    rows.sort_by_key(|row| std::cmp::Reverse((row.bytes, row.objects)));
    rows
}
