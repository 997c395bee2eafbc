//! HTTP for Plimsoll: a server whose connections are counted and can be cut off, event streams on the hub,
//! errors as problem documents, and guards against foreign web pages.
//!
//! The failure this crate prevents: a reader that stops reading. An HTTP library asks a response's body for
//! more only while the socket takes bytes, so whatever watches the reader from inside the body sleeps for
//! exactly the reader it should end. Here the connection's own task owns the socket, hears of the eviction
//! from the hub, and closes it ([`server`]).
//!
//! Invariants: the only place that knows status codes, JSON and HTML; whatever a client can make larger has
//! a ceiling; no raw path or header of a client becomes a label; a message to a caller never holds what only
//! the log should see.
//!
//! Deliberately not here: what the service does with a body (`plimsoll-gateway`), settings, the heap.

pub mod body;
pub mod correlation;
pub mod guard;
pub mod leaks;
pub mod problem;
pub mod profiles;
pub mod routes;
pub mod server;
pub mod sse;

pub use correlation::CorrelationId;
pub use problem::Problem;
