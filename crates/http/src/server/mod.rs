//! Accepting connections, each with a place, a deadline and an end.
//!
//! A connection is one task that owns its socket ([`wire`](self)). There are at most so many; one more is
//! told to come again later, and how. A stop is one token: no new connections, idle ones close, streams end
//! by the hub's word, and what is left at the deadline is cut.
//!
//! Memory: a connection costs about 20 KiB (hyper's buffers, the task, the socket's bookkeeping) and in the
//! kernel at most twice the send buffer; see [`BUFFER_BYTES_MAX`].

mod listen;
mod slots;
mod wire;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_core::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub use listen::{ListenError, SocketOptions, listen};
pub use slots::{Slot, Slots};
use wire::Wire;
pub use wire::{EVICTION_NOTICE, Link};

/// How much of a request's head or body, and of an answer, hyper holds for one connection.
pub const BUFFER_BYTES_MAX: usize = 32 << 10;

/// How many surplus connections are answered at the same time (health, and for the rest that there is no
/// room); further ones are closed without a word.
const SURPLUS_MAX: usize = 64;

/// How long a surplus connection may live.
const SURPLUS_TIMEOUT: Duration = Duration::from_secs(2);

/// How a server behaves.
#[derive(Clone)]
pub struct ServerOptions {
    /// Connections at the same time.
    pub connections: Arc<Slots>,
    /// How long a client may take for the head of a request, and how long a connection may lie idle.
    pub header_timeout: Duration,
    /// How long a peer may take no bytes before its connection is reset.
    pub stall_timeout: Duration,
    /// How long open requests have to end after a stop.
    pub drain_timeout: Duration,
    /// The clock that the hub judges by.
    pub clock: Arc<dyn Clock>,
}

/// What was left when a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that were still open at the deadline and were cut.
    pub cut: usize,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections cut at the deadline", self.cut)
    }
}

/// What is served: all to the connections that have a place, and to those that found none the little that
/// must answer even then. Uploads and silent sockets can fill every place, and a health check that fails
/// for that gets a busy service killed.
#[derive(Clone)]
pub struct Routers {
    /// For connections with a place.
    pub all: Router,
    /// For one request on a surplus connection.
    pub surplus: Router,
}

/// Serves `routers` on `listener` until `stop`, then drains.
pub async fn serve(
    listener: TcpListener,
    routers: Routers,
    options: ServerOptions,
    stop: CancellationToken,
) -> DrainReport {
    let mut connections = JoinSet::new();
    let surplus = Slots::new("http.surplus", SURPLUS_MAX);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // Ended tasks are collected as they end: the set holds only what lives.
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => match options.connections.take() {
                    Some(slot) => {
                        let (router, options, stop) = (routers.all.clone(), options.clone(), stop.clone());
                        connections.spawn(connection(stream, router, options, stop, slot));
                    }
                    None => if let Some(slot) = surplus.take() {
                        let surplus = surplus_connection(stream, routers.surplus.clone(), options.clone(), slot);
                        connections.spawn(surplus);
                    }
                },
                Err(error) => accept_failed(&error, &mut connections).await,
            },
        }
    }
    drop(listener);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            report(ended)
        }
    };
    if tokio::time::timeout(options.drain_timeout, drained).await.is_ok() {
        return DrainReport::default();
    }
    let cut = connections.len();
    connections.shutdown().await;
    DrainReport { cut }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked; the others go on");
    }
}

/// Out of descriptors or the like: waits for a connection to end, or a second, rather than spin.
async fn accept_failed(error: &io::Error, connections: &mut JoinSet<()>) {
    tracing::warn!(%error, "cannot accept a connection");
    let pause = tokio::time::sleep(Duration::from_secs(1));
    tokio::select! {
        () = pause => {}
        Some(ended) = connections.join_next() => report(ended),
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    options: ServerOptions,
    stop: CancellationToken,
    _slot: Slot,
) {
    let link = Link::new();
    let wire = Wire::new(stream, link.clone(), options.clock.clone(), options.stall_timeout);
    let serving =
        protocol(options.header_timeout).serve_connection(TokioIo::new(wire), service(router, link));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers one request of a connection that found no place.
async fn surplus_connection(stream: TcpStream, router: Router, options: ServerOptions, _slot: Slot) {
    let link = Link::new();
    let wire = Wire::new(stream, link.clone(), options.clock, SURPLUS_TIMEOUT);
    let serving = protocol(SURPLUS_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(wire), service(router, link));
    // Whoever does not ask or does not read in time is closed without an answer.
    let _ = tokio::time::timeout(SURPLUS_TIMEOUT, serving).await;
}

fn protocol(header_timeout: Duration) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(BUFFER_BYTES_MAX);
    protocol
}

/// The router as hyper calls it; each request knows the connection that it came on.
fn service(
    router: Router,
    link: Link,
) -> impl hyper::service::Service<
    http::Request<Incoming>,
    Response = http::Response<Body>,
    Error = Infallible,
    Future: Send,
> {
    service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(link.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    })
}
