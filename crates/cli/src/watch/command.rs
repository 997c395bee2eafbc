//! A program that is started to be watched, and all that it starts.
//!
//! ```text
//! watching ── time is up, or a signal ──► ending: SIGTERM to the program ── 5 s ──► SIGKILL ──► done
//!     │                                      └── the program ended: SIGTERM to what it left ──┘
//!     └── the program ended by itself ──► watching what it left, if that has tables; else done
//! ```
//!
//! The program shares our process group, and so our terminal, as under `record`: Ctrl-C reaches both. Only processes that
//! run under our profiler are ever signalled, and each by its own descriptor, never by a number that may be another's.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::crowd::Crowd;
use super::plan::Plan;
use super::progress::Progress;
use crate::exit::Exit;
use crate::keeper::images::Images;
use crate::session::child::Child;
use crate::session::events::{Follower, Then};
use crate::session::signals::Arrived;

/// How long a program has to end after SIGTERM.
const TERM_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the kernel has to end what got SIGKILL; what is stuck in a driver takes longer, and is not waited for.
const KILL_TIME_MAX: Duration = Duration::from_secs(1);
/// How long a process has to hand over its tables after the program has ended: a daemon's parent ends at once.
const LEFT_TIME_MAX: Duration = Duration::from_millis(300);

/// What becomes of the program when we have seen enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    End,
    LeaveRunning,
}

enum Phase {
    Watching,
    /// SIGTERM was sent, and SIGKILL follows then.
    Ending(Instant),
    /// SIGKILL was sent. Until then it is waited for.
    Killing(Instant),
}

/// See the head of this file.
pub(crate) struct Watching<'a> {
    pub(crate) crowd: Crowd,
    progress: &'a mut Progress,
    plan: Plan,
    afterwards: Afterwards,
    phase: Phase,
    end_at: Instant,
    read_at: Instant,
    /// With what the program ended, and whether that was before we told it to.
    pub(crate) exit: Option<(Exit, bool)>,
    /// The program has taken itself down already, so a last look would not show how it lived.
    is_torn_down: bool,
    /// Nothing of the program is left since then.
    gone_since: Option<Instant>,
}

impl<'a> Watching<'a> {
    pub(crate) fn new(
        crowd: Crowd,
        plan: Plan,
        afterwards: Afterwards,
        progress: &'a mut Progress,
        now: Instant,
    ) -> Watching<'a> {
        let phase = Phase::Watching;
        let (end_at, read_at) = (now + plan.duration, now);
        Watching {
            crowd,
            progress,
            plan,
            afterwards,
            phase,
            end_at,
            read_at,
            exit: None,
            is_torn_down: false,
            gone_since: None,
        }
    }

    /// Enough was seen.
    fn end(&mut self, child: &Child, images: &Images, now: Instant) -> Then {
        if self.afterwards == Afterwards::LeaveRunning {
            return Then::Return;
        }
        self.phase = Phase::Ending(now + TERM_TIME_MAX);
        if self.exit.is_none() {
            terminate(|signal| child.send(signal));
        } else {
            end_rest(images);
        }
        self.note_gone(images);
        Then::GoOn
    }

    /// Notes whether anything is left.
    fn note_gone(&mut self, images: &Images) {
        let is_gone = self.exit.is_some() && images.running() == 0;
        self.gone_since = is_gone.then(|| self.gone_since.unwrap_or_else(Instant::now));
    }

    /// When we are done, if nothing happens until then.
    fn gone_at(&self) -> Option<Instant> {
        let time = if matches!(self.phase, Phase::Watching) { LEFT_TIME_MAX } else { Duration::ZERO };
        Some(self.gone_since? + time)
    }
}

/// What is stopped hears of it only when it goes on.
fn terminate(send: impl Fn(Signal)) {
    send(Signal::SIGTERM);
    send(Signal::SIGCONT);
}

fn end_rest(images: &Images) {
    for (_, held) in images.iter().filter(|(_, held)| !held.ended) {
        held.send(rustix::process::Signal::TERM);
        held.send(rustix::process::Signal::CONT);
    }
}

impl Follower for Watching<'_> {
    fn registered(&mut self, key: u64, is_program: bool, images: &mut Images) {
        let Some(held) = images.get(key) else { return };
        self.gone_since = None;
        if !matches!(self.phase, Phase::Watching) {
            // It was started while we end things.
            if self.exit.is_some() {
                held.send(rustix::process::Signal::TERM);
            }
            return;
        }
        self.crowd.add(key, is_program, held);
        // Its beginning is worth most: it shows that it was seen from birth.
        self.crowd.read_one(key, images);
    }

    fn ended(&mut self, key: u64, images: &mut Images) {
        let Some(held) = images.get_mut(key).filter(|held| !held.ended) else { return };
        held.set_ended();
        // What was read while it ran is judged; what it freed on its way out would look like health.
        self.crowd.ended(key);
        images.remove(key);
        self.note_gone(images);
    }

    fn program_ended(&mut self, exit: Exit, images: &mut Images) -> Then {
        // The keys that end us end it too.
        let by_itself = matches!(self.phase, Phase::Watching) && !self.is_torn_down;
        self.exit = Some((exit, by_itself));
        self.crowd.program_ended();
        if !by_itself {
            end_rest(images);
        }
        self.note_gone(images);
        Then::GoOn
    }

    fn signal(&mut self, arrived: Arrived, child: &Child) -> Then {
        match self.phase {
            _ if !arrived.is_end() => {
                if let Some(signal) = arrived.to_pass_on() {
                    child.send(signal);
                }
            }
            Phase::Watching => {
                self.end_at = Instant::now();
                // What comes from the terminal the program has got too.
                self.is_torn_down = !arrived.by_process;
            }
            // Twice is impatience.
            Phase::Ending(_) => self.phase = Phase::Ending(Instant::now()),
            Phase::Killing(_) => {}
        }
        Then::GoOn
    }

    fn due(&self) -> Instant {
        let due = match self.phase {
            Phase::Watching => self.end_at.min(self.read_at),
            Phase::Ending(at) | Phase::Killing(at) => at,
        };
        self.gone_at().map_or(due, |gone_at| due.min(gone_at))
    }

    fn on_time(&mut self, now: Instant, child: &Child, images: &mut Images) -> Then {
        if self.gone_at().is_some_and(|gone_at| gone_at <= now) {
            return Then::Return;
        }
        match self.phase {
            Phase::Watching if self.end_at <= now => {
                if !self.is_torn_down {
                    self.crowd.read(images);
                }
                self.crowd.end();
                return self.end(child, images, now);
            }
            Phase::Watching if self.read_at <= now => {
                self.crowd.read(images);
                let after = Instant::now();
                // What takes long is done less often, so that we never fall behind.
                let passed = self.plan.duration.saturating_sub(self.end_at.saturating_duration_since(after));
                self.read_at = (self.read_at + self.plan.read_interval(passed)).max(after + (after - now));
                self.progress.show(after, &self.crowd.iter().collect::<Vec<_>>());
            }
            Phase::Ending(at) if at <= now => {
                child.send(Signal::SIGKILL);
                for (_, held) in images.iter().filter(|(_, held)| !held.ended) {
                    held.send(rustix::process::Signal::KILL);
                }
                self.phase = Phase::Killing(now + KILL_TIME_MAX);
            }
            Phase::Killing(at) if at <= now => return Then::Return,
            Phase::Watching | Phase::Ending(_) | Phase::Killing(_) => {}
        }
        Then::GoOn
    }
}
