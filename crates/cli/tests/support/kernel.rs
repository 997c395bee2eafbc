//! What the kernel says of a process and of its sockets. A service can be wrong about itself; the kernel is
//! who ends it.

use std::fs;

/// `ESTABLISHED` in the kernel's table.
pub(crate) const ESTABLISHED: u8 = 1;
/// `LISTEN` in the kernel's table.
pub(crate) const LISTENING: u8 = 10;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    /// The highest since it began, as the kernel kept it.
    pub(crate) peak: u64,
}

/// Nothing when there is no such process any more.
pub(crate) fn resident(pid: u32) -> Option<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib << 10)
    };
    Some(Resident { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// How many sockets a process has open. Files do not count: a process opens some for moments, to read about itself.
pub(crate) fn open_sockets(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("our own child's descriptors can be listed");
    // One that was closed while the list was read has no name any more.
    let names = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
}

/// One end of a connection in the kernel's table. On loopback both ends are in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) local_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) state: u8,
    /// Bytes that were written and that the peer did not acknowledge.
    pub(crate) unsent_bytes: u64,
    /// Bytes that came and were not read.
    pub(crate) unread_bytes: u64,
}

/// The ends of connections whose local port this is.
pub(crate) fn sockets_at(port: u16) -> Vec<Socket> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux shows its connections");
    table.lines().skip(1).filter_map(socket).filter(|socket| socket.local_port == port).collect()
}

fn socket(line: &str) -> Option<Socket> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    let (local_port, peer_port) = (port(columns.next()?)?, port(columns.next()?)?);
    let state = u8::from_str_radix(columns.next()?, 16).ok()?;
    let (unsent, unread) = columns.next()?.split_once(':')?;
    let bytes = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(Socket { local_port, peer_port, state, unsent_bytes: bytes(unsent)?, unread_bytes: bytes(unread)? })
}

/// The kernel's memory for all of TCP on this machine, in bytes.
///
/// Counted by the kernel in pages, and each processor keeps up to a MiB of them for itself: see
/// [`tcp_memory_slack`].
pub(crate) fn tcp_memory() -> u64 {
    let stat = fs::read_to_string("/proc/net/sockstat").expect("Linux counts its sockets");
    let line = stat.lines().find_map(|line| line.strip_prefix("TCP:")).expect("there is TCP");
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "mem").skip(1);
    let pages: u64 = words.next().and_then(|pages| pages.parse().ok()).expect("its memory is a number");
    pages * rustix::param::page_size() as u64
}

/// How far [`tcp_memory`] may be off.
pub(crate) fn tcp_memory_slack() -> u64 {
    std::thread::available_parallelism().map_or(1, |processors| processors.get() as u64) << 20
}
