//! The sampling allocator wrapper: what it costs, whether that stays so with many live samples, what a
//! snapshot costs, and what it must not spoil.

mod cost;
mod fidelity;
mod live;
mod setups;
mod snapshot;

use crate::options::Options;
use crate::report::{Report, Section};
use crate::trouble::Trouble;
use crate::workers::Workers;

/// The parts, in the order in which they are measured and printed.
pub(crate) const PARTS: [&str; 4] = ["cost", "live", "snapshot", "fidelity"];

type Measure = fn(&Options, &Workers) -> Result<Section, Trouble>;

/// Measures the parts that are wanted.
pub(crate) fn measure(options: &Options) -> Result<Report, Trouble> {
    let measures: [Measure; PARTS.len()] =
        [cost::measure, live::measure, snapshot::measure, fidelity::measure];
    eprintln!("building the workers");
    let workers = Workers::build(options)?;
    let mut report = Report { machine: crate::machine::describe(options), ..Report::default() };
    for (part, measure) in PARTS.iter().zip(measures) {
        if options.wants_part(part) {
            report.sections.push(measure(options, &workers)?);
        }
    }
    report.machine.push(("load at the end", crate::machine::load()));
    Ok(report)
}
