//! Real work with long-lived owners: entries come and go in two maps of the standard library.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::hint::black_box;

use super::Workload;
use crate::draw::Draw;

/// Keys that are drawn from; about half of them are in a map at any moment.
const KEYS: u64 = 8192;
/// Changes of each map in one iteration.
const CHANGES: u64 = 1000;

/// The hasher of the standard library, without its random keys: the work must be the same every time.
type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// Inserts and removes random keys.
pub(super) struct Maps {
    sorted: BTreeMap<String, u64>,
    hashed: HashMap<u64, Vec<u8>, FixedHasher>,
    draw: Draw,
}

impl Maps {
    pub(super) fn new() -> Self {
        let (sorted, hashed) = (BTreeMap::new(), HashMap::default());
        let mut maps = Self { sorted, hashed, draw: Draw::new(0x6d61_7073) };
        // Until about half of the keys are in.
        maps.run(2 * KEYS / CHANGES);
        maps
    }
}

impl Workload for Maps {
    fn run(&mut self, iterations: u64) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..iterations * CHANGES {
            let key = self.draw.below(KEYS);
            let name = format!("customer/{key:08}/orders");
            if self.sorted.remove(&name).is_none() {
                self.sorted.insert(name, key);
            }
            let bytes = self.draw.between(16, 512);
            if self.hashed.remove(&key).is_none() {
                self.hashed.insert(key, black_box(vec![key as u8; bytes]));
            }
            sum = sum.wrapping_add((self.sorted.len() + self.hashed.len()) as u64);
        }
        sum
    }
}
