//! From a snapshot's addresses to tables of names: each address is asked for once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::heap::{CodeFrame, HeapSnapshot, Module, Names, ProcessMemory, ProfilerStatus};

use super::check::Total;
use super::{Function, Header, Line, Location, Mapping, Memory, MemoryPart, Parts, Profile, Stack, Status};
use crate::metric::Metric;

impl Profile {
    /// The snapshot with names.
    ///
    /// Tables are in the order in which the snapshot's stacks come to their entries. An address of which
    /// `names` knows no function (or only `0x…`) has no lines: formats show it by its module. Allocates some
    /// 400 bytes for each stack, 8 for each of its frames, and the tables; names are shared, not copied.
    pub fn new(snapshot: &HeapSnapshot, names: &dyn Names) -> Profile {
        let mut tables = Tables::new(&snapshot.modules);
        let mut total = Total::default();
        let stack = |stack: &plimsoll_core::heap::StackProfile| Stack {
            id: stack.id,
            locations: snapshot
                .addresses_of(stack)
                .iter()
                .map(|&address| tables.location(address, names))
                .collect(),
            truncated: stack.truncated,
            allocated: total.clamp(stack.allocated),
            freed: stack.freed,
            generations: stack.generations,
            growth: stack.growth,
        };
        let stacks = snapshot.stacks.iter().map(stack).collect();
        let header = Header {
            origin: String::new(),
            taken_unix_ms: snapshot.taken_unix_ms,
            since_start_ms: ms(snapshot.since_start),
            epoch_ms: ms(snapshot.epoch),
            interval: snapshot.interval,
            metrics: Metric::ALL.to_vec(),
            status: Some(Status::from(&snapshot.status)),
            memory: snapshot.memory.as_ref().map(Memory::from),
        };
        let mappings = snapshot.modules.iter().map(Mapping::from).collect();
        let Tables { functions, locations, .. } = tables;
        Profile { parts: Parts { header, mappings, functions, locations, stacks } }
    }
}

/// The tables while they grow, with what finds an entry again.
struct Tables {
    /// Start, end and index of the modules, by start.
    modules: Vec<(u64, u64, u32)>,
    functions: Vec<Function>,
    locations: Vec<Location>,
    function_of: BTreeMap<(Arc<str>, Option<Arc<str>>), u32>,
    location_of: BTreeMap<u64, u32>,
}

impl Tables {
    fn new(modules: &[Module]) -> Tables {
        let range =
            |(index, module): (usize, &Module)| (module.addresses.start, module.addresses.end, number(index));
        let mut modules: Vec<_> = modules.iter().enumerate().map(range).collect();
        modules.sort_unstable();
        let (functions, locations) = (Vec::new(), Vec::new());
        Tables { modules, functions, locations, function_of: BTreeMap::new(), location_of: BTreeMap::new() }
    }

    fn location(&mut self, return_address: u64, names: &dyn Names) -> u32 {
        if let Some(&known) = self.location_of.get(&return_address) {
            return known;
        }
        let address = return_address.saturating_sub(1);
        let frames = names.at(return_address);
        let lines = match frames {
            [only] if is_number(only) => Vec::new(),
            frames => frames.iter().map(|frame| self.line(frame)).collect(),
        };
        let index = number(self.locations.len());
        self.locations.push(Location { address, mapping: self.mapping(address), lines });
        self.location_of.insert(return_address, index);
        index
    }

    fn mapping(&self, address: u64) -> Option<u32> {
        let after = self.modules.partition_point(|&(start, _, _)| start <= address);
        let &(_, end, index) = self.modules.get(after.checked_sub(1)?)?;
        (address < end).then_some(index)
    }

    fn line(&mut self, frame: &CodeFrame) -> Line {
        let key = (frame.function.clone(), frame.file.clone());
        let functions = &mut self.functions;
        let function = *self.function_of.entry(key).or_insert_with_key(|(name, file)| {
            functions.push(Function { name: name.clone(), file: file.clone() });
            number(functions.len() - 1)
        });
        Line { function, line: frame.line.filter(|&line| line > 0) }
    }
}

/// Whether nobody knew the function.
fn is_number(frame: &CodeFrame) -> bool {
    frame.file.is_none() && frame.function.starts_with("0x")
}

/// An index of a table. A table of 2^32 entries would be over 100 GiB: none is made.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a table of 2^32 entries does not fit into memory")
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<&Module> for Mapping {
    fn from(module: &Module) -> Self {
        Mapping {
            path: module.path.as_str().into(),
            build_id: module.build_id.as_str().into(),
            start: module.addresses.start,
            end: module.addresses.end,
            file_offset: module.file_offset,
            bias: module.bias,
        }
    }
}

impl From<&ProcessMemory> for Memory {
    fn from(memory: &ProcessMemory) -> Self {
        let part = |part: &plimsoll_core::heap::MemoryPart| MemoryPart {
            name: part.name.to_owned(),
            resident_bytes: part.resident_bytes,
        };
        Memory { resident_bytes: memory.resident_bytes, parts: memory.parts.iter().map(part).collect() }
    }
}

impl From<&ProfilerStatus> for Status {
    fn from(status: &ProfilerStatus) -> Self {
        Status {
            running: status.running,
            interval_bytes: status.interval_bytes,
            adaptive: status.adaptive,
            cost_ppm: status.cost_ppm,
            samples: status.samples,
            // JSON has no word for what is not finite.
            samples_per_s: if status.samples_per_s.is_finite() { status.samples_per_s } else { 0.0 },
            live_samples: status.live_samples,
            stacks: status.stacks,
            dropped_large: status.dropped_large,
            dropped_small: status.dropped_small,
            dropped_stacks: status.dropped_stacks,
            dropped_names: status.dropped_names,
            truncated: status.truncated,
            unwind_method: status.unwind_method.name().to_owned(),
            own_bytes: status.own_bytes,
            range_bytes: status.range_bytes,
            range_wanted_bytes: status.range_wanted_bytes,
        }
    }
}
