//! A program that is killed at any moment, or killed together with its recorder, leaves a profile that can be read.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use plimsoll_verdict::Profile;
use plimsoll_verdict::profile::Stack;
use rustix::process::{Pid, Signal, kill_process};
use support::{programs, say};

/// How often; 100 with `PLIMSOLL_RUNS=50`.
fn kills() -> usize {
    (2 * programs::runs()).max(6)
}

const BLOCK_BYTES: u64 = 64 << 10;

/// The recorder of a program that says after each block how much it holds.
fn started(profile: &Path, steady: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut command = programs::recorded(profile, "all", steady);
    let mut recorder =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program is built");
    let stdout = recorder.stdout.take().expect("it is a pipe");
    (recorder, BufReader::new(stdout))
}

/// The next word of the program; `None` when it is over.
fn said(stdout: &mut BufReader<ChildStdout>) -> Option<u64> {
    let mut line = String::new();
    stdout.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    line.trim().parse().ok()
}

/// The process that a recorder started.
fn program_of(recorder: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", recorder.id());
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(&children).unwrap_or_default();
        let first = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        if let Some(pid) = first.and_then(Pid::from_raw) {
            return pid;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the recorder started nothing");
        std::thread::yield_now();
    }
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("it runs, and is ours");
}

/// What a profile says is held by the function that holds.
fn held(profile: &Path) -> u64 {
    let bytes = std::fs::read(profile).expect("there is a profile");
    let profile = plimsoll_verdict::read(&bytes).unwrap_or_else(|error| panic!("{error}"));
    bytes_of(&profile, "hold_one")
}

fn bytes_of(profile: &Profile, function: &str) -> u64 {
    let frames = profile.frames();
    let has = |stack: &&Stack| frames.of(stack).any(|frame| frame.function == function);
    profile.stacks().iter().filter(has).map(|stack| stack.live().bytes).sum()
}

/// The program is killed: the recorder ends with 128 + 9, and the profile has all that it held.
#[test]
fn a_killed_program_leaves_all_that_it_held() {
    let steady = programs::compiled("steady.c", "steady", &["-g"]);
    let folder = programs::folder("killed");
    let seed = fastrand::u64(..);
    say(&format!("seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    for nth in 0..kills() {
        let profile = folder.join(format!("{nth}.json"));
        let (mut recorder, mut stdout) = started(&profile, &steady);
        let program = program_of(&recorder);
        let mut last = 0;
        for _ in 0..random.u32(0..400) {
            last = said(&mut stdout).expect("it runs until it is killed");
        }
        kill(program);
        while let Some(more) = said(&mut stdout) {
            last = more;
        }
        let status =
            programs::wait(&mut recorder, Duration::from_secs(60)).expect("it ends with its program");
        assert_eq!(status.code(), Some(128 + 9));
        let held = held(&profile);
        // What it had allocated and not yet said is at most one block.
        assert!((last..=last + BLOCK_BYTES).contains(&held), "run {nth}: {held} bytes, it said {last}");
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// Both are killed at once: the file is the one of at most a second before.
#[test]
fn a_killed_recorder_leaves_what_is_older_than_a_second() {
    let steady = programs::compiled("steady.c", "steady", &["-g"]);
    let folder = programs::folder("recorder-killed");
    let seed = fastrand::u64(..);
    say(&format!("seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    for nth in 0..kills().div_ceil(2) {
        let profile = folder.join(format!("{nth}.image"));
        let (mut recorder, mut stdout) = started(&profile, &steady);
        let program = program_of(&recorder);
        let runs_for = Duration::from_millis(random.u64(0..2500));
        let began = Instant::now();
        let mut history = Vec::new();
        while history.is_empty() || began.elapsed() < runs_for {
            let bytes = said(&mut stdout).expect("it runs until it is killed");
            history.push((Instant::now(), bytes));
        }
        let killed = Instant::now();
        recorder.kill().expect("it runs, and is ours");
        kill(program);
        let _ = recorder.wait();
        let old = Duration::from_secs(1);
        let older = history.iter().rfind(|(at, _)| killed.duration_since(*at) > old);
        let older = older.map_or(0, |&(_, bytes)| bytes);
        let held = held(&report(&profile));
        assert!(held >= older, "run {nth}: {held} bytes, {older} were older than {old:?}");
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// What was left, through `plimsoll report`: a file that pprof reads.
fn report(profile: &Path) -> PathBuf {
    let written = profile.with_extension("pb.gz");
    let mut command = Command::new(support::server::program());
    let outcome = programs::run(command.arg("report").arg(profile).arg("--pprof").arg(&written));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    written
}
