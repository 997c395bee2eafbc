//! What is said while something is watched.

use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::subject::Subject;
use crate::out;

/// The talk of a watch.
pub(crate) struct Progress {
    started: Instant,
    interval: Duration,
    due: Instant,
}

impl Progress {
    pub(crate) fn new(interval: Duration, now: Instant) -> Progress {
        Progress { started: now, interval, due: now + interval }
    }

    /// Says a line.
    pub(crate) fn say(&mut self, message: &str) {
        out::talk(message);
    }

    pub(crate) fn show(&mut self, now: Instant, crowd: &Crowd) {
        self.show_all(now, crowd.iter());
    }

    pub(crate) fn show_all<'a>(&mut self, now: Instant, _subjects: impl Iterator<Item = &'a Subject>) {
        if now >= self.due {
            self.due = now + self.interval;
        }
        let _ = self.started;
    }
}
