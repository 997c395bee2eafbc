//! Alerts that wait for a busy callback: at most so many, the oldest dropped first.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::{Alert, MAILBOX_MAX};

/// From the monitor to one callback. One reader.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<State>);

#[derive(Default)]
struct State {
    alerts: VecDeque<Arc<Alert>>,
    closed: bool,
    reader: Option<Waker>,
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `alert` in; whether an older one had to go for it.
    pub(super) fn put(&self, alert: Arc<Alert>) -> bool {
        let mut state = self.state();
        let full = state.alerts.len() >= MAILBOX_MAX;
        if full {
            state.alerts.pop_front();
        }
        state.alerts.push_back(alert);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        full
    }

    /// Nothing more will come; what is there may still be read.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// The oldest alert; nothing when it is empty and closed. *Cancel safety:* loses nothing.
    pub(super) async fn next(&self) -> Option<Arc<Alert>> {
        poll_fn(|context| {
            let mut state = self.state();
            if let Some(alert) = state.alerts.pop_front() {
                return Poll::Ready(Some(alert));
            }
            if state.closed {
                return Poll::Ready(None);
            }
            let before = state.reader.replace(context.waker().clone());
            drop(state);
            drop(before);
            Poll::Pending
        })
        .await
    }
}
