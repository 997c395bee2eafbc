//! A future awaited by a plain thread, with a deadline.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// When a wait ends, in the machine's time. A wait too long to be expressed never ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(patience: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(patience))
    }

    /// The time left, zero when it has passed, `None` when it never will.
    fn left(self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }
}

struct Parked {
    thread: Thread,
    // Set by the waker and cleared by the thread: an unpark that somebody else's code swallowed is not lost.
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls `future` on this thread until it is ready, or until the deadline: then it is dropped and `None`
/// returned. A grant that arrives in the very last moment is taken, not thrown away.
pub(crate) fn block_on_until<F: Future>(future: F, deadline: Deadline) -> Option<F::Output> {
    let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(parked.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        // Read before the poll, so that a grant between the two is seen by it.
        let left = deadline.left();
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        if left == Some(Duration::ZERO) {
            return None;
        }
        while !parked.woken.swap(false, Ordering::Acquire) {
            match deadline.left() {
                None => thread::park(),
                Some(Duration::ZERO) => break,
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::sync::mpsc;

    #[test]
    fn returns_what_is_ready_even_with_no_patience() {
        assert_eq!(block_on_until(ready(7), Deadline::after(Duration::ZERO)), Some(7));
        assert_eq!(block_on_until(pending::<()>(), Deadline::after(Duration::ZERO)), None);
    }

    #[test]
    fn is_woken_from_another_thread() {
        let (waker_out, waker_in) = mpsc::channel::<Waker>();
        let waking = thread::spawn(move || waker_in.recv().expect("the future sends it").wake());
        let mut sent = false;
        let future = std::future::poll_fn(move |context| {
            if sent {
                return Poll::Ready("woken");
            }
            sent = true;
            waker_out.send(context.waker().clone()).expect("the thread listens");
            Poll::Pending
        });
        assert_eq!(block_on_until(future, Deadline::after(Duration::MAX)), Some("woken"));
        waking.join().expect("it only wakes");
    }
}
