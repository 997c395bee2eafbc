//! Under `ulimit -v` the profiler takes less, says so, and works; where there is too little it says that.
//!
//! Containers and batch systems limit address space. A profiler that reserves 16 GiB ends such a program at its start, or
//! leaves it no room to start a thread. Each case runs in a process of its own: this program again, under the limit.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(clippy::print_stdout, reason = "what a child tells the test")]

use std::process::Command;

use plimsoll_core::Bytes;
use plimsoll_heap::{Heap, Interval, Profiler, Settings, StartError};

#[global_allocator]
static HEAP: Heap = Heap::system();

/// Tells the child which case it is.
const CASE: &str = "PLIMSOLL_ADDRESS_SPACE_CASE";

/// Runs the test `in_child` of this program under `ulimit -v`, in KiB; it must succeed.
fn under_limit(kib: u64, case: &str) {
    let program = std::env::current_exe().expect("it runs");
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -v "$1" && shift && exec "$@""#, "sh", &kib.to_string()]).arg(program);
    shell.args(["--exact", "in_child", "--test-threads=1", "--nocapture"]).env(CASE, case);
    let output = shell.output().expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains(&format!("case {case} is done")),
        "{case} under {kib} KiB: {:?}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn works(expected_range: Bytes) {
    let profiler =
        Profiler::start(Settings { interval: Interval::Every, ..Settings::default() }).expect("it fits");
    let status = profiler.status();
    println!("range {} of {} bytes", status.range_bytes, status.range_wanted_bytes);
    assert_eq!(status.range_bytes, expected_range.as_u64());
    assert!(status.range_bytes < status.range_wanted_bytes);
    let before = profiler.snapshot().live();
    let sizes = [10, 1000, 30_000, 100_000];
    let kept: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![1; size]).collect();
    let after = profiler.snapshot();
    let live = after.live().minus(before);
    assert!(
        live.bytes >= sizes.iter().sum::<usize>() as u64 && live.objects >= sizes.len() as u64,
        "{live:?}"
    );
    let exact = after.stacks.iter().filter(|stack| stack.live().bytes == sizes.iter().sum::<usize>() as u64);
    assert_eq!(exact.count(), 1, "one stack holds exactly that");
    assert_eq!(
        (after.status.dropped_small, after.status.dropped_large, after.status.dropped_stacks),
        (0, 0, 0)
    );
    drop(kept);
    // The rest of the address space is the program's: threads find room for their stacks.
    let threads: Vec<_> = (0..8).map(|nth| std::thread::spawn(move || vec![nth; 1000])).collect();
    let sum: usize = threads.into_iter().map(|thread| thread.join().expect("it ran").len()).sum();
    assert_eq!(sum, 8000);
}

/// A full range is said, and everything goes on: what has no slot is the inner allocator's.
fn is_used_up() {
    let settings = Settings { interval: Interval::Every, range: Bytes::mib(1), ..Settings::default() };
    let profiler = Profiler::start(settings).expect("it fits");
    let kept: Vec<Vec<u8>> = (0..3000_usize).map(|nth| vec![nth as u8; 10_000]).collect();
    let status = profiler.status();
    assert!(status.dropped_small > 0 && status.live_samples > 500, "{status:?}");
    assert!(kept.iter().enumerate().all(|(nth, block)| block.iter().all(|&byte| byte == nth as u8)));
    drop(kept);
    // There is room again for blocks of that size.
    let again = vec![1_u8; 10_001];
    let samples = profiler.live_samples(usize::MAX);
    assert_eq!(samples.iter().filter(|sample| sample.size == Bytes::new(10_001)).count(), 1);
    drop(again);
}

/// Leaves the process this many bytes of address space.
fn leave(bytes: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = statm.split(' ').next().expect("a number").parse().expect("a number");
    // SAFETY: the calls write to the struct and read it.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &raw mut limit), 0);
        limit.rlim_cur = pages * 4096 + bytes;
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
    }
}

fn is_too_little() {
    leave(8 << 20);
    let error = Profiler::start(Settings::default()).expect_err("8 MiB are too little");
    let text = error.to_string();
    let StartError::OutOfAddressSpace(_) = &error else { panic!("{error:?}") };
    assert!(std::error::Error::source(&error).is_some());
    assert!(text.contains("bytes of address space") && text.contains("ulimit -v"), "{text}");
    println!("{text}");
    assert!(Profiler::running().is_none());
    // The program goes on, and a later start finds nothing half done.
    drop(vec![1_u8; 1 << 20]);
    leave(1 << 30);
    let profiler = Profiler::start(Settings::default()).expect("there is enough now");
    assert!(profiler.status().running);
}

/// The tables do not fit, but the range does; with smaller tables it starts.
fn is_too_little_for_its_tables() {
    let large = Settings { stacks_max: 1 << 20, ..Settings::default() };
    let error = Profiler::start(large.clone()).expect_err("700 MB of tables do not fit into 400");
    assert!(error.to_string().contains("raise `ulimit -v`"), "{error}");
    // As often as one likes: what was reserved is given back.
    for _ in 0..50 {
        Profiler::start(large.clone()).expect_err("as before");
    }
    Profiler::start(Settings { stacks_max: 1 << 14, ..Settings::default() }).expect("these fit");
}

/// Not a test by itself: what the others start under a limit.
#[test]
fn in_child() {
    let Ok(case) = std::env::var(CASE) else { return };
    match case.as_str() {
        "512 MiB" => works(Bytes::mib(512)),
        "64 MiB" => works(Bytes::mib(64)),
        "16 MiB" => works(Bytes::mib(16)),
        "used up" => is_used_up(),
        "too little" => is_too_little(),
        "tables" => is_too_little_for_its_tables(),
        other => panic!("no case {other}"),
    }
    println!("case {case} is done");
}

const MIB_IN_KIB: u64 = 1024;

/// Proves D1.
#[test]
fn it_takes_a_sixteenth_and_works() {
    under_limit(8 * 1024 * MIB_IN_KIB, "512 MiB");
    under_limit(1024 * MIB_IN_KIB, "64 MiB");
    under_limit(400 * MIB_IN_KIB, "16 MiB");
}

#[test]
fn a_range_that_is_used_up_drops_samples_and_says_so() {
    under_limit(400 * MIB_IN_KIB, "used up");
}

#[test]
fn where_there_is_too_little_it_says_so_and_the_program_goes_on() {
    under_limit(4 * 1024 * MIB_IN_KIB, "too little");
    under_limit(400 * MIB_IN_KIB, "tables");
}
