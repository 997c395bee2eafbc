//! What a queue counts: what went through, and everything that did not, by its reason.

use plimsoll_core::{Bytes, Counter, Reading, Unit};

use super::error::Refused;

/// Since the queue was made. A refused item went back to its owner; a dropped one is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    refused_full: u64,
    refused_budget: u64,
    refused_too_large: u64,
    refused_waiters: u64,
    refused_heavy: u64,
    refused_ended: u64,
    timed_out: u64,
    pub(super) cancelled: u64,
    pub(super) dropped_newest: u64,
    pub(super) dropped_oldest: u64,
    pub(super) replaced: u64,
    pub(super) dropped_stopped: u64,
    pub(super) dropped_abandoned: u64,
    receivers_refused: u64,
    // The part of the above that met the limit in items, and in bytes.
    at_items: u64,
    at_bytes: u64,
    items_peak: usize,
    bytes_peak: Bytes,
    waiters_peak: usize,
}

/// How full a queue is, as `Counts` needs it for its peaks and readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) items: usize,
    pub(super) bytes: Bytes,
    pub(super) waiters: usize,
}

impl Counts {
    pub(super) fn refused(&mut self, reason: &Refused) {
        match reason {
            Refused::TooLarge { .. } => {
                self.refused_too_large += 1;
                self.at_bytes += 1;
            }
            Refused::Full(shortage) => {
                self.refused_full += 1;
                self.met(shortage.items >= shortage.items_max);
            }
            Refused::TimedOut { shortage, .. } => {
                self.timed_out += 1;
                self.met(shortage.items >= shortage.items_max);
            }
            Refused::Budget(_) => self.refused_budget += 1,
            Refused::TooManyWaiters { .. } => self.refused_waiters += 1,
            Refused::HeavierThanPermit { .. } => self.refused_heavy += 1,
            Refused::Closed | Refused::NoReceiver | Refused::Stopped => self.refused_ended += 1,
        }
    }

    /// An item was not taken in, or went, because a limit was met: that in items, or else that in bytes.
    pub(super) fn met(&mut self, in_items: bool) {
        if in_items {
            self.at_items += 1;
        } else {
            self.at_bytes += 1;
        }
    }

    pub(super) fn receiver_refused(&mut self) {
        self.receivers_refused += 1;
    }

    pub(super) fn peaks(&mut self, fill: Fill) {
        self.items_peak = self.items_peak.max(fill.items);
        self.bytes_peak = self.bytes_peak.max(fill.bytes);
        self.waiters_peak = self.waiters_peak.max(fill.waiters);
    }

    /// `<name>.items`, `<name>.bytes` and `<name>.waiters`.
    pub(super) fn readings(
        &self,
        name: &str,
        limits: &super::QueueLimits,
        fill: Fill,
        out: &mut Vec<Reading>,
    ) {
        let counter = |name, value| Counter { name, value };
        out.push(Reading {
            name: format!("{name}.items"),
            unit: Unit::Items,
            limit: limits.items_max as u64,
            used: fill.items as u64,
            peak: self.items_peak as u64,
            rejected: self.at_items,
            counters: vec![
                counter("sent", self.sent),
                counter("received", self.received),
                counter("refused_full", self.refused_full),
                counter("refused_budget", self.refused_budget),
                counter("refused_too_large", self.refused_too_large),
                counter("refused_heavy", self.refused_heavy),
                counter("refused_ended", self.refused_ended),
                counter("timed_out", self.timed_out),
                counter("cancelled", self.cancelled),
                counter("dropped_newest", self.dropped_newest),
                counter("dropped_oldest", self.dropped_oldest),
                counter("replaced", self.replaced),
                counter("dropped_stopped", self.dropped_stopped),
                counter("dropped_abandoned", self.dropped_abandoned),
            ],
        });
        out.push(Reading {
            name: format!("{name}.bytes"),
            unit: Unit::Bytes,
            limit: limits.bytes_max.as_u64(),
            used: fill.bytes.as_u64(),
            peak: self.bytes_peak.as_u64(),
            rejected: self.at_bytes,
            counters: Vec::new(),
        });
        out.push(Reading {
            name: format!("{name}.waiters"),
            unit: Unit::Items,
            limit: limits.waiters_max as u64,
            used: fill.waiters as u64,
            peak: self.waiters_peak as u64,
            rejected: self.refused_waiters + self.receivers_refused,
            counters: Vec::new(),
        });
    }
}
