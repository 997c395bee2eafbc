//! `GET /stream/{topic}`: a topic's events for as long as the reader reads.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Router, routing};
use http::{HeaderMap, HeaderName};
use plimsoll_bounds::hub::{Meter, SubscribeError};
use plimsoll_http::problem::{Kind, Problem};
use plimsoll_http::server::Link;
use plimsoll_http::{routes, sse};

use crate::service::Service;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(crate) fn routes() -> Router<Arc<Service>> {
    routes::with_topic("/stream", routing::get(stream))
}

async fn stream(
    State(service): State<Arc<Service>>,
    Extension(link): Extension<Link>,
    topic: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topic = routes::topic(topic)?;
    let Some(slot) = service.streams.take() else {
        return Err(Problem::new(
            Kind::TooManyStreams,
            format!(
                "{} streams are open, the most that may be; close one, come again later, or raise \
                 --max-connections",
                service.streams.limit()
            ),
        ));
    };
    let last_event_id = headers.get(LAST_EVENT_ID);
    // An id that is not even text is an unknown id: the hub answers it with `event: reset`.
    let last_event_id = last_event_id.map(|id| id.to_str().unwrap_or("?"));
    let meter = Meter::new();
    let subscription = service.hub.subscribe(&topic, last_event_id, Some(meter.clone())).map_err(refused)?;
    link.attach(meter);
    tracing::debug!(%topic, last_event_id, "stream opened");
    Ok(sse::respond(subscription, service.settings.hub.heartbeat, slot))
}

fn refused(error: SubscribeError) -> Problem {
    let kind = match &error {
        SubscribeError::Closed => Kind::ShuttingDown,
        SubscribeError::TooManyTopics { .. } => Kind::TooManyTopics,
        SubscribeError::TooManySubscribers { .. } => Kind::TooManyStreams,
        _ => Kind::NoMemory,
    };
    Problem::new(kind, error.to_string())
}
