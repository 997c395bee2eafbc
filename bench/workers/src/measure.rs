//! What the kernel knows of this process. CPU time and not wall time: on a shared machine the wall clock
//! mostly measures the neighbours.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process since it began, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Page faults that needed no disk, of all threads of this process since it began.
pub fn page_faults() -> Result<u64, String> {
    let path = "/proc/self/stat";
    let stat = read(path)?;
    // The second field is the program's name in parentheses, which may hold anything; fields are counted from
    // behind it. Minor faults are field 10.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let field = fields.split_ascii_whitespace().nth(7).and_then(|field| field.parse().ok());
    field.ok_or_else(|| format!("{path} has no field 10 that is a number: {stat}"))
}

/// The most that was ever resident, in bytes.
pub fn peak_bytes() -> Result<u64, String> {
    kib_line("/proc/self/status", "VmHWM:")
}

/// What is resident now and is nobody else's, in bytes: not the pages of program files, which the kernel maps
/// in by the dozen around each one that is touched, and takes back when it likes.
///
/// From `smaps_rollup`, which looks at the page tables: `statm` is a sum of counters that threads give up to
/// in batches, and may be off by some hundred KiB, as much as is looked for here.
pub fn anonymous_bytes() -> Result<u64, String> {
    kib_line("/proc/self/smaps_rollup", "Anonymous:")
}

fn kib_line(path: &str, name: &str) -> Result<u64, String> {
    let text = read(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| format!("{path} has no line `{name} … kB`"))
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path} could not be read: {error}"))
}
