//! A program under the profiler touches the pages that it touches without it.
//!
//! A wrapper that zeroes what the kernel zeroed, or copies what `realloc` would have moved by its page table, doubles the
//! memory of exactly those programs that somebody wants to look into. Page faults and resident memory of growing vectors
//! and zeroed buffers are measured in processes of their own: with libc's allocator alone, with the profiler built in and
//! off, at its usual interval, and with every allocation sampled.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(clippy::print_stdout, reason = "what was measured, where a test fails; and what a child tells")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::process::Command;

use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler, Settings};

#[global_allocator]
static HEAP: Heap = Heap::system();

/// Tells the child what to do, and how: `"growing every"`.
const CASE: &str = "PLIMSOLL_FIDELITY_CASE";
const PAGE: usize = 4096;
const VECTOR_BYTES: usize = 64 << 20;
const ZEROED_BYTES: usize = 256 << 20;

/// What the profiler may add, for its tables and its slow path: pages that it touches itself, once.
const OWN_PAGES: i64 = 256;
/// What two runs of the same program differ by, in parts of the whole.
const NOISE: f64 = 0.01;

#[derive(Clone, Copy, Debug)]
struct Measured {
    faults: i64,
    resident_pages: i64,
}

fn now() -> Measured {
    // SAFETY: a zeroed struct is a valid one, and the call writes to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let resident = statm.split(' ').nth(1).expect("the second number").parse().expect("a number");
    Measured { faults: usage.ru_minflt, resident_pages: resident }
}

/// Bytes pushed one by one, as `Vec` does it: room is doubled when it is used up. The block at the end.
fn grow(allocator: &impl GlobalAlloc) -> (*mut u8, usize) {
    let mut size = 8;
    // SAFETY: blocks are used with the layouts they were made with, and written within them.
    unsafe {
        let mut block = allocator.alloc(Layout::from_size_align_unchecked(size, 1));
        let mut written = 0;
        while size < VECTOR_BYTES {
            block.add(written).write_bytes(1, size - written);
            written = size;
            block = allocator.realloc(block, Layout::from_size_align_unchecked(size, 1), size * 2);
            assert!(!block.is_null());
            size *= 2;
        }
        block.add(written).write_bytes(1, size - written);
        (block, size)
    }
}

fn zeroed(allocator: &impl GlobalAlloc) -> (*mut u8, usize) {
    // SAFETY: the layout has a size.
    let block = unsafe { allocator.alloc_zeroed(Layout::from_size_align_unchecked(ZEROED_BYTES, 1)) };
    assert!(!block.is_null());
    (black_box(block), ZEROED_BYTES)
}

/// Not a test by itself: what the others start in a process of its own.
#[test]
fn in_child() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (work, how) = case.split_once(' ').expect("two words");
    let interval = match how {
        "every" => Some(Interval::Every),
        "mean" => Some(Interval::Mean(Bytes::kib(512))),
        _ => None,
    };
    if let Some(interval) = interval {
        Profiler::start(Settings { interval, ..Settings::default() }).expect("installed");
        // Its first sample of each kind: what is touched once in a program is not what is measured.
        drop((black_box(vec![1_u8; 100]), black_box(vec![1_u8; 100_000])));
    }
    let before = now();
    let blocks: Vec<(*mut u8, usize)> = match (work, how) {
        ("growing", "system") => (0..2).map(|_| grow(&System)).collect(),
        ("growing", _) => (0..2).map(|_| grow(&HEAP)).collect(),
        ("zeroed", "system") => (0..2).map(|_| zeroed(&System)).collect(),
        ("zeroed", _) => (0..2).map(|_| zeroed(&HEAP)).collect(),
        other => panic!("no case {other:?}"),
    };
    let after = now();
    // SAFETY: one byte of a block, which is as large as it says.
    let last = |&(block, size): &(*mut u8, usize)| unsafe { block.add(size - 1).read() };
    assert!(blocks.iter().map(last).all(|byte| byte == u8::from(work == "growing")));
    println!("measured {} {}", after.faults - before.faults, after.resident_pages - before.resident_pages);
}

fn measure(work: &str, how: &str) -> Measured {
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new(program)
        .args(["--exact", "in_child", "--test-threads=1", "--nocapture"])
        .env(CASE, format!("{work} {how}"))
        .output()
        .expect("it ran before");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers =
        text.lines().find_map(|line| line.split_once("measured ")).unwrap_or_else(|| panic!("{output:?}"));
    let mut numbers = numbers.1.split(' ').map(|number| number.parse().expect("a number"));
    let measured = Measured {
        faults: numbers.next().expect("two numbers"),
        resident_pages: numbers.next().expect("two numbers"),
    };
    println!("{work} {how}: {measured:?}");
    measured
}

fn check_as_without(work: &str, least_pages: usize, most_pages: usize) {
    let alone = measure(work, "system");
    assert!((least_pages as i64..=most_pages as i64).contains(&alone.resident_pages), "{alone:?}");
    for how in ["off", "mean", "every"] {
        let with = measure(work, how);
        for (with, alone) in [(with.faults, alone.faults), (with.resident_pages, alone.resident_pages)] {
            let more = with - alone;
            assert!(more <= OWN_PAGES + (alone as f64 * NOISE) as i64, "{work} {how}: {more} pages more");
        }
    }
}

/// Proves D1.
#[test]
fn vectors_grow_by_as_many_pages_as_without_it() {
    check_as_without("growing", 2 * VECTOR_BYTES / PAGE, 2 * VECTOR_BYTES / PAGE + 256);
}

/// Proves D1.
#[test]
fn zeroed_buffers_stay_untouched() {
    check_as_without("zeroed", 0, 64);
}
