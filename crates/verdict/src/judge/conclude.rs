//! From what is said of the sites and of the process to what is said of the whole, and what the reader should know besides.

use plimsoll_core::Bytes;

use super::flow::Flow;
use super::places::Places;
use super::series::{self, Gap, Series};
use super::verdict::{Outcome, ProcessVerdict, SiteVerdict, State, ThresholdRule, Verdict};
use super::{OBSERVED_MIN_S, Options, READINGS_MIN, objects, process, rules};

/// With fewer samples, where more than a little was allocated, nothing is clean.
const SAMPLES_MIN: u64 = 20;
const LITTLE_BYTES: u64 = 64 << 10;
/// A leak of fewer samples would not have been seen; one that is slower than this is worth a word.
const SEEN_SAMPLES: u64 = 15;
const UNSEEN_PER_S: f64 = 16.0 * 1024.0;

/// Puts everything together.
pub(super) fn conclude(
    series: &Series,
    has_heap: bool,
    sites: Vec<SiteVerdict>,
    process: process::Judged,
    options: &Options,
    places: &Places<'_>,
) -> Verdict {
    let process::Judged { verdict: process, open, heap_rises_per_s } = process;
    let observed_s = series.observed().as_secs_f64();
    let mut gaps = gaps(series, has_heap);
    // Ages that are told apart by the minute say nothing of half a minute.
    let for_ages_s = if has_heap { objects::needs_s(Flow::of(series, &[]).whole()) } else { None };
    let needed_s = for_ages_s.unwrap_or(0.0).max(OBSERVED_MIN_S);
    let is_short = observed_s < needed_s || series.readings().len() < READINGS_MIN;
    if is_short {
        gaps.push(format!(
            "{} in {} readings is too short to be judged: {} and {READINGS_MIN} readings are needed",
            rules::spoken(observed_s),
            series.readings().len(),
            rules::spoken(needed_s)
        ));
    }
    let sampling = sampling(series);
    let is_sparse = has_heap && sampling.is_sparse();
    if has_heap {
        gaps.extend(sampling.gap(observed_s));
    }
    for site in sites.iter().filter(|site| site.is_open) {
        gaps.push(format!(
            "{} grows by {:.0} B/s, and what was seen does not decide why; observe it for {}",
            site.function,
            site.growth.bytes_per_s,
            rules::spoken(observed_s * 2.0)
        ));
    }
    if let Some((part, bytes)) = &open {
        gaps.push(format!(
            "resident memory grew outside of what is judged: {part} by {bytes} in the last half"
        ));
    }
    if process.state.is_blamed() && has_heap {
        for part in process.parts.iter().filter(|part| part.state.is_blamed()) {
            gaps.push(format!(
                "{} grows by {:.0} B/s: that is not on the profiled heap, and has no line",
                part.name, part.growth.bytes_per_s
            ));
        }
    }
    let is_blamed = sites.iter().any(|site| site.state.is_blamed());
    // What is excused is explained.
    let is_explained = is_blamed || sites.iter().any(|site| site.is_open || site.excused.is_some());
    let rises = heap_rises_per_s.filter(|_| !is_explained);
    if let Some(per_s) = rises {
        gaps.push(format!(
            "what lives on the heap rises evenly, by {per_s:.0} B/s, and no single line explains it; observe it for {}",
            rules::spoken(observed_s * 2.0)
        ));
    }
    let is_leak = !is_short && (is_blamed || process.state.is_blamed());
    let is_open =
        is_short || is_sparse || open.is_some() || rises.is_some() || sites.iter().any(|site| site.is_open);
    let outcome = match (is_leak, is_open) {
        (true, _) => Outcome::Leak,
        (false, true) => Outcome::Undecided,
        (false, false) => Outcome::Clean,
    };
    let confidence = confidence(outcome, &sites, &process, has_heap);
    Verdict {
        outcome,
        confidence,
        observed: series.observed(),
        readings: series.added(),
        interval: Bytes::new(series.readings().last().map_or(0, |last| last.interval_bytes)),
        has_heap,
        threshold: threshold(series, places, options),
        process,
        sites,
        gaps,
        processes: Vec::new(),
        target: None,
        rows: Vec::new(),
        own: None,
    }
}

/// How much could be seen of what was allocated.
struct Sampling {
    interval_bytes: u64,
    /// Allocated while it was observed.
    work_bytes: u64,
}

fn sampling(series: &Series) -> Sampling {
    let (first, last) = (series.readings().first(), series.readings().last());
    let work = |reading: Option<&series::Kept>| reading.map_or(0, |reading| reading.work_bytes);
    // What was allocated before the first reading is part of it where that is the beginning.
    let before = if series.is_from_birth() { 0 } else { work(first) };
    Sampling {
        interval_bytes: last.map_or(1, |last| last.interval_bytes.max(1)),
        work_bytes: work(last).saturating_sub(before),
    }
}

impl Sampling {
    /// Much was allocated, and next to nothing of it seen.
    fn is_sparse(&self) -> bool {
        self.work_bytes > LITTLE_BYTES && self.work_bytes / self.interval_bytes < SAMPLES_MIN
    }

    fn gap(&self, observed_s: f64) -> Option<String> {
        if self.work_bytes == 0 {
            return Some("nothing was allocated while it was observed".to_owned());
        }
        let interval = Bytes::new(self.interval_bytes);
        if self.is_sparse() {
            return Some(format!(
                "with one sample in {interval} only some {} allocations were seen: sample more densely",
                self.work_bytes / self.interval_bytes
            ));
        }
        let unseen_per_s = (SEEN_SAMPLES * self.interval_bytes) as f64 / observed_s.max(1e-9);
        (unseen_per_s > UNSEEN_PER_S).then(|| {
            format!(
                "with one sample in {interval} a leak of less than {} a second would not have been seen",
                Bytes::new(unseen_per_s as u64)
            )
        })
    }
}

/// What the reader should know of the observation itself.
fn gaps(series: &Series, has_heap: bool) -> Vec<String> {
    let mut gaps = Vec::new();
    if series.readings().is_empty() {
        return vec!["it ended before anything could be seen of it".to_owned()];
    }
    if !has_heap {
        gaps.push(
            "its heap is not profiled: this is judged by resident memory alone, which is weaker and names no line"
                .to_owned(),
        );
    }
    let (noted, more) = series.gaps();
    for gap in noted {
        gaps.push(match gap {
            Gap::ClockJumped(by_s) => format!("the time of day jumped by {}", rules::spoken(by_s.abs())),
            Gap::Unseen(for_s) => {
                format!("nobody looked for {}: the machine slept, or had no time", rules::spoken(*for_s))
            }
        });
    }
    if more > 0 {
        gaps.push(format!("{more} more gaps of that kind"));
    }
    if series.stacks_left_out() > 0 {
        gaps.push(format!(
            "{} call paths with little on them were left out, for there is room for no more",
            series.stacks_left_out()
        ));
    }
    let dropped = series.readings().last().map_or(0, |last| last.dropped);
    if dropped > 0 {
        gaps.push(format!("{dropped} samples could not be followed, for a table of the profiler was full"));
    }
    gaps
}

/// How sure, in a number: what chance leaves, of the best site; less where only resident memory was seen.
fn confidence(outcome: Outcome, sites: &[SiteVerdict], process: &ProcessVerdict, has_heap: bool) -> f64 {
    let sure = match outcome {
        Outcome::Leak => {
            let best = sites.iter().filter(|site| site.state.is_blamed()).map(|site| {
                let persisted = if site.state == State::Confirmed { 0.99 } else { 0.9 };
                persisted * (1.0 - site.evidence.p_value.min(1.0))
            });
            best.fold(if process.state.is_blamed() { 0.7 } else { 0.0 }, f64::max)
        }
        Outcome::Clean => 0.9,
        Outcome::Undecided => 0.5,
    };
    if has_heap { sure } else { sure.min(0.6) }
}

fn threshold(series: &Series, places: &Places<'_>, options: &Options) -> ThresholdRule {
    let has_data = series.added() >= 2;
    let mut over: Vec<(String, Bytes)> = Vec::new();
    if has_data {
        for place in places.lines() {
            let flow = Flow::of(series, &place.stacks);
            let past = flow.whole();
            let grew = past.live_bytes(past.last).saturating_sub(past.live_bytes(0));
            if grew > options.threshold.as_u64() {
                over.push((place.function.clone(), Bytes::new(grew)));
            }
        }
    }
    over.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ThresholdRule { threshold: options.threshold, has_data, over }
}
