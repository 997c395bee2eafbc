//! `test`: everything that must hold, in the order in which it fails soonest. The same on every machine:
//! what the continuous check runs is this and nothing else.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::shell::{self, Failure};
use crate::tidy;
use crate::trouble::Trouble;
use crate::{corpus, install, loom, miri};

/// The variable that names the program as it is shipped to the tests that drive it.
const BUILT: &str = "PLIMSOLL_BIN";

/// How a step ended when it did not fail.
pub(crate) enum Done {
    Did,
    /// There was nothing to do, or nothing to do it with: says which.
    Skipped(String),
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&House) -> Result<Done, Failure>,
    /// The step that `--only` runs before this one.
    after: Option<&'static str>,
}

const STEPS: [Step; 10] = [
    Step { name: "install", about: "what a fresh machine lacks", run: install::step, after: None },
    Step { name: "fmt", about: "one way to lay out code", run: fmt, after: None },
    Step { name: "clippy", about: "no warnings", run: clippy, after: None },
    Step { name: "docs", about: "no broken links in the documentation", run: docs, after: None },
    Step { name: "build", about: "the program as it is shipped", run: build, after: None },
    Step { name: "tidy", about: "the rules of the tree", run: tidy_step, after: Some("build") },
    Step { name: "tests", about: "unit, integration and doc tests", run: tests, after: Some("build") },
    Step { name: "corpus", about: "the judge on known programs", run: corpus::step, after: Some("build") },
    Step { name: "loom", about: "the models of all interleavings", run: loom::step, after: None },
    Step { name: "miri", about: "no undefined behaviour, no leaks", run: miri::step, after: None },
];

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap_or_default()).collect();
    let steps = match words[..] {
        [] => STEPS.iter().collect(),
        ["--list"] => {
            STEPS.iter().for_each(|step| println!("{:8} {}", step.name, step.about));
            return Ok(0);
        }
        ["--only", name] => only(name)?,
        _ => {
            let why = "`test` takes `--only STEP` or `--list`".to_owned();
            return Err(Trouble::Usage(why));
        }
    };
    let house = House::open()?;
    let mut report = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        eprintln!("\n== {} of {}: {}: {} ==", number + 1, steps.len(), step.name, step.about);
        let start = Instant::now();
        let ended = (step.run)(&house);
        let took = start.elapsed();
        eprintln!("== {}: {} s ==", step.name, seconds(took));
        let word = match &ended {
            Ok(Done::Did) => "passed".to_owned(),
            Ok(Done::Skipped(why)) => format!("skipped: {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        report.push((step.name, took, word));
        if let Err(failure) = ended {
            print_report(&report);
            eprintln!("\nthe step `{}` failed", step.name);
            print_failure(&failure);
            eprintln!("repeat it:   cargo xtask test --only {}", step.name);
            return Ok(1);
        }
    }
    print_report(&report);
    Ok(0)
}

/// The step called `name`, after the one that it needs.
fn only(name: &str) -> Result<Vec<&'static Step>, Trouble> {
    let find = |name: &str| STEPS.iter().find(|step| step.name == name);
    let Some(step) = find(name) else {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(Trouble::Usage(format!("there is no step `{name}`; there are {}", names.join(", "))));
    };
    Ok(step.after.and_then(find).into_iter().chain([step]).collect())
}

/// Runs one step as a verb of its own.
pub(crate) fn alone(step: fn(&House) -> Result<Done, Failure>) -> Result<u8, Trouble> {
    match step(&House::open()?) {
        Ok(Done::Did) => Ok(0),
        Ok(Done::Skipped(why)) => {
            eprintln!("skipped: {why}");
            Ok(0)
        }
        Err(failure) => {
            print_failure(&failure);
            Ok(1)
        }
    }
}

fn print_failure(failure: &Failure) {
    eprintln!("the reason:  {}", failure.what);
    if let Some(command) = &failure.command {
        eprintln!("the command: {command}");
    }
}

fn print_report(report: &[(&str, Duration, String)]) {
    println!("\n{:8} {:>8}  result", "step", "seconds");
    for (name, took, word) in report {
        println!("{name:8} {:>8}  {word}", seconds(*took));
    }
    let total = report.iter().map(|(_, took, _)| *took).sum();
    println!("{:8} {:>8}", "all", seconds(total));
}

fn seconds(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f32())
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(args);
    cargo
}

fn did(command: &mut Command) -> Result<Done, Failure> {
    shell::run(command).map(|()| Done::Did)
}

fn fmt(_: &House) -> Result<Done, Failure> {
    did(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy(_: &House) -> Result<Done, Failure> {
    did(&mut cargo(&["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"]))
}

fn docs(_: &House) -> Result<Done, Failure> {
    did(cargo(&["doc", "--workspace", "--all-features", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn build(_: &House) -> Result<Done, Failure> {
    did(&mut cargo(&["build", "--release", "--package", "plimsoll-cli"]))
}

fn tidy_step(house: &House) -> Result<Done, Failure> {
    tidy::step(house, &house.release_binary())
}

fn tests(house: &House) -> Result<Done, Failure> {
    let mut cargo = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
    runner(house)?.set(&mut cargo);
    did(cargo.env(BUILT, house.release_binary()))
}

/// A copy of this program for Cargo to run test binaries with. A copy, because Cargo may replace the
/// original while it builds the tests.
pub(crate) fn runner(house: &House) -> Result<Runner, Failure> {
    let program = house.target.join("xtask").join("xtask");
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(house.target.join("xtask"))?;
        // Replaced in one step: another run may be using the old one.
        let fresh = program.with_extension(std::process::id().to_string());
        fs::copy(own_program()?, &fresh)?;
        fs::rename(&fresh, &program)
    };
    copy().map_err(|error| Failure {
        command: None,
        what: format!("the test runner could not be put at {}: {error}", program.display()),
    })?;
    Ok(Runner { program, variable: runner_variable()? })
}

/// This program's file, also when it has been replaced since it was started.
fn own_program() -> std::io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// How Cargo is told to run test binaries.
pub(crate) struct Runner {
    pub(crate) program: PathBuf,
    variable: String,
}

impl Runner {
    /// Makes `cargo` run its test binaries under the limits.
    pub(crate) fn set(&self, cargo: &mut Command) {
        cargo.env(&self.variable, format!("{} under-limit --", self.program.display()));
    }
}

/// Cargo's variable for the runner of this machine's programs.
fn runner_variable() -> Result<String, Failure> {
    let mut rustc = Command::new("rustc");
    let version = shell::printed(rustc.arg("-vV"))?;
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    let triple = triple.ok_or_else(|| Failure {
        command: Some(shell::typed(&rustc)),
        what: "it does not name its host".to_owned(),
    })?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", triple.to_uppercase().replace(['-', '.'], "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_is_run_after_the_one_that_it_needs() {
        let names = |name: &str| -> Vec<&str> {
            only(name).expect("there is one").iter().map(|step| step.name).collect()
        };
        assert_eq!(names("fmt"), ["fmt"]);
        assert_eq!(names("tests"), ["build", "tests"]);
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_known_ones() {
        let Err(Trouble::Usage(why)) = only("test") else { panic!("there is none of that name") };
        assert!(why.contains("`test`") && STEPS.iter().all(|step| why.contains(step.name)), "{why}");
    }

    #[test]
    fn steps_come_after_what_they_need() {
        for (at, step) in STEPS.iter().enumerate() {
            let needs = step.after.map(|name| STEPS.iter().position(|other| other.name == name));
            assert!(needs.is_none_or(|found| found.is_some_and(|found| found < at)), "{}", step.name);
        }
    }

    #[test]
    fn the_runner_is_named_for_this_machine() {
        let variable = runner_variable().expect("rustc knows its host");
        assert!(variable.starts_with("CARGO_TARGET_") && variable.ends_with("_RUNNER"), "{variable}");
        assert!(
            variable.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        );
    }
}
