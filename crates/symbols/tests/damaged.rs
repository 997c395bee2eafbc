//! Files that are cut off or have wrong bits, as after a full disk or an update half done. Whatever they say,
//! the answer comes, every address has a name, and what was wrong is said; no panic, not even a contained one.

mod kit;

use std::fs;

use kit::{BIAS, Place, Program, Random, limits, module_of};
use plimsoll_core::Bytes;
use plimsoll_symbols::{Limits, ProblemKind, Resolved, Symbolizer};

/// Addresses all over the program, those of interest first.
fn probes(program: &Program) -> Vec<u64> {
    let mut all = program.all();
    all.extend((0x1000..0x2000).step_by(16).map(|address| BIAS + address));
    all
}

fn ask(bytes: &[u8], program: &Program, probes: &[u64]) -> Resolved {
    fs::write(&program.path, bytes).expect("the place is ours to write");
    // A second of work for what a sound copy needs a few milliseconds for.
    let limits = Limits {
        work_max: Bytes::mib(64),
        decompressed_max: Bytes::mib(4),
        ..limits(program.path.parent().expect("it is in a place"))
    };
    let resolved = Symbolizer::new(limits).resolve_addresses(&[module_of(&program.path, "")], probes);
    for (address, frames) in resolved.iter() {
        assert!(!frames.is_empty(), "{address:#x} has no name");
        assert!(frames.len() <= 128 && frames.iter().all(|frame| frame.function.len() <= 4_096));
    }
    for problem in &resolved.problems {
        assert!(!matches!(problem.kind, ProblemKind::Panicked { .. }), "{problem}");
    }
    resolved
}

fn kinds_of_program(place: &Place) -> Vec<(&'static str, Program)> {
    let bare = "-Wl,--build-id=none";
    let packed = |program: Program, kind: &str| {
        program.change("objcopy", &[&format!("--compress-debug-sections={kind}")]);
        program
    };
    let stripped = place.program("stripped", &[bare]);
    stripped.change("strip", &["--strip-debug"]);
    vec![
        ("version 5", place.program("five", &[bare, "-gdwarf-5"])),
        ("version 4", place.program("four", &[bare, "-gdwarf-4"])),
        ("split", place.program("split", &[bare, "-gsplit-dwarf"])),
        ("zlib", packed(place.program("zlib", &[bare]), "zlib")),
        ("zstd", packed(place.program("zstd", &[bare]), "zstd")),
        ("stripped", stripped),
    ]
}

/// A section's header, the last thing in these files; of its end nothing is read that could be missed.
const HEADER: u64 = 64;

#[test]
fn cut_off_anywhere() {
    let place = Place::new("cut");
    let mut random = Random(1);
    for (kind, program) in kinds_of_program(&place) {
        let whole = fs::read(&program.path).expect("it was just made");
        let probes = probes(&program);
        let odd = program.at(place.path("odd"));
        for round in 0..60 {
            // The first bytes and the last ones in turn, and anywhere between.
            let length = match round {
                0..20 => round * 8,
                20..30 => whole.len() as u64 - HEADER - (round - 20) * 24,
                _ => random.below(whole.len() as u64 - HEADER),
            };
            let resolved = ask(&whole[..length as usize], &odd, &probes);
            assert!(!resolved.problems.is_empty(), "{kind}, the first {length} bytes: nothing is said");
        }
    }
}

#[test]
fn bits_flipped_anywhere() {
    let place = Place::new("flipped");
    let mut random = Random(2);
    for (kind, program) in kinds_of_program(&place) {
        let whole = fs::read(&program.path).expect("it was just made");
        let probes = probes(&program);
        let odd = program.at(place.path("odd"));
        let sections = sections(&program);
        let mut said = 0;
        for round in 0..250 {
            let mut bytes = whole.clone();
            // In the header, in a section that is read, or anywhere; one bit, or whole bytes.
            for _ in 0..1 + random.below(4) {
                let at = match (round % 4, sections.len() as u64) {
                    (0, _) => random.below(64),
                    (1 | 2, count @ 1..) => {
                        let (offset, size) = sections[random.below(count) as usize];
                        offset + random.below(size)
                    }
                    _ => random.below(whole.len() as u64),
                };
                let byte = &mut bytes[at as usize];
                match random.below(3) {
                    0 => *byte = 0xff,
                    1 => *byte = random.below(256) as u8,
                    _ => *byte ^= 1 << random.below(8),
                }
            }
            said += usize::from(!ask(&bytes, &odd, &probes).problems.is_empty());
        }
        assert!(said > 20, "{kind}: of 250 damaged files only {said} were noticed");
    }
}

/// Where the sections that are read stand in the file, and how long they are.
fn sections(program: &Program) -> Vec<(u64, u64)> {
    let table = kit::run("readelf", &["-SW", &program.path.to_string_lossy()]);
    let wanted = [".debug_", ".symtab", ".strtab", ".shstrtab", ".dynsym", ".zdebug_"];
    let section = |line: &str| {
        let words: Vec<&str> = line.split_once(']')?.1.split_whitespace().collect();
        let number = |index: usize| u64::from_str_radix(words.get(index)?, 16).ok();
        wanted.iter().any(|name| words.first().is_some_and(|word| word.starts_with(name))).then_some(())?;
        Some((number(3)?, number(4)?)).filter(|(_, size)| *size > 0)
    };
    table.lines().filter_map(section).collect()
}

#[test]
fn a_size_that_was_made_up_takes_no_memory() {
    let place = Place::new("bomb");
    for kind in ["zlib", "zstd"] {
        let program = place.program("shop", &["-Wl,--build-id=none"]);
        program.change("objcopy", &[&format!("--compress-debug-sections={kind}")]);
        let whole = fs::read(&program.path).expect("it was just made");
        let table = kit::run("readelf", &["-SW", &program.path.to_string_lossy()]);
        let line = table.lines().find(|line| line.contains(".debug_info")).expect("it has debug information");
        let words: Vec<&str> =
            line.split_once(']').expect("lines have a number").1.split_whitespace().collect();
        let offset = usize::from_str_radix(words[3], 16).expect("readelf writes hexadecimal");
        for size in [u64::MAX, 1 << 40, (4 << 20) - 1, 1, 0] {
            let mut bytes = whole.clone();
            bytes[offset + 8..offset + 16].copy_from_slice(&size.to_le_bytes());
            let resolved = ask(&bytes, &program.at(place.path("odd")), &program.all());
            assert!(!resolved.problems.is_empty(), "{kind} {size}");
        }
    }
}
