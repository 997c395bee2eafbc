//! A raw image of another process's tables, from whoever wrote it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_heap::image::{Image, SAVED_MAGIC};

fuzz_target!(|bytes: &[u8]| {
    // Past the first bytes in any case.
    let bytes = [SAVED_MAGIC.as_slice(), bytes].concat();
    if let Ok(image) = Image::read(&bytes) {
        let snapshot = image.snapshot();
        let _ = (image.process(), image.note(), image.peak(), snapshot.live());
    }
});
