//! Waiting for the next reading of something that runs already.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::session::signals::Signals;

/// What came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time.
    Due,
    /// The end of what is watched.
    Ended,
    /// Somebody who wants the verdict now.
    Stopped,
}

/// Waits until `due`, for a signal that asks us to end, or until `end` is readable.
pub(crate) fn wait(signals: &Signals, end: Option<BorrowedFd<'_>>, due: Instant) -> Woken {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        fds.extend(end.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        // A time that the kernel has no room for is no time at all; and who is interrupted comes again.
        let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        if fds.get(1).is_some_and(|end| !end.revents().is_empty()) {
            return Woken::Ended;
        }
        if std::iter::from_fn(|| signals.next()).any(|arrived| arrived.is_end()) {
            return Woken::Stopped;
        }
        if due <= Instant::now() {
            return Woken::Due;
        }
    }
}
