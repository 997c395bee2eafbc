//! `plimsoll watch PID` and `plimsoll watch URL`: what runs already is looked at, and left alone.

mod record_kit;
mod support;
mod watch_kit;

use std::process::Command;

use record_kit::*;
use support::server::Server;
use watch_kit::*;

/// Proves D4.
#[test]
fn a_process_without_a_profiler_is_judged_by_its_resident_memory() {
    let (folder, _) = watched("bare");
    let program = alone(&folder, "healthy");
    let pid = program.0.id();
    let (verdict, output) = verdict(&mut watch(&folder, &["--json", "--duration", "6s", &pid.to_string()]));
    assert_eq!(verdict["heap_profiled"], false);
    assert_eq!(verdict["target"]["pid"], pid);
    assert!(gaps(&verdict).contains("weaker"), "{verdict:#}");
    assert!(verdict["process"]["resident_bytes"].as_u64().unwrap_or_default() > 100_000, "{verdict:#}");
    assert!(text(&output.stderr).contains("nobody profiles it"), "{}", text(&output.stderr));
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "it goes on");
}

/// Proves D4.
#[test]
fn a_process_that_is_recorded_gets_the_full_verdict() {
    let (folder, _) = watched("recorded");
    let record = ["record", "-q", "--sample", "all", "-o", "out.json", "--", "./watched", "leak"];
    let recorder = Ended(plimsoll(&folder, &record).spawn().expect("the binary is built with the test"));
    let pid = until("the program", || child_of(recorder.0.id()));
    let snapshot = || run(&mut plimsoll(&folder, &["snapshot", "--json", &pid.to_string()]));
    until("its tables", || snapshot().status.success().then_some(()));
    // The recorder's unit of ages is a second.
    let (verdict, _) = verdict(&mut watch(&folder, &["--json", "--duration", "40s", &pid.to_string()]));
    kill(pid, rustix::process::Signal::KILL);
    assert_eq!(verdict["heap_profiled"], true);
    assert_eq!(blamed(&verdict), [format!("keep_one:{}", leaking_line())], "{verdict:#}");
}

#[test]
fn a_process_that_ends_is_judged_by_what_was_seen() {
    let (folder, _) = watched("ends");
    let mut program = alone(&folder, "short");
    let pid = program.0.id().to_string();
    // It is waited for when it ends, as its shell would.
    let waiter = std::thread::spawn(move || program.0.wait());
    let (verdict, _) = verdict(&mut watch(&folder, &["--json", "--duration", "1m", &pid]));
    waiter.join().expect("it only waits").expect("it is ours");
    assert_eq!(verdict["verdict"], "undecided");
    assert!(gaps(&verdict).contains("ended while it was watched"), "{verdict:#}");
}

#[test]
fn who_is_not_there_or_not_ours_is_said_with_code_2() {
    let folder = folder("watch-nobody");
    let (code, said) = refused(&mut watch(&folder, &["2147483646"]));
    assert!(code == 2 && said.contains("2147483646"), "{code}: {said}");
    let (code, said) = refused(&mut watch(&folder, &["http://127.0.0.1:9"]));
    assert!(code == 2 && said.contains("cannot connect"), "{code}: {said}");
    for wrong in ["x", "https://localhost", "0"] {
        let (code, said) = refused(&mut watch(&folder, &[wrong]));
        assert!(code == 64 && said.contains(wrong), "{code}: {said}");
    }
}

#[test]
fn another_users_process_may_not_be_looked_at() {
    if !is_root() {
        support::say("not root, so there is no other user");
        return;
    }
    let (_, program) = watched("foreign");
    let owner = alone(program.parent().expect("it is in a folder"), "healthy");
    // A copy of the program where another user can reach it.
    let folder = std::env::temp_dir().join(format!("plimsoll-watch-foreign-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the directory for such files can be written to");
    set_mode(&folder, 0o755);
    let copy = folder.join("plimsoll");
    std::fs::copy(PLIMSOLL, &copy).expect("there is room for it");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["watch", "--duration", "2s", &owner.0.id().to_string()])
        .output()
        .expect("`setpriv` is part of every Linux");
    std::fs::remove_dir_all(&folder).expect("it is ours");
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    assert!(said.contains("belongs to another user"), "{said}");
}

/// Proves D4.
#[test]
fn a_service_is_judged_by_the_profiles_that_it_hands_out() {
    let folder = folder("watch-service");
    let server = Server::start(&["--heap-sampling", "adaptive"]);
    let url = format!("http://{}", server.addr());
    let (ours, _) = verdict(&mut watch(&folder, &["--json", "--duration", "7s", &url]));
    assert_eq!(ours["heap_profiled"], true, "{ours:#}");
    assert!(ours["readings"].as_u64().unwrap_or_default() >= 3, "{ours:#}");
    // As others have it: amounts without ages.
    let plain = format!("{url}/debug/pprof/heap?debug=0");
    let (plain, _) = verdict(&mut watch(&folder, &["--json", "--duration", "2s", &plain]));
    assert_eq!(plain["heap_profiled"], false, "{plain:#}");
    assert!(gaps(&plain).contains("no ages"), "{plain:#}");
    let (code, said) = refused(&mut watch(&folder, &["--duration", "2s", &format!("{url}/nothing-here")]));
    assert!(code == 2 && said.contains("/nothing-here"), "{said}");
    server.stop();
}
