//! `plimsoll record` around programs that were not written for it: what it costs them, beside what heaptrack and
//! memray cost, and that they do the same as without it.
//!
//! A program that was not followed would look cheap, and one that failed too: a figure counts only if the
//! profile holds samples and the program said what it says alone. Where it does not, the row is not measured, which
//! is no pass.

mod process;
mod programs;
mod redis;
mod setups;
mod table;
mod tools;

use std::collections::HashMap;

use crate::options::Options;
use crate::report::Report;
use crate::rounds;
use crate::trouble::Trouble;
use crate::workers::Workers;

use programs::{Program, Run};
use setups::Setup;
use tools::Tools;

/// The part that is computed from the runs of the others.
const CAPTURE: &str = "capture";
/// The parts, in the order in which they are measured and printed.
pub(crate) const PARTS: [&str; 5] = ["redis", "python", "node", "rust", CAPTURE];

/// What a run gave, or why it gave nothing.
type Outcome = Result<Run, String>;

/// A program, its setups with the base first and last, and the outcomes by setup, then by round.
struct Measured {
    program: Program,
    setups: Vec<Setup>,
    outcomes: Vec<Vec<Outcome>>,
}

/// Measures the parts that are wanted.
pub(crate) fn measure(options: &Options) -> Result<Report, Trouble> {
    let tools = Tools::find(options)?;
    eprintln!("building the worker");
    let workers = Workers::build_bases()?;
    let memray = setups::wants_memray(options).then(|| tools.memray(workers.target()));
    let mut report = Report { machine: crate::machine::describe(options), ..Report::default() };
    report.machine.extend(tools.versions(memray.as_ref()));

    // Asked for the captures alone, all programs are run, in the two ways that it takes.
    let captures_only = PARTS.iter().all(|part| *part == CAPTURE || !options.wants_part(part));
    let wanted = |program: &Program| captures_only || options.wants_part(program.part);
    let programs: Vec<Program> =
        programs::all(options, &tools, &workers).into_iter().filter(wanted).collect();
    let setups: Vec<Vec<Setup>> =
        programs.iter().map(|program| setups::of(program, options, captures_only)).collect();
    let calls: Vec<Vec<(usize, usize)>> = setups
        .iter()
        .enumerate()
        .map(|(program, setups)| (0..setups.len()).map(|setup| (program, setup)).collect())
        .collect();
    let around = setups::Around { tools: &tools, memray: memray.as_ref(), scratch: workers.scratch() };
    // What failed once is not waited for again: a hang takes minutes to be known as one.
    let mut failed: HashMap<(usize, &str), String> = HashMap::new();
    let outcomes = rounds::interleaved("preload", options.rounds, &calls, |&(program, setup)| {
        let key = (program, setups[program][setup].name);
        if let Some(why) = failed.get(&key) {
            return Ok(Err(why.clone()));
        }
        let outcome = programs[program].run(&setups[program][setup], &around);
        if let Err(why) = &outcome {
            eprintln!("preload: {}, {}: {why}", programs[program].name, key.1);
            failed.insert(key, why.clone());
        }
        Ok(outcome)
    })?;
    let measured: Vec<Measured> = programs
        .into_iter()
        .zip(setups)
        .zip(outcomes)
        .map(|((program, setups), outcomes)| Measured { program, setups, outcomes })
        .collect();
    if !captures_only {
        report.sections.push(table::costs(&measured));
    }
    if options.wants_part(CAPTURE) {
        report.sections.push(table::captures(&measured));
    }
    report.machine.push(("load at the end", crate::machine::load()));
    Ok(report)
}
