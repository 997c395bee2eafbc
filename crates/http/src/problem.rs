//! The one error of HTTP: a problem document (RFC 9457) with a stable `type`.
//!
//! `type` and `status` are for programs and do not change within a major version; `detail` is for people:
//! what was asked, what was there, what to do. Nothing of a problem comes from inside the service (no paths,
//! no source lines, no secrets): that goes to the log, which has the same correlation id.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::correlation::{self, CorrelationId};

/// What kind of problem it is. Each has one status and one stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The topic's name is not one.
    InvalidTopic,
    /// Something else about the request is not right.
    InvalidRequest,
    /// The body ended before it was whole, or its encoding is broken.
    BrokenBody,
    /// The `Host` is none of this service's names.
    ForeignHost,
    /// The `Origin` is a web page of somebody else.
    ForeignOrigin,
    /// There is nothing at this path.
    NotFound,
    /// The path does not know this method.
    MethodNotAllowed,
    /// The body stopped coming.
    BodyTimeout,
    /// The body is larger than may be.
    BodyTooLarge,
    /// As many topics exist as may.
    TooManyTopics,
    /// As many streams are open as may be.
    TooManyStreams,
    /// As many connections are open as may be.
    TooManyConnections,
    /// No memory within the limits; later there may be.
    NoMemory,
    /// A profile is being written, and there is one at a time.
    ProfileInProgress,
    /// The heap is not sampled, or nothing of it was yet.
    NotSampled,
    /// The service is ending.
    ShuttingDown,
    /// A fault of the service.
    Internal,
}

impl Kind {
    /// All kinds, for the documentation and its test.
    pub const ALL: [Kind; 17] = [
        Kind::InvalidTopic,
        Kind::InvalidRequest,
        Kind::BrokenBody,
        Kind::ForeignHost,
        Kind::ForeignOrigin,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::BodyTimeout,
        Kind::BodyTooLarge,
        Kind::TooManyTopics,
        Kind::TooManyStreams,
        Kind::TooManyConnections,
        Kind::NoMemory,
        Kind::ProfileInProgress,
        Kind::NotSampled,
        Kind::ShuttingDown,
        Kind::Internal,
    ];

    /// The stable name, the last part of `type`.
    pub const fn name(self) -> &'static str {
        self.facts().1
    }

    /// The status it is answered with.
    pub const fn status(self) -> StatusCode {
        self.facts().0
    }

    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::InvalidTopic => (StatusCode::BAD_REQUEST, "invalid-topic", "Not a topic name"),
            Kind::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid-request", "Not a valid request"),
            Kind::BrokenBody => (StatusCode::BAD_REQUEST, "broken-body", "The body could not be read"),
            Kind::ForeignHost => (StatusCode::FORBIDDEN, "foreign-host", "Not a name of this service"),
            Kind::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin", "Not a page of this service"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Nothing here"),
            Kind::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method")
            }
            Kind::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body stopped coming"),
            Kind::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Kind::TooManyTopics => (StatusCode::TOO_MANY_REQUESTS, "too-many-topics", "No more topics"),
            Kind::TooManyStreams => (StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", "No more streams"),
            Kind::TooManyConnections => {
                (StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", "No more connections")
            }
            Kind::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, "no-memory", "No memory within the limits"),
            Kind::ProfileInProgress => {
                (StatusCode::SERVICE_UNAVAILABLE, "profile-in-progress", "One profile at a time")
            }
            Kind::NotSampled => (StatusCode::SERVICE_UNAVAILABLE, "not-sampled", "The heap is not sampled"),
            Kind::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting-down", "The service is ending"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault of the service"),
        }
    }

    /// After how many seconds it makes sense to try again.
    const fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Kind::TooManyTopics | Kind::TooManyStreams | Kind::TooManyConnections => Some(60),
            Kind::NoMemory | Kind::ShuttingDown => Some(5),
            Kind::ProfileInProgress => Some(1),
            _ => None,
        }
    }
}

/// A problem, ready to be an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<CorrelationId>,
}

impl Problem {
    /// A problem of this kind; `detail` says what was asked, what was there, and what to do.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem { kind, detail: detail.into() }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The document's bytes, for answers that are written without a framework.
    pub fn to_json(&self) -> Vec<u8> {
        let (status, name, title) = self.kind.facts();
        let document = Document {
            r#type: format!("urn:plimsoll:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            correlation_id: correlation::current(),
        };
        // Strings and numbers only: there is nothing that could fail to serialise.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// `Retry-After`, where trying again later makes sense.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.kind.retry_after_seconds()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        if status.is_server_error() {
            tracing::warn!(problem = self.kind.name(), detail = %self.detail, "refused");
        } else {
            tracing::info!(problem = self.kind.name(), detail = %self.detail, "refused");
        }
        let mut response = (status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own_and_never_a_status_of_success() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
        }
    }

    #[test]
    fn a_full_service_says_when_to_come_again() {
        let response = Problem::new(Kind::TooManyStreams, "1000 streams are open").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "60");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }
}
