//! The list of modules follows what is loaded.

use std::ffi::CStr;

use super::refreshed;
use crate::unwind::modules::Modules;
use crate::unwind::published::with_modules;
use crate::unwind::refresh;
use crate::unwind::rules::Rule;
use crate::unwind::table::Table;

#[test]
fn names_the_program_and_its_libraries() {
    let modules = Modules::read().to_core();
    let here = names_the_program_and_its_libraries as *const () as usize as u64;
    let program = modules.iter().find(|module| module.addresses.contains(&here)).expect("it is running");
    let path = std::env::current_exe().expect("it has a file");
    assert_eq!(program.path, path.to_string_lossy());
    assert!(here - program.bias < here || program.bias == 0);
    // The code in memory is what is in the file at the offset.
    let file = std::fs::read(&path).expect("it can be read");
    let start = (program.file_offset + (here - program.addresses.start)) as usize;
    // SAFETY: the code of a function, at least as long as its prologue.
    let code = unsafe { std::slice::from_raw_parts(here as *const u8, 16) };
    assert_eq!(&file[start..start + 16], code);
    let libc = modules.iter().find(|module| module.path.contains("libc.so")).expect("linked");
    assert!(libc.path.starts_with('/'));
    assert_eq!(libc.build_id.len(), 40, "{libc:?}");
    assert!(modules.iter().any(|module| module.path.contains("vdso")), "{modules:?}");
    assert!(modules.is_sorted_by(|left, right| left.addresses.end <= right.addresses.start));
}

/// Small libraries of glibc that nothing here links to.
const RARE: [&CStr; 4] = [c"libBrokenLocale.so.1", c"libanl.so.1", c"libutil.so.1", c"libnss_compat.so.2"];

fn published(name: &CStr) -> bool {
    let name = name.to_string_lossy();
    let listed = |modules: &Modules| modules.to_core().iter().any(|module| module.path.contains(&*name));
    with_modules(listed).expect("the list was read")
}

/// The table of a library, and an address of its code.
fn table_of(name: &CStr) -> (Table, u64) {
    let name = name.to_string_lossy();
    let found = with_modules(|modules| {
        let (module, table) = modules.tables().find(|(module, _)| module.path.contains(&*name))?;
        Some((table, module.addresses.start))
    });
    found.flatten().expect("it was published")
}

/// Other tests refresh too, and then it is they who are told; so it is tried until it is us.
#[test]
fn follows_what_is_loaded_and_unloaded() {
    refreshed();
    let (mut told_loaded, mut told_unloaded) = (false, false);
    for _ in 0..1000 {
        // SAFETY: libraries of the system, whose initialisers do nothing.
        let opened = RARE.iter().find_map(|&name| unsafe {
            let is_loaded = libc::dlopen(name.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
            assert!(is_loaded.is_null());
            let library = libc::dlopen(name.as_ptr(), libc::RTLD_LAZY);
            (!library.is_null()).then_some((name, library))
        });
        let (name, library) = opened.expect("glibc comes with them");
        told_loaded |= refresh();
        while !published(name) {
            refresh();
        }
        assert!(!refresh());
        let (table, address) = table_of(name);
        assert!(table.rule(address).is_some_and(|rule| rule != Rule::STOP));
        // SAFETY: it was opened above.
        assert_eq!(unsafe { libc::dlclose(library) }, 0);
        // The list still has it; its memory is gone, or somebody else's.
        assert_eq!(table.rule(address), None);
        told_unloaded |= refresh();
        while published(name) {
            refresh();
        }
        if told_loaded && told_unloaded {
            return;
        }
    }
    panic!("refresh never said that something changed");
}
