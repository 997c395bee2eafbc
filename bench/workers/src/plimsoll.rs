//! The allocator wrapper that is measured, in each of its modes; the two workers differ only in what is
//! inside.

use plimsoll_core::Bytes;
use plimsoll_core::heap::UnwindMethod;
use plimsoll_heap::{Interval, Profiler, Settings};

use crate::program::{Kept, Setup, keep_block_by_block};

/// More blocks than this for one sample, and the profiler does not follow every allocation.
const BLOCKS_PER_SAMPLE_MAX: usize = 2;

/// The wrapper with a profiler, or without one: compiled in and off.
pub struct Wrapper(Option<Running>);

struct Running {
    profiler: Profiler,
    interval: Interval,
}

impl Wrapper {
    /// Starts what `mode` says: `off`, `adaptive`, `every`, or `mean:N` with N in KiB.
    pub fn begin(mode: &str) -> Result<Self, String> {
        let interval = match mode {
            "off" => return Ok(Self(None)),
            "adaptive" => Interval::Adaptive,
            "every" => Interval::Every,
            _ => {
                let kib = mode.strip_prefix("mean:").and_then(|kib| kib.parse().ok());
                let kib = kib.ok_or_else(|| format!("mode `{mode}`: off, adaptive, every or mean:KIB"))?;
                Interval::Mean(Bytes::kib(kib))
            }
        };
        let profiler = start(interval)?;
        Ok(Self(Some(Running { profiler, interval })))
    }
}

/// Starts a profiler with everything but the interval as it is by default.
pub fn start(interval: Interval) -> Result<Profiler, String> {
    let settings = Settings { interval, ..Settings::default() };
    Profiler::start(settings).map_err(|error| format!("the profiler does not start: {error}"))
}

impl Setup for Wrapper {
    fn keep(&mut self, blocks: usize) -> Result<Kept, String> {
        let mut kept = Vec::with_capacity(blocks * BLOCKS_PER_SAMPLE_MAX);
        let Some(Running { profiler, interval }) = &mut self.0 else {
            keep_block_by_block(&mut kept, blocks);
            return Ok(kept);
        };
        if blocks == 0 {
            return Ok(kept);
        }
        profiler.set_interval(Interval::Every);
        // A thread may have some bytes to go until it sees the new interval; then blocks are missing.
        let wanted = profiler.status().live_samples + blocks as u64;
        while profiler.status().live_samples < wanted {
            if kept.len() >= blocks * BLOCKS_PER_SAMPLE_MAX {
                return Err(format!("{} blocks made {:?}", kept.len(), profiler.status()));
            }
            let missing = wanted - profiler.status().live_samples;
            let next = kept.len() + missing as usize;
            keep_block_by_block(&mut kept, next);
        }
        profiler.set_interval(*interval);
        Ok(kept)
    }

    fn numbers(&self) -> Vec<(&'static str, f64)> {
        let Some(Running { profiler, .. }) = &self.0 else { return Vec::new() };
        let status = profiler.status();
        vec![
            ("samples", status.samples as f64),
            ("live_samples", status.live_samples as f64),
            ("interval_bytes", status.interval_bytes as f64),
            ("cost_ppm", f64::from(status.cost_ppm)),
            ("stacks", status.stacks as f64),
            ("truncated", status.truncated as f64),
            ("dropped", (status.dropped_small + status.dropped_large + status.dropped_stacks) as f64),
            ("own_bytes", status.own_bytes as f64),
            ("frame_pointers", f64::from(status.unwind_method == UnwindMethod::FramePointers)),
        ]
    }
}
