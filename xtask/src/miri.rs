//! `miri`: the tests that the interpreter can run in reasonable time; it sees undefined behaviour and leaks.
//!
//! They are picked by name: whatever has `miri_` in its path. Needs a nightly toolchain; without one the
//! step is passed over, and says so.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::house::House;
use crate::shell::{self, Failure};
use crate::test::{Done, runner};
use crate::trouble::{Trouble, no_arguments};

/// The crates that have such tests, among their unit tests.
const PACKAGES: [&str; 2] = ["plimsoll-bounds", "plimsoll-heap"];
/// What the paths of such tests contain.
const FILTER: &str = "miri_";
/// For a crate, building included: the interpreter is hundreds of times slower than the machine.
const SECONDS_MAX: &str = "1800";

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    no_arguments("miri", args)?;
    crate::test::alone(step)
}

/// The step of `test`.
pub(crate) fn step(house: &House) -> Result<Done, Failure> {
    let mut made_for_it = Vec::new();
    for package in PACKAGES {
        if mentions(&house.folder(package)?.join("src"), &[format!("fn {FILTER}"), format!("mod {FILTER}")]) {
            made_for_it.push(package);
        }
    }
    if made_for_it.is_empty() {
        return Ok(Done::Skipped(format!("no test named {FILTER}* in {}", PACKAGES.join(", "))));
    }
    if let Err(reason) = ready() {
        return Ok(Done::Skipped(reason));
    }
    for package in made_for_it {
        // Miri sets the runner itself, so the whole command is held to the limits.
        let mut limited = Command::new(runner(house)?.program);
        limited.env("MIRIFLAGS", "-Zmiri-disable-isolation");
        limited.env("CARGO_TARGET_DIR", house.target.join("miri"));
        limited.args(["under-limit", "--seconds", SECONDS_MAX, "--"]);
        limited.args(["cargo", "+nightly", "miri", "test", "--package", package, "--lib", "--", FILTER]);
        shell::run(&mut limited)?;
    }
    Ok(Done::Did)
}

/// Makes the interpreter available; the error says why it is not.
pub(crate) fn ready() -> Result<(), String> {
    if !shell::succeeds(Command::new("cargo").args(["+nightly", "--version"])) {
        return Err("there is no nightly toolchain; `rustup toolchain install nightly` gets one".to_owned());
    }
    let miri = || shell::succeeds(Command::new("cargo").args(["+nightly", "miri", "--version"]));
    if miri() && has_library_source() {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    add.args(["component", "add", "--toolchain", "nightly", "miri", "rust-src"]);
    if shell::run(&mut add).is_ok() && miri() {
        return Ok(());
    }
    Err(format!("this nightly has no Miri; `{}` failed", shell::typed(&add)))
}

/// The interpreter builds the standard library from its source.
fn has_library_source() -> bool {
    let sysroot = shell::printed(Command::new("rustc").args(["+nightly", "--print", "sysroot"]));
    sysroot.is_ok_and(|sysroot| Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").is_dir())
}

/// Whether a source file under `folder` contains one of `needles`.
pub(crate) fn mentions(folder: &Path, needles: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return mentions(&path, needles);
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        needles.iter().any(|needle| text.contains(needle))
    })
}
