//! Which file a command runs, and whether it can be profiled at all.
//!
//! The command is found as `execvp` finds it. Then the chain is followed that the kernel would follow, from a script
//! to its interpreter to the program that reads it, because it is the last one that has a heap.
//!
//! ```text
//! CMD ── PATH ──► file ── #! ──► interpreter ── env X: PATH ──► program ──► ELF header, rights
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::elf::{self, Binary};
use super::privilege;
use super::script::{self, Text};
use crate::exit::Failure;

/// How many interpreters the kernel follows, each the script of the next.
const SCRIPTS_MAX: usize = 5;
/// Where is searched when PATH is not set, as the C library has it.
const PATH_DEFAULT: &str = "/bin:/usr/bin";
/// What runs a text that does not say what it is.
const SHELL: &str = "/bin/sh";

/// A command that can be run.
#[derive(Debug)]
pub(crate) struct Program {
    /// The file that is run.
    pub(crate) path: PathBuf,
    /// What people call it: the last part of the command.
    pub(crate) name: String,
    /// It is a text without `#!`, and so /bin/sh is run with it.
    pub(crate) by_shell: bool,
    /// It is Python, or a script for it.
    pub(crate) is_python: bool,
    /// Why it cannot be profiled.
    pub(crate) hindrance: Option<Hindrance>,
}

impl Program {
    /// The file to be run and its arguments, the first of which is its name. `command` is what the user wrote.
    pub(crate) fn line(&self, command: &[OsString]) -> (&Path, Vec<OsString>) {
        if !self.by_shell {
            return (&self.path, command.to_vec());
        }
        let shell = [OsString::from(SHELL), self.path.clone().into_os_string()];
        (Path::new(SHELL), shell.into_iter().chain(command.iter().skip(1).cloned()).collect())
    }
}

/// Why nothing can be put in front of a program's `malloc`.
#[derive(Debug)]
pub(crate) struct Hindrance {
    /// The program itself, which may be a script's interpreter.
    program: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Static,
    Bits32,
    Machine(u16),
    Musl,
    Privileged(&'static str),
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.program.display())?;
        match self.kind {
            Kind::Static => write!(
                f,
                "is linked statically, so nothing can stand in front of its malloc: link it dynamically, or build \
                 the profiler in (plimsoll_heap)"
            ),
            Kind::Bits32 => {
                write!(f, "is a program of 32 bits, and the profiler is of 64: build it for 64 bits")
            }
            Kind::Machine(number) => write!(
                f,
                "is for another processor (ELF machine {number}): record it on a machine of its own kind"
            ),
            Kind::Musl => write!(
                f,
                "uses the C library musl, and the profiler is built for glibc: record a build for glibc, or build \
                 the profiler in (plimsoll_heap)"
            ),
            Kind::Privileged(how) => write!(
                f,
                "is {how}, and the loader lets nothing stand in front of such a program: record it as the user that \
                 it becomes"
            ),
        }
    }
}

/// Finds the file of a command and follows it to the program.
pub(crate) fn find(command: &OsStr, path: Option<&OsStr>) -> Result<Program, Failure> {
    let file = search(command, path)?;
    let name = Path::new(command).file_name().unwrap_or(command).to_string_lossy().into_owned();
    let mut program =
        Program { path: file.clone(), name, by_shell: false, is_python: false, hindrance: None };
    let mut file = file;
    for _ in 0..=SCRIPTS_MAX {
        program.is_python |= is_python(&file);
        // Who may run a program may still not be allowed to read it. Then it is run, and we see what comes.
        let Ok(opened) = File::open(&file) else { return Ok(program) };
        let unreadable = |error| not_run(format!("{} cannot be read: {error}", file.display()));
        if let Some(binary) = elf::read(&opened).map_err(unreadable)? {
            program.hindrance = hindrance(&file, binary)?;
            return Ok(program);
        }
        let interpreter = match script::read(&opened).map_err(unreadable)? {
            Text::Script(interpreter) => interpreter,
            // Only the file itself may be such a text; the kernel runs no other.
            Text::Plain if file == program.path => {
                program.by_shell = true;
                file = PathBuf::from(SHELL);
                continue;
            }
            Text::Plain | Text::Neither => {
                return Err(not_run(format!(
                    "{} is in no format that this machine runs: is it a program, built for this machine?",
                    file.display()
                )));
            }
        };
        if !is_executable(&interpreter.path) {
            return Err(not_run(format!(
                "{} is a script for {}, which is not there or cannot be executed: install it, or change the first \
                 line",
                file.display(),
                interpreter.path.display()
            )));
        }
        // If `env` finds nothing it says so itself, better than we could.
        let of_env = interpreter.of_env().and_then(|name| search(name, path).ok());
        file = of_env.unwrap_or(interpreter.path);
    }
    Err(not_run(format!(
        "{} is a script for a script for a script: more than {SCRIPTS_MAX} are not followed by the kernel",
        program.path.display()
    )))
}

/// The file of a command: with a slash it is one, without it is searched in the directories of PATH.
fn search(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let shown = command.display();
    if command.is_empty() {
        return Err(Failure::of_program(127, "the command is empty: name a program after `--`"));
    }
    if command.as_encoded_bytes().contains(&b'/') {
        let file = PathBuf::from(command);
        return match fs::metadata(&file) {
            Ok(meta) if meta.is_dir() => {
                Err(not_run(format!("{shown} is a directory: name a program in it")))
            }
            Ok(_) if is_executable(&file) => Ok(file),
            Ok(_) => Err(not_executable(&file)),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(not_run(format!("{shown} cannot be reached: permission denied on the way to it")))
            }
            Err(_) => Err(Failure::of_program(127, format!("{shown} is not there: check the path"))),
        };
    }
    let default = OsString::from(PATH_DEFAULT);
    let mut refused = None;
    for directory in std::env::split_paths(path.unwrap_or(&default)) {
        // An empty element is the current directory.
        let file =
            if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory }.join(command);
        match fs::metadata(&file) {
            Ok(meta) if meta.is_file() && is_executable(&file) => return Ok(file),
            Ok(meta) if meta.is_file() => refused = refused.or(Some(file)),
            _ => {}
        }
    }
    match refused {
        Some(file) => Err(not_executable(&file)),
        None => Err(Failure::of_program(
            127,
            format!("{shown} is in no directory of PATH: check the name, or give the path with a slash"),
        )),
    }
}

fn hindrance(file: &Path, binary: Binary) -> Result<Option<Hindrance>, Failure> {
    let kind = match binary {
        Binary::Dynamic(loader) if contains(&loader, b"ld-musl") => Kind::Musl,
        Binary::Dynamic(_) => match privilege::gained(file) {
            Ok(Some(how)) => Kind::Privileged(how),
            _ => return Ok(None),
        },
        // The loader can be run as a program that runs another.
        Binary::Static if is_loader(file) => return Ok(None),
        Binary::Static => Kind::Static,
        Binary::Bits32 => Kind::Bits32,
        Binary::Machine(number) => Kind::Machine(number),
        Binary::Malformed => {
            return Err(not_run(format!(
                "{} begins as a program does, but is cut off or damaged: build or install it again",
                file.display()
            )));
        }
    };
    Ok(Some(Hindrance { program: file.to_owned(), kind }))
}

fn is_loader(file: &Path) -> bool {
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    real.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-"))
}

/// Whether the file, or what it is a link to, is named as Python is. The scripts that pyenv puts in its place are
/// named so too.
fn is_python(file: &Path) -> bool {
    let named = |file: &Path| {
        file.file_name()
            .is_some_and(|name| contains(&name.as_encoded_bytes().to_ascii_lowercase(), b"python"))
    };
    named(file) || fs::canonicalize(file).is_ok_and(|real| named(&real))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// As the kernel will ask: with the effective rights.
fn is_executable(file: &Path) -> bool {
    let regular = fs::metadata(file).is_ok_and(|meta| meta.is_file());
    regular && accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

fn not_executable(file: &Path) -> Failure {
    let shown = file.display();
    not_run(format!("{shown} is not executable: `chmod +x` it, or name the program that reads it"))
}

fn not_run(message: String) -> Failure {
    Failure::of_program(126, message)
}
