//! What is done while the program runs: each second what changed is written, and how far it is shown.

use std::time::{Duration, Instant};

use super::kept::Kept;
use super::progress::{Progress, State};
use crate::exit::Exit;
use crate::keeper::images::Images;
use crate::session::child::Child;
use crate::session::events::{Follower, Then};
use crate::session::signals::Arrived;

/// How often files are written and something is shown.
const TICK: Duration = Duration::from_millis(500);

/// A recording while the program runs.
pub(crate) struct Recording<'a> {
    kept: Kept,
    progress: &'a mut Progress,
    tick_at: Instant,
    exit: Exit,
}

impl Recording<'_> {
    pub(crate) fn new(kept: Kept, progress: &mut Progress) -> Recording<'_> {
        Recording { kept, progress, tick_at: Instant::now() + TICK, exit: Exit::CouldNot }
    }

    /// What was kept, and with what the program ended.
    pub(crate) fn end(self) -> (Kept, Exit) {
        (self.kept, self.exit)
    }
}

impl Follower for Recording<'_> {
    fn registered(&mut self, key: u64, is_program: bool, images: &mut Images) {
        if is_program {
            self.kept.set_main(key, images);
        }
    }

    fn ended(&mut self, key: u64, images: &mut Images) {
        self.kept.ended(key, images);
    }

    fn program_ended(&mut self, exit: Exit, _: &mut Images) -> Then {
        self.exit = exit;
        Then::Return
    }

    fn signal(&mut self, arrived: Arrived, child: &Child) -> Then {
        if let Some(signal) = arrived.to_pass_on() {
            child.send(signal);
        }
        Then::GoOn
    }

    fn due(&self) -> Instant {
        self.tick_at
    }

    fn on_time(&mut self, now: Instant, _: &Child, images: &mut Images) -> Then {
        self.kept.write_changed(images);
        let kept = &self.kept;
        self.progress.show(now, || state(images, kept));
        self.tick_at = Instant::now().max(self.tick_at + TICK);
        Then::GoOn
    }
}

fn state(images: &Images, kept: &Kept) -> State {
    let main = kept.main().and_then(|key| images.get(key));
    State {
        samples: main.map(|held| held.image.samples()).unwrap_or_default(),
        live: main.map(|held| held.image.live()).unwrap_or_default(),
        processes: images.running(),
    }
}
