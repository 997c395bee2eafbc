//! Programs that are recorded: where they are, how they are compiled, and what they said when they had ended.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::server::program;

/// Longer than any of them takes, with every allocation sampled, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Its exit code, or 128 and the signal that ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How often each is run.
pub(crate) fn runs() -> usize {
    std::env::var("PLIMSOLL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1)
}

/// An empty folder of the test's own.
pub(crate) fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!("{name}-{}-{number}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the folder for tests can be written to");
    folder
}

/// A program of that name in `PATH`; the tests need it.
pub(crate) fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not here; `cargo xtask test` installs it where it can"))
}

/// The Pythons that are here, each a program itself and no script around one.
pub(crate) fn pythons() -> Vec<PathBuf> {
    let ask = "import os, sys; print(os.path.realpath(sys.executable))";
    let mut found: Vec<PathBuf> = ["python3", "python3.11", "python3.12", "python3.13", "/usr/bin/python3"]
        .iter()
        .filter_map(|name| Command::new(name).args(["-c", ask]).stderr(Stdio::null()).output().ok())
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        .collect();
    found.sort();
    found.dedup();
    assert!(!found.is_empty(), "no python3 is here; `cargo xtask test` installs it where it can");
    found
}

/// Allocators that are libraries of this machine.
pub(crate) fn allocators() -> Vec<PathBuf> {
    let folder = Path::new("/usr/lib/x86_64-linux-gnu");
    let names = ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0"];
    let found: Vec<PathBuf> =
        names.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect();
    assert!(!found.is_empty(), "none of {names:?} is here; `cargo xtask test` installs one where it can");
    found
}

/// A program of `tests/programs`, compiled.
pub(crate) fn compiled(source: &str, name: &str, more: &[&str]) -> PathBuf {
    let compiler = if source.ends_with(".c") { "cc" } else { "c++" };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source);
    let program = folder(&format!("compiled-{name}")).join(name);
    let output = Command::new(compiler)
        .args(["-O2", "-pthread", "-o"])
        .arg(&program)
        .arg(source)
        .args(more)
        .output()
        .unwrap_or_else(|error| panic!("`{compiler}` is needed: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A program of `examples/`. Cargo builds those of other packages only when it is asked.
pub(crate) fn example(name: &str) -> PathBuf {
    // The folder of the profile that these tests are built with, wherever the program under test comes from.
    let built = Path::new(env!("CARGO_BIN_EXE_plimsoll")).with_file_name(name);
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let target = built.parent().and_then(Path::parent).expect("programs are built into a folder of folders");
    let status = Command::new(cargo).args(["build", "-q", "-p", name, "--target-dir"]).arg(target).status();
    assert!(
        status.is_ok_and(|status| status.success()) && built.is_file(),
        "{} is not built",
        built.display()
    );
    built
}

/// The command that records a program, without a word of its own.
pub(crate) fn recorded(profile: &Path, sample: &str, what: &Path) -> Command {
    recorded_with(&["--sample", sample], profile, what)
}

/// The same with other flags.
pub(crate) fn recorded_with(flags: &[&str], profile: &Path, what: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["record", "--quiet"]).args(flags).arg("-o").arg(profile).arg("--").arg(what);
    command
}

/// Runs a command to its end; one that does not come fails the test.
pub(crate) fn run(command: &mut Command) -> Outcome {
    run_within(PATIENCE, command)
}

/// The same within a time.
pub(crate) fn run_within(patience: Duration, command: &mut Command) -> Outcome {
    use std::os::unix::process::CommandExt;
    // A group of its own, so that all of it can be ended.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
        })
    };
    let stdout = read(Box::new(child.stdout.take().expect("it is a pipe")));
    let stderr = read(Box::new(child.stderr.take().expect("it is a pipe")));
    let status = wait(&mut child, patience);
    let (stdout, stderr) = (stdout.join(), stderr.join());
    let text = |joined: thread::Result<std::io::Result<String>>| joined.ok().and_then(Result::ok);
    let outcome = Outcome {
        code: status.and_then(|status| status.code().or(status.signal().map(|signal| 128 + signal))),
        stdout: text(stdout).unwrap_or_default(),
        stderr: text(stderr).unwrap_or_default(),
    };
    assert!(status.is_some(), "{command:?} did not end within {patience:?}: {outcome:?}");
    outcome
}

/// Waits for the end of a child; one that takes too long is ended, with all that it started.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if began.elapsed() > patience {
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                // It may have ended just now.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            return None;
        }
        // There is no wait with a deadline.
        thread::sleep(Duration::from_millis(5));
    }
}
