//! The head of a page: of what process, since when, how it was measured, and how far it explains the process.

use std::io::{self, Write};

use plimsoll_core::Bytes;

use super::page::text;
use crate::diff::{Diff, DiffEntry, DiffFrame, signed};
use crate::metric::Metric;
use crate::profile::{Memory, Profile, Status, UNEXPLAINED};
use crate::text::table::{error_text, moment, percent, seconds, span};

pub(super) fn of_profile(profile: &Profile, title: &str, out: &mut impl Write) -> io::Result<()> {
    let header = profile.header();
    let live = profile.live();
    let exact = header.interval.as_u64() == 1;
    writeln!(out, "<header><h1>{}</h1>", text(title))?;
    write!(out, "<p class=lead><strong>{} live</strong>", Bytes::new(live.bytes))?;
    if profile.measures(Metric::LiveObjects) {
        write!(out, " in {} objects", live.objects)?;
    }
    if exact {
        write!(out, ", every allocation counted")?;
    } else if profile.live_samples() > 0 {
        let (samples, error) = (profile.live_samples(), error_text(profile.live_samples(), false));
        write!(out, ", ± {error} from {samples} samples")?;
    }
    writeln!(out, "</p></header>\n<dl class=facts>")?;
    if let Some(program) = profile.mappings().first().filter(|program| !program.path.is_empty()) {
        fact("Program", &program.path, out)?;
        if !program.build_id.is_empty() {
            fact("Build", &program.build_id, out)?;
        }
    }
    if header.taken_unix_ms > 0 {
        fact("Taken", &moment(header.taken_unix_ms), out)?;
    }
    if header.since_start_ms > 0 {
        fact("Sampled for", &duration(header.since_start_ms), out)?;
    }
    if profile.measures(Metric::AllocatedBytes) {
        let allocated = profile.allocated();
        let all = format!("{} in {} objects", Bytes::new(allocated.bytes), allocated.objects);
        fact("Allocated in that time", &all, out)?;
    }
    if !header.interval.is_zero() {
        let adaptive = header.status.as_ref().is_some_and(|status| status.adaptive);
        let adaptive = if adaptive { ", adjusted to its cost" } else { "" };
        let interval = if exact {
            "every allocation".to_owned()
        } else {
            format!("one sample in {}{adaptive}", header.interval)
        };
        fact("Sampling", &interval, out)?;
    }
    if let Some(status) = &header.status {
        profiler(status, out)?;
    }
    if !header.origin.is_empty() {
        fact("Made by", &header.origin, out)?;
    }
    writeln!(out, "</dl>")?;
    match &header.memory {
        Some(memory) => resident(memory, out),
        None => Ok(()),
    }
}

fn profiler(status: &Status, out: &mut impl Write) -> io::Result<()> {
    if !status.running {
        warning("Profiler", "it was not running", out)?;
    }
    let samples = format!("{} ({:.1}/s) of {} stacks", status.samples, status.samples_per_s, status.stacks);
    fact("Samples", &samples, out)?;
    fact("Stacks followed by", &status.unwind_method, out)?;
    let cut = format!("{} samples ({})", status.truncated, percent(status.truncated, status.samples));
    fact("Stacks cut short", &cut, out)?;
    match [status.dropped_large, status.dropped_small, status.dropped_stacks] {
        [0, 0, 0] => fact("Samples lost", "none", out)?,
        [large, small, stacks] => {
            let lost = format!("{large} large and {small} small not followed, {stacks} without their stack");
            warning("Samples lost", &lost, out)?;
        }
    }
    if status.range_bytes < status.range_wanted_bytes {
        let (range, wanted) = (Bytes::new(status.range_bytes), Bytes::new(status.range_wanted_bytes));
        warning("Address space", &format!("{range} of {wanted}: raise `ulimit -v`"), out)?;
    }
    let cost = f64::from(status.cost_ppm) / 10_000.0;
    let own = Bytes::new(status.own_bytes);
    fact("Cost of sampling", &format!("{cost:.3} % of CPU, {own} of memory"), out)
}

/// Resident memory as one bar of its parts, and the same as a list.
fn resident(memory: &Memory, out: &mut impl Write) -> io::Result<()> {
    let (all, explained) = (memory.resident_bytes, memory.explained_bytes());
    writeln!(
        out,
        "<section class=resident aria-labelledby=resident-h><h2 id=resident-h>Resident memory</h2>\
         <p>{}, of which {} is explained.</p><div class=bar aria-hidden=true>",
        Bytes::new(all),
        percent(explained, all)
    )?;
    let share = |bytes: u64| if all == 0 { 0.0 } else { bytes as f64 * 100.0 / all as f64 };
    for (number, part) in memory.parts.iter().enumerate() {
        let class = class(number, &part.name);
        write!(out, "<i class={class} style=\"width:{:.2}%\"></i>", share(part.resident_bytes))?;
    }
    write!(out, "</div><ul class=parts>")?;
    for (number, part) in memory.parts.iter().enumerate() {
        write!(
            out,
            "<li><i class={} aria-hidden=true></i>{} <b>{}</b> {}",
            class(number, &part.name),
            text(&part.name),
            Bytes::new(part.resident_bytes),
            percent(part.resident_bytes, all)
        )?;
    }
    writeln!(out, "</ul></section>")
}

/// The colour of a part; what nobody explained has its own.
fn class(number: usize, name: &str) -> String {
    if name == UNEXPLAINED { "unexplained".to_owned() } else { format!("part{}", number % 6) }
}

pub(super) fn of_diff(diff: &Diff, title: &str, out: &mut impl Write) -> io::Result<()> {
    let at = DiffFrame { function: String::new(), file: None, line: None };
    let whole = DiffEntry { at, stack: Vec::new(), before: diff.before, after: diff.after };
    let metric = diff.metric;
    writeln!(out, "<header><h1>{}</h1>", text(title))?;
    write!(
        out,
        "<p class=lead><strong>{}</strong> {}",
        signed(whole.change(metric), metric),
        metric.title()
    )?;
    if let Some(percent) = whole.percent(metric) {
        write!(out, " ({percent:+.1} %)")?;
    }
    if diff.between_ms > 0 {
        write!(out, " in {}", duration(diff.between_ms))?;
    }
    writeln!(out, "</p></header>\n<dl class=facts>")?;
    for metric in Metric::ALL {
        let (before, after) = (diff.before.of(metric), diff.after.of(metric));
        let mut title = metric.title().to_owned();
        title[..1].make_ascii_uppercase();
        fact(&title, &format!("{} to {}", metric.show(before), metric.show(after)), out)?;
    }
    writeln!(out, "</dl>")
}

/// A span to its tenth of a second, and beyond two minutes in words that one grasps.
fn duration(ms: u64) -> String {
    if ms < 120_000 { seconds(ms) } else { format!("{} ({})", span(ms), seconds(ms)) }
}

fn fact(what: &str, value: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", text(what), text(value))
}

/// A fact that makes the others doubtful.
fn warning(what: &str, value: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<div class=warning><dt>{}</dt><dd>{}</dd></div>", text(what), text(value))
}
