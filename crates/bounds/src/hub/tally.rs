//! What the hub counts. Every loss is counted by its reason, once, at the moment when it is certain.
//!
//! Plain atomics, changed under the locks of the topics and read under none: a reading is right for each
//! number, and not one moment for all of them.

use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_core::{Counter, Reading, Unit};

use super::limits::HubLimits;
use super::meter::EvictReason;
use super::policy::LagLevel;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, and the highest that it was.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    pub(super) fn add(&self, more: u64) {
        let now = self.now.fetch_add(more, Ordering::Relaxed) + more;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    /// Adds one unless there are `most` already.
    pub(super) fn try_add_one(&self, most: u64) -> bool {
        let grown = self
            .now
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1));
        if let Ok(before) = grown {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
        }
        grown.is_ok()
    }

    pub(super) fn sub(&self, less: u64) {
        let before = self.now.fetch_sub(less, Ordering::Relaxed);
        debug_assert!(before >= less, "{less} taken from {before}");
    }

    pub(super) fn get(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Bytes reserved by all topics.
    pub(super) held_bytes: Gauge,
    pub(super) topics: Gauge,
    pub(super) subscribers: Gauge,
    warning: Gauge,
    critical: Gauge,

    pub(super) published: Count,
    pub(super) published_bytes: Count,
    pub(super) delivered: Count,
    pub(super) delivered_bytes: Count,
    pub(super) trimmed: Count,
    pub(super) too_large: Count,
    pub(super) no_room: Count,

    pub(super) topics_created: Count,
    pub(super) topics_expired: Count,
    pub(super) topics_refused: Count,

    pub(super) subscribers_refused: Count,
    evicted_stalled: Count,
    evicted_overrun: Count,
    evicted_closing: Count,
    pub(super) resets: Count,
    pub(super) gaps: Count,
    pub(super) dropped_oldest: Count,
    pub(super) dropped_newest: Count,
    pub(super) conflated: Count,
    pub(super) dropped_history: Count,
    entered_warning: Count,
    entered_critical: Count,

    pub(super) paced: Count,
    pub(super) paced_us: Count,
}

impl Tally {
    /// A subscriber's level changed.
    pub(super) fn moved(&self, from: LagLevel, to: LagLevel) {
        if from == to {
            return;
        }
        match from {
            LagLevel::Ok => {}
            LagLevel::Warning => self.warning.sub(1),
            LagLevel::Critical => self.critical.sub(1),
        }
        match to {
            LagLevel::Ok => {}
            LagLevel::Warning => self.warning.add(1),
            LagLevel::Critical => self.critical.add(1),
        }
        // Only the way up is news; who comes down from critical does not enter warning anew.
        match to {
            LagLevel::Warning if from < to => self.entered_warning.add(1),
            LagLevel::Critical => self.entered_critical.add(1),
            LagLevel::Ok | LagLevel::Warning => {}
        }
    }

    pub(super) fn evicted(&self, reason: EvictReason) {
        match reason {
            EvictReason::Stalled => self.evicted_stalled.add(1),
            EvictReason::Overrun => self.evicted_overrun.add(1),
            EvictReason::Closing => self.evicted_closing.add(1),
        }
    }

    pub(super) fn readings(&self, limits: &HubLimits, out: &mut Vec<Reading>) {
        let counters = |named: &[(&'static str, &Count)]| {
            named.iter().map(|(name, count)| Counter { name, value: count.get() }).collect()
        };
        let reading = |name: &str, unit, limit, gauge: &Gauge, rejected, counters| Reading {
            name: name.to_owned(),
            unit,
            limit,
            used: gauge.get(),
            peak: gauge.peak(),
            rejected,
            counters,
        };
        let subscribers_max = limits.subscribers_max as u64;
        out.push(reading(
            "hub.bytes",
            Unit::Bytes,
            limits.limit.as_u64(),
            &self.held_bytes,
            self.too_large.get() + self.no_room.get(),
            counters(&[
                ("events_published", &self.published),
                ("events_published_bytes", &self.published_bytes),
                ("events_delivered", &self.delivered),
                ("events_delivered_bytes", &self.delivered_bytes),
                ("events_trimmed", &self.trimmed),
                ("events_too_large", &self.too_large),
                ("no_room", &self.no_room),
                ("paced_waits", &self.paced),
                ("paced_us", &self.paced_us),
            ]),
        ));
        out.push(reading(
            "hub.topics",
            Unit::Items,
            limits.topics_max as u64,
            &self.topics,
            self.topics_refused.get(),
            counters(&[("created", &self.topics_created), ("expired", &self.topics_expired)]),
        ));
        out.push(reading(
            "hub.subscribers",
            Unit::Items,
            subscribers_max,
            &self.subscribers,
            self.subscribers_refused.get() + self.evicted_stalled.get() + self.evicted_overrun.get(),
            counters(&[
                ("refused", &self.subscribers_refused),
                ("evicted_stalled", &self.evicted_stalled),
                ("evicted_overrun", &self.evicted_overrun),
                ("evicted_closing", &self.evicted_closing),
                ("resets", &self.resets),
                ("gaps", &self.gaps),
                ("dropped_oldest", &self.dropped_oldest),
                ("dropped_newest", &self.dropped_newest),
                ("conflated", &self.conflated),
                ("dropped_history", &self.dropped_history),
                ("lag_warning", &self.entered_warning),
                ("lag_critical", &self.entered_critical),
            ]),
        ));
        // How many are at each level now; the counters above say how often the levels were entered.
        for (name, gauge) in
            [("hub.subscribers.warning", &self.warning), ("hub.subscribers.critical", &self.critical)]
        {
            out.push(reading(name, Unit::Items, subscribers_max, gauge, 0, Vec::new()));
        }
    }
}
