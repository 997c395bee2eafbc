//! The interpreter's strings as UTF-8, in buffers of a fixed length.

use super::layout::StringObject;
use super::memory::{Bytes, Memory, field, field_u32, in_user_space, plausible};

/// Characters of a string that is believed. Nobody's path or name is longer; a length that is says that it is no string.
const CHARACTERS_MAX: u64 = 1 << 24;
/// Bytes of a string object before its characters that are read, of any version.
const HEADER_BYTES: usize = 40;
/// What stands for the part that was cut.
const CUT: char = '…';

/// Text of at most `BYTES_MAX` bytes. Plain data.
#[derive(Clone, Copy)]
pub(crate) struct Text<const BYTES_MAX: usize> {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl<const BYTES_MAX: usize> Text<BYTES_MAX> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; BYTES_MAX], length: 0 }
    }

    /// What it says. Allocates nothing.
    pub(crate) fn as_str(&self) -> &str {
        // Only whole characters are put in; if it were otherwise, nothing is better than a panic inside `malloc`.
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds a character; false if there is no room.
    fn push(&mut self, character: char) -> bool {
        let Some(room) = self.bytes.get_mut(self.length..self.length + character.len_utf8()) else {
            return false;
        };
        character.encode_utf8(room);
        self.length += character.len_utf8();
        true
    }
}

/// A `str` in the interpreter's memory.
pub(super) struct PyString {
    memory: Memory,
    /// Of the first character.
    characters: u64,
    length: u64,
    width: Width,
}

/// Bytes of a character.
#[derive(Clone, Copy)]
enum Width {
    One = 1,
    Two = 2,
    Four = 4,
}

impl PyString {
    /// The string at an address.
    pub(super) fn at(memory: Memory, layout: &StringObject, address: u64) -> Option<Self> {
        if !plausible(address) {
            return None;
        }
        let mut header = [0; HEADER_BYTES];
        if !memory.copy(address, &mut header) {
            return None;
        }
        let (length, state) = (field(&header, layout.length), field_u32(&header, layout.state));
        // Two bits say how it is interned, three are the width, then whether it is compact, and ASCII.
        let width = match (state >> 2) & 7 {
            1 => Width::One,
            2 => Width::Two,
            4 => Width::Four,
            _ => return None,
        };
        let compact = address.wrapping_add(layout.compact as u64);
        let characters = match (state & 0x20 != 0, state & 0x40 != 0) {
            (true, true) => address.wrapping_add(layout.ascii as u64),
            (true, false) => compact,
            (false, _) => memory.word(compact)?,
        };
        let believed = length <= CHARACTERS_MAX && in_user_space(characters);
        believed.then_some(Self { memory, characters, length, width })
    }

    /// Its beginning, with [`CUT`] at the end if there is more. False if it cannot be read to the end.
    pub(super) fn beginning<const BYTES_MAX: usize>(&self, text: &mut Text<BYTES_MAX>) -> bool {
        text.clear();
        let mut with_cut = 0;
        let mut read = 0;
        for character in self.from(0) {
            read += 1;
            if !text.push(character) {
                text.length = with_cut;
                text.push(CUT);
                return true;
            }
            if text.length + CUT.len_utf8() <= BYTES_MAX {
                with_cut = text.length;
            }
        }
        read == self.length
    }

    /// Its end, with [`CUT`] at the beginning if there is more. False if it cannot be read.
    pub(super) fn end<const BYTES_MAX: usize>(&self, text: &mut Text<BYTES_MAX>) -> bool {
        text.clear();
        // A character is a byte at least, so no more of them fit.
        let mut skipped = self.length.saturating_sub(BYTES_MAX as u64);
        let mut bytes: usize = self.from(skipped).map(char::len_utf8).sum();
        if skipped > 0 || bytes > BYTES_MAX {
            for character in self.from(skipped) {
                if bytes + CUT.len_utf8() <= BYTES_MAX {
                    break;
                }
                // Without the lock the string may be another by now.
                bytes = bytes.saturating_sub(character.len_utf8());
                skipped += 1;
            }
            text.push(CUT);
        }
        let mut read = skipped;
        for character in self.from(skipped) {
            read += u64::from(text.push(character));
        }
        read == self.length
    }

    fn from(&self, first: u64) -> Characters {
        let width = self.width as u64;
        let bytes =
            self.memory.bytes(self.characters.wrapping_add(first * width), (self.length - first) * width);
        Characters { bytes, width: self.width }
    }
}

/// Characters, one after the other. Ends early where memory does.
struct Characters {
    bytes: Bytes,
    width: Width,
}

impl Iterator for Characters {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut number = 0;
        for nth in 0..self.width as u32 {
            number |= u32::from(self.bytes.next()?) << (8 * nth);
        }
        // Halves of pairs stand for bytes of a path that were no text: they cannot be written in UTF-8.
        Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: StringObject = StringObject { length: 16, state: 32, ascii: 40, compact: 56 };

    /// A string object, and what keeps its memory.
    fn object(text: &str) -> Vec<u64> {
        let numbers: Vec<u32> = text.chars().map(|character| character as u32).collect();
        of_numbers(&numbers)
    }

    fn of_numbers(numbers: &[u32]) -> Vec<u64> {
        let largest = numbers.iter().copied().max().unwrap_or(0);
        let (width, ascii) = match largest {
            0..0x80 => (1, true),
            0x80..0x100 => (1, false),
            0x100..0x1_0000 => (2, false),
            _ => (4, false),
        };
        let mut bytes = vec![0_u8; if ascii { LAYOUT.ascii } else { LAYOUT.compact }];
        bytes[16..24].copy_from_slice(&(numbers.len() as u64).to_le_bytes());
        bytes[32] = 1 | (width as u8) << 2 | 0x20 | if ascii { 0x40 } else { 0 };
        numbers.iter().for_each(|number| bytes.extend(&number.to_le_bytes()[..width]));
        // The zero at the end, which Python writes and nobody reads.
        bytes.resize(bytes.len().next_multiple_of(8) + 8, 0xff);
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    fn read(object: &[u64]) -> PyString {
        let address = object.as_ptr().expose_provenance() as u64;
        PyString::at(Memory::OWN, &LAYOUT, address).expect("it is a string")
    }

    fn beginning<const N: usize>(text: &str) -> String {
        let (object, mut into) = (object(text), Text::<N>::new());
        assert!(read(&object).beginning(&mut into));
        into.as_str().to_owned()
    }

    fn end<const N: usize>(text: &str) -> String {
        let (object, mut into) = (object(text), Text::<N>::new());
        assert!(read(&object).end(&mut into));
        into.as_str().to_owned()
    }

    #[test]
    fn every_width_becomes_utf_8() {
        for text in ["", "a", "main.<locals>.f", "größe", "функция", "名前", "𝔣🦀x", "ÿĀ\u{ffff}\u{10ffff}"]
        {
            assert_eq!(beginning::<256>(text), text);
            assert_eq!(end::<512>(text), text);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(beginning::<8>("12345678"), "12345678");
        assert_eq!(beginning::<8>("123456789"), "12345…");
        assert_eq!(end::<8>("12345678"), "12345678");
        assert_eq!(end::<8>("123456789"), "…56789");
        assert_eq!(beginning::<8>("ééééé"), "éé…", "a byte is left");
        assert_eq!(end::<8>("ééééé"), "…éé");
        assert_eq!(end::<8>("éééé"), "éééé");
        assert_eq!(beginning::<9>("🦀🦀🦀"), "🦀…");
        assert_eq!(end::<9>("🦀🦀🦀"), "…🦀");
        for length in 0..700 {
            let text: String = (0..length).map(|nth| ['a', 'é', '名', '🦀'][nth % 4]).collect();
            let (first, last) = (beginning::<256>(&text), end::<512>(&text));
            assert!(text.starts_with(first.trim_end_matches(CUT)) && first.len() <= 256);
            assert!(text.ends_with(last.trim_start_matches(CUT)) && last.len() <= 512);
            assert_eq!(first == text, text.len() <= 256);
            assert_eq!(last == text, text.len() <= 512);
            assert!(first == text || first.len() > 256 - 8);
            assert!(last == text || last.len() > 512 - 8);
        }
    }

    #[test]
    fn half_a_pair_is_replaced() {
        let (object, mut into) = (of_numbers(&[0x61, 0xdc80, 0x62]), Text::<64>::new());
        assert!(read(&object).end(&mut into));
        assert_eq!(into.as_str(), "a\u{fffd}b");
    }

    #[test]
    fn a_string_of_a_derived_type_has_its_characters_elsewhere() {
        let characters = *b"else\0\0\0\0";
        let mut object = object("ab");
        object.resize(10, 0);
        object[2] = 4;
        object[4] = 1 << 2;
        object[7] = (&raw const characters).expose_provenance() as u64;
        let mut into = Text::<64>::new();
        assert!(read(&object).beginning(&mut into));
        assert_eq!(into.as_str(), "else");
    }

    #[test]
    fn what_is_no_string_is_none() {
        let mut long = object("ab");
        long[2] = CHARACTERS_MAX + 1;
        let mut odd = object("ab");
        odd[4] = 3 << 2 | 0x60;
        for object in [long, odd] {
            let address = object.as_ptr().expose_provenance() as u64;
            assert!(PyString::at(Memory::OWN, &LAYOUT, address).is_none());
        }
        assert!(PyString::at(Memory::OWN, &LAYOUT, 8).is_none());
    }
}
