//! A range that is smaller than the wrapper's test allows for: blocks of others lie where more of it might be, and are
//! freed and followed as anywhere else.
#![cfg(not(miri))]

use std::time::Duration;

use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler, Settings, StartError};

#[global_allocator]
static HEAP: Heap = Heap::system();

/// Proves D1.
#[test]
fn blocks_beside_the_range_are_followed_to_their_end() {
    // Address space that is given back just before the start, so that the kernel puts later blocks beside the range.
    drop(vec![0_u8; 1 << 30]);
    let settings = Settings {
        interval: Interval::Every,
        range: Bytes::mib(16),
        epoch: Duration::from_millis(20),
        ..Settings::default()
    };
    let profiler = Profiler::start(settings.clone()).expect("installed");
    assert!(matches!(Profiler::start(settings), Err(StartError::Running)), "whatever the interval");
    let live = || {
        let snapshot = profiler.snapshot();
        // What is this large is the test's own; the snapshots are smaller.
        snapshot.stacks.iter().map(|stack| stack.live().bytes).filter(|&bytes| bytes > 1 << 20).sum::<u64>()
    };
    assert_eq!(live(), 0);
    for round in 0..5_usize {
        let mut block: Vec<u8> = Vec::with_capacity(36 << 20);
        assert_eq!(live(), 36 << 20, "round {round}");
        block.push(1);
        block.reserve_exact(72 << 20);
        assert_eq!(live(), (72 << 20) + 1, "round {round}: it grew");
        block.shrink_to(33 << 20);
        assert_eq!(live(), 33 << 20, "round {round}: it shrank");
        drop(block);
        assert_eq!(live(), 0, "round {round}: it is gone");
    }
}
