//! The private directory: where the library lies while programs load it, and the socket on which they register.
//!
//! Others must not be able to put a library of theirs there, so the directory and all on the way to a file in it is
//! ours alone. And programs that we start may run as somebody else, who must reach both: the directory can be passed
//! through by everybody and listed by nobody, and the socket's name cannot be guessed. Who knows it got it from the
//! environment that we gave.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::geteuid;

use crate::exit::Failure;
use crate::keeper::post;

/// Passed through by all, listed and changed by us.
const DIRECTORY_MODE: u32 = 0o711;
/// What others may never have on it.
const FOREIGN_WRITE: u32 = 0o022;
const LIBRARY_MODE: u32 = 0o755;
/// What a socket's name begins with when it takes calls, and before.
pub(crate) const SOCKET_PREFIX: &str = "record-";
const UNFINISHED_PREFIX: &str = "new-";
/// After this, something unfinished belongs to nobody who lives.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(60);
/// How many names of sockets are looked at; more recorders than that are not run by one user.
const SOCKETS_MAX: usize = 1_024;

/// The private directory of this user.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
}

/// Where a user's private directory may be, the best place first. Each is on a file system of its own on most
/// machines, so that one of them may hold programs.
///
/// The run directory of root is left out: others cannot pass through it, and root is who starts programs that
/// become somebody else.
pub(crate) fn candidates(uid: u32) -> Vec<PathBuf> {
    let run = PathBuf::from(format!("/run/user/{uid}"));
    let own_run = uid != 0 && fs::symlink_metadata(&run).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
    let shared = ["/tmp", "/var/tmp", "/dev/shm"];
    let run = own_run.then(|| run.join("plimsoll"));
    run.into_iter().chain(shared.map(|root| Path::new(root).join(format!("plimsoll-{uid}")))).collect()
}

impl Place {
    /// Makes the directory, or takes the one that is there if it is ours alone.
    pub(crate) fn open() -> Result<Place, Failure> {
        let mut tried = Vec::new();
        for directory in candidates(geteuid().as_raw()) {
            let Some(parent) = directory.parent().filter(|parent| parent.is_dir()) else { continue };
            if statvfs(parent).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
                tried.push(format!("{} holds no programs (noexec)", parent.display()));
                continue;
            }
            match make(&directory) {
                Ok(()) => {
                    own(&directory)?;
                    let place = Place { directory };
                    place.clean();
                    return Ok(place);
                }
                Err(error) => tried.push(format!("{}: {error}", directory.display())),
            }
        }
        Err(Failure::could_not(format!(
            "there is no directory for the profiler's library: {}; mount one of them without noexec and with room",
            tried.join("; ")
        )))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Unpacks the library, unless the same is there. It stays when we end: who was started with it may start others.
    pub(crate) fn unpack(&self, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let path = self.directory.join(format!("plimsoll-preload-{:016x}.so", hasher.finish()));
        if holds(&path, bytes) {
            return Ok(path);
        }
        let write = || -> io::Result<()> {
            let unfinished = self.directory.join(unguessable(UNFINISHED_PREFIX, "")?);
            let written = write_library(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &path));
            written.inspect_err(|_| drop(fs::remove_file(&unfinished)))
        };
        write().map(|()| path.clone()).map_err(|error| {
            let directory = self.directory.display();
            Failure::could_not(format!("cannot unpack the profiler's library into {directory}: {error}"))
        })
    }

    /// Two names for a socket: one to be bound, one to be renamed to when it takes calls. Who finds a socket that
    /// takes none removes it, and must not find one that is not ready.
    pub(crate) fn socket_names(&self) -> io::Result<(PathBuf, PathBuf)> {
        let name = |prefix| unguessable(prefix, ".sock").map(|name| self.directory.join(name));
        Ok((name(UNFINISHED_PREFIX)?, name(SOCKET_PREFIX)?))
    }

    /// Removes what recorders left that were killed.
    fn clean(&self) {
        for socket in sockets(&self.directory) {
            if post::is_dead(&socket) {
                let _ = fs::remove_file(socket);
            }
        }
        for file in names(&self.directory, UNFINISHED_PREFIX) {
            let age = fs::symlink_metadata(&file).and_then(|meta| meta.modified()).map(|at| at.elapsed());
            if matches!(age, Ok(Ok(age)) if age > UNFINISHED_AGE_MAX) {
                let _ = fs::remove_file(file);
            }
        }
    }
}

/// The sockets in a private directory.
pub(crate) fn sockets(directory: &Path) -> Vec<PathBuf> {
    names(directory, SOCKET_PREFIX)
}

/// Whether `directory` is one of `uid`'s own, in which nobody else can have put a socket.
pub(crate) fn is_of(directory: &Path, uid: u32) -> bool {
    fs::symlink_metadata(directory)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == uid && meta.mode() & FOREIGN_WRITE == 0)
}

fn names(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let begins = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
    entries.flatten().filter(begins).take(SOCKETS_MAX).map(|entry| entry.path()).collect()
}

fn make(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        // What the umask took is given back: a directory that nobody can pass through serves only us.
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses a directory in which somebody else can change files. It is not passed over: that somebody waits there for
/// our files is worth a look.
fn own(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display();
    let refuse = |what: &str| {
        Err(Failure::could_not(format!(
            "{shown} {what}, so the profiler's library is not put there: remove it"
        )))
    };
    let meta = match fs::symlink_metadata(directory) {
        Ok(meta) => meta,
        Err(error) => return Err(Failure::could_not(format!("cannot look at {shown}: {error}"))),
    };
    if meta.is_symlink() {
        return refuse("is a symbolic link");
    }
    if !meta.is_dir() {
        return refuse("is no directory");
    }
    if meta.uid() != geteuid().as_raw() {
        return refuse(&format!("belongs to another user (uid {})", meta.uid()));
    }
    if meta.mode() & FOREIGN_WRITE != 0 {
        return refuse("can be written to by other users");
    }
    Ok(())
}

/// Whether the file is ours, can be changed by nobody else, and has exactly these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let fits = |meta: fs::Metadata| {
        meta.is_file()
            && meta.uid() == geteuid().as_raw()
            && meta.mode() & 0o7777 == LIBRARY_MODE
            && meta.len() == bytes.len() as u64
    };
    if !fs::symlink_metadata(path).is_ok_and(fits) {
        return false;
    }
    let mut content = Vec::with_capacity(bytes.len());
    let limit = bytes.len() as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content)).is_ok() && content == bytes
}

fn write_library(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(LIBRARY_MODE).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(LIBRARY_MODE))
}

/// A name that nobody can guess: 128 random bits.
fn unguessable(prefix: &str, suffix: &str) -> io::Result<String> {
    let mut random = [0u8; 16];
    // The kernel gives so few bytes whole.
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let mut name = prefix.to_owned();
    for byte in random {
        // Writing into a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name + suffix)
}
