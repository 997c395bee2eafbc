//! Where profiles go: FILE, and a file beside it for every other process.
//!
//! A regular file is never written in place. What is new goes into a file beside it, which then takes its name, so
//! that there is a whole profile under that name at every moment, however everything ends. What is no regular file (a
//! pipe, standard output) gets the end and nothing else.
//!
//! Whether all that is possible is found out before the program is run: who recorded for a night and then hears
//! "permission denied" does not record again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use plimsoll_core::heap::{HeapSnapshot, Names};
use plimsoll_verdict::Profile;

use crate::exit::Failure;
use crate::keeper::named;
use crate::keeper::replace::{BUFFER, part_of, replace, write_new};

/// How many files one recording writes, FILE not counted.
const FILES_MAX: usize = 256;
/// These name a descriptor of ours and not a file. Opening one anew would write over what the program wrote.
const DESCRIPTORS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// Where profiles go.
pub(crate) struct Output {
    target: Target,
    gzip: bool,
    /// How many names each pid has. Entries stay, and there are [`FILES_MAX`] names in all.
    names: HashMap<i32, u32>,
    given: usize,
}

enum Target {
    /// A regular file, or what will be one. `part` is written first.
    File { path: PathBuf, part: PathBuf },
    /// Anything else.
    Stream { name: PathBuf, file: File },
}

impl Output {
    /// Finds out whether the profile can be written. With no name, FILE has that of the program and of its pid, which
    /// [`Output::started`] tells.
    pub(crate) fn open(asked: Option<&Path>, program: &str) -> Result<Output, Failure> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None => PathBuf::from(format!("plimsoll.{}.json", named::file_word(program))),
        };
        let refuse = |error: io::Error| refused(&path, &error);
        let target = match stream(&path).map_err(refuse)? {
            Some(file) => Target::Stream { name: path.clone(), file },
            None => {
                let path = if asked.is_some() { real(&path).map_err(refuse)? } else { path.clone() };
                let part = part_of(&path);
                Target::File { path, part }
            }
        };
        let output = Output { gzip: named::is_gzip(&path), target, names: HashMap::new(), given: 0 };
        output.try_out().map_err(refuse)?;
        Ok(output)
    }

    /// The program runs: now a FILE without a name gets one. From here on there is a profile in it, if only one of
    /// nothing: whoever kills the program in its first millisecond has a file to look into, and none of another run.
    pub(crate) fn started(&mut self, asked: Option<&Path>, program: &str, pid: i32) {
        let Target::File { path, part } = &mut self.target else { return };
        if asked.is_none() {
            *path = PathBuf::from(format!("plimsoll.{}.{pid}.json", named::file_word(program)));
        }
        let origin = format!("plimsoll {}: pid {pid}, before its first sample", env!("CARGO_PKG_VERSION"));
        let empty = Profile::new(&HeapSnapshot::default(), &Nobody).with_origin(origin);
        // What stands in the way of it is met again, and told, when there is something to write.
        let _ = replace(path, part, |out| named::write(&empty, self.gzip, out));
    }

    /// FILE.
    pub(crate) fn path(&self) -> &Path {
        match &self.target {
            Target::File { path, .. } => path,
            Target::Stream { name, .. } => name,
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.target, Target::Stream { .. })
    }

    /// A name for another process's profile; none if there are enough, or nowhere to put it.
    pub(crate) fn another(&mut self, pid: i32) -> Option<PathBuf> {
        if self.is_stream() || self.given == FILES_MAX {
            return None;
        }
        self.given += 1;
        let count = self.names.entry(pid).or_default();
        *count += 1;
        let infix = if *count == 1 { format!(".{pid}") } else { format!(".{pid}.{count}") };
        Some(beside(self.path(), &infix))
    }

    /// Writes a regular file anew, whole or not at all.
    pub(crate) fn replace(
        &self,
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        match &self.target {
            Target::File { part, .. } => replace(path, part, write),
            Target::Stream { .. } => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Writes the last word on FILE.
    pub(crate) fn finish(&self, profile: &Profile) -> io::Result<()> {
        let gzip = self.gzip;
        match &self.target {
            Target::File { path, part } => replace(path, part, |out| named::write(profile, gzip, out)),
            Target::Stream { file, .. } => {
                let mut out = BufWriter::with_capacity(BUFFER, file);
                named::write(profile, gzip, &mut out)?;
                out.flush()
            }
        }
    }

    /// Writes another process's profile.
    pub(crate) fn finish_another(&self, path: &Path, profile: &Profile) -> io::Result<()> {
        self.replace(path, |out| named::write(profile, self.gzip, out))
    }

    /// Writes a profile of nothing where the first one will be written.
    fn try_out(&self) -> io::Result<()> {
        match &self.target {
            Target::File { part, .. } => {
                let empty = Profile::new(&HeapSnapshot::default(), &Nobody);
                write_new(part, |out| named::write(&empty, self.gzip, out))
            }
            // No byte may be in the way of the profile; but a device that is full says so even of none.
            Target::Stream { file, .. } => Ok(rustix::io::write(file, &[]).map(drop)?),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Target::File { part, .. } = &self.target {
            let _ = fs::remove_file(part);
        }
    }
}

/// Opens FILE if it is not, and will not be, a regular file.
fn stream(path: &Path) -> io::Result<Option<File>> {
    let text = path.to_string_lossy();
    match &*text {
        "-" | "/dev/stdout" => return Ok(Some(io::stdout().as_fd().try_clone_to_owned()?.into())),
        "/dev/stderr" => return Ok(Some(io::stderr().as_fd().try_clone_to_owned()?.into())),
        _ => {}
    }
    if DESCRIPTORS.iter().any(|prefix| text.starts_with(prefix)) {
        return OpenOptions::new().append(true).open(path).map(Some);
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(ErrorKind::IsADirectory.into()),
        // It is replaced and not written to, but what may not be written to should not be replaced either.
        Ok(meta) if meta.is_file() => OpenOptions::new().append(true).open(path).map(|_| None),
        Ok(_) => OpenOptions::new().write(true).open(path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where FILE really is: a link stays, and what it leads to is replaced.
fn real(path: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) {
        // It may lead to what is not there yet.
        OpenOptions::new().append(true).create(true).open(path)?;
        return fs::canonicalize(path);
    }
    match path.file_name() {
        Some(_) => Ok(path.to_owned()),
        None => Err(ErrorKind::IsADirectory.into()),
    }
}

/// `path` with `infix` before its extension, which is `.json.gz` as a whole.
fn beside(path: &Path, infix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let packed = name.strip_suffix(".gz").unwrap_or(&name);
    let dot = packed.rfind('.').filter(|&at| at > 0).unwrap_or(packed.len());
    path.with_file_name(format!("{}{infix}{}", &name[..dot], &name[dot..]))
}

/// FILE cannot be written: what is the matter, and what to do.
fn refused(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    Failure::could_not(match error.kind() {
        ErrorKind::IsADirectory => format!("{shown} is a directory: name a file in it with -o"),
        ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new(".")).display();
            format!("the profile cannot be written to {shown}: there is no directory {parent}; make it")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!(
                "the profile cannot be written to {shown}: {error}; make room, or name another file with -o"
            )
        }
        _ => format!("the profile cannot be written to {shown}: {error}; name another file with -o"),
    })
}

/// Names nothing.
struct Nobody;

impl Names for Nobody {
    fn at(&self, _: u64) -> &[plimsoll_core::heap::CodeFrame] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_goes_before_the_extension() {
        for (path, wanted) in [
            ("out.json", "out.7.json"),
            ("a.b/out.json.gz", "a.b/out.7.json.gz"),
            ("plimsoll.redis.12.json", "plimsoll.redis.12.7.json"),
            ("out", "out.7"),
            ("out.gz", "out.7.gz"),
            (".hidden", ".hidden.7"),
        ] {
            assert_eq!(beside(Path::new(path), ".7"), PathBuf::from(wanted));
        }
    }

    #[test]
    fn names_end_at_the_limit_and_count_within_a_pid() {
        let path = std::env::temp_dir().join(format!("plimsoll-names-{}.json", std::process::id()));
        let mut output =
            Output::open(Some(&path), "x").expect("the directory for such files can be written to");
        let name = |path: Option<PathBuf>| path.and_then(|path| path.to_str().map(str::to_owned));
        assert!(name(output.another(7)).expect("the first").ends_with(".7.json"));
        assert!(name(output.another(7)).expect("the second").ends_with(".7.2.json"));
        let given = (0..).map_while(|pid| output.another(pid)).count();
        assert_eq!(given, FILES_MAX - 2);
    }
}
