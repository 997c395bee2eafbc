//! The judge and the rules that people use, side by side, as a page of the documentation.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use plimsoll_verdict::judge::Outcome;

use super::healthy::HEALTHY;
use super::leaks::LEAKS;
use super::rivals::{Accused, Lines};
use super::scenario::{Program, Scenario, judged, judged_often};
use super::world::{SERVICE, Scale, WATCH};
use super::{part, quantile, race};

/// Neither those that the judge was tuned on nor those of the tests.
const SEEDS: Range<u64> = 900_000..900_040;
/// What is above this line of the page is written by hand.
const BEGIN: &str = "<!-- From here on this page is generated; see above. -->";
const RULES: [&str; 8] = [
    "Plimsoll: suspect or confirmed",
    "Plimsoll: confirmed",
    "live bytes grew by more than 10 MiB",
    "the same, with the best threshold in hindsight",
    "slope of live bytes, t-test",
    "Mann-Kendall on live bytes",
    "Mann-Kendall on each site",
    "two snapshots, top site grew by 10 %",
];

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/verdict-rules.md")
}

/// What all rules said of one program.
struct Row {
    culprit: Option<u32>,
    said: [Accused; RULES.len()],
    growth: f64,
    most_grown: Option<u32>,
    is_undecided: bool,
}

fn row(program: &Program) -> Row {
    let said = judged(program);
    let is_leak = said.outcome == Outcome::Leak;
    let lines = Lines::of(program);
    let by_threshold = lines.threshold(10.0 * 1_048_576.0);
    Row {
        culprit: program.culprit,
        said: [
            Accused { is_leak, site: said.blamed },
            Accused { is_leak: said.is_confirmed, site: said.blamed },
            by_threshold,
            by_threshold,
            lines.slope(),
            lines.trend(),
            lines.trend_of_sites(),
            lines.two_snapshots(),
        ],
        growth: lines.growth(),
        most_grown: by_threshold.site,
        is_undecided: said.outcome == Outcome::Undecided,
    }
}

/// Of one rule over all programs.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    found: usize,
    missed: usize,
    accused: usize,
    right_line: usize,
}

impl Score {
    fn of(rows: &[Row], says: impl Fn(&Row) -> Accused) -> Score {
        let mut score = Score::default();
        for row in rows {
            let said = says(row);
            match (row.culprit, said.is_leak) {
                (Some(culprit), true) => {
                    score.found += 1;
                    score.right_line += usize::from(said.site == Some(culprit));
                }
                (Some(_), false) => score.missed += 1,
                (None, true) => score.accused += 1,
                (None, false) => {}
            }
        }
        score
    }

    fn f1(self) -> f64 {
        2.0 * self.found as f64 / (2 * self.found + self.missed + self.accused).max(1) as f64
    }
}

/// The threshold with the best F1.
fn best_threshold(rows: &[Row]) -> f64 {
    let f1 = |threshold: f64| {
        Score::of(rows, |row| Accused { is_leak: row.growth > threshold, site: row.most_grown }).f1()
    };
    let grown = rows.iter().map(|row| row.growth);
    grown.max_by(|&a, &b| f1(a).total_cmp(&f1(b))).unwrap_or(0.0)
}

fn rows(scale: Scale) -> Vec<(Scenario, Vec<Row>)> {
    let all: Vec<Scenario> = LEAKS.iter().chain(HEALTHY).copied().collect();
    let of = |scenario: Scenario| (scenario, SEEDS.map(|seed| row(&scenario.run(scale, seed))).collect());
    std::thread::scope(|scope| {
        let workers: Vec<_> = all
            .chunks(all.len().div_ceil(2))
            .map(|some| scope.spawn(move || some.iter().map(|&scenario| of(scenario)).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no rule panics")).collect()
    })
}

fn of_rules(out: &mut String, scale: Scale, by_scenario: &[(Scenario, Vec<Row>)]) {
    let rows: Vec<Row> = by_scenario.iter().flat_map(|it| it.1.iter().map(Row::copied)).collect();
    let leaks = rows.iter().filter(|row| row.culprit.is_some()).count();
    let _ = writeln!(
        out,
        "\n### {}: {leaks} programs that leak, {} that do not\n",
        scale.name,
        rows.len() - leaks
    );
    let _ = writeln!(out, "| Rule | Precision | Recall | F1 | Right line |\n|---|---|---|---|---|");
    let threshold = best_threshold(&rows);
    for (nth, rule) in RULES.iter().enumerate() {
        let score = Score::of(&rows, |row| match nth {
            3 => Accused { is_leak: row.growth > threshold, site: row.most_grown },
            _ => row.said[nth],
        });
        let _ = writeln!(
            out,
            "| {rule}{} | {:.2} | {:.2} | {:.2} | {:.2} |",
            if nth == 3 { format!(" ({:.0} KiB)", threshold / 1024.0) } else { String::new() },
            part(score.found, score.found + score.accused),
            part(score.found, score.found + score.missed),
            score.f1(),
            part(score.right_line, score.found)
        );
    }
}

impl Row {
    fn copied(&self) -> Row {
        Row { ..*self }
    }
}

/// The median part of the time after which a leak is suspected, and confirmed.
fn delays(scenario: Scenario, scale: Scale) -> [f64; 2] {
    let mut parts = [Vec::new(), Vec::new()];
    for seed in SEEDS.step_by(2) {
        let program = scenario.run(scale, seed);
        let end_s = program.readings.last().map_or(1.0, |last| last.at.as_secs_f64());
        let said = judged_often(&program, 32);
        let first = |is: &dyn Fn(&super::scenario::Said) -> bool| {
            said.iter()
                .find(|(_, said)| is(said) && said.blamed == program.culprit)
                .map_or(2.0, |it| it.0 / end_s)
        };
        parts[0].push(first(&|said| said.outcome == Outcome::Leak));
        parts[1].push(first(&|said| said.is_confirmed));
    }
    parts.map(|mut parts| {
        parts.sort_by(f64::total_cmp);
        quantile(&parts, 0.5)
    })
}

fn of_scenarios(out: &mut String, scale: Scale, by_scenario: &[(Scenario, Vec<Row>)]) {
    let _ = writeln!(out, "\n### {}\n", scale.name);
    let _ = writeln!(
        out,
        "| Program | Blamed | Confirmed | Undecided | Right line | Suspected at | Confirmed at | Threshold | Slope | Mann-Kendall | by site | Snapshots |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for (scenario, rows) in by_scenario {
        let said = |rule: usize| part(rows.iter().filter(|row| row.said[rule].is_leak).count(), rows.len());
        let is_leak = rows.iter().any(|row| row.culprit.is_some());
        let undecided = part(rows.iter().filter(|row| row.is_undecided).count(), rows.len());
        let right = rows.iter().filter(|row| row.said[0].is_leak && row.said[0].site == row.culprit).count();
        let when = |at: f64| if at > 1.0 { "-".to_owned() } else { format!("{:.0} %", at * 100.0) };
        let [suspected, confirmed] = if is_leak { delays(*scenario, scale) } else { [2.0, 2.0] };
        let _ = writeln!(
            out,
            "| {}{} | {:.2} | {:.2} | {undecided:.2} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            if is_leak { "leak: " } else { "" },
            scenario.name,
            said(0),
            said(1),
            if is_leak { format!("{:.2}", part(right, rows.len())) } else { "-".to_owned() },
            when(suspected),
            when(confirmed),
            said(2),
            said(4),
            said(5),
            said(6),
            said(7)
        );
    }
}

fn of_the_slow_leak(out: &mut String) {
    let _ = writeln!(out, "\n## 10 MiB an hour in a service that allocates 50 MB a second\n");
    let _ = writeln!(
        out,
        "Minutes from the start of the process, looked at once a minute, and what had leaked by then.\n\n| A sample in | | Half of the programs | 90 % | 95 % |\n|---|---|---|---|---|"
    );
    for (name, interval) in [("128 KiB", 131_072.0), ("512 KiB", 524_288.0)] {
        for (state, minutes) in ["suspected", "confirmed"].iter().zip(race(interval, SEEDS, 120)) {
            let at = |part: f64| {
                let minutes = quantile(&minutes, part);
                if minutes.is_finite() {
                    format!("{minutes:.0} min, {:.1} MiB", minutes / 6.0)
                } else {
                    "-".to_owned()
                }
            };
            let _ = writeln!(out, "| {name} | {state} | {} | {} | {} |", at(0.5), at(0.9), at(0.95));
        }
    }
}

#[test]
#[ignore = "writes docs/verdict-rules.md anew"]
fn write_table() {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "\nSeeds {} to {} of each of {} scenarios that leak and {} that do not, in each of two lengths of time.",
        SEEDS.start,
        SEEDS.end - 1,
        LEAKS.len(),
        HEALTHY.len()
    );
    let both = [WATCH, SERVICE].map(|scale| (scale, rows(scale)));
    let _ = writeln!(out, "\n## The rules");
    for (scale, by_scenario) in &both {
        of_rules(&mut out, *scale, by_scenario);
    }
    of_the_slow_leak(&mut out);
    let _ = writeln!(
        out,
        "\n## Program by program\n\nThe part of its programs of which each rule says that they leak."
    );
    for (scale, by_scenario) in &both {
        of_scenarios(&mut out, *scale, by_scenario);
    }
    let text = std::fs::read_to_string(page()).expect("the page is there, with what is written by hand");
    let (by_hand, _) = text.split_once(BEGIN).expect("the page has the line from which it is generated");
    std::fs::write(page(), format!("{by_hand}{BEGIN}\n{out}")).expect("the tree can be written to");
}

#[test]
fn the_page_has_every_rule_and_every_scenario() {
    let text = std::fs::read_to_string(page()).expect("the page is there");
    let (by_hand, generated) =
        text.split_once(BEGIN).expect("the page has the line from which it is generated");
    assert!(by_hand.contains("write_table"), "the page says how it is made");
    for name in RULES.iter().copied().chain(LEAKS.iter().chain(HEALTHY).map(|it| it.name)) {
        assert!(generated.contains(name), "{name} is not in the page: run write_table");
    }
    assert!(generated.contains(&format!("Seeds {} to {}", SEEDS.start, SEEDS.end - 1)));
}
