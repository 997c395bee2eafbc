//! What a process's resident memory consists of, for a reading.

use plimsoll_core::heap::ProcessMemory;
use plimsoll_heap::image::Image;

use crate::keeper::memory::{Profiled, parts};
use crate::keeper::process::{ProcessError, Why, resident};

/// The resident memory of a process, whose tables may be there. Of one that has more privileges than we, such as a setuid
/// program, the kernel tells the sum and no parts.
pub(crate) fn of(pid: i32, tables: Option<&Image>) -> Result<ProcessMemory, ProcessError> {
    match parts(pid, tables.map(Profiled::of).as_ref()) {
        Err(ProcessError { why: Why::NotAllowed, .. }) => {
            Ok(ProcessMemory { resident_bytes: resident(pid)?.as_u64(), parts: Vec::new() })
        }
        other => other,
    }
}
