//! Cuts a stream of bytes into chunks and works on a bounded number of them at a time.
//!
//! A service that reads a body "as it comes" holds as much as came: bytes that wait to be cut, chunks that
//! wait to be hashed, results that wait for a slow reader. Here each of these has a place with a size. What
//! comes faster than it can be worked on is not read, and so the sender is slowed, not stored.
//!
//! ```text
//!            pieces, as they come      at most window_bytes each        at most in_flight_max
//!   source ───────────────────▶ window ─────────────────────▶ chunks ──────────▶ work ──▶ results in order
//!              at most one held   one pool buffer     one pool buffer each
//! ```
//!
//! - A [`Cutter`] says where the next chunk ends. It sees bytes, not pieces: the chunks of an input are the
//!   same however it arrived (a [`Chunker::flush_after`] excepted, whose point is the time of arrival).
//! - A [`Chunker`] keeps the window and gives out [`Chunk`]s; a [`Window`] gives out chunks that overlap.
//! - A [`Processor`] runs a work function over either and keeps the results in order.
//!
//! Each is a stream that does nothing unless it is polled. Nothing is spawned, so dropping one ends all that
//! it began and gives its buffers back before the drop returns.
//!
//! **When full:** the input is not pulled. **When the pool is full:** the stream waits in the pool's line
//! for at most `acquire_timeout`, then says so with the pool's numbers and ends.
//!
//! **Memory:** `2 × window_bytes` for the window and `in_flight_max × window_bytes` for the chunks, out of
//! the pool and rounded as the pool rounds; and one piece, of whatever size the source makes them. An input
//! that is idle with nothing left to cut holds no buffer. Results that were given out are their receiver's.
//!
//! The danger of a live input is that it looks like a leak: nothing moves for minutes, and the pool takes
//! the window back. A window that holds bytes is therefore touched by a timer, but only from inside a poll:
//! a task that is stuck stays silent, and is found.
//!
//! Needs a tokio runtime with its timer on.
#![cfg(not(loom))]

mod alarm;
mod chunk;
mod chunker;
mod counts;
mod cutter;
mod error;
mod ordered;
mod reader;
mod window;

use std::time::Duration;

pub use chunk::{Chunk, Chunks};
pub use chunker::Chunker;
pub use counts::{ErrorCounts, ProcessorCounts, ProcessorStats};
pub use cutter::{Cutter, Fixed, Lines};
pub use error::{
    BufferUse, ChunkError, CutterFault, ErrorReason, ProcessCause, ProcessError, WindowError, WorkError,
};
pub use ordered::Processor;
pub use window::Window;

/// How long a stream waits for a pool buffer when nothing else was set. Raised, a stream rides out a longer
/// shortage, and its sender is kept waiting for as long.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many chunks of one stream are in flight when nothing else was set. Raised, more of the pool may be
/// held by one stream: `in_flight_max × window_bytes`.
pub const IN_FLIGHT_MAX: usize = 10;

/// The label that the pool's reports show for buffers of a stream that was given no owner.
pub const OWNER_LABEL: &str = "processor";
