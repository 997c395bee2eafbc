//! The profiler of this program's own heap, as the settings want it.

use std::sync::Arc;

use plimsoll_core::heap::SnapshotSource;
use plimsoll_gateway::settings::{HeapSettings, Sampling};
use plimsoll_heap::{Interval, Profiler};

/// Starts it. A service that cannot sample serves all the same, and says so.
pub(crate) fn start(settings: &HeapSettings) -> Option<Arc<dyn SnapshotSource>> {
    let interval = match settings.sampling {
        Sampling::Off => return None,
        Sampling::Adaptive => Interval::Adaptive,
        Sampling::Fixed => Interval::Mean(settings.interval),
        Sampling::Every => Interval::Every,
    };
    let settings = plimsoll_heap::Settings {
        interval,
        stacks_max: settings.stacks_max,
        ..plimsoll_heap::Settings::default()
    };
    match Profiler::start(settings) {
        Ok(profiler) => {
            let status = profiler.status();
            tracing::info!(
                unwind_method = status.unwind_method.name(),
                range_bytes = status.range_bytes,
                range_wanted_bytes = status.range_wanted_bytes,
                "sampling the heap"
            );
            Some(Arc::new(profiler))
        }
        Err(error) => {
            tracing::warn!(%error, "the heap is not sampled");
            None
        }
    }
}
