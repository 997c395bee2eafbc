//! The id of an event: which life of the topic, and the how manieth event in it.
//!
//! A reader that comes back says the last id it saw. An offset alone would lie after a restart or after
//! the topic expired and was made again: the reader would be told "nothing missed" about a history that is
//! not the one it knew. So every incarnation of a topic has an *epoch* of its own, and an id of another
//! epoch is answered with a reset, never with a guess.

use std::fmt;
use std::str::FromStr;

/// `epoch-offset`: the epoch in lower-case hexadecimal, the offset in decimal, counted from 1.
///
/// Offset 0 is no event; as a place to go on from it means "before the first".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The topic's incarnation.
    pub epoch: u64,
    /// The event's number in it.
    pub offset: u64,
}

/// The longest id as text, in bytes: 16 hexadecimal digits, the hyphen, 20 decimal digits.
pub const EVENT_ID_BYTES_MAX: usize = 37;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.offset)
    }
}

/// A text that is no event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventIdError;

impl fmt::Display for EventIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an event id: it is written as the hub writes it, like `18c2f0a-1042`")
    }
}

impl std::error::Error for EventIdError {}

impl FromStr for EventId {
    type Err = EventIdError;

    /// Reads exactly what is printed: no signs, spaces, capitals or leading zeros, so that one id has one
    /// text.
    fn from_str(text: &str) -> Result<EventId, EventIdError> {
        if text.len() > EVENT_ID_BYTES_MAX {
            return Err(EventIdError);
        }
        let (epoch, offset) = text.split_once('-').ok_or(EventIdError)?;
        let plain = |digits: &str, hexadecimal: bool| {
            let digit = |c: u8| c.is_ascii_digit() || (hexadecimal && (b'a'..=b'f').contains(&c));
            !digits.is_empty() && digits.bytes().all(digit) && (digits == "0" || !digits.starts_with('0'))
        };
        if !plain(epoch, true) || !plain(offset, false) {
            return Err(EventIdError);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| EventIdError)?;
        let offset = offset.parse().map_err(|_| EventIdError)?;
        Ok(EventId { epoch, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for (epoch, offset) in [(0, 0), (1, 1), (0xabc, 10), (u64::MAX, u64::MAX)] {
            let id = EventId { epoch, offset };
            let text = id.to_string();
            assert!(text.len() <= EVENT_ID_BYTES_MAX);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn reads_nothing_else() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "a-b",
            "A-1",
            "01-1",
            "1-01",
            "+1-1",
            "1-+1",
            "1--1",
            "1-1-1",
            " 1-1",
            "1-1\n",
            "1-1\0",
            "g-1",
            "1-18446744073709551616",
            "10000000000000000-1",
            "11111111111111111111111111111111111111-1",
            "é-1",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(EventIdError), "{text:?}");
        }
    }
}
