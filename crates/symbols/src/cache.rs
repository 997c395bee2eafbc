//! What was found before, within a limit of addresses and of bytes. Snapshots of one service ask for the same
//! addresses again and again, and a lookup costs a thousand times what the cache does; without a limit, code
//! that is loaded and unloaded would fill it for ever.

use std::collections::HashMap;
use std::sync::Arc;

use plimsoll_core::heap::{CodeFrame, Module};

use crate::limits::{MODULE_PROBLEMS_MAX, MODULES_MAX};
use crate::problem::ProblemKind;
use crate::text::{NAME_BYTES, frames_bytes};

/// What a known module takes beside its names.
const MODULE_BYTES: u64 = 256;

/// An address of a file: the module's number in this cache, and the address as the file has it.
pub(crate) type Key = (u32, u64);

struct Slot {
    key: Key,
    frames: Arc<[CodeFrame]>,
    /// Asked for since the hand passed.
    used: bool,
}

#[derive(Default)]
struct Known {
    problems: Vec<ProblemKind>,
}

/// Addresses and what they are called, the least lately used leaving first (by a hand that goes round).
pub(crate) struct Cache {
    addresses_max: usize,
    bytes_max: u64,
    /// Where an address's slot is. An entry leaves with its slot.
    places: HashMap<Key, usize>,
    slots: Vec<Slot>,
    hand: usize,
    /// Every name that a slot has, and in how many places. A name leaves with its last place.
    names: HashMap<Arc<str>, u32>,
    /// Numbers of modules by path and build id. They leave all together, when there are too many.
    numbers: HashMap<(String, String), u32>,
    known: Vec<Known>,
    bytes: u64,
    pub(crate) bytes_peak: u64,
    pub(crate) addresses_peak: usize,
    pub(crate) evicted: u64,
}

impl Cache {
    pub(crate) fn new(addresses_max: usize, bytes_max: u64) -> Self {
        Self {
            addresses_max,
            bytes_max,
            places: HashMap::new(),
            slots: Vec::new(),
            hand: 0,
            names: HashMap::new(),
            numbers: HashMap::new(),
            known: Vec::new(),
            bytes: 0,
            bytes_peak: 0,
            addresses_peak: 0,
            evicted: 0,
        }
    }

    pub(crate) fn addresses(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn names(&self) -> &HashMap<Arc<str>, u32> {
        &self.names
    }

    /// The module's number until the next [`Cache::settle`].
    pub(crate) fn module(&mut self, module: &Module) -> u32 {
        let identity = (module.path.clone(), module.build_id.clone());
        if let Some(&number) = self.numbers.get(&identity) {
            return number;
        }
        let number = self.known.len() as u32;
        self.bytes += MODULE_BYTES + (identity.0.len() + identity.1.len()) as u64;
        self.known.push(Known::default());
        self.numbers.insert(identity, number);
        number
    }

    pub(crate) fn problems(&self, module: u32) -> &[ProblemKind] {
        self.known.get(module as usize).map_or(&[], |known| &known.problems)
    }

    /// Adds what a further lookup of the module missed, each once.
    pub(crate) fn add_problems(&mut self, module: u32, problems: &[ProblemKind]) {
        let Some(known) = self.known.get_mut(module as usize) else { return };
        for problem in problems {
            if known.problems.len() < MODULE_PROBLEMS_MAX && !known.problems.contains(problem) {
                known.problems.push(problem.clone());
                self.bytes += MODULE_BYTES;
            }
        }
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<Arc<[CodeFrame]>> {
        let slot = &mut self.slots[*self.places.get(&key)?];
        slot.used = true;
        Some(Arc::clone(&slot.frames))
    }

    /// Keeps an address, and lets others go until the limits hold; maybe also this one.
    pub(crate) fn put(&mut self, key: Key, frames: &Arc<[CodeFrame]>) {
        if self.addresses_max == 0 || self.places.contains_key(&key) {
            return;
        }
        while self.slots.len() >= self.addresses_max {
            self.evict();
        }
        self.count_names(frames);
        self.bytes += frames_bytes(frames.len());
        self.places.insert(key, self.slots.len());
        self.slots.push(Slot { key, frames: Arc::clone(frames), used: false });
        while self.bytes > self.bytes_max && !self.slots.is_empty() {
            self.evict();
        }
    }

    /// To be called when the numbers of modules are no longer in use: starts anew when there are too many, or
    /// when they alone are more than the limit.
    pub(crate) fn settle(&mut self) {
        if self.known.len() > MODULES_MAX || self.bytes > self.bytes_max {
            self.clear();
        }
        self.bytes_peak = self.bytes_peak.max(self.bytes);
        self.addresses_peak = self.addresses_peak.max(self.slots.len());
    }

    pub(crate) fn clear(&mut self) {
        self.evicted += self.slots.len() as u64;
        let (bytes_peak, addresses_peak, evicted) = (self.bytes_peak, self.addresses_peak, self.evicted);
        *self = Self { bytes_peak, addresses_peak, evicted, ..Self::new(self.addresses_max, self.bytes_max) };
    }

    fn evict(&mut self) {
        // Twice round at most: the first round takes every mark away.
        loop {
            self.hand %= self.slots.len();
            let slot = &mut self.slots[self.hand];
            if !std::mem::take(&mut slot.used) {
                break;
            }
            self.hand += 1;
        }
        let slot = self.slots.swap_remove(self.hand);
        self.places.remove(&slot.key);
        if let Some(moved) = self.slots.get(self.hand) {
            self.places.insert(moved.key, self.hand);
        }
        self.bytes -= frames_bytes(slot.frames.len());
        self.uncount_names(&slot.frames);
        self.evicted += 1;
    }

    fn count_names(&mut self, frames: &[CodeFrame]) {
        for name in frames.iter().flat_map(|frame| [Some(&frame.function), frame.file.as_ref()]).flatten() {
            if let Some(count) = self.names.get_mut(name) {
                *count += 1;
            } else {
                self.bytes += NAME_BYTES + name.len() as u64;
                self.names.insert(Arc::clone(name), 1);
            }
        }
    }

    fn uncount_names(&mut self, frames: &[CodeFrame]) {
        for name in frames.iter().flat_map(|frame| [Some(&frame.function), frame.file.as_ref()]).flatten() {
            if let Some(count) = self.names.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.names.remove(name);
                    self.bytes -= NAME_BYTES + name.len() as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(function: &str, file: &str) -> Arc<[CodeFrame]> {
        Arc::new([CodeFrame { function: function.into(), file: Some(file.into()), line: Some(1) }])
    }

    #[test]
    fn the_least_lately_used_leaves_first() {
        let mut cache = Cache::new(3, u64::MAX);
        for address in 0..3 {
            cache.put((0, address), &frames("f", "a.rs"));
        }
        assert!(cache.get((0, 0)).is_some());
        cache.put((0, 3), &frames("g", "a.rs"));
        assert_eq!((cache.addresses(), cache.evicted), (3, 1));
        assert!(cache.get((0, 0)).is_some() && cache.get((0, 1)).is_none());
        assert!(cache.get((0, 3)).is_some());
    }

    #[test]
    fn bytes_are_those_of_what_is_there() {
        // The cache and a naive count over its slots, under random puts and gets.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        for (addresses_max, bytes_max) in
            [(0, u64::MAX), (1, u64::MAX), (7, u64::MAX), (100, 0), (100, 2_000)]
        {
            let mut cache = Cache::new(addresses_max, bytes_max);
            for _ in 0..5_000 {
                let key = (0, random(40));
                if random(2) == 0 {
                    let _found = cache.get(key);
                } else {
                    let function = "f".repeat(random(30) as usize + 1);
                    cache.put(key, &frames(&function, ["a.rs", "b.rs"][random(2) as usize]));
                }
                let names: std::collections::HashSet<&str> = cache
                    .slots
                    .iter()
                    .flat_map(|slot| slot.frames.iter())
                    .flat_map(|frame| [Some(&*frame.function), frame.file.as_deref()])
                    .flatten()
                    .collect();
                let of_names: u64 = names.iter().map(|name| NAME_BYTES + name.len() as u64).sum();
                assert_eq!(cache.bytes(), of_names + cache.slots.len() as u64 * frames_bytes(1));
                assert!(cache.bytes() <= bytes_max && cache.addresses() <= addresses_max);
                assert_eq!(cache.places.len(), cache.slots.len());
            }
        }
    }

    #[test]
    fn modules_are_forgotten_when_there_are_too_many() {
        let mut cache = Cache::new(10, 1 << 20);
        let module = |number: usize| Module {
            path: format!("/lib/{number}.so"),
            build_id: String::new(),
            addresses: 0..1,
            file_offset: 0,
            bias: 0,
        };
        for number in 0..=MODULES_MAX {
            assert_eq!(cache.module(&module(number)), number as u32);
        }
        cache.settle();
        assert_eq!((cache.bytes(), cache.module(&module(7))), (0, 0));
    }
}
