//! Four leaks, one of each class that a garbage-free language still has. Each is in one function of its own which is
//! never inlined, so that a report can be checked: it has to name that function, and the line marked `LEAK` in it.
//!
//! | file | class | what would mend it |
//! | --- | --- | --- |
//! | `sessions` | a map whose entries nobody removes | an expiry, and a limit on entries |
//! | `log` | a list that only grows, one `realloc` after the other | a ring of fixed length |
//! | `tasks` | a task that waits for ever and holds its buffer | an end to the wait: a deadline, a cancellation |
//! | `cycle` | reference counts that hold one another | a `Weak` for the way back |

pub(crate) mod cycle;
pub(crate) mod log;
pub(crate) mod sessions;
pub(crate) mod tasks;

/// How much each leak loses each time, in bytes.
const LEAK_BYTES: usize = 16 << 10;

/// Those of the leaks that are kept somewhere.
#[derive(Default)]
pub(crate) struct Leaks {
    pub(crate) sessions: sessions::Sessions,
    pub(crate) log: log::Log,
}
