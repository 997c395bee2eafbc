//! What may be said from a handful of noisy figures: the middle one, the extremes, and between which two the
//! true middle lies.

/// The interval around the median covers the true one at least this often.
const CONFIDENCE: f64 = 0.9;

/// Figures of one kind, sorted; never empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// None of no figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        (!figures.is_empty()).then_some(Spread(figures))
    }

    /// The middle figure, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { self.0[middle - 1].midpoint(self.0[middle]) }
    }

    /// The smallest figure.
    pub(crate) fn min(&self) -> f64 {
        self.0[0]
    }

    /// The largest figure.
    pub(crate) fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// Two of the figures between which the true median lies with nine chances in ten; the extremes if there
    /// are too few figures to say so. It needs no assumption about the noise but that rounds do not know one
    /// another: each figure is above the true median with the chance of a coin.
    pub(crate) fn around_median(&self) -> (f64, f64) {
        let count = self.0.len();
        // The chance that at most `left_out` of `count` coins show heads, grown term by term.
        let (mut left_out, mut chance, mut term) = (0, 0.0, 0.5_f64.powi(count as i32));
        while left_out < count / 2 {
            chance += term;
            if 1.0 - 2.0 * chance < CONFIDENCE {
                break;
            }
            left_out += 1;
            term *= (count - left_out + 1) as f64 / left_out as f64;
        }
        let first = left_out.saturating_sub(1);
        (self.0[first], self.0[count - 1 - first])
    }

    /// All of them, smallest first.
    pub(crate) fn figures(&self) -> &[f64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: u32) -> Spread {
        Spread::of((1..=count).rev().map(f64::from)).expect("there is one")
    }

    #[test]
    fn nothing_of_nothing() {
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_middle_and_the_extremes() {
        assert_eq!((spread(1).median(), spread(4).median(), spread(9).median()), (1.0, 2.5, 5.0));
        assert_eq!((spread(9).min(), spread(9).max()), (1.0, 9.0));
    }

    /// The table of order statistics of any textbook: 2nd to 8th of 9 are 96.1 %, 3rd to 7th only 82.0 %.
    #[test]
    fn the_interval_is_that_of_the_textbook() {
        assert_eq!(spread(3).around_median(), (1.0, 3.0));
        assert_eq!(spread(5).around_median(), (1.0, 5.0));
        assert_eq!(spread(7).around_median(), (1.0, 7.0));
        assert_eq!(spread(9).around_median(), (2.0, 8.0));
        assert_eq!(spread(11).around_median(), (3.0, 9.0));
        assert_eq!(spread(15).around_median(), (4.0, 12.0));
    }
}
