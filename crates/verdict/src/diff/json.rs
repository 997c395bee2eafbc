//! A comparison as JSON, for scripts: the schema `plimsoll.heap_diff/1`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Diff, DiffEntry, DiffFrame, Side};
use crate::metric::Metric;

/// The schema.
const SCHEMA: &str = "plimsoll.heap_diff/1";

#[derive(Serialize)]
struct File<'a> {
    schema: &'static str,
    metric: &'static str,
    level: &'static str,
    between_ms: u64,
    before: Amounts,
    after: Amounts,
    /// How many entries changed; those after the top ones are left out.
    entries_changed: usize,
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    at: Frame<'a>,
    state: &'static str,
    live_bytes_change: i64,
    live_objects_change: i64,
    allocated_bytes_change: i64,
    allocated_objects_change: i64,
    /// Of the metric that was asked for; null if there was nothing before.
    percent: Option<f64>,
    /// The standard error of the change of live bytes; null if it is not known.
    live_bytes_error: Option<u64>,
    before: Amounts,
    after: Amounts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

#[derive(Serialize)]
struct Amounts {
    live_bytes: u64,
    live_objects: u64,
    allocated_bytes: u64,
    allocated_objects: u64,
    live_samples: u64,
}

pub(super) fn write(diff: &Diff, top: usize, mut out: impl Write) -> io::Result<()> {
    let file = File {
        schema: SCHEMA,
        metric: diff.metric.name(),
        level: diff.level.name(),
        between_ms: diff.between_ms,
        before: Amounts::from(&diff.before),
        after: Amounts::from(&diff.after),
        entries_changed: diff.entries.len(),
        entries: diff.top(top).iter().map(|it| entry(it, diff.metric)).collect(),
    };
    serde_json::to_writer(&mut out, &file)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn entry(entry: &DiffEntry, metric: Metric) -> Entry<'_> {
    Entry {
        at: Frame::from(&entry.at),
        state: entry.state(metric).name(),
        live_bytes_change: entry.change(Metric::LiveBytes),
        live_objects_change: entry.change(Metric::LiveObjects),
        allocated_bytes_change: entry.change(Metric::AllocatedBytes),
        allocated_objects_change: entry.change(Metric::AllocatedObjects),
        percent: entry.percent(metric),
        live_bytes_error: entry.live_bytes_error(),
        before: Amounts::from(&entry.before),
        after: Amounts::from(&entry.after),
        stack: entry.stack.iter().map(Frame::from).collect(),
    }
}

impl<'a> From<&'a DiffFrame> for Frame<'a> {
    fn from(frame: &'a DiffFrame) -> Self {
        Frame { function: &frame.function, file: frame.file.as_deref(), line: frame.line }
    }
}

impl From<&Side> for Amounts {
    fn from(side: &Side) -> Self {
        Amounts {
            live_bytes: side.live.bytes,
            live_objects: side.live.objects,
            allocated_bytes: side.allocated.bytes,
            allocated_objects: side.allocated.objects,
            live_samples: side.live_samples,
        }
    }
}
