//! The heap, seen: a global allocator that samples, and what it saw.
//!
//! ```
//! use plimsoll_heap::{Heap, Profiler, Settings};
//!
//! #[global_allocator]
//! static HEAP: Heap = Heap::system();
//!
//! let profiler = Profiler::start(Settings::default()).expect("the allocator is installed");
//! let kept = vec![0_u8; 4 << 20];
//! let snapshot = profiler.snapshot();
//! assert!(snapshot.live().bytes >= 4 << 20);
//! # drop(kept);
//! ```
//!
//! One allocation in every so many bytes becomes a *sample*: its stack, size and birth are noted, it is followed through
//! `realloc`, and its death is noted, until the end of the process and with nothing lost. From the samples of a stack
//! follows, without bias, how many objects and bytes it allocated, holds, and freed at what age.
//!
//! Invariants: nothing that `alloc` or `dealloc` reach here allocates through itself, waits for anybody or panics. The
//! profiler's memory is reserved at the start; what does not fit is counted. The inner allocator's answer, `realloc` in
//! place and `alloc_zeroed` pass through. A free of a sample is never skipped: allocated = freed + live. Nothing is
//! sampled before [`Profiler::start`].
//!
//! [`malloc`] is the same for programs in C, whose tables another process reads as an [`image::Image`].
//!
//! Linux with glibc on x86-64 is what this is made for. Elsewhere it counts, without stacks.

#![cfg_attr(
    loom,
    allow(dead_code, unused_imports, unreachable_pub, reason = "models use a part of the tables")
)]

mod cells;
mod large;
mod os;
mod range;
mod sample;
mod stacks;
mod sync;

// What the models do not need, and loom's atomics could not build.
#[cfg(not(loom))]
mod bounds;
#[cfg(not(loom))]
mod capture;
#[cfg(not(loom))]
mod cost;
#[cfg(not(loom))]
mod engine;
#[cfg(not(loom))]
mod history;
#[cfg(not(loom))]
mod hooks;
#[cfg(not(loom))]
pub mod label;
#[cfg(not(loom))]
pub mod malloc;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod profiler;
#[cfg(not(loom))]
mod sampler;
mod shared;
#[cfg(not(loom))]
pub mod smaps;
mod spans;
#[cfg(not(loom))]
mod thread;
#[cfg(not(loom))]
mod unwind;
#[cfg(not(loom))]
mod wrapper;

pub use os::OutOfAddressSpace;
#[cfg(not(loom))]
pub use profiler::{Interval, LiveSample, Profiler, Settings, StartError};
#[cfg(not(loom))]
pub use shared::image;
#[cfg(not(loom))]
pub use wrapper::Heap;
