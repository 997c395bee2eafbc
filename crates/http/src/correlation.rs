//! `X-Correlation-Id`: one id on every log line, error and event of a request.
//!
//! The id comes from the client or is made here. A client's id is data from a stranger that will stand in
//! logs and events: it is taken only when it is short and plain, otherwise a new one is made and the old
//! one is not repeated anywhere.

use std::fmt;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use tracing::Instrument;

/// The header's name.
pub const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// The longest id that is taken from a client, in bytes.
pub const LENGTH_MAX: usize = 128;

/// The id of a request: 1 to 128 characters of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(Arc<str>);

tokio::task_local! {
    static CURRENT: CorrelationId;
}

impl CorrelationId {
    /// A new id.
    pub fn random() -> CorrelationId {
        CorrelationId(uuid::Uuid::new_v4().to_string().into())
    }

    /// The id in `text`, if it is one.
    pub fn parse(text: &str) -> Option<CorrelationId> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let fits = (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| CorrelationId(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CorrelationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The id of the request that the present task works for.
pub fn current() -> Option<CorrelationId> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Gives the request its id: in its extensions, on its log lines, in its answer.
pub async fn correlate(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok());
    let id = given.and_then(CorrelationId::parse).unwrap_or_else(CorrelationId::random);
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", correlation_id = %id, method = %request.method());
    let mut response = CURRENT.scope(id.clone(), next.run(request)).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_ids_and_nothing_else() {
        assert_eq!(CorrelationId::parse("job-17.a_B").expect("it is plain").as_str(), "job-17.a_B");
        for stranger in ["", "a b", "a\nb", "{}", "ü", &"x".repeat(LENGTH_MAX + 1)] {
            assert_eq!(CorrelationId::parse(stranger), None, "{stranger:?}");
        }
        assert!(CorrelationId::parse(CorrelationId::random().as_str()).is_some());
    }
}
