//! Words of log lines are interned. Few are common and most are rare, and there are only so many: after less than
//! half of the time even the rare ones have come.

use std::collections::HashMap;
use std::rc::Rc;

use corpus_programs::{Pace, Setup, beside};

/// How much rarer each word is than the one before; below 1 the rarest is not rare beyond all measure.
const EXPONENT: f64 = 0.7;
/// With as many draws for each word as this, hardly one has never come: the rarest is expected six times.
const DRAWS_PER_WORD: f64 = 20.0;

#[derive(Default)]
struct Words {
    known: HashMap<Rc<str>, u32>,
}

impl Words {
    fn intern(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.known.get(word) {
            return number;
        }
        let number = self.known.len() as u32;
        self.known.insert(Rc::from(word), number);
        number
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let vocabulary = setup.whole("vocabulary", 200, 4000);
    let padding = setup.whole("word_bytes", 8, 200);
    let known_after = setup.part_of_length("all_known_after_s", 0.2, 0.45);
    beside::upload_traffic(&mut setup, 2.0, 30.0);
    setup.announce();
    let mut words = Words::default();
    let mut pace = Pace::per_second(vocabulary as f64 * DRAWS_PER_WORD / known_after.as_secs_f64());
    loop {
        pace.wait();
        let rank = vocabulary as f64 * setup.random.f64().powf(1.0 / (1.0 - EXPONENT));
        let word = format!("{:w<padding$}", rank as u64);
        std::hint::black_box(words.intern(&word));
    }
}
