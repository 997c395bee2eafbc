//! What a process under the preload library shows of its heap to another.
//!
//! The counters of stacks lie in memory that a second process has mapped too. So nothing is sent while the program runs,
//! there is no thread of ours in it, and whatever ends it, however suddenly, leaves the counters as they were at its last
//! instruction.
//!
//! ```text
//! the program                                     the recorder
//!   sample ─► cell, packed addresses ─┐     ┌─► Image ─► HeapSnapshot
//!   new module ─► records             ├─ memfd ┤
//!   Python function ─► places         ┘     └─► Image::save ─► a file that `Image::read` takes
//! ```
//!
//! What only the program needs stays its own: the index of stacks, the records of live samples. A forked child has
//! copies of those, as of everything, but would go on counting in its parent's cells; see [`home`].

#[cfg(not(loom))]
pub(crate) mod header;
#[cfg(not(loom))]
pub(crate) mod home;
#[cfg(not(loom))]
pub mod image;
#[cfg(not(loom))]
pub(crate) mod memory;
pub(crate) mod named;
#[cfg(not(loom))]
pub(crate) mod peak;
