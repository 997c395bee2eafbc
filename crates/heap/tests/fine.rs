//! Fine sampling that adapts: it begins with the finest interval, grows coarser when that costs too much, comes back when
//! it does not, and says rightly at every moment what lives.
#![cfg(not(miri))]

use std::hint::black_box;
use std::time::{Duration, Instant};

use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler, Settings};

#[global_allocator]
static HEAP: Heap = Heap::system();

const FINEST: Bytes = Bytes::new(256);
/// Nothing here takes a second; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
const KEPT: usize = 20_000;
const KEPT_BYTES: usize = 1000;

/// Does a piece of work until the interval is as it should be. Says how fine it was at the end.
fn until(profiler: Profiler, what: &str, is_right: impl Fn(u64) -> bool, mut work: impl FnMut()) -> u64 {
    let began = Instant::now();
    loop {
        let interval = profiler.status().interval_bytes;
        if is_right(interval) {
            return interval;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: it stays at {interval}");
        (0..1000).for_each(|_| work());
    }
}

#[test]
fn the_interval_begins_with_the_finest_and_goes_where_the_cost_is_allowed() {
    // Before the start, so that the list itself is no sample.
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(KEPT);
    let settings = Settings {
        interval: Interval::Fine { finest: FINEST, cost_max_ppm: 100_000, spare_ppm: 0 },
        epoch: Duration::from_millis(50),
        ..Settings::default()
    };
    let profiler = Profiler::start(settings).expect("installed");
    assert_eq!(profiler.status().interval_bytes, FINEST.as_u64(), "it has no time to come down");
    assert!(profiler.status().adaptive);

    // Nothing but allocations: most of the time would be that of sampling.
    let coarse = until(
        profiler,
        "allocations",
        |interval| interval > FINEST.as_u64(),
        || {
            drop(black_box(vec![0_u8; KEPT_BYTES]));
            if kept.len() < KEPT {
                kept.push(black_box(vec![0_u8; KEPT_BYTES]));
            }
        },
    );
    assert!((FINEST.as_u64()..=512 << 10).contains(&coarse), "{coarse}");
    kept.resize_with(KEPT, || black_box(vec![0_u8; KEPT_BYTES]));

    // Work of the program's own, with an allocation now and then.
    let mut numbers = 1_u64;
    let back = until(
        profiler,
        "own work",
        |interval| interval == FINEST.as_u64(),
        || {
            numbers = (0..2000).fold(numbers, |sum, number| black_box(sum.rotate_left(5) ^ number));
            if numbers.is_multiple_of(16) {
                drop(black_box(vec![0_u8; KEPT_BYTES]));
            }
        },
    );
    assert_eq!(back, FINEST.as_u64());

    // Whatever the interval was when each of them was drawn.
    let live = profiler.snapshot().live().bytes as f64;
    let truth = (KEPT * KEPT_BYTES) as f64;
    assert!((live / truth - 1.0).abs() < 0.1, "{live} of {truth}");
    drop(kept);
    let left = profiler.snapshot().live().bytes as f64;
    assert!(left < truth / 100.0, "{left} is left");
}
