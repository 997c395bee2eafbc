//! One way in which a program uses memory, and what the judge says of it.

use plimsoll_verdict::judge::{self, Known, Options, Outcome, Reading, Series, State, Verdict};

use super::world::{Scale, World};

/// A way to use memory; its seed decides sizes, rates and times.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    build: fn(&mut World),
    /// In so many of its programs the leak must be found.
    pub(crate) found_min: f64,
}

/// A program that was run.
pub(crate) struct Program {
    pub(crate) readings: Vec<Reading>,
    /// The stack that leaks.
    pub(crate) culprit: Option<u32>,
    pub(crate) scale: Scale,
}

impl Scenario {
    pub(crate) const fn new(name: &'static str, build: fn(&mut World)) -> Scenario {
        Scenario { name, build, found_min: 0.97 }
    }

    /// One in which little can be known: see there why.
    pub(crate) const fn hard(self, found_min: f64) -> Scenario {
        Scenario { found_min, ..self }
    }

    /// Runs it.
    pub(crate) fn run(&self, scale: Scale, seed: u64) -> Program {
        let mut world = World::new(scale, seed);
        (self.build)(&mut world);
        world.background();
        let culprit = world.culprit();
        Program { readings: world.readings(), culprit, scale }
    }
}

/// What was said of a program.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) outcome: Outcome,
    /// The stack that is blamed first.
    pub(crate) blamed: Option<u32>,
    pub(crate) is_confirmed: bool,
    /// In short, for people who tune.
    pub(crate) why: String,
}

impl Said {
    fn of(verdict: &Verdict) -> Said {
        let first = verdict.sites.iter().find(|site| site.state.is_blamed());
        let why = |site: &judge::SiteVerdict| {
            let gates: Vec<String> = site
                .evidence
                .gates
                .iter()
                .map(|gate| format!("{}{}: {}", if gate.passed { "" } else { "!" }, gate.name, gate.found))
                .collect();
            format!("{} {:?} open {} [{}]", site.function, site.evidence.kind, site.is_open, gates.join("; "))
        };
        Said {
            outcome: verdict.outcome,
            blamed: first.and_then(|site| stack_of(&site.function)),
            is_confirmed: verdict.sites.iter().any(|site| site.state == State::Confirmed),
            why: verdict
                .sites
                .iter()
                .filter(|site| site.state.is_blamed() || site.is_open)
                .map(why)
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// The number of a stack without a name.
fn stack_of(function: &str) -> Option<u32> {
    function.strip_prefix("stack ")?.split(',').next()?.parse().ok()
}

/// What is said at the end.
pub(crate) fn judged(program: &Program) -> Said {
    let mut series = Series::new(program.scale.limits);
    for reading in &program.readings {
        series.add(reading);
    }
    Said::of(&judge::judge(&series, None, &Known::default(), &Options::default()))
}

/// What is said at so many moments of the time, with the second.
pub(crate) fn judged_often(program: &Program, times: usize) -> Vec<(f64, Said)> {
    let mut series = Series::new(program.scale.limits);
    let count = program.readings.len();
    let mut said = Vec::new();
    for (nth, reading) in program.readings.iter().enumerate() {
        series.add(reading);
        let part = (nth + 1) * times / count;
        if part > nth * times / count {
            let verdict = judge::judge(&series, None, &Known::default(), &Options::default());
            said.push((reading.at.as_secs_f64(), Said::of(&verdict)));
        }
    }
    said
}
