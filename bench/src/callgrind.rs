//! Instructions for one operation: counted, not timed, so the same on a loaded machine.
//!
//! A worker is run twice, with N iterations and with 2N; the difference is N iterations without start, warm-up
//! and end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::trouble::Trouble;
use crate::workers::{Call, Reading, Workers};

/// The line in which callgrind says how many instructions there were.
const SIGN: &str = "Collected :";

/// What is to be counted: the same work with N and with 2N iterations.
pub(crate) struct Counted {
    pub(crate) once: Call,
    pub(crate) twice: Call,
}

/// Instructions for one operation of each. Runs as many at a time as there are cores: counts do not mind.
pub(crate) fn instructions(workers: &Workers, all: &[Counted]) -> Result<Vec<f64>, Trouble> {
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<Result<f64, Trouble>>> = all.iter().map(|_| OnceLock::new()).collect();
    let count = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (Some(counted), Some(result)) = (all.get(number), results.get(number)) else { return };
            result.get_or_init(|| per_operation(workers, counted));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(count)));
    });
    // Each number was drawn by one of the threads, and all have ended.
    results.into_iter().map(|result| result.into_inner().expect("each was counted")).collect()
}

fn per_operation(workers: &Workers, counted: &Counted) -> Result<f64, Trouble> {
    let (once, twice) = (workers.run(&counted.once)?, workers.run(&counted.twice)?);
    let instructions = collected(&twice)? - collected(&once)?;
    Ok(instructions / (twice.number("operations")? - once.number("operations")?))
}

fn collected(reading: &Reading) -> Result<f64, Trouble> {
    let after = reading.talk.split_once(SIGN).map(|(_, after)| after.trim_start());
    let number = after.and_then(|after| after.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Trouble::Undone(format!("callgrind does not say `{SIGN}`:\n{}", reading.talk)))
}
