//! Sessions that end a short time after they began: swept from the front of a queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use corpus_programs::{Pace, Setup, payload};

struct Session {
    ends: Instant,
    user: String,
    state: Vec<u8>,
}

struct Sessions {
    ttl: Duration,
    open: VecDeque<Session>,
}

impl Sessions {
    fn open(&mut self, user: u32, state: Vec<u8>) {
        let user = format!("user{user}");
        self.open.push_back(Session { ends: Instant::now() + self.ttl, user, state });
    }

    fn sweep(&mut self, now: Instant) -> usize {
        let mut freed = 0;
        while self.open.front().is_some_and(|session| session.ends <= now) {
            freed += self.open.pop_front().map_or(0, |session| session.user.len() + session.state.len());
        }
        freed
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let ttl = setup.part_of_length("ttl_s", 0.03, 0.12);
    let per_s = setup.log_uniform("sessions_per_s", 20.0, 1000.0);
    let state_bytes = setup.whole("state_bytes", 64, 4096);
    setup.announce();
    let mut sessions = Sessions { ttl, open: VecDeque::new() };
    let mut pace = Pace::per_second(per_s);
    loop {
        pace.wait();
        let state = payload(&mut setup.random, state_bytes);
        sessions.open(setup.random.u32(..), state);
        std::hint::black_box(sessions.sweep(Instant::now()));
    }
}
