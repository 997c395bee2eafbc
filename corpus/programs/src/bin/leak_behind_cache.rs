//! A cache that evicts its values and is fine, and an index of it from which evicted keys are never taken.

use std::collections::{BTreeMap, HashMap, VecDeque};

use corpus_programs::{Pace, Setup, fill};
use fastrand::Rng;

struct Store {
    capacity: usize,
    values: HashMap<u64, Vec<u8>>,
    oldest_first: VecDeque<u64>,
    by_name: BTreeMap<String, u64>,
}

impl Store {
    fn put(&mut self, random: &mut Rng, name_bytes: usize, value_bytes: usize) {
        let key = random.u64(..);
        let mut value = vec![0; value_bytes];
        fill(random, &mut value);
        self.values.insert(key, value);
        self.oldest_first.push_back(key);
        self.index(key, name_bytes);
        self.evict();
    }

    #[inline(never)]
    fn index(&mut self, key: u64, name_bytes: usize) {
        let name = format!("{key:0>name_bytes$}"); // leaks: Store::index
        self.by_name.insert(name, key); // leaks: Store::index
    }

    fn evict(&mut self) {
        while self.values.len() > self.capacity {
            let Some(oldest) = self.oldest_first.pop_front() else { return };
            self.values.remove(&oldest);
        }
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let capacity = setup.whole("cache_values", 500, 4000);
    let value_bytes = setup.whole("value_bytes", 1024, 16_384);
    let name_bytes = setup.whole("name_bytes", 24, 500);
    let full_after = setup.part_of_length("full_after_s", 0.1, 0.5);
    setup.announce();
    let mut store = Store {
        capacity,
        values: HashMap::with_capacity(capacity + 2),
        oldest_first: VecDeque::with_capacity(capacity + 2),
        by_name: BTreeMap::new(),
    };
    let mut pace = Pace::per_second(capacity as f64 / full_after.as_secs_f64());
    loop {
        pace.wait();
        store.put(&mut setup.random, name_bytes, value_bytes);
    }
}
