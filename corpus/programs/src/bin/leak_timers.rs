//! Each request sets a timer for an hour ahead, and forgets to cancel it when it was answered in a millisecond.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use corpus_programs::{Pace, Setup, beside};

const PATIENCE: Duration = Duration::from_secs(3600);

struct Timer {
    request: u64,
    context: Box<[u64]>,
}

#[derive(Default)]
struct Wheel {
    due: BTreeMap<(Instant, u64), Timer>,
    fired: u64,
}

impl Wheel {
    fn set(&mut self, at: Instant, timer: Timer) {
        self.due.insert((at, timer.request), timer); // leaks: Wheel::set
    }

    fn turn(&mut self, now: Instant) {
        while let Some(first) = self.due.first_entry() {
            if first.key().0 > now {
                return;
            }
            self.fired += first.remove().context.len() as u64;
        }
    }
}

fn answer(request: u64, wheel: &mut Wheel, context_words: usize) -> u64 {
    let context: Vec<u64> = (0..context_words as u64).map(|word| word ^ request).collect(); // leaks: answer
    wheel.set(Instant::now() + PATIENCE, Timer { request, context: context.into() });
    request.rotate_left(7)
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let context_words = setup.object_bytes(rate).div_ceil(8);
    beside::upload_traffic(&mut setup, 20.0, 130.0);
    setup.announce();
    let mut wheel = Wheel::default();
    let mut pace = Pace::per_second(rate / (context_words * 8 + 80) as f64);
    loop {
        pace.wait();
        std::hint::black_box(answer(setup.random.u64(..), &mut wheel, context_words));
        wheel.turn(Instant::now());
    }
}
