//! A quantity over time as a small picture: an area under a line, with its ends written beside it.

use std::fmt::Write as _;
use std::io::{self, Write};

use plimsoll_core::Bytes;

use super::page::text;

/// The picture's own units; the browser stretches it to the width that there is.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 90.0;
/// More points than this cannot be told apart at that width.
const POINTS_MAX: usize = 300;

/// Writes the picture of `points` (seconds and bytes), from zero up to a little above the largest. Nothing for fewer than
/// two points.
pub(super) fn write(what: &str, points: &[(f64, u64)], out: &mut impl Write) -> io::Result<()> {
    let (Some(&(begin_s, first)), Some(&(end_s, last))) = (points.first(), points.last()) else {
        return Ok(());
    };
    let most = points.iter().map(|it| it.1).max().unwrap_or(0);
    if points.len() < 2 || end_s <= begin_s || most == 0 {
        return Ok(());
    }
    let step = points.len().div_ceil(POINTS_MAX);
    let x = |at_s: f64| (at_s - begin_s) / (end_s - begin_s) * WIDTH;
    let y = |bytes: u64| HEIGHT - bytes as f64 / (most as f64 * 1.05) * HEIGHT;
    let mut line = String::new();
    for (nth, &(at_s, bytes)) in points.iter().enumerate() {
        if nth % step == 0 || nth + 1 == points.len() {
            // Writing into text does not fail.
            let _ = write!(line, "{:.1},{:.1} ", x(at_s), y(bytes));
        }
    }
    let said = format!("{what}: {} at first, {} at last, {} at most", show(first), show(last), show(most));
    writeln!(
        out,
        "<figure class=plot><svg class=plot viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=none role=img \
         aria-label=\"{0}\"><polygon points=\"0,{HEIGHT} {line}{WIDTH},{HEIGHT}\"/><polyline points=\"{line}\"/></svg>\
         <figcaption>{0}, in {1:.0} s</figcaption></figure>",
        text(&said),
        end_s - begin_s
    )
}

fn show(bytes: u64) -> String {
    Bytes::new(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_both_ends_and_few_points() {
        let points: Vec<(f64, u64)> = (0..10_000).map(|nth| (f64::from(nth), 1000 + nth as u64)).collect();
        let mut page = Vec::new();
        write("resident <memory>", &points, &mut page).expect("memory");
        let page = String::from_utf8(page).expect("text");
        assert!(page.contains("resident &lt;memory&gt;: 1000B at first"), "{page}");
        assert!(page.len() < 20_000);
        let mut nothing = Vec::new();
        write("x", &points[..1], &mut nothing).expect("memory");
        assert!(nothing.is_empty());
    }
}
