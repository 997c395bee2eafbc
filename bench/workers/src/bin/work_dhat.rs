//! The rival that follows every allocation inside the process: dhat, with what it does by default.

use std::process::ExitCode;

use plimsoll_bench_workers::program::{self, Setup};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

struct Dhat {
    /// Held until the end; nothing is followed without it.
    _profiler: dhat::Profiler,
}

impl Setup for Dhat {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![("samples", dhat::HeapStats::get().total_blocks as f64)]
    }
}

fn main() -> ExitCode {
    // In testing mode it follows all the same, and writes no file at the end.
    let begin = || Dhat { _profiler: dhat::Profiler::builder().testing().build() };
    program::run(|mode| program::only_mode(mode, "every").map(|()| begin()))
}
