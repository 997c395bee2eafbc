//! What is recorded, by programs that register: the profile, its file while the program runs and after everything was
//! killed, other processes, and `plimsoll snapshot`.

mod record_kit;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plimsoll_verdict::{Profile, read};
use record_kit::*;
use rustix::process::Signal;

fn recorded(folder: &Path, arguments: &[&str]) -> Output {
    run(&mut record(folder, arguments))
}

#[track_caller]
fn profile(path: &Path) -> Profile {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_iter().filter(|name| name.ends_with(".json") || name.ends_with(".gz")).collect()
}

#[test]
fn the_profile_is_in_a_file_named_after_the_program() {
    let folder = folder("default-name");
    let output = recorded(&folder, &["--", "sh", "-c", "echo $$"]);
    let (pid, said) = (text(&output.stdout).trim().to_owned(), text(&output.stderr));
    let name = format!("plimsoll.sh.{pid}.json");
    assert_eq!(files(&folder), [name.as_str()], "{said}");
    let profile = profile(&folder.join(&name));
    assert!(profile.header().origin.contains(&format!("pid {pid}")), "{:?}", profile.header().origin);
    assert!(profile.header().status.as_ref().is_some_and(|status| status.samples > 0));
    assert!(
        said.contains(&format!("recording sh (pid {pid})")) && said.contains(&format!("to {name}")),
        "{said}"
    );
    assert!(said.ends_with(&format!("plimsoll: next: plimsoll report {name}\n")), "{said}");
}

#[test]
fn a_packed_file_and_standard_output_have_the_same_profile() {
    let folder = folder("gzip");
    recorded(&folder, &["-q", "-o", "out.json.gz", "--", "true"]);
    let bytes = fs::read(folder.join("out.json.gz")).expect("it was written");
    assert_eq!(bytes[..2], [0x1f, 0x8b]);
    profile(&folder.join("out.json.gz"));
    for name in ["-", "/dev/stdout", "/proc/self/fd/1"] {
        let output =
            recorded(&folder, &["-q", "-o", name, "--", "sh", "-c", "printf 'said by the program\n'"]);
        assert_eq!(code(&output), 0, "{name}: {}", text(&output.stderr));
        let json = output.stdout.strip_prefix(b"said by the program\n").expect("the program is first");
        read(json).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn standard_output_in_a_file_keeps_what_the_program_wrote() {
    let folder = folder("stdout-file");
    let line = format!(
        "{PLIMSOLL} record -q --sample all -o /dev/stdout -- echo first > out; {PLIMSOLL} record -q --sample all -o - -- echo first > two"
    );
    run(Command::new("sh").args(["-c", &line]).current_dir(&folder));
    for name in ["out", "two"] {
        let bytes = fs::read(folder.join(name)).expect("it was written");
        // The shell registers with nobody: the recorder inside the line is the only one.
        read(bytes.strip_prefix(b"first\n").expect("what the program wrote is there"))
            .expect("then the profile");
    }
}

#[test]
fn a_file_is_there_while_the_program_runs_and_when_all_was_killed() {
    let folder = folder("killed");
    let mut command = record(
        &folder,
        &["-q", "-o", "out.json", "--", "sh", "-c", "echo $$ > pid; exec sleep 100 > /dev/null 2>&1"],
    );
    let child = start(&mut command);
    let pid: u32 = line_of(&folder.join("pid")).parse().expect("a number");
    let content =
        until("a first image", || fs::read(folder.join("out.json")).ok().filter(|bytes| !bytes.is_empty()));
    assert!(!content.is_empty());
    kill(child.id(), Signal::KILL);
    assert_eq!(code(&finish(child)), 137);
    // The program goes on, and knows nothing of it.
    kill(pid, Signal::TERM);
    assert!(folder.join("out.json").is_file());
    // What the recorder left is cleared by the next.
    recorded(&folder, &["-q", "-o", "next.json", "--", "true"]);
    assert!(folder.join("next.json").is_file());
}

#[test]
fn a_program_that_is_killed_loses_nothing() {
    let folder = folder("program-killed");
    let output = recorded(&folder, &["-q", "-o", "out.json", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(code(&output), 137);
    let profile = profile(&folder.join("out.json"));
    assert!(profile.header().status.as_ref().is_some_and(|status| status.samples > 0));
}

#[test]
fn each_process_has_a_file_and_the_last_program_of_the_first_has_the_one_that_was_named() {
    let folder = folder("children");
    let script =
        "echo $$ > main; (echo forked; /bin/true); sh -c 'echo $$ > child; exec ls -d /'; exec sleep 0.1";
    let output = recorded(&folder, &["-o", "out.json", "--", "sh", "-c", script]);
    assert_eq!(code(&output), 0);
    let (main, child) = (line_of(&folder.join("main")), line_of(&folder.join("child")));
    let names = names(&folder);
    assert!(names.contains(&"out.json".to_owned()), "{names:?}");
    assert!(names.contains(&format!("out.{main}.json")), "the shell before exec: {names:?}");
    assert!(names.contains(&format!("out.{child}.json")), "{names:?}");
    assert!(names.contains(&format!("out.{child}.2.json")), "what it ran with exec: {names:?}");
    for name in &names {
        let profile = profile(&folder.join(name));
        if name == "out.json" {
            assert!(profile.header().origin.contains("sleep"), "{:?}", profile.header().origin);
        }
    }
    let said = text(&output.stderr);
    assert!(said.contains("sh (pid "), "{said}");
}

#[test]
fn processes_without_samples_have_no_file_and_are_counted() {
    let folder = folder("no-samples");
    let script = "/bin/true; /bin/true; exit 0";
    let few = ["record", "--sample", "64GiB", "-o", "out.json", "--", "sh", "-c", script];
    let output = run(&mut plimsoll(&folder, &few));
    assert_eq!(names(&folder), ["out.json"]);
    assert!(
        text(&output.stderr).contains("processes took no sample and have no file"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn files_end_at_the_limit_and_the_rest_is_counted() {
    let folder = folder("many");
    let script = "i=0; while [ $i -lt 300 ]; do ls -d / > /dev/null; i=$((i+1)); done";
    let output = recorded(&folder, &["-o", "out.json", "--", "sh", "-c", script]);
    assert_eq!(code(&output), 0);
    assert_eq!(names(&folder).len(), 257);
    let said = text(&output.stderr);
    assert!(said.contains("processes have no file: there is a limit of 256"), "{said}");
    assert!(said.contains("and 248 more processes"), "{said}");
}

#[test]
fn what_goes_on_is_counted_and_keeps_what_it_had() {
    let folder = folder("daemon");
    let script = "sleep 3 > /dev/null 2>&1 & echo $! > pid; sleep 0.3";
    let output = recorded(&folder, &["-o", "out.json", "--", "sh", "-c", script]);
    let pid = line_of(&folder.join("pid"));
    assert!(
        text(&output.stderr).contains("processes go on and are no longer followed"),
        "{}",
        text(&output.stderr)
    );
    assert!(
        names(&folder).iter().any(|name| name.starts_with(&format!("out.{pid}."))),
        "{:?}",
        names(&folder)
    );
}

/// Where a profile went that had no room in FILE.
#[track_caller]
fn elsewhere(said: &str) -> PathBuf {
    let rest = said.split(" and is in ").nth(1).expect(said);
    PathBuf::from(rest.split(" instead").next().expect("a path"))
}

#[test]
fn what_cannot_be_written_at_the_end_is_somewhere_else() {
    let folder = folder("gone");
    let script = "rm -r sub; exit 3";
    fs::create_dir(folder.join("sub")).expect("the folder is ours");
    let output = recorded(&folder, &["-q", "-o", "sub/gone.json", "--", "sh", "-c", script]);
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    let path = elsewhere(&said);
    assert!(said.contains("ended with 3"), "{said}");
    profile(&path);
    fs::remove_file(path).expect("it is ours");
}

#[test]
fn a_reader_that_has_gone_is_no_loss() {
    let folder = folder("fifo");
    let fifo = folder.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("the folder is ours");
    let mut command =
        record(&folder, &["-q", "-o", "fifo", "--", "sh", "-c", "while ! [ -e go ]; do sleep 0.02; done"]);
    let child = start(&mut command);
    // Both ends wait for one another when they are opened.
    drop(fs::File::open(&fifo).expect("it is there"));
    fs::write(folder.join("go"), "").expect("the folder is ours");
    let output = finish(child);
    let said = text(&output.stderr);
    assert!(code(&output) == 2 && said.contains("Broken pipe") && said.contains(" and is in "), "{said}");
    fs::remove_file(elsewhere(&said)).expect("it is ours");

    let mut command = record(&folder, &["-q", "-o", "fifo", "--", "true"]);
    let child = start(&mut command);
    let mut bytes = Vec::new();
    fs::File::open(&fifo).and_then(|mut file| file.read_to_end(&mut bytes)).expect("it is there");
    assert_eq!(code(&finish(child)), 0);
    read(&bytes).expect("a profile");
}

#[test]
fn a_snapshot_of_a_process_that_is_recorded() {
    let folder = folder("snapshot");
    let script = "sleep 100 & echo $! > child; echo $$ > main; wait";
    let mut command = record(&folder, &["-q", "-o", "out.json", "--", "sh", "-c", script]);
    let child = start(&mut command);
    for file in ["main", "child"] {
        let pid = line_of(&folder.join(file));
        let output = until("the registration", || {
            let output = run(&mut plimsoll(&folder, &["snapshot", &pid, "--json"]));
            output.status.success().then_some(output)
        });
        let profile = read(&output.stdout).expect("a profile on standard output");
        assert!(profile.header().origin.contains(&format!("pid {pid}")), "{:?}", profile.header().origin);
        let output = run(&mut plimsoll(&folder, &["snapshot", &pid]));
        assert_eq!((code(&output), text(&output.stdout).as_str()), (0, ""), "{}", text(&output.stderr));
        let part = format!(".{pid}.");
        assert!(names(&folder).iter().any(|name| name.starts_with("plimsoll.") && name.contains(&part)));
        let output = run(&mut plimsoll(&folder, &["snapshot", &pid, "-o", "named.json.gz"]));
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        read(&fs::read(folder.join("named.json.gz")).expect("it was written")).expect("a profile");
    }
    let (exit, said) =
        refused(&mut plimsoll(&folder, &["snapshot", &line_of(&folder.join("main")), "-o", "no/x"]));
    assert!(exit == 2 && said.contains("-o"), "{exit} {said}");
    let sleeper: u32 = line_of(&folder.join("child")).parse().expect("a number");
    kill(sleeper, Signal::TERM);
    finish(child);
    let (code, said) = refused(&mut plimsoll(&folder, &["snapshot", &sleeper.to_string()]));
    assert!(code == 2 && said.contains("there is no process"), "{code} {said}");
}

#[test]
fn a_caller_that_means_nothing_is_refused_and_counted() {
    use rustix::net::*;
    let folder = folder("callers");
    let script = "echo $PLIMSOLL_RECORD > socket; while ! [ -e go ]; do sleep 0.02; done";
    let mut command = record(&folder, &["-o", "out.json", "--", "sh", "-c", script]);
    let child = start(&mut command);
    let socket = line_of(&folder.join("socket"));
    let call = || {
        let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        connect(&fd, &SocketAddrUnix::new(&*socket).expect("a path")).expect("somebody listens");
        fd
    };
    for packet in
        ["", "plimsoll 1 register", "plimsoll 2 register", "plimsoll 1 snapshot x", "GET / HTTP/1.1"]
    {
        send(call(), packet.as_bytes(), SendFlags::NOSIGNAL).expect("it is taken");
    }
    let silent: Vec<_> = (0..100).map(|_| call()).collect();
    let asked = call();
    send(&asked, b"plimsoll 1 snapshot 1", SendFlags::NOSIGNAL).expect("it is taken");
    let mut answer = [0; 16];
    let (length, _) = recv(&asked, &mut answer[..], RecvFlags::empty()).expect("an answer");
    assert_eq!(&answer[..length], b"none");
    fs::write(folder.join("go"), "").expect("the folder is ours");
    let output = finish(child);
    drop(silent);
    let said = text(&output.stderr);
    // The empty packet is as good as none.
    assert!(said.contains("packets without a meaning: 4"), "{said}");
    assert!(said.contains("callers that said nothing: "), "{said}");
    assert_eq!(code(&output), 0);
}
