//! The judge against programs that are drawn from a seed: which leak it finds, how soon, and whom it accuses wrongly.
//!
//! ```text
//! world      a program under a sampler: only its sampled objects, in time that runs from 0 to 1
//! leaks      programs that leak          healthy    programs that look as if they did
//! scenario   one way to use memory, and what the judge says of it
//! rivals     the rules that people use   table      all of them side by side: docs/verdict-rules.md
//! tune       what to run before a rule is changed
//! ```
//!
//! The judge was tuned on the seeds from 1000 on, the tests run on those from 5000 on, and the table is made from others
//! again.

mod healthy;
mod leaks;
mod rivals;
mod scenario;
mod table;
mod tune;
mod world;

use std::ops::Range;

use plimsoll_verdict::judge::Outcome;

use healthy::HEALTHY;
use leaks::{LEAKS, SLOW};
use scenario::{Scenario, judged, judged_often};
use world::{SERVICE, SHORT, Scale, WATCH};

const SEEDS: Range<u64> = 5000..5040;

/// What came out of one scenario over its seeds.
#[derive(Clone, Debug, Default)]
struct Tally {
    runs: usize,
    leak: usize,
    confirmed: usize,
    undecided: usize,
    /// The leak was found, and its line named first.
    right: usize,
    /// Those of which something wrong was said.
    wrong: Vec<u64>,
}

fn tally(scenario: &Scenario, scale: Scale, seeds: Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let program = scenario.run(scale, seed);
        let said = judged(&program);
        let is_leak = said.outcome == Outcome::Leak;
        let is_right = is_leak && said.blamed.is_some() && said.blamed == program.culprit;
        tally.runs += 1;
        tally.leak += usize::from(is_leak);
        tally.confirmed += usize::from(said.is_confirmed);
        tally.undecided += usize::from(said.outcome == Outcome::Undecided);
        tally.right += usize::from(is_right);
        if program.culprit.is_some() && !is_right || program.culprit.is_none() && is_leak {
            tally.wrong.push(seed);
        }
    }
    tally
}

fn part(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

/// The tallies of scenarios, with as many threads as there are halves of the list.
fn tallies(scenarios: &[Scenario], scale: Scale, seeds: Range<u64>) -> Vec<(Scenario, Tally)> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = scenarios
            .chunks(scenarios.len().div_ceil(2))
            .map(|some| {
                let seeds = seeds.clone();
                scope.spawn(move || -> Vec<_> {
                    some.iter().map(|scenario| (*scenario, tally(scenario, scale, seeds.clone()))).collect()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a judge does not panic")).collect()
    })
}

fn check_leaks(scale: Scale) {
    let (mut right, mut runs) = (0, 0);
    for (scenario, tally) in tallies(LEAKS, scale, SEEDS) {
        let found = part(tally.right, tally.runs);
        let name = scenario.name;
        assert!(
            found >= scenario.found_min,
            "{name} in {}: {found:.2} found, not {:?}",
            scale.name,
            tally.wrong
        );
        right += tally.right;
        runs += tally.runs;
    }
    let found = part(right, runs);
    assert!(found >= 0.97, "of all leaks in {} {found:.3} are found", scale.name);
}

#[test]
fn leaks_of_a_minute_are_found_and_their_line_named() {
    check_leaks(WATCH);
}

#[test]
fn leaks_of_hours_are_found_and_their_line_named() {
    check_leaks(SERVICE);
}

fn check_healthy(scale: Scale) {
    let (mut accused, mut runs) = (0, 0);
    for (scenario, tally) in tallies(HEALTHY, scale, SEEDS) {
        let name = scenario.name;
        assert_eq!(tally.confirmed, 0, "{name} in {}: confirmed, among {:?}", scale.name, tally.wrong);
        assert!(part(tally.leak, tally.runs) <= 0.1, "{name} in {}: suspect, {:?}", scale.name, tally.wrong);
        accused += tally.leak;
        runs += tally.runs;
    }
    let accused = part(accused, runs);
    assert!(accused <= 0.02, "of all healthy programs in {} {accused:.3} are suspected", scale.name);
}

#[test]
fn healthy_programs_of_a_minute_are_let_alone() {
    check_healthy(WATCH);
}

#[test]
fn healthy_programs_of_ten_seconds_are_let_alone() {
    check_healthy(SHORT);
}

#[test]
fn healthy_programs_of_hours_are_let_alone() {
    check_healthy(SERVICE);
}

/// When the slow leak is suspected and when confirmed, in minutes, over seeds: each sorted.
fn race(interval: f64, seeds: Range<u64>, looks: usize) -> [Vec<f64>; 2] {
    let scale = Scale {
        seconds: &[7200.0],
        intervals: if interval < 2e5 { &[131_072.0] } else { &[524_288.0] },
        ..SERVICE
    };
    let mut times = [Vec::new(), Vec::new()];
    for seed in seeds {
        let program = SLOW.run(scale, seed);
        let said = judged_often(&program, looks);
        let first = |is: &dyn Fn(&scenario::Said) -> bool| {
            let it = said.iter().find(|(_, said)| is(said) && said.blamed == program.culprit);
            it.map_or(f64::INFINITY, |it| it.0 / 60.0)
        };
        times[0].push(first(&|said| said.outcome == Outcome::Leak));
        times[1].push(first(&|said| said.is_confirmed));
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    times
}

/// What so large a part of sorted values does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((part * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
}

#[test]
fn ten_mebibytes_an_hour_are_confirmed_within_two_hours() {
    // A minute of it is a sixth of a MiB.
    let [suspect, confirmed] = race(131_072.0, SEEDS, 60);
    assert!(quantile(&confirmed, 0.95) <= 60.0, "128 KiB: confirmed after {confirmed:.0?} min");
    assert!(quantile(&suspect, 0.5) <= 18.0, "128 KiB: suspect after {suspect:.0?} min");
    assert!(quantile(&suspect, 0.9) <= 24.0, "128 KiB: suspect after {suspect:.0?} min");
    let [_, confirmed] = race(524_288.0, SEEDS, 60);
    assert!(quantile(&confirmed, 0.5) <= 90.0, "512 KiB: confirmed after {confirmed:.0?} min");
    assert!(quantile(&confirmed, 0.95) <= 120.0, "512 KiB: confirmed after {confirmed:.0?} min");
}
