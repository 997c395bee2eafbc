//! `plimsoll watch -- CMD`: whose output goes where, and who ends whom.

mod record_kit;
mod watch_kit;

use record_kit::*;
use rustix::process::Signal;
use watch_kit::*;

#[test]
fn with_json_standard_output_is_one_document() {
    let (folder, _) = watched("json");
    let (_, output) = verdict_on(&folder, &["--duration", "2s"], "talk");
    assert!(text(&output.stderr).contains("from the program\n"), "{}", text(&output.stderr));
}

/// Proves D4.
#[test]
fn without_json_the_report_follows_the_programs_output() {
    let (folder, _) = watched("text");
    let output = run(&mut watch(&folder, &["--duration", "2s", "--", "./watched", "talk"]));
    let out = text(&output.stdout);
    assert!(out.starts_with("from the program\n"), "{out}");
    assert!(out.contains("undecided: ./watched talk") && out.contains("next: "), "{out}");
    assert_eq!(code(&output), 3);
    // Standard error is no terminal: nothing is redrawn.
    let said = text(&output.stderr);
    assert!(said.lines().count() <= 3 && !said.contains('\x1b'), "{said}");
}

#[test]
fn a_signal_to_us_ends_the_watch_and_what_was_seen_is_judged() {
    for signal in [Signal::INT, Signal::TERM] {
        let (folder, _) = watched(&format!("signal-{signal:?}"));
        let child = start(&mut watch(&folder, &["--json", "--duration", "20s", "--", "./watched", "leak"]));
        let pid = until("the program", || child_of(child.id()));
        std::thread::sleep(std::time::Duration::from_secs(11));
        kill(child.id(), signal);
        let output = finish(child);
        let verdict = json(&output);
        assert_eq!(blamed(&verdict).len(), 1, "{verdict:#}");
        assert_eq!(verdict["target"]["exit_code"], serde_json::Value::Null, "we ended it");
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it was waited for");
    }
}

#[test]
fn who_does_not_listen_is_killed() {
    let (folder, _) = watched("deaf");
    let began = std::time::Instant::now();
    let (_, _) = verdict_on(&folder, &["--duration", "1s"], "deaf");
    let took = began.elapsed().as_secs_f64();
    assert!((5.0..30.0).contains(&took), "five seconds after it was asked: {took}");
}

#[test]
fn a_program_may_be_left_running() {
    let (folder, _) = watched("left");
    // It holds what it was given for its output after we have ended.
    let out = std::fs::File::create(folder.join("out.json")).expect("the folder is ours");
    let mut command =
        watch(&folder, &["--json", "--duration", "1s", "--leave-running", "--", "./watched", "healthy"]);
    let status = command.stdout(out).stderr(std::process::Stdio::null()).status();
    assert_eq!(status.expect("the binary is built with the test").code(), Some(3), "too short for more");
    let text = std::fs::read_to_string(folder.join("out.json")).expect("it was written");
    let verdict: serde_json::Value = serde_json::from_str(&text).expect("one document");
    let pid = u32::try_from(verdict["target"]["pid"].as_u64().expect("a number")).expect("a small one");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    assert!(!stat.contains(") Z "), "{stat}");
    kill(pid, Signal::KILL);
}
