//! Interleaved rounds: what is compared runs within the same few seconds, so that a neighbour who comes and
//! goes disturbs both sides; and in the opposite order every other round, so that nobody is always last.

use std::time::Instant;

use crate::trouble::Trouble;
use crate::workers::{Call, Reading, Workers};

/// Runs that are compared with one another.
pub(crate) type Unit = Vec<Call>;

/// Runs everything once in each round. The readings are by unit, then by call, then by round.
pub(crate) fn interleaved(
    workers: &Workers,
    what: &str,
    rounds: usize,
    units: &[Unit],
) -> Result<Vec<Vec<Vec<Reading>>>, Trouble> {
    let mut readings: Vec<Vec<Vec<Reading>>> =
        units.iter().map(|unit| unit.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..rounds {
        let begun = Instant::now();
        for (unit, call) in order(units, round) {
            readings[unit][call].push(workers.run(&units[unit][call])?);
        }
        eprintln!("{what}: round {} of {rounds}, {:.0} s", round + 1, begun.elapsed().as_secs_f64());
    }
    Ok(readings)
}

/// Which call of which unit comes when in that round.
fn order(units: &[Unit], round: usize) -> Vec<(usize, usize)> {
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
    use crate::workers::{Around, Frames};

    #[test]
    fn every_other_round_is_in_the_opposite_order() {
        let call = Call {
            worker: "",
            frames: Frames::Pointers,
            around: Around::Nothing,
            env: None,
            args: Vec::new(),
        };
        let units = [vec![call.clone(), call.clone()], vec![call]];
        assert_eq!(order(&units, 0), [(0, 0), (0, 1), (1, 0)]);
        assert_eq!(order(&units, 1), [(1, 0), (0, 1), (0, 0)]);
        assert_eq!(order(&units, 2), order(&units, 0));
    }
}
