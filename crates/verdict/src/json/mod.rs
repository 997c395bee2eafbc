//! The profile file: everything of a profile, as JSON of the schema `plimsoll.heap/1`.
//!
//! A later reader must be able to read it, so the rules of change are fixed: a field may be added, and readers
//! pass over what they do not know; a field that goes, or means something else, makes a new schema, and an old
//! reader says so instead of guessing. Addresses are text in hexadecimal, because JavaScript and its like have
//! no whole numbers over 2^53. `pprof` holds less, but everybody reads it: see [`crate::pprof`].

mod convert;
mod open;
mod wire;

use std::io::{self, Write};

use crate::profile::Profile;
use crate::read::{ReadError, ReadLimits};

/// The schema that is written, and the only one that is read.
pub const SCHEMA: &str = "plimsoll.heap/1";

/// Characters of a stranger's word that are said back.
const ECHO_CHARS_MAX: usize = 60;

/// Writes `profile` as one line of JSON. Allocates some 50 bytes for each entry of a table.
///
/// # Errors
/// Those of `out`.
pub fn write(profile: &Profile, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &convert::to_wire(profile))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Reads a profile file, in gzip or not. What it allocates at most stands at [`ReadLimits`].
///
/// # Errors
/// Says what is wrong with the file; a field that is missing is named, and so is an unknown schema.
pub fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Profile, ReadError> {
    let bytes = &*crate::read::unpacked(bytes, limits)?;
    let max = limits.decompressed_max;
    if bytes.len() > max.as_usize() {
        return Err(ReadError::Limit { what: "bytes", max: max.as_u64() });
    }
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let head: wire::Head<'_> =
        serde_json::from_slice(bytes).map_err(|error| open::damaged(&error, bytes, 0))?;
    match head.schema.as_deref() {
        Some(SCHEMA) => {}
        Some(other) => {
            let found = crate::clean::line(other).chars().take(ECHO_CHARS_MAX).collect();
            return Err(ReadError::Schema { found, understood: SCHEMA });
        }
        None if head.dhat.is_some() => {
            let cure = "open it with dhat's viewer; only pprof and our own JSON are read here";
            return Err(ReadError::Foreign { found: "a file of DHAT", cure });
        }
        None => {
            let cure = "give the JSON that `plimsoll snapshot` writes, whose `schema` says `plimsoll.heap/1`";
            return Err(ReadError::Foreign { found: "JSON without a `schema`", cure });
        }
    }
    open::read(bytes, limits)
}

/// What some editors put before a text.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whether `bytes` begin as JSON does.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    bytes.strip_prefix(BOM).unwrap_or(bytes).trim_ascii_start().first() == Some(&b'{')
        // A message of profile.proto may begin with a line feed (0x0a) and a `{` (a length of 123).
        && bytes.first() != Some(&b'\n')
        || bytes.starts_with(b"\n{\"")
}
