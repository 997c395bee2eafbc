//! How `plimsoll record` ends: with the program's own code, or with a reason why it was not run.

mod record_kit;

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use record_kit::*;

#[test]
fn the_code_is_the_programs() {
    let folder = folder("code");
    for (script, wanted) in
        [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        let output = run(&mut record(&folder, &["-q", "--", "sh", "-c", script]));
        assert_eq!((code(&output), text(&output.stderr).as_str()), (wanted, ""), "{script}");
    }
}

#[test]
fn two_dashes_are_not_needed_and_the_programs_flags_are_its_own() {
    let output = run(&mut record(&folder("dashes"), &["-q", "printf", "%s|", "-o", "--", "--help"]));
    assert_eq!((code(&output), text(&output.stdout).as_str()), (0, "-o|--|--help|"));
}

#[test]
fn what_is_not_found_is_127() {
    let folder = folder("not-found");
    for command in ["no-such-program", "./no-such-program", "/no/such/program", ""] {
        let (code, said) = refused(&mut record(&folder, &["--", command]));
        assert_eq!(code, 127, "{said}");
    }
    let (code, said) = refused(record(&folder, &["sh"]).env("PATH", "/no/such/directory"));
    assert_eq!(code, 127, "{said}");
    assert!(files(&folder).is_empty());
}

#[test]
fn what_cannot_be_executed_is_126() {
    let folder = folder("not-executable");
    fs::write(folder.join("plain"), "echo hello\n").expect("a file of the test");
    script(&folder, "garbage", b"\x00\x01\x02\n");
    script(&folder, "cut", b"\x7fELF\x02\x01\x01");
    script(&folder, "nowhere", b"#!/no/such/interpreter\n");
    script(&folder, "itself", format!("#!{}\n", folder.join("itself").display()).as_bytes());
    for (command, why) in [
        ("./plain", "is not executable"),
        ("/", "is a directory"),
        ("./garbage", "in no format"),
        ("./cut", "cut off or damaged"),
        ("./nowhere", "is a script for /no/such/interpreter"),
        ("./itself", "a script for a script"),
    ] {
        let (code, said) = refused(&mut record(&folder, &["--", command]));
        assert_eq!(code, 126, "{said}");
        assert!(said.contains(why), "{said}");
    }
    let path = folder.to_str().expect("UTF-8");
    let (code, said) = refused(record(&folder, &["plain"]).env("PATH", path));
    assert_eq!(code, 126, "found in PATH and not executable: {said}");
}

#[test]
fn a_static_program_is_not_run_unless_anyway() {
    let folder = folder("static");
    let source = "#include <stdio.h>\nint main(void) { puts(\"ran\"); return 7; }\n";
    for flag in ["-static", "-static-pie"] {
        let program = build(&folder, &format!("program{flag}"), source, &[flag]);
        let program = program.to_str().expect("UTF-8");
        let (exit, said) = refused(&mut record(&folder, &["--", program]));
        assert_eq!(exit, 2, "{said}");
        assert!(said.contains("is linked statically") && said.contains("--anyway"), "{said}");
        let output = run(&mut record(&folder, &["--anyway", "--", program]));
        assert_eq!((code(&output), text(&output.stdout).as_str()), (7, "ran\n"));
        assert!(text(&output.stderr).contains("runs without a profile"));
        let output = run(&mut record(&folder, &["--anyway", "--quiet", "--", program]));
        assert_eq!((code(&output), text(&output.stderr).as_str()), (7, ""));
    }
    let program = folder.join("program-static");
    let script = script(&folder, "script", format!("#!{}\n", program.display()).as_bytes());
    let (code, said) = refused(&mut record(&folder, &["--", script.to_str().expect("UTF-8")]));
    assert_eq!(code, 2, "a script is what its interpreter is: {said}");
}

#[test]
fn another_processor_and_another_loader_are_named() {
    let folder = folder("foreign");
    let own = fs::read("/proc/self/exe").expect("a test has a file");
    let mut other = own.clone();
    other[18..20].copy_from_slice(&243u16.to_le_bytes());
    script(&folder, "other", &other);
    let mut small = own.clone();
    small[4] = 1;
    script(&folder, "small", &small);
    let at = own.windows(4).position(|bytes| bytes == b"/ld-").expect("the loader is named");
    let mut musl = own;
    musl[at..at + 8].copy_from_slice(b"/ld-musl");
    script(&folder, "musl", &musl);
    for (command, why) in [
        ("./other", "another processor (ELF machine 243)"),
        ("./small", "32 bits"),
        ("./musl", "C library musl"),
    ] {
        let (code, said) = refused(&mut record(&folder, &["--", command]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_setuid_program_is_not_run() {
    let folder = folder("setuid");
    let program = if is_root() {
        // Setuid root is no gain for root; another user is one, because the loader sees two users.
        let program = folder.join("true");
        fs::copy(fs::canonicalize("/bin/true").expect("every machine has it"), &program)
            .expect("it can be copied");
        std::os::unix::fs::chown(&program, Some(65_534), None).expect("root may");
        set_mode(&program, 0o4755);
        program
    } else {
        "/bin/su".into()
    };
    let (exit, said) = refused(&mut record(&folder, &["--", program.to_str().expect("UTF-8")]));
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("is setuid"), "{said}");
    if is_root() {
        std::os::unix::fs::chown(&program, Some(0), None).expect("root may");
        set_mode(&program, 0o4755);
        let output = run(&mut record(&folder, &["-q", "--", program.to_str().expect("UTF-8")]));
        assert_eq!(code(&output), 0, "setuid root as root: {}", text(&output.stderr));
    }
}

#[test]
fn scripts_run_as_they_do_without_us() {
    let folder = folder("scripts");
    script(&folder, "plain", b"echo plain \"$1\"\n");
    script(&folder, "sh", b"#! /bin/sh -e\necho sh \"$1\"; false; echo not\n");
    script(&folder, "env", b"#!/usr/bin/env sh\necho env \"$1\"\n");
    script(&folder, "nested", format!("#!{}/sh\n", folder.display()).as_bytes());
    for (command, said, wanted) in [
        ("./plain", "plain a\n", 0),
        ("./sh", "sh a\n", 1),
        ("./env", "env a\n", 0),
        ("./nested", "sh ./nested\n", 1),
    ] {
        let output = run(&mut record(&folder, &["-q", "--", command, "a"]));
        assert_eq!(
            (code(&output), text(&output.stdout).as_str()),
            (wanted, said),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_name_that_the_program_sees_is_the_one_that_was_typed() {
    let folder = folder("argv0");
    let output = run(&mut record(&folder, &["-q", "sh", "-c", "echo $0"]));
    assert_eq!(text(&output.stdout), "sh\n");
}

#[test]
fn python_takes_its_objects_from_malloc_unless_it_is_told_otherwise() {
    let folder = folder("python");
    // What is named python is one, whatever it is.
    script(&folder, "python3", b"#!/bin/sh\necho \"${PYTHONMALLOC-unset}\"\n");
    script(&folder, "tool", b"#!/usr/bin/env python3\n");
    script(&folder, "shell", b"#!/bin/sh\necho \"${PYTHONMALLOC-unset}\"\n");
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let seen = |arguments: &[&str], set: Option<&str>| {
        let mut command = record(&folder, arguments);
        command.env("PATH", &path).envs(set.map(|value| ("PYTHONMALLOC", value)));
        let output = run(&mut command);
        (text(&output.stdout).trim().to_owned(), text(&output.stderr).contains("PYTHONMALLOC=malloc is set"))
    };
    assert_eq!(seen(&["python3"], None), ("malloc".into(), true));
    assert_eq!(seen(&["./tool"], None), ("malloc".into(), true));
    assert_eq!(seen(&["--keep-pymalloc", "python3"], None), ("unset".into(), false));
    assert_eq!(seen(&["python3"], Some("debug")), ("debug".into(), false));
    assert_eq!(seen(&["./shell"], None), ("unset".into(), false));
}

#[test]
fn a_wrong_command_line_is_64() {
    let folder = folder("usage");
    for arguments in
        [&[][..], &["--sample", "0", "--", "true"], &["--sample", "64K", "true"], &["--wrong", "true"]]
    {
        let (code, said) = refused(&mut record(&folder, arguments));
        assert_eq!(code, 64, "{said}");
    }
}

#[test]
fn a_directory_that_others_can_write_to_holds_no_library_of_ours() {
    // As a user who has no directory yet: only root can become one.
    if !is_root() {
        let uid = rustix::process::geteuid().as_raw();
        let _ = writeln!(std::io::stderr(), "uid {uid}: who owns the directory is tested only as root");
        return;
    }
    let uid = 64_999;
    let place = std::path::PathBuf::from(format!("/tmp/plimsoll-{uid}"));
    let _ = fs::remove_dir_all(&place);
    // Nobody may pass through the folder of the tests, so the program is copied to where all can.
    let home = std::path::PathBuf::from(format!("/tmp/plimsoll-test-{uid}"));
    let _ = fs::remove_dir_all(&home);
    fs::create_dir(&home).expect("/tmp can be written to");
    set_mode(&home, 0o777);
    let program = home.join("plimsoll");
    fs::copy(PLIMSOLL, &program).expect("the program can be copied");
    let as_user = || {
        let mut command = Command::new(&program);
        command.args(["record", "-q", "--", "true"]).uid(uid).gid(uid).current_dir(&home);
        command
    };
    fs::create_dir(&place).expect("/tmp can be written to");
    let (code, said) = refused(&mut as_user());
    assert!(code == 2 && said.contains("belongs to another user (uid 0)"), "{code} {said}");
    std::os::unix::fs::chown(&place, Some(uid), Some(uid)).expect("root may");
    set_mode(&place, 0o777);
    let (code, said) = refused(&mut as_user());
    assert!(code == 2 && said.contains("can be written to by other users"), "{code} {said}");
    fs::remove_dir(&place).expect("it is empty");
    std::os::unix::fs::symlink("/var/tmp", &place).expect("/tmp can be written to");
    let (code, said) = refused(&mut as_user());
    assert!(code == 2 && said.contains("is a symbolic link"), "{code} {said}");
    fs::remove_file(&place).expect("it is a link");
    let output = run(&mut as_user());
    assert_eq!(record_kit::code(&output), 0, "{}", text(&output.stderr));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&place).expect("it was made"));
    assert_eq!(mode & 0o7777, 0o711);
    // A profile that may not be written is refused before the program runs.
    set_mode(&home, 0o755);
    let (code, said) = refused(&mut as_user());
    assert!(code == 2 && said.contains("Permission denied") && said.contains("-o"), "{code} {said}");
    fs::write(home.join("theirs.json"), "old").expect("root may");
    let (code, said) = refused(as_user().args::<_, &str>([]).current_dir("/"));
    assert!(code == 2 && said.contains("Permission denied"), "{code} {said}");
    for path in [place, home] {
        let _ = fs::remove_dir_all(path);
    }
}
