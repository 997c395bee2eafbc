//! The tables that a recorder holds: of which process, whether it still runs, and what was refused.
//!
//! A process that has ended cannot be asked again, so its tables are held until they are written. Their memory then
//! belongs to nobody else but us: a build of thousands of processes would fill the machine with what they left. So
//! those that took no sample are let go at once, and the others are let go, written but without names, when they
//! come to more than [`HELD_MAX`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plimsoll_core::Bytes;
use plimsoll_heap::image::{Image, Process};
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::keeper::post::Peer;

/// How many processes are followed at a time. Each costs two descriptors, some address space and what it sampled.
pub(crate) const IMAGES_MAX: usize = 4_096;
/// How much memory the tables of ended processes may have.
pub(crate) const HELD_MAX: Bytes = Bytes::mib(256);
/// The kernel counts a file's memory in these.
const BLOCK: u64 = 512;

/// The tables of one process.
pub(crate) struct Held {
    pub(crate) image: Image,
    pub(crate) process: Process,
    /// Its number as we see it, which is another than its own if it is in a pid namespace of its own.
    pub(crate) pid: i32,
    /// Readable when the process has ended; none if it has, or cannot be seen from here.
    end: Option<OwnedFd>,
    /// It has ended, or runs another program now.
    pub(crate) ended: bool,
    /// What it was when it was last written.
    pub(crate) written: Option<State>,
    /// The memfd, for those who ask.
    tables: OwnedFd,
}

/// Why tables were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    /// There are [`IMAGES_MAX`], or as many as this process may have descriptors for.
    TooMany,
    /// What came is no table.
    NoTables,
    /// The tables are of another process than the sender.
    Another,
    /// A packet without a meaning.
    Unknown,
    /// Nothing was said in time.
    Silent,
    /// There were no descriptors left to take a call.
    NoDescriptors,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::TooMany => "more processes at a time than are followed",
            Refused::NoTables => "what was handed over are no tables of this version",
            Refused::Another => "tables of another process than the sender",
            Refused::Unknown => "packets without a meaning",
            Refused::Silent => "callers that said nothing",
            Refused::NoDescriptors => "no descriptors left to take a call",
        })
    }
}

/// All that is held.
pub(crate) struct Images {
    /// By the order in which they came. Entries go when their process has ended and they are written.
    held: BTreeMap<u64, Held>,
    next: u64,
    max: usize,
    /// How many of each kind were refused. One entry for each kind.
    refused: BTreeMap<Refused, u64>,
    /// How many ended without a sample.
    pub(crate) without_samples: u64,
}

impl Images {
    /// Room for `max`, but never more than [`IMAGES_MAX`].
    pub(crate) fn new(max: usize) -> Images {
        let (held, refused) = (BTreeMap::new(), BTreeMap::new());
        Images { held, next: 0, max: max.min(IMAGES_MAX), refused, without_samples: 0 }
    }

    /// Takes the tables that `peer` handed over, and returns their key and whether the process has ended already.
    pub(crate) fn register(&mut self, tables: OwnedFd, peer: Peer) -> Result<(u64, bool), Refused> {
        if self.held.len() >= self.max {
            return Err(Refused::TooMany);
        }
        let image = Image::map(&tables).map_err(|_| Refused::NoTables)?;
        let process = image.process();
        if peer.pid != process.pid && is_in_our_namespace(peer.pid) {
            return Err(Refused::Another);
        }
        let pid = if peer.pid > 0 { peer.pid } else { process.pid };
        // If the number belongs to nobody any more, it has ended already.
        let (end, has_ended) = match Pid::from_raw(peer.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Ok(end)) => (Some(end), false),
            Some(Err(error)) => (None, error == rustix::io::Errno::SRCH),
            None => (None, false),
        };
        let key = self.next;
        self.next += 1;
        self.held.insert(key, Held { image, process, pid, end, ended: false, written: None, tables });
        Ok((key, has_ended))
    }

    pub(crate) fn refuse(&mut self, why: Refused) {
        *self.refused.entry(why).or_default() += 1;
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        self.refused.iter().map(|(&why, &count)| (why, count))
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut Held> {
        self.held.get_mut(&key)
    }

    pub(crate) fn get(&self, key: u64) -> Option<&Held> {
        self.held.get(&key)
    }

    /// The tables of the program that runs under this pid now.
    pub(crate) fn of_pid(&self, pid: i32) -> Option<(u64, &Held)> {
        let latest = self.held.iter().rev().find(|(_, held)| held.pid == pid);
        latest.map(|(&key, held)| (key, held))
    }

    /// The tables of the programs that ran under the same pid before, and are not known to have ended.
    pub(crate) fn before(&self, key: u64) -> Vec<u64> {
        let Some(latest) = self.held.get(&key) else { return Vec::new() };
        // What cannot be seen from here has a number that others may have too.
        if latest.end.is_none() {
            return Vec::new();
        }
        let before = self.held.range(..key).filter(|(_, held)| held.pid == latest.pid && !held.ended);
        before.map(|(&key, _)| key).collect()
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<Held> {
        self.held.remove(&key)
    }

    pub(crate) fn keys(&self) -> Vec<u64> {
        self.held.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.held.iter().map(|(&key, held)| (key, held))
    }

    pub(crate) fn running(&self) -> usize {
        self.held.values().filter(|held| !held.ended).count()
    }

    /// The oldest tables of an ended process that must go for the others to stay under [`HELD_MAX`].
    pub(crate) fn over_weight(&self, kept: Option<u64>) -> Option<u64> {
        let ended = || self.held.iter().filter(|&(&key, held)| held.ended && Some(key) != kept);
        let sum: Bytes = ended().map(|(_, held)| held.size()).sum();
        if sum > HELD_MAX { ended().next().map(|(&key, _)| key) } else { None }
    }
}

/// How many samples were taken, and what lived: if neither changed, nothing did.
pub(crate) type State = (u64, Bytes);

impl Held {
    /// What it is now.
    pub(crate) fn state(&self) -> State {
        (self.image.samples(), self.image.live())
    }

    /// Readable when the process has ended.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    /// Sends a signal to this very process, if it can be seen from here and has not ended.
    pub(crate) fn send(&self, signal: Signal) {
        if let Some(end) = &self.end {
            // It may be another user's by now, or gone; then there is nothing to be done.
            let _ = pidfd_send_signal(end, signal);
        }
    }

    /// It has ended, or runs another program.
    pub(crate) fn set_ended(&mut self) {
        self.ended = true;
        self.end = None;
    }

    /// The tables for somebody who may read them and not write into them.
    pub(crate) fn readable(&self) -> rustix::io::Result<OwnedFd> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.tables.as_raw_fd());
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// The memory that the tables have, which is less than they have room for.
    fn size(&self) -> Bytes {
        let blocks = fstat(&self.tables).map(|stat| u64::try_from(stat.st_blocks).unwrap_or_default());
        Bytes::new(blocks.unwrap_or_default().saturating_mul(BLOCK))
    }
}

/// Whether a process counts pids as we do. One that has ended says nothing, and is believed.
fn is_in_our_namespace(pid: i32) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let theirs = namespace(&pid.to_string());
    theirs.is_some() && theirs == namespace("self")
}
