//! What comes in: room that is promised, by each policy, and the items that fill it.

use plimsoll_core::{Bytes, Tick};

use super::{Entry, Mode, Outbox, Room, State};
use crate::budget::Reservation;
use crate::queue::error::{Refused, Shortage};
use crate::queue::limits::QueueLimits;
use crate::queue::send::Sent;
use crate::wait::Ticket;

impl<T> State<T> {
    /// Why an item of this weight is refused whatever happens next.
    pub(super) fn refusal(&self, weight: Bytes) -> Option<Refused> {
        let QueueLimits { items_max, bytes_max, .. } = self.limits;
        match self.mode {
            Mode::Open if items_max == 0 || weight > bytes_max => {
                Some(Refused::TooLarge { asked: weight, bytes_max, items_max })
            }
            Mode::Open => None,
            Mode::Closed => Some(Refused::Closed),
            Mode::Abandoned => Some(Refused::NoReceiver),
            Mode::Stopped => Some(Refused::Stopped),
        }
    }

    pub(super) fn fits(&self, weight: Bytes) -> bool {
        self.items() < self.limits.items_max && weight <= self.left()
    }

    pub(in crate::queue) fn shortage(&self, asked: Bytes, now: Tick) -> Box<Shortage> {
        Box::new(Shortage {
            queue: self.name,
            asked,
            items: self.items(),
            items_max: self.limits.items_max,
            bytes: self.bytes(),
            bytes_max: self.limits.bytes_max,
            in_flight: self.flying,
            waiting: self.entrance.waiting_len() + self.at_account.waiting_len(),
            oldest: self.entries.front().map_or_else(Default::default, |entry| now.since(entry.since)),
        })
    }

    /// Takes `more` on the account, now or not at all.
    fn charge(&mut self, more: Bytes) -> Result<(), Refused> {
        if self.charge.grow_if_room(more) {
            return Ok(());
        }
        self.charge.try_grow(more).map_err(|error| Refused::Budget(Box::new(error)))
    }

    pub(super) fn promise(&mut self, weight: Bytes, charged: bool) -> Room {
        self.promised += 1;
        self.promised_bytes += weight;
        if !charged {
            self.uncharged += weight;
        }
        self.counts.peaks(self.fill());
        Room { weight, charged }
    }

    /// Room now or not at all. Does not pass those who wait for it.
    pub(in crate::queue) fn try_promise(&mut self, weight: Bytes, now: Tick) -> Result<Room, Refused> {
        if let Some(refusal) = self.refusal(weight) {
            return Err(refusal);
        }
        if self.entrance.waiting_len() > 0 || !self.fits(weight) {
            return Err(Refused::Full(self.shortage(weight, now)));
        }
        self.charge(weight)?;
        Ok(self.promise(weight, true))
    }

    /// Room now, or a place in the line. The room may be one that is not charged yet.
    pub(in crate::queue) fn promise_or_join(
        &mut self,
        weight: Bytes,
    ) -> Result<Result<Room, Refused>, Ticket> {
        if let Some(refusal) = self.refusal(weight) {
            return Ok(Err(refusal));
        }
        if self.entrance.waiting_len() == 0 && self.fits(weight) {
            let charged = self.charge.grow_if_room(weight);
            return Ok(Ok(self.promise(weight, charged)));
        }
        match self.entrance.join(weight) {
            Ok(ticket) => {
                self.counts.peaks(self.fill());
                Err(ticket)
            }
            Err(_) => Ok(Err(Refused::TooManyWaiters { waiters_max: self.limits.waiters_max })),
        }
    }

    /// Room now, for which the oldest items are dropped where there is none.
    pub(in crate::queue) fn promise_by_dropping(
        &mut self,
        weight: Bytes,
        now: Tick,
        out: &mut Outbox<T>,
    ) -> Result<(Room, usize), Refused> {
        if let Some(refusal) = self.refusal(weight) {
            return Err(refusal);
        }
        let in_items = self.items() >= self.limits.items_max;
        // First how many would have to go, and only then drop them: none goes for nothing.
        let (mut count, mut freed) = (0, Bytes::ZERO);
        while self.items() - count >= self.limits.items_max || weight > self.left() + freed {
            let Some(next) = self.entries.get(count) else {
                return Err(Refused::Full(self.shortage(weight, now)));
            };
            freed += next.weight;
            count += 1;
        }
        // On the account the new item takes over what the dropped ones held.
        while weight > freed && !self.charge.grow_if_room(weight - freed) {
            let Some(next) = self.entries.get(count) else {
                self.charge(weight - freed)?;
                break;
            };
            freed += next.weight;
            count += 1;
        }
        for _ in 0..count {
            let Some(entry) = self.unlink() else { break };
            self.counts.dropped_oldest += 1;
            self.counts.met(in_items);
            out.dropped.push(entry);
        }
        self.charge.shrink_deferred(freed.saturating_sub(weight), &mut out.wakes);
        let room = self.promise(weight, true);
        Ok((room, count))
    }

    /// The producer has come back from the account with what it was granted there.
    pub(in crate::queue) fn charged(&mut self, room: &mut Room, grant: &mut Reservation) {
        let moved = self.charge.absorb(grant);
        debug_assert_eq!(moved, room.weight, "it was reserved on the queue's own account");
        self.uncharged -= room.weight;
        room.charged = true;
    }

    /// Gives promised room back.
    pub(in crate::queue) fn give_back(&mut self, room: Room, out: &mut Outbox<T>) {
        self.unpromise(room);
        if room.charged {
            self.charge.shrink_deferred(room.weight, &mut out.wakes);
        } else {
            self.uncharged -= room.weight;
        }
        self.serve(out);
    }

    fn unpromise(&mut self, room: Room) {
        self.promised -= 1;
        self.promised_bytes -= room.weight;
    }

    /// Puts an item into room that was promised and charged. The entry comes back when nobody will take it.
    pub(in crate::queue) fn put(
        &mut self,
        room: Room,
        entry: Entry<T>,
        out: &mut Outbox<T>,
    ) -> Result<Sent, (Entry<T>, Refused)> {
        debug_assert!(room.charged && room.weight == entry.weight, "room is charged before it is filled");
        // A promise outlives a close, but not a stop and not the last receiver.
        if let Mode::Abandoned | Mode::Stopped = self.mode {
            let refusal = self.refusal(entry.weight).unwrap_or(Refused::Stopped);
            self.give_back(room, out);
            return Err((entry, refusal));
        }
        self.unpromise(room);
        self.waiting_bytes += entry.weight;
        self.counts.sent += 1;
        let at = entry.key.as_ref().and_then(|key| self.index.get(key)).copied();
        let sent = if let Some(at) = at {
            let before = self.replace(at, entry, out);
            self.charge.shrink_deferred(before, &mut out.wakes);
            Sent::Replaced
        } else {
            if let Some(key) = &entry.key {
                self.index.insert(key.clone(), self.first + self.entries.len() as u64);
            }
            self.entries.push_back(entry);
            Sent::Queued
        };
        self.serve(out);
        Ok(sent)
    }

    /// Puts an item where one with its key waits, if one does. Needs no room but the difference.
    pub(in crate::queue) fn put_latest(
        &mut self,
        entry: Entry<T>,
        now: Tick,
        out: &mut Outbox<T>,
    ) -> Result<Sent, (Entry<T>, Refused)> {
        let weight = entry.weight;
        let Some(at) = entry.key.as_ref().and_then(|key| self.index.get(key)).copied() else {
            return match self.try_promise(weight, now) {
                Ok(room) => self.put(room, entry, out),
                Err(refusal) => Err((entry, refusal)),
            };
        };
        if let Some(refusal) = self.refusal(weight) {
            return Err((entry, refusal));
        }
        let before = self.entry(at).weight;
        if weight > self.left() + before {
            return Err((entry, Refused::Full(self.shortage(weight, now))));
        }
        if weight > before {
            if let Err(refusal) = self.charge(weight - before) {
                return Err((entry, refusal));
            }
        } else {
            self.charge.shrink_deferred(before - weight, &mut out.wakes);
        }
        self.waiting_bytes += weight;
        self.counts.sent += 1;
        self.replace(at, entry, out);
        self.counts.peaks(self.fill());
        self.serve(out);
        Ok(Sent::Replaced)
    }

    fn entry(&mut self, at: u64) -> &mut Entry<T> {
        // The index holds the numbers of waiting entries only.
        &mut self.entries[(at - self.first) as usize]
    }

    /// Exchanges the entry; returns what the former one weighed.
    fn replace(&mut self, at: u64, entry: Entry<T>, out: &mut Outbox<T>) -> Bytes {
        let before = std::mem::replace(self.entry(at), entry);
        let weight = before.weight;
        self.waiting_bytes -= weight;
        self.counts.replaced += 1;
        out.dropped.push(before);
        weight
    }
}
