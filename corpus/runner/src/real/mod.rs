//! `real`: healthy programs that nobody here wrote, with load on them from the moment they listen to the end of the
//! watch. None of them leaks, so whoever is accused is accused falsely, until it is shown that its memory truly grows.
//!
//! ```text
//! plimsoll watch ── starts ──► PROGRAM ── says that it listens ──► loads, round after round, until the watch ends
//! ```
//!
//! A program that is not installed is skipped, and one whose load fails before the end has no answer: to be found healthy
//! while nothing was asked of it is worth nothing.

mod client;
mod load;
mod programs;
mod report;
mod room;

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::options::Options;
use crate::process::{Ended, Running};
use crate::trouble::Trouble;
use load::{Load, Stop};
use programs::{Program, Started};
use room::Room;

/// What a run may take beyond the observation: the end of the program, and the names of functions.
const GRACE: Duration = Duration::from_secs(120);
/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(60);
/// A program logs what it likes; so much of a line and of all lines is kept, in bytes.
const LINE_MAX: u64 = 4096;
const ERRORS_MAX: usize = 4096;

/// What became of one program.
pub(crate) enum Fate {
    /// What it needs is not here: each program that is missing, with the package that has it.
    Skipped(Vec<String>),
    /// There is no answer, or it is worth nothing; says why.
    Failed(String),
    /// The answer, and how many rounds of load the program did meanwhile.
    Judged(Box<Answer>, u64),
}

/// The verb.
pub(crate) fn run(options: &Options) -> Result<u8, Trouble> {
    let all = programs::all().into_iter().filter(|program| {
        options.only.is_empty() || options.only.iter().any(|part| program.name.contains(part.as_str()))
    });
    let programs: Vec<Program> = all.collect();
    if programs.is_empty() {
        return Err(Trouble::Usage("no program has such a name".to_owned()));
    }
    let plimsoll = room::find(&options.plimsoll)
        .ok_or_else(|| Trouble::Undone(format!("{} is not there", options.plimsoll.display())))?;
    if let Some(folder) = &options.series {
        fs::create_dir_all(folder)
            .map_err(|error| Trouble::Undone(format!("{} could not be made: {error}", folder.display())))?;
    }
    eprintln!("corpus: {} programs, {} s each", programs.len(), options.length_s);
    report::finish(options, &run_all(options, &plimsoll, &programs))
}

/// As many at a time as was asked for; the result is in the order of the programs.
fn run_all(options: &Options, plimsoll: &Path, programs: &[Program]) -> Vec<(&'static str, Fate)> {
    let waiting: Mutex<VecDeque<(usize, &Program)>> = Mutex::new(programs.iter().enumerate().collect());
    let done: Mutex<Vec<(usize, &'static str, Fate)>> = Mutex::default();
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, program)) = next else { return };
            let fate = ask(options, plimsoll, program).unwrap_or_else(Fate::Failed);
            eprintln!("corpus: {}: {}", program.name, report::in_a_word(&fate));
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, program.name, fate));
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, ..)| *number);
    done.into_iter().map(|(_, name, fate)| (name, fate)).collect()
}

/// Watches one program, and puts its load on it.
fn ask(options: &Options, plimsoll: &Path, program: &Program) -> Result<Fate, String> {
    let missing = program.missing();
    if !missing.is_empty() {
        return Ok(Fate::Skipped(missing));
    }
    let room = Room::make(program.name)?;
    let Some(started) = (program.start)(&room, plimsoll)? else {
        return Ok(Fate::Skipped(vec![program.otherwise.to_owned()]));
    };
    let series = room.folder.join("answer.series");
    let (watch, heard) = watch(options, plimsoll, &room, &started, &series)?;
    let begun = Instant::now();
    if let Some(sign) = started.sign {
        wait_for(sign, &heard)?;
    }
    let stop = Stop::default();
    if let Some(first) = &started.first {
        first.round(&stop)?;
    }
    let within = Duration::from_secs(options.length_s) + GRACE;
    let (code, worked) = thread::scope(|scope| {
        let stop = &stop;
        let loads: Vec<_> = started.loads.iter().map(|load| scope.spawn(move || work(load, stop))).collect();
        let code = watch.wait(within, &|| false);
        stop.now();
        let worked: Vec<Worked> = loads.into_iter().filter_map(|load| load.join().ok()).collect();
        (code, worked)
    });
    let code = code?;
    let output = fs::read(room.folder.join(ANSWER)).unwrap_or_default();
    let output = String::from_utf8_lossy(&output).into_owned();
    let answer = Answer::read(&Ended { code, output, errors: heard.last_said() })?;
    if let Some(folder) = &options.series {
        let kept = folder.join(format!("{}.series", program.name));
        fs::copy(&series, &kept).map_err(|error| format!("{} was not kept: {error}", kept.display()))?;
    }
    // At the end of the watch the program goes, and its load with it.
    let end = begun + Duration::from_secs(options.length_s);
    let mut failed = worked.iter().filter_map(|worked| worked.failed.as_ref());
    if let Some(failed) = failed.find(|failed| failed.at < end) {
        return Err(format!("its load ended {:?} too early: {}", end - failed.at, failed.why));
    }
    if let Some(code) = answer.whole["target"]["exit_code"].as_i64() {
        return Err(format!("ended by itself with code {code}: {}", heard.last_said()));
    }
    let rounds = worked.iter().map(|worked| worked.rounds).sum();
    if rounds == 0 && !started.loads.is_empty() {
        return Err("not one round of its load was done".to_owned());
    }
    Ok(Fate::Judged(Box::new(answer), rounds))
}

/// Where the answer is written, in the room.
const ANSWER: &str = "answer.json";

/// Starts the program under `plimsoll watch`.
fn watch(
    options: &Options,
    plimsoll: &Path,
    room: &Room,
    started: &Started,
    series: &Path,
) -> Result<(Running, Heard), String> {
    let mut command = Command::new(plimsoll);
    command.args(["watch", "--json", "--duration", &format!("{}s", options.length_s)]);
    if options.series.is_some() {
        command.arg("--series").arg(series);
    }
    command.arg("--").args(&started.command);
    let answer = room.folder.join(ANSWER);
    let file = fs::File::create(&answer).map_err(|error| format!("{}: {error}", answer.display()))?;
    // There, no settings of ours are found; and what the program leaves behind goes with the room.
    command.current_dir(&room.folder).envs(started.variables.iter().cloned());
    command.stdin(Stdio::null()).stdout(file).stderr(Stdio::piped());
    if let Some((user, group)) = started.owner {
        command.uid(user).gid(group);
    }
    let mut running = Running::start(&mut command)?;
    let errors = running.errors().ok_or("its standard error is not there")?;
    Ok((running, Heard::of(errors)))
}

/// Waits for what a program says when it listens.
fn wait_for(sign: &str, heard: &Heard) -> Result<(), String> {
    let end = Instant::now() + START;
    loop {
        match heard.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(sign) => return Ok(()),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Err(format!("did not say `{sign}` within {START:?}")),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("ended before it listened: {}", heard.last_said()));
            }
        }
    }
}

/// What is written to the standard error of a watch, the program's output included. It is read for as long as anybody can
/// write to it, so that nobody waits for us.
struct Heard {
    /// The first lines; those after the first `LINES_MAX` are not sent.
    lines: Receiver<String>,
    last: Arc<Mutex<Vec<u8>>>,
}

/// The sign of a program is among so many lines.
const LINES_MAX: usize = 1000;

impl Heard {
    fn of(errors: impl Read + Send + 'static) -> Heard {
        let (sender, lines) = channel();
        let last = Arc::new(Mutex::new(Vec::new()));
        let heard = Heard { lines, last: Arc::clone(&last) };
        // Not waited for: a process that outlives the watch would hold it up.
        thread::spawn(move || {
            let mut errors = BufReader::new(errors);
            let mut line = Vec::new();
            let mut sender = Some(sender);
            for number in 0.. {
                line.clear();
                match errors.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                last.extend_from_slice(&line);
                let surplus = last.len().saturating_sub(ERRORS_MAX);
                last.drain(..surplus);
                if number == LINES_MAX {
                    sender = None;
                }
                if let Some(sender) = &sender {
                    // Nobody listens any more once the sign was seen and the watch is over.
                    sender.send(String::from_utf8_lossy(&line).into_owned()).ok();
                }
            }
        });
        heard
    }

    fn last_said(&self) -> String {
        String::from_utf8_lossy(&self.last.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// What a load came to.
struct Worked {
    rounds: u64,
    failed: Option<Failed>,
}

struct Failed {
    at: Instant,
    why: String,
}

/// Round after round until it is told to stop, or one fails.
fn work(load: &Load, stop: &Stop) -> Worked {
    let mut rounds = 0;
    while !stop.is_now() {
        if let Err(why) = load.round(stop) {
            let failed = (!stop.is_now()).then(|| Failed { at: Instant::now(), why });
            return Worked { rounds, failed };
        }
        rounds += 1;
    }
    Worked { rounds, failed: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_first_and_last_is_heard() {
        let heard = Heard::of(&b"begins\nlistens on 7\nends\n"[..]);
        wait_for("listens", &heard).expect("it says so");
        let never = wait_for("serves", &heard).expect_err("it does not");
        assert!(never.starts_with("ended before it listened: begins"), "{never}");
    }

    #[test]
    fn a_load_goes_on_until_it_is_stopped_or_fails() {
        let stop = Stop::default();
        let failed = work(&Load::command("false"), &stop).failed.expect("it fails");
        assert!(failed.why.contains("ended with Some(1)"), "{}", failed.why);
        let worked = thread::scope(|scope| {
            let working = scope.spawn(|| work(&Load::command("sleep 60"), &stop));
            stop.now();
            working.join().expect("it does not panic")
        });
        assert!(worked.failed.is_none() && worked.rounds == 0);
    }
}
