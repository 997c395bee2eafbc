//! The flamegraph: where the bytes are, at one look, in one SVG that needs nothing else.
//!
//! Drawn by inferno. Three of its ways are kept out. Colours are taken from names, not from chance, so that two
//! pictures of one profile are the same file. Lines are handed over sorted by frames, because inferno sorts them
//! as text, where `a::b` comes between `a` and what `a` calls, and cuts the box of `a` in two. And what is too
//! narrow to be drawn is cut off before: inferno holds every box before it leaves most of them out, 600 MB of them
//! for 100,000 stacks, in a process that somebody looks at because it has no memory left.

use std::io::Write;

use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Options, from_lines};

use crate::clean;
use crate::collapsed::Folded;
use crate::metric::{Metric, WriteError};
use crate::profile::Profile;

/// Boxes narrower than this share of the picture, in percent, are not drawn.
const WIDTH_PERCENT_MIN: f64 = 0.01;

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

/// Draws `profile` as SVG. Allocates about 40 bytes for each stack and 8 for each of its
/// frames, and the text of what is wide enough to be drawn.
///
/// # Errors
/// The profile does not have the metric, or it is zero everywhere; or those of `out`.
pub fn write(profile: &Profile, options: &FlamegraphOptions, out: impl Write) -> Result<(), WriteError> {
    let metric = options.metric;
    profile.require(metric)?;
    let folded = Folded::new(profile, &profile.frames(), metric);
    if folded.counts.is_empty() {
        return Err(WriteError::Nothing(metric));
    }
    let names: Vec<String> = folded.names.iter().map(|name| drawable(name)).collect();
    let paths: Vec<(&[u32], u64)> = folded.counts.iter().map(|(path, &count)| (&path[..], count)).collect();
    let total: f64 = paths.iter().map(|&(_, count)| count as f64).sum();
    let depths = drawn_depths(&paths, total * WIDTH_PERCENT_MIN / 100.0);
    let mut lines: Vec<String> = Vec::new();
    let mut rest = paths.iter().zip(depths).map(|(&(path, count), depth)| (&path[..depth], count)).peekable();
    while let Some((path, mut count)) = rest.next() {
        while let Some((_, more)) = rest.next_if(|&(next, _)| next == path) {
            count = count.saturating_add(more);
        }
        let path: Vec<&str> = path.iter().map(|&name| names[name as usize].as_str()).collect();
        lines.push(format!("{} {count}", path.join(";")));
    }
    let mut drawing = Options::default();
    drawing.title = clean::line(&options.title).into_owned();
    drawing.subtitle = Some(subtitle(profile, metric));
    drawing.count_name = if metric.is_bytes() { "bytes" } else { "objects" }.to_owned();
    drawing.colors = Palette::Basic(BasicPalette::Mem);
    drawing.deterministic = true;
    drawing.min_width = WIDTH_PERCENT_MIN;
    // Takes the lines as they come, from the last to the first.
    drawing.flame_chart = true;
    from_lines(&mut drawing, lines.iter().rev().map(String::as_str), out)?;
    Ok(())
}

/// Of each of the sorted `paths`, how many of its frames are in boxes of at least `least`; one at least, so that
/// nothing is lost of the whole.
fn drawn_depths(paths: &[(&[u32], u64)], least: f64) -> Vec<usize> {
    let mut depths: Vec<usize> = paths.iter().map(|(path, _)| path.len()).collect();
    // By depth the box that the last path is in: the path where it began, and how wide it is so far.
    let mut open: Vec<(usize, u64)> = Vec::new();
    let mut last: &[u32] = &[];
    // The end closes every box.
    for (at, &(path, count)) in paths.iter().chain([&(&[][..], 0)]).enumerate() {
        let shared = last.iter().zip(path).take_while(|(a, b)| a == b).count();
        while open.len() > shared {
            let depth = open.len() - 1;
            let Some((begin, width)) = open.pop() else { break };
            if (width as f64) < least {
                depths[begin..at].iter_mut().for_each(|drawn| *drawn = depth.max(1).min(*drawn));
            }
        }
        open.resize(path.len(), (at, 0));
        open.iter_mut().for_each(|(_, width)| *width = width.saturating_add(count));
        last = path;
    }
    depths
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_narrow_is_cut_at_its_first_narrow_box() {
        let paths: [(&[u32], u64); 6] = [
            (&[1], 5),
            (&[1, 2, 3], 50),
            (&[1, 2, 4], 4),
            (&[1, 2, 5, 6], 4),
            (&[1, 2, 5, 7], 5),
            (&[9, 9], 1),
        ];
        assert_eq!(drawn_depths(&paths, 9.0), [1, 3, 2, 3, 3, 1]);
        assert_eq!(drawn_depths(&paths, 0.0), [1, 3, 3, 4, 4, 2]);
        assert_eq!(drawn_depths(&paths, 1000.0), [1, 1, 1, 1, 1, 1]);
        assert_eq!(drawn_depths(&[], 1.0), [0; 0]);
    }
}
