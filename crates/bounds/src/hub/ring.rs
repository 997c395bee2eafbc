//! The history of one topic: frames in the order of their offsets, trimmed from the old end.
//!
//! Pure: who may be overtaken by trimming, and where the bytes are charged, is decided outside.
//!
//! ```text
//! offsets      1 … trimmed │ trimmed+1 … head │
//!              let go      │ held             │ to come
//! cursor c = the last offset that a reader has taken; ahead of it lie c+1 ..= head.
//! ```
//!
//! A *position* is a number of frame bytes since the topic began, so that a lag in bytes is one
//! subtraction.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::ID_LINE_BYTES_MAX;
use super::policy::Lag;

/// What an event costs beside its frame: its slot (and the free slots that the ring may keep for it), the
/// frame's shared counter, the room for the longest id, and the allocator's rounding.
pub const EVENT_OVERHEAD_BYTES: u64 = 208;

/// The deque keeps at most this many slots for each event; then it gives memory back.
const SLOTS_PER_EVENT_MAX: usize = 3;
/// Slots that are kept in any case.
const SLOTS_KEPT: usize = 16;
/// What they cost; part of what a topic costs by itself.
pub(super) const SLOTS_KEPT_BYTES: usize = SLOTS_KEPT * size_of::<Slot>();

const _: () = assert!(
    SLOTS_PER_EVENT_MAX * size_of::<Slot>() + 3 * size_of::<usize>() + ID_LINE_BYTES_MAX + 2 * 8
        <= EVENT_OVERHEAD_BYTES as usize
);

#[derive(Debug)]
struct Slot {
    frame: Bytes,
    // Position of the frame's first byte.
    start: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    // Bounded in `cost` by whoever appends; `events[i]` has the offset `trimmed + 1 + i`.
    events: VecDeque<Slot>,
    trimmed: u64,
    // Position behind the newest frame.
    end: u64,
    cost: u64,
}

/// What an event with a frame of this length is charged.
pub(super) fn event_cost(frame_bytes: usize) -> u64 {
    frame_bytes as u64 + EVENT_OVERHEAD_BYTES
}

impl Ring {
    /// The offset of the newest event ever appended; 0 before the first.
    pub(super) fn head(&self) -> u64 {
        self.trimmed + self.events.len() as u64
    }

    /// The offset of the newest event that was let go; as a cursor, the one that has all that is held ahead.
    pub(super) fn trimmed(&self) -> u64 {
        self.trimmed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Oldest and newest offset held.
    pub(super) fn held(&self) -> Option<(u64, u64)> {
        (!self.is_empty()).then(|| (self.trimmed + 1, self.head()))
    }

    /// What the events held are charged, in bytes.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    pub(super) fn append(&mut self, frame: Bytes) {
        self.cost += event_cost(frame.len());
        let start = self.end;
        self.end += frame.len() as u64;
        self.events.push_back(Slot { frame, start });
    }

    /// Lets the oldest event go; says whether there was one.
    pub(super) fn trim(&mut self) -> bool {
        let Some(slot) = self.events.pop_front() else {
            return false;
        };
        self.trimmed += 1;
        self.cost -= event_cost(slot.frame.len());
        let len = self.events.len();
        if self.events.capacity() > SLOTS_KEPT && len * SLOTS_PER_EVENT_MAX < self.events.capacity() {
            self.events.shrink_to((len * 2).max(SLOTS_KEPT));
        }
        true
    }

    /// The position behind the event that `cursor` names; of the oldest one held when that was let go.
    pub(super) fn position(&self, cursor: u64) -> u64 {
        let ahead = usize::try_from(cursor.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        self.events.get(ahead).map_or(self.end, |slot| slot.start)
    }

    /// How far a cursor at `position` is behind.
    pub(super) fn lag(&self, cursor: u64, position: u64) -> Lag {
        Lag { events: self.head().saturating_sub(cursor), bytes: self.end.saturating_sub(position) }
    }

    /// The frames after `cursor`, in order. Begins with the oldest held when `cursor` was let go.
    pub(super) fn after(&self, cursor: u64) -> impl Iterator<Item = &Bytes> {
        let ahead = usize::try_from(cursor.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        self.events.range(ahead.min(self.events.len())..).map(|slot| &slot.frame)
    }

    /// The smallest cursor that has no more than `lag` ahead of it, but always the newest event.
    pub(super) fn cursor_within(&self, lag: Lag) -> u64 {
        let by_events = self.head().saturating_sub(lag.events);
        let far = |slot: &Slot| self.end - slot.start > lag.bytes;
        let by_bytes = self.trimmed + self.events.partition_point(far) as u64;
        let newest = self.head().saturating_sub(1);
        by_events.max(by_bytes).clamp(self.trimmed, newest.max(self.trimmed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(lengths: &[usize]) -> Ring {
        let mut ring = Ring::default();
        for length in lengths {
            ring.append(vec![b'x'; *length].into());
        }
        ring
    }

    #[test]
    fn an_empty_ring_has_nothing_ahead_and_nothing_to_trim() {
        let mut ring = ring(&[]);
        assert_eq!((ring.head(), ring.trimmed(), ring.cost(), ring.held()), (0, 0, 0, None));
        assert!(!ring.trim());
        assert_eq!(ring.after(0).count(), 0);
        assert_eq!(ring.cursor_within(Lag { events: 1, bytes: 1 }), 0);
    }

    #[test]
    fn offsets_go_on_over_trimming_and_lags_add_up() {
        let mut ring = ring(&[10, 20, 30]);
        assert_eq!(ring.held(), Some((1, 3)));
        assert_eq!(ring.lag(0, 0), Lag { events: 3, bytes: 60 });
        assert_eq!(ring.lag(2, ring.position(2)), Lag { events: 1, bytes: 30 });
        assert!(ring.trim());
        assert_eq!((ring.held(), ring.trimmed()), (Some((2, 3)), 1));
        // A cursor that was overtaken still knows how far it was behind.
        assert_eq!(ring.lag(0, 0), Lag { events: 3, bytes: 60 });
        let ahead = |cursor| ring.after(cursor).map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(ahead(0), [20, 30]);
        assert_eq!(ahead(2), [30]);
        assert_eq!(ahead(3), [0; 0]);
        assert_eq!(ahead(9), [0; 0]);
        assert_eq!(ring.cost(), 50 + 2 * EVENT_OVERHEAD_BYTES);
    }

    #[test]
    fn the_cursor_within_a_lag_keeps_the_newest() {
        let ring = ring(&[10, 20, 30]);
        for (events, bytes, cursor) in
            [(9, 999, 0), (2, 999, 1), (9, 50, 1), (9, 49, 2), (9, 30, 2), (9, 1, 2), (0, 0, 2)]
        {
            assert_eq!(ring.cursor_within(Lag { events, bytes }), cursor, "{events}, {bytes}");
        }
    }

    #[test]
    fn slots_are_given_back() {
        let mut ring = ring(&[1; 10_000]);
        assert!(ring.events.capacity() >= 10_000);
        while ring.events.len() > 10 {
            ring.trim();
            let kept = (ring.events.len() + 1) * SLOTS_PER_EVENT_MAX;
            assert!(ring.events.capacity() <= kept.max(SLOTS_KEPT), "{}", ring.events.capacity());
        }
    }
}
