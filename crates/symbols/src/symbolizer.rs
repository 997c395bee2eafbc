//! From the addresses of a snapshot to names: each address's module, the cache, and one lookup for each module
//! that has addresses left.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use plimsoll_core::heap::{CodeFrame, HeapSnapshot, Module, NAMED};
use plimsoll_core::{Counter, Observe, Reading, Unit};

use crate::cache::{Cache, Key};
use crate::limits::{Limits, PROBLEMS_MAX, Sources};
use crate::lookup::{Looked, look_up};
use crate::problem::{Problem, ProblemKind};
use crate::resolved::Resolved;
use crate::source::Outlines;
use crate::text::Text;

type Frames = Arc<[CodeFrame]>;

/// Names addresses, and remembers within its [`Limits`] what it found.
///
/// Between two calls it has no file open and keeps only its cache. A call reads files and takes from a
/// millisecond to, for a file that was made to be dear, some seconds for each module: it is for a thread of its
/// own, not for an executor's and never for the profiler's. It uses little of the stack.
pub struct Symbolizer {
    limits: Limits,
    cache: Cache,
    outlines: Outlines,
    asked: u64,
    looked_up: u64,
}

impl Symbolizer {
    /// One that knows nothing yet. Allocates nothing but the limits' paths.
    pub fn new(limits: Limits) -> Self {
        let cache = Cache::new(limits.addresses_max, limits.cache_max.as_u64());
        Self { limits, cache, outlines: Outlines::default(), asked: 0, looked_up: 0 }
    }

    /// How many bytes are kept now, those of source files included.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.bytes() + self.outlines.bytes()
    }

    /// What the addresses of a snapshot are called: see [`Symbolizer::resolve_addresses`].
    pub fn resolve(&mut self, snapshot: &HeapSnapshot) -> Resolved {
        let code: Vec<u64> = snapshot.addresses.iter().copied().filter(|&address| address <= NAMED).collect();
        let mut resolved = self.resolve_addresses(&snapshot.modules, &code);
        let named = snapshot.named.iter().zip(NAMED + 1..);
        resolved.frames.extend(named.map(|(frame, address)| (address, Arc::from([frame.clone()]))));
        resolved
    }

    /// What some return addresses are called, in the process that had these modules mapped.
    ///
    /// The call is in the instruction before, so each is looked up at one less. Those that are not in the cache
    /// are looked up module by module. Every address gets a name, if only that of its module or its number;
    /// what was missing stands in [`Resolved::problems`], also when the names come from the cache. The same
    /// addresses and files give the same answer.
    ///
    /// Allocates some hundred bytes for each different address, the names within `answer_max`, and while it
    /// runs what [`Limits`] says.
    pub fn resolve_addresses(&mut self, modules: &[Module], addresses: &[u64]) -> Resolved {
        let mut wanted = addresses.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        self.asked += wanted.len() as u64;

        let map = Map::new(modules);
        // A file that is mapped in several pieces is one module, so they are grouped by number; the index is
        // that of the first piece.
        let mut touched: BTreeMap<usize, u32> = BTreeMap::new();
        let mut numbers: HashMap<usize, u32> = HashMap::new();
        let mut open: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut found: Vec<(u64, Option<Key>, Option<Frames>)> = Vec::with_capacity(wanted.len());
        for address in wanted {
            let Some(index) = map.find(address.wrapping_sub(1)) else {
                found.push((address, None, None));
                continue;
            };
            let module = &modules[index];
            let number = *numbers.entry(index).or_insert_with(|| {
                let number = self.cache.module(module);
                if !touched.values().any(|&known| known == number) {
                    touched.insert(index, number);
                }
                number
            });
            let key = (number, address.wrapping_sub(module.bias).wrapping_sub(1));
            let frames = self.cache.get(key);
            if frames.is_none() {
                open.entry(number).or_default().push(key.1);
            }
            found.push((address, Some(key), frames));
        }

        let fresh = self.look_up(modules, &touched, open);
        let mut resolved = Resolved::default();
        resolved.frames.reserve_exact(found.len());
        for (address, key, frames) in found {
            let frames = frames.or_else(|| key.and_then(|(number, probe)| fresh.get(&number)?.get(probe)));
            resolved.frames.push((address, frames.unwrap_or_else(|| nobody_knows(address))));
        }
        for (index, number) in touched {
            let full = ProblemKind::AnswerFull { limit: self.limits.answer_max };
            let full = fresh.get(&number).filter(|fresh| !fresh.looked.complete).map(|_| &full);
            for kind in self.cache.problems(number).iter().chain(full) {
                if resolved.problems.len() == PROBLEMS_MAX {
                    resolved.problems_left_off += 1;
                    continue;
                }
                let Module { path, build_id, .. } = &modules[index];
                let (module, build_id) = (path.clone(), build_id.clone());
                resolved.problems.push(Problem { module, build_id, kind: kind.clone() });
            }
        }
        self.cache.settle();
        resolved
    }

    /// Looks up what the cache had not, module by module, and keeps of it what there is room for.
    fn look_up(
        &mut self,
        modules: &[Module],
        touched: &BTreeMap<usize, u32>,
        mut open: HashMap<u32, Vec<u64>>,
    ) -> BTreeMap<u32, Fresh> {
        let mut fresh = BTreeMap::new();
        let mut text = Text::new(self.cache.names(), self.limits.answer_max.as_u64());
        for (&index, &number) in touched {
            let Some(mut probes) = open.remove(&number) else { continue };
            probes.sort_unstable();
            probes.dedup();
            self.looked_up += probes.len() as u64;
            let looked = look_up(&modules[index], &probes, &self.limits, &mut self.outlines, &mut text);
            fresh.insert(number, Fresh { probes, looked });
        }
        drop(text);
        // In order, so that it is always the same ones that find no room.
        for (&number, Fresh { probes, looked }) in &fresh {
            self.cache.add_problems(number, &looked.problems);
            // What had no room in this answer may have some in the next, so it is not remembered.
            if looked.complete {
                for (&probe, frames) in probes.iter().zip(&looked.frames) {
                    self.cache.put((number, probe), frames);
                }
            }
        }
        fresh
    }

    /// Forgets what was found, for instance because debug files were installed.
    pub fn forget(&mut self) {
        self.cache.clear();
        self.outlines.clear();
    }

    /// The limits it works under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// What was looked up of one module in this call.
struct Fresh {
    /// Sorted; each has its frames at the same place of the other list.
    probes: Vec<u64>,
    looked: Looked,
}

impl Fresh {
    fn get(&self, probe: u64) -> Option<Frames> {
        let index = self.probes.binary_search(&probe).ok()?;
        self.looked.frames.get(index).cloned()
    }
}

impl std::fmt::Debug for Symbolizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbolizer")
            .field("addresses", &self.cache.addresses())
            .field("bytes", &self.cache.bytes())
            .finish_non_exhaustive()
    }
}

impl Observe for Symbolizer {
    fn observe(&self, out: &mut Vec<Reading>) {
        out.push(Reading {
            name: "symbols.addresses".to_owned(),
            unit: Unit::Items,
            limit: self.limits.addresses_max as u64,
            used: self.cache.addresses() as u64,
            peak: self.cache.addresses_peak as u64,
            rejected: self.cache.evicted,
            counters: vec![
                Counter { name: "asked", value: self.asked },
                Counter { name: "looked_up", value: self.looked_up },
            ],
        });
        out.push(Reading {
            name: "symbols.bytes".to_owned(),
            unit: Unit::Bytes,
            limit: self.limits.cache_max.as_u64(),
            used: self.cache.bytes(),
            peak: self.cache.bytes_peak,
            rejected: self.cache.evicted,
            counters: Vec::new(),
        });
        if self.limits.sources == Sources::AtHand {
            out.push(self.outlines.reading());
        }
    }
}

fn nobody_knows(address: u64) -> Arc<[CodeFrame]> {
    Arc::new([CodeFrame { function: format!("{address:#x}").into(), file: None, line: None }])
}

/// Modules by where they begin.
struct Map {
    /// Begin, end and index of each, sorted.
    pieces: Vec<(u64, u64, usize)>,
}

impl Map {
    fn new(modules: &[Module]) -> Self {
        let mut pieces: Vec<_> = modules
            .iter()
            .enumerate()
            .map(|(index, module)| (module.addresses.start, module.addresses.end, index))
            .filter(|(start, end, _)| start < end)
            .collect();
        pieces.sort_unstable();
        Self { pieces }
    }

    /// The module at an address. Where a snapshot has several at one place, the one that begins last.
    fn find(&self, address: u64) -> Option<usize> {
        let after = self.pieces.partition_point(|(start, ..)| *start <= address);
        let (_, end, index) = *self.pieces.get(after.checked_sub(1)?)?;
        (address < end).then_some(index)
    }
}
