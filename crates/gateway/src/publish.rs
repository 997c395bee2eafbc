//! `POST /publish/{topic}`: one body, one event.
//!
//! The body is gathered in a pool buffer, because its length and its encoding must be known before it is an
//! event. A publisher never waits for readers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use axum::{Router, routing};
use http::{HeaderMap, HeaderName, StatusCode};
use plimsoll_bounds::hub::{EventId, PublishError, TopicName};
use plimsoll_bounds::pool::{AcquireError, Lease, LeaseRequest, Owner, RevocableLease, Revoked};
use plimsoll_core::Bytes as Size;
use plimsoll_http::body::LimitedBody;
use plimsoll_http::problem::{Kind, Problem};
use plimsoll_http::routes;
use serde_json::json;

use crate::service::Service;

/// The events that nobody publishes: the hub's own, about what a reader lost.
const RESERVED_TYPES: [&str; 3] = ["gap", "reset", "evicted"];

/// The first buffer of a body; most events fit.
const FIRST_BUFFER_BYTES: Size = Size::kib(4);

const EVENT_TYPE: HeaderName = HeaderName::from_static("x-event-type");

pub(crate) fn routes() -> Router<Arc<Service>> {
    routes::with_topic("/publish", routing::post(publish))
}

async fn publish(
    State(service): State<Arc<Service>>,
    topic: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let topic = routes::topic(topic)?;
    let event_type = event_type(&headers)?;
    let _working = service.work.token();
    let body = service.until_closing(gather(&service, body)).await?;
    let id = body.with(|body| publish_text(&service, &topic, event_type, body)).map_err(taken_back)??;
    tracing::debug!(%topic, %id, "published");
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id.to_string() }))).into_response())
}

/// The type that the publisher gave, unless it is one by which readers know the hub's own events.
fn event_type(headers: &HeaderMap) -> Result<&str, Problem> {
    let Some(given) = headers.get(EVENT_TYPE) else { return Ok("message") };
    let invalid = |detail: &str| Problem::new(Kind::InvalidRequest, detail);
    let event_type = given
        .to_str()
        .map_err(|_| invalid("X-Event-Type is not plain text; name the type with letters and digits"))?;
    if RESERVED_TYPES.contains(&event_type) {
        return Err(invalid(
            "X-Event-Type is one of gap, reset and evicted, by which the service itself tells readers what they \
             lost; choose another",
        ));
    }
    Ok(event_type)
}

/// Gathers a body in one buffer that grows with what has come, not with what was announced: a publisher
/// that announces much and sends little holds little.
async fn gather(service: &Service, body: Body) -> Result<RevocableLease, Problem> {
    let settings = &service.settings;
    let timeout = settings.publish.body_timeout;
    let mut body = LimitedBody::new(body, settings.publish.body_limit, settings.ingest.body_idle_timeout)?;
    let gathering = async {
        let mut gathered = lease(service, FIRST_BUFFER_BYTES).await?;
        while let Some(piece) = body.next().await? {
            let came = gathered.with(|buffer| buffer.len()).map_err(taken_back)? + piece.len();
            if gathered.capacity() < Size::of_len(came) {
                let mut larger =
                    lease(service, (Size::of_len(came) * 2).min(settings.publish.body_limit)).await?;
                let copied = gathered.with(|old| larger.with_mut(|new| new.append(old)));
                copied.map_err(taken_back)?.map_err(taken_back)?;
                gathered = larger;
            }
            gathered.with_mut(|buffer| buffer.append(&piece)).map_err(taken_back)?;
        }
        Ok(gathered)
    };
    // What already came keeps a body that trickles alive for the body's own patience; this bounds the whole.
    tokio::time::timeout(timeout, gathering).await.unwrap_or_else(|_| {
        Err(Problem::new(
            Kind::BodyTimeout,
            format!(
                "the body was not whole within {timeout:?}; send it faster, or raise --publish-body-timeout"
            ),
        ))
    })
}

async fn lease(service: &Service, size: Size) -> Result<RevocableLease, Problem> {
    let request = LeaseRequest::new(size).owner(Owner::new("publish"));
    service.pool.acquire(request).await.map_err(|error| no_buffer(&error))
}

/// The problem that a pool without a buffer is: its numbers, but not which lines of the service hold it.
pub(crate) fn no_buffer(error: &AcquireError) -> Problem {
    tracing::warn!(%error, "no buffer");
    let detail = match error {
        AcquireError::Exhausted(exhausted) | AcquireError::TimedOut(exhausted) => format!(
            "no buffer of {} within {:?}: {}; send it later, or raise --pool-limit or --memory-limit",
            exhausted.asked, exhausted.waited, exhausted.stats
        ),
        _ => "no buffer within the limits; send it later, or raise --pool-limit or --memory-limit".to_owned(),
    };
    Problem::new(Kind::NoMemory, detail)
}

fn taken_back(revoked: Revoked) -> Problem {
    tracing::error!(%revoked, "a body's buffer was taken back");
    Problem::new(
        Kind::NoMemory,
        "the body's buffer was taken back because it was held too long; send it again",
    )
}

fn publish_text(
    service: &Service,
    topic: &TopicName,
    event_type: &str,
    body: &[u8],
) -> Result<EventId, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Problem::new(
            Kind::InvalidRequest,
            format!(
                "the body is not UTF-8 from byte {} on; event streams carry text, so encode it (base64, say) \
                 or send it to /ingest",
                error.valid_up_to()
            ),
        )
    })?;
    service.hub.publish(topic, event_type, text).map_err(|error| refused(&error))
}

/// The problem that a refused event is.
pub(crate) fn refused(error: &PublishError) -> Problem {
    let kind = match error {
        PublishError::Closed => Kind::ShuttingDown,
        PublishError::TooManyTopics { .. } => Kind::TooManyTopics,
        PublishError::EventType(_) => Kind::InvalidRequest,
        PublishError::TooLarge { .. } => Kind::BodyTooLarge,
        _ => Kind::NoMemory,
    };
    Problem::new(kind, error.to_string())
}
