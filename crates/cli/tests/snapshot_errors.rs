//! `plimsoll snapshot` of what has no profiler, is not there, or belongs to somebody else: one line each.

mod record_kit;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use record_kit::*;

#[test]
fn what_is_no_number_is_64() {
    let folder = folder("snapshot-usage");
    for pid in ["x", "0", "-1", "1.5", "99999999999"] {
        let (code, said) = refused(&mut plimsoll(&folder, &["snapshot", "--", pid]));
        assert_eq!(code, 64, "{said}");
        assert!(said.contains("is no number of a process"), "{said}");
    }
}

#[test]
fn each_other_error_says_what_to_do() {
    let folder = folder("snapshot-errors");
    let mut gone = Command::new("true").spawn().expect("every machine has it");
    gone.wait().expect("it ends");
    let (code, said) = refused(&mut plimsoll(&folder, &["snapshot", &gone.id().to_string()]));
    assert!(code == 2 && said.contains("there is no process"), "{code} {said}");

    let (code, said) = refused(&mut plimsoll(&folder, &["snapshot", &std::process::id().to_string()]));
    assert!(code == 2 && said.contains("has no profiler: start it with `plimsoll record`"), "{code} {said}");
    assert!(said.contains("/debug/pprof/heap"), "{said}");
    assert!(files(&folder).is_empty());
}

#[test]
fn a_process_of_another_user_is_not_asked_for() {
    if !is_root() {
        let (code, said) = refused(&mut plimsoll(&folder("snapshot-user"), &["snapshot", "1"]));
        assert!(code == 2 && said.contains("belongs to another user"), "{code} {said}");
        return;
    }
    // The program lies where nobody else can reach it, so it is copied to where all can.
    let home = std::path::PathBuf::from("/tmp/plimsoll-test-snapshot");
    let _ = fs::remove_dir_all(&home);
    fs::create_dir(&home).expect("/tmp can be written to");
    let program = home.join("plimsoll");
    fs::copy(PLIMSOLL, &program).expect("the program can be copied");
    let pid = std::process::id().to_string();
    let mut command = Command::new(&program);
    let (code, said) = refused(command.args(["snapshot", &pid]).uid(64_998).gid(64_998).current_dir("/"));
    fs::remove_dir_all(&home).expect("it is ours");
    assert!(code == 2 && said.contains("belongs to another user (uid 0)"), "{code} {said}");
}
