//! Stacks in few bytes: each address as its difference to the one before.
//!
//! Callers are mostly in the same file as what they call, a few MiB apart, so a frame takes three or four bytes
//! instead of eight. Differences are folded so that small negative ones are small (zigzag), and written seven
//! bits a byte (LEB128), both as Protocol Buffers do.

/// The most bytes that one address can take.
const LONGEST: usize = 10;

/// Writes addresses; says how many of them fitted, and into how many bytes.
pub(crate) fn pack(addresses: &[u64], out: &mut [u8]) -> (usize, usize) {
    let (mut last, mut at) = (0_u64, 0);
    for (nth, &address) in addresses.iter().enumerate() {
        if out.len() - at < LONGEST {
            return (nth, at);
        }
        let difference = address.wrapping_sub(last).cast_signed();
        let mut rest = (difference << 1 ^ difference >> 63).cast_unsigned();
        while rest >= 0x80 {
            out[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        out[at] = rest as u8;
        at += 1;
        last = address;
    }
    (addresses.len(), at)
}

/// Appends the addresses that were written.
pub(crate) fn unpack(bytes: impl Iterator<Item = u8>, out: &mut Vec<u64>) {
    let (mut last, mut folded, mut shift) = (0_u64, 0_u64, 0);
    for byte in bytes {
        // Bytes that nobody packed may go on for ever; shifted out, they are nothing.
        folded |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            last = last.wrapping_add(folded >> 1 ^ (folded & 1).wrapping_neg());
            out.push(last);
            (folded, shift) = (0, 0);
        }
    }
}

#[cfg(test)]
mod miri_tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        let stack = [0x7f12_3456_789a, 0x5555_5555_1234, 0x5555_5555_0000, u64::MAX, 0, 1, 1 << 63];
        let mut bytes = [0; 80];
        let (count, length) = pack(&stack, &mut bytes);
        let mut back = Vec::new();
        unpack(bytes[..length].iter().copied(), &mut back);
        assert_eq!((count, back.as_slice()), (stack.len(), stack.as_slice()));
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut bytes = [0; 16];
        let (count, length) = pack(&[u64::MAX / 3; 3], &mut bytes);
        let mut back = Vec::new();
        unpack(bytes[..length].iter().copied(), &mut back);
        assert_eq!(back, vec![u64::MAX / 3; count]);
        assert!(count < 3);
    }
}
