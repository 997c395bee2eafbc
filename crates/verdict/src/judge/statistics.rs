//! The few distributions that the rules need, from a library where it has them.

use statrs::distribution::{Beta, Binomial, ChiSquared, ContinuousCDF, DiscreteCDF};
use statrs::function::beta::ln_beta;

/// The probability that of `grew + died` fair coins at least `grew` fall on one side: what chance alone makes of a site
/// in which as much dies as grows old.
pub(crate) fn imbalance(grew: u64, died: u64) -> f64 {
    if grew == 0 {
        return 1.0;
    }
    Binomial::new(0.5, grew + died).map_or(1.0, |coins| coins.sf(grew - 1))
}

/// Evidence against such a site that stays valid however often it is looked at: the ratio of the likelihood under any
/// other share of deaths below one half, weighed evenly, to that under one half. (A mixture martingale; Robbins 1970.)
pub(crate) fn e_value(grew: u64, died: u64) -> f64 {
    let (grew, died) = (grew as f64, died as f64);
    // The beta mixture over the shares above one half is twice the incomplete part of the one over all shares.
    let whole = ln_beta(grew + 1.0, died + 1.0) + (grew + died) * std::f64::consts::LN_2;
    let upper = Beta::new(grew + 1.0, died + 1.0).map_or(0.5, |share| share.sf(0.5));
    (2.0 * upper * whole.exp()).min(1e300)
}

/// The upper end of the 95 % interval for how many a second die, when `died` did in `exposure_s` object seconds.
pub(crate) fn death_rate_high(died: u64, exposure_s: f64) -> f64 {
    let quantile = ChiSquared::new(2.0 * died as f64 + 2.0).map_or(f64::INFINITY, |it| it.inverse_cdf(0.95));
    quantile / (2.0 * exposure_s.max(1e-9))
}

/// The probability of at most `count` of `all` coins that fall to one side with the probability `share`.
pub(crate) fn of_coins(count: u64, all: u64, share: f64) -> f64 {
    Binomial::new(share.clamp(0.0, 1.0), all).map_or(1.0, |coins| coins.cdf(count))
}

/// The probability of at most `count` where `expected` are.
pub(crate) fn at_most(count: u64, expected: f64) -> f64 {
    if expected <= 0.0 {
        return 1.0;
    }
    statrs::distribution::Poisson::new(expected).map_or(1.0, |it| it.cdf(count))
}

/// How an inflow changes with time: the exponent `x` of `t^-x` that fits best, and its standard error, from counts in
/// blocks of the lengths `lengths` that lie around the times `at_s`. A Poisson regression on the logarithm of time, its error
/// widened where the counts scatter more than such counts do. `None` where there is nothing to fit.
pub(crate) fn slowing(at_s: &[f64], lengths: &[f64], counts: &[f64], samples: u64) -> Option<(f64, f64)> {
    let blocks = counts.len();
    let total: f64 = counts.iter().sum();
    if blocks < 3 || blocks != at_s.len() || blocks != lengths.len() || samples == 0 || total <= 0.0 {
        return None;
    }
    // In samples, whatever they stand for.
    let scale = samples as f64 / total;
    let logs: Vec<f64> = at_s.iter().map(|at| at.max(1e-6).ln()).collect();
    let mut exponent = 0.0_f64;
    let mut information = 0.0;
    let shares = |exponent: f64| -> Vec<f64> {
        logs.iter().zip(lengths).map(|(log, length)| length * (-exponent * log).exp()).collect()
    };
    for _ in 0..50 {
        let weights = shares(exponent);
        let sum: f64 = weights.iter().sum();
        let mean: f64 = weights.iter().zip(&logs).map(|(w, log)| w * log).sum::<f64>() / sum;
        let variance: f64 =
            weights.iter().zip(&logs).map(|(w, log)| w * (log - mean) * (log - mean)).sum::<f64>() / sum;
        let seen: f64 = counts.iter().zip(&logs).map(|(count, log)| count * log).sum::<f64>() / total;
        information = samples as f64 * variance;
        if variance < 1e-9 {
            return None;
        }
        // The mean of the logarithm of time, as it was seen and as it would be: the score.
        let step = ((mean - seen) / variance).clamp(-1.0, 1.0);
        exponent = (exponent + step).clamp(-8.0, 8.0);
        if step.abs() < 1e-6 {
            break;
        }
    }
    let weights = shares(exponent);
    let sum: f64 = weights.iter().sum();
    let misfit: f64 = counts
        .iter()
        .zip(&weights)
        .map(|(count, weight)| {
            let expected = samples as f64 * weight / sum;
            let difference = count * scale - expected;
            difference * difference / expected.max(0.5)
        })
        .sum();
    let scatter = (misfit / (blocks - 2).max(1) as f64).clamp(1.0, 25.0);
    Some((exponent, (scatter / information).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_what_coins_say() {
        assert!((imbalance(10, 0) - 0.5_f64.powi(10)).abs() < 1e-12);
        assert!((imbalance(1, 1) - 0.75).abs() < 1e-12);
        assert!((imbalance(0, 5) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn evidence_is_one_on_average_where_there_is_no_leak() {
        // Over all outcomes of twenty fair coins.
        let mean: f64 = (0..=20_u64)
            .map(|grew| {
                let ways = statrs::function::factorial::binomial(20, grew);
                ways * 0.5_f64.powi(20) * e_value(grew, 20 - grew)
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
        assert!(e_value(20, 0) > 1e4);
    }

    #[test]
    fn the_exponent_of_an_inflow_is_found() {
        let at_s: Vec<f64> = (1..=12).map(|block| f64::from(block) * 5.0).collect();
        for exponent in [0.0, 0.5, 1.0] {
            let counts: Vec<f64> = at_s.iter().map(|at| 400.0 * at.powf(-exponent)).collect();
            let samples = counts.iter().sum::<f64>() as u64;
            let (found, error) = slowing(&at_s, &[5.0; 12], &counts, samples).expect("counts");
            assert!((found - exponent).abs() < 0.02, "{found} for {exponent}");
            assert!(error > 0.0 && error < 0.3, "{error}");
        }
        assert_eq!(slowing(&at_s, &[5.0; 12], &[0.0; 12], 0), None);
    }

    #[test]
    fn few_deaths_leave_a_rate_that_is_not_zero() {
        // Three over the exposure: the rule of three.
        let high = death_rate_high(0, 1000.0);
        assert!((high - 0.002_996).abs() < 1e-5, "{high}");
    }
}
