//! What is said while the program runs, without being in its way: it has the same terminal.
//!
//! | standard error | standard output | what is shown |
//! | --- | --- | --- |
//! | a terminal | none | one line, written over each second |
//! | a terminal | a terminal | a line after 1 s, 10 s, 60 s, then each minute |
//! | none | | nothing |
//!
//! While the terminal is in raw mode a full-screen program owns it, and nothing is shown. What is worth a line of its
//! own waits for the end.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use plimsoll_core::Bytes;

use crate::out;
use crate::session::terminal::{ERASE, is_free};

/// When a line is written if it cannot be written over, since the start; afterwards every [`SPARSE_INTERVAL`].
const SPARSE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];
const SPARSE_INTERVAL: Duration = Duration::from_secs(60);

/// Whether and how something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OneLine,
    Sparse,
    Nothing,
}

/// The talk of a recording.
pub(crate) struct Progress {
    way: Way,
    is_quiet: bool,
    started: Instant,
    /// When the next sparse line is due.
    due: Duration,
    /// A line stands there that is to be written over.
    line: bool,
}

/// How far the recording is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) samples: u64,
    pub(crate) live: Bytes,
    pub(crate) processes: usize,
}

impl Progress {
    pub(crate) fn new(is_quiet: bool, now: Instant) -> Progress {
        let way = match (is_quiet, io::stderr().is_terminal(), io::stdout().is_terminal()) {
            (true, ..) | (_, false, _) => Way::Nothing,
            (false, true, false) => Way::OneLine,
            (false, true, true) => Way::Sparse,
        };
        Progress { way, is_quiet, started: now, due: SPARSE[0], line: false }
    }

    /// Says a line, unless the user wants silence.
    pub(crate) fn say(&mut self, message: &str) {
        if !self.is_quiet {
            self.erase();
            out::talk(message);
        }
    }

    /// Shows how far it is, if it is time to and the terminal is free.
    pub(crate) fn show(&mut self, now: Instant, state: impl FnOnce() -> State) {
        let elapsed = now.saturating_duration_since(self.started);
        match self.way {
            Way::Nothing => {}
            Way::OneLine if is_free() => {
                let line = in_words(elapsed, state());
                let mut out = io::stderr().lock();
                let shown = out.write_all(ERASE).and_then(|()| write!(out, "plimsoll: {line}"));
                self.line = shown.is_ok();
            }
            // It is gone with the screen that the program has taken.
            Way::OneLine => self.line = false,
            Way::Sparse if elapsed >= self.due => {
                self.due = due_after(elapsed);
                if is_free() {
                    out::talk(&in_words(elapsed, state()));
                }
            }
            Way::Sparse => {}
        }
    }

    /// Takes the line away.
    pub(crate) fn erase(&mut self) {
        if std::mem::take(&mut self.line) {
            let _ = io::stderr().lock().write_all(ERASE);
        }
    }
}

/// When the next line is due after one at `elapsed`.
fn due_after(elapsed: Duration) -> Duration {
    let next = SPARSE.into_iter().find(|&due| due > elapsed);
    next.unwrap_or_else(|| {
        let passed = elapsed.as_secs() / SPARSE_INTERVAL.as_secs();
        Duration::from_secs((passed + 1) * SPARSE_INTERVAL.as_secs())
    })
}

fn in_words(elapsed: Duration, state: State) -> String {
    let processes = match state.processes {
        0 | 1 => String::new(),
        count => format!(" in one of {count} processes"),
    };
    format!("{} s: {} samples, {} live{processes}", elapsed.as_secs(), state.samples, state.live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rarer() {
        let due = |seconds| due_after(Duration::from_secs(seconds)).as_secs();
        assert_eq!(
            [1, 2, 10, 59, 60, 61, 119, 120, 3_601].map(due),
            [10, 10, 60, 60, 120, 120, 120, 180, 3_660]
        );
    }

    #[test]
    fn other_processes_are_mentioned_when_there_are_any() {
        let state = State { samples: 7, live: Bytes::mib(2), processes: 1 };
        assert_eq!(in_words(Duration::from_millis(3_700), state), "3 s: 7 samples, 2MiB live");
        let state = State { processes: 3, ..state };
        assert!(in_words(Duration::ZERO, state).ends_with("2MiB live in one of 3 processes"));
    }
}
