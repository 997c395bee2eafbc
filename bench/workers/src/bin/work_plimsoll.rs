//! What is measured: the sampling wrapper around glibc's allocator.

use std::process::ExitCode;

use plimsoll_bench_workers::plimsoll::Wrapper;
use plimsoll_bench_workers::program;
use plimsoll_heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::system();

fn main() -> ExitCode {
    program::run(Wrapper::begin)
}
