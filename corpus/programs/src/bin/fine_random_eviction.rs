//! A cache that throws away any entry when it is full: some live very long, and none for ever.

use std::collections::HashMap;

use corpus_programs::{Pace, Setup, payload};
use fastrand::Rng;

struct Thumbnails {
    slots: Vec<(u64, Vec<u8>)>,
    places: HashMap<u64, usize>,
    capacity: usize,
}

impl Thumbnails {
    fn add(&mut self, random: &mut Rng, key: u64, bytes: usize) {
        let image = payload(random, bytes);
        if self.slots.len() < self.capacity {
            self.places.insert(key, self.slots.len());
            self.slots.push((key, image));
            return;
        }
        let place = random.usize(..self.slots.len());
        let (old, _) = std::mem::replace(&mut self.slots[place], (key, image));
        self.places.remove(&old);
        self.places.insert(key, place);
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let capacity = setup.whole("capacity", 200, 5000);
    let bytes = setup.whole("value_bytes", 100, 8192);
    let full_after = setup.part_of_length("full_after_s", 0.05, 0.3);
    setup.announce();
    let mut thumbnails = Thumbnails { slots: Vec::new(), places: HashMap::new(), capacity };
    let mut pace = Pace::per_second(capacity as f64 / full_after.as_secs_f64());
    loop {
        pace.wait();
        let key = setup.random.u64(..);
        thumbnails.add(&mut setup.random, key, bytes);
    }
}
