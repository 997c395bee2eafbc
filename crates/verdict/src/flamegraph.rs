//! The flamegraph: where the bytes are, at one look, in one SVG that needs nothing else.
//!
//! Drawn by inferno. Two of its ways are kept out: colours are taken from names, not from chance, so that two
//! pictures of one profile are the same file; and lines are handed over sorted by frames, because inferno sorts
//! them as text, where `a::b` comes between `a` and what `a` calls, and cuts the box of `a` in two.

use std::fmt::Write as _;
use std::io::Write;

use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Options, from_lines};

use crate::clean;
use crate::collapsed::Folded;
use crate::metric::{Metric, WriteError};
use crate::profile::Profile;

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlamegraphOptions {
    /// The width of a box.
    pub metric: Metric,
    /// Above the picture; any text.
    pub title: String,
}

impl Default for FlamegraphOptions {
    fn default() -> Self {
        FlamegraphOptions { metric: Metric::LiveBytes, title: "Heap".to_owned() }
    }
}

/// Draws `profile` as SVG. Allocates the text of [`crate::collapsed`] and some 60 bytes for each box.
///
/// # Errors
/// The profile does not have the metric, or it is zero everywhere; or those of `out`.
pub fn write(profile: &Profile, options: &FlamegraphOptions, out: impl Write) -> Result<(), WriteError> {
    let metric = options.metric;
    if !profile.measures(metric) {
        return Err(WriteError::NotMeasured { asked: metric, measured: profile.header().metrics.clone() });
    }
    let folded = Folded::new(profile, &profile.frames(), metric);
    if folded.counts.is_empty() {
        return Err(WriteError::Nothing(metric));
    }
    let names: Vec<String> = folded.names.iter().map(|name| drawable(name)).collect();
    let mut lines: Vec<String> = Vec::with_capacity(folded.counts.len());
    for (path, count) in &folded.counts {
        let mut line = String::new();
        for &name in path {
            line.push_str(&names[name as usize]);
            line.push(';');
        }
        line.pop();
        // Writing into a text does not fail.
        let _ = write!(line, " {count}");
        lines.push(line);
    }
    let mut drawing = Options::default();
    drawing.title = clean::line(&options.title).into_owned();
    drawing.subtitle = Some(subtitle(profile, metric));
    drawing.count_name = if metric.is_bytes() { "bytes" } else { "objects" }.to_owned();
    drawing.colors = Palette::Basic(BasicPalette::Mem);
    drawing.deterministic = true;
    // Takes the lines as they come, from the last to the first.
    drawing.flame_chart = true;
    from_lines(&mut drawing, lines.iter().rev().map(String::as_str), out)?;
    Ok(())
}

fn subtitle(profile: &Profile, metric: Metric) -> String {
    let total = profile.stacks().iter().fold(0, |sum: u64, stack| sum.saturating_add(metric.of(stack)));
    format!("{}: {}", metric.title(), metric.show(total))
}

/// A name that inferno takes as it is: it reads a number at the end as a count, `# ` at the beginning as a
/// comment and `_[x]` at the end as a mark.
fn drawable(name: &str) -> String {
    let mut name = match name.rsplit_once(' ') {
        Some((head, tail)) if tail.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            format!("{head}_{tail}")
        }
        _ => name.to_owned(),
    };
    if let Some(rest) = name.strip_prefix("# ") {
        name = format!("#_{rest}");
    }
    if name.ends_with(']') && name.contains("_[") {
        name.push('_');
    }
    name
}
