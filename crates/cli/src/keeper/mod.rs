//! What a recorder keeps for the programs that it watches, and what `plimsoll snapshot` asks it for.
//!
//! The profiler inside a program has no thread and writes no file. It keeps its tables in memory that it shares: a
//! memfd, handed over once through a socket. Whoever holds the other end has all that was sampled up to the last
//! instruction, however the program ends.
//!
//! ```text
//! program ── memfd, once ──► post ──► images ──► named ──► profile
//!    ▲ environment             ▲ "snapshot PID"
//!    └──── place: library, socket ◄──── plimsoll snapshot
//! ```
//!
//! | file | idea |
//! | --- | --- |
//! | `place` | the private directory: where the library and the socket are |
//! | `library` | the bytes of the library that stands in front of malloc |
//! | `post` | the socket: registrations in, questions answered |
//! | `ask` | whom `plimsoll snapshot` asks |
//! | `memory` | what another process's resident memory consists of |
//! | `process` | what the kernel tells of another process at a glance |
//! | `images` | what is held, under which pid, until when |
//! | `named` | from tables to a profile that can be read without the process |
//! | `replace` | files that are written whole or not at all |

pub(crate) mod ask;
pub(crate) mod images;
pub(crate) mod library;
pub(crate) mod memory;
pub(crate) mod named;
pub(crate) mod place;
pub(crate) mod post;
pub(crate) mod process;
pub(crate) mod replace;
