//! Fine sampling of a heap that would fill the tables many times over: it grows coarser before they are full, so that what
//! is allocated last is sampled as what was allocated first.
#![cfg(not(miri))]

use std::hint::black_box;

use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler, Settings};

#[global_allocator]
static HEAP: Heap = Heap::system();

const RANGE: Bytes = Bytes::mib(16);
/// Six times the range.
const BLOCKS: usize = 96 << 10;
const BLOCK_BYTES: usize = 1 << 10;
/// What is allocated when the tables have been half full for long.
const LATE_BLOCKS: usize = 16 << 10;

#[inline(never)]
fn allocate(into: &mut Vec<Vec<u8>>, blocks: usize) {
    into.extend((0..blocks).map(|_| black_box(vec![0_u8; BLOCK_BYTES])));
}

#[test]
fn tables_that_fill_make_the_interval_coarser_and_drop_nothing() {
    let (mut kept, mut late) = (Vec::with_capacity(BLOCKS), Vec::with_capacity(LATE_BLOCKS));
    let settings = Settings {
        // It may cost what it likes, so that only room counts.
        interval: Interval::Fine { finest: Bytes::new(256), cost_max_ppm: u32::MAX, spare_ppm: 0 },
        range: RANGE,
        ..Settings::default()
    };
    let profiler = Profiler::start(settings).expect("installed");
    let mut before = profiler.status().interval_bytes;
    for _ in 0..8 {
        allocate(&mut kept, BLOCKS / 8);
        let interval = profiler.status().interval_bytes;
        assert!(interval >= before, "{interval} after {before}: nothing was given back");
        before = interval;
    }
    assert!(before > 16 << 10, "{before}");
    let first_live = profiler.snapshot().live().bytes as f64;
    let truth = (BLOCKS * BLOCK_BYTES) as f64;
    assert!((first_live / truth - 1.0).abs() < 0.35, "{first_live} of {truth}");

    allocate(&mut late, LATE_BLOCKS);
    let status = profiler.status();
    assert_eq!((status.dropped_small, status.dropped_large, status.dropped_stacks), (0, 0, 0));
    assert!(profiler.snapshot().live().bytes as f64 > first_live, "what comes late is sampled");
}
