//! Programs run under `plimsoll record` as they run without: the same output, the same exit code, and they end.
//!
//! Each is run at one sample in 512 KiB and with every allocation sampled, as often as `PLIMSOLL_RUNS` says (once each
//! without). The servers have a file of their own, `record_servers`.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::programs::{self, Outcome};
use support::say;

const SAMPLES: [&str; 2] = ["512KiB", "all"];

/// Runs a program plainly once and then, again and again, recorded; whatever differs fails the test.
fn is_unchanged(name: &str, program: &Path, arguments: &[&str]) {
    compared(name, program, arguments, |outcome| (outcome.code, outcome.stdout, outcome.stderr));
}

fn compared<T: PartialEq + std::fmt::Debug>(
    name: &str,
    program: &Path,
    arguments: &[&str],
    what: impl Fn(Outcome) -> T,
) {
    let mut plain = Command::new(program);
    plain.args(arguments).env("PYTHONMALLOC", "malloc");
    let expected = what(programs::run(&mut plain));
    let folder = programs::folder(name);
    for sample in SAMPLES {
        for nth in 0..programs::runs() {
            let mut recorded = programs::recorded(&folder.join("profile.json"), sample, program);
            recorded.args(arguments).env("PYTHONMALLOC", "malloc");
            let outcome = what(programs::run(&mut recorded));
            assert!(
                outcome == expected,
                "{name} differs at {sample}, run {nth}: {outcome:?} for {expected:?}"
            );
        }
    }
    say(&format!("{name}: {} runs at {SAMPLES:?}, all as without", programs::runs()));
    let _ = std::fs::remove_dir_all(folder);
}

fn on_path(name: &str) -> PathBuf {
    programs::on_path(name)
}

#[test]
fn ls() {
    is_unchanged("ls", &on_path("ls"), &["-laR", "/usr/lib/x86_64-linux-gnu", "/nowhere"]);
}

#[test]
fn bash_with_many_forks() {
    let script = "for i in $(seq 40); do x=$(echo $i | sed s/1/2/); echo \"$x\"; done; (exit 7)";
    is_unchanged("bash", &on_path("bash"), &["-c", script]);
}

#[test]
fn git() {
    let repository = programs::folder("git-repository");
    let made = "git init -q . && for i in $(seq 30); do seq $i > f$i; git add .; \
                git -c user.name=a -c user.email=b commit -q -m $i; done";
    let made = Command::new("sh").args(["-c", made]).current_dir(&repository).status();
    assert!(made.expect("sh is there").success());
    let path = repository.to_string_lossy().into_owned();
    is_unchanged("git", &on_path("git"), &["-C", &path, "log", "--stat", "-p"]);
    let _ = std::fs::remove_dir_all(repository);
}

#[test]
fn python_with_threads_and_forks() {
    let script = "
import json, os, threading
def work():
    for _ in range(60): json.loads(json.dumps([{'a': i, 'b': 'x' * i} for i in range(200)]))
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
for n in range(6):
    pid = os.fork()
    if pid == 0:
        work(); os._exit(n)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
[thread.join() for thread in threads]
print('done', sum(range(1000)))
raise SystemExit(5)
";
    for python in programs::pythons() {
        is_unchanged(&python.to_string_lossy().replace('/', "_"), &python, &["-W", "ignore", "-c", script]);
    }
}

#[test]
fn node() {
    let script = "let a = []; for (let i = 0; i < 60000; i++) a.push({ i, s: 'x' + i }); \
                  console.log(JSON.stringify(a).length); \
                  const { Worker } = require('worker_threads'); \
                  new Worker('console.log([...Array(9999).keys()].map(String).join().length)', { eval: true }) \
                  .on('exit', () => process.exit(6))";
    is_unchanged("node", &on_path("node"), &["-e", script]);
}

#[test]
fn exceptions_of_cpp() {
    let program = programs::compiled("exceptions.cc", "exceptions", &["-s"]);
    is_unchanged("exceptions", &program, &[]);
}

#[test]
fn all_that_c_can_ask_for() {
    let program = programs::compiled("stress.c", "stress", &[]);
    is_unchanged("stress", &program, &["1", "30000", "4", "10", "1000"]);
}

/// With allocators that are libraries, and whose `operator new` calls no `malloc`.
#[test]
fn other_allocators() {
    for library in programs::allocators() {
        let name = library.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let linked = ["-Wl,--no-as-needed", library.to_str().expect("it is plain")];
        let program = programs::compiled("exceptions.cc", &format!("exceptions-{name}"), &linked);
        is_unchanged(&format!("exceptions-{name}"), &program, &[]);
        let program = programs::compiled("stress.c", &format!("stress-{name}"), &linked);
        is_unchanged(&format!("stress-{name}"), &program, &["2", "20000", "3", "0", "0"]);
    }
}

/// A Rust program that brings its allocator within it: hardly anything is seen, and nothing is changed.
#[test]
fn rust_with_an_allocator_of_its_own() {
    is_unchanged("own-allocator", &programs::example("own-allocator"), &[]);
}

/// This program itself, whose own profiler is another than the one before it.
#[test]
fn plimsoll_config() {
    is_unchanged("config", &support::server::program(), &["config", "--json"]);
}

#[test]
fn cargo_build() {
    let package = programs::folder("package");
    std::fs::create_dir_all(package.join("src")).expect("it is ours");
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(package.join("Cargo.toml"), manifest).expect("it is ours");
    std::fs::write(package.join("src/main.rs"), "fn main() { println!(\"built\") }\n").expect("it is ours");
    let script = format!(
        "cd '{}' && unset CARGO_TARGET_DIR && cargo clean -q && cargo build -q --offline && target/debug/small",
        package.display()
    );
    is_unchanged("cargo-build", &on_path("sh"), &["-c", &script]);
    let _ = std::fs::remove_dir_all(package);
}
