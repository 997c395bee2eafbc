//! `replay DIR`: judges again what `live --series DIR` kept, and scores it. Takes seconds instead of an hour, and gives the
//! same answer each time: so a change of the judge can be seen for what it is.

use std::fs;
use std::path::Path;

use plimsoll_verdict::ReadLimits;
use plimsoll_verdict::judge::{self, Known, Options as JudgeOptions, Outcome, recorded};

use crate::answer::Answer;
use crate::catalogue::{self, Program};
use crate::options::Options;
use crate::process::Ended;
use crate::report;
use crate::score::Scored;
use crate::trouble::Trouble;

/// How the file of a series is named after the program and the seed.
const ENDING: &str = ".series";

/// The verb.
pub(crate) fn run(options: &Options) -> Result<u8, Trouble> {
    let Some(folder) = &options.series else {
        return Err(Trouble::Usage(
            "replay needs --series DIR, the folder that `live --series DIR` wrote".into(),
        ));
    };
    let programs = catalogue::read(&options.only)?;
    let unreadable =
        |error: std::io::Error| Trouble::Undone(format!("{} cannot be read: {error}", folder.display()));
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().into_string().ok());
    }
    names.sort();
    let mut scored = Vec::new();
    for name in names {
        let Some((program, seed)) = of_name(&name, &programs) else { continue };
        scored.push(Scored::of(program, seed, again(&folder.join(&name))));
    }
    if scored.is_empty() {
        return Err(Trouble::Undone(format!("{} holds no series of these programs", folder.display())));
    }
    report::finish(options, &scored)
}

/// The program and the seed that a file is named after.
fn of_name<'a>(file: &str, programs: &'a [Program]) -> Option<(&'a Program, u64)> {
    let (name, seed) = file.strip_suffix(ENDING)?.rsplit_once('.')?;
    let program = programs.iter().find(|program| program.name == name)?;
    Some((program, seed.parse().ok()?))
}

/// What is said of a series today.
fn again(path: &Path) -> Result<Answer, String> {
    let bytes = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let recorded = recorded::read(&bytes, &ReadLimits::default()).map_err(|error| error.to_string())?;
    let judged = recorded
        .into_iter()
        .map(|it| {
            let verdict =
                judge::judge(&it.series, it.names.as_ref(), &Known::default(), &JudgeOptions::default());
            (it.owner, verdict)
        })
        .collect();
    let verdict = judge::several(judged).ok_or("it has no process")?;
    let code = match verdict.outcome {
        Outcome::Clean => 0,
        Outcome::Leak => 1,
        Outcome::Undecided => 3,
    };
    let mut output = Vec::new();
    judge::write(&verdict, &mut output).map_err(|error| error.to_string())?;
    let output = String::from_utf8_lossy(&output).into_owned();
    Answer::read(&Ended { code: Some(code), output, errors: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_a_program_and_a_seed() {
        let programs = catalogue::read(&[]).expect("the programs are there");
        let (program, seed) = of_name("leak_arc_cycle.77.series", &programs).expect("it is one");
        assert_eq!((&*program.name, seed), ("leak_arc_cycle", 77));
        for other in ["leak_arc_cycle.series", "leak_arc_cycle.x.series", "none.7.series", "notes.txt"] {
            assert!(of_name(other, &programs).is_none(), "{other}");
        }
    }
}
