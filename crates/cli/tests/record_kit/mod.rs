//! What the tests of `plimsoll record` share: the program as it is shipped, in a folder of its own for each test, and
//! small programs to be recorded, built with the machine's C compiler. A machine without one fails these tests; it
//! passes over none.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The program.
pub(crate) const PLIMSOLL: &str = env!("CARGO_BIN_EXE_plimsoll");

/// An empty folder for a test.
pub(crate) fn folder(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("record-{test}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the test's own folder can be made");
    path
}

/// `plimsoll record` in a folder, with these arguments, and every allocation sampled: the programs here are small.
pub(crate) fn record(folder: &Path, arguments: &[&str]) -> Command {
    plimsoll(folder, &[&["record", "--sample", "all"], arguments].concat())
}

pub(crate) fn plimsoll(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PLIMSOLL);
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.env_remove("PYTHONMALLOC").env_remove("LD_PRELOAD");
    command
}

/// A C program.
pub(crate) fn build(folder: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (file, program) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&file, source).expect("the test's own folder can be written to");
    cc(&["-o"], &program, &[&[file.to_str().expect("UTF-8")], flags].concat());
    program
}

fn cc(before: &[&str], out: &Path, after: &[&str]) {
    let output = Command::new("cc").args(before).arg(out).args(after).output();
    let output = output.expect("these tests need a C compiler, `cc`");
    assert!(output.status.success(), "cc: {}", text(&output.stderr));
}

/// A file that can be executed.
pub(crate) fn script(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("the test's own folder can be written to");
    set_mode(&path, 0o755);
    path
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    finish(start(command))
}

pub(crate) fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary is built with the test")
}

/// Waits for the end of what was started, and reads what it said.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Output {
    let pid = child.id();
    // Its output is read meanwhile, or it would wait for us.
    drop(child.stdin.take());
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    let output = match receive.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("its output can be read"),
        Err(_) => {
            kill(pid, Signal::KILL);
            panic!("process {pid} did not end within {PATIENCE:?}")
        }
    };
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    output
}

/// What a run ended with, as a shell says it.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The code, and the one line that was said instead of running anything.
#[track_caller]
pub(crate) fn refused(command: &mut Command) -> (i32, String) {
    let output = run(command);
    let said = text(&output.stderr);
    assert_eq!(text(&output.stdout), "", "nothing runs: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("plimsoll: "), "{said}");
    (code(&output), said)
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a number of a process");
    kill_process(pid, signal).expect("the process is ours");
}

/// Looks until there is something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The content of a file when it has a whole line.
#[track_caller]
pub(crate) fn line_of(path: &Path) -> String {
    until(&format!("a line in {}", path.display()), || {
        let text = fs::read_to_string(path).ok()?;
        text.ends_with('\n').then(|| text.trim_end().to_owned())
    })
}

/// The names of the files in a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the test's own folder can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A child of a process, if it has one.
pub(crate) fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
