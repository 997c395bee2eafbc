//! `corpus VERB`: asks Plimsoll about programs of which the truth is known, and counts how often it is right. This
//! file only chooses; each verb has its module.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Printing is what a command line is for.

mod answer;
mod building;
mod catalogue;
mod columns;
mod live;
mod marks;
mod names;
mod options;
mod process;
mod real;
mod replay;
mod report;
mod score;
mod thresholds;
mod trouble;

use std::process::ExitCode;

use catalogue::Program;
use options::Options;
use trouble::Trouble;

/// A verb: its name on the command line, what it does, and what does it. Returns the exit code.
struct Verb {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<u8, Trouble>,
}

const VERBS: [Verb; 4] = [
    Verb {
        name: "live",
        about: "runs every program under `plimsoll watch` and scores the answers",
        run: live::run,
    },
    Verb { name: "replay", about: "judges again what `live --series DIR` kept", run: replay::run },
    Verb {
        name: "real",
        about: "runs healthy real programs under load, of which none may be accused",
        run: real::run,
    },
    Verb { name: "list", about: "the programs with their labels", run: list },
];

/// A figure is below its threshold.
const EXIT_BAD: u8 = 1;
/// It could not be done, or not all of it and no figure is bad.
const EXIT_UNDONE: u8 = 2;
/// Asked in a way that is not understood.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(Trouble::Usage(why)) => {
            eprintln!("corpus: {why}\n\n{}", usage());
            ExitCode::from(EXIT_USAGE)
        }
        Err(Trouble::Undone(why)) => {
            eprintln!("corpus: {why}");
            ExitCode::from(EXIT_UNDONE)
        }
    }
}

fn run() -> Result<u8, Trouble> {
    let options = Options::read(std::env::args().skip(1))?;
    let verb = VERBS.iter().find(|verb| verb.name == options.verb);
    let verb = verb.ok_or_else(|| Trouble::Usage(format!("there is no verb `{}`", options.verb)))?;
    (verb.run)(&options)
}

fn list(options: &Options) -> Result<u8, Trouble> {
    let programs = catalogue::read(&options.only)?;
    let width = programs.iter().map(|program| program.name.len()).max().unwrap_or_default();
    for Program { name, leaks, marks, .. } in &programs {
        let label = if *leaks { "leaks" } else { "fine" };
        let marks: Vec<String> = marks.iter().map(ToString::to_string).collect();
        println!("{}", format!("{name:<width$}  {label:<5}  {}", marks.join(", ")).trim_end());
    }
    let leaking = programs.iter().filter(|program| program.leaks).count();
    println!("{leaking} leak, {} do not", programs.len() - leaking);
    Ok(0)
}

fn usage() -> String {
    let mut text = String::from("usage: corpus VERB [OPTION...]\n\n");
    for verb in &VERBS {
        text += &format!("  {}  {}\n", verb.name, verb.about);
    }
    text + options::USAGE
}
