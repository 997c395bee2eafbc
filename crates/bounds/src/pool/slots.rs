//! The table of slots: who holds what since when, found by number, by age and by line of source.
//!
//! An exhausted pool is asked for its numbers most often when it can least afford to walk over tens of
//! thousands of leases for each refusal. So the leases of each line of source are kept as a list, oldest
//! first: what a line holds, who is oldest, and which leases are past their time are read off its head.
//! Lines are few, leases are many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Bytes, Site, Tick};

use super::cell::{Cell, GENERATION_MAX, Generation};
use super::error::SiteUse;
use super::track::Record;
use crate::wait::Ticket;

/// The most slots a table may have: a lease's id has 24 bits for its slot.
pub(super) const SLOTS_MAX: usize = 1 << 24;

pub(super) struct Slots {
    // Slots are used again and never removed: at most as many as leases ever lived at once.
    slots: Vec<Slot>,
    free: Vec<usize>,
    // Entries leave with the last lease of their line: at most one for each live lease.
    sites: BTreeMap<Site, Held>,
    slots_max: usize,
}

pub(super) struct Slot {
    // Of the present lease, or of the last one. Goes up when a lease is placed.
    pub(super) generation: Generation,
    pub(super) cell: Arc<Cell>,
    pub(super) state: State,
    // Neighbours among the leases of the same line, while there is a lease.
    older: Option<Index>,
    younger: Option<Index>,
}

pub(super) enum State {
    Free,
    /// Handed to somebody in the line who has not come for it yet.
    Granted(Record, Ticket),
    Live(Record),
    /// Revoked while an access was under way; its end brings the buffer back.
    Closing(Record),
}

/// A slot's number in less room.
type Index = u32;

/// What one line of source holds.
struct Held {
    leases: u64,
    bytes: Bytes,
    oldest: Index,
    youngest: Index,
}

// The gate is one more allocation, with two counts before it.
const _: () = assert!(size_of::<Slot>() + size_of::<Cell>() + 2 * size_of::<usize>() <= 208 || cfg!(loom));

impl Slot {
    /// When its lease was taken; the start of time when there is none.
    pub(super) fn taken(&self) -> Tick {
        self.state.record().map_or(Tick::START, |record| record.taken)
    }
}

impl State {
    fn record(&self) -> Option<&Record> {
        match self {
            State::Free => None,
            State::Granted(record, _) | State::Live(record) | State::Closing(record) => Some(record),
        }
    }

    fn into_record(self) -> Option<Record> {
        match self {
            State::Free => None,
            State::Granted(record, _) | State::Live(record) | State::Closing(record) => Some(record),
        }
    }
}

impl Slots {
    pub(super) fn new(slots_max: usize) -> Slots {
        let slots_max = slots_max.min(SLOTS_MAX);
        Slots { slots: Vec::new(), free: Vec::new(), sites: BTreeMap::new(), slots_max }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= self.slots_max
    }

    /// A free slot with its gate open for the next generation. To be occupied or vacated in the same step.
    ///
    /// For a table that is not full.
    pub(super) fn take(&mut self) -> (usize, &Slot) {
        let slot = self.free.pop().unwrap_or_else(|| {
            let (cell, state) = (Arc::new(Cell::new()), State::Free);
            self.slots.push(Slot { generation: 0, cell, state, older: None, younger: None });
            self.slots.len() - 1
        });
        let entry = &mut self.slots[slot];
        entry.generation += 1;
        entry.cell.open(entry.generation);
        (slot, entry)
    }

    /// Puts a lease into a slot that was taken. It counts as the youngest of its line.
    pub(super) fn occupy(&mut self, slot: usize, state: State) {
        self.slots[slot].state = state;
        self.link(slot);
    }

    /// Empties a slot; returns what was in it.
    pub(super) fn vacate(&mut self, slot: usize) -> Option<Record> {
        self.unlink(slot);
        let entry = &mut self.slots[slot];
        let record = std::mem::replace(&mut entry.state, State::Free).into_record()?;
        if entry.generation < GENERATION_MAX {
            self.free.push(slot);
        }
        Some(record)
    }

    /// What was granted was come for: it lives from now on.
    pub(super) fn collected(&mut self, slot: usize, now: Tick) {
        self.unlink(slot);
        let state = &mut self.slots[slot].state;
        if let Some(record) = std::mem::replace(state, State::Free).into_record() {
            *state = State::Live(Record { taken: now, ..record });
        }
        self.link(slot);
    }

    /// A live lease was revoked while an access was under way.
    pub(super) fn closing(&mut self, slot: usize) {
        let state = &mut self.slots[slot].state;
        if let Some(record) = std::mem::replace(state, State::Free).into_record() {
            *state = State::Closing(record);
        }
    }

    pub(super) fn get(&self, slot: usize) -> &Slot {
        &self.slots[slot]
    }

    /// For changing what is in a slot; its record's `site`, `capacity` and `taken` must stay as they are.
    pub(super) fn get_mut(&mut self, slot: usize) -> &mut Slot {
        &mut self.slots[slot]
    }

    /// When the oldest lease was taken.
    pub(super) fn oldest(&self) -> Option<Tick> {
        self.sites.values().map(|held| self.taken(held.oldest)).min()
    }

    /// Who holds most, at most `most` lines, largest first.
    pub(super) fn top_sites(&self, now: Tick, most: usize) -> Vec<SiteUse> {
        let mut sites: Vec<SiteUse> = self
            .sites
            .iter()
            .map(|(site, held)| {
                let oldest = now.since(self.taken(held.oldest));
                SiteUse { site: *site, leases: held.leases, bytes: held.bytes, oldest }
            })
            .collect();
        sites.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.site.cmp(&b.site)));
        sites.truncate(most);
        sites
    }

    /// The slots of all leases that are `age` old or older.
    pub(super) fn older_than(&self, now: Tick, age: Duration) -> Vec<usize> {
        let mut old = Vec::new();
        for held in self.sites.values() {
            let mut next = Some(held.oldest);
            while let Some(slot) = next.filter(|slot| now.since(self.taken(*slot)) >= age) {
                old.push(slot as usize);
                next = self.slots[slot as usize].younger;
            }
        }
        old
    }

    fn taken(&self, slot: Index) -> Tick {
        self.slots[slot as usize].taken()
    }

    fn link(&mut self, slot: usize) {
        let index = slot as Index; // at most SLOTS_MAX
        let Some(record) = self.slots[slot].state.record() else { return };
        let (site, capacity) = (record.site, record.capacity);
        let none = Held { leases: 0, bytes: Bytes::ZERO, oldest: index, youngest: index };
        let held = self.sites.entry(site).or_insert(none);
        held.leases += 1;
        held.bytes += capacity;
        let older = (held.youngest != index).then_some(held.youngest);
        held.youngest = index;
        let entry = &mut self.slots[slot];
        (entry.older, entry.younger) = (older, None);
        if let Some(older) = older {
            self.slots[older as usize].younger = Some(index);
        }
    }

    fn unlink(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        let (older, younger) = (entry.older.take(), entry.younger.take());
        let Some(record) = entry.state.record() else { return };
        let (site, capacity) = (record.site, record.capacity);
        let Some(held) = self.sites.get_mut(&site) else { return };
        held.leases -= 1;
        held.bytes -= capacity;
        if held.leases == 0 {
            self.sites.remove(&site);
            return;
        }
        if let Some(younger) = younger {
            self.slots[younger as usize].older = older;
        } else if let Some(older) = older {
            held.youngest = older;
        }
        if let Some(older) = older {
            self.slots[older as usize].younger = younger;
        } else if let Some(younger) = younger {
            held.oldest = younger;
        }
    }
}
