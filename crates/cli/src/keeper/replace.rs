//! Files that are written whole or not at all: what is new is written beside the old and then takes its name.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How much is handed to the kernel at once.
pub(crate) const BUFFER: usize = 256 << 10;

/// Writes `path` anew by way of `part`, which must be in the same directory.
pub(crate) fn replace(
    path: &Path,
    part: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let written = write_new(part, write).and_then(|()| fs::rename(part, path));
    written.inspect_err(|_| drop(fs::remove_file(part)))
}

/// Writes a file that was not there: in a directory of others, what is there may be a link to somewhere else.
pub(crate) fn write_new(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    write(&mut out)?;
    out.flush()
}

/// The file that is written before it takes the name `path`.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    path.with_file_name(format!(".plimsoll-{}.part", std::process::id()))
}
