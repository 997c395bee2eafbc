//! What the kernel tells of another process at a glance: how much is resident, how much CPU time it has used, and when it
//! was started, which tells it from a later one of the same number.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use plimsoll_core::Bytes;
use rustix::param::{clock_ticks_per_second, page_size};

/// Where the fields of `/proc/PID/stat` are, counted from the one behind the name.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const STARTED_TICKS: usize = 19;

/// Nothing can be said of a process.
#[derive(Debug)]
pub(crate) struct ProcessError {
    pub(crate) pid: i32,
    pub(crate) why: Why,
}

/// Why nothing can be said.
#[derive(Debug)]
pub(crate) enum Why {
    /// There is no such process any more.
    Gone,
    /// It is another user's, or has more privileges than we have.
    NotAllowed,
    /// The kernel says something else.
    Unreadable(io::Error),
    /// What the kernel says has another form than is known.
    Unknown(&'static str),
}

impl ProcessError {
    pub(crate) fn new(pid: i32, error: io::Error) -> ProcessError {
        let gone = rustix::io::Errno::SRCH.raw_os_error();
        let why = match error.kind() {
            ErrorKind::NotFound => Why::Gone,
            _ if error.raw_os_error() == Some(gone) => Why::Gone,
            ErrorKind::PermissionDenied => Why::NotAllowed,
            _ => Why::Unreadable(error),
        };
        ProcessError { pid, why }
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.pid;
        match &self.why {
            Why::Gone => write!(f, "process {pid} has ended"),
            Why::NotAllowed => {
                write!(f, "process {pid} may not be looked at: run this as the user that it has")
            }
            Why::Unreadable(error) => write!(f, "process {pid} cannot be looked at: {error}"),
            Why::Unknown(file) => write!(f, "this kernel's {file} of process {pid} has an unknown form"),
        }
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Unreadable(error) => Some(error),
            Why::Gone | Why::NotAllowed | Why::Unknown(_) => None,
        }
    }
}

/// How long a process has run, in two senses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// The CPU time that all its threads have used, those that ended included; to a hundredth of a second.
    pub(crate) cpu: Duration,
    /// When it was started, in hundredths of a second since boot. Two processes of one number differ in it, but for two
    /// within the same hundredth.
    pub(crate) started_ticks: u64,
}

/// How much of a process is resident: one number of the kernel's, some microseconds. It may be off by some pages for
/// each of the process's threads.
pub(crate) fn resident(pid: i32) -> Result<Bytes, ProcessError> {
    let statm = text(pid, "statm")?;
    let pages = resident_pages(&statm).ok_or(ProcessError { pid, why: Why::Unknown("statm") })?;
    Ok(Bytes::new(pages.saturating_mul(page_size() as u64)))
}

/// Of all, resident, shared and some more the second.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// See [`Times`].
pub(crate) fn times(pid: i32) -> Result<Times, ProcessError> {
    let stat = text(pid, "stat")?;
    times_of(&stat, clock_ticks_per_second()).ok_or(ProcessError { pid, why: Why::Unknown("stat") })
}

fn times_of(stat: &str, ticks_per_s: u64) -> Option<Times> {
    // The name stands in parentheses and may have some itself.
    let (_, behind) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    let number = |nth: usize| fields.get(nth)?.parse::<u64>().ok();
    let cpu_ticks = number(USER_TICKS)?.saturating_add(number(SYSTEM_TICKS)?);
    let cpu = Duration::from_secs_f64(cpu_ticks as f64 / ticks_per_s.max(1) as f64);
    Some(Times { cpu, started_ticks: number(STARTED_TICKS)? })
}

/// One of the kernel's files about a process.
pub(crate) fn text(pid: i32, file: &str) -> Result<String, ProcessError> {
    std::fs::read(format!("/proc/{pid}/{file}"))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| ProcessError::new(pid, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let rest = "S 1 2 2 0 -1 4194560 100 0 0 0 250 150 9 9 20 0 1 0 987654 1000 200 18446744073709551615";
        for name in ["x", "a b", "a) S 1 (b"] {
            let times = times_of(&format!("42 ({name}) {rest}"), 100).expect("a line of the kernel's");
            assert_eq!(times, Times { cpu: Duration::from_secs(4), started_ticks: 987_654 }, "{name}");
        }
        for wrong in
            ["", "42 (x)", "42 (x) S 1 2", "42 x S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"]
        {
            assert_eq!(times_of(wrong, 100), None, "{wrong}");
        }
        assert_eq!(resident_pages("1000 250 30 1 0 90 0\n"), Some(250));
        for wrong in ["", "1000", "1000 x"] {
            assert_eq!(resident_pages(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn we_are_told_of_ourselves_and_not_of_who_is_not_there() {
        let own = i32::try_from(std::process::id()).expect("small");
        assert!(resident(own).expect("ours") > Bytes::kib(100));
        let first = times(own).expect("ours");
        let later = times(own).expect("ours");
        assert_eq!(first.started_ticks, later.started_ticks);
        assert!(later.cpu >= first.cpu);
        // No process ever has the number 2^31 - 1.
        for error in [resident(i32::MAX).expect_err("nobody"), times(i32::MAX).map(drop).expect_err("nobody")]
        {
            assert!(matches!(error.why, Why::Gone), "{error}");
            assert_eq!(error.to_string(), "process 2147483647 has ended");
        }
    }
}
