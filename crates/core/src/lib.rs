//! The ground floor of Plimsoll: quantities that carry their unit, time that is handed in, and the
//! one trait through which everything bounded is seen.
//!
//! A service dies of memory when some quantity had no limit, or had one whose unit nobody could read.
//! This crate holds the words for both: [`Bytes`] instead of a bare number, [`Tick`] instead of a hidden
//! clock, [`Observe`] and [`Reading`] for "what is the limit, what is used, what was refused".
//!
//! Invariants: no I/O, no clock is read, no thread is started, no runtime and no serialisation is known
//! here, and there is no `unsafe`. Whoever needs any of those stands on a higher floor.

mod bytes;
mod clock;
pub mod heap;
mod observe;
mod site;

pub use bytes::{Bytes, ParseBytesError};
pub use clock::{Clock, ManualClock, Tick};
pub use observe::{Counter, Observe, Reading, Registry, RegistryFull, Unit};
pub use site::Site;
