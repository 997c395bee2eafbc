//! What the kernel tells of another process at a glance, and why it does not.

use std::fmt;
use std::io::{self, ErrorKind};

use plimsoll_core::Bytes;
use rustix::param::page_size;

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

/// How much memory the process's control group may have, if it has a limit: the smallest on the way to the root.
pub(crate) fn memory_limit(pid: i32) -> Option<Bytes> {
    let groups = text(pid, "cgroup").ok()?;
    // Version 2 has one group, which is that of number 0.
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let parts: Vec<&str> = group.split('/').filter(|part| !part.is_empty()).collect();
    let limits = (0..=parts.len()).filter_map(|depth| {
        let path = format!("/sys/fs/cgroup/{}/memory.max", parts[..depth].join("/"));
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    });
    limits.min().map(Bytes::new)
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
    fn resident_is_the_second_number() {
        assert_eq!(resident_pages("1000 250 30 1 0 90 0\n"), Some(250));
        for wrong in ["", "1000", "1000 x"] {
            assert_eq!(resident_pages(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn we_are_told_of_ourselves_and_not_of_who_is_not_there() {
        let own = i32::try_from(std::process::id()).expect("small");
        assert!(resident(own).expect("ours") > Bytes::kib(100));
        // No process ever has the number 2^31 - 1.
        let error = resident(i32::MAX).expect_err("nobody");
        assert!(matches!(error.why, Why::Gone), "{error}");
        assert_eq!(error.to_string(), "process 2147483647 has ended");
    }
}
