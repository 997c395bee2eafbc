//! `loom`: the models that go through every interleaving of a few threads.
//!
//! Built with `--cfg loom`, under which a crate's locks and atomics are models; a target folder of its own
//! keeps the two builds from throwing each other away.
//!
//! Models of what a crate shows are tests of it, `tests/loom_*.rs`. Those of tables that it does not show stand beside
//! them, in modules named `models`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::house::House;
use crate::miri::mentions;
use crate::shell::{self, Failure};
use crate::test::{Done, runner};
use crate::trouble::{Trouble, no_arguments};

/// The crates that have models.
const PACKAGES: [&str; 2] = ["plimsoll-bounds", "plimsoll-heap"];
/// What the name of a model's file begins with.
const PREFIX: &str = "loom_";
/// The module in which models stand inside a crate.
const MODULE: &str = "models";

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    no_arguments("loom", args)?;
    crate::test::alone(step)
}

/// The step of `test`.
pub(crate) fn step(house: &House) -> Result<Done, Failure> {
    let mut models = Vec::new();
    for package in PACKAGES {
        let folder = house.folder(package)?;
        if has_tests(&folder) {
            models.push((package, ["--test".to_owned(), format!("{PREFIX}*")].to_vec()));
        }
        if mentions(&folder.join("src"), &[format!("mod {MODULE};")]) {
            let only = ["--lib".to_owned(), "--".to_owned(), format!("{MODULE}::")];
            models.push((package, only.to_vec()));
        }
    }
    if models.is_empty() {
        let packages = PACKAGES.join(", ");
        return Ok(Done::Skipped(format!("no tests/{PREFIX}*.rs and no `mod {MODULE};` in {packages}")));
    }
    // What the caller compiles with stays; the switch is added.
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    for (package, which) in models {
        let mut cargo = Command::new("cargo");
        cargo.env("RUSTFLAGS", flags.trim()).env("CARGO_TARGET_DIR", house.target.join("loom"));
        runner(house)?.set(&mut cargo);
        cargo.args(["test", "--package", package, "--release"]).args(which);
        shell::run(&mut cargo)?;
    }
    Ok(Done::Did)
}

fn has_tests(folder: &Path) -> bool {
    // No folder of tests is no test.
    let Ok(files) = fs::read_dir(folder.join("tests")) else { return false };
    files.flatten().any(|file| file.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)))
}
