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
/// How densely: `adaptive`, `adaptive:COST_PPM:FINEST_BYTES:SPARE_PPM`, `all`, or a number of bytes.
const SAMPLE: &CStr = c"PLIMSOLL_SAMPLE";
/// The unit of ages, in milliseconds.
const EPOCH_MS: &CStr = c"PLIMSOLL_EPOCH_MS";
/// How old is old, to the profiler, if nobody says: enough for a verdict over some minutes.
const EPOCH: Duration = Duration::from_secs(1);
/// The longest that it may be: an hour.
const EPOCH_MS_MAX: u64 = 3_600_000;
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
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let settings = Settings {
        interval: variable(SAMPLE).and_then(interval).unwrap_or_default(),
        epoch: variable(EPOCH_MS).and_then(epoch).unwrap_or(EPOCH),
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

/// How densely is sampled. Nobody is here to be told of nonsense, so that is as if nothing was said.
fn interval(text: &[u8]) -> Option<Interval> {
    let text = std::str::from_utf8(text).ok()?;
    if text == "all" {
        return Some(Interval::Every);
    }
    let Some(bounds) = text.strip_prefix("adaptive:") else {
        return text.parse().ok().map(|bytes| Interval::Mean(Bytes::new(bytes)));
    };
    let mut numbers = bounds.split(':').map(|number| number.parse::<u64>().ok());
    let (cost_max, finest, spare) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let ppm = |number| u32::try_from(number).unwrap_or(u32::MAX);
    numbers.next().is_none().then(|| Interval::Fine {
        finest: Bytes::new(finest),
        cost_max_ppm: ppm(cost_max),
        spare_ppm: ppm(spare),
    })
}

/// The unit of ages. Nonsense is as if nothing was said.
fn epoch(text: &[u8]) -> Option<Duration> {
    let ms = std::str::from_utf8(text).ok()?.parse().ok()?;
    (1..=EPOCH_MS_MAX).contains(&ms).then(|| Duration::from_millis(ms))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_densely_is_a_word_a_number_or_bounds() {
        let fine = |cost_max_ppm, bytes, spare_ppm| Interval::Fine {
            finest: Bytes::new(bytes),
            cost_max_ppm,
            spare_ppm,
        };
        for (text, expected) in [
            ("all", Some(Interval::Every)),
            ("65536", Some(Interval::Mean(Bytes::kib(64)))),
            ("adaptive:100000:256:50000", Some(fine(100_000, 256, 50_000))),
            ("adaptive:99999999999:256:0", Some(fine(u32::MAX, 256, 0))),
            ("adaptive", None),
            ("adaptive:", None),
            ("adaptive:100000:256", None),
            ("adaptive:100000:256:", None),
            ("adaptive::256:0", None),
            ("adaptive:-1:256:0", None),
            ("adaptive:100000:256:0:1", None),
            ("often", None),
            ("", None),
        ] {
            assert_eq!(interval(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(interval(&[0xff]), None);
        assert_eq!(Interval::default(), Interval::Adaptive, "what nonsense becomes");
    }

    #[test]
    fn an_epoch_is_a_number_of_milliseconds_up_to_an_hour() {
        for (text, ms) in [("1", 1), ("125", 125), ("3600000", 3_600_000)] {
            assert_eq!(epoch(text.as_bytes()), Some(Duration::from_millis(ms)), "{text}");
        }
        for nonsense in ["", "0", "-5", "3600001", "1s", "18446744073709551616"] {
            assert_eq!(epoch(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
