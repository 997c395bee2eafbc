//! What stands in a profile of a program that was not written for us: its functions, up to the first, and Python's.

mod support;

use std::path::Path;
use std::process::Command;

use plimsoll_verdict::Profile;
use support::{programs, say};

const COMPLETE_MIN: f64 = 0.95;

/// The profile of a program's end, with every allocation sampled.
fn recorded(name: &str, program: &Path, arguments: &[&str], code: i32) -> Profile {
    let folder = programs::folder(name);
    let file = folder.join("profile.json");
    let mut command = programs::recorded_with(&["--sample", "all", "--at-end"], &file, program);
    let outcome = programs::run(command.args(arguments));
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    let bytes = std::fs::read(&file).expect("a profile was written");
    let _ = std::fs::remove_dir_all(folder);
    plimsoll_verdict::read(&bytes).unwrap_or_else(|error| panic!("{error}"))
}

fn is_complete(name: &str, profile: &Profile) {
    let status = profile.header().status.clone().expect("what is recorded says how it went");
    let complete = 1.0 - status.truncated as f64 / status.samples as f64;
    say(&format!("{name}: {:.2} % of {} stacks complete", complete * 100.0, status.samples));
    assert!(complete >= COMPLETE_MIN, "{complete}: {status:?}");
    assert_eq!((status.dropped_large, status.dropped_small, status.dropped_stacks), (0, 0, 0));
}

/// Built as distributions do: optimised, without frame pointers, stripped.
#[test]
fn stacks_of_a_stripped_program_reach_its_first_function() {
    let program = programs::compiled("exceptions.cc", "stripped", &["-s"]);
    is_complete("stripped C++", &recorded("stripped", &program, &[], 3));
}

/// Every sample that a program takes is followed to its end, in threads, children and signal handlers: what
/// it holds is what is live, to the byte.
#[test]
fn what_lives_is_what_the_program_holds() {
    let program = programs::compiled("stress.c", "held", &["-g"]);
    for seed in ["1", "2", "3"] {
        let plain = programs::run(Command::new(&program).args([seed, "40000", "4", "0", "0"]));
        let code = plain.code.expect("it ends by itself");
        let profile = recorded("held", &program, &[seed, "40000", "4", "77", "5000"], code);
        let frames = profile.frames();
        let held: u64 = profile
            .stacks()
            .iter()
            .filter(|stack| frames.of(stack).any(|frame| frame.function == "main"))
            .map(|stack| stack.live().bytes)
            .sum();
        // Beside them: the buffer of its standard output.
        assert!((77 * 5000..77 * 5000 + 8192).contains(&held), "{held}");
    }
}

/// The first thing that `report` names is the function of Python that keeps the memory, with file and line.
#[test]
fn a_python_service_that_leaks_is_named_by_function_and_line() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/leaking_service.py");
    let script_text = script.to_string_lossy().into_owned();
    let source = std::fs::read_to_string(&script).expect("it is in the repository");
    let line = source.lines().position(|line| line.contains("SEEN.append")).expect("it leaks there") + 1;
    for python in programs::pythons() {
        let folder = programs::folder("python");
        let file = folder.join("profile.json");
        for sample in ["512KiB", "all", "64KiB"] {
            let mut command = programs::recorded(&file, sample, &python);
            let requests = if sample == "all" { "12000" } else { "60000" };
            let outcome = programs::run(command.args([&script_text, requests]));
            assert_eq!((outcome.code, outcome.stdout.trim()), (Some(0), requests), "{outcome:?}");
            let mut report = Command::new(support::server::program());
            let report = programs::run(report.args(["report", "--json"]).arg(&file));
            assert_eq!(report.code, Some(0), "{report:?}");
            let report: serde_json::Value = serde_json::from_str(&report.stdout).expect("it is JSON");
            let first = &report["sites"][0]["own"];
            let place = (&first["function"], &first["file"], &first["line"]);
            let says = format!("{} at {sample}: {place:?}", python.display());
            assert_eq!(first["function"], "remember", "{says}");
            assert_eq!(first["file"], script_text.as_str(), "{says}");
            assert_eq!(first["line"], line, "{says}");
        }
        // Of the last way. With every allocation the start counts most, and modules that import modules are deeper than
        // the 64 functions that are kept.
        let bytes = std::fs::read(&file).expect("a profile was written");
        let profile = plimsoll_verdict::read(&bytes).unwrap_or_else(|error| panic!("{error}"));
        is_complete(&python.to_string_lossy(), &profile);
        let _ = std::fs::remove_dir_all(folder);
    }
}
