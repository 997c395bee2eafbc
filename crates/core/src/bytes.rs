//! A number of bytes that prints and parses as people write it: `64MiB`.
//!
//! Limits are mixed up when they are bare integers: one place counts entries, another kilobytes, and the
//! pod is killed with no eviction ever made. A `Bytes` can only be a number of bytes.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};
use std::str::FromStr;

/// A number of bytes.
///
/// Arithmetic saturates: a sum of limits that passes `u64::MAX` is "more than there is", never a wrapped
/// small number that would let a check pass.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// The binary units, largest first, with their size in bytes.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Bytes {
    /// No bytes at all.
    pub const ZERO: Bytes = Bytes(0);
    /// The largest number of bytes that can be said.
    pub const MAX: Bytes = Bytes(u64::MAX);

    /// `count` single bytes.
    pub const fn new(count: u64) -> Bytes {
        Bytes(count)
    }

    /// `count` × 1,024 bytes.
    pub const fn kib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(1 << 10))
    }

    /// `count` × 1,048,576 bytes.
    pub const fn mib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(1 << 20))
    }

    /// `count` × 1,073,741,824 bytes.
    pub const fn gib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(1 << 30))
    }

    /// The length of something in memory.
    pub const fn of_len(length: usize) -> Bytes {
        Bytes(length as u64)
    }

    /// The plain number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The plain number as a length; saturates where an address is narrower than 64 bits.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// `self - other`, or nothing when `other` is the larger.
    pub const fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }

    /// `self - other`, or `None` when `other` is the larger.
    pub const fn checked_sub(self, other: Bytes) -> Option<Bytes> {
        match self.0.checked_sub(other.0) {
            Some(left) => Some(Bytes(left)),
            None => None,
        }
    }

    /// The part `numerator / denominator` of this size, rounded down; nothing when the denominator is 0.
    pub const fn share(self, numerator: u64, denominator: u64) -> Bytes {
        if denominator == 0 {
            return Bytes::ZERO;
        }
        let part = self.0 as u128 * numerator as u128 / denominator as u128;
        Bytes(if part > u64::MAX as u128 { u64::MAX } else { part as u64 })
    }

    /// What share of `limit` this is, in percent; 0 of 0 is 0, anything else of 0 is 100.
    pub fn percent_of(self, limit: Bytes) -> f64 {
        match (self.0, limit.0) {
            (0, _) => 0.0,
            (_, 0) => 100.0,
            (used, limit) => used as f64 * 100.0 / limit as f64,
        }
    }

    /// Whether this is no bytes at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

impl Sub for Bytes {
    type Output = Bytes;
    /// Saturates at zero, and in debug builds says that more was taken than was there.
    fn sub(self, other: Bytes) -> Bytes {
        debug_assert!(self.0 >= other.0, "{other} taken from {self}");
        self.saturating_sub(other)
    }
}

impl SubAssign for Bytes {
    fn sub_assign(&mut self, other: Bytes) {
        *self = *self - other;
    }
}

impl Mul<u64> for Bytes {
    type Output = Bytes;
    fn mul(self, times: u64) -> Bytes {
        Bytes(self.0.saturating_mul(times))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(sizes: I) -> Bytes {
        sizes.fold(Bytes::ZERO, Add::add)
    }
}

impl fmt::Display for Bytes {
    /// Exact sizes print exactly (`64MiB`), others with one decimal (`1.5MiB`), small ones in bytes (`17B`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((unit, size)) = UNITS.iter().find(|(_, size)| self.0 >= *size) else {
            return f.pad(&format!("{}B", self.0));
        };
        if self.0.is_multiple_of(*size) {
            f.pad(&format!("{}{unit}", self.0 / size))
        } else {
            f.pad(&format!("{:.1}{unit}", self.0 as f64 / *size as f64))
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseBytesError {
    text: String,
    why: &'static str,
}

impl fmt::Display for ParseBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a size: {}; write it like 64MiB, 512KiB or 1048576", self.text, self.why)
    }
}

impl std::error::Error for ParseBytesError {}

impl FromStr for Bytes {
    type Err = ParseBytesError;

    /// Reads `64MiB`, `64 MiB`, `1.5GiB`, `17B` and `4096`. Letter case does not matter, and `M` or `MB` is
    /// refused rather than guessed at: half of those who write it mean 10^6 and half 2^20.
    fn from_str(text: &str) -> Result<Bytes, ParseBytesError> {
        // What is echoed back is cut: the text may come from a stranger.
        let error = |why| ParseBytesError { text: text.chars().take(40).collect(), why };
        let trimmed = text.trim();
        let digits_end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..digits_end], trimmed[digits_end..].trim());
        if number.is_empty() {
            return Err(error("it does not start with a number"));
        }
        let size = if unit.is_empty() || unit.eq_ignore_ascii_case("B") {
            1
        } else {
            match UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)) {
                Some((_, size)) => *size,
                None => return Err(error("the unit is none of B, KiB, MiB, GiB, TiB")),
            }
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(size).map(Bytes).ok_or_else(|| error("it is more than 2^64 bytes"));
        }
        let exact = number.parse::<f64>().map_err(|_| error("the number cannot be read"))? * size as f64;
        if exact >= u64::MAX as f64 {
            return Err(error("it is more than 2^64 bytes"));
        }
        if exact.fract() != 0.0 {
            return Err(error("it is not a whole number of bytes"));
        }
        Ok(Bytes(exact as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_people_write_it() {
        for (bytes, text) in [
            (Bytes::ZERO, "0B"),
            (Bytes::new(1023), "1023B"),
            (Bytes::kib(1), "1KiB"),
            (Bytes::mib(64), "64MiB"),
            (Bytes::kib(1536), "1.5MiB"),
            (Bytes::gib(4), "4GiB"),
        ] {
            assert_eq!(bytes.to_string(), text);
        }
    }

    #[test]
    fn parses_what_it_prints_and_what_people_type() {
        for (text, bytes) in [
            ("64MiB", Bytes::mib(64)),
            (" 64 mib ", Bytes::mib(64)),
            ("1.5GiB", Bytes::mib(1536)),
            ("4096", Bytes::kib(4)),
            ("17B", Bytes::new(17)),
            ("0", Bytes::ZERO),
        ] {
            assert_eq!(text.parse(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read_and_says_why() {
        for (text, why) in [
            ("", "does not start with a number"),
            ("-1", "does not start with a number"),
            ("64M", "the unit is none of"),
            ("64MB", "the unit is none of"),
            ("1.2.3KiB", "cannot be read"),
            ("0.3B", "not a whole number"),
            ("99999999TiB", "more than 2^64"),
            ("99999999999999999999999", "more than 2^64"),
        ] {
            let error = text.parse::<Bytes>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn sums_of_limits_never_wrap() {
        assert_eq!(Bytes::MAX + Bytes::new(1), Bytes::MAX);
        assert_eq!(Bytes::MAX * 2, Bytes::MAX);
        assert_eq!(Bytes::MAX.share(3, 2), Bytes::MAX);
        assert_eq!(Bytes::mib(64).share(1, 4), Bytes::mib(16));
        assert_eq!([Bytes::kib(1), Bytes::kib(3)].into_iter().sum::<Bytes>(), Bytes::kib(4));
    }
}
