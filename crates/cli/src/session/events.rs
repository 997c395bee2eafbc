//! The time in which a program runs: everything that can happen is waited for at one place, and told to the verb.
//!
//! ```text
//! socket ───────► callers ──► images ─────► Follower::registered, Follower::ended
//! end of a process ─────────► images ─────► Follower::ended
//! signals ────────────────────────────────► Follower::signal        the program's end ──► Follower::program_ended
//! clock ──────────────────────────────────► Follower::on_time
//! ```
//!
//! What a verb does in between takes not long, so that a program that starts is taken note of soon and the queue of
//! callers stays short.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use nix::sys::signal::Signal;

use super::child::{Change, Child};
use super::signals::{Arrived, Signals};
use crate::exit::{Exit, Failure};
use crate::keeper::images::{Images, Refused};
use crate::keeper::post::{Caller, PACKET_TIME_MAX, Peer, Post, Said};

/// How many callers may be about to say something. Further ones wait in the kernel's queue.
const CALLERS_MAX: usize = 64;
/// How long no calls are taken when there are no descriptors for them.
const DEAF_TIME: Duration = Duration::from_millis(100);
/// A program that is stopped this long after we heard of it was not continued meanwhile.
const STOP_DELAY: Duration = Duration::from_millis(50);
/// How many events are taken at once.
const EVENTS_MAX: usize = 64;

/// What an event is about. The upper bits are the kind, the lower the number of the caller or the image.
const POST: u64 = 0;
const SIGNALS: u64 = 1;
const PROGRAM: u64 = 2;
const CALLER: u64 = 1 << 62;
const IMAGE: u64 = 1 << 63;

/// What a verb does with what happens.
pub(crate) trait Follower {
    /// A process handed over its tables. `is_program` if it is the one that we started, for the first time or after it
    /// ran another program.
    fn registered(&mut self, key: u64, is_program: bool, images: &mut Images);
    /// A process has ended, or runs another program. Its tables are there, and may be taken away.
    fn ended(&mut self, key: u64, images: &mut Images);
    /// The program that we started has ended.
    fn program_ended(&mut self, exit: Exit, images: &mut Images) -> Then;
    /// A signal came that is not about the program's state.
    fn signal(&mut self, arrived: Arrived, child: &Child) -> Then;
    /// When [`Follower::on_time`] is wanted next.
    fn due(&self) -> Instant;
    /// What is due at `now`.
    fn on_time(&mut self, now: Instant, child: &Child, images: &mut Images) -> Then;
}

/// Whether to go on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    Return,
}

/// All that is waited for.
pub(crate) struct Events<'a> {
    epoll: std::os::fd::OwnedFd,
    post: &'a Post,
    signals: &'a Signals,
    child: &'a Child,
    uid: u32,
    /// Those who are about to say something; at most [`CALLERS_MAX`], and each goes after [`PACKET_TIME_MAX`].
    callers: BTreeMap<u64, Caller>,
    next_caller: u64,
    is_listening: bool,
    /// No calls are taken until then.
    deaf_until: Option<Instant>,
    /// Then we see whether the program is still stopped.
    stop_at: Option<Instant>,
    is_stopped: bool,
    has_ended: bool,
}

impl<'a> Events<'a> {
    pub(crate) fn new(post: &'a Post, signals: &'a Signals, child: &'a Child) -> Result<Events<'a>, Failure> {
        let open = || {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            epoll::add(&epoll, post, epoll::EventData::new_u64(POST), epoll::EventFlags::IN)?;
            epoll::add(&epoll, signals, epoll::EventData::new_u64(SIGNALS), epoll::EventFlags::IN)?;
            epoll::add(&epoll, child, epoll::EventData::new_u64(PROGRAM), epoll::EventFlags::IN)?;
            Ok(epoll)
        };
        let epoll =
            open().map_err(|error: Errno| Failure::could_not(format!("cannot wait for events: {error}")))?;
        Ok(Events {
            epoll,
            post,
            signals,
            child,
            uid: rustix::process::geteuid().as_raw(),
            callers: BTreeMap::new(),
            next_caller: 0,
            is_listening: true,
            deaf_until: None,
            stop_at: None,
            is_stopped: false,
            has_ended: false,
        })
    }

    /// Returns when the follower has enough.
    pub(crate) fn run(&mut self, images: &mut Images, follower: &mut dyn Follower) -> Result<(), Failure> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            let wait = self.timeout(follower.due(), Instant::now());
            match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::could_not(format!("cannot wait for events: {error}"))),
            }
            let (mut then, mut ended) = (Then::GoOn, None);
            for event in &events {
                let (kind, number) =
                    (event.data.u64() & (CALLER | IMAGE), event.data.u64() & !(CALLER | IMAGE));
                match (kind, number) {
                    (CALLER, number) => self.hear(number, images, follower),
                    (IMAGE, key) => follower.ended(key, images),
                    (_, POST) => self.accept(images, follower),
                    (_, SIGNALS) => {
                        let (exit, wish) = self.heed(follower);
                        ended = ended.or(exit);
                        then = then.or(wish);
                    }
                    _ => ended = ended.or(self.look()),
                }
            }
            if let Some(exit) = ended.filter(|_| !self.has_ended) {
                self.has_ended = true;
                // It stays readable, and would wake us for ever.
                let _ = epoll::delete(&self.epoll, self.child);
                self.last_call(images, follower);
                then = then.or(follower.program_ended(exit, images));
            }
            if then == Then::GoOn {
                then = self.on_time(Instant::now(), images, follower);
            }
            if then == Then::Return {
                return Ok(());
            }
        }
    }

    /// The time until something is due.
    fn timeout(&self, due: Instant, now: Instant) -> Option<Timespec> {
        let late = self.callers.values().next().map(|caller| caller.since + PACKET_TIME_MAX);
        let due = [Some(due), late, self.deaf_until, self.stop_at].into_iter().flatten().min();
        let wait = due?.saturating_duration_since(now);
        // Rounded up, or the last part of a millisecond is spent going round.
        let wait = wait + Duration::from_millis(1);
        Timespec::try_from(wait).ok()
    }

    fn on_time(&mut self, now: Instant, images: &mut Images, follower: &mut dyn Follower) -> Then {
        while let Some(first) = self.callers.first_entry() {
            if now.saturating_duration_since(first.get().since) < PACKET_TIME_MAX {
                break;
            }
            first.remove();
            images.refuse(Refused::Silent);
        }
        if self.deaf_until.is_some_and(|until| until <= now) {
            self.deaf_until = None;
        }
        if !self.is_listening && self.deaf_until.is_none() && self.callers.len() < CALLERS_MAX {
            let data = epoll::EventData::new_u64(POST);
            self.is_listening = epoll::add(&self.epoll, self.post, data, epoll::EventFlags::IN).is_ok();
        }
        if self.stop_at.is_some_and(|at| at <= now) {
            self.stop_at = None;
            self.child.stop_with_it();
        }
        if follower.due() <= now { follower.on_time(now, self.child, images) } else { Then::GoOn }
    }

    /// What the program did.
    fn look(&mut self) -> Option<Exit> {
        while let Some(change) = self.child.change() {
            match change {
                Change::Ended(exit) => return Some(exit),
                Change::Stopped => {
                    self.is_stopped = true;
                    self.stop_at = Some(Instant::now() + STOP_DELAY);
                }
                Change::Continued => {
                    self.is_stopped = false;
                    self.stop_at = None;
                }
            }
        }
        None
    }

    fn heed(&mut self, follower: &mut dyn Follower) -> (Option<Exit>, Then) {
        let (mut ended, mut then) = (None, Then::GoOn);
        while let Some(arrived) = self.signals.next() {
            match arrived {
                Arrived { signal: Signal::SIGCHLD, .. } => ended = ended.or(self.look()),
                // Whoever continues us means the program.
                Arrived { signal: Signal::SIGCONT, .. } if self.is_stopped => {
                    self.child.send(Signal::SIGCONT);
                }
                Arrived { signal: Signal::SIGCONT, .. } => {}
                arrived => then = then.or(follower.signal(arrived, self.child)),
            }
        }
        (ended, then)
    }

    /// Takes calls, as many as may be open.
    fn accept(&mut self, images: &mut Images, follower: &mut dyn Follower) {
        for _ in 0..CALLERS_MAX {
            if self.callers.len() >= CALLERS_MAX {
                return self.stop_listening();
            }
            let now = Instant::now();
            match self.post.accept(now) {
                Ok(None) => return,
                Ok(Some(caller)) => {
                    let number = self.next_caller;
                    self.next_caller += 1;
                    let data = epoll::EventData::new_u64(CALLER | number);
                    if epoll::add(&self.epoll, &caller, data, epoll::EventFlags::IN).is_ok() {
                        self.callers.insert(number, caller);
                        // Most have said all when they are taken.
                        self.hear(number, images, follower);
                    }
                }
                Err(_) => {
                    images.refuse(Refused::NoDescriptors);
                    self.deaf_until = Some(now + DEAF_TIME);
                    return self.stop_listening();
                }
            }
        }
    }

    fn stop_listening(&mut self) {
        if std::mem::take(&mut self.is_listening) {
            let _ = epoll::delete(&self.epoll, self.post);
        }
    }

    fn hear(&mut self, number: u64, images: &mut Images, follower: &mut dyn Follower) {
        let Some(caller) = self.callers.remove(&number) else { return };
        match caller.hear() {
            Said::Nothing => drop(self.callers.insert(number, caller)),
            Said::Gone => {}
            Said::Unknown => images.refuse(Refused::Unknown),
            Said::Snapshot(pid) => {
                let allowed = caller.peer.uid == 0 || caller.peer.uid == self.uid;
                let held = images.of_pid(pid).filter(|(_, held)| allowed && !held.ended);
                let tables = held.and_then(|(_, held)| held.readable().ok());
                caller.answer(tables.as_ref().map(AsFd::as_fd));
            }
            Said::Register(fd) => {
                let peer = caller.peer;
                drop(caller);
                self.register(fd, peer, images, follower);
            }
        }
    }

    fn register(
        &mut self,
        fd: std::os::fd::OwnedFd,
        peer: Peer,
        images: &mut Images,
        follower: &mut dyn Follower,
    ) {
        let (key, has_ended) = match images.register(fd, peer) {
            Ok(registered) => registered,
            Err(why) => return images.refuse(why),
        };
        let Some(held) = images.get(key) else { return };
        if let Some(end) = held.end() {
            let data = epoll::EventData::new_u64(IMAGE | key);
            // If it cannot be watched it counts as running until the end.
            let _ = epoll::add(&self.epoll, end, data, epoll::EventFlags::IN);
        }
        let is_program = held.pid == self.child.pid() && !self.has_ended;
        follower.registered(key, is_program, images);
        for before in images.before(key) {
            follower.ended(before, images);
        }
        if has_ended {
            follower.ended(key, images);
        }
    }

    /// The program has ended: what is still in the queue was sent before.
    fn last_call(&mut self, images: &mut Images, follower: &mut dyn Follower) {
        for number in self.callers.keys().copied().collect::<Vec<_>>() {
            self.hear(number, images, follower);
        }
        self.callers.clear();
        let mut calls = 0;
        while let Ok(Some(caller)) = self.post.accept(Instant::now()) {
            self.callers.insert(self.next_caller, caller);
            self.hear(self.next_caller, images, follower);
            self.callers.clear();
            // Others may call as fast as we answer.
            calls += 1;
            if calls > crate::keeper::images::IMAGES_MAX {
                break;
            }
        }
        // What ended with the program, as a pipeline's other end, is not a process that goes on.
        for key in images.keys() {
            let ended = images.get(key).and_then(|held| Some(has_ended(held.end()?)));
            if ended == Some(true) {
                follower.ended(key, images);
            }
        }
    }
}

impl Then {
    /// To return if one of both wants to.
    fn or(self, other: Then) -> Then {
        if self == Then::Return { self } else { other }
    }
}

fn has_ended(end: std::os::fd::BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::from_borrowed_fd(end, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}
