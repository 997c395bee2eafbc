//! Whether a program gets more rights by being run. The dynamic loader then drops every library that the
//! environment names, or anybody could put code into `su`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, getxattr, statvfs};
use rustix::process::{getgid, getuid};

/// Where the file keeps its capabilities.
const CAPABILITIES: &str = "security.capability";
const SET_UID: u32 = 0o4000;
/// Without the group's right to execute, the bit means something else.
const SET_GID: u32 = 0o2010;

/// How the program gets them, or nothing. What we have already is no gain: setuid root is none for root.
pub(crate) fn gained(program: &Path) -> io::Result<Option<&'static str>> {
    let meta = fs::metadata(program)?;
    let (set_uid, set_gid) = (meta.mode() & SET_UID != 0, meta.mode() & SET_GID == SET_GID);
    let gain = if set_uid && meta.uid() != getuid().as_raw() {
        "setuid"
    } else if set_gid && meta.gid() != getgid().as_raw() {
        "setgid"
    } else if !getuid().is_root() && has_capabilities(program) {
        "endowed with file capabilities"
    } else {
        return Ok(None);
    };
    // The kernel gives nothing from such a file system, or to such a process.
    let refused = statvfs(program).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOSUID))
        || no_new_privileges();
    Ok((!refused).then_some(gain))
}

fn has_capabilities(program: &Path) -> bool {
    // One byte is no room for any: that there is no room says that there are some.
    let mut first = [0u8; 1];
    match getxattr(program, CAPABILITIES, &mut first) {
        Ok(length) => length > 0,
        Err(error) => error == rustix::io::Errno::RANGE,
    }
}

fn no_new_privileges() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    field.is_some_and(|value| value.trim() == "1")
}
