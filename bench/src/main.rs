//! `plimsoll-bench SUBJECT`: measures what a part of Plimsoll costs, beside its rivals, and judges it by limits
//! that were fixed beforehand. This file only chooses; each subject has its folder.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Printing is what a command line is for.

mod callgrind;
mod heap;
mod limits;
mod machine;
mod options;
mod preload;
mod report;
mod rounds;
mod statistics;
mod trouble;
mod workers;

use std::process::ExitCode;

use options::Options;
use report::{Report, Verdict};
use trouble::Trouble;

/// A subject: its name on the command line, what it measures, its parts, and what does it.
struct Subject {
    name: &'static str,
    about: &'static str,
    parts: &'static [&'static str],
    measure: fn(&Options) -> Result<Report, Trouble>,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "heap",
        about: "the sampling allocator wrapper against jemalloc, dhat and heaptrack",
        parts: &heap::PARTS,
        measure: heap::measure,
    },
    Subject {
        name: "preload",
        about: "`plimsoll record` around programs that were not written for it, against heaptrack and memray",
        parts: &preload::PARTS,
        measure: preload::measure,
    },
];

/// A limit is exceeded.
const EXIT_BAD: u8 = 1;
/// It could not be measured, or not all of it and nothing else is over.
const EXIT_UNDONE: u8 = 2;
/// Something is over its limit, but by less than this machine can tell.
const EXIT_UNDECIDED: u8 = 3;
/// Asked in a way that is not understood.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(Trouble::Usage(why)) => {
            eprintln!("plimsoll-bench: {why}\n\n{}", usage());
            ExitCode::from(EXIT_USAGE)
        }
        Err(Trouble::Undone(why)) => {
            eprintln!("plimsoll-bench: {why}");
            ExitCode::from(EXIT_UNDONE)
        }
    }
}

fn run() -> Result<u8, Trouble> {
    let options = Options::read(std::env::args().skip(1))?;
    let found = SUBJECTS.iter().find(|subject| subject.name == options.subject);
    let subject =
        found.ok_or_else(|| Trouble::Usage(format!("there is no subject `{}`", options.subject)))?;
    options.check_parts(subject.parts)?;
    let report = (subject.measure)(&options)?;
    print!("{}", report.text());
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", report.json(&options));
        std::fs::write(path, text)
            .map_err(|error| Trouble::Undone(format!("{} could not be written: {error}", path.display())))?;
    }
    Ok(match report.worst() {
        Verdict::Over => EXIT_BAD,
        Verdict::Unmeasured => EXIT_UNDONE,
        Verdict::PerhapsOver => EXIT_UNDECIDED,
        Verdict::NoLimit | Verdict::Within | Verdict::PerhapsWithin => 0,
    })
}

fn usage() -> String {
    let mut text = String::from("usage: plimsoll-bench SUBJECT [OPTION...]\n\n");
    for subject in &SUBJECTS {
        text += &format!("  {}  {}; parts: {}\n", subject.name, subject.about, subject.parts.join(", "));
    }
    text + options::USAGE
}
