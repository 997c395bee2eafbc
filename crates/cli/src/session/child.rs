//! The program: started as if nobody stood between it and who called us, and waited for.
//!
//! It has our standard streams, our process group, our terminal, and no descriptor that we opened. Its signals are as
//! we got them, but for SIGPIPE: the runtime of this program ignores it from the start and does not say what it was
//! before, so the program has the default, as from any shell.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, getpgrp, getpid, kill_process, pidfd_open, pidfd_send_signal,
    waitid,
};

use super::program::Program;
use super::sample::Sample;
use crate::exit::{Exit, Failure};

/// Where the library inside the program finds the socket, how often it samples, and what the unit of ages is.
const RECORD: &str = "PLIMSOLL_RECORD";
const SAMPLE: &str = "PLIMSOLL_SAMPLE";
const EPOCH_MS: &str = "PLIMSOLL_EPOCH_MS";
const PRELOAD: &str = "LD_PRELOAD";
/// Python takes small objects from blocks of its own, which would hide its whole heap behind a few lines of C.
const PYTHON_MALLOC: &str = "PYTHONMALLOC";

/// What the program finds in its environment besides what we found.
pub(crate) struct Additions<'a> {
    /// The library that goes before the program.
    pub(crate) preload: &'a Path,
    pub(crate) socket: &'a Path,
    pub(crate) sample: Sample,
    /// The unit of ages: whole milliseconds, up to an hour.
    pub(crate) epoch: Duration,
    /// Let Python take its objects from `malloc`.
    pub(crate) python_malloc: bool,
}

/// Whether Python's allocator is to be changed: it is a Python, nobody asked for it to be left alone, and nobody chose
/// one already.
///
/// Only the program that we run is asked about. A Python that is started by something else keeps its allocator, since
/// the variable would change each Python of a large build that nobody wants to look at.
pub(crate) fn wants_python_malloc(program: &Program, keep: bool) -> bool {
    program.is_python && !keep && std::env::var_os(PYTHON_MALLOC).is_none()
}

/// Where its standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Where ours goes.
    Ours,
    /// To our standard error: ours is for one document.
    Error,
}

/// How a program changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It ended, with what a shell would say.
    Ended(Exit),
    Stopped,
    Continued,
}

/// A program that was started.
pub(crate) struct Child {
    pid: Pid,
    /// Readable when it has ended.
    end: OwnedFd,
}

impl Child {
    /// Starts it with the mask of signals that we got, under the profiler if there are additions.
    pub(crate) fn start(
        program: &Program,
        command: &[OsString],
        additions: Option<&Additions<'_>>,
        mask: &SigSet,
        output: Output,
    ) -> Result<Child, Failure> {
        let (file, arguments) = program.line(command);
        let arguments: Vec<CString> = arguments.iter().map(|word| c_string(word)).collect();
        let environment = environment(additions);
        let pid = attributes(mask)
            .and_then(|attributes| {
                let mut actions = PosixSpawnFileActions::init()?;
                if output == Output::Error {
                    actions.add_dup2(io::stderr().as_raw_fd(), io::stdout().as_raw_fd())?;
                }
                posix_spawn(&*c_string(file.as_os_str()), &actions, &attributes, &arguments, &environment)
            })
            .map_err(|error| refused(program, error))?;
        let pid = Pid::from_raw(pid.as_raw()).expect("a process that was started has a number");
        // It has not been waited for, so the number is still its own.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(end) => Ok(Child { pid, end }),
            Err(error) => {
                let _ = kill_process(pid, rustix::process::Signal::KILL);
                Err(Failure::could_not(format!("cannot watch {} (pidfd): {error}", program.name)))
            }
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What happened to it, if something did. To be asked until nothing is left.
    pub(crate) fn change(&self) -> Option<Change> {
        let options =
            WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(self.end.as_fd()), options) {
            Ok(status) => status?,
            Err(rustix::io::Errno::INTR) => return None,
            // Nobody else waits for it. If the kernel has forgotten it, its code is lost.
            Err(_) => return Some(Change::Ended(Exit::CouldNot)),
        };
        let byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
        if let Some(code) = status.exit_status() {
            Some(Change::Ended(Exit::OfProgram(byte(code))))
        } else if let Some(signal) = status.terminating_signal() {
            Some(Change::Ended(Exit::OfProgram(byte(128 + signal))))
        } else if status.stopped() {
            Some(Change::Stopped)
        } else {
            Some(Change::Continued)
        }
    }

    pub(crate) fn send(&self, signal: Signal) {
        // It may have ended meanwhile; then there is nobody to be told.
        if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
            let _ = pidfd_send_signal(&self.end, signal);
        }
    }

    /// Stops us as the program is stopped, if a shell watches over us. A program that stops itself alone would else
    /// leave the shell waiting for us at a terminal that nobody reads.
    pub(crate) fn stop_with_it(&self) {
        let Ok(terminal) = std::fs::File::open("/dev/tty") else { return };
        let in_foreground = rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp());
        if in_foreground && self.is_stopped() {
            // The kernel drops this one when there is no shell that could continue us.
            let _ = kill_process(getpid(), rustix::process::Signal::TSTP);
        }
    }

    /// Whether it is stopped at this moment, and not by a debugger.
    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The name stands in parentheses and may have some itself.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

fn attributes(mask: &SigSet) -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    attributes.set_sigmask(mask)?;
    let mut default = SigSet::empty();
    default.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&default)?;
    Ok(attributes)
}

/// Our environment and the additions, if there are some, as `name=value`.
fn environment(additions: Option<&Additions<'_>>) -> Vec<CString> {
    let Some(additions) = additions else {
        return std::env::vars_os().map(|(name, value)| pair(&name, &value)).collect();
    };
    let mut added: Vec<(&str, OsString)> = vec![
        (RECORD, additions.socket.as_os_str().to_owned()),
        (SAMPLE, additions.sample.to_string().into()),
        (EPOCH_MS, additions.epoch.as_millis().to_string().into()),
    ];
    let mut list = additions.preload.as_os_str().to_owned();
    if let Some(before) = std::env::var_os(PRELOAD).filter(|before| !before.is_empty()) {
        list.push(":");
        list.push(before);
    }
    added.push((PRELOAD, list));
    if additions.python_malloc {
        added.push((PYTHON_MALLOC, "malloc".into()));
    }
    let kept = std::env::vars_os().filter(|(name, _)| !added.iter().any(|(ours, _)| name == ours));
    let kept: Vec<CString> = kept.map(|(name, value)| pair(&name, &value)).collect();
    let added = added.iter().map(|(name, value)| pair(OsStr::new(name), value));
    kept.into_iter().chain(added).collect()
}

fn pair(name: &OsStr, value: &OsStr) -> CString {
    let mut pair = name.to_owned();
    pair.push("=");
    pair.push(value);
    c_string(&pair)
}

/// What came from our own arguments and environment has no zero byte in it.
fn c_string(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).unwrap_or_else(|error| {
        let end = error.nul_position();
        let mut bytes = OsString::from(text).into_vec();
        bytes.truncate(end);
        CString::new(bytes).unwrap_or_default()
    })
}

/// The program was found and looked at, and the kernel does not start it all the same.
fn refused(program: &Program, error: Errno) -> Failure {
    let path = program.path.display();
    let error_text = std::io::Error::from(error);
    match error {
        Errno::EAGAIN | Errno::ENOMEM => Failure::could_not(format!(
            "cannot start another process: {error_text}; raise the limit of processes or of memory"
        )),
        Errno::E2BIG => Failure::of_program(
            126,
            format!("{path} was not started: arguments and environment are too long"),
        ),
        Errno::ETXTBSY => {
            Failure::of_program(126, format!("{path} is being written to: start it when that is done"))
        }
        _ => Failure::of_program(
            126,
            format!("{path} was not started: {error_text}; see whether it runs without plimsoll"),
        ),
    }
}
