//! Memory bounds that hold, for programs that must not be killed for memory.
//!
//! Whatever can grow has a limit, an answer to "what happens when it is full", a charge on one budget, and
//! numbers that anyone can read. This crate holds nothing of its own: it is the one name to depend on.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | (none) | [`Bytes`], [`Tick`], [`Clock`], [`Observe`], [`Registry`]: no I/O, no runtime |
//! | `bounds` (default) | [`bounds`]: the budget, the buffer pool and what is built on them |
//! | `heap` (default) | [`Heap`], [`Profiler`], [`label`], [`symbols`], [`verdict`]: which lines hold the memory |
//! | `tracing` | [`label::SpanLabels`]: samples know the span that they were taken in |
//! | `http` | [`http`]: routes and guards that every service has, the profile's among them |
//!
//! A feature adds names; it never changes what a program does.
//!
//! # When to use it
//! In a service that runs for weeks and holds data on behalf of others: buffers, queued events, readers that
//! may be slow. There the question is not how fast the memory is had but who holds it, and what happens when
//! it is all held.
//!
//! # When not to use it
//! * A program that ends in seconds: the operating system gives its memory back.
//! * One channel between two tasks, with no byte limit and nobody who looks at it: use a bounded channel of
//!   the runtime.
//! * A cache whose whole worth is its hit rate: use a cache crate, such as `moka`, and give it a weight limit.
//! * Limits on a program that cannot be changed: use the kernel's (a memory cgroup).
//!
//! # Example
//! ```
//! use plimsoll::Bytes;
//!
//! let limit: Bytes = "64MiB".parse()?;
//! assert_eq!(limit, Bytes::mib(64));
//! assert!("64 parsecs".parse::<Bytes>().is_err());
//! # Ok::<(), plimsoll::ParseBytesError>(())
//! ```

#[doc(inline)]
pub use plimsoll_core::*;

#[cfg(feature = "bounds")]
#[doc(inline)]
pub use plimsoll_bounds as bounds;

#[cfg(feature = "http")]
#[doc(inline)]
pub use plimsoll_http as http;

#[cfg(feature = "heap")]
#[doc(inline)]
pub use plimsoll_heap::{Heap, Interval, Profiler, Settings as ProfilerSettings, label};
/// The heap, seen and judged: [`heap::start`](plimsoll_watch::start) starts all of it.
#[cfg(feature = "heap")]
pub mod heap {
    #[doc(inline)]
    pub use plimsoll_core::heap::*;
    #[doc(inline)]
    pub use plimsoll_watch::{StartError, Watched, Watcher, bounded, start, start_with};
}
#[cfg(feature = "heap")]
#[doc(inline)]
pub use plimsoll_symbols as symbols;
#[cfg(feature = "heap")]
#[doc(inline)]
pub use plimsoll_verdict as verdict;

/// The example of the README compiles and runs.
#[cfg(all(doctest, feature = "bounds", feature = "heap"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
