//! How old what lives is, as a row of ten bars: a cache is old and stays, a leak is of every age.

use std::io::{self, Write};

use plimsoll_core::Bytes;
use plimsoll_core::heap::{GENERATIONS, Generation};

use crate::text::table::span;

/// A generation ends after about so many of its own epochs: five or six, and each is twice as long as the one before.
const EPOCHS: u64 = 6;

/// The cell. Sorted by the age that a byte has on average.
pub(super) fn cell(
    generations: &[Generation; GENERATIONS],
    epoch_ms: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let most = generations.iter().map(|generation| generation.live_bytes).max().unwrap_or_default();
    let words = words(generations, epoch_ms);
    write!(
        out,
        "<td class=ages data-v={}><span role=img aria-label=\"{words}\" title=\"{words}\">",
        mean(generations)
    )?;
    for generation in generations {
        // What there is, is seen.
        let height = match (generation.live_bytes, most) {
            (0, _) | (_, 0) => 0,
            (bytes, most) => ((bytes as f64 * 100.0 / most as f64) as u64).max(8),
        };
        write!(out, "<i style=\"height:{height}%\"></i>")?;
    }
    write!(out, "</span></td>")
}

/// The number of the generation that a live byte is in on average, in thousandths.
fn mean(generations: &[Generation; GENERATIONS]) -> u64 {
    let weigh = |(number, generation): (usize, &Generation)| number as f64 * generation.live_bytes as f64;
    let sum: f64 = generations.iter().enumerate().map(weigh).sum();
    let all: f64 = generations.iter().map(|generation| generation.live_bytes as f64).sum();
    if all > 0.0 { (sum * 1000.0 / all) as u64 } else { 0 }
}

/// The same in words: `40MiB up to 60 s old, 2MiB older`.
fn words(generations: &[Generation; GENERATIONS], epoch_ms: u64) -> String {
    let some = generations.iter().enumerate().filter(|(_, generation)| generation.live_bytes > 0);
    let parts: Vec<String> = some
        .map(|(number, generation)| {
            let bytes = Bytes::new(generation.live_bytes);
            if number + 1 == GENERATIONS {
                return format!("{bytes} older");
            }
            let ends_ms = epoch_ms.saturating_mul(EPOCHS << number);
            format!("{bytes} up to about {} old", span(ends_ms))
        })
        .collect();
    if parts.is_empty() { "nothing lives".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_and_averaged() {
        let mut generations = [Generation::default(); GENERATIONS];
        assert_eq!((mean(&generations), words(&generations, 10_000)), (0, "nothing lives".to_owned()));
        generations[1].live_bytes = 1024;
        generations[9].live_bytes = 3072;
        assert_eq!(mean(&generations), 7000);
        assert_eq!(words(&generations, 10_000), "1KiB up to about 2 min old, 3KiB older");
        generations[9].live_bytes = u64::MAX;
        assert!(words(&generations, u64::MAX).contains("older"));
        assert_eq!(mean(&generations), 9000);
    }
}
