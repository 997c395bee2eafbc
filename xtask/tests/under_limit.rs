//! `xtask under-limit` as Cargo calls it: a program, its code, its limits, what it leaves behind.
//! Proves T2.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Runs `script` under the limits, with `options` before the dashes.
fn under_limit(options: &[&str], script: &str) -> Output {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.arg("under-limit").args(options).args(["--", "sh", "-c", script]);
    xtask.output().expect("xtask was built for this test")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

#[test]
fn the_code_and_the_output_of_the_program_pass_through() {
    let output = under_limit(&[], "echo said; exit 7");
    assert_eq!((code(&output), &output.stdout[..]), (7, &b"said\n"[..]));
    assert_eq!(code(&under_limit(&[], "kill -6 $$")), 134);
}

#[test]
fn each_process_may_hold_4_gib_of_data() {
    let output = under_limit(&[], "ulimit -d");
    // The shell counts in KiB.
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "4194304");
}

#[test]
fn the_time_limit_is_said_and_has_its_own_code() {
    let output = under_limit(&["--seconds", "1"], "sleep 60");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 124, "{said}");
    assert!(said.contains("1 s, its limit"), "{said}");
}

#[test]
fn what_was_left_running_is_named_and_killed() {
    let started = Instant::now();
    // The sleeper holds the pipe open that `output` reads to its end.
    let output = under_limit(&[], "sleep 60 & exit 3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 3, "{said}");
    assert!(said.contains("left running"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn being_told_to_stop_stops_the_program() {
    // The program tells its parent, which is xtask, and would sleep on.
    let output = under_limit(&[], "kill -TERM $PPID; sleep 60");
    assert_eq!(code(&output), 143, "{output:?}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("under-limit").output();
    let output = output.expect("xtask was built for this test");
    assert_eq!(code(&output), 64);
    assert!(String::from_utf8_lossy(&output.stderr).contains("after `--`"));
}

#[test]
fn this_very_test_is_held_to_the_limits() {
    // Set by `cargo xtask test`, under which every test binary must have been started by the runner.
    if std::env::var_os("PLIMSOLL_BIN").is_some() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Data).current;
        assert_eq!(limit, Some(4 << 30), "run it with `cargo xtask test --only tests`");
    }
}
