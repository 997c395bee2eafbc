//! The sum of all limits against the budget, before anything starts.
//!
//! Four queues of 64 MiB for eight workers are 2 GiB. Said at the start this is one line to correct; found
//! out under load it is a service that dies when it is needed.

use std::fmt;

use plimsoll_core::Bytes;

/// The limits multiplied out are more than the budget. Prints the whole formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaError {
    /// Each holder and the most that it may hold.
    pub terms: Vec<(String, Bytes)>,
    /// Their sum.
    pub sum: Bytes,
    /// What there is.
    pub budget: Bytes,
}

impl fmt::Display for FormulaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (name, bytes)) in self.terms.iter().enumerate() {
            write!(f, "{}{name} {bytes}", if nth == 0 { "" } else { " + " })?;
        }
        let FormulaError { sum, budget, .. } = self;
        let over = sum.saturating_sub(*budget);
        write!(f, " = {sum}, which is {over} more than the budget of {budget}: ")?;
        write!(f, "lower one of these limits, run fewer workers, or raise the budget")
    }
}

impl std::error::Error for FormulaError {}

/// Checks that everything `planned`, at its most, fits into `budget`. For a queue the most is
/// [`QueueLimits::worst_case`](super::QueueLimits::worst_case).
///
/// # Errors
/// [`FormulaError`] with the sum and each of its terms.
pub fn fits(planned: &[(&str, Bytes)], budget: Bytes) -> Result<(), FormulaError> {
    let sum: Bytes = planned.iter().map(|(_, bytes)| *bytes).sum();
    if sum <= budget {
        return Ok(());
    }
    let terms = planned.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
    Err(FormulaError { terms, sum, budget })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_just_fits_is_fine_and_one_byte_more_is_not() {
        let plan = [("ingest", Bytes::mib(8)), ("relay", Bytes::mib(56))];
        assert_eq!(fits(&plan, Bytes::mib(64)), Ok(()));
        assert!(fits(&plan, Bytes::mib(64) - Bytes::new(1)).is_err());
        assert_eq!(fits(&[], Bytes::ZERO), Ok(()));
    }

    #[test]
    fn a_sum_that_does_not_fit_into_a_number_does_not_fit_into_a_budget() {
        let plan = [("a", Bytes::MAX), ("b", Bytes::MAX)];
        assert!(fits(&plan, Bytes::gib(64)).is_err());
    }
}
