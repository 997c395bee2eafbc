//! The heap at its largest, kept for when it is gone.
//!
//! Many programs free what they hold before they end: an interpreter takes down its modules, a service its caches. What is
//! left at the last instruction then says nothing of what they held before. So when the heap begins to shrink from a
//! size that it never had before, the counters of all stacks are copied, by the thread that freed. That takes some ten
//! microseconds for a thousand stacks, and happens the less often the larger the heap is and the more stacks there are.

use std::sync::atomic::Ordering::SeqCst;

use crate::cells::Cells;
use crate::engine::Engine;
use crate::os;
use crate::stacks::StackCell;
use crate::sync::Relaxed;

/// Cells are kept when the heap is smaller than its peak by this part of it.
const SHRUNK_PART: u64 = 16;
/// And when that peak is above the last one that was kept by this part of it.
const GROWN_PART: u64 = 64;
/// And by so many bytes for each stack: the copy is 400 for each.
const GROWN_BYTES_EACH: u64 = 16;
/// A heap that was never larger is not kept.
const SMALLEST_BYTES: u64 = 64 << 10;

/// The cells as they were.
pub(crate) struct Peak {
    pub(crate) cells: Cells<StackCell>,
}

impl Peak {
    /// So many bytes more live.
    #[inline(always)]
    pub(crate) fn rose(&self, engine: &Engine, bytes: u64) {
        let counts = engine.counts();
        let live = counts.live_bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if live > counts.peak_bytes.load(Relaxed) {
            counts.peak_bytes.fetch_max(live, Relaxed);
        }
    }

    /// So many bytes less live. To be called before they are counted as freed.
    #[inline(always)]
    pub(crate) fn falls(&self, engine: &Engine, bytes: u64) {
        let counts = engine.counts();
        let live = counts.live_bytes.fetch_sub(bytes, Relaxed).saturating_sub(bytes);
        let (peak, kept) = (counts.peak_bytes.load(Relaxed), counts.kept_peak_bytes.load(Relaxed));
        if live < peak - peak / SHRUNK_PART && peak > kept + kept / GROWN_PART && peak >= SMALLEST_BYTES {
            let stacks = engine.stacks.opened() as u64;
            if peak > kept.saturating_add(stacks * GROWN_BYTES_EACH) {
                self.keep(engine, peak);
            }
        }
    }

    #[cold]
    fn keep(&self, engine: &Engine, peak: u64) {
        let counts = engine.counts();
        // Whoever comes meanwhile, in another thread or in a signal handler, leaves it to this one.
        if counts.keeping.compare_exchange(0, 1, SeqCst, SeqCst).is_err() {
            return;
        }
        let now = engine.look_at_clock();
        let opened = engine.stacks.opened().min(self.cells.len());
        for (kept, cell) in self.cells.iter().zip(&engine.stacks.cells[..opened]) {
            kept.keep(cell, now);
        }
        counts.kept_cells.store(opened as u64, Relaxed);
        counts.kept_ns.store(os::coarse_ns(), Relaxed);
        counts.kept_peak_bytes.store(peak, Relaxed);
        counts.keeping.store(0, SeqCst);
    }

    /// In a forked child, whose own heap is to be kept: forgets what was kept, and counts from what lives.
    pub(crate) fn begin_anew(&self, engine: &Engine) {
        let counts = engine.counts();
        let live = engine.stacks.cells[..engine.stacks.opened()].iter().map(StackCell::live_bytes).sum();
        counts.live_bytes.store(live, Relaxed);
        counts.peak_bytes.store(live, Relaxed);
        counts.kept_peak_bytes.store(0, Relaxed);
        counts.kept_cells.store(0, Relaxed);
        counts.keeping.store(0, SeqCst);
    }
}
