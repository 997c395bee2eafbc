//! The one promise that the verdict stands on: what is allocated is freed or live, whatever happens.
//!
//! A sample whose free is missed looks like a leak for ever. So: sixteen threads that come and go, whose last breath (a
//! destructor of theirs) allocates and frees too; blocks that others resize and free; signal handlers that allocate in
//! the middle of an allocation; children that inherit all that and go on; an interval that changes, and sampling that
//! stops and starts. At the end everything is freed, and every stack must say so, to the byte.
//!
//! `PLIMSOLL_MODEL_OPS` sets the number of operations, `PLIMSOLL_MODEL_SEED` the seed, which is printed. Threads run as the
//! machine lets them: a seed repeats what each of them does, not in which order.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(clippy::print_stdout, reason = "the seed repeats a failure")]

mod arena;
mod block;
mod ticks;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plimsoll_core::Bytes;
use plimsoll_core::heap::HeapSnapshot;
use plimsoll_heap::{Heap, Interval, Profiler, Settings};

use arena::Arena;
use block::{Block, random_size};

#[global_allocator]
static HEAP: Heap<Arena> = Heap::wrap(Arena);

const THREADS: usize = 16;
/// How many operations a thread lives for, at most.
const LIFE_MAX: u64 = 20_000;
/// How many blocks a thread holds.
const HELD_MAX: usize = 64;
/// How many blocks wait for another thread to take them.
const POOL_MAX: usize = 1024;
/// Children, at most: a fork copies the page tables of all this.
const FORKS_MAX: u32 = 200;
/// One operation in this many forks.
const FORK_EVERY: u32 = 40_000;

/// Blocks between two owners. Has all its memory before sampling begins.
static POOL: Mutex<Vec<Block>> = Mutex::new(Vec::new());
/// Held by whoever forks, and by whoever uses the profiler: a child must not inherit its locks from a thread that it does
/// not have.
static QUIET: Mutex<()> = Mutex::new(());
static FORKS: AtomicU32 = AtomicU32::new(0);
static RESIZED: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blocks that a thread holds until it is gone: its destructors free and allocate.
struct Last(Vec<Block>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut random = fastrand::Rng::with_seed(self.0.len() as u64);
        for mut block in self.0.drain(..) {
            block.resize(random_size(&mut random));
            let size = random_size(&mut random);
            hand_over(Block::new(&mut random, size));
        }
    }
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last(Vec::new())) };
}

/// Gives a block to whoever comes next, and takes one in its place at times.
fn hand_over(block: Block) -> Option<Block> {
    let mut pool = lock(&POOL);
    let full = pool.len() == POOL_MAX;
    let other = if full || block.is_odd() { pool.pop() } else { None };
    pool.push(block);
    other
}

/// What each thread does: `operations` of them, then it ends.
fn live(seed: u64, operations: u64, profiler: Profiler) {
    let _ticks = ticks::start();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut held: Vec<Block> = Vec::with_capacity(HELD_MAX);
    for _ in 0..operations {
        match random.u32(0..100) {
            0..40 if held.len() < HELD_MAX => {
                let size = random_size(&mut random);
                held.push(Block::new(&mut random, size));
            }
            0..65 if !held.is_empty() => drop(held.swap_remove(random.usize(0..held.len()))),
            65..90 if !held.is_empty() => {
                let nth = random.usize(0..held.len());
                held[nth].resize(random_size(&mut random));
                RESIZED.fetch_add(1, Relaxed);
            }
            90..100 if !held.is_empty() => {
                let block = held.swap_remove(random.usize(0..held.len()));
                held.extend(hand_over(block));
            }
            _ => {}
        }
        if random.u32(0..FORK_EVERY) == 0 && FORKS.fetch_add(1, Relaxed) < FORKS_MAX {
            fork(&mut held, &mut random, profiler);
        }
    }
    LAST.with_borrow_mut(|last| last.0.extend(held.drain(..random.usize(0..=held.len()))));
}

/// A child that goes on with what it inherited. It must end, and with 0.
fn fork(held: &mut Vec<Block>, random: &mut fastrand::Rng, profiler: Profiler) {
    let quiet = lock(&QUIET);
    // A tick during the fork makes the kernel begin it anew, for ever if ticks come faster than forks end.
    let blocked = ticks::Blocked::new();
    // SAFETY: the child uses lock-free parts only, and locks that are free since we hold `QUIET`; then `_exit`s.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            drop(blocked);
            let whole =
                std::panic::catch_unwind(AssertUnwindSafe(|| in_child(held, random, profiler))).is_ok();
            // SAFETY: ends the child, without destructors of threads that it does not have.
            unsafe { libc::_exit(i32::from(!whole)) }
        }
        child => {
            drop(quiet);
            drop(blocked);
            let mut status = 0;
            // SAFETY: the child's own number, and a place for its status.
            while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
                let error = std::io::Error::last_os_error();
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
            }
            assert_eq!(status, 0, "the child failed");
        }
    }
}

/// Everything goes on in a child: inherited blocks are freed, new ones sampled, snapshots taken.
fn in_child(held: &mut Vec<Block>, random: &mut fastrand::Rng, profiler: Profiler) {
    /// A size of its own.
    const SIZE: usize = 7777;
    const BLOCKS: usize = 20;
    held.truncate(held.len() / 2);
    for _ in 0..200 {
        let size = random_size(random);
        held.push(Block::new(random, size));
        let nth = random.usize(0..held.len());
        held[nth].resize(random_size(random));
        drop(held.swap_remove(random.usize(0..held.len())));
    }
    let samples = || {
        let samples = profiler.live_samples(usize::MAX);
        samples.iter().filter(|sample| sample.size == Bytes::new(SIZE as u64)).count()
    };
    let before = samples();
    let running = Profiler::running().is_some();
    profiler.set_interval(Interval::Every);
    let kept: Vec<Block> = (0..BLOCKS).map(|_| Block::new(random, SIZE)).collect();
    assert_eq!(samples() - before, if running { BLOCKS } else { 0 });
    drop(kept);
    assert_eq!(samples(), before);
    check_order(&profiler.snapshot());
    held.clear();
}

/// At any moment nothing is freed that was not allocated.
fn check_order(snapshot: &HeapSnapshot) {
    for stack in &snapshot.stacks {
        assert!(stack.freed.bytes <= stack.allocated.bytes && stack.freed.objects <= stack.allocated.objects);
    }
}

fn random_interval(random: &mut fastrand::Rng) -> Interval {
    match random.u32(0..5) {
        0 | 1 => Interval::Every,
        2 => Interval::Mean(Bytes::kib(1)),
        3 => Interval::Mean(Bytes::kib(64)),
        _ => Interval::Adaptive,
    }
}

/// Uses the profiler as a program would meanwhile.
fn disturb(profiler: Profiler, random: &mut fastrand::Rng) {
    let _quiet = lock(&QUIET);
    match random.u32(0..20) {
        0 => profiler.stop(),
        1 => check_order(&profiler.snapshot()),
        _ if Profiler::running().is_none() => {
            let settings = Settings { interval: random_interval(random), ..Settings::default() };
            Profiler::start(settings).expect("it was stopped");
        }
        _ => profiler.set_interval(random_interval(random)),
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

/// Proves D1.
#[test]
fn everything_is_freed_at_the_end_and_every_stack_says_so() {
    let operations = number("PLIMSOLL_MODEL_OPS", 2_000_000);
    let seed = number("PLIMSOLL_MODEL_SEED", fastrand::u64(..));
    println!("PLIMSOLL_MODEL_OPS={operations} PLIMSOLL_MODEL_SEED={seed}");
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    lock(&POOL).reserve(POOL_MAX + 1);
    let mut threads: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(THREADS);
    ticks::handle();
    // Short epochs, so that cohorts turn while threads count; room for a stack at each instruction that a tick interrupts.
    let settings = Settings {
        interval: Interval::Every,
        epoch: Duration::from_millis(20),
        stacks_max: 1 << 18,
        ..Settings::default()
    };
    let profiler = Profiler::start(settings).expect("installed");

    let mut left = operations;
    while left > 0 {
        if threads.len() == THREADS {
            threads.pop_front().expect("sixteen").join().expect("it did not panic");
            disturb(profiler, &mut random);
        }
        let (life, seed) = (random.u64(1..=LIFE_MAX.min(left)), random.u64(..));
        left -= life;
        threads.push_back(std::thread::spawn(move || live(seed, life, profiler)));
    }
    threads.drain(..).for_each(|thread| thread.join().expect("it did not panic"));
    ticks::end();
    lock(&POOL).drain(..).for_each(drop);
    profiler.stop();

    let snapshot = profiler.snapshot();
    let status = &snapshot.status;
    println!(
        "{:.1?}: {} samples, {} resized, {} children, {} ticks; {status:?}",
        began.elapsed(),
        status.samples,
        RESIZED.load(Relaxed),
        FORKS.load(Relaxed).min(FORKS_MAX),
        ticks::count(),
    );
    for stack in &snapshot.stacks {
        assert_eq!(stack.allocated, stack.freed, "{:x?}: {stack:?}", snapshot.addresses_of(stack));
        assert_eq!(stack.live_samples(), 0, "{stack:?}");
        assert!(stack.generations.iter().all(|generation| generation.live_bytes == 0), "{stack:?}");
    }
    let died =
        snapshot.stacks.iter().flat_map(|stack| stack.generations).map(|generation| generation.died_samples);
    assert_eq!(died.sum::<u64>(), status.samples, "each died once");
    assert_eq!(status.live_samples, 0);
    assert!(profiler.live_samples(usize::MAX).is_empty(), "and none is left in the tables");
    assert_eq!((status.dropped_large, status.dropped_small, status.dropped_stacks), (0, 0, 0));
    assert!(status.samples > operations / 20 && ticks::count() > 0, "it did what it says");
}
