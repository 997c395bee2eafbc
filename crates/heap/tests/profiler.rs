//! A program under the profiler, every allocation sampled: what it holds is what the snapshot says, to the byte.
//!
//! One process has one heap, and tests of one file share it: they take turns, and compare differences of stacks that
//! are theirs alone.
#![cfg(not(miri))]

use std::sync::{Mutex, MutexGuard, PoisonError};

use plimsoll_core::Bytes;
use plimsoll_core::heap::{Amount, HeapSnapshot, StackProfile, UnwindMethod};
use plimsoll_heap::label::Label;
use plimsoll_heap::{Heap, Interval, Profiler, Settings, StartError};

#[global_allocator]
static HEAP: Heap = Heap::system();

static TURN: Mutex<()> = Mutex::new(());

/// The profiler with every allocation sampled, and this test's turn.
fn every() -> (Profiler, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = Settings { interval: Interval::Every, ..Settings::default() };
    let profiler = Profiler::running().unwrap_or_else(|| Profiler::start(settings).expect("installed"));
    profiler.set_interval(Interval::Every);
    (profiler, turn)
}

/// The live amounts of the stacks that are in `after` and hold more than in `before`.
fn grown(before: &HeapSnapshot, after: &HeapSnapshot) -> Vec<(StackProfile, Amount)> {
    let live_before = |id: u32| {
        before.stacks.iter().find(|stack| stack.id == id).map(StackProfile::live).unwrap_or_default()
    };
    let mut grown: Vec<_> = after
        .stacks
        .iter()
        .map(|stack| (stack.clone(), stack.live().minus(live_before(stack.id))))
        .filter(|(_, more)| more.bytes > 0)
        .collect();
    grown.sort_by_key(|(_, more)| std::cmp::Reverse(more.bytes));
    grown
}

#[inline(never)]
fn keep(sizes: &[usize]) -> Vec<Box<[u8]>> {
    sizes.iter().map(|&size| vec![1; size].into_boxed_slice()).collect()
}

/// Proves D1.
#[test]
fn what_is_held_is_what_the_snapshot_says() {
    let (profiler, _turn) = every();
    let before = profiler.snapshot();
    let sizes = [1, 16, 100, 1000, 5000, 32_767, 32_768, 1 << 20, 100, 100];
    let kept = keep(&sizes);
    let after = profiler.snapshot();
    let (stack, more) = grown(&before, &after).swap_remove(0);
    assert_eq!(more.bytes, sizes.iter().map(|&size| size as u64).sum::<u64>());
    assert_eq!(more.objects, sizes.len() as u64);
    assert_eq!(stack.live_samples(), sizes.len() as u64);
    assert!(after.addresses_of(&stack).len() > 5, "{:?}", after.addresses_of(&stack));
    drop(kept);
    let ended = profiler.snapshot();
    let stack = ended.stacks.iter().find(|now| now.id == stack.id).expect("stacks stay");
    assert_eq!(stack.live(), Amount::default());
    assert_eq!(stack.allocated, stack.freed);
    assert_eq!(
        stack.generations.iter().map(|generation| generation.died_samples).sum::<u64>(),
        sizes.len() as u64
    );
    let status = profiler.status();
    assert!(status.running && status.stacks > 0 && status.live_samples > 0);
    assert_ne!(status.unwind_method, UnwindMethod::None);
}

#[inline(never)]
fn grow_to(bytes: usize) -> Vec<u8> {
    let mut vector = Vec::with_capacity(8);
    while vector.len() < bytes {
        vector.push(7);
    }
    vector
}

#[test]
fn a_block_that_grows_stays_the_same_sample_with_its_origin() {
    let (profiler, _turn) = every();
    let before = profiler.snapshot();
    let vector = grow_to(3 << 20);
    let after = profiler.snapshot();
    let (stack, more) = grown(&before, &after).swap_remove(0);
    assert_eq!(more, Amount { objects: 1, bytes: vector.capacity() as u64 });
    // From 8 bytes to 4 MiB in doublings.
    assert_eq!((stack.growth.grown, stack.growth.longest_chain), (19, 19));
    assert!(vector.iter().all(|&byte| byte == 7), "nothing was lost in moving");
    let mut vector = vector;
    vector.truncate(100);
    vector.shrink_to_fit();
    assert_eq!(vector, [7; 100]);
    let small = profiler.snapshot();
    let now = small.stacks.iter().find(|now| now.id == stack.id).expect("stacks stay");
    assert_eq!(now.live(), Amount { objects: 1, bytes: 100 });
}

#[test]
fn zeroed_memory_is_zero_wherever_it_comes_from() {
    let (_profiler, _turn) = every();
    for size in [16, 100, 4000, 30_000, 40_000, 1 << 20] {
        for _ in 0..3 {
            let mut block = vec![0_u8; size];
            assert!(block.iter().all(|&byte| byte == 0));
            block.fill(0xff);
        }
    }
}

#[test]
fn alignment_is_kept() {
    let (_profiler, _turn) = every();
    #[repr(align(64))]
    struct Line([u8; 64]);
    #[repr(align(4096))]
    struct Page([u8; 100]);
    #[repr(align(16384))]
    struct More([u8; 100]);
    for _ in 0..100 {
        let (line, page, more) =
            (Box::new(Line([1; 64])), Box::new(Page([1; 100])), Box::new(More([1; 100])));
        assert!((&raw const *line).addr().is_multiple_of(64) && line.0[63] == 1);
        assert!((&raw const *page).addr().is_multiple_of(4096) && page.0[99] == 1);
        assert!((&raw const *more).addr().is_multiple_of(16384) && more.0[99] == 1);
    }
}

#[test]
fn samples_know_what_the_thread_worked_at() {
    let (profiler, _turn) = every();
    let label = Label::new("GET /orders");
    let kept = {
        let _entered = label.enter();
        keep(&[777; 50])
    };
    let samples = profiler.live_samples(usize::MAX);
    let labelled = samples.iter().filter(|sample| sample.label == label);
    assert_eq!(labelled.filter(|sample| sample.size == Bytes::new(777)).count(), 50);
    drop(kept);
    assert!(profiler.live_samples(3).len() <= 3);
}

#[test]
fn stopped_it_takes_no_samples_and_forgets_none() {
    let (profiler, _turn) = every();
    let before = profiler.snapshot();
    let kept = keep(&[5000; 20]);
    profiler.stop();
    assert!(Profiler::running().is_none());
    let samples = profiler.status().samples;
    let unseen = keep(&[5000; 20]);
    assert_eq!(profiler.status().samples, samples);
    assert!(grown(&before, &profiler.snapshot()).iter().any(|(_, more)| more.objects == 20));
    drop(kept);
    drop(unseen);
    // What the snapshots themselves hold is far less.
    assert!(grown(&before, &profiler.snapshot()).iter().all(|(_, more)| more.objects < 20));
    assert!(Profiler::start(Settings::default()).is_ok());
    assert!(matches!(Profiler::start(Settings::default()), Err(StartError::Running)));
}

#[test]
fn history_and_baseline_are_kept_within_their_limits() {
    let (profiler, _turn) = every();
    let first = profiler.remember();
    profiler.set_baseline(first.clone());
    for _ in 0..40 {
        profiler.remember();
    }
    assert!(profiler.history().len() <= 16 && profiler.forgotten() > 20);
    assert_eq!(profiler.baseline().expect("was set").taken_unix_ms, first.taken_unix_ms);
}

#[test]
fn resident_memory_is_named_in_parts_that_add_up() {
    let (profiler, _turn) = every();
    let kept = keep(&[1 << 20; 64]);
    let snapshot = profiler.snapshot();
    let memory = snapshot.memory.expect("Linux has the list");
    let sum: u64 = memory.parts.iter().map(|part| part.resident_bytes).sum();
    assert!(sum.abs_diff(memory.resident_bytes) <= memory.resident_bytes / 100, "{memory:?}");
    assert!(memory.part("heap").expect("named") >= 64 << 20, "{memory:?}");
    assert!(
        memory.part("files").expect("named") > 0 && memory.part("profiler").expect("named") > 0,
        "{memory:?}"
    );
    drop(kept);
}
