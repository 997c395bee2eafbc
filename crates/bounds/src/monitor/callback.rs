//! Other people's code that is told of alerts, kept apart from the monitor and from one another.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::Alert;
use super::mailbox::Mailbox;
use crate::wait::{Deadline, block_on_until};

/// Why a callback was not taken.
#[derive(Debug)]
pub enum CallbackError {
    /// As many are registered as may be.
    TooMany {
        /// How many may be.
        callbacks_max: usize,
    },
    /// An async callback was registered outside a tokio runtime.
    NoRuntime,
    /// The system gave no thread.
    NoThread(std::io::Error),
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallbackError::TooMany { callbacks_max } => {
                write!(
                    f,
                    "{callbacks_max} callbacks are registered, the most that may be: let one tell several"
                )
            }
            CallbackError::NoRuntime => {
                f.write_str("an async callback needs a tokio runtime: register it from inside one")
            }
            CallbackError::NoThread(error) => write!(f, "no thread for the callback: {error}"),
        }
    }
}

impl Error for CallbackError {}

/// What went wrong in callbacks, by reason, since the monitor was made.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Failures>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    pub(super) failed: u64,
    pub(super) panicked: u64,
    pub(super) timed_out: u64,
    pub(super) dropped: u64,
}

impl Counts {
    pub(super) fn read(&self) -> Failures {
        *self.lock()
    }

    fn add(&self, count: impl FnOnce(&mut Failures)) {
        count(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One callback: its mailbox, and what empties it.
pub(super) struct Callback {
    name: &'static str,
    mailbox: Arc<Mailbox>,
    ended: Arc<Ended>,
    counts: Arc<Counts>,
    // Nothing for a thread: that ends when its callback returns.
    task: Option<AbortHandle>,
}

/// Set when the thread or task that empties a mailbox has ended, however it ended.
#[derive(Default)]
struct Ended {
    flag: Mutex<bool>,
    changed: Condvar,
}

struct EndedOnDrop(Arc<Ended>);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        *self.0.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl Callback {
    pub(super) fn on_thread<E: Error>(
        name: &'static str,
        callback: impl Fn(&Alert) -> Result<(), E> + Send + 'static,
        counts: Arc<Counts>,
    ) -> Result<Callback, CallbackError> {
        let this = Callback::new(name, counts.clone());
        let (mailbox, ended) = (this.mailbox.clone(), EndedOnDrop(this.ended.clone()));
        let work = move || {
            let _ended = ended;
            while let Some(Some(alert)) = block_on_until(mailbox.next(), Deadline::after(Duration::MAX)) {
                match catch_unwind(AssertUnwindSafe(|| callback(&alert).is_err())) {
                    Ok(false) => {}
                    Ok(true) => counts.add(|counts| counts.failed += 1),
                    Err(_) => counts.add(|counts| counts.panicked += 1),
                }
            }
        };
        thread::Builder::new().name(format!("alert:{name}")).spawn(work).map_err(CallbackError::NoThread)?;
        Ok(this)
    }

    pub(super) fn in_task<E: Error, F: Future<Output = Result<(), E>> + Send>(
        name: &'static str,
        callback: impl Fn(Alert) -> F + Send + Sync + 'static,
        timeout: Duration,
        counts: Arc<Counts>,
    ) -> Result<Callback, CallbackError> {
        let runtime = Handle::try_current().map_err(|_| CallbackError::NoRuntime)?;
        let mut this = Callback::new(name, counts.clone());
        let (mailbox, ended) = (this.mailbox.clone(), EndedOnDrop(this.ended.clone()));
        let work = async move {
            let _ended = ended;
            while let Some(alert) = mailbox.next().await {
                // The call that makes the future may panic as well as the future itself.
                let call = async { callback(Alert::clone(&alert)).await.is_err() };
                match tokio::time::timeout(timeout, AssertUnwindSafe(call).catch_unwind()).await {
                    Ok(Ok(false)) => {}
                    Ok(Ok(true)) => counts.add(|counts| counts.failed += 1),
                    Ok(Err(_)) => counts.add(|counts| counts.panicked += 1),
                    Err(_) => counts.add(|counts| counts.timed_out += 1),
                }
            }
        };
        this.task = Some(runtime.spawn(work).abort_handle());
        Ok(this)
    }

    fn new(name: &'static str, counts: Arc<Counts>) -> Callback {
        Callback { name, mailbox: Arc::default(), ended: Arc::default(), counts, task: None }
    }

    pub(super) fn tell(&self, alert: Arc<Alert>) {
        if self.mailbox.put(alert) {
            self.counts.add(|counts| counts.dropped += 1);
        }
    }

    pub(super) fn close(&self) {
        self.mailbox.close();
    }

    /// Waits until it has ended, or says who has not. Without a deadline it waits for as long as it takes.
    pub(super) fn ended_by(self, deadline: Option<Instant>) -> Result<(), &'static str> {
        let mut ended = self.ended.flag.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let left =
                deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(self.name);
            }
            let waited = self.ended.changed.wait_timeout(ended, left);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.mailbox.close();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
