//! The base of most ratios: glibc's allocator, nothing around it. heaptrack is started around this one.

use std::process::ExitCode;

use plimsoll_bench_workers::program::{self, Plain};

fn main() -> ExitCode {
    program::run(|mode| program::only_mode(mode, "plain").map(|()| Plain))
}
