//! The tickets: who waits, in which order, and what was handed to whom.
//!
//! Pure: no lock, no clock. The owner keeps a `Line` inside its own mutex, so that granting and the state
//! granted from change in one step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Poll, Waker};
use std::thread;

/// A numbered place in a line. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// A bounded first-come line in which each waiter asks for an `R` and is handed a `G`.
///
/// Memory: at most `waiters_max` places of one map entry each. Granted places count until they are
/// collected or left, so a crowd of granted waiters that never look cannot grow the line either.
#[derive(Debug)]
pub(crate) struct Line<R, G> {
    // Both are left in `poll` (collected) and in `leave` (given up), which are reached from the waiter's
    // future, whose drop calls `leave`. A place moves from the one to the other in `grant`. Two maps, so
    // that the head of the line is found without a walk over those who were served and have not come.
    waiting: BTreeMap<Ticket, Place<R>>,
    granted: BTreeMap<Ticket, G>,
    next: u64,
    waiters_max: usize,
}

#[derive(Debug)]
struct Place<R> {
    request: R,
    waker: Option<Waker>,
}

/// What a waiter that leaves had in hand.
pub(crate) enum Left<R, G> {
    /// It was still waiting for this.
    Waiting(R),
    /// It had been handed this and did not collect it.
    Granted(G),
    /// It had left before.
    Nothing,
}

/// Wakers collected under a lock, to be woken after it, also when what follows the lock panics.
#[derive(Default)]
#[must_use = "the granted waiters sleep until they are woken"]
pub(crate) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    /// Wakes them all. Call it with no lock held: a waker runs other people's code.
    pub(crate) fn wake(self) {
        drop(self);
    }
}

impl Drop for Wakes {
    /// One waker that panics keeps nobody else asleep; its panic goes on when all are awake.
    fn drop(&mut self) {
        let mut panicked = None;
        for waker in self.0.drain(..) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panicked = panicked.or(Some(panic));
            }
        }
        if let Some(panic) = panicked
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl<R, G> Line<R, G> {
    pub(crate) fn new(waiters_max: usize) -> Line<R, G> {
        Line { waiting: BTreeMap::new(), granted: BTreeMap::new(), next: 0, waiters_max }
    }

    /// How many wait and have been handed nothing yet.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// How many may stand in the line.
    pub(crate) fn waiters_max(&self) -> usize {
        self.waiters_max
    }

    /// Takes a place at the end, or hands the request back when the line is full.
    pub(crate) fn join(&mut self, request: R) -> Result<Ticket, R> {
        if self.waiting.len() + self.granted.len() >= self.waiters_max {
            return Err(request);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, Place { request, waker: None });
        Ok(ticket)
    }

    /// Collects what was handed to `ticket`, or remembers whom to wake.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Poll<G> {
        if let Some(grant) = self.granted.remove(&ticket) {
            return Poll::Ready(grant);
        }
        match self.waiting.get_mut(&ticket) {
            Some(place) => {
                place.waker = Some(waker.clone());
                Poll::Pending
            }
            // A collected ticket is not polled again: `Waiting` forgets it at that moment.
            None => unreachable!("ticket {} was collected before", ticket.0),
        }
    }

    /// Puts `ticket` back where it stood, when what was collected for it turned out to be void.
    ///
    /// Only in the step in which it was collected, while its place cannot have been taken.
    pub(crate) fn retake(&mut self, ticket: Ticket, request: R, waker: &Waker) {
        let before = self.waiting.insert(ticket, Place { request, waker: Some(waker.clone()) });
        debug_assert!(before.is_none(), "ticket {} was not collected", ticket.0);
    }

    /// Gives up a place.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Left<R, G> {
        if let Some(grant) = self.granted.remove(&ticket) {
            return Left::Granted(grant);
        }
        match self.waiting.remove(&ticket) {
            Some(place) => Left::Waiting(place.request),
            None => Left::Nothing,
        }
    }

    /// Those who still wait, first come first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Ticket, &R)> {
        self.waiting.iter().map(|(ticket, place)| (*ticket, &place.request))
    }

    /// The one that has waited longest.
    pub(crate) fn first(&self) -> Option<(Ticket, &R)> {
        self.waiting.first_key_value().map(|(ticket, place)| (*ticket, &place.request))
    }

    /// What was handed to `ticket` and not collected yet: its owner may change its mind.
    pub(crate) fn uncollected(&mut self, ticket: Ticket) -> Option<&mut G> {
        self.granted.get_mut(&ticket)
    }

    /// Hands `grant` to a waiter; what it asked for comes back with whom to wake.
    pub(crate) fn grant(&mut self, ticket: Ticket, grant: G, wakes: &mut Wakes) -> Option<R> {
        // The owner grants only tickets that `waiting` just named, under the same lock.
        let Some(place) = self.waiting.remove(&ticket) else {
            unreachable!("ticket {} was not waiting", ticket.0)
        };
        self.granted.insert(ticket, grant);
        wakes.push(place.waker);
        Some(place.request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    #[test]
    fn serves_in_the_order_of_coming_and_is_bounded() {
        let mut line: Line<&str, u32> = Line::new(2);
        let first = line.join("first").expect("there is room");
        let second = line.join("second").expect("there is room");
        assert_eq!(line.join("third"), Err("third"));
        assert_eq!(line.waiting().map(|(_, request)| *request).collect::<Vec<_>>(), ["first", "second"]);

        let mut wakes = Wakes::default();
        assert_eq!(line.grant(first, 1, &mut wakes), Some("first"));
        wakes.wake();
        assert_eq!(line.waiting_len(), 1);
        // A grant that nobody collected still takes a place.
        assert_eq!(line.join("third"), Err("third"));
        assert_eq!(line.poll(first, Waker::noop()), Poll::Ready(1));
        assert_eq!(line.poll(second, Waker::noop()), Poll::Pending);
        line.join("third").expect("the first has gone");
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_asleep() {
        struct Awake(AtomicBool);
        impl Wake for Awake {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("as this one always does");
            }
        }
        let last = Arc::new(Awake(AtomicBool::new(false)));
        let mut wakes = Wakes::default();
        wakes.push(Some(Arc::new(Panics).into()));
        wakes.push(Some(Arc::new(Panics).into()));
        wakes.push(Some(last.clone().into()));
        catch_unwind(AssertUnwindSafe(|| wakes.wake())).expect_err("the panic is passed on");
        assert!(last.0.load(Ordering::Relaxed));
    }

    #[test]
    fn who_leaves_hands_back_what_it_had() {
        let mut line: Line<(), u32> = Line::new(2);
        let granted = line.join(()).expect("there is room");
        let waiting = line.join(()).expect("there is room");
        let mut wakes = Wakes::default();
        line.grant(granted, 7, &mut wakes);
        wakes.wake();
        assert!(matches!(line.leave(granted), Left::Granted(7)));
        assert!(matches!(line.leave(waiting), Left::Waiting(())));
        assert!(matches!(line.leave(waiting), Left::Nothing));
        assert_eq!(line.waiting_len(), 0);
    }
}
