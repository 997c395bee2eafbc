//! Which route a request's allocations belong to: the label that the profiler keeps with each sample.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use plimsoll_heap::label::Label;

/// Labels whichever thread works at the request with its route, as it is declared: never with the path itself, of which
/// clients can make any number.
pub(crate) async fn label(request: Request, next: Next) -> Response {
    let label = match request.extensions().get::<MatchedPath>() {
        Some(route) => Label::new(&format!("{} {}", request.method(), route.as_str())),
        None => Label::NONE,
    };
    label.on(next.run(request)).await
}
