//! What the program gets and gives passes through nobody: streams, descriptors, terminal.

mod record_kit;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use record_kit::*;

#[test]
fn input_and_output_are_the_same_to_the_byte() {
    let folder = folder("bytes");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut command = record(&folder, &["-q", "--", "sh", "-c", "tee /dev/stderr"]);
    let mut child = start(command.stdin(Stdio::piped()));
    let mut input = child.stdin.take().expect("it was asked for");
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent));
    let output = finish(child);
    writer.join().expect("no panic").expect("all is read");
    assert_eq!(code(&output), 0);
    assert!(output.stdout == bytes && output.stderr == bytes);
}

#[test]
fn the_program_has_no_descriptor_that_it_has_not_without_us() {
    let folder = folder("descriptors");
    let list =
        ["sh", "-c", "for fd in /proc/self/fd/*; do readlink $fd; done | grep -v ^/proc | sed 's/[0-9]*//g'"];
    let alone = run(Command::new(list[0]).args(&list[1..]).stdin(Stdio::null()));
    let recorded = run(&mut record(&folder, &[&["-q", "--"], &list[..]].concat()));
    assert_eq!(text(&recorded.stdout), text(&alone.stdout));
    assert!(text(&alone.stdout).contains("/dev/null"));
}

#[test]
fn the_limits_that_the_program_has_are_ours() {
    let folder = folder("limits");
    let limits = ["sh", "-c", "ulimit -n; ulimit -Hn"];
    let alone = run(Command::new(limits[0]).args(&limits[1..]));
    let recorded = run(&mut record(&folder, &[&["-q", "--"], &limits[..]].concat()));
    assert_eq!(text(&recorded.stdout), text(&alone.stdout));
}

#[test]
fn the_environment_is_ours_with_what_the_library_needs() {
    let folder = folder("environment");
    let mut command = plimsoll(&folder, &["record", "-q", "--sample", "64KiB", "--", "env"]);
    let output = run(command.env("LD_PRELOAD", "").env("ODD", "a=b c\n"));
    let seen = text(&output.stdout);
    assert!(seen.contains("\nPLIMSOLL_SAMPLE=65536\n"), "{seen}");
    assert!(seen.contains("\nPLIMSOLL_EPOCH_MS=1000\n"), "{seen}");
    assert!(seen.contains("/record-") && seen.contains("\nPLIMSOLL_RECORD=/"), "{seen}");
    assert!(seen.contains("ODD=a=b c\n"), "{seen}");
    let socket = seen.lines().find_map(|line| line.strip_prefix("PLIMSOLL_RECORD=")).expect("it is set");
    assert!(!fs::exists(socket).expect("it can be looked for"), "the socket is gone");
}

/// Runs a line in a terminal of its own, and returns what it showed.
fn in_terminal(folder: &std::path::Path, line: &str, typed: &str) -> String {
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]).current_dir(folder).stdin(Stdio::piped());
    command.env_remove("PYTHONMALLOC").env_remove("LD_PRELOAD").env("TERM", "xterm");
    let mut child = start(&mut command);
    let mut input = child.stdin.take().expect("it was asked for");
    input.write_all(typed.as_bytes()).expect("it reads");
    // What is typed must stay open, or the terminal is hung up.
    let output = finish_with(child, input);
    text(&output.stdout)
}

fn finish_with(child: std::process::Child, input: std::process::ChildStdin) -> std::process::Output {
    let output = finish(child);
    drop(input);
    output
}

#[test]
fn a_terminal_that_is_shared_gets_a_line_now_and_then() {
    let shown = in_terminal(&folder("sparse"), &format!("{PLIMSOLL} record -- sleep 2.6"), "");
    assert_eq!(shown.matches("plimsoll: 1 s: ").count(), 1, "{shown}");
    assert_eq!(shown.matches("plimsoll: 2 s: ").count(), 0, "{shown}");
    assert!(!shown.contains("\x1b[K"), "{shown}");
}

#[test]
fn a_terminal_of_our_own_gets_one_line_that_changes() {
    let shown = in_terminal(&folder("one-line"), &format!("{PLIMSOLL} record -- sleep 2.6 > out"), "");
    assert!(
        shown.contains("\r\x1b[Kplimsoll: 1 s: ") && shown.contains("\r\x1b[Kplimsoll: 2 s: "),
        "{shown}"
    );
    assert!(
        shown.contains("\r\x1b[Kplimsoll: nothing was recorded") || shown.contains("\r\x1b[Kplimsoll: sleep"),
        "{shown}"
    );
    let quiet =
        in_terminal(&folder("one-line-quiet"), &format!("{PLIMSOLL} record -q -- sleep 1.6 > out"), "");
    assert_eq!(quiet, "");
}

#[test]
fn a_full_screen_program_is_not_written_over() {
    let folder = folder("raw");
    let line = format!("{PLIMSOLL} record -- sh -c 'stty raw; sleep 2.6; stty sane' > out");
    let shown = in_terminal(&folder, &line, "");
    assert!(shown.contains("plimsoll: recording sh"), "{shown}");
    assert!(!shown.contains(" s: 0 samples"), "{shown}");
}

#[test]
fn no_terminal_no_progress() {
    let output = run(&mut record(&folder("no-terminal"), &["--", "sleep", "1.3"]));
    assert!(!text(&output.stderr).contains(" s: "), "{}", text(&output.stderr));
}

#[test]
fn a_program_that_stops_itself_stops_us_and_the_shell_goes_on() {
    let folder = folder("stop");
    script(&folder, "stops", b"#!/bin/sh\nkill -STOP $$\necho went-on\nexit 5\n");
    let typed = format!("{PLIMSOLL} record -q -- ./stops\njobs\nfg\necho code $?\nexit\n");
    let shown = in_terminal(&folder, "bash --norc --noprofile -i", &typed);
    assert!(shown.contains("Stopped"), "{shown}");
    assert!(shown.contains("went-on") && shown.contains("code 5"), "{shown}");
}
