//! A cache in which each answer says itself how long it is valid: from a moment to two fifths of the time.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use corpus_programs::{Pace, Setup, beside, payload};

#[derive(Default)]
struct Answers {
    by_name: HashMap<u64, Vec<u8>>,
    ends: BTreeSet<(Instant, u64)>,
}

impl Answers {
    fn keep(&mut self, name: u64, answer: Vec<u8>, valid: Duration) {
        if self.by_name.insert(name, answer).is_none() {
            self.ends.insert((Instant::now() + valid, name));
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(&(end, name)) = self.ends.first() {
            if end > now {
                return;
            }
            self.ends.pop_first();
            self.by_name.remove(&name);
        }
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let longest = setup.part_of_length("longest_s", 0.1, 0.4);
    let per_s = setup.log_uniform("answers_per_s", 20.0, 1000.0);
    let bytes = setup.whole("answer_bytes", 48, 2048);
    beside::upload_traffic(&mut setup, 5.0, 40.0);
    setup.announce();
    let (mut answers, mut pace) = (Answers::default(), Pace::per_second(per_s));
    loop {
        pace.wait();
        // Most are short.
        let valid = longest.mul_f64(setup.random.f64().powi(2));
        let answer = payload(&mut setup.random, bytes);
        answers.keep(setup.random.u64(..), answer, valid);
        answers.forget_old(Instant::now());
    }
}
