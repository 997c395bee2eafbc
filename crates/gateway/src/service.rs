//! What the service is made of.
//!
//! Everything that holds memory is made here, once, from the settings, on one budget; everything shows
//! itself in one registry. How it runs and ends stands in `run`.

use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_bounds::budget::{Budget, BudgetLimits, Reservation};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_bounds::hub::Hub;
use plimsoll_bounds::monitor::Monitor;
use plimsoll_bounds::pool::Pool;
use plimsoll_bounds::processor::ProcessorCounts;
use plimsoll_core::heap::SnapshotSource;
use plimsoll_core::{Clock, Observe, Registry};
use plimsoll_http::problem::{Kind, Problem};
use plimsoll_http::server::Slots;
use plimsoll_verdict::judge::VerdictSource;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plan::Plan;
use crate::settings::Settings;
use crate::start_error::StartError;
use crate::turns::Turns;
use crate::{convert, watch};

/// How many bounded things the registry can show.
const OBSERVERS_MAX: usize = 64;

/// Whoever looks at this process's own heap. The service shows what they say.
#[derive(Clone, Default)]
pub struct OwnHeap {
    /// Who samples it.
    pub profiler: Option<Arc<dyn SnapshotSource>>,
    /// Who judges it.
    pub verdict: Option<Arc<dyn VerdictSource>>,
}

/// A running service's parts.
pub struct Service {
    pub(crate) settings: Settings,
    pub(crate) pool: Pool,
    pub(crate) hub: Hub,
    pub(crate) streams: Arc<Slots>,
    pub(crate) processed: Arc<ProcessorCounts>,
    pub(crate) turns: Arc<Turns>,
    // No new work from now on.
    pub(crate) stop: CancellationToken,
    // What is still being taken in is refused from now on.
    pub(crate) closing: CancellationToken,
    // Bodies that are being taken in.
    pub(crate) work: TaskTracker,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) connections: Arc<Slots>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<dyn Clock>,
    // Whoever samples and judges this process's heap, if anybody does.
    pub(crate) heap: OwnHeap,
    // Connections are counted, not measured: their whole share is charged from the start.
    _connections_charge: Reservation,
    // Kept because the registry holds its observers weakly.
    _observers: Vec<Arc<dyn Observe>>,
}

impl Service {
    /// Makes the parts. Nothing runs yet. `heap` is what the routes below `/debug` and `/api/v1/leaks` show.
    ///
    /// # Errors
    /// [`StartError`] when the limits do not fit, or the address is not loopback.
    pub fn new(settings: &Settings, heap: OwnHeap) -> Result<Arc<Service>, StartError> {
        if !settings.addr.ip().is_loopback() {
            return Err(StartError::NotLoopback(settings.addr));
        }
        let plan = Plan::new(settings).map_err(StartError::Plan)?;
        let settings = plan.applied_to(settings);
        let clock = SystemClock::shared();
        let limits = BudgetLimits { headroom: plan.headroom, ..BudgetLimits::of(plan.memory_limit) };
        let budget = Budget::new(limits, clock.clone());

        let pool = Pool::new(
            convert::pool_limits(&settings, &plan),
            &budget.account("pool", plan.pool)?,
            clock.clone(),
        )?;
        let hub = Hub::new(convert::hub_limits(&settings, &plan), budget.open(), clock.clone(), epoch_seed())
            .map_err(StartError::Hub)?;
        let connections_account = budget.account("connections", plan.connections)?;
        let connections_charge = connections_account.try_reserve("connections", plan.connections)?;

        let streams = Slots::new("http.streams", settings.max_connections);
        let sockets =
            Slots::new("http.connections", settings.max_connections + settings.http.api_connections);
        let registry = Arc::new(Registry::new(OBSERVERS_MAX));
        let monitor = Arc::new(watch::monitor(&settings, budget.clone())?);
        let turns = Arc::new(Turns::new(plan.ingests_at_once()));
        let processed = Arc::new(ProcessorCounts::new());
        let observers: Vec<Arc<dyn Observe>> = vec![
            Arc::new(budget.clone()),
            Arc::new(pool.clone()),
            Arc::new(hub.clone()),
            streams.clone(),
            sockets.clone(),
            turns.clone(),
            processed.clone(),
            monitor.clone(),
        ];
        for observer in &observers {
            let weak: Weak<dyn Observe> = Arc::downgrade(observer);
            registry.register(weak).map_err(|full| StartError::Budget(full.to_string()))?;
        }
        Ok(Arc::new(Service {
            turns,
            settings,
            pool,
            hub,
            streams,
            processed,
            stop: CancellationToken::new(),
            closing: CancellationToken::new(),
            work: TaskTracker::new(),
            monitor,
            connections: sockets,
            registry,
            clock,
            heap,
            _connections_charge: connections_charge,
            _observers: observers,
        }))
    }

    /// Does `work` on a body until the service closes. A stop waits for whoever holds a token of `work`.
    pub(crate) async fn until_closing<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        tokio::select! {
            done = work => done,
            () = self.closing.cancelled() => Err(Problem::new(
                Kind::ShuttingDown,
                "the service is ending and the body was not whole in time; send it again to another instance",
            )),
        }
    }
}

/// Sets one start of the service apart from all earlier ones, so that an id of then is known as such.
fn epoch_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
