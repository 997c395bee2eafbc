//! The profiler of this program's own heap, as the settings want it.

use std::sync::Arc;

use plimsoll_core::heap::SnapshotSource;
use plimsoll_gateway::settings::{HeapSettings, Sampling};
use plimsoll_heap::{Interval, Profiler, Settings, StartError};

/// The profiler, or why there is none.
pub(crate) enum Started {
    Off,
    Running(Profiler),
    Failed(StartError),
}

/// Starts it, and says nothing yet: what may still be refused is refused in one line.
pub(crate) fn start(settings: &HeapSettings) -> Started {
    let interval = match settings.sampling {
        Sampling::Off => return Started::Off,
        Sampling::Adaptive => Interval::Adaptive,
        Sampling::Fixed => Interval::Mean(settings.interval),
        Sampling::Every => Interval::Every,
    };
    let settings = Settings { interval, stacks_max: settings.stacks_max, ..Settings::default() };
    match Profiler::start(settings) {
        Ok(profiler) => Started::Running(profiler),
        Err(error) => Started::Failed(error),
    }
}

impl Started {
    /// What the service shows of it.
    pub(crate) fn source(&self) -> Option<Arc<dyn SnapshotSource>> {
        match self {
            Started::Running(profiler) => Some(Arc::new(*profiler)),
            Started::Off | Started::Failed(_) => None,
        }
    }

    /// Says how it went. A service that cannot sample serves all the same.
    pub(crate) fn tell(&self) {
        match self {
            Started::Off => {}
            Started::Running(profiler) => {
                let status = profiler.status();
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
