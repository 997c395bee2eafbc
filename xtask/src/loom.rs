//! `loom`: the models that go through every interleaving of a few threads.
//!
//! Built with `--cfg loom`, under which a crate's locks and atomics are models; a target folder of its own
//! keeps the two builds from throwing each other away.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use crate::house::House;
use crate::shell::{self, Failure};
use crate::test::{Done, runner};
use crate::trouble::{Trouble, no_arguments};

/// The crates that have models, in `tests/loom_*.rs`.
const PACKAGES: [&str; 1] = ["plimsoll-bounds"];
/// What the name of a model's file begins with.
const PREFIX: &str = "loom_";

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    no_arguments("loom", args)?;
    crate::test::alone(step)
}

/// The step of `test`.
pub(crate) fn step(house: &House) -> Result<Done, Failure> {
    let mut models = Vec::new();
    for package in PACKAGES {
        if has_models(house, package)? {
            models.push(package);
        }
    }
    if models.is_empty() {
        return Ok(Done::Skipped(format!("no tests/{PREFIX}*.rs in {}", PACKAGES.join(", "))));
    }
    // What the caller compiles with stays; the switch is added.
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    for package in models {
        let mut cargo = Command::new("cargo");
        cargo.env("RUSTFLAGS", flags.trim()).env("CARGO_TARGET_DIR", house.target.join("loom"));
        runner(house)?.set(&mut cargo);
        cargo.args(["test", "--package", package, "--release", "--test", &format!("{PREFIX}*")]);
        shell::run(&mut cargo)?;
    }
    Ok(Done::Did)
}

fn has_models(house: &House, package: &str) -> Result<bool, Failure> {
    // No folder of tests is no test.
    let Ok(files) = fs::read_dir(house.folder(package)?.join("tests")) else { return Ok(false) };
    Ok(files.flatten().any(|file| file.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))))
}
