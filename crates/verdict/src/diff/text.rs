//! A comparison as a table for a terminal.

use std::io::{self, Write};

use plimsoll_core::Bytes;

use super::{Change, Diff, DiffEntry, Level, Side, signed};
use crate::metric::Metric;
use crate::text::table::{place, seconds, short_name};

pub(super) fn write(diff: &Diff, top: usize, mut out: impl Write) -> io::Result<()> {
    let metric = diff.metric;
    let whole = DiffEntry {
        at: super::DiffFrame { function: String::new(), file: None, line: None },
        stack: Vec::new(),
        before: diff.before,
        after: diff.after,
    };
    let by = match diff.level {
        Level::Stack => "stacks",
        Level::Own => "own lines",
        Level::Leaf => "leaf functions",
    };
    write!(
        out,
        "{} {} -> {}, {}",
        metric.title(),
        metric.show(diff.before.of(metric)),
        metric.show(diff.after.of(metric)),
        signed(whole.change(metric), metric)
    )?;
    if let Some(percent) = whole.percent(metric) {
        write!(out, " ({percent:+.1} %)")?;
    }
    if diff.between_ms > 0 {
        write!(out, " in {}", seconds(diff.between_ms))?;
    }
    writeln!(out, ", by {by}")?;
    if diff.entries.is_empty() {
        writeln!(out, "nothing changed")?;
        return out.flush();
    }
    let (changed, others) = diff.changed();
    if !changed.is_empty() {
        writeln!(
            out,
            "\n{:>11} {:>10} {:>11} {:>10} {:>10} {:>10}  where",
            "change", "±", "objects", "before", "after", "%"
        )?;
    }
    for entry in changed.iter().take(top) {
        row(diff, entry, &mut out)?;
    }
    if changed.len() > top {
        writeln!(out, "and {} more", changed.len() - top)?;
    }
    if others > 0 {
        writeln!(out, "and {others} in which {} are as before", metric.title())?;
    }
    out.flush()
}

fn row(diff: &Diff, entry: &DiffEntry, out: &mut impl Write) -> io::Result<()> {
    let metric = diff.metric;
    let show = |side: &Side| metric.show(side.of(metric));
    let state = entry.state(metric);
    let percent = match (state, entry.percent(metric)) {
        (Change::New | Change::Gone, _) => state.name().to_owned(),
        (_, Some(percent)) => format!("{percent:+.1} %"),
        (_, None) => "-".to_owned(),
    };
    let error = match metric {
        Metric::LiveBytes => entry.live_bytes_error(),
        _ => None,
    };
    // Objects go with the bytes that are shown.
    let objects = match metric {
        Metric::LiveBytes | Metric::LiveObjects => Metric::LiveObjects,
        Metric::AllocatedBytes | Metric::AllocatedObjects => Metric::AllocatedObjects,
    };
    writeln!(
        out,
        "{:>11} {:>10} {:>11} {:>10} {:>10} {percent:>10}  {}{}",
        signed(entry.change(metric), metric),
        error.map_or("-".to_owned(), |error| Bytes::new(error).to_string()),
        format!("{:+}", entry.change(objects)),
        show(&entry.before),
        show(&entry.after),
        short_name(&entry.at.function),
        place(entry.at.file.as_deref(), entry.at.line)
    )?;
    for frame in &entry.stack {
        let place = place(frame.file.as_deref(), frame.line);
        writeln!(out, "{:70}{}{place}", "", short_name(&frame.function))?;
    }
    Ok(())
}
