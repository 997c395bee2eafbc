//! `corpus`: the judge on programs of which the truth is known. What was recorded of all of them is judged again, and a
//! few are run: all of them take three quarters of an hour, by `corpus live`.
//!
//! The corpus is a workspace of its own, so that what its programs link is no dependency of ours.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::house::House;
use crate::shell::{self, Failure};
use crate::test::Done;
use crate::trouble::{Trouble, no_arguments};

/// Two languages, two kinds of growth, and what looks like them and is none. Those that are found nearly always: the others are
/// judged as they were recorded.
const LIVE: &str = "leak_sessions_forgotten,leak_arc_cycle,leak_c_growing_array,fine_concave_cache,fine_ttl_middle,\
                    fine_sawtooth_irregular";
/// Long enough for each of them, and short.
const LENGTH_S: &str = "30";
const JOBS: &str = "3";
/// The parameters of all that is run here, always the same: what fails can be repeated.
const SEED: &str = "20261121";
/// What was recorded, below the corpus.
const SERIES: [&str; 2] = ["series/30s", "series/60s"];

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    no_arguments("corpus", args)?;
    crate::test::alone(step)
}

/// The step of `test`.
pub(crate) fn step(house: &House) -> Result<Done, Failure> {
    let folder = house.root.join("corpus");
    let target = house.target.join("corpus");
    let cargo = |args: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(args).arg("--manifest-path").arg(folder.join("Cargo.toml"));
        cargo.env("CARGO_TARGET_DIR", &target);
        cargo
    };
    shell::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
    shell::run(clippy.args(["--", "-D", "warnings"]))?;
    shell::run(&mut cargo(&["test", "--package", "plimsoll-corpus"]))?;
    let corpus = |args: &[&str]| {
        let mut run = cargo(&["run", "--release", "--package", "plimsoll-corpus"]);
        run.arg("--").args(args);
        run
    };
    for series in SERIES {
        let folder: PathBuf = folder.join(series);
        shell::run(corpus(&["replay", "--series"]).arg(folder))?;
    }
    let live = ["live", "--length-s", LENGTH_S, "--jobs", JOBS, "--seed", SEED, "--only", LIVE, "--plimsoll"];
    shell::run(corpus(&live).arg(house.release_binary()))?;
    Ok(Done::Did)
}
