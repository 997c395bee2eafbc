//! The monitor and other people's callbacks: told once, and never at the mercy of one of them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use plimsoll_bounds::monitor::{Alert, Detail, Level, MAILBOX_MAX, Monitor, MonitorLimits, Usage};
use plimsoll_core::{Bytes, Observe};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

/// A monitor of a number that the test sets.
fn monitor(limits: MonitorLimits) -> (Monitor, Arc<AtomicU64>) {
    let used = Arc::new(AtomicU64::new(0));
    let source = used.clone();
    let usage = move || Usage {
        used: Bytes::new(source.load(Ordering::SeqCst)),
        limit: Bytes::new(100),
        details: vec![Detail { name: "hub".to_owned(), used: Bytes::new(60), limit: Bytes::new(70) }],
    };
    (Monitor::new(limits, usage).expect("the thresholds are in order"), used)
}

fn counter(monitor: &Monitor, name: &str) -> u64 {
    let mut readings = Vec::new();
    monitor.observe(&mut readings);
    let found = readings[0].counters.iter().find(|counter| counter.name == name);
    found.unwrap_or_else(|| panic!("{name} is counted")).value
}

fn change_level(monitor: &Monitor, used: &AtomicU64, times: usize) {
    for nth in 0..times {
        used.store(if nth % 2 == 0 { 96 } else { 0 }, Ordering::SeqCst);
        monitor.check().expect("the level changed");
    }
}

/// Proves P13.
#[test]
fn an_alert_comes_when_the_level_changes_and_says_what_it_must() {
    let (monitor, used) = monitor(MonitorLimits::default());
    let (told, alerts) = mpsc::channel::<Alert>();
    monitor.on_alert("test", move |alert| told.send(alert.clone())).expect("there is room");
    assert_eq!(monitor.check(), None);
    used.store(81, Ordering::SeqCst);
    let alert = monitor.check().expect("the level changed");
    assert_eq!(monitor.check(), None, "told once");
    assert_eq!((alert.level, alert.usage_percent), (Level::Warning, 81.0));
    assert!(alert.message.contains("81B of 100B") && alert.message.contains("hub 60B of 70B"), "{alert}");
    assert_eq!(alert.details[0].name, "hub");
    assert_eq!(alerts.recv_timeout(PATIENCE), Ok(alert));
    assert_eq!(monitor.shutdown(Duration::MAX), Vec::<&str>::new());
    assert!(alerts.recv().is_err(), "its thread has ended");
}

/// Proves P13.
#[test]
fn a_callback_that_panics_fails_or_blocks_hurts_nobody() {
    let (monitor, used) = monitor(MonitorLimits::default());
    let (let_go, stuck) = mpsc::channel::<()>();
    let (entered, is_stuck) = mpsc::channel::<()>();
    monitor
        .on_alert("stuck", move |_| {
            let _ = entered.send(());
            stuck.recv()
        })
        .expect("there is room");
    monitor.on_alert("panics", |_| -> Result<(), Failed> { panic!("on purpose") }).expect("there is room");
    monitor.on_alert("fails", |_| Err(Failed)).expect("there is room");
    let (told, alerts) = mpsc::channel::<Level>();
    monitor.on_alert("healthy", move |alert| told.send(alert.level)).expect("there is room");

    change_level(&monitor, &used, 1);
    is_stuck.recv_timeout(PATIENCE).expect("it is called");
    // The stuck one holds the first alert; its mailbox takes so many more and then drops the oldest.
    for nth in 0..MAILBOX_MAX + 3 {
        used.store(if nth % 2 == 0 { 0 } else { 96 }, Ordering::SeqCst);
        monitor.check().expect("the level changed");
        alerts.recv_timeout(PATIENCE).expect("the healthy one is told all the same");
    }
    alerts.recv_timeout(PATIENCE).expect("and of the first");
    assert!(counter(&monitor, "callback_dropped_alerts") >= 3);
    let mut readings = Vec::new();
    monitor.observe(&mut readings);
    assert_eq!(readings[1].used, 4, "callbacks");
    assert_eq!(monitor.shutdown(Duration::ZERO).first(), Some(&"stuck"), "named when it does not end");
    drop(let_go);
}

/// Proves P13.
#[tokio::test(start_paused = true)]
async fn async_callbacks_have_a_time_limit_and_end_with_the_monitor() {
    let (monitor, used) = monitor(MonitorLimits::default());
    monitor
        .on_alert_async("hangs", |_| async {
            std::future::pending::<()>().await;
            Ok::<(), Failed>(())
        })
        .expect("a runtime is entered");
    monitor.on_alert_async("panics", |_| async { panic!("on purpose") as Result<(), Failed> }).expect("room");
    monitor.on_alert_async("fails", |_| async { Err(Failed) }).expect("there is room");
    let (told, mut alerts) = tokio::sync::mpsc::unbounded_channel::<Level>();
    monitor
        .on_alert_async("healthy", move |alert| {
            let told = told.clone();
            async move { told.send(alert.level) }
        })
        .expect("there is room");
    change_level(&monitor, &used, 2);
    assert_eq!(alerts.recv().await, Some(Level::Critical));
    assert_eq!(alerts.recv().await, Some(Level::Normal));
    // Time is paused: it goes on by itself when all tasks wait, so both time limits pass.
    tokio::time::sleep(2 * MonitorLimits::default().callback_timeout + Duration::from_secs(1)).await;
    let counted = ["callback_timeouts", "callback_panics", "callback_failures"].map(|n| counter(&monitor, n));
    assert_eq!(counted, [2, 2, 2]);
    drop(monitor);
    assert_eq!(alerts.recv().await, None, "its task has ended");
}

/// Proves P13.
#[tokio::test(start_paused = true)]
async fn it_looks_every_ten_seconds() {
    let (monitor, used) = monitor(MonitorLimits::default());
    let (told, mut alerts) = tokio::sync::mpsc::unbounded_channel::<Level>();
    let tell = move |alert: Alert| {
        let told = told.clone();
        async move { told.send(alert.level) }
    };
    monitor.on_alert_async("test", tell).expect("a runtime is entered");
    let start = tokio::time::Instant::now();
    used.store(99, Ordering::SeqCst);
    let watching = async {
        assert_eq!(alerts.recv().await, Some(Level::Critical));
        used.store(0, Ordering::SeqCst);
        assert_eq!(alerts.recv().await, Some(Level::Normal));
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    };
    tokio::select! {
        () = monitor.run() => unreachable!("it runs for as long as it is polled"),
        () = watching => {}
    }
}
