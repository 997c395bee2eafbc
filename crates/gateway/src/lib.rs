//! The streaming service: its settings, its memory plan, and the way of a byte from socket to reader.
//!
//! ```text
//! socket → http route → window (pool) → chunk (pool) → facts → event, framed once → hub ring
//!                                                                 → reader's cursor → socket
//! ```
//!
//! Everything on that way is charged to one budget, and the parts of it are planned before the first
//! byte: a start whose limits multiply past the memory limit is refused with the formula ([`plan`]).
//!
//! Invariants: no bytes outside the budget; a body that comes faster than it can be used is slowed, never
//! gathered; every wait has a deadline and every refusal a number.
//!
//! Deliberately not here: status codes and JSON of problems (`plimsoll-http`), flags and exit codes
//! (`plimsoll-cli`).

mod content;
mod convert;
mod ingest;
mod labels;
pub mod plan;
mod publish;
mod run;
pub mod service;
pub mod settings;
mod start_error;
mod stream;
mod turns;
mod watch;

pub use start_error::StartError;
