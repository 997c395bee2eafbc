//! Request bodies with a limit and a patience, as a stream of pieces that are never gathered here.
//!
//! A body that comes faster than it can be used is slowed by not being read: each piece is asked for only
//! when the last one was used, and the socket's own window does the rest.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use plimsoll_core::Bytes as Size;

use crate::problem::{Kind, Problem};

/// A request's body, piece by piece.
pub struct LimitedBody {
    body: Body,
    limit: Size,
    read: Size,
    idle_timeout: Duration,
}

impl LimitedBody {
    /// Reads `body`, refusing more than `limit` bytes or a pause of more than `idle_timeout`.
    ///
    /// # Errors
    /// At once, when the body announces more than `limit`.
    pub fn new(body: Body, limit: Size, idle_timeout: Duration) -> Result<LimitedBody, Problem> {
        let announced = body.size_hint().lower();
        if announced > limit.as_u64() {
            return Err(too_large(Size::new(announced), limit));
        }
        Ok(LimitedBody { body, limit, read: Size::ZERO, idle_timeout })
    }

    /// The exact length, when the client announced one.
    pub fn announced(&self) -> Option<Size> {
        self.body.size_hint().exact().map(Size::new)
    }

    /// The next piece, or nothing at the end. *Cancel safety:* a piece is returned or still to come.
    ///
    /// # Errors
    /// `BodyTooLarge`, `BodyTimeout`, or `BrokenBody` when the client went away or its encoding is broken.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
            let Ok(frame) = tokio::time::timeout(self.idle_timeout, frame).await else {
                return Err(Problem::new(
                    Kind::BodyTimeout,
                    format!(
                        "no byte of the body for {:?}, {} read; send it without such pauses",
                        self.idle_timeout, self.read
                    ),
                ));
            };
            let frame = match frame {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    tracing::debug!(%error, "body broke off");
                    return Err(Problem::new(
                        Kind::BrokenBody,
                        format!(
                            "the body broke off or is not encoded as its headers say, {} read; send it again",
                            self.read
                        ),
                    ));
                }
            };
            // Trailers carry nothing that is used here.
            let Ok(data) = frame.into_data() else { continue };
            self.read += Size::of_len(data.len());
            if self.read > self.limit {
                return Err(too_large(self.read, self.limit));
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }
}

fn too_large(seen: Size, limit: Size) -> Problem {
    Problem::new(
        Kind::BodyTooLarge,
        // In bytes: rounded, one byte too many would read like none.
        format!(
            "the body has at least {} bytes, {limit} is the most; send it in parts, or raise the limit",
            seen.as_u64()
        ),
    )
}
