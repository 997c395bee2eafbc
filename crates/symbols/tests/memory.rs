//! One test in one program: that naming thousands of addresses of a large file takes a few megabytes while it
//! lasts and gives them back. It looks at the resident memory, which other tests beside it would blur; the
//! bounds are wide, as the system's allocator keeps some of what it was given back.

mod kit;

use std::fs;
use std::path::PathBuf;

use plimsoll_symbols::Symbolizer;

/// How much more may be resident while it resolves: the window of one file, tables of one unit, the names.
const PEAK_MAX: u64 = 12 << 20;
/// How much may stay: the cache with its names, and what the allocator keeps.
const REST_MAX: u64 = 6 << 20;

fn resident(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("every process may read its own");
    let line = status.lines().find_map(|one| one.strip_prefix(line)).expect("Linux writes that line");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("it is a number")
        << 10
}

#[test]
fn memory_is_modest_and_given_back() {
    let module = kit::this_program();
    let size = fs::metadata(&module.path).expect("it is running").len();
    assert!(size > 4 << 20, "{size} bytes are too few to show anything");
    let step = (module.addresses.end - module.addresses.start) / 4_000;
    let addresses: Vec<u64> = module.addresses.clone().step_by(step as usize).collect();
    let mut symbolizer = Symbolizer::new(kit::limits(&PathBuf::from("/nonexistent")));
    // One address first, so that the code itself is resident and not counted.
    drop(symbolizer.resolve_addresses(std::slice::from_ref(&module), &addresses[1_000..1_001]));
    let before = resident("VmRSS:");
    for _ in 0..5 {
        let resolved = symbolizer.resolve_addresses(std::slice::from_ref(&module), &addresses);
        assert_eq!(resolved.problems, []);
        let named = resolved.iter().filter(|(_, frames)| frames[0].line.is_some()).count();
        assert!(named > 1_000, "{named}");
        symbolizer.forget();
    }
    let (peak, after) = (resident("VmHWM:"), resident("VmRSS:"));
    assert!(peak < before + PEAK_MAX, "{before} before, {peak} at most");
    assert!(after < before + REST_MAX, "{before} before, {after} after");
}
