//! Collapsed stacks: one line a stack, `root;…;leaf count`, for every tool that draws flames.
//!
//! The format has no escapes. So a `;` in a name (`[u8; 4]`) becomes `:`, as inferno's own collapsers do it, and
//! whatever breaks a line becomes `?`.

use std::collections::BTreeMap;
use std::io::Write;

use crate::clean;
use crate::metric::{Metric, WriteError};
use crate::profile::{Frames, Profile};

/// The frame that a stack which could not be followed to its end begins with: it is not a root.
pub const TRUNCATED: &str = "[truncated]";
/// The frame of a stack that has none.
pub const UNKNOWN: &str = "[unknown]";

/// Writes the stacks of which `metric` is not zero, in the order of their frames from the root; equal ones are
/// one line. Counts are bytes or objects, as `metric` says. Allocates about 40 bytes for each stack and 8 for
/// each of its frames.
///
/// # Errors
/// The profile does not have `metric`; or those of `out`.
pub fn write(profile: &Profile, metric: Metric, mut out: impl Write) -> Result<(), WriteError> {
    profile.require(metric)?;
    let frames = profile.frames();
    let folded = Folded::new(profile, &frames, metric);
    for (path, count) in &folded.counts {
        let mut separator = "";
        for &name in path {
            write!(out, "{separator}{}", folded.names[name as usize])?;
            separator = ";";
        }
        writeln!(out, " {count}")?;
    }
    out.flush()?;
    Ok(())
}

/// The stacks, equal ones together, in the order of their names from the root.
pub(crate) struct Folded {
    /// The names, in order.
    pub(crate) names: Vec<String>,
    /// Paths of indices of names, root first, with what they count.
    pub(crate) counts: BTreeMap<Vec<u32>, u64>,
}

impl Folded {
    pub(crate) fn new(profile: &Profile, frames: &Frames<'_>, metric: Metric) -> Folded {
        let cleaned: Vec<String> = (0..frames.len()).map(|at| name(&frames.get(at).function)).collect();
        let mut names: Vec<String> = cleaned.clone();
        names.extend([TRUNCATED.to_owned(), UNKNOWN.to_owned()]);
        names.sort_unstable();
        names.dedup();
        let find = |name: &str| {
            let found = names.binary_search_by(|known| known.as_str().cmp(name));
            // Both the frames' and the two names of our own were put there above.
            found.expect("every name is in the list of names") as u32
        };
        let number_of: Vec<u32> = cleaned.iter().map(|name| find(name)).collect();
        let (truncated, unknown) = (find(TRUNCATED), find(UNKNOWN));
        let mut counts: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
        for stack in profile.stacks() {
            let count = metric.of(stack);
            if count == 0 {
                continue;
            }
            let mut path: Vec<u32> = stack.truncated.then_some(truncated).into_iter().collect();
            path.extend(frames.numbers(stack).rev().map(|frame| number_of[frame]));
            if path.is_empty() {
                path.push(unknown);
            }
            let sum = counts.entry(path).or_default();
            *sum = sum.saturating_add(count);
        }
        Folded { names, counts }
    }
}

/// A name that can stand in a line.
fn name(function: &str) -> String {
    let name = clean::replaced(function.trim(), &[], '?');
    let name = name.replace(';', ":");
    if name.is_empty() { UNKNOWN.to_owned() } else { name }
}
