//! A place in a line as a future. Dropping it gives the place back, and a grant with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Ticket;
use super::relay::Relay;

/// The owner of a line: it can be asked for a ticket's grant, and told that the ticket is given up.
pub(crate) trait Desk {
    type Grant;

    /// Collects the grant of `ticket`, or remembers `waker`. [`Waiting`] hands in a waker of its own, which
    /// may be cloned and dropped under a lock; it is woken with none held.
    fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<Self::Grant>;

    /// Gives up `ticket`: an uncollected grant is taken back, and the next in line is looked at.
    fn leave(&self, ticket: Ticket);
}

/// Waits for a ticket's grant. Cancel-safe: dropping it loses the place in line and nothing else.
pub(crate) struct Waiting<'desk, D: Desk> {
    desk: &'desk D,
    ticket: Option<Ticket>,
    relay: Arc<Relay>,
    // The relay as the waker that the desk is shown.
    waker: Waker,
}

impl<'desk, D: Desk> Waiting<'desk, D> {
    pub(crate) fn new(desk: &'desk D, ticket: Ticket) -> Waiting<'desk, D> {
        let relay = Arc::new(Relay::default());
        let waker = Waker::from(relay.clone());
        Waiting { desk, ticket: Some(ticket), relay, waker }
    }
}

impl<D: Desk> Future for Waiting<'_, D> {
    type Output = D::Grant;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<D::Grant> {
        let ticket = self.ticket.expect("a future is not polled after it was ready");
        // Before the look, so that a grant that comes after it wakes the right one.
        self.relay.aim(context.waker());
        let polled = self.desk.poll_ticket(ticket, &self.waker);
        if polled.is_ready() {
            self.ticket = None;
        }
        polled
    }
}

impl<D: Desk> Drop for Waiting<'_, D> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.desk.leave(ticket);
        }
    }
}
