//! The profiler and the judge of this program's own heap, as the settings want them.

use plimsoll_gateway::service::OwnHeap;
use plimsoll_gateway::settings::{HeapSettings, Sampling, Settings};
use plimsoll_heap::Interval;
use plimsoll_verdict::judge::{Known, Options, Verdict};
use plimsoll_watch::{StartError, Watched};
use std::sync::Arc;

/// What came of it, or why nothing did.
pub(crate) enum Started {
    Off,
    Running(Watched),
    Failed(StartError),
}

/// Starts both, and says nothing yet: what may still be refused is refused in one line.
pub(crate) fn start(settings: &Settings, known: Known) -> Started {
    let Some(sampling) = sampling(&settings.heap) else { return Started::Off };
    match plimsoll_watch::start_with(sampling, judging(settings, known)) {
        Ok(watched) => Started::Running(watched),
        Err(error) => Started::Failed(error),
    }
}

fn sampling(settings: &HeapSettings) -> Option<plimsoll_heap::Settings> {
    let interval = match settings.sampling {
        Sampling::Off => return None,
        Sampling::Adaptive => Interval::Adaptive,
        Sampling::Fixed => Interval::Mean(settings.interval),
        Sampling::Every => Interval::Every,
    };
    Some(plimsoll_heap::Settings {
        interval,
        stacks_max: settings.stacks_max,
        ..plimsoll_heap::Settings::default()
    })
}

fn judging(settings: &Settings, known: Known) -> plimsoll_watch::Settings {
    let limit = Some(settings.memory_limit);
    let settings = &settings.verdict;
    plimsoll_watch::Settings {
        interval: settings.interval,
        interval_min: plimsoll_watch::Settings::default().interval_min.min(settings.interval),
        options: Options {
            warm_up: settings.warm_up,
            threshold: settings.threshold,
            limit,
            ..Options::default()
        },
        known,
        on_change: Some(Box::new(tell)),
    }
}

/// What is blamed now stands in the log, also when it is nothing any more.
fn tell(verdict: &Verdict) {
    let mut is_blamed = false;
    for site in verdict.sites.iter().filter(|site| site.state.is_blamed()) {
        is_blamed = true;
        tracing::warn!(
            function = %site.function,
            file = site.file.as_deref().unwrap_or_default(),
            line = site.line.unwrap_or_default(),
            state = site.state.name(),
            bytes_per_s = site.growth.bytes_per_s,
            "a line leaks: see /api/v1/leaks"
        );
    }
    if !is_blamed {
        tracing::info!("no line is blamed for a leak any more");
    }
}

impl Started {
    /// What the service shows of them.
    pub(crate) fn own_heap(&self) -> OwnHeap {
        match self {
            Started::Running(watched) => {
                OwnHeap { profiler: Some(Arc::new(watched.profiler)), verdict: Some(watched.watcher.clone()) }
            }
            Started::Off | Started::Failed(_) => OwnHeap::default(),
        }
    }

    /// Says how it went. A service that cannot sample serves all the same.
    pub(crate) fn tell(&self) {
        match self {
            Started::Off => {}
            Started::Running(watched) => {
                let status = watched.profiler.status();
                tracing::info!(
                    unwind_method = status.unwind_method.name(),
                    range_bytes = status.range_bytes,
                    range_wanted_bytes = status.range_wanted_bytes,
                    "sampling the heap"
                );
            }
            Started::Failed(error) => tracing::warn!(%error, "the heap is not sampled"),
        }
    }
}
