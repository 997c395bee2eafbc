//! Real interpreters: what the walker says of their frames, beside what they say themselves.
//!
//! Each test loads the fixture, the Python part of the library alone, into every interpreter that is found. Without any
//! the tests fail: they would prove nothing.

use std::ffi::{CStr, CString, c_char};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The longest that one interpreter may take for one script.
const RUN_MAX: Duration = Duration::from_secs(180);
/// Microseconds between two signals. Far above what a handler takes on a machine that is busy, as a process that does
/// nothing but answer signals comes to no end.
const SIGNAL_EVERY_US: &str = "2000";
/// Bytes of stack that the two may take: what is left to `malloc` on a small thread is not ours.
const WALK_STACK_BYTES_MAX: u64 = 2 << 10;
const DESCRIBE_STACK_BYTES_MAX: u64 = 4 << 10;

struct Interpreter {
    program: PathBuf,
    minor: u32,
}

/// Every interpreter of version 3 that is found where they are usually installed.
fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let versions = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
        let installed =
            versions.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let mut programs: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin/python3")).collect();
        programs.sort();
        programs.extend(["/usr/bin/python3", "/usr/local/bin/python3"].map(PathBuf::from));
        programs.into_iter().filter_map(interpreter).collect()
    })
}

fn interpreter(program: PathBuf) -> Option<Interpreter> {
    let asked =
        Command::new(&program).args(["-c", "import sys; print(sys.version_info[1])"]).output().ok()?;
    let minor = String::from_utf8(asked.stdout).ok()?.trim().parse().ok()?;
    say(&format!("{}: 3.{minor}", program.display()));
    Some(Interpreter { program, minor })
}

/// Those whose frames can be read.
fn supported() -> impl Iterator<Item = &'static Interpreter> {
    let supported = |one: &&Interpreter| (11..=13).contains(&one.minor);
    assert!(interpreters().iter().any(|one| supported(&one)), "no Python 3.11, 3.12 or 3.13 to test with");
    interpreters().iter().filter(supported)
}

/// Past the harness, which swallows what a test that passes prints.
fn say(what: &str) {
    writeln!(std::io::stderr(), "python: {what}").expect("stderr");
}

/// The fixture, built as this test was.
fn fixture() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in the target");
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--offline",
            "--profile",
            "test",
            "--package",
            env!("CARGO_PKG_NAME"),
        ]);
        build.args(["--example", "python_fixture"]).arg("--target-dir").arg(target);
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        target.join("debug/examples/libpython_fixture.so")
    })
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture/scenarios.py")
}

/// Runs to the end, or fails after [`RUN_MAX`]. What it prints goes to files, so that it never waits for us.
fn run(command: &mut Command) -> Output {
    let folder = new_folder();
    let (out, err) = (folder.join("out"), folder.join("err"));
    let file = |path| std::fs::File::create(path).expect("a file for what is printed");
    let mut child = command.stdout(file(&out)).stderr(file(&err)).spawn().expect("the interpreter runs");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if start.elapsed() > RUN_MAX {
            child.kill().expect("a child of ours");
            child.wait().expect("it ends");
            panic!("{command:?} took longer than {RUN_MAX:?}: {:?}", std::fs::read_to_string(&err));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let read = |path| std::fs::read(path).expect("what was printed");
    let output = Output { status, stdout: read(&out), stderr: read(&err) };
    std::fs::remove_dir_all(folder).expect("the folder goes");
    output
}

/// A folder of a test's own.
fn new_folder() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("python-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn succeeded(program: &Path, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    // What fails in a destructor is only printed.
    let fine = output.status.success() && !said.contains("Traceback");
    assert!(fine, "{}: {}\n{said}", program.display(), output.status);
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The numbers of a line like `name=1 other=2`.
fn number(text: &str, name: &str) -> u64 {
    let values =
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    values.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
}

#[test]
fn frames_are_those_that_the_interpreter_reports() {
    for Interpreter { program, .. } in supported() {
        let output = run(Command::new(program).arg(scenarios()).arg(fixture()));
        let text = succeeded(program, &output);
        say(&format!("{}: {}", program.display(), text.trim()));
        assert!(number(&text, "checks") > 1000, "{text}");
        assert!(number(&text, "walk_stack_bytes") < WALK_STACK_BYTES_MAX, "{text}");
        assert!(number(&text, "describe_stack_bytes") < DESCRIBE_STACK_BYTES_MAX, "{text}");
    }
}

#[test]
fn every_allocation_of_a_busy_program_can_be_walked() {
    for Interpreter { program, .. } in supported() {
        let folder = new_folder();
        let report = folder.join("report");
        let mut command = Command::new(program);
        command.arg(scenarios()).arg(fixture()).arg("one-interpreter");
        // Python's own allocator asks malloc seldom; without it every object does.
        command.env("PYTHONMALLOC", "malloc").env("LD_PRELOAD", fixture()).env("PLIMSOLL_STRESS", &report);
        // And a signal handler walks, in the middle of a walk as anywhere else.
        command.env("PLIMSOLL_SIGNALS", SIGNAL_EVERY_US);
        succeeded(program, &run(&mut command));
        let report = std::fs::read_to_string(report).expect("the fixture reports at the end");
        std::fs::remove_dir_all(folder).expect("the folder goes");
        say(&format!("{}: {}", program.display(), report.trim()));
        assert!(number(&report, "walks") > 100_000, "{report}");
        assert!(number(&report, "frames") > 1_000_000, "{report}");
        assert!(number(&report, "compared") > 1000, "{report}");
        assert!(number(&report, "signals") > 100, "{report}");
        assert_eq!(number(&report, "unequal"), 0, "a native evaluation function for each run: {report}");
        assert_eq!(number(&report, "incomplete"), 0, "every frame has its names: {report}");
    }
}

#[test]
fn threads_that_outlive_the_interpreter_do_no_harm() {
    // Daemon threads allocate without the lock, while the main thread takes their states away.
    let script = "
import threading, zlib, hashlib, bz2
data = bytes(range(256)) * 4000
def work():
    while True:
        zlib.compress(data, 1), bz2.compress(data[:5000])
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
import time
time.sleep(0.2)
";
    for Interpreter { program, .. } in supported() {
        for _ in 0..5 {
            let folder = new_folder();
            let mut command = Command::new(program);
            command.args(["-c", script]).env("PYTHONMALLOC", "malloc");
            command.env("LD_PRELOAD", fixture()).env("PLIMSOLL_STRESS", folder.join("report"));
            succeeded(program, &run(&mut command));
            std::fs::remove_dir_all(folder).expect("the folder goes");
        }
    }
}

#[test]
fn an_interpreter_that_is_too_old_is_refused_with_its_reason() {
    let script = "
import ctypes, sys
buffer = ctypes.create_string_buffer(1000)
ctypes.CDLL(sys.argv[1]).plimsoll_found(buffer, ctypes.c_size_t(1000))
print(buffer.value.decode())
";
    let mut refused = 0;
    for Interpreter { program, minor } in interpreters().iter().filter(|one| one.minor < 11) {
        let output = run(Command::new(program).args(["-c", script]).arg(fixture()));
        let text = succeeded(program, &output);
        assert!(text.starts_with("Before311: Python older than 3.11"), "3.{minor}: {text}");
        refused += 1;
    }
    if refused == 0 {
        say("no Python older than 3.11: that one is refused was not tested");
    }
}

#[test]
fn a_process_without_python_has_none() {
    let path = CString::new(fixture().to_str().expect("a path in text")).expect("a path without zeros");
    let mut buffer = [0 as c_char; 100];
    // SAFETY: the fixture may be loaded anywhere, and exports the function with this type; the buffer has that length.
    let text = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null());
        let found = libc::dlsym(library, c"plimsoll_found".as_ptr());
        assert!(!found.is_null());
        let found: unsafe extern "C" fn(*mut c_char, usize) -> usize = std::mem::transmute(found);
        found(buffer.as_mut_ptr(), buffer.len());
        CStr::from_ptr(buffer.as_ptr())
    };
    assert_eq!(text, c"none");
}
