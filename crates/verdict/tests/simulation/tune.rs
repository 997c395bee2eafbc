//! For whoever changes a rule: what it does to each scenario, and why one program is judged as it is.
//!
//! ```text
//! ONLY=sawtooth COUNT=200 cargo test --release -p plimsoll-verdict --test simulation explore -- --ignored --nocapture
//! ONLY=sawtooth SEED=1007 SCALE=hours cargo test ... explain -- --ignored --nocapture
//! ```
#![allow(clippy::print_stdout, reason = "a table to tune with is read at a terminal")]

use super::healthy::HEALTHY;
use super::leaks::LEAKS;
use super::scenario::judged_often;
use super::world::{SERVICE, SHORT, WATCH};
use super::{SEEDS, part, tally};

#[test]
#[ignore = "why one seed of a scenario is judged as it is: ONLY, SEED, SCALE"]
fn explain() {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let seed = set("SEED").parse().unwrap_or(SEEDS.start);
    let scale = match set("SCALE").as_str() {
        "hours" => SERVICE,
        "short" => SHORT,
        _ => WATCH,
    };
    for scenario in LEAKS.iter().chain(HEALTHY).filter(|it| it.name.contains(&set("ONLY"))) {
        let program = scenario.run(scale, seed);
        println!("{}, the culprit is stack {:?}", scenario.name, program.culprit);
        for (at, said) in judged_often(&program, 8) {
            println!("{at:.0} s: {:?}, confirmed {}\n{}", said.outcome, said.is_confirmed, said.why);
        }
    }
}

#[test]
#[ignore = "a table to tune with: ONLY, COUNT"]
fn explore() {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let count: u64 = set("COUNT").parse().unwrap_or(40);
    for scenario in LEAKS.iter().chain(HEALTHY).filter(|it| it.name.contains(&set("ONLY"))) {
        print!("{:48}", scenario.name);
        for scale in [SHORT, WATCH, SERVICE] {
            let it = tally(scenario, scale, 1000..1000 + count);
            let part = |count: usize| part(count, it.runs);
            print!(
                " | {:.2} {:.2} {:.2} {:.2}",
                part(it.leak),
                part(it.confirmed),
                part(it.undecided),
                part(it.right)
            );
            print!(" {:?}", it.wrong.iter().take(4).collect::<Vec<_>>());
        }
        println!();
    }
}
