//! Files that are there whole or not at all: a picture that is cut by a full disk looks like a picture.
//!
//! A file is written beside its place under another name, and takes the place when all of it is there. What is no
//! file (a terminal, a pipe, `/dev/full`) is written as it is, and what is our own standard output goes there: it
//! may be a file that was opened by the shell, in which the text comes after.

use std::fmt::Display;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// What writes into a given place.
pub(crate) type Form<'a, E> = &'a dyn Fn(&mut dyn Write) -> Result<(), E>;

/// Writes what `write` writes to `path`.
pub(crate) fn save<E: Display>(path: &Path, write: Form<'_, E>) -> Result<(), Failure> {
    let there = fs::metadata(path).ok();
    if let Some(there) = &there {
        if is_stdout(there) {
            return gone_is_fine(through(io::stdout().lock(), write)).map_err(|why| cannot(path, why));
        }
        if there.is_dir() {
            return Err(cannot(path, "it is a folder"));
        }
        if !there.is_file() {
            let opened =
                OpenOptions::new().write(true).open(path).map_err(|error| cannot(path, said(&error)))?;
            return gone_is_fine(through(opened, write)).map_err(|why| cannot(path, why));
        }
    }
    // Through a link, to the file that it stands for: the link stays.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace(&target, there.as_ref(), write).map_err(|why| cannot(path, why))
}

/// Writes a new file and puts it at `target`, with the permissions of the one that was there.
fn replace<E: Display>(target: &Path, old: Option<&Metadata>, write: Form<'_, E>) -> Result<(), String> {
    // The new one would take the place of a file that may not be written to.
    if old.is_some() {
        OpenOptions::new().write(true).open(target).map_err(|error| said(&error))?;
    }
    let beside = beside(target).ok_or("it has no name")?;
    let file = OpenOptions::new().write(true).create_new(true).open(&beside).map_err(|error| said(&error))?;
    let unfinished = Unfinished(&beside);
    if let Some(old) = old {
        file.set_permissions(old.permissions()).map_err(|error| said(&error))?;
    }
    through(file, write).map_err(|fault| fault.why)?;
    fs::rename(&beside, target).map_err(|error| said(&error))?;
    std::mem::forget(unfinished);
    Ok(())
}

/// The name of the unfinished file: hidden, and of this process only.
fn beside(target: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name()?);
    name.push(format!(".{}.tmp", std::process::id()));
    Some(target.with_file_name(name))
}

/// A file that is deleted unless it is forgotten.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Whatever keeps it from being deleted, the reason for it is already being said.
        let _ = fs::remove_file(self.0);
    }
}

/// Why something was not written, and whether only because its reader has enough.
struct Fault {
    why: String,
    reader_gone: bool,
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

/// Writes into `out`, to its end.
fn through<E: Display>(out: impl Write, write: Form<'_, E>) -> Result<(), Fault> {
    let mut watched = Watched { out: BufWriter::new(out), failed: None };
    let result = write(&mut watched);
    let flushed = watched.flush();
    match (watched.failed, result, flushed) {
        // The system's word, not what was made of it on the way.
        (Some((kind, why)), _, _) => Err(Fault { why, reader_gone: kind == ErrorKind::BrokenPipe }),
        (None, Err(error), _) => Err(Fault { why: error.to_string(), reader_gone: false }),
        (None, Ok(()), Err(error)) => Err(Fault { why: said(&error), reader_gone: false }),
        (None, Ok(()), Ok(())) => Ok(()),
    }
}

/// A writer that keeps its first error.
struct Watched<W: Write> {
    out: BufWriter<W>,
    failed: Option<(ErrorKind, String)>,
}

impl<W: Write> Watched<W> {
    fn watch<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && self.failed.is_none()
            && error.kind() != ErrorKind::Interrupted
        {
            self.failed = Some((error.kind(), said(error)));
        }
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.watch(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.watch(result)
    }
}

fn gone_is_fine(result: Result<(), Fault>) -> Result<(), Fault> {
    match result {
        Err(fault) if fault.reader_gone => Ok(()),
        result => result,
    }
}

/// Whether it is the same as our standard output, by whatever name.
fn is_stdout(there: &Metadata) -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    stdout.is_ok_and(|stdout| (stdout.dev(), stdout.ino()) == (there.dev(), there.ino()))
}

fn cannot(path: &Path, why: impl Display) -> Failure {
    Failure::could_not(format!("cannot write {}: {why}", path.display()))
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::PermissionDenied => "the permissions there do not let this user".to_owned(),
        ErrorKind::StorageFull => "the disk is full".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}
