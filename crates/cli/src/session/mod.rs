//! A program that we start with the profiler in front of its `malloc`, and the time in which it runs.
//!
//! The program is started, and otherwise left alone: its streams, its terminal, its signals and its exit code are what
//! they would be without us. All that it samples is in memory that it shares with us from its first instruction on, so
//! nothing is lost when it is killed.
//!
//! | file | idea |
//! | --- | --- |
//! | `program`, `script`, `elf`, `privilege` | which file is run, and whether it can be profiled |
//! | `stage` | the library and the socket, made ready for it |
//! | `sample`, `child` | its environment; how it is started and waited for |
//! | `signals` | those that we get are events |
//! | `events` | everything that can happen, told to the verb |
//! | `terminal` | whether a line may be shown |

pub(crate) mod child;
mod elf;
pub(crate) mod events;
mod privilege;
pub(crate) mod program;
pub(crate) mod sample;
mod script;
pub(crate) mod signals;
pub(crate) mod stage;
pub(crate) mod terminal;
