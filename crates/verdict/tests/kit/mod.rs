//! Heaps to test with: one that a person can check by hand, and any number of random ones by their seed.
// Each file of tests uses its own part of the kit.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use plimsoll_core::Bytes;
use plimsoll_core::heap::{
    Amount, CodeFrame, GENERATIONS, Generation, Growth, HeapSnapshot, MemoryPart, Module, Names,
    ProcessMemory, ProfilerStatus, StackProfile, UnwindMethod,
};
use plimsoll_verdict::Profile;

/// Names by return address.
#[derive(Default)]
pub(crate) struct Known(pub(crate) BTreeMap<u64, Vec<CodeFrame>>);

impl Names for Known {
    fn at(&self, address: u64) -> &[CodeFrame] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }
}

impl Known {
    /// Names `address`: function, file and line, the innermost inlined one first.
    pub(crate) fn name(&mut self, address: u64, frames: &[(&str, &str, u32)]) {
        let frame = |&(function, file, line): &(&str, &str, u32)| CodeFrame {
            function: function.into(),
            file: (!file.is_empty()).then(|| file.into()),
            line: (line > 0).then_some(line),
        };
        self.0.insert(address, frames.iter().map(frame).collect());
    }
}

/// A heap under construction.
#[derive(Default)]
pub(crate) struct Heap {
    pub(crate) snapshot: HeapSnapshot,
    pub(crate) names: Known,
}

impl Heap {
    /// Adds a stack: its addresses, leaf first, what was allocated and freed of it, and samples that live.
    pub(crate) fn stack(
        &mut self,
        addresses: &[u64],
        allocated: (u64, u64),
        freed: (u64, u64),
        samples: u64,
    ) {
        let begin = self.snapshot.addresses.len();
        self.snapshot.addresses.extend(addresses);
        let mut generations = [Generation::default(); GENERATIONS];
        generations[0] = Generation {
            live_samples: samples,
            live_bytes: allocated.1.saturating_sub(freed.1),
            died_samples: 0,
        };
        let amount = |(objects, bytes)| Amount { objects, bytes };
        self.snapshot.stacks.push(StackProfile {
            id: self.snapshot.stacks.len() as u32 + 1,
            addresses: begin..self.snapshot.addresses.len(),
            truncated: false,
            allocated: amount(allocated),
            freed: amount(freed),
            generations,
            growth: Growth::default(),
        });
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile::new(&self.snapshot, &self.names)
    }
}

pub(crate) const MIB: u64 = 1 << 20;

/// A service with a cache that holds 40 MiB, a log that holds 8 MiB, and 1 MiB by a library.
pub(crate) fn service() -> Heap {
    let mut heap = Heap::default();
    let names = &mut heap.names;
    names.name(
        0x1011,
        &[
            (
                "<plimsoll_heap::Heap<A> as core::alloc::global::GlobalAlloc>::alloc",
                "crates/heap/src/lib.rs",
                7,
            ),
            ("__rust_alloc", "", 0),
        ],
    );
    names.name(
        0x1021,
        &[
            ("alloc::raw_vec::finish_grow", "/rustc/abc/library/alloc/src/raw_vec/mod.rs", 600),
            ("alloc::vec::Vec<T,A>::push", "/rustc/abc/library/alloc/src/vec/mod.rs", 2000),
            ("app::cache::Cache::fill", "src/cache.rs", 42),
        ],
    );
    names.name(0x1031, &[("app::main", "src/main.rs", 10)]);
    names.name(0x1041, &[("app::log::Log<[u8; 4]>::append", "src/log.rs", 17)]);
    let bytes = "/build/.cargo/registry/src/index-19/bytes-1.12.1/src/bytes_mut.rs";
    names.name(0x1051, &[("bytes::bytes_mut::BytesMut::reserve_inner", bytes, 700)]);
    names.name(0x1061, &[("<app::Conn as core::ops::Drop>::drop & \"more\"", "src/conn.rs", 3)]);
    heap.stack(&[0x1011, 0x1021, 0x1031], (4000, 50 * MIB), (1000, 10 * MIB), 400);
    heap.stack(&[0x1011, 0x1041, 0x1031], (800, 8 * MIB), (0, 0), 16);
    heap.stack(&[0x1011, 0x1051, 0x1061, 0x1031], (90, 9 * MIB), (80, 8 * MIB), 4);
    heap.stack(&[0x1011, 0x7f01], (7, 700), (7, 700), 0);
    heap.stack(&[0x1011, 0x7f01, 0x9999], (1, 512), (0, 0), 1);
    let snapshot = &mut heap.snapshot;
    snapshot.stacks[4].truncated = true;
    snapshot.stacks[0].growth = Growth { grown: 3, grown_bytes: 4096, longest_chain: 2 };
    snapshot.stacks[0].generations[9] = Generation { live_samples: 0, live_bytes: 0, died_samples: 100 };
    snapshot.taken_unix_ms = 1_795_266_338_250;
    snapshot.since_start = Duration::from_millis(3_600_500);
    snapshot.epoch = Duration::from_secs(10);
    snapshot.interval = Bytes::kib(512);
    snapshot.modules = vec![
        Module {
            path: "/opt/app/bin/app".to_owned(),
            build_id: "0123456789abcdef".to_owned(),
            addresses: 0x1000..0x2000,
            file_offset: 0x1000,
            bias: 0,
        },
        Module {
            path: "/usr/lib/libc.so.6".to_owned(),
            build_id: String::new(),
            addresses: 0x7000..0x8000,
            file_offset: 0x200,
            bias: 0x6000,
        },
    ];
    let part = |name, mib| MemoryPart { name, resident_bytes: mib * MIB };
    snapshot.memory = Some(ProcessMemory {
        resident_bytes: 80 * MIB,
        parts: vec![
            part("heap", 49),
            part("allocator_slack", 11),
            part("files", 12),
            part("other_anonymous", 8),
        ],
    });
    snapshot.status = ProfilerStatus {
        running: true,
        interval_bytes: 512 << 10,
        adaptive: true,
        cost_ppm: 1234,
        samples: 5000,
        samples_per_s: 1.389,
        live_samples: 421,
        stacks: 5,
        dropped_small: 2,
        truncated: 1,
        unwind_method: UnwindMethod::CallFrameInformation,
        own_bytes: 4 * MIB,
        range_bytes: 1 << 36,
        range_wanted_bytes: 1 << 36,
        ..ProfilerStatus::default()
    };
    heap
}

/// A heap that `seed` decides: names of strangers, unnamed places, no stacks at all.
pub(crate) fn random(seed: u64) -> Heap {
    let mut rng = Rng::with_seed(seed);
    let mut heap = Heap::default();
    let pieces =
        ["alloc::", "app::", "ö€", ";", "\n", " 12", "<T as ", ">::f", "malloc", "\"&<>", "\u{0}", "x"];
    let word = |rng: &mut Rng| -> String {
        (0..rng.usize(..5)).map(|_| *rng.choice(&pieces).expect("there are some")).collect()
    };
    let addresses: Vec<u64> =
        (0..rng.usize(1..30)).map(|_| if rng.u8(..9) == 0 { rng.u64(..) } else { rng.u64(..4096) }).collect();
    for &address in &addresses {
        let frames = (0..rng.usize(..4)).map(|_| (word(&mut rng), word(&mut rng), rng.u32(..99)));
        let frames: Vec<_> = frames.collect();
        let frames: Vec<_> =
            frames.iter().map(|(name, file, line)| (name.as_str(), file.as_str(), *line)).collect();
        heap.names.name(address, &frames);
    }
    for _ in 0..rng.usize(..5) {
        let start = rng.u64(..4000);
        heap.snapshot.modules.push(Module {
            path: word(&mut rng),
            build_id: word(&mut rng),
            addresses: start..start + rng.u64(..2000),
            file_offset: rng.u64(..999),
            bias: rng.u64(..),
        });
    }
    for _ in 0..rng.usize(..20) {
        let path: Vec<u64> =
            (0..rng.usize(..12)).map(|_| *rng.choice(&addresses).expect("there is one")).collect();
        // Now and then more than there can be.
        let top = if rng.u8(..30) == 0 { u64::MAX } else { 1 << rng.u32(..50) };
        let allocated = (rng.u64(..top), rng.u64(..top));
        let freed = (rng.u64(..=allocated.0), rng.u64(..=allocated.1));
        heap.stack(&path, allocated, freed, rng.u64(..50));
        let stack = heap.snapshot.stacks.last_mut().expect("it was put there");
        stack.truncated = rng.u8(..5) == 0;
        for generation in &mut stack.generations {
            generation.died_samples = rng.u64(..) >> rng.u32(..64);
        }
        stack.growth = Growth { grown: rng.u64(..9), grown_bytes: rng.u64(..), longest_chain: rng.u32(..) };
    }
    heap.snapshot.taken_unix_ms = rng.u64(..4_000_000_000_000);
    heap.snapshot.since_start = Duration::from_millis(rng.u64(..1 << 40));
    heap.snapshot.interval = Bytes::new(rng.u64(..1 << 30));
    heap.snapshot.status.samples_per_s = rng.f64() * 1e6;
    heap
}

/// What `write` wrote.
pub(crate) fn bytes<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out).expect("memory takes what is written");
    out
}

/// The same as text.
pub(crate) fn text<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> String {
    String::from_utf8(bytes(write)).expect("it is text")
}

/// Compares `text` with the file `name` in tests/data. `PLIMSOLL_BLESS=1` writes it instead: look at the
/// difference.
pub(crate) fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the tree can be written to");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} is not what it was; `PLIMSOLL_BLESS=1` writes it anew:\n{text}");
}
