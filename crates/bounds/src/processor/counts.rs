//! What processors have done and are doing, of one and of all together.
//!
//! The numbers add up because each change of several is one step under one lock: a reader never sees a
//! chunk that is neither in flight nor delivered nor lost.

use std::sync::Arc;

use plimsoll_core::{Counter, Observe, Reading, Unit};

use super::error::ErrorReason;
use crate::sync::Mutex;

/// Errors by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    /// The source of the bytes failed.
    pub source: u64,
    /// The pool had no buffer in time.
    pub no_buffer: u64,
    /// The pool took a buffer back.
    pub revoked: u64,
    /// The cutter misbehaved.
    pub cutter: u64,
    /// The work failed or panicked.
    pub work: u64,
}

impl ErrorCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.source + self.no_buffer + self.revoked + self.cutter + self.work
    }

    fn add(&mut self, reason: ErrorReason) {
        *match reason {
            ErrorReason::Source => &mut self.source,
            ErrorReason::NoBuffer => &mut self.no_buffer,
            ErrorReason::Revoked => &mut self.revoked,
            ErrorReason::Cutter => &mut self.cutter,
            ErrorReason::Work => &mut self.work,
        } += 1;
    }
}

/// The numbers of one processor, or of many, at one moment. Counts are since it was made.
///
/// `chunks = delivered + lost + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorStats {
    /// Processors that live now.
    pub processors: u64,
    /// How many chunks those may have in flight.
    pub in_flight_limit: u64,
    /// Chunks in flight now: in work, or done and waiting for their turn.
    pub in_flight: u64,
    /// The highest `in_flight`. Of many, it may be above the limit of those that live now.
    pub in_flight_peak: u64,
    /// Chunks that came into work.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Results that were given out.
    pub delivered: u64,
    /// Chunks without a result: their work failed, or was dropped with the stream or behind an error.
    pub lost: u64,
    /// Errors by reason. A stream ends at its first.
    pub errors: ErrorCounts,
}

/// The numbers of many processors, to be shown as one. About 150 bytes, however many add to it.
#[derive(Debug, Default)]
pub struct ProcessorCounts {
    // Guards the numbers for the time of a few additions.
    stats: Mutex<ProcessorStats>,
}

impl ProcessorCounts {
    /// All at zero.
    pub fn new() -> ProcessorCounts {
        ProcessorCounts::default()
    }

    /// The numbers now.
    pub fn stats(&self) -> ProcessorStats {
        *self.stats.lock()
    }
}

impl Observe for ProcessorCounts {
    /// One reading, `processor.in_flight`. Nothing is refused at this limit: what is over it is not read.
    fn observe(&self, out: &mut Vec<Reading>) {
        let stats = self.stats();
        let counter = |name, value| Counter { name, value };
        out.push(Reading {
            name: "processor.in_flight".to_owned(),
            unit: Unit::Items,
            limit: stats.in_flight_limit,
            used: stats.in_flight,
            peak: stats.in_flight_peak,
            rejected: 0,
            counters: vec![
                counter("processors", stats.processors),
                counter("chunks", stats.chunks),
                counter("bytes", stats.bytes),
                counter("delivered", stats.delivered),
                counter("lost", stats.lost),
                counter("errors_source", stats.errors.source),
                counter("errors_no_buffer", stats.errors.no_buffer),
                counter("errors_revoked", stats.errors.revoked),
                counter("errors_cutter", stats.errors.cutter),
                counter("errors_work", stats.errors.work),
            ],
        });
    }
}

/// One processor's numbers, added to the common ones as they change and taken out of "now" on drop.
#[derive(Debug)]
pub(super) struct Tally {
    own: ProcessorStats,
    all: Arc<ProcessorCounts>,
}

impl Tally {
    pub(super) fn new(in_flight_limit: usize) -> Tally {
        let mut tally = Tally { own: ProcessorStats::default(), all: Arc::default() };
        tally.change(|stats| {
            stats.processors += 1;
            stats.in_flight_limit += in_flight_limit as u64;
        });
        tally
    }

    pub(super) fn stats(&self) -> ProcessorStats {
        self.own
    }

    /// Moves its numbers to `all`, as if it had been counted there from the start.
    pub(super) fn count_in(&mut self, all: Arc<ProcessorCounts>) {
        self.all.stats.lock().take_out(&self.own);
        all.stats.lock().put_in(&self.own);
        self.all = all;
    }

    pub(super) fn set_limit(&mut self, in_flight_limit: usize) {
        let before = self.own.in_flight_limit;
        self.change(|stats| {
            stats.in_flight_limit = stats.in_flight_limit - before + in_flight_limit as u64;
        });
    }

    pub(super) fn began(&mut self, bytes: u64) {
        self.change(|stats| {
            stats.chunks += 1;
            stats.bytes += bytes;
            stats.in_flight += 1;
            stats.in_flight_peak = stats.in_flight_peak.max(stats.in_flight);
        });
    }

    pub(super) fn delivered(&mut self) {
        self.change(|stats| {
            stats.in_flight -= 1;
            stats.delivered += 1;
        });
    }

    /// All that is in flight was dropped.
    pub(super) fn lost_in_flight(&mut self) {
        let lost = self.own.in_flight;
        self.change(|stats| {
            stats.in_flight -= lost;
            stats.lost += lost;
        });
    }

    pub(super) fn failed(&mut self, reason: ErrorReason) {
        self.change(|stats| stats.errors.add(reason));
    }

    fn change(&mut self, change: impl Fn(&mut ProcessorStats)) {
        change(&mut self.own);
        change(&mut self.all.stats.lock());
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.lost_in_flight();
        let limit = self.own.in_flight_limit;
        self.change(|stats| {
            stats.processors -= 1;
            stats.in_flight_limit -= limit;
        });
    }
}

impl ProcessorStats {
    fn put_in(&mut self, one: &ProcessorStats) {
        self.each_sum(one, |sum, value| *sum += value);
        self.in_flight_peak = self.in_flight_peak.max(self.in_flight);
    }

    fn take_out(&mut self, one: &ProcessorStats) {
        self.each_sum(one, |sum, value| *sum -= value);
    }

    /// All numbers that add up over processors; the peak does not.
    fn each_sum(&mut self, one: &ProcessorStats, with: impl Fn(&mut u64, u64)) {
        with(&mut self.processors, one.processors);
        with(&mut self.in_flight_limit, one.in_flight_limit);
        with(&mut self.in_flight, one.in_flight);
        with(&mut self.chunks, one.chunks);
        with(&mut self.bytes, one.bytes);
        with(&mut self.delivered, one.delivered);
        with(&mut self.lost, one.lost);
        with(&mut self.errors.source, one.errors.source);
        with(&mut self.errors.no_buffer, one.errors.no_buffer);
        with(&mut self.errors.revoked, one.errors.revoked);
        with(&mut self.errors.cutter, one.errors.cutter);
        with(&mut self.errors.work, one.errors.work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_add_to_one_and_leave_it_when_they_go() {
        let all = Arc::new(ProcessorCounts::new());
        let mut first = Tally::new(10);
        first.began(5);
        first.count_in(all.clone());
        let mut second = Tally::new(10);
        second.count_in(all.clone());
        second.set_limit(3);
        second.began(7);
        second.began(7);
        second.delivered();
        first.failed(ErrorReason::NoBuffer);

        let both = all.stats();
        assert_eq!((both.processors, both.in_flight_limit), (2, 13));
        assert_eq!((both.in_flight, both.in_flight_peak), (2, 3));
        assert_eq!((both.chunks, both.bytes, both.delivered, both.lost), (3, 19, 1, 0));
        assert_eq!(both.errors, ErrorCounts { no_buffer: 1, ..ErrorCounts::default() });

        drop(first);
        drop(second);
        let none = all.stats();
        assert_eq!((none.processors, none.in_flight_limit, none.in_flight), (0, 0, 0));
        assert_eq!(none.chunks, none.delivered + none.lost);
    }
}
