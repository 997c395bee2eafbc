//! What is decided about the service's own heap.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use plimsoll_verdict::judge::{self, VerdictSource};

use crate::problem::{Kind, Problem};

type Source = Option<Arc<dyn VerdictSource>>;

/// `GET /api/v1/leaks`: the last verdict, as JSON of the schema `plimsoll.watch/1`. Without a source, and before the first
/// verdict, a problem that says so.
pub fn leaks<S: Clone + Send + Sync + 'static>(source: Source) -> Router<S> {
    Router::new().route("/api/v1/leaks", get(read)).with_state(source)
}

async fn read(State(source): State<Source>) -> Result<Response, Problem> {
    let Some(source) = source else {
        return Err(Problem::new(
            Kind::NotSampled,
            "the heap of this service is not sampled; start it with --heap-sampling adaptive",
        ));
    };
    let Some(verdict) = source.verdict() else {
        return Err(Problem::new(
            Kind::NotSampled,
            "it is too early for a verdict; come again in some seconds",
        ));
    };
    let mut body = Vec::new();
    // Writing into memory does not fail, and what is written are numbers and text.
    if let Err(error) = judge::write(&verdict, &mut body) {
        tracing::error!(%error, "a verdict could not be written");
        return Err(Problem::new(Kind::Internal, "the verdict could not be written; the log says why"));
    }
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // It is of this moment.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
