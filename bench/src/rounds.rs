//! Interleaved rounds: what is compared runs within the same few seconds, so that a neighbour who comes and
//! goes disturbs both sides; and in the opposite order every other round, so that nobody is always last.

use std::time::Instant;

use crate::trouble::Trouble;

/// Runs everything once in each round; what is compared with one another is a unit. The readings are by unit,
/// then by call, then by round.
pub(crate) fn interleaved<Call, Reading>(
    what: &str,
    rounds: usize,
    units: &[Vec<Call>],
    mut run: impl FnMut(&Call) -> Result<Reading, Trouble>,
) -> Result<Vec<Vec<Vec<Reading>>>, Trouble> {
    let mut readings: Vec<Vec<Vec<Reading>>> =
        units.iter().map(|unit| unit.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..rounds {
        let begun = Instant::now();
        for (unit, call) in order(units, round) {
            readings[unit][call].push(run(&units[unit][call])?);
        }
        eprintln!("{what}: round {} of {rounds}, {:.0} s", round + 1, begun.elapsed().as_secs_f64());
    }
    Ok(readings)
}

/// Which call of which unit comes when in that round.
fn order<Call>(units: &[Vec<Call>], round: usize) -> Vec<(usize, usize)> {
    let calls =
        units.iter().enumerate().flat_map(|(unit, calls)| (0..calls.len()).map(move |call| (unit, call)));
    let mut order: Vec<_> = calls.collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_round_is_in_the_opposite_order() {
        let units = [vec![(), ()], vec![()]];
        assert_eq!(order(&units, 0), [(0, 0), (0, 1), (1, 0)]);
        assert_eq!(order(&units, 1), [(1, 0), (0, 1), (0, 0)]);
        assert_eq!(order(&units, 2), order(&units, 0));
    }
}
