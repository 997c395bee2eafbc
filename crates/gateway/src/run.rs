//! The service running: its routes, what goes on beside the requests, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_http::guard::Names;
use plimsoll_http::routes;
use plimsoll_http::server::{self, DrainReport, Routers, ServerOptions, SocketOptions};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::service::Service;
use crate::start_error::StartError;
use crate::{ingest, labels, publish, stream, watch};

/// The part of the drain that bodies have to end in; the rest is for telling the readers.
const BODIES_SHARE: (u32, u32) = (3, 4);

/// How long bodies that were refused at the end of the drain may take to say so on their topic.
const FAREWELL: Duration = Duration::from_millis(500);

impl Service {
    /// Opens the listening socket with the settings' options.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub fn listen(&self) -> Result<TcpListener, StartError> {
        let http = &self.settings.http;
        let options = SocketOptions {
            send_buffer: http.send_buffer,
            receive_buffer: http.receive_buffer,
            user_timeout: http.user_timeout,
        };
        server::listen(self.settings.addr, options).map_err(StartError::Listen)
    }

    /// Ends [`Service::run`]: no new connections; what is being taken in may finish; then the streams are
    /// told and end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The end of the hub: after the last body that was being taken in, because its readers wait for it,
    /// and in time for them to be told.
    async fn close_hub(self: Arc<Service>) {
        self.stop.cancelled().await;
        self.work.close();
        let (n, d) = BODIES_SHARE;
        let patience = self.settings.http.drain_timeout * n / d;
        if tokio::time::timeout(patience, self.work.wait()).await.is_err() {
            tracing::warn!(bodies = self.work.len(), "bodies that did not end in time are refused");
        }
        self.closing.cancel();
        // A moment for the refused to tell their readers; whoever has not by then never will.
        let _ = tokio::time::timeout(FAREWELL, self.work.wait()).await;
        self.hub.close();
    }

    /// Serves until [`Service::stop`], then drains. What it started has ended when it returns.
    pub async fn run(self: &Arc<Service>, listener: TcpListener) -> DrainReport {
        let mut beside = JoinSet::new();
        beside.spawn(self.clone().close_hub());
        let hub = self.hub.clone();
        beside.spawn(async move { hub.drive().await });
        beside.spawn(watch::lag(self.hub.clone(), self.settings.monitor.interval));
        let monitor = self.monitor.clone();
        beside.spawn(async move { monitor.run().await });
        beside.spawn(watch::scan_pool(self.pool.clone(), self.settings.pool.scan_interval));
        let options = ServerOptions {
            connections: self.connections.clone(),
            header_timeout: self.settings.http.header_timeout,
            stall_timeout: self.settings.http.user_timeout,
            drain_timeout: self.settings.http.drain_timeout,
            clock: self.clock.clone(),
        };
        let addr = listener.local_addr().unwrap_or(self.settings.addr);
        let report = server::serve(listener, self.routers(addr), options, self.stop.clone()).await;
        beside.shutdown().await;
        report
    }

    fn routers(self: &Arc<Service>, addr: SocketAddr) -> Routers {
        let names = Names::new(addr, &self.settings.http.allowed_hosts);
        let routes = ingest::routes()
            .merge(publish::routes())
            .merge(stream::routes())
            .merge(routes::limits(self.registry.clone()))
            .merge(routes::health(self.stop.clone()))
            .merge(plimsoll_http::profiles::profiles(self.heap.profiler.clone()))
            .merge(plimsoll_http::leaks::leaks(self.heap.verdict.clone()))
            .route_layer(axum::middleware::from_fn(labels::label))
            .with_state(self.clone());
        let surplus = routes::surplus(self.stop.clone(), self.connections.limit(), names.clone());
        Routers { all: routes::finish(routes, names), surplus }
    }
}
