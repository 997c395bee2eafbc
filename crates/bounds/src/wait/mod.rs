//! Waiting in line: one first-come queue for threads and tasks alike.
//!
//! The intuition is a counter with numbered tickets. Who cannot be served takes a ticket; the owner serves
//! tickets in order by *handing over* what was asked for (direct hand-off, so nobody can barge in between
//! the wake-up and the grant); who walks away hands back an unused grant, and the owner then looks at the
//! new head of the line. That last look is the step whose absence has stalled more than one published
//! semaphore.
//!
//! A thread waits by polling the same future as a task, with a waker that unparks it. There is therefore
//! one algorithm, and one line, for both.
//!
//! - `line`: the tickets, pure, inside the owner's lock.
//! - `future`: a place in a line as a future that gives its place back on drop.
//! - `relay`: keeps other people's wakers out of that lock.
//! - `park`: that future awaited by a thread, with a deadline.

mod future;
mod line;
#[cfg(not(loom))]
mod park;
mod relay;

pub(crate) use future::{Desk, Waiting};
pub(crate) use line::{Left, Line, Ticket, Wakes};
#[cfg(not(loom))]
pub(crate) use park::{Deadline, block_on_until};
