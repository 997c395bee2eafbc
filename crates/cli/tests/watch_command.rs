//! `plimsoll watch -- CMD`: which line leaks, whatever the program does with its processes.

mod record_kit;
mod watch_kit;

use std::time::Duration;

use record_kit::*;
use watch_kit::*;

/// Long enough for a verdict on 10 kB a second, even on a machine that has much else to do.
const LONG: &[&str] = &["--duration", "12s"];

/// Proves D4.
#[test]
fn a_leak_is_found_with_its_line() {
    let (folder, _) = watched("leak");
    let (verdict, _) = verdict_on(&folder, LONG, "leak");
    assert_eq!(verdict["verdict"], "leak", "{verdict:#}");
    assert_eq!(blamed(&verdict), [format!("keep_one:{}", leaking_line())], "{verdict:#}");
    let site = &verdict["sites"][0];
    assert!(site["file"].as_str().is_some_and(|file| file.ends_with("watched.c")), "{site}");
    assert_eq!(site["pid"], verdict["target"]["pid"]);
    let rate = site["growth_bytes_per_s"].as_f64().unwrap_or_default();
    assert!((2_000.0..20_000.0).contains(&rate), "some 10 kB a second: {rate}");
    assert!(verdict["snapshots"].as_array().is_some_and(|rows| rows.len() >= 5), "{verdict:#}");
}

/// Proves D4.
#[test]
fn a_healthy_program_is_clean() {
    let (folder, _) = watched("healthy");
    let (verdict, output) = verdict_on(&folder, LONG, "healthy");
    assert_eq!(verdict["verdict"], "clean", "{verdict:#}");
    assert_eq!(code(&output), 0);
    assert_eq!(verdict["target"]["exit_code"], serde_json::Value::Null, "we ended it");
}

/// Proves D4.
#[test]
fn processes_that_are_forked_execed_and_daemonised_are_followed() {
    for how in ["fork", "exec", "daemon"] {
        let (folder, _) = watched(how);
        let (verdict, _) = verdict_on(&folder, LONG, how);
        assert_eq!(blamed(&verdict), [format!("keep_one:{}", leaking_line())], "{how}: {verdict:#}");
        let processes = verdict["processes"].as_array().expect("there were several");
        assert!(processes.len() >= 2, "{how}: {verdict:#}");
        let (site, target) = (&verdict["sites"][0]["pid"], &verdict["target"]["pid"]);
        assert_eq!(site == target, how == "exec", "{how}: {verdict:#}");
        let pid = site.as_i64().expect("a number");
        until("its end", || is_gone(pid).then_some(()));
    }
}

fn is_gone(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Who is waited for by nobody stays as a zombie.
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

#[test]
fn what_is_freed_at_the_end_does_not_look_like_health() {
    let (folder, _) = watched("tidy");
    let (verdict, _) = verdict_on(&folder, &["--duration", "30s"], "tidy");
    assert_eq!(blamed(&verdict).len(), 1, "{verdict:#}");
    assert_eq!(verdict["target"]["exit_code"], 7, "it ended by itself");
    let observed_ms = verdict["observed_ms"].as_u64().unwrap_or_default();
    assert!(observed_ms < 25_000, "nobody waited for the whole time: {observed_ms}");
}

#[test]
fn too_short_is_undecided() {
    let (folder, _) = watched("short");
    let (verdict, output) = verdict_on(&folder, &["--duration", "1m"], "short");
    assert_eq!((verdict["verdict"].as_str(), code(&output)), (Some("undecided"), 3), "{verdict:#}");
    assert!(gaps(&verdict).contains("too short"), "{verdict:#}");
}

#[test]
fn a_static_program_is_judged_by_its_resident_memory() {
    let (folder, _) = watched_with("static", &["-static"]);
    let (verdict, output) = verdict_on(&folder, &["--duration", "6s"], "leak");
    assert_eq!(verdict["heap_profiled"], false);
    assert!(gaps(&verdict).contains("linked statically"), "{verdict:#}");
    assert!(gaps(&verdict).contains("weaker"), "{verdict:#}");
    assert!(text(&output.stderr).contains("resident memory alone"), "{}", text(&output.stderr));
}

#[test]
fn without_symbols_a_leak_is_still_a_leak_at_an_address() {
    let (folder, _) = watched_with("stripped", &["-s", "-O1"]);
    let (verdict, _) = verdict_on(&folder, LONG, "leak");
    let blamed = blamed(&verdict);
    assert!(blamed.len() == 1 && blamed[0].contains("watched+0x"), "{verdict:#}");
}

#[test]
fn a_stopped_program_is_watched_and_ended() {
    let (folder, _) = watched("stopped");
    let child = start(&mut watch(&folder, &["--json", "--duration", "7s", "--", "./watched", "leak"]));
    let pid = until("the program", || child_of(child.id()));
    std::thread::sleep(Duration::from_secs(1));
    kill(pid, rustix::process::Signal::STOP);
    let output = finish(child);
    let verdict = json(&output);
    assert_eq!(verdict["target"]["pid"], pid);
    until("its end", || is_gone(i64::from(pid)).then_some(()));
}

#[test]
fn what_cannot_be_started_is_said_with_code_2() {
    let folder = folder("watch-nothing");
    let (code, said) = refused(&mut watch(&folder, &["--duration", "5s", "--", "no-such-program-here"]));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("no-such-program-here"), "{said}");
    script(&folder, "text", b"not a program");
    set_mode(&folder.join("text"), 0o644);
    let (code, said) = refused(&mut watch(&folder, &["--duration", "5s", "--", "./text"]));
    assert_eq!(code, 2, "{said}");
}
