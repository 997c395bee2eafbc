//! Those who wait, and the one look at all of them that follows every change.

use std::task::{Poll, Waker};

use plimsoll_core::Bytes;

use super::{Call, Mode, Outbox, Room, State, Taken};
use crate::queue::error::Refused;
use crate::wait::{Left, Line, Ticket, Wakes};

impl<T> State<T> {
    /// Looks at all lines again after something changed.
    pub(super) fn serve(&mut self, out: &mut Outbox<T>) {
        let wakes = &mut out.wakes;
        while let Some((ticket, &weight)) = self.entrance.first() {
            let grant = match self.refusal(weight) {
                Some(refusal) => Err(refusal),
                // Strictly first come: a light item behind a heavy one waits with it.
                None if !self.fits(weight) => break,
                None => {
                    let charged = self.charge.grow_if_room(weight);
                    Ok(self.promise(weight, charged))
                }
            };
            self.entrance.grant(ticket, grant, wakes);
        }
        if self.mode != Mode::Open {
            call_all(&mut self.at_account, (), wakes);
        }
        if self.mode == Mode::Stopped || self.ended() {
            call_all(&mut self.exit, Call::End, wakes);
        }
        while self.entries.len() > self.called
            && let Some((ticket, ())) = self.exit.first()
        {
            self.exit.grant(ticket, Call::Item, wakes);
            self.called += 1;
        }
        if self.idle() {
            call_all(&mut self.drainers, (), wakes);
        }
        self.check();
    }

    pub(in crate::queue) fn poll_entrance(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
    ) -> Poll<Result<Room, Refused>> {
        self.entrance.poll(ticket, waker)
    }

    pub(in crate::queue) fn leave_entrance(&mut self, ticket: Ticket, out: &mut Outbox<T>) {
        match self.entrance.leave(ticket) {
            Left::Granted(Ok(room)) => self.give_back(room, out),
            // A heavy item at the head may have held back those behind it.
            Left::Waiting(_) => self.serve(out),
            Left::Granted(Err(_)) | Left::Nothing => {}
        }
    }

    /// A place among the producers at the account; nothing when the queue has ended or too many stand there.
    pub(in crate::queue) fn join_at_account(&mut self, weight: Bytes) -> Result<Ticket, Refused> {
        if let Some(refusal) = self.refusal(weight) {
            return Err(refusal);
        }
        let ticket = self.at_account.join(());
        self.counts.peaks(self.fill());
        ticket.map_err(|()| Refused::TooManyWaiters { waiters_max: self.limits.waiters_max })
    }

    /// Why the producers at the account were called.
    pub(in crate::queue) fn end_reason(&self, weight: Bytes) -> Refused {
        self.refusal(weight).unwrap_or(Refused::Closed)
    }

    pub(in crate::queue) fn poll_at_account(&mut self, ticket: Ticket, waker: &Waker) -> Poll<()> {
        self.at_account.poll(ticket, waker)
    }

    pub(in crate::queue) fn leave_at_account(&mut self, ticket: Ticket) {
        self.at_account.leave(ticket);
    }

    pub(in crate::queue) fn poll_exit(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
        out: &mut Outbox<T>,
    ) -> Poll<Taken<T>> {
        let Poll::Ready(call) = self.exit.poll(ticket, waker) else { return Poll::Pending };
        if let Call::Item = call {
            self.called -= 1;
        }
        match self.take(out) {
            Some(taken) => Poll::Ready(taken),
            // The item it was called for was dropped as the oldest before it came.
            None => {
                self.exit.retake(ticket, (), waker);
                Poll::Pending
            }
        }
    }

    pub(in crate::queue) fn leave_exit(&mut self, ticket: Ticket, out: &mut Outbox<T>) {
        if let Left::Granted(Call::Item) = self.exit.leave(ticket) {
            self.called -= 1;
            self.serve(out);
        }
    }

    pub(in crate::queue) fn poll_drainers(&mut self, ticket: Ticket, waker: &Waker) -> Poll<()> {
        self.drainers.poll(ticket, waker)
    }

    pub(in crate::queue) fn leave_drainers(&mut self, ticket: Ticket) {
        self.drainers.leave(ticket);
    }
}

fn call_all<R, G: Copy>(line: &mut Line<R, G>, call: G, wakes: &mut Wakes) {
    while let Some((ticket, _)) = line.first() {
        line.grant(ticket, call, wakes);
    }
}
