//! Watches how full something is and says so once, when that changes.
//!
//! An alert that repeats every ten seconds is switched off by the second night; one that flaps around its
//! threshold is no better. Here a level is left only when usage fell clearly below where it began, and an
//! alert is sent only when the level changed.
//!
//! The danger of alerting is the callback: a webhook that hangs, a closure that panics. None runs on the
//! monitor's own time. Each callback has a mailbox of its own, emptied by a thread (or a task) of its own;
//! when that is stuck, its mailbox drops the oldest alert and counts it, and nobody else notices.
//!
//! ```text
//!   source ──▶ judge (pure) ──▶ alert ──┬──▶ mailbox ──▶ thread: Fn(&Alert)
//!   used, limit   level changed?        └──▶ mailbox ──▶ task:   async Fn(Alert), with a time limit
//! ```
//!
//! Memory: for each callback a thread's stack or a task, and at most `mailbox_max` alerts, shared.

mod alert;
mod callback;
mod judge;
mod mailbox;

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plimsoll_core::{Bytes, Counter, Observe, Reading, Unit};

pub use alert::{Alert, Detail};
pub use callback::CallbackError;
pub use judge::{HYSTERESIS_POINTS, Judge, Level, Thresholds, ThresholdsError};

use callback::{Callback, Counts};

/// How many alerts wait for a callback that is busy. One more, and the oldest is dropped and counted.
pub const MAILBOX_MAX: usize = 16;

/// How many callbacks a monitor has at most. Each costs a thread or a task.
pub const CALLBACKS_MAX: usize = 16;

/// How a monitor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonitorLimits {
    /// Where the levels begin. Default 80 % and 95 %.
    pub thresholds: Thresholds,
    /// The time between two looks of [`Monitor::run`]. Default 10 s.
    pub interval: Duration,
    /// How long an async callback may take for one alert. Default 10 s.
    pub callback_timeout: Duration,
}

impl Default for MonitorLimits {
    fn default() -> MonitorLimits {
        MonitorLimits {
            thresholds: Thresholds::default(),
            interval: Duration::from_secs(10),
            callback_timeout: Duration::from_secs(10),
        }
    }
}

/// What a source says of the present moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What is used.
    pub used: Bytes,
    /// What may be.
    pub limit: Bytes,
    /// What else belongs into an alert, largest first.
    pub details: Vec<Detail>,
}

/// A watch over one source. Dropping it ends its callbacks: tasks at once, a thread when its callback
/// returns.
pub struct Monitor {
    limits: MonitorLimits,
    source: Box<dyn Fn() -> Usage + Send + Sync>,
    // Guards the level and the list; no callback runs and no source is read under it.
    state: Mutex<State>,
    counts: Arc<Counts>,
}

struct State {
    judge: Judge,
    callbacks: Vec<Callback>,
    last_percent: f64,
    peak_percent: f64,
    alerts: u64,
}

impl Monitor {
    /// A monitor of what `source` says. `source` is called once for each look.
    ///
    /// # Errors
    /// [`ThresholdsError`] when a warning would not come before the critical level.
    pub fn new(
        limits: MonitorLimits,
        source: impl Fn() -> Usage + Send + Sync + 'static,
    ) -> Result<Monitor, ThresholdsError> {
        let judge = Judge::new(limits.thresholds)?;
        let state = State { judge, callbacks: Vec::new(), last_percent: 0.0, peak_percent: 0.0, alerts: 0 };
        Ok(Monitor { limits, source: Box::new(source), state: Mutex::new(state), counts: Arc::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `callback` for each alert, on a thread of its own. An error it returns is counted.
    ///
    /// # Errors
    /// [`CallbackError`] when there are too many, or the thread cannot be started.
    pub fn on_alert<E: Error>(
        &self,
        name: &'static str,
        callback: impl Fn(&Alert) -> Result<(), E> + Send + 'static,
    ) -> Result<(), CallbackError> {
        self.add(|counts| Callback::on_thread(name, callback, counts))
    }

    /// Calls `callback` for each alert, in a task of its own on the present tokio runtime. One that takes
    /// longer than the limit is dropped and counted, as is an error it returns.
    ///
    /// # Errors
    /// [`CallbackError`] when there are too many, or no runtime is entered.
    pub fn on_alert_async<E: Error, F: Future<Output = Result<(), E>> + Send>(
        &self,
        name: &'static str,
        callback: impl Fn(Alert) -> F + Send + Sync + 'static,
    ) -> Result<(), CallbackError> {
        let timeout = self.limits.callback_timeout;
        self.add(|counts| Callback::in_task(name, callback, timeout, counts))
    }

    fn add(
        &self,
        make: impl FnOnce(Arc<Counts>) -> Result<Callback, CallbackError>,
    ) -> Result<(), CallbackError> {
        let mut state = self.state();
        if state.callbacks.len() >= CALLBACKS_MAX {
            return Err(CallbackError::TooMany { callbacks_max: CALLBACKS_MAX });
        }
        let callback = make(self.counts.clone())?;
        state.callbacks.push(callback);
        Ok(())
    }

    /// Looks once. When the level changed, tells all callbacks and returns the alert. Waits for nobody.
    pub fn check(&self) -> Option<Alert> {
        let usage = (self.source)();
        let percent = usage.used.percent_of(usage.limit);
        let mut state = self.state();
        state.last_percent = percent;
        state.peak_percent = state.peak_percent.max(percent);
        let before = state.judge.level();
        let level = state.judge.judge(percent)?;
        state.alerts += 1;
        let alert = Alert::new(before, level, percent, usage);
        let shared = Arc::new(alert.clone());
        for callback in &state.callbacks {
            callback.tell(shared.clone());
        }
        Some(alert)
    }

    /// The level at the last look.
    pub fn level(&self) -> Level {
        self.state().judge.level()
    }

    /// Looks every `interval` for as long as it is polled. To be run as a task of the service.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(self.limits.interval);
        // After a suspension one look is enough.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.check();
        }
    }

    /// Ends all callbacks after the alerts that wait for them, and returns the names of those that had not
    /// ended by the deadline. Blocks its thread for at most `patience`.
    pub fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        // A patience that cannot be added to a moment is no deadline.
        let deadline = Instant::now().checked_add(patience);
        let callbacks = std::mem::take(&mut self.state().callbacks);
        // All are told before the first is waited for.
        for callback in &callbacks {
            callback.close();
        }
        callbacks.into_iter().filter_map(|callback| callback.ended_by(deadline).err()).collect()
    }
}

impl Observe for Monitor {
    fn observe(&self, out: &mut Vec<Reading>) {
        let state = self.state();
        let counter = |name, value| Counter { name, value };
        let counts = self.counts.read();
        out.push(Reading {
            name: "monitor.usage_percent".to_owned(),
            unit: Unit::Items,
            limit: 100,
            used: state.last_percent as u64,
            peak: state.peak_percent as u64,
            rejected: 0,
            counters: vec![
                counter("level", state.judge.level() as u64),
                counter("alerts", state.alerts),
                counter("callback_failures", counts.failed),
                counter("callback_panics", counts.panicked),
                counter("callback_timeouts", counts.timed_out),
                counter("callback_dropped_alerts", counts.dropped),
            ],
        });
        out.push(Reading {
            name: "monitor.callbacks".to_owned(),
            unit: Unit::Items,
            limit: CALLBACKS_MAX as u64,
            used: state.callbacks.len() as u64,
            peak: state.callbacks.len() as u64,
            rejected: 0,
            counters: Vec::new(),
        });
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Monitor({})", self.level())
    }
}
