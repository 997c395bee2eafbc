//! `live`: runs each program under `plimsoll watch`, some at a time, and scores what is said.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::answer::Answer;
use crate::building::Built;
use crate::catalogue::{self, Program};
use crate::options::Options;
use crate::process;
use crate::report;
use crate::score::Scored;
use crate::trouble::Trouble;

/// What a run may take beyond the observation: the start, the names of functions at the end, and a slow machine.
const GRACE: Duration = Duration::from_secs(90);

/// One run that is to be done.
struct Task<'a> {
    /// Its place in the result.
    number: usize,
    program: &'a Program,
    seed: u64,
}

/// The verb.
pub(crate) fn run(options: &Options) -> Result<u8, Trouble> {
    let programs = catalogue::read(&options.only)?;
    if let Some(folder) = &options.series {
        fs::create_dir_all(folder)
            .map_err(|error| Trouble::Undone(format!("{} could not be made: {error}", folder.display())))?;
    }
    eprintln!("corpus: seed {}, {} programs, {} s each", options.seed, programs.len(), options.length_s);
    let built = Built::build(&programs)?;
    let scratch = Scratch::make()?;
    let scored = run_all(options, &programs, &built, &scratch.0);
    report::finish(options, &scored)
}

/// Where outputs lie while programs run; removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Scratch, Trouble> {
        let folder = env::temp_dir().join(format!("plimsoll-corpus-{}", std::process::id()));
        fs::create_dir_all(&folder)
            .map_err(|error| Trouble::Undone(format!("{} could not be made: {error}", folder.display())))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the system's temporary folder; nothing worth a failure.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// As many at a time as was asked for; the result is in the order of the programs.
fn run_all(options: &Options, programs: &[Program], built: &Built, scratch: &Path) -> Vec<Scored> {
    let tasks = programs.iter().flat_map(|program| {
        (0..options.draws).map(move |draw| (program, seed_of(options.seed, &program.name, draw)))
    });
    let tasks = tasks.enumerate().map(|(number, (program, seed))| Task { number, program, seed });
    let waiting: Mutex<VecDeque<Task<'_>>> = Mutex::new(tasks.collect());
    let done: Mutex<Vec<(usize, Scored)>> = Mutex::default();
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(task) = next else { return };
            let answer = ask(options, built, scratch, &task);
            let scored = Scored::of(task.program, task.seed, answer);
            eprintln!("corpus: {} {}: {:?}", task.program.name, task.seed, scored.outcome);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((task.number, scored));
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, scored)| scored).collect()
}

/// Runs one program under `plimsoll watch`, and reads what it says.
fn ask(options: &Options, built: &Built, scratch: &Path, task: &Task<'_>) -> Result<Answer, String> {
    let (length_s, seed) = (options.length_s.to_string(), task.seed.to_string());
    let name = format!("{}.{seed}", task.program.name);
    let mut command = Command::new(&options.plimsoll);
    command.args(["watch", "--duration", &format!("{length_s}s"), "--json"]);
    if let Some(folder) = &options.series {
        command.arg("--series").arg(folder.join(format!("{name}.series")));
    }
    command.arg("--").args(built.command(task.program));
    command.args(["--length-s", &length_s, "--seed", &seed]);
    let within = Duration::from_secs(options.length_s) + GRACE;
    process::run(command, within, scratch, &name).and_then(|ended| Answer::read(&ended))
}

/// The seed of one run: the same for the same program, whatever else is run beside it.
fn seed_of(seed: u64, name: &str, draw: u64) -> u64 {
    // FNV-1a, which needs no more than these two numbers and is the same in every release.
    let bytes = seed.to_le_bytes().into_iter().chain(draw.to_le_bytes()).chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // Short enough to be typed again.
    (hash >> 32) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_program_and_draw_and_stay_the_same() {
        let seeds = [seed_of(7, "a", 0), seed_of(7, "a", 1), seed_of(7, "b", 0), seed_of(8, "a", 0)];
        let mut different = seeds.to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), seeds.len());
        assert_eq!(seed_of(7, "a", 0), seeds[0]);
    }
}
