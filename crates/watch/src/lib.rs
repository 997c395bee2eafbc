//! The verdict inside the program that it is about.
//!
//! A thread reads the heap now and then, keeps a short past of it, and judges. What it says can be asked for at any time
//! and costs the asker nothing.
//!
//! ```text
//! SnapshotSource ──► reading ──► Series ──► judge ──► Verdict ──► whoever asks, and who listens for changes
//!                                  names of what grew ──┘
//! ```
//!
//! Invariants: one thread, which ends when the [`Watcher`] is dropped. Its memory is the series (at most 2 MiB), names (at
//! most 1 MiB) and the last verdict; a reading takes about 500 bytes for each stack for as long as it lasts. Names are
//! looked up only for stacks that hold old memory, and only when something grows. Deliberately not here: how a verdict is
//! come by (`plimsoll-verdict`), and what is done about it.

mod declared;
mod start;
mod watcher;

pub use declared::{DECLARED_MAX, declare, function_around};
pub use plimsoll_verdict::judge::{Bound, OwnCost};
pub use start::{StartError, Watched, start, start_with};
pub use watcher::{OnChange, Settings, Watcher};
