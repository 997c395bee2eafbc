//! What the service looks after beside its requests: how full the budget is, who lags, and buffers that
//! leaked.

use std::convert::Infallible;
use std::time::Duration;

use plimsoll_bounds::budget::Budget;
use plimsoll_bounds::hub::{Hub, LagLevel};
use plimsoll_bounds::monitor::{
    Alert, CallbackError, Detail, Level, Monitor, MonitorLimits, Thresholds, Usage,
};
use plimsoll_bounds::pool::Pool;
use plimsoll_core::{Bytes, Observe, Unit};

use crate::settings::Settings;
use crate::start_error::StartError;

/// A monitor of `budget` that writes its alerts to the log.
pub(crate) fn monitor(settings: &Settings, budget: Budget) -> Result<Monitor, StartError> {
    let limits = MonitorLimits {
        thresholds: Thresholds {
            warning_percent: settings.monitor.warning_percent,
            critical_percent: settings.monitor.critical_percent,
        },
        interval: settings.monitor.interval,
        ..MonitorLimits::default()
    };
    let monitor = Monitor::new(limits, move || usage(&budget)).map_err(StartError::Thresholds)?;
    monitor.on_alert("log", log).map_err(|error: CallbackError| StartError::Callback(error.to_string()))?;
    Ok(monitor)
}

/// What the ledger holds, with its accounts and what is really resident as details.
fn usage(budget: &Budget) -> Usage {
    let mut readings = Vec::new();
    budget.observe(&mut readings);
    let accounts = readings.into_iter().filter(|reading| reading.unit == Unit::Bytes);
    let mut details: Vec<Detail> = accounts
        .filter_map(|reading| {
            let name = reading.name.strip_prefix("budget.open.")?.to_owned();
            Some(Detail { name, used: Bytes::new(reading.used), limit: Bytes::new(reading.limit) })
        })
        .collect();
    details.sort_by_key(|detail| std::cmp::Reverse(detail.used));
    let declared = budget.declared();
    if let Some(resident) = declared.resident {
        details.push(Detail { name: "resident".to_owned(), used: resident, limit: budget.limit() });
    }
    Usage { used: declared.declared, limit: budget.limit(), details }
}

fn log(alert: &Alert) -> Result<(), Infallible> {
    let details: Vec<String> = alert.details.iter().map(Detail::to_string).collect();
    let (message, usage_percent, details) = (&alert.message, alert.usage_percent, details.join(", "));
    if alert.level == Level::Normal {
        tracing::info!(usage_percent, details, "{message}");
    } else {
        tracing::warn!(level_name = %alert.level, usage_percent, details, "{message}");
    }
    Ok(())
}

/// Looks for leaked buffers every `interval`, and says each with its line.
pub(crate) async fn scan_pool(pool: Pool, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        for leak in pool.scan().leaks {
            tracing::warn!(
                lease = leak.id,
                site = %leak.site,
                bytes = leak.capacity.as_u64(),
                age_ms = leak.age.as_millis() as u64,
                owner = leak.owner,
                reason = ?leak.reason,
                outcome = ?leak.outcome,
                "leaked buffer"
            );
        }
    }
}

/// Looks every `interval` for the reader that lags most, and says so when its level changed.
///
/// One line for the worst of them, not one for each: a thousand readers that lag together are one event.
/// How many there are stands in the limits (`hub.subscribers.warning`, `hub.subscribers.critical`).
pub(crate) async fn lag(hub: Hub, interval: Duration) {
    let mut told = LagLevel::Ok;
    loop {
        tokio::time::sleep(interval).await;
        let worst = hub.lag_report(1).into_iter().next();
        let level = worst.as_ref().map_or(LagLevel::Ok, |worst| worst.level);
        if std::mem::replace(&mut told, level) == level {
            continue;
        }
        match worst {
            Some(worst) if level > LagLevel::Ok => tracing::warn!(
                topic = %worst.topic,
                level_name = ?level,
                lag_events = worst.lag_events,
                limit_events = worst.limit_events,
                lag_bytes = worst.lag_bytes.as_u64(),
                limit_bytes = worst.limit_bytes.as_u64(),
                blocked_ms = worst.blocked_for.map(|blocked| blocked.as_millis() as u64),
                "a reader lags"
            ),
            _ => tracing::info!("no reader lags any more"),
        }
    }
}
