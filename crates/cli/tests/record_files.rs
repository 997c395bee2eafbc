//! FILE: what cannot be written is refused before the program is run, and what is there stays until there is
//! something better.

mod record_kit;

use std::fs;
use std::os::unix::fs::symlink;

use record_kit::*;

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_program_runs() {
    let folder = folder("bad-file");
    fs::create_dir(folder.join("directory")).expect("the folder is ours");
    fs::write(folder.join("file"), "old").expect("the folder is ours");
    for (file, why) in [
        ("missing/out.json", "there is no directory missing; make it"),
        ("directory", "is a directory"),
        ("directory/..", "is a directory"),
        ("file/out.json", "Not a directory"),
        ("/dev/full", "No space left on device"),
        ("/proc/out.json", "cannot be written to /proc/out.json"),
    ] {
        let (code, said) = refused(&mut record(&folder, &["-o", file, "--", "echo", "ran"]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(files(&folder), ["directory", "file"], "nothing is left behind");
}

/// Whoever kills everything in the first millisecond finds a profile, and none of another run.
#[test]
fn an_old_file_is_a_profile_from_the_first_moment_on() {
    let folder = folder("old-file");
    fs::write(folder.join("old.json"), "old").expect("the folder is ours");
    let script = "while ! [ -e go ]; do sleep 0.02; done";
    let child = start(&mut record(&folder, &["-q", "-o", "old.json", "--", "sh", "-c", script]));
    let reports = || run(&mut plimsoll(&folder, &["report", "old.json"])).status.success().then_some(());
    until("a profile", reports);
    fs::write(folder.join("go"), "").expect("the folder is ours");
    assert_eq!(code(&finish(child)), 0);
    reports().expect("and at the end");
}

#[test]
fn a_program_that_is_not_started_leaves_nothing() {
    let folder = folder("not-started");
    let long = "x".repeat(3 << 20);
    // Longer than the kernel takes: it is found and refused only when it is started.
    let output = run(record(&folder, &["-o", "out.json", "--", "true"]).env("LONG", &long[..100_000]));
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let _ = fs::remove_file(folder.join("out.json"));
    assert!(files(&folder).is_empty());
}

#[test]
fn a_link_stays_a_link() {
    let folder = folder("link");
    symlink("target.json", folder.join("link.json")).expect("the folder is ours");
    let output = run(&mut record(&folder, &["-q", "-o", "link.json", "--", "true"]));
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(fs::symlink_metadata(folder.join("link.json")).expect("it is there").is_symlink());
    assert!(folder.join("target.json").is_file());
}
