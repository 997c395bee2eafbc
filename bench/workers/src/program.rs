//! What all workers have in common: the command line, the order of things, and the lines that the runner
//! reads.

use std::fmt::Display;
use std::hint::black_box;
use std::process::ExitCode;

use crate::measure;
use crate::workloads;

/// Begins each line that is for the runner: heaptrack writes to the same output.
pub const LINE_PREFIX: &str = "plimsoll-bench ";

/// The size of a block that is kept, in bytes: a power of two and the smallest slot, so that what is resident
/// for it is known.
pub const KEPT_BLOCK_BYTES: usize = 64;

/// Blocks that live from before the measured loop until the end.
pub type Kept = Vec<Box<[u8]>>;

/// What an allocator setup does around the work. Dropping it ends the profiling.
pub trait Setup {
    /// Keeps that many blocks, each one followed as a sample if the setup follows anything.
    fn keep(&mut self, blocks: usize) -> Result<Kept, String> {
        let mut kept = Vec::with_capacity(blocks);
        keep_block_by_block(&mut kept, blocks);
        Ok(kept)
    }

    /// Said after the work, as `(name, number)`.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// A setup that does nothing: the bases.
pub struct Plain;

impl Setup for Plain {}

/// Adds blocks until there are `blocks`, each a single allocation that is written to.
pub fn keep_block_by_block(kept: &mut Kept, blocks: usize) {
    while kept.len() < blocks {
        kept.push(black_box(vec![kept.len() as u8; KEPT_BLOCK_BYTES]).into_boxed_slice());
    }
}

/// Says one number to the runner.
#[allow(clippy::print_stdout)] // It is what a worker is for.
pub fn say(name: &str, number: impl Display) {
    println!("{LINE_PREFIX}{name}={number}");
}

/// A worker's whole life. `begin` makes the setup of a mode and starts its profiling.
#[allow(clippy::print_stderr)]
pub fn run<S: Setup>(begin: impl FnOnce(&str) -> Result<S, String>) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match Asked::read(&args).and_then(|asked| work(&asked, begin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{}: {why}", std::env::args().next().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// The mode if there is only one.
pub fn only_mode(mode: &str, only: &str) -> Result<(), String> {
    if mode == only { Ok(()) } else { Err(format!("mode `{mode}`: there is only `{only}`")) }
}

struct Asked {
    workload: String,
    mode: String,
    warm_up: u64,
    iterations: u64,
    kept: usize,
}

impl Asked {
    fn read(args: &[String]) -> Result<Asked, String> {
        let (workload, mode, warm_up, iterations, kept) = match args {
            [workload, mode, warm_up, iterations] => (workload, mode, warm_up, iterations, "0"),
            [workload, mode, warm_up, iterations, kept] => (workload, mode, warm_up, iterations, &**kept),
            _ => return Err("asked for WORKLOAD MODE WARM_UP ITERATIONS [KEPT]".to_owned()),
        };
        Ok(Asked {
            workload: workload.clone(),
            mode: mode.clone(),
            warm_up: number(warm_up)?,
            iterations: number(iterations)?,
            kept: number(kept)? as usize,
        })
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

fn work<S: Setup>(asked: &Asked, begin: impl FnOnce(&str) -> Result<S, String>) -> Result<(), String> {
    let mut setup = begin(&asked.mode)?;
    let mut workload = workloads::named(&asked.workload)?;
    let kept = setup.keep(asked.kept)?;
    workload.run(asked.warm_up);

    let (faults, cpu) = (measure::page_faults()?, measure::cpu_ns());
    let checksum = black_box(workload.run(asked.iterations));
    let (cpu, faults) = (measure::cpu_ns() - cpu, measure::page_faults()? - faults);

    say("cpu_ns", cpu);
    say("process_cpu_ns", measure::cpu_ns());
    say("page_faults", faults);
    say("peak_bytes", measure::peak_bytes()?);
    say("warm_up", asked.warm_up);
    say("operations", workload.operations(asked.iterations));
    say("checksum", checksum);
    setup.numbers().iter().for_each(|(name, number)| say(name, number));
    drop(kept);
    Ok(())
}
