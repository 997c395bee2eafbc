//! A timer that is armed only when there is something to wait for.
//!
//! A fast input moves its deadlines with every chunk and never waits for one. Setting the machine's timer
//! each time would cost more than cutting; here only the last deadline reaches it, and only in a poll that
//! would otherwise sleep.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for deadlines that move. Allocates on first use, about 120 bytes.
#[derive(Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Whether `deadline` has passed; the task is woken when it does.
    pub(super) fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        // Setting a timer to a time that has passed wakes the task that polls it, without end if that is
        // what each of its polls does.
        if deadline <= Instant::now() {
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}
