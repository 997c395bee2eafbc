//! Things that hold memory and cannot grow past a limit: a budget, a buffer pool, queues, a hub, a stream
//! processor and the monitor that watches them.
//!
//! What fails at 3 a.m. is seldom one large allocation; it is a queue, a map or a set of buffers that had
//! no limit, or whose limit counted the wrong thing. Everything in this crate has a limit in bytes (and in
//! items where items cost), an answer to "what happens when it is full", a charge on the [`budget`], and
//! numbers that anyone can read through [`plimsoll_core::Observe`].
//!
//! Invariants:
//! - There is no unbounded variant and no constructor without a limit.
//! - Total memory, waiters included, is a function of the limits; each type's documentation states it.
//! - What is taken is given back on drop, on panic and on cancellation.
//! - The policy for "full" has a name, and each loss is counted by its reason.
//! - Dropping a primitive ends what it started; nothing here starts a detached task or a task per entry.
//! - Wakers, callbacks and destructors of other people's values run outside every lock.
//!
//! Deliberately not here: sockets, HTTP, serialisation, a runtime of its own. Deadlines of async waits use
//! tokio's timer; everything else works on any executor and from plain threads, on the same objects.

pub mod budget;
pub mod clock;
pub mod hub;
#[cfg(not(loom))]
pub mod monitor;
pub mod pool;
pub mod processor;
pub mod queue;
pub mod resident;
mod sync;
mod wait;
