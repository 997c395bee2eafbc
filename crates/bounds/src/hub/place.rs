//! One subscriber's place in a topic: its cursor, and what the topic's policy does to it.
//!
//! Pure but for the handles it keeps (waker, meter): those are only stored here, and run or dropped by the
//! topic outside its lock.
//!
//! ```text
//!            cursor          replayed_to        ceiling                head
//!  ── taken ───┼── its replay ────┼── its queue ───┼── not for it ───────┤
//! ```
//! `replayed_to` is where the head was when it came: what it had missed before then is not held against it
//! by the policies that drop. `ceiling` is set while [`Policy::DropNewest`] keeps newer events from it.

use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use plimsoll_core::Tick;

use super::event_id::EventId;
use super::frame::{self, GapReason};
use super::meter::{EvictReason, Meter};
use super::policy::{Lag, LagLevel, Policy, QueueLimits};
use super::ring::Ring;
use super::stall::{Progress, Stall};
use super::subscription::Batch;
use super::tally::Tally;

/// Events in one batch at most, each one reference (32 bytes) in the batch's list.
pub const BATCH_EVENTS_MAX: usize = 1024;

/// What an evicted subscriber is told, kept by the subscription and not by the hub.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) reason: EvictReason,
    pub(super) lag: Lag,
    pub(super) limits: QueueLimits,
    pub(super) resume_after: EventId,
}

impl Farewell {
    pub(super) fn frame(&self) -> Bytes {
        frame::evicted(self.reason.name(), self.lag, &self.limits, self.resume_after)
    }
}

/// Where the hub leaves a farewell and the subscription finds it.
pub(super) type Letterbox = Arc<OnceLock<Farewell>>;

/// Where a subscriber begins.
pub(super) struct Start {
    pub(super) cursor: u64,
    pub(super) reset: Option<Bytes>,
}

pub(super) struct Place {
    cursor: u64,
    // Position behind the event that `cursor` names.
    position: u64,
    replayed_to: u64,
    replayed_position: u64,
    ceiling: Option<u64>,
    // Control frames that come before the next event; at most one of each.
    reset: Option<Bytes>,
    gap: Option<Gap>,
    level: LagLevel,
    // Since when it has been over its limit; only under `Policy::Evict`.
    over_since: Option<Tick>,
    stall: Option<Stall>,
    pub(super) waker: Option<Waker>,
    pub(super) meter: Option<Meter>,
    pub(super) letterbox: Letterbox,
}

#[derive(Clone, Copy)]
struct Gap {
    first: u64,
    last: u64,
    reason: GapReason,
}

/// What a change did to a subscriber's standing under [`Policy::Evict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    AsBefore,
    WentOver,
    CameBack,
}

/// What the ring's trimming did to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overtaken {
    /// It was ahead of it.
    No,
    /// Its policy lets it go on, with a gap.
    Skipped,
    /// Its policy sends it away.
    Evict,
}

impl Place {
    pub(super) fn new(start: Start, ring: &Ring, meter: Option<Meter>, letterbox: Letterbox) -> Place {
        Place {
            cursor: start.cursor,
            position: ring.position(start.cursor),
            replayed_to: ring.head(),
            replayed_position: ring.position(ring.head()),
            ceiling: None,
            reset: start.reset,
            gap: None,
            level: LagLevel::Ok,
            over_since: None,
            stall: None,
            waker: None,
            meter,
            letterbox,
        }
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn lag(&self, ring: &Ring) -> Lag {
        ring.lag(self.cursor, self.position)
    }

    pub(super) fn level(&self) -> LagLevel {
        self.level
    }

    pub(super) fn is_over(&self) -> bool {
        self.over_since.is_some()
    }

    pub(super) fn over_for(&self, now: Tick) -> Option<Duration> {
        self.over_since.map(|since| now.since(since))
    }

    /// The newest event was just appended: applies the policy.
    pub(super) fn published(
        &mut self,
        ring: &Ring,
        limits: &QueueLimits,
        now: Tick,
        tally: &Tally,
    ) -> Standing {
        let head = ring.head();
        if self.ceiling.is_some() {
            tally.dropped_newest.add(1);
        } else if limits.is_over(self.queued(ring)) {
            match limits.policy {
                // Judged by time, in looks: see `judge`.
                Policy::Evict => {}
                Policy::DropOldest => {
                    let most = Lag { events: limits.events_max, bytes: limits.bytes_max.as_u64() };
                    let missed = self.skip(ring.cursor_within(most), GapReason::DropOldest, ring);
                    tally.dropped_oldest.add(missed);
                }
                Policy::DropNewest => {
                    self.ceiling = Some(head - 1);
                    tally.dropped_newest.add(1);
                }
                Policy::KeepLatest => {
                    let missed = self.skip(head - 1, GapReason::KeepLatest, ring);
                    tally.conflated.add(missed);
                }
            }
        }
        self.weigh(ring, limits, now, tally)
    }

    /// What is held against it by the policies that drop: what came since it did.
    fn queued(&self, ring: &Ring) -> Lag {
        let cursor = self.cursor.max(self.replayed_to);
        ring.lag(cursor, self.position.max(self.replayed_position))
    }

    /// The ring let its oldest events go.
    pub(super) fn trimmed(&mut self, ring: &Ring, limits: &QueueLimits, tally: &Tally) -> Overtaken {
        let oldest = ring.trimmed();
        // What lies above its ceiling was lost to it, and counted, before.
        let to = self.ceiling.map_or(oldest, |ceiling| oldest.min(ceiling));
        if self.cursor >= to {
            return Overtaken::No;
        }
        if limits.policy == Policy::Evict {
            return Overtaken::Evict;
        }
        let missed = self.skip(to, GapReason::History, ring);
        tally.dropped_history.add(missed);
        Overtaken::Skipped
    }

    /// Moves the cursor past what this subscriber will not get; says how much that was. Skips that follow
    /// one another before it looks make one gap, named by the last reason.
    fn skip(&mut self, to: u64, reason: GapReason, ring: &Ring) -> u64 {
        let missed = to.saturating_sub(self.cursor);
        if missed > 0 {
            let first = self.gap.map_or(self.cursor + 1, |gap| gap.first);
            self.gap = Some(Gap { first, last: to, reason });
            self.cursor = to;
            self.position = ring.position(to);
        }
        missed
    }

    /// Whether a look would find something to take.
    fn has_something(&self, ring: &Ring) -> bool {
        self.reset.is_some() || self.gap.is_some() || self.cursor < ring.head()
    }

    /// Everything that waits for this subscriber, up to `bytes_max` bytes of events but at least one.
    pub(super) fn take(&mut self, ring: &Ring, epoch: u64, bytes_max: usize, tally: &Tally) -> Option<Batch> {
        if !self.has_something(ring) {
            return None;
        }
        let lag = usize::try_from(self.lag(ring).events).unwrap_or(usize::MAX);
        let mut frames = Vec::with_capacity(lag.min(64) + 2);
        frames.extend(self.reset.take());
        let write_gap = |frames: &mut Vec<Bytes>, gap: Option<Gap>| {
            if let Some(Gap { first, last, reason }) = gap {
                frames.push(frame::gap(reason, epoch, first, last));
                tally.gaps.add(1);
            }
        };
        write_gap(&mut frames, self.gap.take());
        if self.ceiling == Some(self.cursor) {
            // It has drained what it had, and comes for more: this is where the loss ends.
            self.ceiling = None;
            self.skip(ring.head(), GapReason::DropNewest, ring);
            write_gap(&mut frames, self.gap.take());
        }
        let mut bytes: usize = frames.iter().map(Bytes::len).sum();
        let (mut events, mut event_bytes) = (0, 0);
        let ahead = self.ceiling.unwrap_or(ring.head()) - self.cursor;
        for frame in ring.after(self.cursor).take(usize::try_from(ahead).unwrap_or(usize::MAX)) {
            if events > 0 && (bytes + frame.len() > bytes_max || events == BATCH_EVENTS_MAX) {
                break;
            }
            frames.push(frame.clone());
            events += 1;
            bytes += frame.len();
            event_bytes += frame.len() as u64;
        }
        self.cursor += events as u64;
        self.position += event_bytes;
        tally.delivered.add(events as u64);
        tally.delivered_bytes.add(event_bytes);
        Some(Batch::of(frames))
    }

    /// Looks where it stands now. To be called after every change.
    pub(super) fn weigh(&mut self, ring: &Ring, limits: &QueueLimits, now: Tick, tally: &Tally) -> Standing {
        let lag = self.lag(ring);
        let level = limits.level(lag);
        tally.moved(self.level, level);
        self.level = level;
        let over = limits.policy == Policy::Evict && limits.is_over(lag);
        match (over, self.over_since) {
            (true, None) => {
                self.over_since = Some(now);
                Standing::WentOver
            }
            (false, Some(_)) => {
                self.over_since = None;
                self.stall = None;
                Standing::CameBack
            }
            _ => Standing::AsBefore,
        }
    }

    /// Leaves the counts by level.
    pub(super) fn leave(&mut self, tally: &Tally) {
        tally.moved(self.level, LagLevel::Ok);
        self.level = LagLevel::Ok;
    }

    /// Whether time counts against it: it is over its limit and its transport, if it has one, is blocked.
    /// A reader whose transport is not blocked waits for us, not we for it.
    pub(super) fn is_on_the_clock(&self) -> bool {
        self.is_over() && self.meter.as_ref().is_none_or(Meter::is_blocked)
    }

    /// One look of the judge; says whether it is to go.
    pub(super) fn judge(&mut self, acknowledged: u64, now: Tick, evict_after: Duration) -> bool {
        if !self.is_on_the_clock() {
            self.stall = None;
            return false;
        }
        let moved = self.meter.as_ref().map(Meter::moved);
        let progress = Progress { cursor: self.cursor, moved, acknowledged };
        match &mut self.stall {
            Some(stall) => stall.look(progress, now, evict_after),
            None => {
                self.stall = Some(Stall::begin(progress, now));
                false
            }
        }
    }
}
