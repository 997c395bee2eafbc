//! What happens before the program's first line: the environment is read, and sampling begins.

use std::ffi::{CStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use plimsoll_core::Bytes;
use plimsoll_heap::Interval;
use plimsoll_heap::malloc::{self, Settings};

use crate::exports::HEAP;
use crate::hand_over::{hand_over, set_recorder};
use crate::interpreter;

/// Where the recorder listens; without it nothing is sampled.
const RECORD: &CStr = c"PLIMSOLL_RECORD";
/// How densely: `adaptive`, `all`, or a number of bytes.
const SAMPLE: &CStr = c"PLIMSOLL_SAMPLE";
/// How old is old, to the profiler: enough for a verdict over some minutes.
const EPOCH: Duration = Duration::from_secs(1);
/// The most different stacks.
const STACKS_MAX: usize = 1 << 16;

/// The loader calls what is in this section, with what it will call `main` with.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = start;

extern "C" fn start(count: c_int, arguments: *const *const c_char, _: *const *const c_char) {
    let Some(recorder) = variable(RECORD) else { return };
    if !set_recorder(recorder) {
        return;
    }
    let interval = match variable(SAMPLE) {
        Some(b"all") => Interval::Every,
        Some(bytes) => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok()) {
            Some(bytes) => Interval::Mean(Bytes::new(bytes)),
            None => Interval::Adaptive,
        },
        None => Interval::Adaptive,
    };
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let settings = Settings {
        interval,
        epoch: EPOCH,
        stacks_max: STACKS_MAX,
        program: program.as_os_str().as_bytes(),
        command: &command(count, arguments),
        hand_over,
    };
    // There is nobody here to tell: the recorder misses the tables, and says so.
    if malloc::start(&HEAP, &settings).is_ok() {
        interpreter::start();
    }
}

fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: a lookup by a name that ends with a zero; the program has had no chance yet to change what is found.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    }
}

/// The arguments, each ended by a zero byte.
fn command(count: c_int, arguments: *const *const c_char) -> Vec<u8> {
    let mut command = Vec::new();
    for nth in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the loader hands on as many strings as it says.
        let argument = unsafe { CStr::from_ptr(*arguments.add(nth)) };
        command.extend_from_slice(argument.to_bytes_with_nul());
    }
    command
}
