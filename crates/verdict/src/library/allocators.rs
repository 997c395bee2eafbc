//! The functions by which programs ask for memory. None of them is the line that a reader looks for, and a C program
//! has its own: every second one wraps `malloc` in something that ends the process when there is no memory.
//!
//! Nothing may stand in a table that calls a program's code, as a collector does when it runs finalizers: tools drop
//! all that a match called. And nothing that a program may well have called a function of its own: what is named
//! like one is lost from every report.

use super::{bare, without_arguments};

/// Functions of allocators by their whole name, without arguments.
const FUNCTIONS: [&str; 86] = [
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
    // glibc below its own entries, when its debug file is there.
    "_int_malloc",
    "_int_realloc",
    "_int_memalign",
    "_mid_memalign",
    "sysmalloc",
    "sysmalloc_mmap",
    "tcache_init",
    "malloc_consolidate",
    "malloc_hook_ini",
    // jemalloc and Go.
    "prof_backtrace_impl",
    "prof_alloc_prep",
    "imalloc",
    "imalloc_body",
    "do_rallocx",
    "ialloc",
    "runtime.mallocgc",
    "runtime.newobject",
    // The copying ones beside `xmalloc`: gnulib's, git's and Redis's.
    "xpalloc",
    "xstrdup",
    "xstrndup",
    "xmemdup",
    "xmemdup0",
    "xmemdupz",
    "zstrdup",
    // PostgreSQL: `palloc` and the kinds of memory contexts below it.
    "palloc",
    "palloc0",
    "palloc_extended",
    "palloc_aligned",
    "repalloc",
    "repalloc0",
    "repalloc_extended",
    "repalloc_huge",
    "pstrdup",
    "pnstrdup",
    "pg_strdup",
    "MemoryContextStrdup",
    "AllocSetAlloc",
    "AllocSetAllocLarge",
    "AllocSetAllocFromNewBlock",
    "AllocSetAllocChunkFromBlock",
    "AllocSetRealloc",
    "GenerationAlloc",
    "GenerationAllocLarge",
    "GenerationAllocFromNewBlock",
    "GenerationRealloc",
    "SlabAlloc",
    "SlabAllocFromNewBlock",
    "BumpAlloc",
    "BumpAllocLarge",
    "BumpAllocFromNewBlock",
    // nginx: its `malloc` and its pools.
    "ngx_alloc",
    "ngx_calloc",
    "ngx_memalign",
    "ngx_palloc",
    "ngx_palloc_small",
    "ngx_palloc_block",
    "ngx_palloc_large",
    "ngx_pnalloc",
    "ngx_pcalloc",
    "ngx_pmemalign",
    // Apache's pools.
    "apr_palloc",
    "apr_pcalloc",
    "apr_palloc_debug",
    "apr_allocator_alloc",
    // CPython: below the objects. Those that make objects (`_PyObject_GC_New`) may run the collector, and with it
    // finalizers of the program.
    "PyObject_Malloc",
    "PyObject_Calloc",
    "PyObject_Realloc",
    "_PyObject_Malloc",
    "_PyObject_Calloc",
    "_PyObject_Realloc",
    "pymalloc_alloc",
    "new_arena",
];

/// What the name of a function of an allocator begins with, after `<` and `&`.
///
/// Of the profiler only what is below `alloc`, and not `plimsoll_heap::label`, under which a program's futures are
/// polled; and of the language's library what leads from a collection to the allocator, but no collection, which
/// clones and compares.
const PREFIXES: [&str; 57] = [
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
    // Redis and Valkey: `zmalloc_usable`, `ztrycalloc_usable_internal`, `valkey_malloc`.
    "zmalloc",
    "zcalloc",
    "zrealloc",
    "ztrymalloc",
    "ztrycalloc",
    "ztryrealloc",
    "valkey_malloc",
    "valkey_calloc",
    "valkey_realloc",
    // PostgreSQL: `MemoryContextAllocZero` and its kin.
    "MemoryContextAlloc",
    // GLib: `g_slice_alloc0`.
    "g_slice_alloc",
    // CPython: `PyMem_Malloc`, and what stands behind it.
    "PyMem_",
    "_PyMem_Raw",
    "_PyMem_Debug",
    "_PyMem_Arena",
    // SQLite: `sqlite3MallocZero`, `sqlite3DbMallocRawNN`, `sqlite3DbReallocOrFree`.
    "sqlite3Malloc",
    "sqlite3Realloc",
    "sqlite3DbMalloc",
    "sqlite3DbRealloc",
    // PHP.
    "zend_mm_alloc",
];

/// In the name of a method by which an allocator is asked, of whatever type.
const TRAITS: [&str; 3] = [
    " as core::alloc::global::GlobalAlloc>::",
    " as core::alloc::GlobalAlloc>::",
    " as core::alloc::Allocator>::",
];

/// A wrapper is called one of [`ASKS`] with one of these before it: whose it is, or what it does when there is no
/// memory. A closed list: `leak_malloc` is somebody's own function.
const WRAPPERS: [&str; 21] = [
    // gnulib, git, util-linux.
    "x",
    "xi",
    "xn",
    "x2",
    "x2n",
    // BSD's, PHP's, and others that end the process.
    "e",
    "_e",
    "_safe_e",
    "safe_",
    "ck_",
    // GLib, libuv, OpenSSL, SQLite, FFmpeg.
    "g_",
    "g_try_",
    "g_aligned_",
    "uv__",
    "CRYPTO_",
    "sqlite3_",
    "av_",
    // PostgreSQL's tools, MySQL, Perl, PHP.
    "pg_",
    "my_",
    "Perl_safesys",
    "__zend_",
];
/// What a wrapper wraps.
const ASKS: [&str; 5] = ["malloc", "calloc", "realloc", "zalloc", "memalign"];
/// What may follow: zeroed, with a zero behind, an array of, by 64 bits.
const KINDS: [&str; 9] = ["", "0", "2", "64", "z", "_n", "0_n", "array", "_array"];

/// What a compiler appends to the name of a part of a function, or of a copy of it.
const PARTS: [&str; 5] = [".part.", ".constprop.", ".isra.", ".lto_priv.", ".cold"];

pub(super) fn is_allocator(function: &str) -> bool {
    let (name, bare) = (whole(without_arguments(function)), bare(function));
    FUNCTIONS.contains(&name)
        || is_wrapper(name)
        || PREFIXES.iter().any(|prefix| bare.starts_with(prefix))
        || TRAITS.iter().any(|name| function.contains(name))
}

/// Whether `name` is one of [`WRAPPERS`], one of [`ASKS`] and one of [`KINDS`], in this order.
fn is_wrapper(name: &str) -> bool {
    // Some begin like others (`x`, `xi`): all that fit are tried.
    let wraps = |wrapper: &&str| name.strip_prefix(*wrapper).is_some_and(is_ask);
    // Most names have nothing of it, and are looked at once only.
    (name.contains("alloc") || name.contains("align")) && WRAPPERS.iter().any(wraps)
}

fn is_ask(name: &str) -> bool {
    ASKS.iter().any(|ask| name.strip_prefix(ask).is_some_and(|kind| KINDS.contains(&kind)))
}

/// A C name without what says that it is a part: `malloc.part.0`.
fn whole(name: &str) -> &str {
    if !name.contains('.') {
        return name;
    }
    let end = PARTS.iter().filter_map(|part| name.find(part)).min();
    end.map_or(name, |end| &name[..end])
}

/// All of this as a regular expression (of RE2, as pprof has it) that matches whole names.
pub(crate) fn pattern() -> String {
    let one_of = |names: &[&str]| names.iter().map(|name| escaped(name)).collect::<Vec<_>>().join("|");
    format!(
        "(?:{}|(?:{})(?:{})(?:{}))(?:[(@].*|(?:{}).*)?|<?&?(?:{}).*|.*(?:{}).*",
        one_of(&FUNCTIONS),
        one_of(&WRAPPERS),
        one_of(&ASKS),
        one_of(&KINDS),
        one_of(&PARTS),
        one_of(&PREFIXES),
        one_of(&TRAITS)
    )
}

fn escaped(name: &str) -> String {
    let special = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ' ' || c == ':');
    name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Owner, owner};

    /// A program's file.
    const MINE: Option<&str> = Some("src/cache.rs");

    fn allocators(names: &[&str]) {
        for name in names {
            for file in [None, MINE] {
                assert_eq!(owner(name, file, "/opt/app/bin/app"), Owner::Allocator, "{name} in {file:?}");
            }
        }
    }

    fn others(names: &[&str]) {
        for name in names {
            assert_ne!(owner(name, MINE, "/opt/app/bin/app"), Owner::Allocator, "{name}");
        }
    }

    #[test]
    fn allocators_are_known_by_their_names() {
        allocators(&[
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
            "plimsoll_preload::hooks::malloc",
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
        ]);
        others(&["app::malloc_things", "mimic::run", "plimsoll_heapster::f", "malloc_or_leak", "free_list"]);
    }

    #[test]
    fn programs_in_c_wrap_it() {
        allocators(&[
            "xmalloc",
            "xcalloc",
            "xrealloc",
            "xzalloc",
            "xmallocz",
            "xreallocarray",
            "ximalloc",
            "x2nrealloc",
            "xmalloc.part.0",
            "xstrdup.constprop.0",
            "zmalloc",
            "zcalloc_num",
            "ztrymalloc_usable_internal",
            "valkey_malloc",
            "g_malloc",
            "g_malloc0_n",
            "g_try_realloc",
            "g_slice_alloc0",
            "palloc0",
            "repalloc",
            "MemoryContextAllocZeroAligned",
            "AllocSetAllocFromNewBlock",
            "pg_malloc0",
            "ngx_alloc",
            "ngx_pcalloc",
            "ngx_palloc_small",
            "PyMem_RawMalloc",
            "PyMem_Malloc",
            "_PyMem_RawCalloc",
            "PyObject_Malloc",
            "uv__malloc",
            "_emalloc",
            "sqlite3MallocZero",
            "sqlite3DbMallocRawNN",
            "CRYPTO_zalloc",
            "av_mallocz",
            "my_malloc",
        ]);
        others(&[
            "leak_malloc",
            "prealloc",
            "dealloc",
            "xmallocator",
            "palloc_stats",
            "sdsnewlen",
            "ngx_array_push",
            "AllocSetContextCreateInternal",
            "PyDict_New",
            "_PyObject_GC_New",
            "g_strdup",
            "exalloc",
            "ermalloc",
        ]);
    }

    /// Tools drop what a frame of the allocator called. When the profiler's label was one, `go tool pprof` showed the
    /// whole heap of a service as that of its middleware.
    #[test]
    fn what_calls_the_program_is_no_allocator() {
        others(&[
            "<plimsoll_heap::label::Labelled<F> as core::future::future::Future>::poll",
            "plimsoll_heap::label::Label::on",
        ]);
        for name in ["alloc::vec::from_elem", "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend"] {
            assert_eq!(owner(name, None, "/opt/app/bin/app"), Owner::Standard, "{name}");
        }
    }
}
