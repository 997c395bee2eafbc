//! `under-limit`: a program and what it starts, held to a memory and a time limit. `test` makes Cargo run
//! every test binary through it, so that a leak or a deadlock in a test ends that test and not the machine.
//!
//! ```text
//! cargo ── xtask under-limit ──┬── test binary ── what it starts     its own process group
//!                              └── watch: every 200 ms time and memory of that group
//! ```
//!
//! Two limits on memory: the kernel's on the data of each process (RLIMIT_DATA; at the limit its allocation
//! fails), and the watch's on the resident memory of all together. The address space is not limited: stacks
//! of threads and guard ranges reserve what they never touch.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::group::Group;
use crate::trouble::Trouble;

/// Memory of a test: data of each process, and resident memory of the group.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// How long a test binary may run.
const SECONDS_MAX: u64 = 120;
/// Test binaries that may run longer, by the beginning of their name, and why.
const LONGER: [Longer; 3] = [
    Longer { prefix: "estimator", seconds_max: 400, reason: "it makes a thousand trials of each kind" },
    Longer { prefix: "loom_", seconds_max: 900, reason: "it goes through every interleaving of its threads" },
    Longer {
        prefix: "serve_first_light",
        seconds_max: 600,
        reason: "it sends 4 GiB through the program and reads all that is told of them fifty times",
    },
];
/// How often the watch looks.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// How often it looks while the group is ending.
const END_INTERVAL: Duration = Duration::from_millis(10);
/// From being asked to stop to being killed.
const GRACE: Duration = Duration::from_secs(2);
/// Events between the watch and the threads that wait for it: an end and a few signals.
const EVENTS_MAX: usize = 8;

/// Ended by the time limit.
const EXIT_TIME: u8 = 124;
/// Ended by the memory limit.
const EXIT_MEMORY: u8 = 137;
/// A program that a signal ended: this and the signal's number.
const EXIT_SIGNAL: i32 = 128;

struct Longer {
    prefix: &'static str,
    seconds_max: u64,
    reason: &'static str,
}

/// What a program is held to.
struct Limits {
    memory_bytes_max: u64,
    time_max: Duration,
}

/// What the watch is told.
enum Event {
    /// The program ended.
    Ended(std::io::Result<ExitStatus>),
    /// Somebody told us to stop, with this signal.
    Told(i32),
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// By itself, or by a signal that was not ours.
    Own(ExitStatus),
    Time,
    /// The group held this many bytes.
    Memory(u64),
}

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    let (seconds, program, args) = parse(args)?;
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let longer = LONGER.iter().find(|longer| name.starts_with(longer.prefix));
    let (seconds_max, reason) = match (seconds, longer) {
        (Some(seconds), _) => (seconds, "as was asked"),
        (None, Some(longer)) => (longer.seconds_max, longer.reason),
        (None, None) => (SECONDS_MAX, "the rule for tests; longer ones stand in LONGER with their reason"),
    };
    let limits = Limits { memory_bytes_max: MEMORY_BYTES_MAX, time_max: Duration::from_secs(seconds_max) };
    limit_data(limits.memory_bytes_max)?;

    let (sender, events) = sync_channel(EVENTS_MAX);
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])
        .map_err(|error| Trouble::Undone(format!("signals cannot be watched: {error}")))?;
    let teller = sender.clone();
    // Ends with this process: it has nothing to give back.
    thread::spawn(move || signals.forever().try_for_each(|signal| teller.send(Event::Told(signal))));

    let mut command = Command::new(program);
    command.args(args);
    match watch(&mut command, &limits, sender, &events)? {
        End::Own(status) => {
            if let Some(signal) = status.signal() {
                eprintln!("under-limit: {name} was ended by signal {signal}");
            }
            Ok(exit_code(status))
        }
        End::Time => {
            eprintln!("under-limit: {name} ran for {seconds_max} s, its limit ({reason}), and was ended");
            Ok(EXIT_TIME)
        }
        End::Memory(held) => {
            let limit = limits.memory_bytes_max;
            eprintln!(
                "under-limit: {name} and what it started held {held} bytes of memory, \
                 the limit is {limit}, and were ended"
            );
            Ok(EXIT_MEMORY)
        }
    }
}

/// `[--seconds N] -- PROGRAM ARGS...`
fn parse(args: &[OsString]) -> Result<(Option<u64>, &OsStr, &[OsString]), Trouble> {
    let usage = |what: &str| Trouble::Usage(format!("`under-limit`: {what}"));
    let (seconds, rest) = match args {
        [option, number, rest @ ..] if option == "--seconds" => {
            let seconds = number.to_str().and_then(|number| number.parse().ok());
            (Some(seconds.ok_or_else(|| usage("--seconds wants a whole number"))?), rest)
        }
        _ => (None, args),
    };
    match rest {
        [dashes, program, args @ ..] if dashes == "--" => Ok((seconds, program, args)),
        _ => Err(usage("say what to run after `--`")),
    }
}

/// Limits the data of this process and of every one that it starts.
fn limit_data(bytes_max: u64) -> Result<(), Trouble> {
    let hard = getrlimit(Resource::Data).maximum.map_or(bytes_max, |hard| hard.min(bytes_max));
    let limit = Rlimit { current: Some(hard), maximum: Some(hard) };
    setrlimit(Resource::Data, limit)
        .map_err(|error| Trouble::Undone(format!("the data of the program cannot be limited: {error}")))
}

/// Runs `command` in a group of its own until it ends or has to. Nothing of the group is left afterwards.
fn watch(
    command: &mut Command,
    limits: &Limits,
    sender: SyncSender<Event>,
    events: &Receiver<Event>,
) -> Result<End, Trouble> {
    let started = Instant::now();
    let program = command.get_program().to_owned();
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(|error| Trouble::Undone(format!("{} could not be started: {error}", program.display())))?;
    let group = Group::led_by(&child);
    // Ends when the child does; whoever stops waiting for it has killed the child.
    thread::spawn(move || sender.send(Event::Ended(child.wait())));
    loop {
        let left = limits.time_max.saturating_sub(started.elapsed());
        match events.recv_timeout(left.min(WATCH_INTERVAL)) {
            Ok(Event::Ended(status)) => {
                sweep(group, &program);
                let status = status.map_err(|error| Trouble::Undone(format!("waiting failed: {error}")))?;
                return Ok(End::Own(status));
            }
            Ok(Event::Told(signal)) => group.tell(Signal::from_named_raw(signal).unwrap_or(Signal::TERM)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if started.elapsed() >= limits.time_max {
            end(group, events);
            return Ok(End::Time);
        }
        let held = group.members().iter().map(|member| member.resident_bytes).sum();
        if held > limits.memory_bytes_max {
            end(group, events);
            return Ok(End::Memory(held));
        }
    }
}

/// Asks the group to stop, and kills what is left of it after [`GRACE`].
fn end(group: Group, events: &Receiver<Event>) {
    group.tell(Signal::TERM);
    let asked = Instant::now();
    let mut first_ended = false;
    while asked.elapsed() < GRACE && !(first_ended && group.members().is_empty()) {
        first_ended |= matches!(events.recv_timeout(END_INTERVAL), Ok(Event::Ended(_)));
    }
    group.kill_all();
}

/// A program that ended by itself should have ended what it started. What it did not is named and killed.
fn sweep(group: Group, program: &OsStr) {
    let left = group.members();
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|member| member.name.as_str()).collect();
        eprintln!("under-limit: {} left running: {}; killed", program.display(), names.join(", "));
        group.kill_all();
    }
}

/// The code that passes `status` on, as shells do it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| EXIT_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any script here takes, also on a busy machine.
    const AMPLE: Limits = Limits { memory_bytes_max: 1 << 30, time_max: Duration::from_secs(60) };

    fn shell(script: &str, limits: &Limits) -> End {
        let (sender, events) = sync_channel(EVENTS_MAX);
        watch(Command::new("sh").args(["-c", script]), limits, sender, &events).expect("there is a shell")
    }

    fn ended_with(script: &str) -> u8 {
        match shell(script, &AMPLE) {
            End::Own(status) => exit_code(status),
            other => panic!("{script}: {other:?}"),
        }
    }

    #[test]
    fn passes_on_the_code_and_the_signal_of_the_program() {
        assert_eq!(ended_with("exit 0"), 0);
        assert_eq!(ended_with("exit 101"), 101);
        assert_eq!(ended_with("kill -9 $$"), 137);
        assert_eq!(ended_with("kill -6 $$"), 134);
    }

    /// Proves T2.
    #[test]
    fn ends_what_runs_too_long_also_when_it_will_not_listen() {
        let limits = Limits { time_max: Duration::from_millis(100), ..AMPLE };
        assert_eq!(shell("sleep 60", &limits), End::Time);
        let started = Instant::now();
        assert_eq!(shell("trap '' TERM; while :; do sleep 1; done", &limits), End::Time);
        assert!(started.elapsed() >= GRACE, "it was given its grace");
    }

    /// Proves T2.
    #[test]
    fn ends_what_holds_too_much_together_with_what_it_started() {
        let limits = Limits { memory_bytes_max: 64 << 10, time_max: Duration::from_secs(60) };
        let end = shell("sleep 60 & sleep 60", &limits);
        assert!(matches!(end, End::Memory(held) if held > limits.memory_bytes_max), "{end:?}");
    }

    #[test]
    fn passes_on_a_signal_that_was_meant_for_it() {
        let (sender, events) = sync_channel(EVENTS_MAX);
        let teller = sender.clone();
        teller.send(Event::Told(SIGTERM)).expect("the receiver is there");
        let mut command = Command::new("sh");
        let end = watch(command.args(["-c", "sleep 60"]), &AMPLE, sender, &events);
        assert!(matches!(end, Ok(End::Own(status)) if exit_code(status) == 143), "{end:?}");
    }

    #[test]
    fn says_what_is_missing_on_the_command_line() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let line = words("--seconds 5 -- sh -c x");
        let (seconds, program, args) = parse(&line).expect("it is complete");
        assert_eq!((seconds, program, args.len()), (Some(5), OsStr::new("sh"), 2));
        for line in ["sh", "--", "--seconds x -- sh"] {
            assert!(matches!(parse(&words(line)), Err(Trouble::Usage(_))), "{line}");
        }
    }
}
