//! What every service shows of itself: its limits, and whether it is alive and accepting.

use std::sync::Arc;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use axum::{Router, middleware};
use http::StatusCode;
use plimsoll_bounds::hub::{TOPIC_NAME_BYTES_MAX, TopicName};
use plimsoll_core::{Reading, Registry};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::correlation::correlate;
use crate::guard::{Names, guard};
use crate::problem::{Kind, Problem};

/// `GET /api/v1/limits`: every limit and how it stands.
pub fn limits<S: Clone + Send + Sync + 'static>(registry: Arc<Registry>) -> Router<S> {
    Router::new().route("/api/v1/limits", get(read_limits)).with_state(registry)
}

async fn read_limits(State(registry): State<Arc<Registry>>) -> Json<Value> {
    let limits: Vec<Value> = registry.readings().iter().map(reading_json).collect();
    Json(json!({ "schema": "plimsoll.limits/1", "limits": limits }))
}

fn reading_json(reading: &Reading) -> Value {
    let Reading { name, unit, limit, used, peak, rejected, counters } = reading;
    let mut json = json!({
        "name": name,
        "unit": unit.name(),
        "limit": limit,
        "used": used,
        "peak": peak,
        "rejected": rejected,
    });
    if !counters.is_empty() {
        let counters: Map<String, Value> =
            counters.iter().map(|counter| (counter.name.to_owned(), counter.value.into())).collect();
        json["counters"] = counters.into();
    }
    json
}

/// `GET /healthz` (the process answers) and `GET /readyz` (and takes work, until `stop`).
pub fn health<S: Clone + Send + Sync + 'static>(stop: CancellationToken) -> Router<S> {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(ready))
        .with_state(stop)
}

async fn ready(State(stop): State<CancellationToken>) -> Response {
    if stop.is_cancelled() {
        let problem = Problem::new(Kind::ShuttingDown, "the service is ending; use another instance");
        return problem.into_response();
    }
    (StatusCode::OK, Json(json!({ "status": "ready" }))).into_response()
}

/// For connections that found no place: health as ever, and for the rest that there is no room.
pub fn surplus(stop: CancellationToken, connections_max: usize, names: Names) -> Router {
    let refusal = move || async move {
        Problem::new(
            Kind::TooManyConnections,
            format!(
                "{connections_max} connections are open, the most that may be; close one, come again later, or \
                 raise --http-api-connections"
            ),
        )
    };
    health(stop)
        .fallback(refusal)
        .layer(middleware::from_fn_with_state(names, guard))
        .layer(middleware::from_fn(correlate))
}

/// Puts around `routes` what holds for every request: its correlation id, the guard, and problems for
/// paths and methods that are not there.
pub fn finish(routes: Router, names: Names) -> Router {
    routes
        .fallback(|| async {
            Problem::new(Kind::NotFound, "there is nothing at this path; README.md lists the routes")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::MethodNotAllowed, "this path does not know this method; see README.md")
        })
        .layer(middleware::from_fn_with_state(names, guard))
        .layer(middleware::from_fn(correlate))
}

/// `PATH/{topic}`, and `PATH` itself, so that a request that names no topic is told so.
pub fn with_topic<S: Clone + Send + Sync + 'static>(path: &str, methods: MethodRouter<S>) -> Router<S> {
    Router::new()
        .route(path, methods.clone())
        .route(&format!("{path}/"), methods.clone())
        .route(&format!("{path}/{{*topic}}"), methods)
}

/// The topic that a path names.
///
/// # Errors
/// `InvalidTopic`, saying what is wrong with the name and what is allowed.
pub fn topic(path: Result<Path<String>, PathRejection>) -> Result<TopicName, Problem> {
    let text = match path {
        Ok(Path(text)) => text,
        Err(PathRejection::FailedToDeserializePathParams(failed))
            if matches!(failed.kind(), ErrorKind::InvalidUtf8InPathParam { .. }) =>
        {
            return Err(Problem::new(
                Kind::InvalidTopic,
                format!(
                    "what stands behind the % of the topic's name is not UTF-8; a name is 1 to \
                     {TOPIC_NAME_BYTES_MAX} bytes of A-Z a-z 0-9 . _ : - and /"
                ),
            ));
        }
        // `/publish` and `/publish/` name no topic at all.
        Err(_) => String::new(),
    };
    TopicName::parse(&text).map_err(|error| Problem::new(Kind::InvalidTopic, error.to_string()))
}
