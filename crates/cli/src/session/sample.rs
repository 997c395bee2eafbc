//! How often is sampled: as it is asked for, and as the library inside the program reads it.

use std::fmt;
use std::str::FromStr;

use plimsoll_core::Bytes;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// As often as costs about nothing.
    Adaptive,
    /// From the finest interval on, and coarser when that costs too much. Nobody asks for it by name: a verb does that
    /// has little time.
    Fine {
        /// What it may cost, in parts of a million of the program's CPU time.
        cost_max_ppm: u32,
        finest: Bytes,
        /// What it may cost in any case, in parts of a million of the time that passes.
        spare_ppm: u32,
    },
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

/// As the library reads it: a word, perhaps with bounds, or a number of bytes without a unit.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sample::Adaptive => f.write_str("adaptive"),
            Sample::Fine { cost_max_ppm, finest, spare_ppm } => {
                write!(f, "adaptive:{cost_max_ppm}:{}:{spare_ppm}", finest.as_u64())
            }
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
            Sample::Fine { cost_max_ppm, finest, spare_ppm } => {
                let [cost, spare] = [cost_max_ppm, spare_ppm].map(|ppm| f64::from(ppm) / 1e4);
                format!(
                    "up to one sample in {finest}, for at most {cost} % of the program's CPU time or {spare} % of a \
                     processor"
                )
            }
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

    #[test]
    fn the_fine_one_is_written_with_its_bounds_and_not_offered() {
        let fine = Sample::Fine { cost_max_ppm: 100_000, finest: Bytes::new(256), spare_ppm: 50_000 };
        assert_eq!(fine.to_string(), "adaptive:100000:256:50000");
        fine.to_string().parse::<Sample>().expect_err("`record --sample` knows no such word");
        let words =
            "up to one sample in 256B, for at most 10 % of the program's CPU time or 5 % of a processor";
        assert_eq!(fine.in_words(), words);
    }
}
