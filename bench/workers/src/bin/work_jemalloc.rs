//! The rival that samples too: jemalloc, its profiling compiled in, switched on or off by `_RJEM_MALLOC_CONF`.

use std::process::ExitCode;

use plimsoll_bench_workers::program::{self, Plain};
use tikv_jemalloc_ctl::profiling;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static HEAP: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    program::run(|mode| {
        let wanted = match mode {
            "on" => true,
            "plain" => false,
            _ => return Err(format!("mode `{mode}`: there are `on` and `plain`")),
        };
        // A wrong setting is ignored without a word; then a profiler would look cheap that does nothing.
        let profiles = profiling::prof::read().map_err(|error| format!("opt.prof: {error}"))?;
        if profiles == wanted {
            Ok(Plain)
        } else {
            Err(format!("profiling is {profiles}, and {wanted} was wanted: see _RJEM_MALLOC_CONF"))
        }
    })
}
