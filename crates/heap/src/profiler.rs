//! The profiler as its user sees it: start, stop, look.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plimsoll_core::Bytes;
use plimsoll_core::heap::{Amount, HeapSnapshot, ProfilerStatus, SnapshotSource, StackProfile};

use crate::capture;
use crate::engine::Engine;
use crate::history::History;
use crate::label::Label;
use crate::memory::{self, Mappings};
use crate::os::OutOfAddressSpace;
use crate::range::{Range, SPAN_BYTES};
use crate::sample::Sample;
use crate::sampler;
use crate::stacks::StackCopy;
use crate::unwind;

/// How densely allocations are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// Between 512 KiB and 32 KiB: the finest that costs at most half a percent of the process's CPU time, and that the
    /// tables have room for.
    #[default]
    Adaptive,
    /// From the finest interval on, and coarser as soon as it costs more than it may, or as the tables fill: for short
    /// looks at a program, which have no time to come down from the coarsest.
    ///
    /// Bounds that cannot be are taken as the nearest that can.
    Fine {
        /// The finest interval; the coarsest is 512 KiB, as ever.
        finest: Bytes,
        /// What it may cost, in parts of a million of the process's CPU time; at most nine tenths of it.
        cost_max_ppm: u32,
        /// What it may cost in any case, in parts of a million of the time that passes. Zero is nothing: a program that
        /// does little but allocate is then sampled coarsely, though it leaves its processor idle.
        spare_ppm: u32,
    },
    /// One sample in this many bytes, on average.
    Mean(Bytes),
    /// Every allocation. Costs up to three times the CPU time of programs that allocate a lot.
    Every,
}

/// What a profiler is started with. All memory is reserved by this; what is resident is what is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How densely to sample.
    pub interval: Interval,
    /// The unit of ages: see [`plimsoll_core::heap::Generation`].
    pub epoch: Duration,
    /// Address space for sampled blocks below 32 KiB. Rounded up to a power of two; at most, and by
    /// default, 16 GiB; under `ulimit -v` a sixteenth of that limit.
    pub range: Bytes,
    /// The most different stacks. Each takes up to about 700 bytes.
    pub stacks_max: usize,
    /// How many snapshots are kept.
    pub history_max: usize,
    /// How many bytes these may have together.
    pub history_bytes_max: Bytes,
    /// Where random numbers begin, for tests on one thread; from the clock and addresses if `None`.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Interval::Adaptive,
            epoch: Duration::from_secs(10),
            range: Bytes::new(SPAN_BYTES as u64),
            stacks_max: 1 << 16,
            history_max: 16,
            history_bytes_max: Bytes::mib(8),
            seed: None,
        }
    }
}

/// Why a profiler did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Allocations do not come through a [`Heap`](crate::Heap).
    NotInstalled,
    /// There is one already, and it runs.
    Running,
    /// No address space for its tables.
    OutOfAddressSpace(OutOfAddressSpace),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str(
                "the program's allocations do not pass the profiler: declare `#[global_allocator] static HEAP: \
                 plimsoll::Heap = plimsoll::Heap::system();` in the program itself",
            ),
            Self::Running => f.write_str("the profiler runs already: stop it first, or use `Profiler::running`"),
            Self::OutOfAddressSpace(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OutOfAddressSpace(error) => Some(error),
            Self::NotInstalled | Self::Running => None,
        }
    }
}

/// The process's profiler: there is one heap, and so one of these; copies are the same.
#[derive(Clone, Copy)]
pub struct Profiler(&'static Shared);

/// What the profiler keeps besides the engine. None of it is used inside `alloc`.
struct Shared {
    engine: &'static Engine,
    history: Mutex<History>,
    copy_ns: AtomicU64,
}

static SHARED: OnceLock<Shared> = OnceLock::new();
/// Held while the profiler is started or stopped.
static CHANGING: Mutex<()> = Mutex::new(());

/// One live sample: what is known of it beyond its stack's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSample {
    /// The stack's id, as in [`StackProfile::id`].
    pub stack: u32,
    /// How many bytes the program asked for.
    pub size: Bytes,
    /// How many objects of its kind it stands for.
    pub weight: f64,
    /// How old it is, to an epoch.
    pub age: Duration,
    /// How often it was made larger.
    pub grown: u32,
    /// What the thread worked at when it was allocated.
    pub label: Label,
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiler").field("status", &self.status()).finish()
    }
}

impl Profiler {
    /// Starts sampling. The first start reserves all memory; later ones go on with it, with the numbers and the
    /// memory of the first: of their settings only `interval` and `seed` count.
    ///
    /// # Errors
    /// If allocations do not come through a [`Heap`](crate::Heap), if it runs already, or if there is no address space.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let _changing = lock(&CHANGING);
        if sampler::interval().is_some() {
            return Err(StartError::Running);
        }
        if !is_installed() {
            return Err(StartError::NotInstalled);
        }
        let shared = match SHARED.get() {
            Some(shared) => shared,
            None => {
                let epoch_ns = u64::try_from(settings.epoch.as_nanos()).unwrap_or(u64::MAX);
                let range_bytes =
                    usize::try_from(settings.range.as_u64()).unwrap_or(usize::MAX).min(SPAN_BYTES);
                let stacks_max = settings.stacks_max.clamp(1, 1 << 20);
                let engine = Range::reserve(range_bytes)
                    .and_then(|range| Engine::reserve(epoch_ns, range, stacks_max, None))
                    .map_err(StartError::OutOfAddressSpace)?
                    .publish();
                SHARED.get_or_init(|| Shared {
                    engine,
                    history: Mutex::new(History::new(settings.history_max, settings.history_bytes_max)),
                    copy_ns: AtomicU64::new(0),
                })
            }
        };
        unwind::refresh();
        capture::choose();
        let profiler = Self(shared);
        if let Some(seed) = settings.seed {
            crate::thread::with(|thread| thread.seed_with(seed));
        }
        shared.engine.look_at_clock();
        sampler::start(shared.engine.cost.choose(settings.interval));
        Ok(profiler)
    }

    /// The profiler, if it was started before and not stopped.
    pub fn running() -> Option<Self> {
        SHARED.get().map(Self).filter(|_| sampler::interval().is_some())
    }

    /// Takes no more samples. Those that live are followed until they are freed, so snapshots stay true.
    pub fn stop(&self) {
        let _changing = lock(&CHANGING);
        sampler::stop();
    }

    /// Samples more or less densely from now on; other threads follow with their next half MiB. Amounts stay unbiased,
    /// since every sample knows how likely it was. Nothing while it is stopped.
    pub fn set_interval(&self, interval: Interval) {
        let _changing = lock(&CHANGING);
        sampler::change(self.0.engine.cost.choose(interval));
    }

    /// What is allocated, by stack, at this moment. Costs the program nothing but the copying of the counters (see
    /// [`Profiler::last_copy`]); the rest happens to the copy. Allocates about 500 bytes for each stack.
    pub fn snapshot(&self) -> HeapSnapshot {
        let engine = self.0.engine;
        unwind::refresh();
        let now = engine.look_at_clock();
        let copies = self.copy(now);
        let mut snapshot = HeapSnapshot {
            taken_unix_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_millis() as u64),
            since_start: Duration::from_nanos(engine.running_for_ns()),
            epoch: Duration::from_nanos(engine.epoch_ns()),
            interval: Bytes::new(sampler::interval().unwrap_or(0.0) as u64),
            addresses: Vec::new(),
            stacks: Vec::with_capacity(copies.len()),
            modules: unwind::modules(),
            named: Vec::new(),
            memory: None,
            status: ProfilerStatus::default(),
        };
        for (id, copy) in copies.iter().enumerate() {
            let stack = profile(engine, id, copy, &mut snapshot.addresses);
            // A cell that nothing was counted in belongs to a stack that two threads met at the same moment.
            if stack.allocated != Amount::default() {
                snapshot.stacks.push(stack);
            }
        }
        let mappings = Mappings::read(engine).ok();
        snapshot.status = self.status_of(&copies, mappings.as_ref());
        snapshot.memory = mappings
            .map(|mappings| memory::parts(&mappings, snapshot.live().bytes, snapshot.status.own_bytes));
        snapshot
    }

    /// Copies the counters of all stacks, into memory that is resident before it begins.
    fn copy(&self, now: u32) -> Vec<StackCopy> {
        let stacks = &self.0.engine.stacks;
        // Filled with copies of something that is not all zero, so that every page of it is resident before.
        let mut copies = vec![StackCopy::blank(); stacks.opened()];
        let began = Instant::now();
        stacks.copy(now, &mut copies);
        self.0.copy_ns.store(began.elapsed().as_nanos() as u64, Relaxed);
        copies
    }

    /// How long the copying took in the last snapshot.
    pub fn last_copy(&self) -> Duration {
        Duration::from_nanos(self.0.copy_ns.load(Relaxed))
    }

    /// Takes a snapshot and keeps it, within the limits of [`Settings`].
    pub fn remember(&self) -> Arc<HeapSnapshot> {
        let snapshot = Arc::new(self.snapshot());
        lock(&self.0.history).push(Arc::clone(&snapshot));
        snapshot
    }

    /// The snapshots that were kept, oldest first.
    pub fn history(&self) -> Vec<Arc<HeapSnapshot>> {
        lock(&self.0.history).all()
    }

    /// How many snapshots were kept and left again, for want of room.
    pub fn forgotten(&self) -> u64 {
        lock(&self.0.history).forgotten
    }

    /// Keeps a snapshot to compare others with, in place of the one before.
    pub fn set_baseline(&self, snapshot: Arc<HeapSnapshot>) {
        lock(&self.0.history).baseline = Some(snapshot);
    }

    /// The snapshot to compare with.
    pub fn baseline(&self) -> Option<Arc<HeapSnapshot>> {
        lock(&self.0.history).baseline.clone()
    }

    /// How the profiler itself does. Reads the kernel's list of mappings, and walks the sampled blocks to tell
    /// their bytes from its own: milliseconds.
    pub fn status(&self) -> ProfilerStatus {
        self.status_of(&self.copy(self.0.engine.look_at_clock()), Mappings::read(self.0.engine).ok().as_ref())
    }

    fn status_of(&self, stacks: &[StackCopy], mappings: Option<&Mappings>) -> ProfilerStatus {
        let engine = self.0.engine;
        let small_bytes = engine.range.resident_bytes_of_blocks();
        let resident = mappings.map_or_else(|| engine.resident_bytes(), Mappings::profiler_bytes);
        let sum = |number: fn(&StackCopy) -> u64| stacks.iter().map(number).sum::<u64>();
        let live_samples = sum(StackCopy::live_samples);
        let samples = live_samples + sum(StackCopy::died_samples);
        ProfilerStatus {
            running: sampler::interval().is_some(),
            interval_bytes: sampler::interval().unwrap_or(0.0) as u64,
            adaptive: engine.cost.is_adaptive(),
            cost_ppm: engine.cost.ppm(),
            samples,
            samples_per_s: samples as f64
                / Duration::from_nanos(engine.running_for_ns()).as_secs_f64().max(0.001),
            live_samples,
            // The other stack is none.
            stacks: stacks.len().saturating_sub(1) as u64,
            dropped_large: engine.counts().dropped_large.load(Relaxed),
            dropped_small: engine.counts().dropped_small.load(Relaxed),
            dropped_stacks: engine.stacks.dropped(),
            dropped_names: 0,
            truncated: engine.counts().truncated.load(Relaxed),
            unwind_method: capture::method(),
            own_bytes: resident.saturating_sub(small_bytes) + unwind::CACHE_BYTES as u64,
            range_bytes: engine.range.bytes() as u64,
            range_wanted_bytes: engine.range.wanted_bytes() as u64,
        }
    }

    /// Up to `samples_max` live samples, as seen in passing: which labels a stack's memory belongs to, how old it is.
    /// Walks all of them, which takes about a millisecond for 100,000.
    pub fn live_samples(&self, samples_max: usize) -> Vec<LiveSample> {
        let engine = self.0.engine;
        let now = engine.look_at_clock();
        let mut samples = Vec::with_capacity(samples_max.min(1 << 16));
        let mut see = |_, sample: Sample| {
            if samples.len() < samples_max {
                samples.push(LiveSample {
                    stack: sample.stack,
                    size: Bytes::new(sample.size),
                    weight: f64::from(sample.weight),
                    age: Duration::from_nanos(u64::from(now.saturating_sub(sample.born)) * engine.epoch_ns()),
                    grown: sample.grown,
                    label: Label::from_word(sample.label),
                });
            }
        };
        engine.range.visit(&mut see);
        engine.large.visit(see);
        samples
    }
}

impl SnapshotSource for Profiler {
    fn snapshot(&self) -> HeapSnapshot {
        Profiler::snapshot(self)
    }
}

fn profile(engine: &Engine, id: usize, copy: &StackCopy, addresses: &mut Vec<u64>) -> StackProfile {
    let first = addresses.len();
    engine.stacks.addresses(copy, addresses);
    StackProfile {
        id: id as u32,
        addresses: first..addresses.len(),
        truncated: copy.is_truncated(),
        allocated: copy.allocated(),
        freed: copy.freed(),
        generations: copy.generations(),
        growth: copy.growth(),
    }
}

/// Whether an allocation changes this thread's count.
fn is_installed() -> bool {
    let count = || crate::thread::with(|thread| thread.left.get());
    let before = count();
    drop(std::hint::black_box(Box::new(0_u64)));
    count() != before
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
