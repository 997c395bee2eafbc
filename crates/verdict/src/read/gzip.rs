//! Unpacking up to a limit: a kilobyte of gzip can hold a megabyte, and says nowhere how much it holds.

use std::io::{ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use plimsoll_core::Bytes;

use super::{GzipFault, ReadError};

/// How every gzip file begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// What is packed in `bytes`, at most `max`; its checksum is right.
pub(super) fn inflate(bytes: &[u8], max: Bytes) -> Result<Vec<u8>, ReadError> {
    let mut plain = Vec::new();
    // One more than is allowed shows that there is more.
    let mut limited = MultiGzDecoder::new(bytes).take(max.as_u64().saturating_add(1));
    if let Err(error) = limited.read_to_end(&mut plain) {
        let truncated = error.kind() == ErrorKind::UnexpectedEof;
        let fault = if truncated { GzipFault::Truncated } else { GzipFault::Corrupt };
        return Err(ReadError::Gzip { fault, unpacked_bytes: plain.len() as u64 });
    }
    if plain.len() as u64 > max.as_u64() {
        return Err(ReadError::Limit { what: "bytes when unpacked", max: max.as_u64() });
    }
    Ok(plain)
}
