//! A verdict as JSON: the schema `plimsoll.watch/1`.

use std::io::{self, Write};

use serde::Serialize;

use super::verdict::{
    Gate, Outcome, PartChange, ProcessLine, Rate, Row, SiteVerdict, StackFrame, Target, Verdict,
};

/// The schema.
pub const SCHEMA: &str = "plimsoll.watch/1";

#[derive(Serialize)]
struct File<'a> {
    schema: &'static str,
    target: Option<WireTarget<'a>>,
    verdict: &'static str,
    confidence: f64,
    observed_ms: u64,
    readings: u32,
    interval_bytes: u64,
    heap_profiled: bool,
    process: Process<'a>,
    sites: Vec<Site<'a>>,
    gaps: &'a [String],
    threshold: Threshold<'a>,
    /// Empty if there was one.
    processes: Vec<Line<'a>>,
    snapshots: Vec<WireRow>,
    /// What judging costs the process, if it is done in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<Own>,
}

#[derive(Serialize)]
struct Own {
    readings: u64,
    spent_ms: u64,
    held_bytes: u64,
}

#[derive(Serialize)]
struct WireRow {
    at_ms: u64,
    unix_ms: u64,
    resident_bytes: u64,
    heap_live_bytes: u64,
    processes: usize,
}

#[derive(Serialize)]
struct WireTarget<'a> {
    name: &'a str,
    pid: Option<i32>,
    /// With what it ended by itself; null if it did not.
    exit_code: Option<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    pid: Option<i32>,
    program: &'a str,
    /// Null if it was seen too shortly.
    verdict: Option<&'static str>,
    observed_ms: u64,
    readings: u32,
    heap_profiled: bool,
    heap_live_bytes: u64,
    resident_bytes: u64,
}

#[derive(Serialize)]
struct Process<'a> {
    state: &'static str,
    resident_bytes: u64,
    resident_first_bytes: u64,
    growth_bytes_per_s: f64,
    growth_ci: [f64; 2],
    heap_live_bytes: u64,
    parts: Vec<Part<'a>>,
    gates: Vec<WireGate<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'a str,
    state: &'static str,
    first_bytes: u64,
    resident_bytes: u64,
    growth_bytes_per_s: f64,
}

#[derive(Serialize)]
struct Site<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    pid: Option<i32>,
    program: Option<&'a str>,
    scope: &'static str,
    state: &'static str,
    undecided: bool,
    kind: &'static str,
    live_bytes: u64,
    growth_bytes_per_s: f64,
    growth_ci: [f64; 2],
    window_ms: u64,
    samples: u64,
    old_ms: u64,
    old_objects: u64,
    old_deaths: u64,
    death_rate_high_per_s: f64,
    p_value: f64,
    e_value: f64,
    slowing: Option<f64>,
    slowing_error: Option<f64>,
    limit_in_ms: Option<u64>,
    excused: Option<&'a str>,
    gates: Vec<WireGate<'a>>,
    stack: Vec<Frame<'a>>,
    label: Option<&'a str>,
}

#[derive(Serialize)]
struct WireGate<'a> {
    name: &'static str,
    passed: bool,
    found: &'a str,
}

#[derive(Serialize)]
struct Frame<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

#[derive(Serialize)]
struct Threshold<'a> {
    threshold_bytes: u64,
    /// `ok`, `over`, or `insufficient_data`.
    state: &'static str,
    over: Vec<Over<'a>>,
}

#[derive(Serialize)]
struct Over<'a> {
    function: &'a str,
    growth_bytes: u64,
}

/// Writes `verdict` as one line of JSON.
///
/// # Errors
/// Those of `out`.
pub fn write(verdict: &Verdict, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &file(verdict))?;
    out.write_all(b"\n")?;
    out.flush()
}

fn file(verdict: &Verdict) -> File<'_> {
    let process = &verdict.process;
    let threshold = &verdict.threshold;
    File {
        schema: SCHEMA,
        target: verdict.target.as_ref().map(target),
        verdict: verdict.outcome.name(),
        confidence: verdict.confidence,
        observed_ms: ms(verdict.observed),
        readings: verdict.readings,
        interval_bytes: verdict.interval.as_u64(),
        heap_profiled: verdict.has_heap,
        process: Process {
            state: process.state.name(),
            resident_bytes: process.resident_last.as_u64(),
            resident_first_bytes: process.resident_first.as_u64(),
            growth_bytes_per_s: finite(process.growth.bytes_per_s),
            growth_ci: interval(&process.growth),
            heap_live_bytes: process.heap_live.as_u64(),
            parts: process.parts.iter().map(part).collect(),
            gates: gates(&process.gates),
        },
        sites: verdict.sites.iter().map(site).collect(),
        gaps: &verdict.gaps,
        threshold: Threshold {
            threshold_bytes: threshold.threshold.as_u64(),
            state: match (threshold.has_data, threshold.over.is_empty()) {
                (false, _) => "insufficient_data",
                (true, true) => "ok",
                (true, false) => "over",
            },
            over: threshold
                .over
                .iter()
                .map(|(function, grew)| Over { function, growth_bytes: grew.as_u64() })
                .collect(),
        },
        processes: verdict.processes.iter().map(line).collect(),
        snapshots: verdict.rows.iter().map(row).collect(),
        own: verdict.own.map(|own| Own {
            readings: own.readings,
            spent_ms: ms(own.spent),
            held_bytes: own.held_bytes,
        }),
    }
}

fn row(row: &Row) -> WireRow {
    WireRow {
        at_ms: ms(row.at),
        unix_ms: row.unix_ms,
        resident_bytes: row.resident.as_u64(),
        heap_live_bytes: row.heap_live.as_u64(),
        processes: row.processes,
    }
}

fn target(target: &Target) -> WireTarget<'_> {
    WireTarget { name: &target.name, pid: target.pid, exit_code: target.exit_code }
}

fn line(line: &ProcessLine) -> Line<'_> {
    Line {
        pid: line.owner.pid,
        program: &line.owner.program,
        verdict: line.outcome.map(Outcome::name),
        observed_ms: ms(line.observed),
        readings: line.readings,
        heap_profiled: line.has_heap,
        heap_live_bytes: line.heap_live.as_u64(),
        resident_bytes: line.resident_last.as_u64(),
    }
}

fn part(part: &PartChange) -> Part<'_> {
    Part {
        name: &part.name,
        state: part.state.name(),
        first_bytes: part.first.as_u64(),
        resident_bytes: part.last.as_u64(),
        growth_bytes_per_s: finite(part.growth.bytes_per_s),
    }
}

fn site(site: &SiteVerdict) -> Site<'_> {
    let evidence = &site.evidence;
    Site {
        function: &site.function,
        file: site.file.as_deref(),
        line: site.line,
        pid: site.owner.as_ref().and_then(|owner| owner.pid),
        program: site.owner.as_ref().map(|owner| &*owner.program),
        scope: site.scope.name(),
        state: site.state.name(),
        undecided: site.is_open,
        kind: evidence.kind.map_or("none", |kind| kind.name()),
        live_bytes: site.live.as_u64(),
        growth_bytes_per_s: finite(site.growth.bytes_per_s),
        growth_ci: interval(&site.growth),
        window_ms: ms(evidence.window),
        samples: evidence.samples,
        old_ms: ms(evidence.old),
        old_objects: evidence.old_objects,
        old_deaths: evidence.old_deaths,
        death_rate_high_per_s: finite(evidence.death_rate_high_per_s),
        p_value: finite(evidence.p_value),
        e_value: finite(evidence.e_value),
        slowing: evidence.slowing.map(|(exponent, _)| finite(exponent)),
        slowing_error: evidence.slowing.map(|(_, error)| finite(error)),
        limit_in_ms: site.limit_in.map(ms),
        excused: site.excused.as_deref(),
        gates: gates(&evidence.gates),
        stack: site.stack.iter().map(frame).collect(),
        label: site.label.as_deref(),
    }
}

fn gates(gates: &[Gate]) -> Vec<WireGate<'_>> {
    gates.iter().map(|gate| WireGate { name: gate.name, passed: gate.passed, found: &gate.found }).collect()
}

fn frame(frame: &StackFrame) -> Frame<'_> {
    Frame { function: &frame.function, file: frame.file.as_deref(), line: frame.line }
}

fn interval(rate: &Rate) -> [f64; 2] {
    [finite(rate.low), finite(rate.high)]
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// JSON has no word for what is not finite.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}
