//! The sites that hold most, as JSON for scripts: the schema `plimsoll.report/1`.
//!
//! The profile file has everything and leaves the adding up to its reader. This one has what a person would read off
//! the table, named and added up, so that a script need not know what an own line is.

use std::io::Write;

use serde::Serialize;

use crate::metric::{Metric, WriteError};
use crate::profile::{Frames, Memory, Profile, Status};
use crate::sites::{Site, sites, total};

/// The schema.
pub const SCHEMA: &str = "plimsoll.report/1";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// How many sites at most; what is left out is added up.
    pub top: usize,
    /// By what they are sorted.
    pub metric: Metric,
}

impl Default for ReportOptions {
    fn default() -> Self {
        ReportOptions { top: 20, metric: Metric::LiveBytes }
    }
}

#[derive(Serialize)]
struct File<'a> {
    schema: &'static str,
    metric: &'static str,
    origin: &'a str,
    /// The file of the program; null if it is not known.
    program: Option<&'a str>,
    taken_unix_ms: u64,
    since_start_ms: u64,
    epoch_ms: u64,
    interval_bytes: u64,
    /// What the source measured; what it did not is 0, or as what lives.
    metrics: Vec<&'static str>,
    status: Option<&'a Status>,
    memory: Option<&'a Memory>,
    memory_explained_bytes: Option<u64>,
    live_bytes: u64,
    live_objects: u64,
    allocated_bytes: u64,
    allocated_objects: u64,
    live_samples: u64,
    /// How many sites have any of the metric; those after the top ones are left out.
    sites_count: usize,
    left_out: LeftOut,
    sites: Vec<Entry<'a>>,
}

/// What the sites that were left out have of the metric.
#[derive(Serialize)]
struct LeftOut {
    sites: usize,
    #[serde(flatten)]
    amount: Counted,
}

/// An amount of the metric that was asked for.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Counted {
    Bytes(u64),
    Objects(u64),
}

#[derive(Serialize)]
struct Entry<'a> {
    /// The line of the program; null in a stack without frames.
    own: Option<NamedFrame<'a>>,
    /// The function that asked the allocator.
    leaf: Option<NamedFrame<'a>>,
    live_bytes: u64,
    live_objects: u64,
    allocated_bytes: u64,
    allocated_objects: u64,
    freed_bytes: u64,
    freed_objects: u64,
    /// Of all there is of the metric, in percent.
    share_percent: f64,
    /// How many samples the live amounts are estimated from; their relative error is one over its root.
    live_samples: u64,
    /// By age, youngest first; empty if the source has none.
    live_bytes_by_age: Vec<u64>,
    /// How many stacks there are of it.
    stacks_count: usize,
    /// The one with the most, leaf first.
    stack_truncated: bool,
    stack: Vec<NamedFrame<'a>>,
}

#[derive(Serialize)]
struct NamedFrame<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    owner: &'static str,
}

/// Writes the report as one line of JSON. Allocates about 400 bytes for each site, and for each that is written 64
/// for each frame of its stack.
///
/// # Errors
/// The profile does not have the metric; or those of `out`.
pub fn write(profile: &Profile, options: &ReportOptions, mut out: impl Write) -> Result<(), WriteError> {
    let ReportOptions { top, metric } = *options;
    profile.require(metric)?;
    let frames = profile.frames();
    let sites = sites(profile, &frames, metric);
    let (shown, rest) = sites.split_at(top.min(sites.len()));
    let all = total(&sites, metric);
    let header = profile.header();
    let (live, allocated) = (profile.live(), profile.allocated());
    let left_out = total(rest, metric);
    let amount = if metric.is_bytes() { Counted::Bytes(left_out) } else { Counted::Objects(left_out) };
    let file = File {
        schema: SCHEMA,
        metric: metric.name(),
        origin: &header.origin,
        program: profile.mappings().first().map(|program| &*program.path).filter(|path| !path.is_empty()),
        taken_unix_ms: header.taken_unix_ms,
        since_start_ms: header.since_start_ms,
        epoch_ms: header.epoch_ms,
        interval_bytes: header.interval.as_u64(),
        metrics: header.metrics.iter().map(|metric| metric.name()).collect(),
        status: header.status.as_ref(),
        memory: header.memory.as_ref(),
        memory_explained_bytes: header.memory.as_ref().map(Memory::explained_bytes),
        live_bytes: live.bytes,
        live_objects: live.objects,
        allocated_bytes: allocated.bytes,
        allocated_objects: allocated.objects,
        live_samples: profile.live_samples(),
        sites_count: sites.len(),
        left_out: LeftOut { sites: rest.len(), amount },
        sites: shown.iter().map(|site| entry(profile, &frames, site, metric, all)).collect(),
    };
    serde_json::to_writer(&mut out, &file).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

fn entry<'a>(profile: &Profile, frames: &'a Frames<'_>, site: &Site, metric: Metric, all: u64) -> Entry<'a> {
    let stack = &profile.stacks()[site.heaviest];
    let mixed = frames.is_mixed(stack);
    let named = |number: usize| {
        let frame = frames.get(number);
        NamedFrame {
            function: &frame.function,
            file: frame.file,
            line: frame.line,
            owner: frames.owner_in(number, mixed).name(),
        }
    };
    let ages = site.generations.iter().map(|generation| generation.live_bytes);
    let has_ages = profile.header().epoch_ms > 0;
    Entry {
        own: site.own.map(named),
        leaf: site.leaf.map(named),
        live_bytes: site.live.bytes,
        live_objects: site.live.objects,
        allocated_bytes: site.allocated.bytes,
        allocated_objects: site.allocated.objects,
        freed_bytes: site.freed.bytes,
        freed_objects: site.freed.objects,
        share_percent: if all == 0 { 0.0 } else { site.of(metric) as f64 * 100.0 / all as f64 },
        live_samples: site.live_samples,
        live_bytes_by_age: if has_ages { ages.collect() } else { Vec::new() },
        stacks_count: site.stacks,
        stack_truncated: stack.truncated,
        stack: frames.numbers(stack).map(named).collect(),
    }
}
