//! Whose code a frame is. "The line that allocates" is nearly always a line of `Vec`, and nobody can mend that
//! one: what is named must be the first line that the reader wrote.
//!
//! The rules are tables. A source file of Python decides alone. Else a function's name decides first where it can
//! be trusted to (allocators and crates of the standard library), then the source file, then the rest of the name,
//! then the file of code.

mod allocators;
mod python;

pub(crate) use allocators::pattern as allocator_pattern;
pub(crate) use python::is_python;

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The allocator, or the profiler around it.
    Allocator,
    /// The language's own library and runtime.
    Standard,
    /// Somebody else's library.
    Dependency,
    /// The program itself.
    Program,
}

impl Owner {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Owner::Allocator => "allocator",
            Owner::Standard => "standard",
            Owner::Dependency => "dependency",
            Owner::Program => "program",
        }
    }
}

/// Crates and namespaces of the language itself: `std::` is C++'s too.
const STANDARD_CRATES: [&str; 10] = [
    "alloc::",
    "core::",
    "std::",
    "hashbrown::",
    "proc_macro::",
    "test::",
    "std_detect::",
    "panic_unwind::",
    "__gnu_cxx::",
    "runtime.",
];

/// Where threads and programs begin.
const STANDARD_FUNCTIONS: [&str; 11] = [
    "_start",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "start_thread",
    "clone",
    "clone3",
    "__clone",
    "__clone3",
    "__rust_begin_short_backtrace",
    "__rust_try",
];

/// In the path of a source file of the language's library.
const STANDARD_FILES: [&str; 7] = [
    "/rustc/",
    "/lib/rustlib/src/rust/library/",
    "/rust/deps/",
    "/usr/lib/go",
    "/usr/local/go/src/",
    "/libexec/src/runtime/",
    "/include/c++/",
];
/// What the path of such a file begins with when the compiler cut it.
const STANDARD_FILES_BEGIN: [&str; 4] = ["library/std/", "library/core/", "library/alloc/", "library/test/"];

/// In the path of a source file that a package manager fetched.
const DEPENDENCY_FILES: [&str; 4] = ["/registry/src/", "/.cargo/git/checkouts/", "/pkg/mod/", "/vendor/"];

/// Where the path of a file of code begins that came with the system.
const SYSTEM_CODE: [&str; 4] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"];

/// How the file of the profiler's own library begins, wherever it was put.
const PROFILER_CODE: &str = "plimsoll-preload-";

/// What a frame is called of which it is only known that it was compiled at run time, by Node or another engine.
const JIT: &str = "[jit]";

/// Whose code `function` is, with its source file (empty or `None` if nobody knows) and its file of code.
/// Allocates nothing.
pub fn owner(function: &str, file: Option<&str>, code: &str) -> Owner {
    let file = file.filter(|file| !file.is_empty());
    if let Some(file) = file.filter(|file| is_python(file)) {
        return python::owner(file);
    }
    if allocators::is_allocator(function) || is_profiler(code) {
        return Owner::Allocator;
    }
    if is_jit(function) || STANDARD_FUNCTIONS.contains(&without_arguments(function)) || is_standard(function)
    {
        return Owner::Standard;
    }
    match (file.map(owner_of_file), qualified(function), is_library(code)) {
        // The system's debug files have paths like a program's: `./stdlib/qsort.c`.
        (Some(Owner::Program), _, true) => Owner::Dependency,
        (Some(owner), _, _) => owner,
        // Somebody's trait on a standard type, or a standard trait on somebody's type, is somebody's.
        (None, Some((of, by)), _) if is_nobodys(of) && by.is_none_or(is_standard) => Owner::Standard,
        (None, _, true) => Owner::Dependency,
        (None, _, false) => Owner::Program,
    }
}

/// Whether a frame is of code that was compiled while the program ran, and nobody knows its name: see [`JIT`].
pub(crate) fn is_jit(function: &str) -> bool {
    function == JIT
}

/// Whose code an address without a name is, of the file of code at `code`. One that is in no file is nobody's
/// line: it comes from a stack that was followed wrongly, or from code that was made at run time.
pub fn owner_of_unnamed(code: &str) -> Owner {
    if is_profiler(code) {
        return Owner::Allocator;
    }
    if code.is_empty() || is_library(code) { Owner::Dependency } else { Owner::Program }
}

/// Whether a file of code is the library that stands in front of the allocator and samples.
fn is_profiler(code: &str) -> bool {
    file_name(code).starts_with(PROFILER_CODE)
}

/// Whether a file of code is a library that came with the system or as a package. A program can be under `/usr/lib`
/// too, as PostgreSQL's server is, and is still the program.
fn is_library(code: &str) -> bool {
    let system = SYSTEM_CODE.iter().any(|system| code.starts_with(system));
    system && file_name(code).contains(".so") || python::is_extension(code)
}

fn owner_of_file(file: &str) -> Owner {
    let has = |parts: &[&str]| parts.iter().any(|part| file.contains(part));
    if STANDARD_FILES_BEGIN.iter().any(|begin| file.starts_with(begin)) || has(&STANDARD_FILES) {
        Owner::Standard
    } else if has(&DEPENDENCY_FILES) {
        Owner::Dependency
    } else {
        Owner::Program
    }
}

/// Whether a path begins in a crate of the language. `<T as Trait>::f` is not a path: see [`qualified`].
fn is_standard(path: &str) -> bool {
    !path.starts_with('<') && STANDARD_CRATES.iter().any(|name| inner(path).starts_with(name))
}

/// Whether a type is the language's: of its library, built in, or a placeholder (`T`, `[T]`, `(A, B)`).
fn is_nobodys(of: &str) -> bool {
    is_standard(of) || !of.contains("::")
}

/// The type and the trait of `<Type as Trait>::f`, or the type of `<Type>::f`.
fn qualified(function: &str) -> Option<(&str, Option<&str>)> {
    let rest = function.strip_prefix('<')?;
    let mut depth = 1_usize;
    let mut of_end = None;
    for (at, c) in rest.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if rest[..at].ends_with('-') => {}
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 1 && of_end.is_none() && rest[at..].starts_with(" as ") => of_end = Some(at),
            _ => {}
        }
        if depth == 0 {
            return Some(match of_end {
                Some(end) => (inner(&rest[..end]), Some(rest[end + " as ".len()..at].trim())),
                None => (inner(&rest[..at]), None),
            });
        }
    }
    None
}

/// A type's name without what stands before it: `&mut dyn core::…` is `core::…`.
fn inner(name: &str) -> &str {
    let mut rest = name;
    for before in ["&", "*const ", "*mut ", "mut ", "dyn ", "[", "("].iter().cycle().take(14) {
        rest = rest.strip_prefix(before).unwrap_or(rest);
    }
    rest
}

/// A name without the bracket and the reference that it begins with.
fn bare(function: &str) -> &str {
    inner(function.strip_prefix('<').unwrap_or(function))
}

/// A C++ name without its arguments: `operator new(unsigned long)`; and a C one without its version.
fn without_arguments(function: &str) -> &str {
    function.split(['(', '@']).next().unwrap_or(function).trim_end()
}

/// The name of a file without its folders.
pub fn file_name(file: &str) -> &str {
    file.rsplit(['/', '\\']).next().unwrap_or(file)
}

/// A source file's path as it is shown: without where the package manager or the compiler keeps it.
/// `…/registry/src/index-19/bytes-1.12.1/src/lib.rs` is `bytes-1.12.1/src/lib.rs`.
pub fn short_file(file: &str) -> &str {
    let after = |mark: &str, folders: usize| {
        let rest = &file[file.find(mark)? + mark.len()..];
        let mut parts = rest.splitn(folders + 1, '/');
        parts.nth(folders)
    };
    let short = after("/registry/src/", 1)
        .or_else(|| after("/git/checkouts/", 0))
        .or_else(|| after("/rustlib/src/rust/", 0))
        .or_else(|| file.strip_prefix("/rustc/").and_then(|rest| rest.split_once('/')).map(|(_, rest)| rest))
        .or_else(|| after("/pkg/mod/", 0));
    short.unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program's file.
    const MINE: Option<&str> = Some("src/cache.rs");

    fn check(function: &str, file: Option<&str>, expected: Owner) {
        assert_eq!(owner(function, file, "/opt/app/bin/app"), expected, "{function} in {file:?}");
    }

    #[test]
    fn the_standard_library_is_known_by_path_and_by_file() {
        for name in [
            "alloc::vec::Vec<T>::push",
            "alloc::vec::Vec<T,A>::reserve",
            "core::iter::adapters::map::map_fold",
            "std::thread::Builder::spawn_unchecked_::{closure#0}",
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
            "<alloc::vec::Vec<T> as core::iter::traits::collect::Extend<T>>::extend",
            "<alloc::vec::Vec<app::Row> as core::clone::Clone>::clone",
            "<alloc::vec::Vec<T>>::push",
            "<&mut alloc::string::String as core::fmt::Write>::write_str",
            "std::vector<int>::push_back(int&&)",
            "<[T] as alloc::slice::hack::ConvertVec>::to_vec",
            "<T as core::convert::Into<U>>::into",
            "<str>::to_owned",
            "runtime.growslice",
            "__libc_start_main",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "__rust_begin_short_backtrace",
        ] {
            check(name, None, Owner::Standard);
        }
        let files = [
            "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/alloc/src/slice.rs",
            "/opt/rustup/toolchains/stable/lib/rustlib/src/rust/library/core/src/iter.rs",
            "/rust/deps/hashbrown-0.15.2/src/raw/mod.rs",
            "library/std/src/thread/mod.rs",
        ];
        for file in files {
            check("<[T] as alloc::slice::hack::ConvertVec>::to_vec", Some(file), Owner::Standard);
        }
    }

    #[test]
    fn a_program_is_what_is_left_also_where_it_meets_the_library() {
        for name in [
            "app::main",
            "app::cache::Cache<K,V>::fill::{{closure}}",
            "main",
            "<app::Row as core::clone::Clone>::clone",
            "<alloc::vec::Vec<u8> as app::Store>::put",
            "<alloc::vec::Vec<T> as serde::de::Deserialize>::deserialize",
            "corelib::x",
            "stdx::y",
            "<T as app::Store>::put",
            "<fn(app::A) -> alloc::vec::Vec<u8> as app::B>::f",
            "<unclosed",
        ] {
            check(name, None, Owner::Program);
            check(name, MINE, Owner::Program);
        }
    }

    #[test]
    fn what_a_package_manager_fetched_is_a_dependency() {
        for file in [
            "/build/.cargo/registry/src/index-19/bytes-1.12.1/src/bytes_mut.rs",
            "/usr/local/cargo/registry/src/github.com-1ecc6299db9ec823/tokio-1.54.0/src/task.rs",
            "/build/.cargo/git/checkouts/foo-0123456789abcdef/89abcde/src/lib.rs",
            "/go/pkg/mod/github.com/google/pprof@v0.1/profile.go",
        ] {
            check("bytes::bytes_mut::BytesMut::reserve", Some(file), Owner::Dependency);
        }
        let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
        assert_eq!(owner("qsort_r", None, libc), Owner::Dependency);
        assert_eq!(owner_of_unnamed(libc), Owner::Dependency);
        assert_eq!(owner_of_unnamed(""), Owner::Dependency);
        assert_eq!(owner_of_unnamed("/run/user/7/plimsoll-preload-00.so"), Owner::Allocator);
        assert_eq!(owner_of_unnamed("/opt/app/bin/app"), Owner::Program);
    }

    #[test]
    fn a_path_is_shown_without_where_it_is_kept() {
        for (file, short) in [
            ("src/main.rs", "src/main.rs"),
            ("/build/.cargo/registry/src/index-19/bytes-1.1/src/lib.rs", "bytes-1.1/src/lib.rs"),
            ("/rustc/5980/library/alloc/src/vec/mod.rs", "library/alloc/src/vec/mod.rs"),
            ("/opt/lib/rustlib/src/rust/library/core/src/a.rs", "library/core/src/a.rs"),
            ("/go/pkg/mod/github.com/a/b@v1/c.go", "github.com/a/b@v1/c.go"),
            ("/registry/src/", "/registry/src/"),
        ] {
            assert_eq!(short_file(file), short);
        }
        assert_eq!(file_name("a/b/c.rs"), "c.rs");
        assert_eq!(file_name("c:\\b\\c.rs"), "c.rs");
    }
}
