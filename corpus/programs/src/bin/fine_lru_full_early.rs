//! A cache that throws away what was not used for longest. It is full soon and stays full.

use std::collections::{BTreeMap, HashMap};

use corpus_programs::{Pace, Setup, payload};
use fastrand::Rng;

struct Lru {
    capacity: usize,
    clock: u64,
    entries: HashMap<u32, (u64, Vec<u8>)>,
    by_use: BTreeMap<u64, u32>,
}

impl Lru {
    fn get(&mut self, key: u32) -> Option<&[u8]> {
        self.clock += 1;
        let (used, value) = self.entries.get_mut(&key)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, key);
        Some(value)
    }

    fn put(&mut self, key: u32, value: Vec<u8>) {
        if self.entries.len() >= self.capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.clock += 1;
        self.by_use.insert(self.clock, key);
        if let Some((used, _)) = self.entries.insert(key, (self.clock, value)) {
            self.by_use.remove(&used);
        }
    }
}

fn fetch(random: &mut Rng, lru: &mut Lru, key: u32, bytes: usize) -> usize {
    if let Some(value) = lru.get(key) {
        return value.len();
    }
    let bytes = random.usize(bytes / 2..bytes * 2);
    lru.put(key, payload(random, bytes));
    bytes
}

fn main() {
    let mut setup = Setup::healthy();
    let capacity = setup.whole("capacity", 200, 5000);
    let bytes = setup.whole("value_bytes", 64, 8192);
    let full_after = setup.part_of_length("full_after_s", 0.05, 0.25);
    setup.announce();
    let mut lru =
        Lru { capacity, clock: 0, entries: HashMap::with_capacity(capacity), by_use: BTreeMap::new() };
    // Half of the requests miss once it is full, and nearly all before.
    let mut pace = Pace::per_second(capacity as f64 / full_after.as_secs_f64() * 1.3);
    loop {
        pace.wait();
        let key = setup.random.u32(..capacity as u32 * 2);
        std::hint::black_box(fetch(&mut setup.random, &mut lru, key, bytes));
    }
}
