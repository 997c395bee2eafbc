//! Snapshots of many live samples over many stacks while other threads allocate, and what the profiler
//! itself needs for them: by its own account, and by the kernel's.
//!
//! ```text
//! work_snapshot SAMPLES STACKS SNAPSHOTS
//! ```

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use plimsoll_bench_workers::draw::Draw;
use plimsoll_bench_workers::program::{KEPT_BLOCK_BYTES, Kept, say};
use plimsoll_bench_workers::{measure, paths, plimsoll};
use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler};

#[global_allocator]
static HEAP: Heap = Heap::system();

/// Threads that allocate and free while snapshots are taken.
const THREADS: u64 = 2;
/// Blocks that each of them holds.
const HELD: usize = 1024;

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let numbers: Option<Vec<usize>> = std::env::args().skip(1).map(|arg| arg.parse().ok()).collect();
    let worked = match numbers.as_deref() {
        Some(&[samples, stacks, snapshots]) => work(samples, stacks, snapshots),
        _ => Err("asked for SAMPLES STACKS SNAPSHOTS".to_owned()),
    };
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("work_snapshot: {why}");
            ExitCode::FAILURE
        }
    }
}

fn work(samples: usize, stacks: usize, snapshots: usize) -> Result<(), String> {
    if stacks > paths::PATHS_MAX as usize || samples <= stacks {
        return Err(format!("{samples} samples over {stacks} stacks: at most {}", paths::PATHS_MAX));
    }
    // Room for all that this program itself needs, made resident before anything is compared.
    let mut kept: Kept = Vec::with_capacity(samples);
    kept.resize_with(samples, Box::default);
    kept.clear();
    measure::anonymous_bytes()?;

    let before_bytes = measure::anonymous_bytes()?;
    let profiler = plimsoll::start(Interval::Every)?;
    let mut steps = Vec::with_capacity(3);
    steps.push(Step::now(&profiler)?);
    // One sample for each stack, then all others over the same stacks: the difference tells what a stack
    // needs and what a sample needs. One call in one loop, because two places to call from are twice as many
    // stacks.
    for number in 0..samples {
        paths::walk((number % stacks) as u32, &mut || kept.push(block()));
        if kept.len() == black_box(stacks) || kept.len() == samples {
            steps.push(Step::now(&profiler)?);
        }
    }
    profiler.set_interval(Interval::Mean(Bytes::kib(512)));
    say_memory(before_bytes, &steps, samples, stacks);

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let stop = &stop;
            scope.spawn(move || allocate_until(stop, seed));
        }
        for _ in 0..snapshots {
            let begun = Instant::now();
            let snapshot = black_box(profiler.snapshot());
            say("snapshot_ns", begun.elapsed().as_nanos());
            say("copy_ns", profiler.last_copy().as_nanos());
            say("snapshot_stacks", snapshot.stacks.len());
            say("snapshot_samples", snapshot.stacks.iter().map(|stack| stack.live_samples()).sum::<u64>());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let status = profiler.status();
    say("truncated", status.truncated);
    say("dropped", status.dropped_small + status.dropped_large + status.dropped_stacks);
    drop(kept);
    Ok(())
}

fn block() -> Box<[u8]> {
    black_box(vec![1_u8; KEPT_BLOCK_BYTES]).into_boxed_slice()
}

/// What the profiler says of itself at one moment, and what the kernel says.
struct Step {
    live_samples: u64,
    stacks: u64,
    own_bytes: u64,
    anonymous_bytes: u64,
}

impl Step {
    fn now(profiler: &Profiler) -> Result<Step, String> {
        let status = profiler.status();
        Ok(Step {
            live_samples: status.live_samples,
            stacks: status.stacks,
            own_bytes: status.own_bytes,
            anonymous_bytes: measure::anonymous_bytes()?,
        })
    }
}

fn say_memory(before_bytes: u64, steps: &[Step], samples: usize, stacks: usize) {
    let [started, stacked, full] = steps else { unreachable!("a step at the start and one for each part") };
    say("live_samples", full.live_samples);
    say("stacks", full.stacks);
    say("started_own_bytes", started.own_bytes);
    say("full_own_bytes", full.own_bytes);
    // The kept blocks are the program's.
    let blocks_bytes = (samples * KEPT_BLOCK_BYTES) as f64;
    say("full_seen_bytes", full.anonymous_bytes as f64 - before_bytes as f64 - blocks_bytes);
    let sample_bytes = (full.own_bytes - stacked.own_bytes) as f64 / (samples - stacks).max(1) as f64;
    let stacked_bytes = (stacked.own_bytes - started.own_bytes) as f64;
    say("sample_bytes", sample_bytes);
    say("stack_bytes", stacked_bytes / stacks as f64 - sample_bytes);
}

fn allocate_until(stop: &AtomicBool, seed: u64) {
    let mut draw = Draw::new(seed);
    let mut held: Vec<Vec<u8>> = vec![Vec::new(); HELD];
    while !stop.load(Ordering::Relaxed) {
        let slot = draw.below(HELD as u64) as usize;
        held[slot] = black_box(vec![1_u8; draw.between(16, 256)]);
    }
}
