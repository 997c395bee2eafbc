//! A profile from a file or from standard input, or one line that says what was there instead.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use plimsoll_heap::image::Image;
use plimsoll_verdict::{Profile, ReadLimits, read_with};

use super::STDIN;
use crate::exit::Failure;
use crate::keeper::named::Namer;

/// Reads the profile at `path`, of any kind that is known; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Profile, Failure> {
    let shown =
        if path.as_os_str() == STDIN { "standard input".to_owned() } else { path.display().to_string() };
    let limits = ReadLimits::default();
    // One more than may be read shows that there is more, and is refused as that.
    let most = limits.decompressed_max.as_u64().saturating_add(1);
    let bytes = bytes(path, most).map_err(|why| Failure::could_not(format!("cannot read {shown}: {why}")))?;
    // What a recorder left that was killed, or had no time for names.
    if Image::is_saved(&bytes) {
        let image = Image::read(&bytes);
        let image = image.map_err(|error| Failure::could_not(format!("cannot read {shown}: {error}")))?;
        return Ok(Namer::new().profile(&image.snapshot(), &image.process()));
    }
    read_with(&bytes, &limits)
        .map_err(|error| Failure::could_not(format!("{shown} is no heap profile: {error}")))
}

/// At most `most` bytes of what is at `path`.
fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.take(most).read_to_end(&mut bytes).map(|_| bytes)
    };
    let result = if path.as_os_str() == STDIN {
        read(&mut io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| read(&mut file))
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "its permissions do not let this user".to_owned(),
        ErrorKind::IsADirectory => "it is a folder; give a profile in it".to_owned(),
        _ => error.to_string(),
    })
}
