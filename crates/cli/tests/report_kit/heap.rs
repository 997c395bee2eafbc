//! A service by hand: a cache of 40 MiB, a log of 8 MiB, and 1 MiB of a library; and the same an hour later, built
//! anew, when the log has 20 MiB more.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::Bytes;
use plimsoll_core::heap::{
    Amount, CodeFrame, GENERATIONS, Generation, Growth, HeapSnapshot, MemoryPart, Module, Names,
    ProcessMemory, ProfilerStatus, StackProfile, UnwindMethod,
};
use plimsoll_verdict::Profile;

pub(crate) const MIB: u64 = 1 << 20;

struct Known(BTreeMap<u64, Vec<CodeFrame>>);

impl Names for Known {
    fn at(&self, address: u64) -> &[CodeFrame] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }
}

/// The service.
pub(crate) fn service() -> Profile {
    made(0, 8 * MIB, 0)
}

/// The same later.
pub(crate) fn service_later() -> Profile {
    made(3, 28 * MIB, 3_600_000)
}

/// A heap with one stack of one function, of whatever name.
pub(crate) fn of_function(name: &str) -> Profile {
    let mut heap = HeapSnapshot { taken_unix_ms: 1, ..HeapSnapshot::default() };
    stack(&mut heap, &[0x1011], (1, MIB), (0, 0), [1, 0]);
    Profile::new(&heap, &named(&[(0x1011, name, "src/a.rs", 1)]))
}

/// A heap with `count` functions, of which the first has the least.
pub(crate) fn of_functions(count: u64) -> Profile {
    let mut heap = HeapSnapshot { taken_unix_ms: 1, ..HeapSnapshot::default() };
    let names: Vec<String> = (0..count).map(|at| format!("app::f{at:03}")).collect();
    let frames: Vec<_> =
        (0x1001..).zip(&names).map(|(at, name)| (at, name.as_str(), "src/a.rs", 1)).collect();
    for at in 0..count {
        stack(&mut heap, &[0x1001 + at], (1, (at + 1) * 1024), (0, 0), [1, 0]);
    }
    Profile::new(&heap, &named(&frames))
}

fn made(moved: u32, log_bytes: u64, later_ms: u64) -> Profile {
    let names = named(&[
        (0x1011, "__rust_alloc", "", 0),
        (0x1021, "alloc::vec::Vec<T,A>::push", "/rustc/abc/library/alloc/src/vec/mod.rs", 2000),
        (0x1031, "<app::cache::Cache<K, V>>::fill", "src/cache.rs", 42 + moved),
        (0x1041, "app::log::Log<[u8; 4]>::append", "src/log.rs", 17 + moved),
        (0x1051, "bytes::BytesMut::reserve", "/x/.cargo/registry/src/index-19/bytes-1.12.1/src/lib.rs", 700),
        (0x1061, "app::main", "src/main.rs", 10 + moved),
    ]);
    let mut heap = HeapSnapshot::default();
    stack(&mut heap, &[0x1011, 0x1021, 0x1031, 0x1061], (4000, 50 * MIB), (1000, 10 * MIB), [100, 300]);
    stack(&mut heap, &[0x1011, 0x1041, 0x1061], (800, log_bytes), (0, 0), [16, 0]);
    stack(&mut heap, &[0x1011, 0x1051, 0x1061], (90, 9 * MIB), (80, 8 * MIB), [4, 0]);
    heap.taken_unix_ms = 1_795_266_338_250 + later_ms;
    heap.since_start = Duration::from_millis(3_600_500 + later_ms);
    heap.epoch = Duration::from_secs(10);
    heap.interval = Bytes::kib(512);
    heap.modules = vec![Module {
        path: "/opt/app/bin/app".to_owned(),
        build_id: "0123456789abcdef".to_owned(),
        addresses: 0x1000..0x2000,
        file_offset: 0,
        bias: 0,
    }];
    let part = |name, mib| MemoryPart { name, resident_bytes: mib * MIB };
    heap.memory = Some(ProcessMemory {
        resident_bytes: 80 * MIB,
        parts: vec![part("heap", 60), part("files", 12), part("other_anonymous", 8)],
    });
    heap.status = ProfilerStatus {
        running: true,
        interval_bytes: 512 << 10,
        samples: 5000,
        live_samples: 420,
        stacks: 3,
        dropped_small: 2,
        truncated: 50,
        unwind_method: UnwindMethod::CallFrameInformation,
        ..ProfilerStatus::default()
    };
    Profile::new(&heap, &names).with_origin("the test")
}

fn named(frames: &[(u64, &str, &str, u32)]) -> Known {
    let frame = |&(address, function, file, line): &(u64, &str, &str, u32)| {
        let file = (!file.is_empty()).then(|| file.into());
        (address, vec![CodeFrame { function: function.into(), file, line: (line > 0).then_some(line) }])
    };
    Known(frames.iter().map(frame).collect())
}

/// Adds a stack: what was allocated and freed, and how many samples live, young and old.
fn stack(
    heap: &mut HeapSnapshot,
    addresses: &[u64],
    allocated: (u64, u64),
    freed: (u64, u64),
    samples: [u64; 2],
) {
    let begin = heap.addresses.len();
    heap.addresses.extend(addresses);
    let mut generations = [Generation::default(); GENERATIONS];
    let all: u64 = samples.iter().sum();
    for (at, live_samples) in [0, 6].into_iter().zip(samples) {
        let live_bytes = (allocated.1 - freed.1) / all * live_samples;
        generations[at] = Generation { live_samples, live_bytes, died_samples: 0 };
    }
    let amount = |(objects, bytes)| Amount { objects, bytes };
    heap.stacks.push(StackProfile {
        id: heap.stacks.len() as u32 + 1,
        addresses: begin..heap.addresses.len(),
        truncated: false,
        allocated: amount(allocated),
        freed: amount(freed),
        generations,
        growth: Growth::default(),
    });
}
