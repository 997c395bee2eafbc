//! Whose code a frame is. "The line that allocates" is nearly always a line of `Vec`, and nobody can mend that
//! one: what is named must be the first line that the reader wrote.
//!
//! The rules are tables. A function's name decides first where it can be trusted to (allocators and crates of
//! the standard library), then the source file, then the rest of the name, then the file of code.

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

/// Functions of allocators by their whole name, without arguments.
const ALLOCATOR_FUNCTIONS: [&str; 27] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "free",
    "operator new",
    "operator new[]",
    "_Znwm",
    "_Znam",
    "_int_malloc",
    "_int_realloc",
    "_int_memalign",
    "sysmalloc",
    "tcache_init",
    "prof_backtrace_impl",
    "prof_alloc_prep",
    "imalloc",
    "imalloc_body",
    "do_rallocx",
    "ialloc",
    "runtime.mallocgc",
    "runtime.newobject",
];

/// What the name of a function of an allocator begins with, after `<` and `&`.
///
/// Nothing may stand here that calls a program's code: tools drop all that a match called. So of the profiler only
/// what is below `alloc`, and not `plimsoll_heap::label`, under which a program's futures are polled; and of the
/// language's library what leads from a collection to the allocator, but no collection, which clones and compares.
const ALLOCATOR_PREFIXES: [&str; 37] = [
    "alloc::alloc::",
    "alloc::raw_vec::",
    "alloc::boxed::box_new_uninit",
    "__rust_alloc",
    "__rust_realloc",
    "__rust_dealloc",
    "__rdl_",
    "__rg_",
    "__rustc::__r",
    "__libc_malloc",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_memalign",
    "__posix_memalign",
    "plimsoll_heap::Heap",
    "plimsoll_heap::capture::",
    "plimsoll_heap::engine::",
    "plimsoll_heap::hooks::",
    "plimsoll_heap::large::",
    "plimsoll_heap::range::",
    "plimsoll_heap::sample::",
    "plimsoll_heap::sampler::",
    "plimsoll_heap::stacks::",
    "plimsoll_heap::thread::",
    "plimsoll_heap::unwind::",
    "plimsoll_heap::wrapper::",
    "plimsoll_preload::",
    "tikv_jemallocator::",
    "jemallocator::",
    "mimalloc::",
    "snmalloc_rs::",
    "je_",
    "_rjem_",
    "mi_",
    "tc_",
    "tcmalloc::",
    "dhat::",
];

/// In the name of a method by which an allocator is asked, of whatever type.
const ALLOCATOR_TRAITS: [&str; 3] = [
    " as core::alloc::global::GlobalAlloc>::",
    " as core::alloc::GlobalAlloc>::",
    " as core::alloc::Allocator>::",
];

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

/// Whose code `function` is, with its source file (empty or `None` if nobody knows) and its file of code.
/// Allocates nothing.
pub fn owner(function: &str, file: Option<&str>, code: &str) -> Owner {
    if is_allocator(function) {
        return Owner::Allocator;
    }
    if STANDARD_FUNCTIONS.contains(&without_arguments(function)) || is_standard(function) {
        return Owner::Standard;
    }
    match file.filter(|file| !file.is_empty()) {
        Some(file) => owner_of_file(file),
        None => match (qualified(function), SYSTEM_CODE.iter().any(|system| code.starts_with(system))) {
            // Somebody's trait on a standard type, or a standard trait on somebody's type, is somebody's.
            (Some((of, by)), _) if is_nobodys(of) && by.is_none_or(is_standard) => Owner::Standard,
            (_, true) => Owner::Dependency,
            (_, false) => Owner::Program,
        },
    }
}

/// The allocators' functions as a regular expression (of RE2, as pprof has it) that matches whole names.
pub(crate) fn allocator_pattern() -> String {
    let escaped = |name: &&str| -> String {
        let special = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ' ' || c == ':');
        name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
    };
    let functions: Vec<String> = ALLOCATOR_FUNCTIONS.iter().map(escaped).collect();
    let prefixes: Vec<String> = ALLOCATOR_PREFIXES.iter().map(escaped).collect();
    let traits: Vec<String> = ALLOCATOR_TRAITS.iter().map(escaped).collect();
    format!(
        "(?:{})(?:[(@].*)?|<?&?(?:{}).*|.*(?:{}).*",
        functions.join("|"),
        prefixes.join("|"),
        traits.join("|")
    )
}

/// Whose code an address without a name is, of the file of code at `code`. One that is in no file is nobody's
/// line: it comes from a stack that was followed wrongly, or from code that was made at run time.
pub fn owner_of_unnamed(code: &str) -> Owner {
    let system = code.is_empty() || SYSTEM_CODE.iter().any(|system| code.starts_with(system));
    if system { Owner::Dependency } else { Owner::Program }
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

fn is_allocator(function: &str) -> bool {
    ALLOCATOR_FUNCTIONS.contains(&without_arguments(function))
        || ALLOCATOR_PREFIXES.iter().any(|prefix| bare(function).starts_with(prefix))
        || ALLOCATOR_TRAITS.iter().any(|name| function.contains(name))
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
    fn allocators_are_known_by_their_names() {
        for name in [
            "malloc",
            "calloc",
            "posix_memalign",
            "operator new(unsigned long)",
            "operator new[]",
            "__rust_alloc",
            "__rust_realloc",
            "__rust_alloc_zeroed",
            "__rdl_alloc",
            "__rg_alloc",
            "__rustc::__rust_alloc",
            "__rustc::__rdl_alloc",
            "plimsoll_heap::sample::take",
            "plimsoll_heap::hooks::realloc_unsampled",
            "<plimsoll_heap::Heap<A> as core::alloc::global::GlobalAlloc>::alloc",
            "<app::Counting as core::alloc::global::GlobalAlloc>::realloc",
            "<&plimsoll_heap::Heap as app::X>::f",
            "_rjem_malloc",
            "je_prof_backtrace",
            "malloc@@GLIBC_2.2.5",
            "alloc::alloc::exchange_malloc",
            "<alloc::raw_vec::RawVecInner>::finish_grow",
            "alloc::raw_vec::RawVec<T,A>::grow_one",
            "alloc::boxed::box_new_uninit",
        ] {
            check(name, None, Owner::Allocator);
            check(name, MINE, Owner::Allocator);
        }
        check("app::malloc_things", MINE, Owner::Program);
        check("mimic::run", MINE, Owner::Program);
        check("plimsoll_heapster::f", MINE, Owner::Program);
    }

    /// Tools drop what a frame of the allocator called. When the profiler's label was one, `go tool pprof` showed the
    /// whole heap of a service as that of its middleware.
    #[test]
    fn what_calls_the_program_is_no_allocator() {
        for name in [
            "<plimsoll_heap::label::Labelled<F> as core::future::future::Future>::poll",
            "plimsoll_heap::label::Label::on",
        ] {
            assert_ne!(owner(name, MINE, ""), Owner::Allocator, "{name}");
        }
        for name in ["alloc::vec::from_elem", "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend"] {
            check(name, None, Owner::Standard);
        }
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
