//! Profiles of the heap as people and tools read them: files, pictures, tables and differences.
//!
//! A snapshot of a heap is addresses and numbers of one process, worthless an hour later on another machine.
//! A [`Profile`] is the same with its names, and needs nothing else: it can be written down, read back and
//! compared with one of another build. What each file looks like is the concern of one module, and none of
//! them scales an amount: what the profiler estimated is what every format shows.
//!
//! ```text
//! HeapSnapshot + Names ──► Profile ──► pprof · json · collapsed · flamegraph · text · report · html
//!                             ▲  └───► diff ──► text · json · html
//!           bytes ── read ────┘
//! ```
//!
//! Invariants: no clock, no randomness, no I/O but writing into a given `Write` and reading given bytes. The
//! same input gives the same bytes. Reading is for files of strangers: it never panics, and what it holds is
//! bounded by [`ReadLimits`].

mod clean;
pub mod collapsed;
mod diff;
pub mod flamegraph;
pub mod html;
pub mod json;
pub mod judge;
pub mod library;
mod metric;
pub mod pprof;
pub mod profile;
mod read;
pub mod report;
mod sites;
pub mod text;

pub use diff::{Change, Diff, DiffEntry, DiffFrame, DiffOptions, Level, Side, diff, over_threshold};
pub use metric::{Metric, WriteError};
pub use profile::Profile;
pub use read::{GzipFault, ReadError, ReadLimits, read, read_with};
