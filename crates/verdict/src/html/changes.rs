//! The table of a comparison: a row for each entry that changed.

use std::io::{self, Write};

use plimsoll_core::Bytes;

use super::HtmlOptions;
use super::page::{self, Column, text};
use crate::diff::{Change, Diff, DiffEntry, DiffFrame, Level, signed};
use crate::metric::Metric;
use crate::text::table::place;

pub(super) fn write(diff: &Diff, options: &HtmlOptions, out: &mut impl Write) -> io::Result<()> {
    let (changed, others) = diff.changed();
    let shown = &changed[..options.rows_max.min(changed.len())];
    let what = match diff.level {
        Level::Stack => "stacks",
        Level::Own => "lines",
        Level::Leaf => "functions",
    };
    writeln!(
        out,
        "<section aria-labelledby=changes-h><h2 id=changes-h>Growth of {}, by {what}</h2>",
        diff.metric.title()
    )?;
    if changed.is_empty() {
        return writeln!(out, "<p>Nothing changed.</p></section>");
    }
    page::table_tools(shown.len(), changed.len(), what, out)?;
    writeln!(
        out,
        "<div class=scroll role=region aria-labelledby=changes-h tabindex=0><table><caption class=sr>One row for each \
         entry that changed</caption>"
    )?;
    let number = |title, hint| Column { title, hint, number: true };
    let columns = [
        number("Change", "after less before"),
        number("±", "standard error of the change of live bytes"),
        Column { title: "Where", hint: "function, file and line", number: false },
        number("Before", "in the earlier profile"),
        number("After", "in the later profile"),
        number("%", "of what was there before"),
        number("Objects", "change of their number"),
    ];
    page::table_head(&columns, 0, out)?;
    for (number, entry) in shown.iter().enumerate() {
        row(diff, number, entry, columns.len(), options.stack_frames_max, out)?;
    }
    writeln!(out, "</table></div>")?;
    if changed.len() > shown.len() {
        let rest = changed.len() - shown.len();
        writeln!(out, "<p class=note>{rest} more that grew less, or shrank, are left out.</p>")?;
    }
    if others > 0 {
        writeln!(out, "<p class=note>In {others} more only other amounts changed.</p>")?;
    }
    writeln!(out, "</section>")
}

fn row(
    diff: &Diff,
    number: usize,
    entry: &DiffEntry,
    columns: usize,
    stack_frames_max: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let metric = diff.metric;
    let state = entry.state(metric);
    let change = entry.change(metric);
    write!(
        out,
        "<tbody><tr><td class=\"n {}\" data-v={change}>{}</td>",
        state.name(),
        signed(change, metric)
    )?;
    let error = if metric == Metric::LiveBytes { entry.live_bytes_error() } else { None };
    match error {
        Some(error) => write!(out, "<td class=n data-v={error}>{}</td>", Bytes::new(error))?,
        None => write!(out, "<td class=n data-v=-1>-</td>")?,
    }
    let function = page::name(&entry.at.function);
    write!(out, "<td class=where>")?;
    if entry.stack.is_empty() {
        write!(out, "<b>{function}</b>")?;
    } else {
        write!(
            out,
            "<button type=button class=open aria-expanded=false aria-controls=s{number}>{function}</button>"
        )?;
    }
    write!(out, "{}</td>", source(&entry.at))?;
    for side in [&entry.before, &entry.after] {
        write!(out, "<td class=n data-v={}>{}</td>", side.of(metric), metric.show(side.of(metric)))?;
    }
    match (state, entry.percent(metric)) {
        // What is new grew without end.
        (Change::New, _) => write!(out, "<td class=n data-v=1e18>new</td>")?,
        (Change::Gone, _) => write!(out, "<td class=n data-v=-100>gone</td>")?,
        (_, Some(percent)) => write!(out, "<td class=n data-v={percent:.4}>{percent:+.1} %</td>")?,
        (_, None) => write!(out, "<td class=n data-v=0>-</td>")?,
    }
    let objects = if metric.is_live() { Metric::LiveObjects } else { Metric::AllocatedObjects };
    write!(out, "<td class=n data-v={0}>{0:+}</td></tr>", entry.change(objects))?;
    if !entry.stack.is_empty() {
        write!(out, "\n<tr id=s{number} class=stack hidden><td colspan={columns}><ol>")?;
        for frame in entry.stack.iter().take(stack_frames_max) {
            write!(out, "<li>{}{}", page::name(&frame.function), source(frame))?;
        }
        write!(out, "</ol>")?;
        if entry.stack.len() > stack_frames_max {
            write!(out, "<p>{} more callers are left out.</p>", entry.stack.len() - stack_frames_max)?;
        }
        write!(out, "</td></tr>")?;
    }
    writeln!(out, "</tbody>")
}

/// Where a frame is, after its name.
fn source(frame: &DiffFrame) -> String {
    let place = place(frame.file.as_deref(), frame.line);
    if place.is_empty() { place } else { format!(" <span class=file>{}</span>", text(place.trim_start())) }
}
