//! Signals: Ctrl-C ends the program and not the recorder; what is sent to the recorder is meant for the program; and
//! the program's own dispositions are what they would be without us.

mod record_kit;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;

use record_kit::*;
use rustix::process::{Pid, Signal, kill_process_group};

/// A shell that says in `ready` when it listens, and which signals it got in `seen`; `go` ends it.
const LISTENER: &str = "\
    for s in TERM HUP INT QUIT USR1 USR2; do trap \"echo $s >> seen\" $s; done
    echo $$ > ready
    while ! [ -e go ]; do sleep 0.02; done
    exit 4";

fn seen(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("seen")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_sent_to_us_is_passed_on() {
    let folder = folder("pass-on");
    let child = start(&mut record(&folder, &["-q", "--", "sh", "-c", LISTENER]));
    line_of(&folder.join("ready"));
    let all = [
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
    ];
    for (count, (name, signal)) in all.into_iter().enumerate() {
        kill(child.id(), signal);
        let last = until(name, || seen(&folder).get(count).cloned());
        assert_eq!(last, name);
    }
    fs::write(folder.join("go"), "").expect("the folder is ours");
    let output = finish(child);
    assert_eq!(code(&output), 4);
    assert_eq!(seen(&folder).len(), all.len(), "each once");
}

#[test]
fn a_signal_ends_a_program_that_does_not_listen() {
    let folder = folder("term");
    let child = start(&mut record(&folder, &["-q", "--", "sh", "-c", "echo $$ > ready; exec sleep 100"]));
    line_of(&folder.join("ready"));
    kill(child.id(), Signal::TERM);
    assert_eq!(code(&finish(child)), 143);
}

#[test]
fn ctrl_c_ends_the_program_and_we_wait_for_it() {
    let folder = folder("ctrl-c");
    // The terminal sends it to the group, and the program takes its time.
    let program = "trap 'sleep 0.3; echo tidied; exit 9' INT; echo $$ > ready; while :; do sleep 0.02; done";
    let shell = format!("{PLIMSOLL} record -q -- sh -c \"{}\"; echo code $?", program.replace('$', "\\$"));
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &shell, "/dev/null"]).current_dir(&folder).stdin(std::process::Stdio::piped());
    let mut child = start(&mut command);
    let mut input = child.stdin.take().expect("it was asked for");
    line_of(&folder.join("ready"));
    std::io::Write::write_all(&mut input, b"\x03").expect("it reads");
    let output = finish(child);
    drop(input);
    let shown = text(&output.stdout);
    assert_eq!(shown.matches("tidied").count(), 1, "once, from the terminal and not from us too: {shown}");
    // The shell that prints the code may be ended by the same Ctrl-C; what it prints is the program's.
    assert!(!shown.contains("code") || shown.contains("code 9"), "{shown}");
}

#[test]
fn a_signal_to_the_group_does_not_end_us_before_the_program() {
    let folder = folder("group");
    let program = "trap 'sleep 0.3; echo tidied; exit 9' INT; echo $$ > ready; while :; do sleep 0.02; done";
    let child = start(record(&folder, &["-q", "--", "sh", "-c", program]).process_group(0));
    line_of(&folder.join("ready"));
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a number of a group");
    kill_process_group(group, Signal::INT).expect("the group is ours");
    let output = finish(child);
    assert_eq!((code(&output), text(&output.stdout).as_str()), (9, "tidied\n"));
}

/// What the kernel says of a program's signals: blocked and ignored.
fn dispositions(command: &mut std::process::Command) -> String {
    text(&run(command).stdout)
}

#[test]
fn dispositions_and_mask_are_those_that_we_got() {
    let folder = folder("dispositions");
    let look = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let shell = |line: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", line]).current_dir(&folder);
        command
    };
    for before in ["", "trap '' HUP INT QUIT TERM USR1;", "trap '' TSTP TTOU;"] {
        let alone = dispositions(&mut shell(&format!("{before} exec sh -c \"{look}\"")));
        let recorded =
            dispositions(&mut shell(&format!("{before} exec {PLIMSOLL} record -q -- sh -c \"{look}\"")));
        assert_eq!(recorded, alone, "{before}");
        assert!(alone.contains("SigBlk"), "{alone}");
    }
}

#[test]
fn a_program_started_where_children_are_not_waited_for_has_its_code() {
    let folder = folder("child-ignored");
    let mut command = std::process::Command::new("sh");
    let line = format!("trap '' CHLD; exec {PLIMSOLL} record -q -- sh -c 'exit 6'");
    let output = run(command.args(["-c", &line]).current_dir(&folder));
    assert_eq!(code(&output), 6, "{}", text(&output.stderr));
}

#[test]
fn a_pipe_that_nobody_reads_ends_the_program_as_it_does_without_us() {
    let folder = folder("pipe");
    let line = format!("{{ {PLIMSOLL} record -q -- yes; echo code $? > code; }} | head -1");
    let output = run(std::process::Command::new("sh").args(["-c", &line]).current_dir(&folder));
    assert_eq!(text(&output.stdout), "y\n");
    assert_eq!(line_of(&folder.join("code")), "code 141");
}
