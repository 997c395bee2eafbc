//! What goes out: items to consumers, and everything at the end.

use std::collections::HashMap;

use plimsoll_core::Bytes;

use super::{Entry, Mode, Outbox, SLOTS_KEPT, State, Taken};
use crate::queue::error::RecvError;
use crate::queue::stop::{DrainReport, StopReport};
use crate::wait::Ticket;

impl<T> State<T> {
    /// What a consumer that stands at the exit gets now; nothing when it has to wait.
    pub(in crate::queue) fn take(&mut self, out: &mut Outbox<T>) -> Option<Taken<T>> {
        if self.mode == Mode::Stopped {
            return Some(Err(RecvError::Stopped));
        }
        if self.entries.len() > self.called {
            return Some(Ok(self.pop(out)));
        }
        self.ended().then_some(Ok(None))
    }

    pub(in crate::queue) fn take_or_join(&mut self, out: &mut Outbox<T>) -> Result<Taken<T>, Ticket> {
        if let Some(taken) = self.take(out) {
            return Ok(taken);
        }
        match self.exit.join(()) {
            Ok(ticket) => {
                self.counts.peaks(self.fill());
                Err(ticket)
            }
            Err(()) => {
                self.counts.receiver_refused();
                Ok(Err(RecvError::TooManyWaiters { waiters_max: self.limits.waiters_max }))
            }
        }
    }

    /// No item waits, and none will come.
    pub(super) fn ended(&self) -> bool {
        let closed = matches!(self.mode, Mode::Closed | Mode::Abandoned);
        closed && self.items() == 0
    }

    fn pop(&mut self, out: &mut Outbox<T>) -> Option<Entry<T>> {
        let entry = self.unlink()?;
        self.flying += 1;
        self.flying_bytes += entry.weight;
        self.counts.received += 1;
        self.serve(out);
        Some(entry)
    }

    /// Takes the first entry out of the deque, and its bytes with it.
    pub(super) fn unlink(&mut self) -> Option<Entry<T>> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        self.waiting_bytes -= entry.weight;
        if let Some(key) = &entry.key {
            self.index.remove(key);
        }
        // At a quarter, so that a queue that swings between empty and full does not allocate each time.
        let slots = self.entries.capacity();
        if slots > SLOTS_KEPT && self.entries.len() < slots / 4 {
            self.entries.shrink_to((slots / 2).max(SLOTS_KEPT));
            self.index.shrink_to(self.index.len() * 2);
        }
        Some(entry)
    }

    /// A delivered item was let go.
    pub(in crate::queue) fn let_go(&mut self, weight: Bytes, out: &mut Outbox<T>) {
        self.flying -= 1;
        self.flying_bytes -= weight;
        self.charge.shrink_deferred(weight, &mut out.wakes);
        self.serve(out);
    }

    pub(in crate::queue) fn close(&mut self, out: &mut Outbox<T>) {
        if self.mode == Mode::Open {
            self.mode = Mode::Closed;
            self.serve(out);
        }
    }

    /// The last receiver has gone: what waits is dropped.
    pub(in crate::queue) fn abandon(&mut self, out: &mut Outbox<T>) {
        if let Mode::Open | Mode::Closed = self.mode {
            self.mode = Mode::Abandoned;
            let (count, _) = self.drop_all(out);
            self.counts.dropped_abandoned += count as u64;
            self.serve(out);
        }
    }

    pub(in crate::queue) fn stop(&mut self, out: &mut Outbox<T>) -> StopReport {
        let first_time = self.mode != Mode::Stopped;
        self.mode = Mode::Stopped;
        let (dropped_items, dropped_bytes) = self.drop_all(out);
        self.counts.dropped_stopped += dropped_items as u64;
        let producers_woken = self.entrance.waiting_len() + self.at_account.waiting_len();
        let consumers_woken = self.exit.waiting_len();
        self.serve(out);
        StopReport {
            first_time,
            dropped_items,
            dropped_bytes,
            producers_woken,
            consumers_woken,
            permits: self.promised,
            in_flight_items: self.flying,
            in_flight_bytes: self.flying_bytes,
        }
    }

    fn drop_all(&mut self, out: &mut Outbox<T>) -> (usize, Bytes) {
        let (count, bytes) = (self.entries.len(), self.waiting_bytes);
        self.first += count as u64;
        out.dropped.extend(std::mem::take(&mut self.entries));
        self.index = HashMap::new();
        self.waiting_bytes = Bytes::ZERO;
        self.charge.shrink_deferred(bytes, &mut out.wakes);
        (count, bytes)
    }

    /// Nothing, or a place among those who wait until everything was taken and let go.
    pub(in crate::queue) fn drain_or_join(&mut self, out: &mut Outbox<T>) -> Option<Ticket> {
        self.close(out);
        if self.idle() { None } else { self.drainers.join(()).ok() }
    }

    pub(super) fn idle(&self) -> bool {
        self.items() == 0 && self.flying == 0
    }

    pub(in crate::queue) fn drain_report(&self) -> DrainReport {
        DrainReport {
            waiting_items: self.entries.len(),
            waiting_bytes: self.waiting_bytes,
            permits: self.promised,
            in_flight_items: self.flying,
            in_flight_bytes: self.flying_bytes,
        }
    }
}
