//! What a process's resident memory consists of, for a reading.

use plimsoll_core::heap::ProcessMemory;
use plimsoll_heap::image::Image;

use crate::keeper::memory::{Profiled, parts};
use crate::keeper::process::ProcessError;

/// The resident memory of a process.
pub(crate) fn of(pid: i32, _tables: Option<&Image>) -> io::Result<ProcessMemory> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages =
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default();
    Ok(ProcessMemory { resident_bytes: pages * PAGE_BYTES, parts: Vec::new() })
}
