//! The process's tables and clock, and what is counted in them at a sample's birth, growth and death.
//!
//! There is one heap and so one engine. Its memory is reserved when it is made; from then on it allocates nothing and waits
//! for nobody, since all of it runs inside `alloc` and `dealloc`.

use std::alloc::Layout;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use crate::capture::{self, Stack};
use crate::cells::{Cells, Place};
use crate::cost::{COARSEST, Cost};
use crate::large::Large;
use crate::os::{self, OutOfAddressSpace};
use crate::range::{self, Range, Slot};
use crate::sample::Sample;
use crate::shared::header::Counts;
use crate::shared::home::Shared;
use crate::spans::Spans;
use crate::stacks::{Stacks, cohorts};
use crate::sync::{Acquire, Relaxed, Release};
use crate::thread::Thread;
use crate::unwind::Registers;

static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(std::ptr::null_mut());

/// With so many more samples alive, the tables are looked at.
const ROOM_LOOK_SAMPLES: u64 = 256;

/// See the head of this file.
pub(crate) struct Engine {
    pub(crate) range: Range,
    pub(crate) large: Large,
    pub(crate) stacks: Stacks,
    pub(crate) cost: Cost,
    /// The epoch at the last look at the clock, and when it ends.
    now: AtomicU32,
    ends_ns: AtomicU64,
    /// When epoch 0 began, and how long each is.
    started_ns: u64,
    epoch_ns: u64,
    counts: Cells<Counts>,
    /// Where large blocks are, if they are not looked up by address in `large`.
    pub(crate) spans: Option<Spans>,
    /// What another process sees of it.
    pub(crate) shared: Option<Shared>,
}

extern "C" fn after_fork() {
    if let Some(engine) = engine()
        && engine.shared.is_none()
    {
        engine.stacks.after_fork();
    }
}

/// The engine, once there is one. It is never taken away again.
#[inline(always)]
pub(crate) fn engine() -> Option<&'static Engine> {
    // SAFETY: the pointer is null or that of a leaked box, published after it was filled.
    unsafe { ENGINE.load(Acquire).as_ref() }
}

impl Engine {
    /// Reserves all tables; where samples are is said by the range, and by the place for what others see.
    pub(crate) fn reserve(
        epoch_ns: u64,
        range: Range,
        stacks_max: usize,
        place: Place<'_>,
    ) -> Result<Self, OutOfAddressSpace> {
        Ok(Self {
            range,
            large: Large::reserve(Large::FIRST, Large::TABLES)?,
            stacks: Stacks::reserve(stacks_max, place)?,
            cost: Cost::new(),
            now: AtomicU32::new(0),
            ends_ns: AtomicU64::new(0),
            started_ns: os::coarse_ns(),
            epoch_ns: epoch_ns.max(1),
            counts: Cells::reserve_in(place, 1)?,
            spans: None,
            shared: None,
        })
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts[0]
    }

    pub(crate) fn counts_addresses(&self) -> std::ops::Range<usize> {
        self.counts.addresses()
    }

    /// Makes this the process's engine: from here on frees come by.
    pub(crate) fn publish(self) -> &'static Self {
        let engine = Box::leak(Box::new(self));
        ENGINE.store(engine, Release);
        os::after_fork_in_child(after_fork);
        engine
    }

    /// Where sampled blocks are that have addresses of their own.
    pub(crate) fn block_addresses(&self) -> std::ops::Range<usize> {
        let start = self.range.start();
        start..self.spans.as_ref().map_or(start + self.range.bytes(), Spans::end)
    }

    /// Where all its memory is.
    pub(crate) fn addresses(&self) -> Vec<std::ops::Range<usize>> {
        self.range
            .addresses()
            .chain(self.large.addresses())
            .chain(self.stacks.addresses_of_tables())
            .chain([self.counts.addresses()])
            .collect()
    }

    /// How much of that is resident, the program's bytes in the range included. Counts pages that were only read.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.addresses().into_iter().map(|part| os::resident_bytes(part.start, part.len())).sum()
    }

    /// The present epoch, after a look at the clock: some nanoseconds, so every birth and death takes one.
    pub(crate) fn look_at_clock(&self) -> u32 {
        let now_ns = os::coarse_ns();
        if now_ns >= self.ends_ns.load(Acquire) { self.next_epoch(now_ns) } else { self.now.load(Relaxed) }
    }

    #[cold]
    fn next_epoch(&self, now_ns: u64) -> u32 {
        let now = cohorts::epoch(now_ns.saturating_sub(self.started_ns), self.epoch_ns);
        let now = self.now.fetch_max(now, Relaxed).max(now);
        let ends_ns = self.started_ns.saturating_add(cohorts::ends_ns(now, self.epoch_ns));
        // Last, so that who finds it in the future finds an epoch that is not of the past.
        self.ends_ns.fetch_max(ends_ns, Release);
        now
    }

    pub(crate) fn epoch_ns(&self) -> u64 {
        self.epoch_ns
    }

    pub(crate) fn started_ns(&self) -> u64 {
        self.started_ns
    }

    pub(crate) fn running_for_ns(&self) -> u64 {
        os::coarse_ns().saturating_sub(self.started_ns)
    }

    /// A new sample of `size` bytes, counted as born; `from` is where its stack begins.
    #[inline(always)]
    pub(crate) fn born(&self, thread: &Thread, from: Registers, size: usize, weight: f32) -> Sample {
        let mut stack = Stack::default();
        capture::follow(thread, from, &mut stack);
        if let Some(shared) = &self.shared {
            shared.tell(self, &mut stack);
        }
        let epoch = self.look_at_clock();
        let number = self.stacks.find(stack.hash).unwrap_or_else(|| {
            capture::check(thread, from, &mut stack);
            self.stacks.intern(stack.hash, stack.addresses(), stack.truncated, epoch)
        });
        if stack.truncated {
            self.counts().truncated.fetch_add(1, Relaxed);
        }
        let sample = Sample {
            stack: number,
            born: epoch,
            weight,
            label: thread.label.get(),
            grown: 0,
            size: size as u64,
        };
        self.stacks.cell(number).born(&sample, epoch);
        let live = self.counts().live_samples.fetch_add(1, Relaxed) + 1;
        if live.is_multiple_of(ROOM_LOOK_SAMPLES) {
            self.leave_room();
        }
        if let Some(shared) = &self.shared {
            shared.peak.rose(self, sample.share().bytes);
        }
        sample
    }

    /// Whether an address is one of sampled blocks, where large ones have their own.
    pub(crate) fn has(&self, block: *mut u8) -> bool {
        self.range.holds(block) || self.spans.as_ref().is_some_and(|spans| spans.find(block).is_some())
    }

    /// To be called before anything is counted, where others see it.
    #[inline(always)]
    pub(crate) fn go_home(&self) {
        if let Some(shared) = &self.shared {
            shared.go_home(self);
        }
    }

    pub(crate) fn count_dropped_large(&self) {
        self.counts().dropped_large.fetch_add(1, Relaxed);
    }

    pub(crate) fn died(&self, sample: &Sample) {
        self.counts().live_samples.fetch_sub(1, Relaxed);
        if let Some(shared) = &self.shared {
            shared.peak.falls(self, sample.share().bytes);
        }
        self.stacks.cell(sample.stack).died(sample, self.look_at_clock());
    }

    pub(crate) fn resized(&self, before: &Sample, after: &Sample) {
        if let Some(shared) = &self.shared {
            let (old, new) = (before.share().bytes, after.share().bytes);
            if new >= old { shared.peak.rose(self, new - old) } else { shared.peak.falls(self, old - new) }
        }
        self.stacks.cell(before.stack).resized(before, after, self.look_at_clock());
    }

    /// How much is used of the table that is the fullest, from 0 to 1: of those that fill the slower the coarser the
    /// interval is. A chunk of the range and a span are used once they were, since they keep their size.
    pub(crate) fn used(&self) -> f64 {
        let live_samples = self.counts().live_samples.load(Relaxed) as f64;
        [
            self.range.used(),
            self.spans.as_ref().map_or(0.0, |spans| spans.used(COARSEST as usize)),
            self.large.used(),
            self.stacks.used_share(),
            // All may be of one stack and of one age.
            live_samples / cohorts::SAMPLES_MAX as f64,
        ]
        .into_iter()
        .fold(0.0, f64::max)
    }

    #[cold]
    fn leave_room(&self) {
        if self.cost.is_adaptive() {
            self.cost.leave_room(self.used());
        }
    }

    /// Forgets a small sample and gives its slot back.
    pub(crate) fn end_slot(&self, slot: &Slot<'_>) {
        if let Some(sample) = slot.sample.get() {
            slot.sample.clear();
            self.died(&sample);
            self.range.give_back(slot);
        }
    }

    /// A slot for a layout, if it is small and there is one; counted if not.
    pub(crate) fn slot(&self, thread: &Thread, layout: Layout) -> Option<Slot<'_>> {
        let slot = range::class_of(layout).and_then(|class| self.range.take(class, thread.shard()));
        if slot.is_none() {
            self.counts().dropped_small.fetch_add(1, Relaxed);
        }
        slot
    }

    /// Follows a large block from here on.
    pub(crate) fn insert(&self, block: *mut u8, sample: &Sample) {
        if !self.large.insert(block.addr(), sample) {
            self.count_dropped_large();
            self.died(sample);
        }
    }
}
