//! What an address is called: function, file and line, with the functions that were inlined, from the files
//! that a process had mapped.
//!
//! A stack of bare addresses explains nothing, and the usual ways to names cost more than the leak that they
//! explain: a debug file is mapped whole, its tables are parsed into memory and kept. In a service that has 64
//! MiB to live in this is the end. Here a call reads what it needs in pages, passes each file once for all
//! addresses together, and keeps nothing but names, in a cache with a limit.
//!
//! ```no_run
//! use plimsoll_core::heap::{HeapSnapshot, Names};
//! use plimsoll_symbols::{Limits, Symbolizer};
//!
//! # let snapshot = HeapSnapshot::default();
//! let mut symbolizer = Symbolizer::new(Limits::default());
//! let names = symbolizer.resolve(&snapshot);
//! for stack in &snapshot.stacks {
//!     for frame in snapshot.addresses_of(stack).iter().flat_map(|&address| names.at(address)) {
//!         let _ = (&frame.function, &frame.file, frame.line);
//!     }
//! }
//! for problem in &names.problems {
//!     let _ = problem.to_string();
//! }
//! ```
//!
//! Where names come from, in this order: DWARF in the file itself; in a separate debug file, by build id, by
//! `.gnu_debuglink` beside the file, in `.debug/`, below the debug roots; `.symtab`; `.dynsym`; and
//! `module+0x1234`. A file is used only if its build id is that of what was mapped.
//!
//! Rust's bare line tables (`debug = "line-tables-only"`) have no paths. A function gets its own from the symbol
//! table; what was inlined into it is called `poll<T>` and not `tokio::task::poll<T>`, with its file beside it, and a
//! closure is only `{closure#0}`. With [`Sources::AtHand`] these get what the source file has: `Cache::fill`, and
//! `Cache::fill::{closure#0}`.
//!
//! What it deliberately does not contain: a map of memory, a thread, a network (no debuginfod), split debug
//! information, and formats other than ELF of 64 bits, little-endian. Its floor is 1.

mod cache;
mod demangle;
mod dwarf;
mod file;
mod files;
mod limits;
mod lookup;
mod problem;
mod resolved;
mod source;
mod symbolizer;
mod text;

pub use limits::{Limits, Sources};
pub use problem::{Problem, ProblemKind, SymbolTable};
pub use resolved::Resolved;
pub use symbolizer::Symbolizer;
