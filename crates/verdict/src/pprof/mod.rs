//! pprof: the profile that every tool reads.
//!
//! What is written is what Go writes for a heap: `alloc_objects`, `alloc_space`, `inuse_objects`, `inuse_space`,
//! in this order, in gzip. Amounts are scaled already and are not to be scaled again; an address is the return
//! address less one, so that a tool that looks it up finds the call. Samples by age, the status and the memory
//! have no place in it: [`crate::json`] keeps those.

mod proto;
mod read;
mod wire;
mod write;

pub use read::read;
pub use write::write;

pub(crate) use read::read_plain;

use crate::metric::Metric;

/// The label on a stack that could not be followed to its end.
const TRUNCATED: &str = "truncated";
/// The value of that label.
const TRUE: &str = "true";

/// The metrics in the order in which they are written, with their names and units there.
const TYPES: [(Metric, &str, &str); 4] = [
    (Metric::AllocatedObjects, "alloc_objects", "count"),
    (Metric::AllocatedBytes, "alloc_space", "bytes"),
    (Metric::LiveObjects, "inuse_objects", "count"),
    (Metric::LiveBytes, "inuse_space", "bytes"),
];
/// What others call them.
const OTHER_TYPES: [(Metric, &str, &str); 2] =
    [(Metric::LiveObjects, "objects", "count"), (Metric::LiveBytes, "space", "bytes")];
/// The type that a tool shows unless it is asked for another.
const DEFAULT_TYPE: &str = "inuse_space";
/// What the interval counts.
const PERIOD_TYPE: (&str, &str) = ("space", "bytes");

/// Nanoseconds of a millisecond.
const NS_OF_MS: u64 = 1_000_000;
