//! Which line leaks, and how that is known.
//!
//! Whoever looks at live bytes alone cries wolf: a cache that fills has a perfect slope, and so has a service in the
//! morning. A sampler knows more: when each sampled object was born, and whether it died. So what is judged is how
//! allocations grow old. Three kinds of growth leave three different traces, and each has a rule of its own:
//!
//! ```text
//! objects     many grow old, none dies                      objects::judge
//! container   one block that becomes larger by steps        container::judge
//! backlog     old ones die, but fewer than come             backlog::judge
//! process     what is not on the profiled heap              process::judge
//! ```
//!
//! Each rule is a row of gates, and each gate kills one family of false alarms; all that were tried are in the verdict, with
//! what was found. A site is judged as a line of the program, as a function, and as single stacks, for a leak may hide
//! behind healthy allocations of the same line.
//!
//! The same [`Series`] gives the same [`Verdict`]: no clock is read here. *Undecided* is an answer, and the only honest one
//! where too little was seen.

mod backlog;
mod conclude;
mod container;
#[cfg(test)]
pub(crate) mod examples;
mod flow;
mod known;
mod naming;
mod objects;
mod places;
mod process;
pub mod recorded;
mod rules;
mod series;
mod several;
mod statistics;
mod text;
mod verdict;
mod wire;
pub(crate) mod words;

use std::time::Duration;

use plimsoll_core::Bytes;

use crate::profile::Profile;
use conclude::conclude;
use flow::Flow;
use places::{Place, Places};
use rules::{Conditions, Finding};

pub use known::{Bound, Known, Lifetimes, Suppression};
pub use series::{Reading, Series, SeriesLimits, StackCounts};
pub use several::several;
pub use text::write_text;
pub use verdict::{
    Evidence, Gate, Kind, Outcome, OwnCost, Owner, PartChange, ProcessLine, ProcessVerdict, Rate, Row, Scope,
    SiteVerdict, StackFrame, State, Target, ThresholdRule, Verdict, VerdictSource,
};
pub use wire::{SCHEMA, write};

/// How something is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Before so much of a process's life has passed, nothing is blamed.
    pub warm_up: Duration,
    /// The threshold of the rule that most people use, which is reported beside.
    pub threshold: Bytes,
    /// How much memory the process may have, for the forecast.
    pub limit: Option<Bytes>,
    /// How many sites that are not blamed are reported.
    pub sites_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { warm_up: Duration::ZERO, threshold: Bytes::mib(10), limit: None, sites_max: 20 }
    }
}

/// A process must have been observed for this long for anything to be said.
const OBSERVED_MIN_S: f64 = 8.0;
/// And that often.
const READINGS_MIN: usize = 12;
/// The most sites that a verdict has.
const BLAMED_MAX: usize = 100;

/// Judges what was seen. `names` is the latest profile of the same process, in which the stacks have the numbers that they
/// have in the series; stacks that are not in it cannot be named and are judged alone.
///
/// Takes time in proportion to the entries of the series; allocates some hundred bytes for each of its stacks and readings.
pub fn judge(series: &Series, names: Option<&Profile>, known: &Known, options: &Options) -> Verdict {
    let has_heap = series.readings().iter().any(|reading| reading.has_stacks);
    let places = Places::of(series, names);
    let conditions = Conditions {
        from_birth: series.is_from_birth(),
        warm_up_s: options.warm_up.as_secs_f64(),
        sites: places.lines().len(),
    };
    let mut sites = judge_sites(series, &places, &conditions);
    for site in &mut sites {
        excuse(site, series, known);
        site.limit_in = limit_in(site.growth, series, options);
    }
    sites.sort_by(|a, b| {
        let key = |it: &SiteVerdict| (it.state.is_blamed(), it.is_open);
        key(b)
            .cmp(&key(a))
            .then(b.growth.bytes_per_s.total_cmp(&a.growth.bytes_per_s))
            .then(a.function.cmp(&b.function))
    });
    let blamed = sites.iter().filter(|site| site.state.is_blamed()).count();
    sites.truncate(blamed.min(BLAMED_MAX) + options.sites_max);
    let process = process::judge(series, has_heap);
    conclude(series, has_heap, sites, process, options, &places)
}

/// Lifetimes that were seen to end in this series, to be remembered for the next run.
pub fn lifetimes(series: &Series, names: Option<&Profile>) -> Lifetimes {
    let places = Places::of(series, names);
    let mut lifetimes = Lifetimes::default();
    for place in places.lines() {
        let flow = Flow::of(series, &place.stacks);
        let past = flow.whole();
        let oldest =
            (1..plimsoll_core::heap::GENERATIONS).rev().find(|&line| past.died(line, 0, past.last) > 0);
        if let Some(line) = oldest {
            lifetimes.saw(&place.key(), Duration::from_secs_f64(past.line_s(line).young_s));
        }
    }
    lifetimes
}

/// Judges each line; then each function none of whose lines is blamed; then each stack of the lines that are not.
fn judge_sites(series: &Series, places: &Places<'_>, conditions: &Conditions) -> Vec<SiteVerdict> {
    let mut sites: Vec<SiteVerdict> = Vec::new();
    let mut unblamed: Vec<&Place> = Vec::new();
    for place in places.lines() {
        let flow = Flow::of(series, &place.stacks);
        let site = site_of(places, place, Scope::Line, &flow, assess(&flow, conditions));
        if !site.state.is_blamed() {
            unblamed.push(place);
        }
        sites.push(site);
    }
    for place in places.functions() {
        let its_lines: Vec<&&Place> =
            unblamed.iter().filter(|line| line.function == place.function).collect();
        if its_lines.len() < 2 || its_lines.len() < place.lines {
            continue;
        }
        let flow = Flow::of(series, &place.stacks);
        let finding = assess(&flow, conditions);
        if finding.state.is_blamed() {
            // The lines are spoken for.
            sites.retain(|site| site.function != place.function || site.state.is_blamed());
            unblamed.retain(|line| line.function != place.function);
            sites.push(site_of(places, place, Scope::Function, &flow, finding));
        }
    }
    // Whoever looks at every stack gives chance as many chances.
    let stacks: usize = places.lines().iter().map(|line| line.stacks.len()).sum();
    let conditions = &Conditions { sites: stacks.max(conditions.sites), ..*conditions };
    for line in unblamed.into_iter().filter(|line| line.stacks.len() > 1) {
        for &stack in &line.stacks {
            let flow = Flow::of(series, &[stack]);
            let finding = assess(&flow, conditions);
            if finding.state.is_blamed() {
                let place = Place { stacks: vec![stack], ..line.clone() };
                sites.push(site_of(places, &place, Scope::Stack, &flow, finding));
            }
        }
    }
    sites
}

/// What the rules say of one flow: the first that blames, else what is open, else what is known of its objects.
fn assess(flow: &Flow, conditions: &Conditions) -> Finding {
    let past = flow.whole();
    let objects = objects::judge(past, conditions);
    if objects.state.is_blamed() {
        return objects;
    }
    let container = container::judge(past, conditions);
    if container.state.is_blamed() {
        return container;
    }
    let backlog = backlog::judge(past, conditions);
    if backlog.state.is_blamed() {
        return backlog;
    }
    if !objects.is_open
        && (container.is_open || container.state == State::Growing && objects.state == State::Steady)
    {
        return container;
    }
    objects
}

fn site_of(places: &Places<'_>, place: &Place, scope: Scope, flow: &Flow, finding: Finding) -> SiteVerdict {
    let past = flow.whole();
    SiteVerdict {
        function: place.function.clone(),
        file: place.file.clone(),
        line: place.line,
        scope,
        state: finding.state,
        is_open: finding.is_open,
        live: Bytes::new(past.live_bytes(past.last)),
        growth: finding.growth,
        evidence: finding.evidence,
        limit_in: None,
        stack: places.exemplar(&place.stacks),
        owner: None,
        label: None,
        excused: None,
        history: flow.history(),
    }
}

fn excuse(site: &mut SiteVerdict, series: &Series, known: &Known) {
    if !site.state.is_blamed() && !site.is_open {
        return;
    }
    let key = places::key(&site.function, site.file.as_deref());
    let unix_ms = series.readings().last().map_or(0, |last| last.unix_ms);
    let at = series.readings().last().map_or(0.0, |last| last.at_s);
    let now = known::SiteNow {
        function: &site.function,
        key: &key,
        live: site.live,
        observed: Duration::from_secs_f64(at.max(0.0)),
        unix_ms,
    };
    if let Some(reason) = known.excuse(&now) {
        site.state = State::Growing;
        site.is_open = false;
        site.excused = Some(reason);
    }
}

/// When the limit is reached at this rate.
fn limit_in(growth: Rate, series: &Series, options: &Options) -> Option<Duration> {
    let resident =
        series.readings().iter().rev().find_map(|reading| Some(reading.memory.as_ref()?.resident_bytes));
    let left = options.limit?.as_u64().saturating_sub(resident?);
    (growth.bytes_per_s > 0.0)
        .then(|| Duration::try_from_secs_f64(left as f64 / growth.bytes_per_s).ok())
        .flatten()
}
