//! The work that every allocator setup does, so that two programs differ in their allocator and in nothing
//! else.
//!
//! A worker is one process for one measurement: it prepares, warms up, does a fixed amount of work, and says
//! what that cost. It compares and judges nothing; that is the runner's.
//!
//! ```text
//! work_SETUP WORKLOAD MODE WARM_UP ITERATIONS [KEPT]
//!   → one line for each number:   plimsoll-bench cpu_ns=1234567
//! ```
//! Everything is drawn from fixed seeds. The checksum is the proof that two setups did the same work.

pub mod draw;
pub mod measure;
pub mod paths;
#[cfg(feature = "plimsoll")]
pub mod plimsoll;
pub mod program;
pub mod workloads;
