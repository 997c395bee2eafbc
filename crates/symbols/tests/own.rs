//! This very test, looked at from inside: Rust functions with what was inlined into them, the line of each
//! call, and the program itself after its file was replaced. And the same addresses, asked of another reader.

mod kit;

use std::collections::HashSet;
use std::hint::black_box;
use std::path::PathBuf;

use kit::{limits, this_program};
use plimsoll_core::heap::{CodeFrame, Module, Names};
use plimsoll_symbols::{Limits, Symbolizer};

mod shop {
    use std::hint::black_box;

    #[inline(always)]
    pub(super) fn inner(n: u32) -> u32 {
        black_box(black_box(n) + INNER[0])
    }
    /// The line of the sum above.
    pub(super) const INNER: [u32; 1] = [line!() - 3];

    #[inline(never)]
    pub(super) fn outer<T: Into<u32>>(n: T) -> u32 {
        inner(n.into()) * 3
    }
    /// The line of the call above.
    pub(super) const OUTER: u32 = line!() - 3;
}

fn nowhere() -> Limits {
    limits(&PathBuf::from("/nonexistent"))
}

/// All addresses of the first so many bytes of a function.
fn addresses(start: usize, length: u64) -> Vec<u64> {
    (start as u64 + 1..start as u64 + length).collect()
}

fn assert_shop(module: &Module) {
    assert!(black_box(shop::outer(black_box(3_u16))) > 0);
    let addresses = addresses(shop::outer::<u16> as fn(u16) -> u32 as usize, 64);
    let resolved = Symbolizer::new(nowhere()).resolve_addresses(std::slice::from_ref(module), &addresses);
    assert_eq!(resolved.problems, []);
    let this = |frame: &CodeFrame, function: &str, line: u32| {
        frame.function.contains(function)
            && frame.file.as_deref().is_some_and(|file| file.ends_with("tests/own.rs"))
            && frame.line == Some(line)
    };
    let found = addresses.iter().any(|&address| {
        let frames = resolved.at(address);
        frames.iter().zip(frames.iter().skip(1)).any(|(inner, outer)| {
            this(inner, "own::shop::inner", shop::INNER[0]) && this(outer, "own::shop::outer", shop::OUTER)
        })
    });
    assert!(found, "{:#?}", resolved.iter().map(|(_, frames)| kit::short(frames)).collect::<HashSet<_>>());
    let hash =
        |name: &str| name.rsplit("::").next().is_some_and(|last| last.len() == 17 && last.starts_with('h'));
    assert!(resolved.iter().flat_map(|(_, frames)| frames).all(|frame| !hash(&frame.function)));
}

#[test]
fn functions_inlined_ones_and_the_lines_of_calls() {
    assert_shop(&this_program());
}

#[test]
fn the_program_is_found_where_the_kernel_has_it() {
    let module = this_program();
    let gone = Module { path: "/nonexistent/service (deleted)".to_owned(), ..module.clone() };
    assert_shop(&gone);
    // Another build in its place: the file has another build id, this process still runs the old one.
    let place = kit::Place::new("replaced");
    let other = place.program("service", &[]);
    let replaced = Module { path: other.path.to_string_lossy().into_owned(), ..module };
    assert_shop(&replaced);
}

#[test]
fn the_same_every_time() {
    let module = this_program();
    let addresses: Vec<u64> = module.addresses.clone().step_by(997).take(2_000).collect();
    let modules = [module];
    let mut one = Symbolizer::new(nowhere());
    let first = one.resolve_addresses(&modules, &addresses);
    assert_eq!(first, one.resolve_addresses(&modules, &addresses));
    assert_eq!(first, Symbolizer::new(nowhere()).resolve_addresses(&modules, &addresses));
    // And one by one, as the cache of a long-running service is filled.
    let mut slow = Symbolizer::new(nowhere());
    for address in addresses.iter().step_by(100) {
        assert_eq!(slow.resolve_addresses(&modules, &[*address]).at(*address), first.at(*address));
    }
}

/// `addr2line` reads the same sections with code of its own above the parser: ranges, inlined functions and
/// lines must be the same at every address.
#[test]
fn another_reader_says_the_same() {
    let module = this_program();
    let other = addr2line::Loader::new(&module.path).expect("this program has debug information");
    let addresses: Vec<u64> = module.addresses.clone().step_by(491).take(4_000).collect();
    let resolved = Symbolizer::new(nowhere()).resolve_addresses(std::slice::from_ref(&module), &addresses);
    let mut compared = 0;
    for address in addresses {
        let mut theirs = Vec::new();
        let probe = address - module.bias - 1;
        let mut frames = other.find_frames(probe).expect("it reads its own kind of file");
        while let Some(frame) = frames.next().expect("it reads its own kind of file") {
            let name = frame.function.map(|name| readable(&name.raw_name().expect("names are text")));
            let place = frame.location.map(|place| (place.file.map(str::to_owned), place.line));
            theirs.push((name, place.unwrap_or_default()));
        }
        if theirs.is_empty() {
            continue;
        }
        let ours: Vec<_> = resolved
            .at(address)
            .iter()
            .zip(&theirs)
            .map(|(frame, (name, _))| {
                // Where they know no function, ours is from the symbol table.
                let function = name.as_ref().map(|_| frame.function.to_string());
                (function, (frame.file.as_ref().map(|file| file.to_string()), frame.line))
            })
            .collect();
        assert_eq!(resolved.at(address).len(), theirs.len(), "at {probe:#x}");
        assert_eq!(ours, theirs, "at {probe:#x}");
        compared += 1;
    }
    assert!(compared > 1_000, "{compared}");
}

/// As these tests need it: Rust names without the hash, the few C names as they are.
fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}
