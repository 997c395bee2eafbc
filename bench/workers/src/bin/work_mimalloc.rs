//! The base of the ratios with mimalloc inside: mimalloc, nothing around it.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use plimsoll_bench_workers::program::{self, Plain};

#[global_allocator]
static HEAP: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    program::run(|mode| program::only_mode(mode, "plain").map(|()| Plain))
}
