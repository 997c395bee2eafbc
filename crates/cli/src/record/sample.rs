//! How often is sampled: as it is asked for, and as the library inside the program reads it.

use std::fmt;
use std::str::FromStr;

use plimsoll_core::Bytes;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// As often as costs about nothing.
    Adaptive,
    /// Every allocation.
    All,
    /// One in so many bytes, on average.
    Mean(Bytes),
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Sample, String> {
        match text {
            "adaptive" => Ok(Sample::Adaptive),
            "all" => Ok(Sample::All),
            text => match text.parse::<Bytes>() {
                Ok(bytes) if bytes.is_zero() => {
                    Err("one sample in 0 bytes is none; `all` takes every one".into())
                }
                Ok(bytes) => Ok(Sample::Mean(bytes)),
                Err(error) => Err(format!("{error}, or `all`, or `adaptive`")),
            },
        }
    }
}

/// As the library reads it: a word, or a number of bytes without a unit.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sample::Adaptive => f.write_str("adaptive"),
            Sample::All => f.write_str("all"),
            Sample::Mean(bytes) => write!(f, "{}", bytes.as_u64()),
        }
    }
}

impl Sample {
    /// As people read it.
    pub(crate) fn in_words(self) -> String {
        match self {
            Sample::Adaptive => "sampling as often as costs little".into(),
            Sample::All => "every allocation".into(),
            Sample::Mean(bytes) => format!("one sample in {bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_what_the_library_reads() {
        for (asked, read) in [("adaptive", "adaptive"), ("all", "all"), ("64KiB", "65536"), ("1", "1")] {
            assert_eq!(asked.parse::<Sample>().expect(asked).to_string(), read);
        }
        for wrong in ["0", "64K", "often", ""] {
            wrong.parse::<Sample>().expect_err(wrong);
        }
    }
}
