//! A subscription of the hub as an answer: `text/event-stream`.
//!
//! Events were framed when they were published; here they are only joined, so that what waits goes out in
//! one write. The body ends when the hub says so: after `event: evicted`, or when the hub closes. A reader
//! whose socket is full is not reached from here; that is the connection's part ([`crate::server`]).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use plimsoll_bounds::hub::Subscription;
use plimsoll_core::Bytes as Size;
use tokio::time::{Instant, Sleep, sleep};

use crate::server::Slot;

/// How much of what waits for a reader is joined into one piece. With what hyper buffers on top, a reader
/// that stands still costs less than two of these.
pub const BATCH_BYTES_MAX: Size = Size::kib(16);

/// A comment that readers ignore and that shows both ends that the other is there.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// The body of a stream. Holds the stream's place until it is dropped, which the connection does as soon
/// as the client is gone.
struct EventStream {
    subscription: Subscription,
    heartbeat_interval: Duration,
    heartbeat: Pin<Box<Sleep>>,
    _slot: Slot,
}

/// Answers with what `subscription` gives, for as long as it gives, and holds `slot` meanwhile.
pub fn respond(subscription: Subscription, heartbeat_interval: Duration, slot: Slot) -> Response {
    let heartbeat = Box::pin(sleep(heartbeat_interval));
    let stream = EventStream { subscription, heartbeat_interval, heartbeat, _slot: slot };
    let mut response = Response::new(Body::new(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Whoever was sent away leaves: kept alive, the connection would hold its place for nothing.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // Proxies of the nginx family would otherwise hold events back until their buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.subscription.poll_batch(cx, BATCH_BYTES_MAX) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(batch)) => join(&batch),
            Poll::Pending => {
                if self.heartbeat.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                HEARTBEAT
            }
        };
        let next = Instant::now() + self.heartbeat_interval;
        self.heartbeat.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// One piece out of many. A single event is shared, not copied.
fn join(frames: &[Bytes]) -> Bytes {
    if let [only] = frames {
        return only.clone();
    }
    let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in frames {
        joined.extend_from_slice(frame);
    }
    joined.freeze()
}
