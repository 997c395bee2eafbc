//! Libraries that come and go while stacks are read, without anybody saying so.

use std::ffi::{CStr, CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::against_libgcc::{look_from_c, with_tally};
use super::refreshed;
use crate::unwind::records::ModuleRecords;
use crate::unwind::{forget_rules, record_modules_in};

/// These tests have libraries in each other's places, so they take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    refreshed();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of its own for each test, gone with its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plimsoll-unwind-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("there is room");
        Self(path)
    }

    /// Compiles a library of functions that call each other, with frames of so many words. No two are alike in where
    /// their calls are, or nobody could tell them apart.
    fn build(&self, name: &str, words: usize) -> CString {
        let shift = format!("__asm__ volatile(\"{}\");", "nop;".repeat(words % 16));
        let source = format!(
            "typedef void (*Look)(void);
             __attribute__((noinline)) static void fill(volatile long *words, long value)
             {{ for (int i = 0; i < {words}; i++) words[i] = value + i; }}
             __attribute__((noinline)) static void inner(Look look)
             {{ volatile long words[{words}]; {shift} fill(words, 1); look(); fill(words, 2); }}
             __attribute__((noinline)) static void middle(Look look, int depth)
             {{ volatile long words[{words} + 3]; {shift} fill(words, 1); look(); inner(look);
                if (depth) middle(look, depth - 1); fill(words, 2); }}
             void enter(Look look) {{ {shift} for (int i = 0; i < 5; i++) middle(look, i); look(); }}"
        );
        let (from, to) = (self.0.join(format!("{name}.c")), self.0.join(format!("{name}.so")));
        std::fs::write(&from, source).expect("there is room");
        let flags = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-shared", "-fPIC", "-o"];
        let compiled = Command::new("cc").args(flags).arg(&to).arg(&from).status();
        assert!(compiled.expect("there is a C compiler").success());
        c_path(&to)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).expect("a path has no zero")
}

struct Library(*mut c_void);

impl Library {
    fn open(path: &CStr) -> Self {
        // SAFETY: a library without initialisers.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null());
        Self(library)
    }

    fn enter_address(&self) -> *mut c_void {
        // SAFETY: it is open.
        let address = unsafe { libc::dlsym(self.0, c"enter".as_ptr()) };
        assert!(!address.is_null());
        address
    }

    /// Where it was loaded.
    fn place(&self) -> *mut c_void {
        // SAFETY: plain data, filled by the call if it succeeds.
        let (found, information) = unsafe {
            let mut information: libc::Dl_info = std::mem::zeroed();
            (libc::dladdr(self.enter_address(), &raw mut information), information)
        };
        assert_ne!(found, 0);
        information.dli_fbase
    }

    fn enter(&self) {
        extern "C" fn look() {
            look_from_c();
        }
        type Enter = unsafe extern "C" fn(extern "C" fn());
        // SAFETY: `enter` is of this type.
        unsafe { std::mem::transmute::<*mut c_void, Enter>(self.enter_address())(look) };
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: it was opened once, and nothing of it is running.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

#[test]
fn a_library_is_followed_as_soon_as_it_is_there() {
    let _turn = turn();
    let folder = Folder::new("followed");
    let path = folder.build("one", 11);
    with_tally(|tally| {
        Library::open(&path).enter();
        // Fifteen levels of `middle` with `inner` in each, and `enter` itself.
        tally.assert_all(31);
    });
}

/// Opens the other library where the first one was. Other threads map memory too, so it may take more than one try.
fn in_the_place_of(first: &CStr, second: &CStr, try_it: impl Fn(&dyn Fn(), &dyn Fn()) -> bool) {
    for _ in 0..1000 {
        // What the last round left behind.
        forget_rules();
        let one = Library::open(first);
        let place = one.place();
        let one = std::cell::Cell::new(Some(one));
        let other = std::cell::OnceCell::new();
        let run_one = || {
            let library = one.take().expect("it runs once");
            library.enter();
        };
        let run_other = || other.get_or_init(|| Library::open(second)).enter();
        if try_it(&run_one, &run_other) && other.get().is_some_and(|other| other.place() == place) {
            return;
        }
    }
    panic!("the other library never came to the place of the first");
}

#[test]
fn after_dlclose_rules_can_be_forgotten() {
    let _turn = turn();
    let folder = Folder::new("forgotten");
    let (small, large) = (folder.build("small", 5), folder.build("large", 23));
    in_the_place_of(&small, &large, |one, other| {
        with_tally(|tally| {
            one();
            forget_rules();
            other();
            tally.assert_all(62);
        });
        true
    });
}

/// Nobody said that the first library is gone. Stacks may be wrong until something new is met; then they are right.
#[test]
fn a_library_in_the_place_of_another_is_noticed() {
    let _turn = turn();
    let folder = Folder::new("noticed");
    let (small, large) = (folder.build("small", 6), folder.build("large", 29));
    in_the_place_of(&small, &large, |one, other| {
        with_tally(|tally| {
            one();
            tally.assert_all(31);
        });
        other();
        with_tally(|_| other());
        with_tally(|tally| {
            other();
            tally.assert_all(31);
        });
        true
    });
}

#[test]
fn what_is_found_is_recorded() {
    let _turn = turn();
    let records: &ModuleRecords = Box::leak(Box::new(ModuleRecords::reserve(512).expect("there is memory")));
    record_modules_in(records);
    let of_list = records.read();
    assert!(of_list.iter().any(|module| module.path.contains("libc.so") && module.build_id.len() == 40));
    let folder = Folder::new("recorded");
    let path = folder.build("recorded", 7);
    let library = Library::open(&path);
    let address = library.enter_address().addr() as u64;
    with_tally(|_| library.enter());
    let read = records.read();
    let module = read.iter().find(|module| module.addresses.contains(&address)).expect("it was found");
    assert_eq!(module.path.as_bytes(), path.as_bytes());
    // As the file itself says it.
    let file = std::fs::read(&module.path).expect("it is there");
    let at = (address - module.addresses.start + module.file_offset) as usize;
    // SAFETY: the first bytes of a function of an open library.
    let code = unsafe { std::slice::from_raw_parts(library.enter_address().cast::<u8>(), 16) };
    assert_eq!(&file[at..at + 16], code);
    library.enter();
    assert_eq!(records.left_out(), 0);
    let paths = || records.read().into_iter().filter(|module| module.path.ends_with("/recorded.so"));
    assert_eq!(paths().count(), 1);
}
