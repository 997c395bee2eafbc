//! A cache without eviction of a bounded set of keys, asked for at random: it grows slower and slower, and has nearly
//! all of them before half of the time is over.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup, beside};

struct Routes {
    computed: HashMap<(u16, u16), Box<[u16]>>,
}

impl Routes {
    fn between(&mut self, from: u16, to: u16, hops: usize) -> &[u16] {
        self.computed.entry((from, to)).or_insert_with(|| compute(from, to, hops))
    }
}

fn compute(from: u16, to: u16, hops: usize) -> Box<[u16]> {
    (0..hops as u16).map(|hop| from.wrapping_mul(hop) ^ to).collect()
}

/// At this many draws for each key all but 0.7 % of them have been drawn.
const DRAWS_PER_KEY: f64 = 5.0;

fn main() {
    let mut setup = Setup::healthy();
    let towns = setup.whole("towns", 12, 80);
    let hops = setup.whole("hops", 16, 2000);
    let known_after = setup.part_of_length("nearly_all_known_after_s", 0.2, 0.45);
    beside::document_traffic(&mut setup, 20.0, 300.0);
    setup.announce();
    let mut routes = Routes { computed: HashMap::new() };
    let draws = (towns * towns) as f64 * DRAWS_PER_KEY;
    let mut pace = Pace::per_second(draws / known_after.as_secs_f64());
    loop {
        pace.wait();
        let (from, to) = (setup.random.u16(..towns as u16), setup.random.u16(..towns as u16));
        std::hint::black_box(routes.between(from, to, hops).len());
    }
}
