//! The waker that a line keeps: it passes the call on to whoever polls the waiter at present.
//!
//! A task's waker is other people's code: cloning or dropping the last one may run a task's destructor,
//! and that may come back to the very lock that the line is kept under. So the line never sees it. What
//! the line clones and drops is a reference to this relay, owned by the waiter; the task's waker is
//! replaced and dropped here, with no lock held.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::sync::Mutex;

/// Passes a wake-up on to the waker that was shown to it last. One for each waiter, about 40 bytes.
#[derive(Default)]
pub(super) struct Relay {
    // Held for a swap only; nobody's code runs under it.
    target: Mutex<Option<Waker>>,
}

impl Relay {
    /// Wakes `waker` from now on.
    pub(super) fn aim(&self, waker: &Waker) {
        let waker = waker.clone();
        let before = self.target.lock().replace(waker);
        drop(before);
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let target = self.target.lock().take();
        if let Some(waker) = target {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use super::*;
    use crate::wait::{Desk, Line, Ticket, Waiting};

    /// A desk whose lock cannot be taken twice, and a waker that takes it whenever it is dropped.
    struct Counter(Mutex<Line<(), ()>>);

    impl Desk for Counter {
        type Grant = ();

        fn poll_ticket(&self, ticket: Ticket, waker: &Waker) -> Poll<()> {
            self.0.try_lock().expect("nobody else runs in this test").poll(ticket, waker)
        }

        fn leave(&self, ticket: Ticket) {
            self.0.try_lock().expect("nobody else runs in this test").leave(ticket);
        }
    }

    struct Nosy(Arc<Counter>, Arc<AtomicUsize>);

    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Nosy {
        fn drop(&mut self) {
            drop(self.0.0.try_lock().expect("a waker is dropped with no lock held"));
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_is_replaced_and_dropped_outside_the_owners_lock() {
        let desk = Arc::new(Counter(Mutex::new(Line::new(1))));
        let dropped = Arc::new(AtomicUsize::new(0));
        let ticket = desk.0.lock().expect("nobody panicked").join(()).expect("there is room");
        {
            let mut waiting = pin!(Waiting::new(&*desk, ticket));
            for _ in 0..3 {
                let waker = Waker::from(Arc::new(Nosy(desk.clone(), dropped.clone())));
                assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            assert_eq!(dropped.load(Ordering::Relaxed), 2, "only the last one is kept");
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }
}
