//! One file that a browser opens without asking anybody: what holds the memory, as a table and as a picture.
//!
//! Such a file is sent to colleagues and kept with tickets, and is opened years later beside names that a stranger
//! chose. So everything is in it (style, script, picture), its own policy forbids the browser to fetch anything, and
//! every text of the profile is escaped in one place (`page::text`). It works without its script: all rows and
//! stacks are in the file, and only sorting, searching and folding need it.

mod ages;
mod changes;
mod facts;
mod page;
mod plot;
mod rows;
mod verdict;

use std::io::Write;

use crate::clean;
use crate::diff::Diff;
use crate::flamegraph::{self, FlamegraphOptions};
use crate::library::file_name;
use crate::metric::{Metric, WriteError};
use crate::profile::Profile;

pub use verdict::write_verdict;

/// How much is in a page. With the default a page has some megabytes; names of strangers (300 characters each, and
/// 100 of a path) can make it `rows_max` × `stack_frames_max` × 500 bytes, and the picture some megabytes more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HtmlOptions {
    /// By what rows are sorted at first, and the width of a box in the picture.
    pub metric: Metric,
    /// Rows of the table. Those that are left out are counted below it.
    pub rows_max: usize,
    /// Frames of a row's stack, from the leaf. Those that are left out are counted below it.
    pub stack_frames_max: usize,
}

impl Default for HtmlOptions {
    fn default() -> Self {
        HtmlOptions { metric: Metric::LiveBytes, rows_max: 500, stack_frames_max: 128 }
    }
}

/// Writes the page of a profile. Allocates what [`flamegraph::write`] does and the picture itself, about 400 bytes
/// for each site, and nothing for what is on the page.
///
/// # Errors
/// The profile does not have the metric; or those of `out`. A profile in which it is zero is a page that says so.
pub fn write(profile: &Profile, options: &HtmlOptions, mut out: impl Write) -> Result<(), WriteError> {
    let metric = options.metric;
    profile.require(metric)?;
    let picture = picture(profile, metric)?;
    let title = match profile.mappings().first().map(|program| file_name(&program.path)) {
        Some(name) if !name.is_empty() => format!("Heap of {}", clean::shortened(name, 80)),
        _ => "Heap profile".to_owned(),
    };
    page::begin(&title, &mut out)?;
    facts::of_profile(profile, &title, &mut out)?;
    rows::write(profile, options, &mut out)?;
    writeln!(out, "<section aria-labelledby=flame-h><h2 id=flame-h>Flamegraph</h2>")?;
    match &picture {
        Some(picture) => {
            writeln!(
                out,
                "<p class=note>A box is a function, as wide as the {} of all that it called. Click one to look \
                 closer. The table above has the same numbers.</p>\n<div class=flame>{picture}</div>",
                metric.title()
            )?;
        }
        None => writeln!(out, "<p>There is nothing to draw: {} are zero.</p>", metric.title())?,
    }
    writeln!(out, "</section>")?;
    page::end(&mut out)?;
    Ok(())
}

/// Writes the page of a comparison.
///
/// # Errors
/// Those of `out`.
pub fn write_diff(diff: &Diff, options: &HtmlOptions, mut out: impl Write) -> std::io::Result<()> {
    let title = "Heap growth";
    page::begin(title, &mut out)?;
    facts::of_diff(diff, title, &mut out)?;
    changes::write(diff, options, &mut out)?;
    page::end(&mut out)
}

/// The flamegraph as an element of a page: its beginning is that of a file of its own, which ends at the root.
fn picture(profile: &Profile, metric: Metric) -> Result<Option<String>, WriteError> {
    let options = FlamegraphOptions { metric, title: String::new() };
    let mut file = Vec::new();
    match flamegraph::write(profile, &options, &mut file) {
        Ok(()) => {}
        Err(WriteError::Nothing(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut picture = String::from_utf8_lossy(&file).into_owned();
    let root = picture.find("<svg").unwrap_or(picture.len());
    picture.drain(..root);
    Ok(Some(picture))
}
