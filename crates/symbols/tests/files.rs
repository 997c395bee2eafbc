//! Which file the names come from: the program, its separate debug file wherever that is kept, its symbol
//! tables; and which file they must not come from, however well it looks.

mod kit;

use std::fs;

use kit::{Place, ask, assert_complete, kinds, limits, nameless, names, short};
use plimsoll_core::Bytes;
use plimsoll_core::heap::Names;
use plimsoll_symbols::{Limits, ProblemKind, SymbolTable, Symbolizer};

#[test]
fn functions_lines_and_what_was_inlined() {
    let place = Place::new("plain");
    for options in [&["-gdwarf-5"][..], &["-gdwarf-4"], &["-gdwarf-3"], &["-O2", "-gdwarf-5"]] {
        let program = place.program("shop", options);
        assert_complete(&ask(&program, limits(&place.path("none"))), &program);
    }
}

#[test]
fn without_any_build_id() {
    let place = Place::new("no-id");
    let program = place.program("shop", &["-Wl,--build-id=none"]);
    assert_eq!(program.module().build_id, "");
    assert_complete(&ask(&program, limits(&place.path("none"))), &program);
}

#[test]
fn compressed_sections() {
    let place = Place::new("packed");
    let program = place.program("shop", &[]);
    for kind in ["zlib", "zlib-gnu", "zstd"] {
        let packed = program.copy(place.path(kind));
        packed.change("objcopy", &[&format!("--compress-debug-sections={kind}")]);
        assert_complete(&ask(&packed, limits(&place.path("none"))), &packed);

        let small = Limits { decompressed_max: Bytes::new(100), ..limits(&place.path("none")) };
        let resolved = ask(&packed, small);
        let [ProblemKind::DecompressedTooLarge { limit, size, .. }] = kinds(&resolved)[..] else {
            panic!("{kind}: {:?}", resolved.problems)
        };
        assert!(*limit == Bytes::new(100) && size > limit);
        assert_eq!(names(&resolved, &packed, "till"), [("shop::till(int)".to_owned(), None, None)]);
    }
}

#[test]
fn a_debug_file_by_its_link() {
    let place = Place::new("link");
    let root = place.make_directory("root");
    // With build ids the debug file is held to these; without, to the checksum.
    for id in ["-Wl,--build-id=sha1", "-Wl,--build-id=none"] {
        let program = place.program("shop", &[id]);
        let debug = program.copy(place.path("shop.debug"));
        debug.change("objcopy", &["--only-keep-debug"]);
        let link = format!("--add-gnu-debuglink={}", debug.path.display());
        program.change("strip", &[]);
        program.change("objcopy", &[&link]);
        assert_complete(&ask(&program, limits(&root)), &program);

        place.make_directory(".debug");
        fs::rename(&debug.path, place.path(".debug/shop.debug")).expect("both are in the place");
        assert_complete(&ask(&program, limits(&root)), &program);

        let directory = program.path.parent().expect("it is in the place");
        let below = root.join(directory.strip_prefix("/").expect("the place's path is absolute"));
        fs::create_dir_all(&below).expect("the place is ours to write");
        let below = below.join("shop.debug");
        fs::rename(place.path(".debug/shop.debug"), &below).expect("both are in the place");
        assert_complete(&ask(&program, limits(&root)), &program);

        // One of another build in its place is not used, and said.
        let other = place.program("other", &[id, "-O2", "-DOTHER=1", "-fno-omit-frame-pointer"]);
        fs::rename(&other.path, &below).expect("both are in the place");
        let resolved = ask(&program, limits(&root));
        let problems = kinds(&resolved);
        assert!(
            matches!(
                problems[..],
                [
                    ProblemKind::DebugFileDiffers { .. },
                    ProblemKind::NoDebugInfo { symbols: SymbolTable::Dynamic }
                ]
            ),
            "{problems:?}"
        );
        assert_eq!(names(&resolved, &program, "till"), [("shop::till(int)".to_owned(), None, None)]);
        fs::remove_file(&below).expect("it was just put there");
    }
}

#[test]
fn a_debug_file_by_its_build_id() {
    let place = Place::new("by-id");
    let program = place.program("shop", &[]);
    let id = program.module().build_id;
    let (first, rest) = id.split_at(2);
    let directory = place.make_directory(&format!("root/.build-id/{first}"));
    let debug = program.copy(directory.join(format!("{rest}.debug")));
    debug.change("objcopy", &["--only-keep-debug"]);
    program.change("strip", &[]);
    assert_complete(&ask(&program, limits(&place.path("root"))), &program);

    // The program itself is not needed for that, whether it is gone or was replaced.
    let module = program.module();
    fs::remove_file(&program.path).expect("it is ours");
    let resolved = Symbolizer::new(limits(&place.path("root")))
        .resolve_addresses(std::slice::from_ref(&module), &program.all());
    assert_complete(&resolved, &program);
    let new = place.program("shop", &["-O2"]);
    assert_ne!(new.module().build_id, module.build_id);
    let resolved = Symbolizer::new(limits(&place.path("root"))).resolve_addresses(&[module], &program.all());
    assert_complete(&resolved, &program);
}

#[test]
fn symbol_tables_when_there_is_no_debug_information() {
    let place = Place::new("stripped");
    let program = place.program("shop", &[]);
    program.change("strip", &["--strip-debug"]);
    let resolved = ask(&program, limits(&place.path("none")));
    assert_eq!(kinds(&resolved), [&ProblemKind::NoDebugInfo { symbols: SymbolTable::Full }]);
    for (at, function) in [
        ("inner", "outer"),
        ("outer", "outer"),
        ("till", "shop::till(int)"),
        ("shelf", "shop::shelf::add"),
        ("hidden", "hidden"),
    ] {
        assert_eq!(names(&resolved, &program, at), [(function.to_owned(), None, None)]);
    }

    program.change("strip", &[]);
    let resolved = ask(&program, limits(&place.path("none")));
    assert_eq!(kinds(&resolved), [&ProblemKind::NoDebugInfo { symbols: SymbolTable::Dynamic }]);
    assert_eq!(names(&resolved, &program, "till"), [("shop::till(int)".to_owned(), None, None)]);
    assert_eq!(names(&resolved, &program, "hidden"), nameless(&program, "hidden"));

    let bare = place.program("bare", &["-static-pie"]);
    bare.change("strip", &["-R", ".dynsym"]);
    let resolved = ask(&bare, limits(&place.path("none")));
    assert_eq!(kinds(&resolved), [&ProblemKind::NoDebugInfo { symbols: SymbolTable::None }]);
    for (at, _) in &bare.addresses {
        assert_eq!(names(&resolved, &bare, at), nameless(&bare, at));
    }
}

/// Rust's bare line tables call a function `add<u8>` and its symbol `rusty::shop::add`, with a hash; half a name
/// each.
#[test]
fn bare_line_tables_get_their_paths_from_the_symbols() {
    let place = Place::new("rusty");
    let source = place.path("rusty.rs");
    let text = "
        pub mod shop {
            #[inline(never)]
            pub fn add<T: std::fmt::Display>(what: T) -> usize { format!(\"{what}\").len() }
        }
        fn main() { std::process::exit(shop::add(std::hint::black_box(7_u8)) as i32 - 1) }
    ";
    fs::write(&source, text).expect("the place is ours to write");
    let path = place.path("rusty").to_string_lossy().into_owned();
    let options = ["-Copt-level=1", "-Cdebuginfo=line-tables-only", "-o", &path, &source.to_string_lossy()];
    kit::run("rustc", &options);
    let symbols = kit::run("nm", &[&path]);
    let line = symbols.lines().find(|line| line.contains("shop3add")).expect("it is not inlined");
    let (address, _) = line.split_once(' ').expect("nm writes an address first");
    let address = kit::BIAS + u64::from_str_radix(address, 16).expect("nm writes hexadecimal") + 1;
    let module = kit::module_of(std::path::Path::new(&path), &kit::build_id(std::path::Path::new(&path)));
    let resolved = Symbolizer::new(limits(&place.path("none"))).resolve_addresses(&[module], &[address]);
    assert_eq!(resolved.problems, []);
    let [(function, file, line)] = &short(resolved.at(address))[..] else {
        panic!("nothing is inlined at its start")
    };
    assert_eq!(function.replace("::<", "<"), "rusty::shop::add<u8>");
    assert_eq!((file.as_deref(), *line), (Some("rusty.rs"), Some(4)));
}

#[test]
fn split_debug_information_is_said() {
    let place = Place::new("split");
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let program = place.program("shop", &["-gsplit-dwarf", version]);
        let resolved = ask(&program, limits(&place.path("none")));
        assert_eq!(kinds(&resolved), [&ProblemKind::SplitDebugInfo], "{version}");
        let [(function, file, _)] = &names(&resolved, &program, "till")[..] else { panic!("one frame") };
        assert_eq!((&**function, file.as_deref()), ("shop::till(int)", Some("shop.c")));
    }
}

#[test]
fn a_supplementary_file_that_is_missing_or_another_is_said() {
    let place = Place::new("shared-names");
    let program = place.program("shop", &[]);
    let link = place.path("link");
    fs::write(&link, [&b"names.debug\0"[..], &[7; 20]].concat()).expect("the place is ours to write");
    program.change("objcopy", &["--add-section", &format!(".gnu_debugaltlink={}", link.display())]);
    for other in [false, true] {
        if other {
            fs::copy(&program.path, place.path("names.debug")).expect("the place is ours to write");
        }
        let resolved = ask(&program, limits(&place.path("none")));
        let file = "names.debug".to_owned();
        assert_eq!(kinds(&resolved), [&ProblemKind::SupplementaryMissing { file }]);
        assert_eq!(names(&resolved, &program, "inner").len(), 3);
    }
    // One that is the right one, though without any names in it that are needed.
    let id: String = program.module().build_id;
    let bytes =
        (0..20).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).expect("an id is hexadecimal"));
    fs::write(&link, b"names.debug\0".iter().copied().chain(bytes).collect::<Vec<u8>>()).expect("it is ours");
    let update = format!(".gnu_debugaltlink={}", link.display());
    program.change("objcopy", &["--update-section", &update]);
    assert_complete(&ask(&program, limits(&place.path("none"))), &program);
}

#[test]
fn a_file_of_another_build_is_not_used() {
    let place = Place::new("changed");
    let program = place.program("shop", &[]);
    let old = program.module();
    let new = place.program("shop", &["-O2"]).module().build_id;
    assert_ne!(old.build_id, new);
    let mut symbolizer = Symbolizer::new(limits(&place.path("none")));
    let resolved = symbolizer.resolve_addresses(std::slice::from_ref(&old), &program.all());
    assert_eq!(kinds(&resolved), [&ProblemKind::Changed { found: new.clone() }]);
    assert!(resolved.problems[0].to_string().contains(&new));
    for (at, _) in &program.addresses {
        assert_eq!(names(&resolved, &program, at), nameless(&program, at));
    }

    // One that has none is another than one that has.
    program.change("strip", &["-R", ".note.gnu.build-id"]);
    let resolved = Symbolizer::new(limits(&place.path("none"))).resolve_addresses(&[old], &program.all());
    assert_eq!(kinds(&resolved), [&ProblemKind::Changed { found: String::new() }]);
}

#[test]
fn a_deleted_file() {
    let place = Place::new("deleted");
    let program = place.program("shop", &[]);
    let mut module = program.module();
    module.path.push_str(" (deleted)");
    let ask = |module: &plimsoll_core::heap::Module| {
        Symbolizer::new(limits(&place.path("none")))
            .resolve_addresses(std::slice::from_ref(module), &program.all())
    };
    // Put back, and the same: its build id says so.
    assert_complete(&ask(&module), &program);
    fs::remove_file(&program.path).expect("it is ours");
    let resolved = ask(&module);
    assert_eq!(kinds(&resolved), [&ProblemKind::Missing]);
    assert_eq!(names(&resolved, &program, "till"), nameless(&program, "till"));
}

#[test]
fn what_is_not_a_program_is_said() {
    let place = Place::new("odd");
    let program = place.program("shop", &[]);
    let said = |what: &str, limits: Limits| {
        let odd = program.at(place.path(what));
        let module = kit::module_of(&odd.path, "");
        let resolved = Symbolizer::new(limits).resolve_addresses(&[module], &program.all());
        assert_eq!(short(resolved.at(program.address("till"))), nameless(&odd, "till"));
        resolved.problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("; ")
    };
    let none = || limits(&place.path("none"));
    fs::write(place.path("text"), "#!/bin/sh\n").expect("the place is ours to write");
    fs::write(place.path("empty"), "").expect("the place is ours to write");
    fs::write(place.path("narrow"), b"\x7fELF\x01\x01\x01_________").expect("the place is ours to write");
    place.make_directory("directory");
    kit::run("mkfifo", &[&place.path("pipe").to_string_lossy()]);
    for (what, message) in [
        ("text", "not an ELF file"),
        ("empty", "not an ELF file"),
        ("narrow", "not of 64 bits"),
        ("directory", "not a file"),
        ("pipe", "not a file"),
        ("absent", "gone"),
    ] {
        let told = said(what, none());
        assert!(told.contains(message), "{what}: {told}");
    }
    let told = said("shop", Limits { debug_file_max: Bytes::new(99), ..none() });
    assert!(told.contains("at most 99"), "{told}");
}
