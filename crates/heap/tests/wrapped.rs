//! What reaches the inner allocator is what the program asked for.
//!
//! A wrapper that leaves `realloc` and `alloc_zeroed` to their default implementations turns every growing vector into
//! copies and every zeroed buffer into touched pages. The inner allocator here counts its calls, by thread, and can
//! be told to fail.
#![cfg(not(miri))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plimsoll_core::Bytes;
use plimsoll_core::heap::Amount;
use plimsoll_heap::label::Label;
use plimsoll_heap::{Heap, Interval, Profiler, Settings};

/// How often a thread called each function of the inner allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    alloc: u32,
    zeroed: u32,
    realloc: u32,
    dealloc: u32,
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls { alloc: 0, zeroed: 0, realloc: 0, dealloc: 0 }) };
    static FAILS: Cell<bool> = const { Cell::new(false) };
    /// The size of a block at whose end the inner allocator looks for its sample.
    static WATCHED: Cell<usize> = const { Cell::new(0) };
    /// How many it found.
    static FOUND: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Counting;

impl Counting {
    fn count(one: impl FnOnce(&mut Calls)) -> bool {
        CALLS.with(|calls| {
            let mut now = calls.get();
            one(&mut now);
            calls.set(now);
        });
        FAILS.with(Cell::get)
    }

    /// A block is given up to the inner allocator: is it still a sample?
    fn look(size: usize) {
        if size > 0 && WATCHED.get() == size {
            WATCHED.set(0);
            let samples =
                Profiler::running().map_or(Vec::new(), |profiler| profiler.live_samples(usize::MAX));
            let found = samples.iter().filter(|sample| sample.size == Bytes::new(size as u64)).count();
            FOUND.set(Some(found));
        }
    }
}

// SAFETY: `System`'s blocks, or none.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::count(|calls| calls.alloc += 1) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Self::count(|calls| calls.zeroed += 1) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::count(|calls| calls.dealloc += 1);
        Self::look(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::look(layout.size());
        if Self::count(|calls| calls.realloc += 1) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static HEAP: Heap<Counting> = Heap::wrap(Counting);

static TURN: Mutex<()> = Mutex::new(());

/// An interval so long that no allocation of these tests is sampled.
const NEVER: Interval = Interval::Mean(Bytes::new(1 << 50));

fn with_interval(interval: Interval) -> (Profiler, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let profiler =
        Profiler::running().unwrap_or_else(|| Profiler::start(Settings::default()).expect("installed"));
    profiler.set_interval(interval);
    (profiler, turn)
}

fn calls_of<R>(what: impl FnOnce() -> R) -> (Calls, R) {
    CALLS.set(Calls::default());
    let result = what();
    (CALLS.get(), result)
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).expect("small")
}

/// Runs `what` with an inner allocator that has no memory.
fn failing<R>(what: impl FnOnce() -> R) -> R {
    FAILS.set(true);
    let result = what();
    FAILS.set(false);
    result
}

const ALLOC: Calls = Calls { alloc: 1, zeroed: 0, realloc: 0, dealloc: 0 };
const ZEROED: Calls = Calls { alloc: 0, zeroed: 1, realloc: 0, dealloc: 0 };
const REALLOC: Calls = Calls { alloc: 0, zeroed: 0, realloc: 1, dealloc: 0 };
const DEALLOC: Calls = Calls { alloc: 0, zeroed: 0, realloc: 0, dealloc: 1 };
const NONE: Calls = Calls { alloc: 0, zeroed: 0, realloc: 0, dealloc: 0 };

/// Each call of the program is the same call of the inner allocator, at any size.
fn check_forwarded(size: usize, grown: usize) {
    // SAFETY: blocks are used with the layouts they were made with, and freed once.
    unsafe {
        let (calls, block) = calls_of(|| HEAP.alloc(layout(size)));
        assert_eq!(calls, ALLOC, "alloc of {size}");
        let (calls, block) = calls_of(|| HEAP.realloc(block, layout(size), grown));
        assert_eq!(calls, REALLOC, "realloc of {size} to {grown}");
        let (calls, block) = calls_of(|| HEAP.realloc(block, layout(grown), size));
        assert_eq!(calls, REALLOC, "realloc of {grown} to {size}");
        assert_eq!(calls_of(|| HEAP.dealloc(block, layout(size))).0, DEALLOC, "free of {size}");
        let (calls, block) = calls_of(|| HEAP.alloc_zeroed(layout(size)));
        assert_eq!(calls, ZEROED, "alloc_zeroed of {size}");
        assert_eq!(calls_of(|| HEAP.dealloc(block, layout(size))).0, DEALLOC, "free of {size}");
    }
}

#[test]
fn what_is_not_sampled_is_handed_on_call_by_call() {
    let (profiler, _turn) = with_interval(NEVER);
    for (size, grown) in [(1, 2), (64, 20_000), (1000, 40_000), (32_767, 32_768), (1 << 20, 8 << 20)] {
        check_forwarded(size, grown);
        profiler.stop();
        check_forwarded(size, grown);
        Profiler::start(Settings { interval: NEVER, ..Settings::default() }).expect("it was stopped");
    }
}

#[test]
fn large_samples_are_handed_on_call_by_call_too() {
    let (profiler, _turn) = with_interval(Interval::Every);
    let samples = profiler.status().samples;
    check_forwarded(32_768, 32_769);
    check_forwarded(1 << 20, 8 << 20);
    assert!(profiler.status().samples >= samples + 4, "they were sampled");
}

#[test]
fn small_samples_do_not_reach_the_inner_allocator_and_move_there_when_they_grow() {
    let (_profiler, _turn) = with_interval(Interval::Every);
    // SAFETY: blocks are used with the layouts they were made with, and freed once.
    unsafe {
        let (calls, block) = calls_of(|| HEAP.alloc_zeroed(layout(100)));
        assert_eq!(calls, NONE);
        let (calls, block) = calls_of(|| HEAP.realloc(block, layout(100), 10_000));
        assert_eq!(calls, NONE);
        let (calls, block) = calls_of(|| HEAP.realloc(block, layout(10_000), 32_768));
        assert_eq!(calls, ALLOC);
        let (calls, block) = calls_of(|| HEAP.realloc(block, layout(32_768), 100));
        assert_eq!(calls, DEALLOC);
        assert_eq!(calls_of(|| HEAP.dealloc(block, layout(100))).0, NONE);
    }
}

/// The live samples of a label: their sizes.
fn labelled(profiler: Profiler, label: Label) -> Vec<u64> {
    let samples = profiler.live_samples(usize::MAX);
    samples.iter().filter(|sample| sample.label == label).map(|sample| sample.size.as_u64()).collect()
}

#[test]
fn an_allocation_that_fails_leaves_everything_as_it_was() {
    let (profiler, _turn) = with_interval(Interval::Every);
    let label = Label::new("fails");
    let entered = label.enter();
    let before = profiler.snapshot().live();
    // SAFETY: blocks are used with the layouts they were made with, and freed once.
    unsafe {
        assert!(failing(|| HEAP.alloc(layout(1 << 20))).is_null());
        assert!(failing(|| HEAP.alloc_zeroed(layout(1 << 20))).is_null());
        let large = HEAP.alloc(layout(100_000));
        let small = HEAP.alloc(layout(1000));
        large.write_bytes(7, 100_000);
        small.write_bytes(8, 1000);
        assert!(failing(|| HEAP.realloc(large, layout(100_000), 1 << 30)).is_null());
        assert!(failing(|| HEAP.realloc(small, layout(1000), 1 << 30)).is_null());
        // Both are still there, whole, and still samples.
        assert!(
            (0..100_000).all(|at| large.add(at).read() == 7) && (0..1000).all(|at| small.add(at).read() == 8)
        );
        let mut sizes = labelled(profiler, label);
        sizes.retain(|&size| size == 1000 || size == 100_000);
        sizes.sort_unstable();
        assert_eq!(sizes, [1000, 100_000]);
        HEAP.dealloc(large, layout(100_000));
        HEAP.dealloc(small, layout(1000));
    }
    drop(entered);
    assert!(labelled(profiler, label).iter().all(|&size| size != 1000 && size != 100_000));
    assert_ne!(before, Amount::default());
}

/// Between a free and the next line another thread may get the same address. Were the sample forgotten after that, it would be
/// the other's sample that is.
#[test]
fn a_sample_is_forgotten_before_the_inner_allocator_gets_its_block_back() {
    const SIZE: usize = 77_777;
    let (profiler, _turn) = with_interval(Interval::Every);
    let label = Label::new("forgotten");
    let _entered = label.enter();
    // Watches the block's end in `what`, which gets it live.
    let found = |what: &dyn Fn(*mut u8)| {
        // SAFETY: the layout has a size.
        let block = unsafe { HEAP.alloc(layout(SIZE)) };
        assert_eq!(labelled(profiler, label).iter().filter(|&&size| size == SIZE as u64).count(), 1);
        FOUND.set(None);
        WATCHED.set(SIZE);
        what(block);
        FOUND.get()
    };
    // SAFETY: the blocks are of that size, and given up once; the new ones are freed with theirs.
    unsafe {
        assert_eq!(found(&|block| HEAP.dealloc(block, layout(SIZE))), Some(0));
        for new_size in [2 * SIZE, 100] {
            let resize = |block| HEAP.dealloc(HEAP.realloc(block, layout(SIZE), new_size), layout(new_size));
            assert_eq!(found(&resize), Some(0), "resized to {new_size}");
        }
    }
}

/// What was allocated before the start, or while it was stopped, is none of the profiler's: it may be freed and resized at
/// any time.
#[test]
fn blocks_from_before_the_start_are_the_inner_allocators() {
    let (profiler, _turn) = with_interval(NEVER);
    profiler.stop();
    let sizes = [1, 100, 20_000, 40_000, 1 << 20];
    // SAFETY: blocks are used with the layouts they were made with, and freed once.
    unsafe {
        let old = sizes.map(|size| HEAP.alloc(layout(size)));
        let every = Settings { interval: Interval::Every, ..Settings::default() };
        let profiler = Profiler::start(every).expect("it was stopped");
        for (block, size) in old.into_iter().zip(sizes) {
            let smaller = (size / 2).max(1);
            let (calls, block) = calls_of(|| HEAP.realloc(block, layout(size), smaller));
            assert_eq!(calls, REALLOC, "shrinking {size}");
            assert_eq!(calls_of(|| HEAP.dealloc(block, layout(smaller))).0, DEALLOC);
        }
        profiler.stop();
        let samples = profiler.status().samples;
        drop(vec![1_u8; 3 << 20]);
        assert_eq!(profiler.status().samples, samples);
    }
    Profiler::start(Settings::default()).expect("it was stopped");
}
