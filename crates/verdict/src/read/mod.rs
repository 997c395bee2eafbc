//! Files of strangers become profiles, or an error that says what they are instead.
//!
//! People hand over whatever lies in the folder: a cut download, the program itself, another tool's file. Each
//! gets its own answer. And a file of a few kilobytes can ask for gigabytes, so nothing is made before a limit
//! has agreed to it.

mod error;
mod foreign;
mod gzip;
mod limits;

use crate::profile::Profile;

pub use error::{GzipFault, ReadError};
pub use limits::ReadLimits;

pub(crate) use limits::Counts;

/// Reads a profile: JSON or pprof, each as it is or in gzip, within [`ReadLimits::default`].
///
/// # Errors
/// Says what the bytes are instead, or what is wrong with them.
pub fn read(bytes: &[u8]) -> Result<Profile, ReadError> {
    read_with(bytes, &ReadLimits::default())
}

/// [`read`] within `limits`. What it allocates at most stands at [`ReadLimits`].
///
/// # Errors
/// Says what the bytes are instead, or what is wrong with them.
pub fn read_with(bytes: &[u8], limits: &ReadLimits) -> Result<Profile, ReadError> {
    if gzip::is_gzip(bytes) {
        let plain = gzip::inflate(bytes, limits.decompressed_max)?;
        if gzip::is_gzip(&plain) {
            return Err(ReadError::Foreign {
                found: "a gzip file within a gzip file",
                cure: "unpack it once with gunzip",
            });
        }
        return read_plain(&plain, limits);
    }
    read_plain(bytes, limits)
}

fn read_plain(bytes: &[u8], limits: &ReadLimits) -> Result<Profile, ReadError> {
    let max = limits.decompressed_max;
    if bytes.len() > max.as_usize() {
        return Err(ReadError::Limit { what: "bytes", max: max.as_u64() });
    }
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    if crate::json::looks_like(bytes) {
        return crate::json::read(bytes, limits);
    }
    if let Some(error) = foreign::recognised(bytes) {
        return Err(error);
    }
    crate::pprof::read_plain(bytes, limits)
}

/// `bytes` without gzip around them, if there was one.
pub(crate) fn unpacked<'a>(
    bytes: &'a [u8],
    limits: &ReadLimits,
) -> Result<std::borrow::Cow<'a, [u8]>, ReadError> {
    if gzip::is_gzip(bytes) {
        return gzip::inflate(bytes, limits.decompressed_max).map(std::borrow::Cow::Owned);
    }
    Ok(std::borrow::Cow::Borrowed(bytes))
}
