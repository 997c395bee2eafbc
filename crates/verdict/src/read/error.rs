//! Why bytes are no profile: what was there, and what to do about it.

use std::fmt;

use crate::profile::BadProfile;

/// What is wrong with a gzip file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipFault {
    /// It ends too early.
    Truncated,
    /// Its bytes are not what was packed.
    Corrupt,
}

/// Why bytes are no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// There are no bytes.
    Empty,
    /// They are something else, and it is known what.
    Foreign {
        /// What they are.
        found: &'static str,
        /// What to do.
        cure: &'static str,
    },
    /// The file has more than it may have: see [`crate::ReadLimits`].
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        max: u64,
    },
    /// The packing is damaged.
    Gzip {
        /// How.
        fault: GzipFault,
        /// How many bytes could be unpacked until then.
        unpacked_bytes: u64,
    },
    /// It is no pprof file, or a damaged one.
    Pprof {
        /// What could not be read.
        what: String,
        /// At which byte of the unpacked file.
        at: usize,
    },
    /// It is JSON, but no profile, or a damaged one; a field that is missing is named.
    Json {
        /// What could not be read.
        what: String,
        /// In which line, from 1.
        line: usize,
        /// At which column of it.
        column: usize,
    },
    /// It is JSON of another schema.
    Schema {
        /// Which.
        found: String,
        /// What this version reads.
        understood: &'static str,
    },
    /// It is a profile, but not of a heap.
    NotHeap {
        /// What it measured.
        found: Vec<String>,
    },
    /// It is the difference of two profiles: amounts are negative.
    Difference,
    /// Its parts do not fit together.
    Bad(BadProfile),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Empty => {
                write!(f, "the file is empty; was the program ended before it had written the profile?")
            }
            ReadError::Foreign { found, cure } => {
                write!(f, "a heap profile (pprof or JSON) is wanted, this is {found}: {cure}")
            }
            ReadError::Limit { what, max } => {
                write!(f, "the file has more than {max} {what}, the limit; if you trust it, raise the limit")
            }
            ReadError::Gzip { fault: GzipFault::Truncated, unpacked_bytes } => write!(
                f,
                "the gzip file ends too early, after {unpacked_bytes} bytes unpacked: get the whole of it"
            ),
            ReadError::Gzip { fault: GzipFault::Corrupt, unpacked_bytes } => write!(
                f,
                "the gzip file is damaged, after {unpacked_bytes} bytes unpacked: get it again, as binary"
            ),
            ReadError::Pprof { what, at } => {
                write!(f, "this is no pprof file, or a damaged one: {what} (at byte {at}); get it again")
            }
            ReadError::Json { what, line, column } => write!(
                f,
                "this is no profile in JSON, or a damaged one: {what} (line {line}, column {column}); get it again"
            ),
            ReadError::Schema { found, understood } => write!(
                f,
                "the file's schema is `{found}`, this version understands `{understood}`: read it with the \
                 version that wrote it"
            ),
            ReadError::NotHeap { found } => {
                let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
                write!(f, "this is a profile of {found}, not of a heap: take one from /debug/pprof/heap")
            }
            ReadError::Difference => write!(
                f,
                "this is the difference of two profiles (amounts are negative): give the two files themselves"
            ),
            ReadError::Bad(bad) => bad.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Bad(bad) => Some(bad),
            _ => None,
        }
    }
}

impl From<BadProfile> for ReadError {
    fn from(bad: BadProfile) -> Self {
        ReadError::Bad(bad)
    }
}
