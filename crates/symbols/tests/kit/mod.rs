//! Real programs to name addresses of: made here, with Rust's compiler, and the C compiler and the binutils that its
//! linking needs anyway. Without them these tests fail and say so; a test that is skipped proves nothing.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_core::heap::{CodeFrame, Module, Names};
use plimsoll_symbols::{Limits, ProblemKind, Resolved, Symbolizer};

/// Prints, for each place of interest, its name and a return address as the file has it.
pub(crate) const SOURCE: &str = r#"
#include <stdio.h>
extern const char __ehdr_start;
int till(int n) asm("_ZN4shop4tillEi");
int shelf(int n) asm("_ZN4shop5shelf3add17h0123456789abcdefE");
static __attribute__((noinline)) void say(const char *name) {
    const char *at = __builtin_return_address(0);
    printf("%s %lx\n", name, (unsigned long)(at - &__ehdr_start));
}
static inline __attribute__((always_inline)) int inner(int n) {
    say("inner"); // inner
    return n + 1;
}
static inline __attribute__((always_inline)) int middle(int n) {
    return inner(n) * 2; // middle
}
__attribute__((noinline)) int outer(int n) {
    int sum = middle(n); // outer
    say("outer");
    return sum;
}
__attribute__((noinline)) int till(int n) {
    say("till"); // till
    return n;
}
__attribute__((noinline)) int shelf(int n) {
    say("shelf"); // shelf
    return n;
}
static __attribute__((noinline)) int hidden(int n) {
    say("hidden"); // hidden
    return n;
}
int main(int count, char **words) {
    return (outer(count) + till(count) + shelf(count) + hidden(count)) == 0 && words;
}
"#;

/// A directory of one test, empty at its start and gone at its end.
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("symbols-{name}-{}", std::process::id()));
        let _old = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("cargo made the directory above, and it is ours");
        Self { path: path.canonicalize().expect("it was just made") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("the place is ours to write");
        path
    }

    /// Compiles [`SOURCE`] as `name` and runs it.
    pub(crate) fn program(&self, name: &str, options: &[&str]) -> Program {
        let source = self.path("shop.c");
        fs::write(&source, SOURCE).expect("the place is ours to write");
        let path = self.path(name);
        let mut words = vec!["-g", "-O1", "-fPIE", "-pie", "-rdynamic", "-Wl,--build-id=sha1"];
        words.extend(options);
        let source = source.to_string_lossy().into_owned();
        let into = path.to_string_lossy().into_owned();
        words.extend(["-o", &into, &source]);
        run("cc", &words);
        let addresses = run(&into, &[])
            .lines()
            .map(|line| {
                let (name, address) = line.split_once(' ').expect("the program writes a name and an address");
                (name.to_owned(), u64::from_str_radix(address, 16).expect("the program writes hexadecimal"))
            })
            .collect();
        Program { path, addresses }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.path);
    }
}

/// A compiled program and the return addresses that it wrote.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) addresses: Vec<(String, u64)>,
}

/// Where a program is loaded, as far as these tests are concerned.
pub(crate) const BIAS: u64 = 0x5555_0000_0000;

impl Program {
    pub(crate) fn module(&self) -> Module {
        module_of(&self.path, &build_id(&self.path))
    }

    /// The return address of a place in the process.
    pub(crate) fn address(&self, name: &str) -> u64 {
        let found = self.addresses.iter().find(|(known, _)| known == name);
        BIAS + found.expect("the source has that place").1
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.addresses.iter().map(|(_, address)| BIAS + address).collect()
    }

    /// This program, at another path.
    pub(crate) fn at(&self, path: PathBuf) -> Self {
        Self { path, addresses: self.addresses.clone() }
    }

    pub(crate) fn copy(&self, path: PathBuf) -> Self {
        fs::copy(&self.path, &path).expect("the place is ours to write");
        self.at(path)
    }

    /// Runs a tool of the binutils on it: the words, then its path.
    pub(crate) fn change(&self, tool: &str, words: &[&str]) {
        let path = self.path.to_string_lossy().into_owned();
        run(tool, &[words, &[&path]].concat());
    }
}

pub(crate) fn module_of(path: &Path, build_id: &str) -> Module {
    Module {
        path: path.to_string_lossy().into_owned(),
        build_id: build_id.to_owned(),
        addresses: BIAS..BIAS + 0x1000_0000,
        file_offset: 0,
        bias: BIAS,
    }
}

/// What a tool writes. It must be there and succeed.
pub(crate) fn run(tool: &str, words: &[&str]) -> String {
    let done = Command::new(tool).args(words).output().unwrap_or_else(|error| {
        panic!(
            "{tool} cannot be started ({error}); these tests need cc and the binutils: apt-get install gcc"
        )
    });
    assert!(
        done.status.success(),
        "{tool} {words:?} failed: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

pub(crate) fn build_id(path: &Path) -> String {
    let notes = run("readelf", &["-n", &path.to_string_lossy()]);
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    id.unwrap_or_default().to_owned()
}

/// The line of the source with this mark.
pub(crate) fn line_of(mark: &str) -> u32 {
    let mark = format!("// {mark}");
    let index = SOURCE.lines().position(|line| line.ends_with(&mark)).expect("the source has that mark");
    index as u32 + 1
}

/// No debug files but those below `root`.
pub(crate) fn limits(root: &Path) -> Limits {
    Limits { debug_roots: vec![root.to_owned()], ..Limits::default() }
}

/// What a fresh symbolizer says of all places of a program.
pub(crate) fn ask(program: &Program, limits: Limits) -> Resolved {
    Symbolizer::new(limits).resolve_addresses(&[program.module()], &program.all())
}

/// Function, last part of the file's path, and line of each frame.
pub(crate) fn short(frames: &[CodeFrame]) -> Vec<(String, Option<String>, Option<u32>)> {
    let short = |frame: &CodeFrame| {
        let file = frame.file.as_ref().and_then(|file| file.rsplit('/').next()).map(str::to_owned);
        (frame.function.to_string(), file, frame.line)
    };
    frames.iter().map(short).collect()
}

pub(crate) fn names(
    resolved: &Resolved,
    program: &Program,
    place: &str,
) -> Vec<(String, Option<String>, Option<u32>)> {
    short(resolved.at(program.address(place)))
}

pub(crate) fn frame(function: &str, line: u32) -> (String, Option<String>, Option<u32>) {
    (function.to_owned(), Some("shop.c".to_owned()), Some(line))
}

/// That every place has its function, its file and its line.
pub(crate) fn assert_complete(resolved: &Resolved, program: &Program) {
    assert_eq!(resolved.problems, [], "{:?}", resolved.problems);
    let inlined = [
        frame("inner", line_of("inner")),
        frame("middle", line_of("middle")),
        frame("outer", line_of("outer")),
    ];
    assert_eq!(names(resolved, program, "inner"), inlined);
    assert_eq!(names(resolved, program, "outer"), [frame("outer", line_of("outer") + 1)]);
    assert_eq!(names(resolved, program, "till"), [frame("shop::till(int)", line_of("till"))]);
    assert_eq!(names(resolved, program, "shelf"), [frame("shop::shelf::add", line_of("shelf"))]);
    assert_eq!(names(resolved, program, "hidden"), [frame("hidden", line_of("hidden"))]);
}

/// `module+0x…` as a place without a name is called.
pub(crate) fn nameless(program: &Program, place: &str) -> Vec<(String, Option<String>, Option<u32>)> {
    let name = program.path.file_name().expect("programs have names").to_string_lossy();
    vec![(format!("{name}+{:#x}", program.address(place) - BIAS), None, None)]
}

pub(crate) fn kinds(resolved: &Resolved) -> Vec<&ProblemKind> {
    resolved.problems.iter().map(|problem| &problem.kind).collect()
}

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }
}

/// This process's program, as a profiler would describe it.
pub(crate) fn this_program() -> Module {
    let path = std::env::current_exe().and_then(|path| path.canonicalize()).expect("Linux knows it");
    let name = path.to_string_lossy().into_owned();
    let maps = fs::read_to_string("/proc/self/maps").expect("every process may read its own");
    let pieces: Vec<(u64, u64, bool, u64)> = maps
        .lines()
        .filter(|line| line.ends_with(&name))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').expect("a range has two ends");
            let number = |word| u64::from_str_radix(word, 16).expect("the kernel writes hexadecimal");
            (number(start), number(end), words[1].contains('x'), number(words[2]))
        })
        .collect();
    let code = pieces.iter().find(|piece| piece.2).expect("a program has code");
    // Rust links programs that can be anywhere, whose file begins at address 0.
    let first = pieces.iter().find(|piece| piece.3 == 0).expect("the file's head is mapped");
    Module {
        build_id: build_id(&path),
        path: name,
        addresses: code.0..code.1,
        file_offset: code.3,
        bias: first.0,
    }
}
