//! A cache of two generations: what is used moves to the young one, and when that is full the old one is dropped as a
//! whole.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup, beside};

struct Generations {
    young: HashMap<u64, String>,
    old: HashMap<u64, String>,
    each_max: usize,
}

impl Generations {
    fn get(&mut self, key: u64, bytes: usize) -> usize {
        if let Some(value) = self.young.get(&key) {
            return value.len();
        }
        let value = self.old.remove(&key).unwrap_or_else(|| translate(key, bytes));
        if self.young.len() >= self.each_max {
            self.old = std::mem::take(&mut self.young);
        }
        let length = value.len();
        self.young.insert(key, value);
        length
    }
}

fn translate(key: u64, bytes: usize) -> String {
    format!("{key:_>bytes$}")
}

fn main() {
    let mut setup = Setup::healthy();
    let each_max = setup.whole("each_max", 100, 5000);
    let bytes = setup.whole("value_bytes", 20, 2000);
    let swap = setup.part_of_length("swap_every_s", 0.05, 0.2);
    beside::upload_traffic(&mut setup, 1.0, 20.0);
    setup.announce();
    let mut cache = Generations { young: HashMap::new(), old: HashMap::new(), each_max };
    let mut pace = Pace::per_second(each_max as f64 / swap.as_secs_f64() * 1.5);
    loop {
        pace.wait();
        let key = setup.random.u64(..each_max as u64 * 4);
        std::hint::black_box(cache.get(key, bytes));
    }
}
