//! Any bytes as the file of a module: every address gets a name, within the bounds, and no parser panics.
//! Start it with real programs as its corpus; from nothing it takes long to find an ELF file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_core::Bytes;
use plimsoll_core::heap::Module;
use plimsoll_symbols::{Limits, ProblemKind, Symbolizer};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("plimsoll-fuzz-symbols-{}", std::process::id()));
    std::fs::write(&path, bytes).expect("the fuzzer may write where it keeps its things");
    let module = Module {
        path: path.to_string_lossy().into_owned(),
        build_id: String::new(),
        addresses: 0..u64::MAX,
        file_offset: 0,
        bias: 0,
    };
    let limits = Limits {
        decompressed_max: Bytes::mib(4),
        work_max: Bytes::mib(16),
        debug_roots: Vec::new(),
        ..Limits::default()
    };
    let addresses: Vec<u64> = (0..4_096).map(|number| number * 16 + 1).collect();
    let resolved = Symbolizer::new(limits).resolve_addresses(&[module], &addresses);
    assert!(resolved.iter().all(|(_, frames)| !frames.is_empty() && frames.len() <= 128));
    let panicked = |kind: &ProblemKind| matches!(kind, ProblemKind::Panicked { .. });
    assert!(!resolved.problems.iter().any(|problem| panicked(&problem.kind)), "{:?}", resolved.problems);
});
