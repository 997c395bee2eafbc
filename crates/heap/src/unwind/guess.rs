//! Code that is in no module and that nobody describes: made at run time, by V8, LuaJIT, PCRE2.
//!
//! Such code either keeps frame pointers, as all of V8's does, or cannot be followed. So the chain of them is followed
//! as long as every word of it is what it ought to be: a frame above the last one and in the stack, and a return
//! address that lies in a module's code, right behind a call, or near the code that it is returned from.
//!
//! A guess may be wrong: where such code keeps no frame pointers, `rbp` may be that of a function further up, and those in
//! between are missing. Nothing is read for it but the stack, and eight bytes that the kernel has just said are there.

use super::readable::is_readable;

/// The longest call: prefix, `ff`, two bytes of how to find the address, four bytes of distance.
const CALL_MAX_BYTES: usize = 8;

/// Whether the bytes before an address are a call. Two system calls at most, so the answer is to be remembered.
pub(super) fn follows_call(after: u64) -> bool {
    let Ok(after) = usize::try_from(after) else { return false };
    let Some(start) = after.checked_sub(CALL_MAX_BYTES) else { return false };
    if !is_readable(start) || !is_readable(after - 1) {
        return false;
    }
    // SAFETY: both ends were just seen to be readable, and they are less than a page apart. The code may be written
    // to meanwhile; any bytes will do.
    let bytes = unsafe { std::ptr::with_exposed_provenance::<[u8; CALL_MAX_BYTES]>(start).read_volatile() };
    ends_in_call(bytes)
}

/// How large an area of code that was made at run time may be: OpenJDK's is 240 MiB, V8's half of that.
const AREA_BYTES: u64 = 256 << 20;

/// Whether both addresses may be of one area.
pub(super) fn is_near(from: u64, to: u64) -> bool {
    from.abs_diff(to) < AREA_BYTES
}

/// Whether there is anything before an address.
pub(super) fn is_there(after: u64) -> bool {
    usize::try_from(after.wrapping_sub(1)).is_ok_and(is_readable)
}

/// A call to a distance, or through a register or a word of memory.
fn ends_in_call(bytes: [u8; CALL_MAX_BYTES]) -> bool {
    const NEAR: u8 = 0xe8;
    const INDIRECT: u8 = 0xff;
    if bytes[CALL_MAX_BYTES - 5] == NEAR {
        return true;
    }
    // How long an indirect call is follows from the byte after its first.
    (2..CALL_MAX_BYTES).any(|length| {
        let at = CALL_MAX_BYTES - length;
        let (mode, kind, base) = (bytes[at + 1] >> 6, bytes[at + 1] >> 3 & 7, bytes[at + 1] & 7);
        let has_index = mode != 3 && base == 4;
        let distance = match mode {
            0 if base == 5 => 4,
            // An index without a base has its distance in four bytes as well.
            0 if has_index && length > 2 && bytes[at + 2] & 7 == 5 => 4,
            1 => 1,
            2 => 4,
            _ => 0,
        };
        bytes[at] == INDIRECT && kind == 2 && length == 2 + usize::from(has_index) + distance
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &[u8], is_call: bool) {
        let mut bytes = [0x90; CALL_MAX_BYTES];
        bytes[CALL_MAX_BYTES - code.len()..].copy_from_slice(code);
        assert_eq!(ends_in_call(bytes), is_call, "{code:x?}");
    }

    #[test]
    fn calls_are_known_by_their_bytes() {
        // As objdump has them.
        check(&[0xe8, 0xdb, 0xff, 0xff, 0xff], true);
        check(&[0xff, 0xd0], true);
        check(&[0x41, 0xff, 0xd2], true);
        check(&[0xff, 0x10], true);
        check(&[0xff, 0x50, 0x18], true);
        check(&[0xff, 0x90, 0x00, 0x01, 0x00, 0x00], true);
        check(&[0xff, 0x15, 0x10, 0x20, 0x30, 0x40], true);
        check(&[0x41, 0xff, 0x95, 0x10, 0x20, 0x00, 0x00], true);
        check(&[0xff, 0x54, 0x24, 0x08], true);
        check(&[0x42, 0xff, 0x14, 0xe5, 0x10, 0x20, 0x30, 0x40], true);
        check(&[0xff, 0x94, 0xc4, 0x00, 0x01, 0x00, 0x00], true);
        check(&[0xc3], false);
        check(&[0xff, 0xe0], false);
        check(&[0xff, 0x25, 0x10, 0x20, 0x30, 0x40], false);
        check(&[0x0f, 0x1f, 0x44, 0x00, 0x00], false);
        check(&[0x55, 0x48, 0x89, 0xe5], false);
        check(&[0; CALL_MAX_BYTES], false);
    }

    #[test]
    #[cfg(not(miri))]
    fn memory_that_is_not_there_follows_no_call() {
        assert!([0, 7, 8, 4096, 1 << 47, u64::MAX].iter().all(|&address| !follows_call(address)));
    }
}
