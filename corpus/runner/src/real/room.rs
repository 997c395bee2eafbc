//! Where a program runs: a folder of its own that goes with it, ports that are free, and programs that are looked for as
//! a shell does.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What only root runs lies there, which is not in everybody's `PATH`.
const ROOTS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// And what PostgreSQL has for its own use, in a folder for each version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) folder: PathBuf,
}

impl Room {
    pub(super) fn make(name: &str) -> Result<Room, String> {
        let folder = env::temp_dir().join(format!("plimsoll-real-{}-{name}", std::process::id()));
        let open = Permissions::from_mode(0o755);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::set_permissions(&folder, open))
            .map_err(|error| format!("{} could not be made: {error}", folder.display()))?;
        Ok(Room { folder })
    }

    /// Writes a file, and returns its path as text.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<String, String> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, content))
            .map_err(|error| format!("{} could not be written: {error}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// The path of something in it, as text.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What is left lies in the system's temporary folder; nothing worth a failure.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A port that nobody has now. Somebody may take it before it is used; then the program says so and ends.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}

/// Where a program lies: the path itself if it is one, or else the first of that name.
pub(super) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return fs::canonicalize(program).ok().filter(|path| is_program(path));
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&folders).chain(ROOTS.map(PathBuf::from)).collect();
    folders.extend(fs::read_dir(POSTGRES).into_iter().flatten().flatten().map(|it| it.path().join("bin")));
    folders.into_iter().map(|folder| folder.join(program)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What a program says on its standard output, without the end of the line; none if it fails.
pub(super) fn said(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_name_or_path() {
        let shell = find(Path::new("sh")).expect("there is a shell");
        assert!(shell.is_absolute() && find(&shell).is_some(), "{}", shell.display());
        assert_eq!(find(Path::new("no-such-program")), None);
        assert_eq!(find(Path::new("/tmp")), None, "a folder is no program");
        assert_eq!(said("sh", &["-c", "echo hi"]).as_deref(), Some("hi"));
    }

    #[test]
    fn a_room_goes_with_what_is_in_it() {
        let room = Room::make("test").expect("there is a folder for it");
        let file = room.write("a/b", b"c").expect("it can be written");
        assert_eq!(fs::read(&file).expect("it is there"), b"c");
        drop(room);
        assert!(!Path::new(&file).exists());
    }
}
