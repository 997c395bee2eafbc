//! Which line an instruction is on: the location table of a code object, as 3.11 and later write it.
//!
//! Each entry stands for one to eight code units. Its first byte has the highest bit set, then four bits that say how
//! the rest is written, then the number of units less one. Lines are differences from the entry before.

use super::layout::BytesObject;
use super::memory::{Bytes, Memory, plausible};

/// Bytes of one table that are read; a place further on gets the last line before. It is a function of tens of
/// thousands of lines. Grows: the longest time that a description takes, about a millisecond for a mebibyte.
pub(super) const TABLE_BYTES_MAX: u64 = 256 << 10;
/// Bytes of the longest number: six bits in each, of 32.
const NUMBER_BYTES_MAX: u32 = 6;

/// How an entry is written.
mod kind {
    pub(super) const ONE_LINE_0: u8 = 10;
    pub(super) const ONE_LINE_2: u8 = 12;
    pub(super) const NO_COLUMNS: u8 = 13;
    pub(super) const LONG: u8 = 14;
}

/// The table in the interpreter's memory.
pub(super) struct Table {
    memory: Memory,
    values: u64,
    length: u64,
}

impl Table {
    /// The bytes object at an address.
    pub(super) fn at(memory: Memory, layout: &BytesObject, address: u64) -> Option<Self> {
        if !plausible(address) {
            return None;
        }
        let length = memory.word(address.wrapping_add(layout.length as u64))?;
        Some(Self { memory, values: address.wrapping_add(layout.values as u64), length })
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.memory.bytes(self.values, self.length.min(TABLE_BYTES_MAX))
    }
}

/// The line of the code unit `at`. One without a line has the last line before it, if any, and otherwise the first line
/// of the function; so has one that the table does not reach.
pub(super) fn line(mut table: impl Iterator<Item = u8>, line_first: u32, at: u64) -> u32 {
    let mut line = line_first;
    let mut end = 0;
    // An entry begins where the highest bit is set; its other bytes have it clear. So whatever is left of one entry is
    // stepped over, and a table of another kind cannot send us astray.
    while let Some(first) = table.next() {
        if first & 0x80 == 0 {
            continue;
        }
        let delta = match (first >> 3) & 0xf {
            kind::NO_COLUMNS | kind::LONG => signed(&mut table),
            short @ kind::ONE_LINE_0..=kind::ONE_LINE_2 => i32::from(short - kind::ONE_LINE_0),
            // The short ones, which stay on the line, and those that have none.
            _ => 0,
        };
        line = line.wrapping_add_signed(delta);
        end += u64::from(first & 7) + 1;
        if at < end {
            break;
        }
    }
    line
}

/// A signed number: its lowest bit is the sign.
fn signed(table: &mut impl Iterator<Item = u8>) -> i32 {
    let mut number = 0_u32;
    for nth in 0..NUMBER_BYTES_MAX {
        let Some(byte) = table.next() else { break };
        number |= u32::from(byte & 0x3f) << (6 * nth);
        if byte & 0x40 == 0 {
            break;
        }
    }
    let size = (number >> 1).cast_signed();
    if number & 1 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, units: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | kind << 3 | (units - 1)];
        bytes.extend(rest);
        bytes
    }

    fn lines(entries: &[Vec<u8>], units: u64) -> Vec<u32> {
        let table = entries.concat();
        (0..units).map(|at| line(table.iter().copied(), 100, at)).collect()
    }

    const NO_LINE: u8 = 15;

    /// A number as the table writes it.
    fn number(value: i32) -> Vec<u8> {
        let mut left = (value.unsigned_abs() << 1) | u32::from(value < 0);
        let mut bytes = Vec::new();
        while left >= 64 {
            bytes.push((left & 0x3f) as u8 | 0x40);
            left >>= 6;
        }
        bytes.push(left as u8);
        bytes
    }

    #[test]
    fn short_entries_stay_on_the_line_and_one_line_entries_go_up_to_two_further() {
        let entries =
            [entry(3, 2, &[0x11]), entry(11, 1, &[4, 9]), entry(12, 3, &[4, 9]), entry(10, 1, &[1, 2])];
        assert_eq!(lines(&entries, 7), [100, 100, 101, 103, 103, 103, 103]);
    }

    #[test]
    fn lines_go_back_and_far() {
        let long = |delta: i32| [number(delta), vec![1, 5, 6]].concat();
        let entries = [
            entry(kind::NO_COLUMNS, 1, &number(-7)),
            entry(kind::LONG, 2, &long(3000)),
            entry(kind::NO_COLUMNS, 8, &number(-31)),
            entry(kind::LONG, 1, &long(1_000_000)),
        ];
        assert_eq!(lines(&entries, 3), [93, 3093, 3093]);
        assert_eq!(lines(&entries, 12)[3..], [[3062; 8].as_slice(), &[1_003_062]].concat());
    }

    #[test]
    fn what_has_no_line_has_the_last_one_and_else_the_first() {
        let none = entry(NO_LINE, 1, &[]);
        let entries = [none.clone(), entry(11, 1, &[0, 0]), none.clone(), entry(11, 1, &[0, 0])];
        assert_eq!(lines(&entries, 4), [100, 101, 101, 102]);
        assert_eq!(lines(&[], 2), [100, 100], "an empty table");
        assert_eq!(lines(&[none], 9)[8], 100, "beyond the end");
    }

    #[test]
    fn a_table_that_is_none_ends() {
        for seed in 0..2000_u32 {
            let byte = |nth: u32| ((seed ^ nth).wrapping_mul(0x9e37_79b9) >> 24) as u8;
            line((0..200).map(byte), seed, u64::from(seed));
        }
        line(std::iter::repeat_n(0xff, 100), u32::MAX, 9);
        line([0xf0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f].into_iter(), 0, 9);
    }
}
