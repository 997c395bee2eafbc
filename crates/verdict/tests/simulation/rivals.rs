//! The rules that people use, on the same programs.
//!
//! They see live bytes at the same moments, of the whole process and of each site; none of them knows how old anything is,
//! for that is not to be had from a profile as people take it.

use super::scenario::Program;

/// What was measured: bytes that live, at each moment.
pub(crate) struct Lines {
    /// Of the whole process.
    total: Vec<f64>,
    /// Of each site.
    sites: Vec<(u32, Vec<f64>)>,
}

/// A rule: whether something leaks, by how much the rule is exceeded, and the site that it names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accused {
    pub(crate) is_leak: bool,
    pub(crate) site: Option<u32>,
}

/// The start of a program is let pass by everybody.
const START_PART: f64 = 0.1;

impl Lines {
    pub(crate) fn of(program: &Program) -> Lines {
        let readings = &program.readings[(program.readings.len() as f64 * START_PART) as usize..];
        let sum = |stacks: &[(u32, plimsoll_verdict::judge::StackCounts)]| -> f64 {
            stacks.iter().map(|(_, counts)| counts.live.bytes as f64).sum()
        };
        let stacks = readings.first().map_or(0, |reading| reading.stacks.len());
        let site = |nth: usize| {
            let id = readings[0].stacks[nth].0;
            (id, readings.iter().map(|reading| reading.stacks[nth].1.live.bytes as f64).collect())
        };
        Lines {
            total: readings.iter().map(|reading| sum(&reading.stacks)).collect(),
            sites: (0..stacks).map(site).collect(),
        }
    }

    /// The site that grew most, by how much, and what it had before.
    fn most_grown(&self) -> Option<(u32, f64, f64)> {
        let grown = self.sites.iter().filter_map(|(id, bytes)| {
            let (first, last) = (*bytes.first()?, *bytes.last()?);
            Some((*id, last - first, first))
        });
        grown.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// By how much live bytes grew.
    pub(crate) fn growth(&self) -> f64 {
        self.total.last().unwrap_or(&0.0) - self.total.first().unwrap_or(&0.0)
    }

    /// More than a threshold.
    pub(crate) fn threshold(&self, bytes: f64) -> Accused {
        Accused { is_leak: self.growth() > bytes, site: self.most_grown().map(|it| it.0) }
    }

    /// Live bytes rise along a line, by a t-test of its slope; the site is the one with the steepest.
    pub(crate) fn slope(&self) -> Accused {
        let steepest = self.sites.iter().max_by(|a, b| slope(&a.1).0.total_cmp(&slope(&b.1).0));
        Accused { is_leak: slope(&self.total).1 > ERRORS, site: steepest.map(|it| it.0) }
    }

    /// Live bytes of the process have a trend by the test of Mann and Kendall.
    pub(crate) fn trend(&self) -> Accused {
        Accused { is_leak: mann_kendall(&self.total) > ERRORS, site: self.most_grown().map(|it| it.0) }
    }

    /// Those of some site have.
    pub(crate) fn trend_of_sites(&self) -> Accused {
        let trending = self.sites.iter().filter(|it| mann_kendall(&it.1) > ERRORS);
        let growth = |bytes: &[f64]| bytes.last().unwrap_or(&0.0) - bytes.first().unwrap_or(&0.0);
        let most = trending.max_by(|a, b| growth(&a.1).total_cmp(&growth(&b.1)));
        Accused { is_leak: most.is_some(), site: most.map(|it| it.0) }
    }

    /// Two snapshots: what grew most is a leak if it grew by a tenth.
    pub(crate) fn two_snapshots(&self) -> Accused {
        let most = self.most_grown();
        Accused { is_leak: most.is_some_and(|it| it.1 > 0.1 * it.2.max(1.0)), site: most.map(|it| it.0) }
    }
}

/// A trend is one from so many standard errors on: one in a thousand by chance.
const ERRORS: f64 = 3.09;

/// The slope of the line through values at even times, and by how many standard errors it is above zero.
fn slope(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let at = |nth: usize| nth as f64 - middle;
    let spread: f64 = (0..values.len()).map(|nth| at(nth).powi(2)).sum();
    let slope = values.iter().enumerate().map(|(nth, value)| at(nth) * (value - mean)).sum::<f64>() / spread;
    let rest: f64 =
        values.iter().enumerate().map(|(nth, value)| (value - mean - slope * at(nth)).powi(2)).sum();
    (slope, slope / (rest / (count - 2.0).max(1.0) / spread).sqrt().max(1e-12))
}

/// By how many standard errors more pairs rise than fall.
fn mann_kendall(values: &[f64]) -> f64 {
    // Sixty values say what three hundred do.
    let every = values.len().div_ceil(60);
    let values: Vec<f64> = values.iter().copied().step_by(every).collect();
    let mut sum = 0.0;
    for (nth, a) in values.iter().enumerate() {
        for b in &values[nth + 1..] {
            sum += (b - a).partial_cmp(&0.0).map_or(0.0, |order| f64::from(order as i8));
        }
    }
    let count = values.len() as f64;
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    sum / variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_slope_and_noise_has_none() {
        let mut rng = fastrand::Rng::with_seed(3);
        let noise: Vec<f64> = (0..100).map(|_| rng.f64()).collect();
        assert!(slope(&noise).1.abs() < ERRORS && mann_kendall(&noise).abs() < ERRORS);
        let line: Vec<f64> = noise.iter().enumerate().map(|(nth, it)| nth as f64 / 10.0 + it).collect();
        assert!((slope(&line).0 - 0.1).abs() < 0.01);
        assert!(slope(&line).1 > 20.0 && mann_kendall(&line) > 8.0);
    }
}
