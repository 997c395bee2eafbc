//! Signals as events. None is handled: those that matter are blocked and read from a descriptor, so that the program
//! is started with the dispositions that we got, and none is lost between two looks.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exit::Failure;

/// Those that are read. Others do to us what they do to any program.
const HEEDED: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
    Signal::SIGCONT,
];

/// The signals from now on.
pub(crate) struct Signals {
    fd: SignalFd,
    before: SigSet,
}

/// One that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) signal: Signal,
    /// Sent with `kill`, and not by the kernel. What the kernel sends because of a terminal, all processes of the
    /// group have got.
    pub(crate) by_process: bool,
}

impl Signals {
    /// Blocks them for this thread and those that it will start.
    pub(crate) fn block() -> Result<Signals, Failure> {
        let mut mask = SigSet::empty();
        HEEDED.into_iter().for_each(|signal| mask.add(signal));
        let blocked = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK).and_then(|before| {
            Ok((before, SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
        });
        children_are_waited_for()?;
        match blocked {
            Ok((before, fd)) => Ok(Signals { fd, before }),
            Err(error) => Err(Failure::could_not(format!("cannot listen for signals: {error}"))),
        }
    }

    /// The mask that we were started with.
    pub(crate) fn before(&self) -> &SigSet {
        &self.before
    }

    /// Lets them do again what they do to any program; those that came until now are forgotten. What follows may take
    /// long, and its user may have enough of it.
    pub(crate) fn release(self) {
        while self.next().is_some() {}
        let _ = self.before.thread_set_mask();
    }

    /// Whether one came that was not read yet.
    pub(crate) fn is_one_there(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// The next one, if one came.
    pub(crate) fn next(&self) -> Option<Arrived> {
        let info = self.fd.read_signal().ok()??;
        let signal = Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?;
        // What processes send has a code of zero or less.
        Some(Arrived { signal, by_process: info.ssi_code <= 0 })
    }
}

/// A process that ignores SIGCHLD, because who started it did, is never told what its children ended with. Then the
/// signal gets a handler that does nothing; the program has the default instead of what we got.
fn children_are_waited_for() -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    if ignored & 1 << (Signal::SIGCHLD as u32 - 1) == 0 {
        return Ok(());
    }
    let handle = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()).map(drop)
    };
    handle()
        .map_err(|error: std::io::Error| Failure::could_not(format!("cannot listen for signals: {error}")))
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Arrived {
    /// What the program must be told, because it got nothing itself.
    ///
    /// All that asks a program to end or to do something is passed on, as `sudo` and the small init programs of
    /// containers do: whoever sends a signal to the process that it started means the program. Ctrl-C, Ctrl-\ and the
    /// hangup of a terminal are not, for they have reached the program already.
    pub(crate) fn to_pass_on(self) -> Option<Signal> {
        let heeded = !matches!(self.signal, Signal::SIGCHLD | Signal::SIGCONT);
        (heeded && self.by_process).then_some(self.signal)
    }

    /// Somebody wants us to end.
    pub(crate) fn is_end(self) -> bool {
        matches!(self.signal, Signal::SIGTERM | Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT)
    }
}
