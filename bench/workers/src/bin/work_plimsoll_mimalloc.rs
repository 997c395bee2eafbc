//! What is measured: the sampling wrapper around mimalloc.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use plimsoll_bench_workers::plimsoll::Wrapper;
use plimsoll_bench_workers::program;
use plimsoll_heap::Heap;

#[global_allocator]
static HEAP: Heap<MiMalloc> = Heap::wrap(MiMalloc);

fn main() -> ExitCode {
    program::run(Wrapper::begin)
}
