//! Lines cut from any bytes: always forward, never past the window, whole at the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_bounds::processor::{Cutter, Lines};

fuzz_target!(|input: (u8, &[u8])| {
    let (bytes_max, bytes) = input;
    let mut cutter = Lines { bytes_max: usize::from(bytes_max) + 1 };
    let mut rest = bytes;
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(cutter.window_bytes())];
        let at_end = window.len() == rest.len() && window.len() < cutter.window_bytes();
        let cut = cutter.cut(window, at_end).expect("it answers when the window is full or at the end");
        assert!((1..=window.len()).contains(&cut));
        rest = &rest[cut..];
    }
});
