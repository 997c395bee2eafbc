//! What the tests of `plimsoll report` and `plimsoll diff` share: heaps that a person can check by hand, a folder for
//! files, the program itself, and the programs of others that open what it writes.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod heap;
pub(crate) mod others;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plimsoll_verdict::{Profile, json};

/// A folder for the files of one test, deleted at the end.
pub(crate) struct Workshop {
    pub(crate) folder: PathBuf,
}

impl Workshop {
    pub(crate) fn new(name: &str) -> Workshop {
        let folder = std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()));
        for inner in ["home", "cache", "tmp", "binaries"] {
            fs::create_dir_all(folder.join(inner)).expect("the temporary folder can be written to");
        }
        Workshop { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file; gives its path as text.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("the temporary folder can be written to");
        text_of(&path)
    }

    /// Writes a profile as our own JSON; gives its path as text.
    pub(crate) fn profile(&self, name: &str, profile: &Profile) -> String {
        self.write(name, json_of(profile))
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        String::from_utf8(bytes).expect("it is text")
    }

    /// The names of the files there, those that begin with a dot included, without our own folders.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).expect("the folder is there");
        let files = entries.filter_map(Result::ok).filter(|entry| entry.path().is_file());
        let mut names: Vec<String> =
            files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs the program here, with nothing on standard input.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// Runs the program here, with `input` on standard input.
    pub(crate) fn run_with<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is built with the test");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let output = std::thread::scope(|scope| {
            // A program that refuses does not read to the end.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().expect("it is our own child")
        });
        Ran::new(&output)
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        // As it is shipped, or else as Cargo built it for this test.
        let program = std::env::var_os("PLIMSOLL_BIN")
            .map_or_else(|| env!("CARGO_BIN_EXE_plimsoll").into(), PathBuf::from);
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(&self.folder);
        command
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be deleted is in the temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("all that is said is UTF-8");
        let ran =
            Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        ran
    }

    /// Standard output of a run that is fine and says nothing else.
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// The one line that is said by a run that ends with `code` and gives no data.
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        let line = self.stderr.strip_prefix("plimsoll: ").and_then(|line| line.strip_suffix('\n'));
        line.unwrap_or_else(|| panic!("not one line of ours: {:?}", self.stderr)).to_owned()
    }
}

pub(crate) fn text_of(path: &Path) -> String {
    path.to_str().expect("the temporary folder has a plain name").to_owned()
}

pub(crate) fn json_of(profile: &Profile) -> Vec<u8> {
    let mut bytes = Vec::new();
    json::write(profile, &mut bytes).expect("memory takes what is written");
    bytes
}
