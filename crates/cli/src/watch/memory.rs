//! What a process's resident memory consists of, for a reading.

use plimsoll_core::heap::ProcessMemory;
use plimsoll_heap::image::Image;

use crate::keeper::memory::{Profiled, parts};
use crate::keeper::process::ProcessError;

/// The resident memory of a process, whose tables may be there.
pub(crate) fn of(pid: i32, tables: Option<&Image>) -> Result<ProcessMemory, ProcessError> {
    parts(pid, tables.map(Profiled::of).as_ref())
}
