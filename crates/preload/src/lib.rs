//! The profiler for programs that were not rebuilt: a library that the dynamic loader puts before a program, with
//! `LD_PRELOAD`, and that stands in front of its `malloc`.
//!
//! ```text
//! program ─► malloc, free, … (exports) ─► Malloc ─► the next allocator: glibc's, jemalloc's, … (next)
//!                                           └─ samples ─► tables in a memfd ─► recorder (hand_over)
//!                                                  ▲ functions of Python (interpreter, python)
//! ```
//!
//! It does nothing unless the environment names a recorder, in `PLIMSOLL_RECORD`. Then it shares its tables with that
//! once, at the start, and once more in each forked child that allocates (see `plimsoll_heap::malloc`).
//!
//! Invariants: the program does not notice. No thread, no open descriptor, no signal handler, nothing on its terminal;
//! a block that is no sample is the next allocator's, and costs one comparison when it is freed. What goes wrong at the
//! start (no address space, a recorder that does not answer) leaves a program without samples, and the recorder, which
//! then has no tables of it, says so.
//!
//! Our own few allocations, at the start, go to the next allocator directly. Linux with glibc on x86-64.

// In the tests of this crate `malloc` stays the system's.
#[cfg(not(test))]
mod exports;
#[cfg(not(test))]
mod hand_over;
#[cfg(not(test))]
mod interpreter;
#[cfg(not(test))]
mod jemalloc;
#[cfg(not(test))]
mod next;
#[cfg(not(test))]
mod operators;
#[cfg_attr(test, allow(dead_code, reason = "the tests have no allocations to name"))]
mod python;
#[cfg(not(test))]
mod start;
