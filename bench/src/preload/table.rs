//! Ratios and verdicts out of the runs.

use serde_json::json;

use crate::limits::{CAPTURE_SAMPLES_MIN, CAPTURE_US_MAX, PRELOAD_RATIO_MAX};
use crate::report::{Check, Row, Section, count_text, ns_text, spread_json, spread_text};
use crate::statistics::Spread;

use super::programs::Run;
use super::setups::{BASE, BASE_AGAIN, EVERY, MEAN_512, Setup, Way};
use super::{Measured, Outcome};

const COST_COLUMNS: [&str; 7] =
    ["program", "setup", "CPU", "CPU ratio", "page faults", "samples", "recorder CPU"];
const CAPTURE_COLUMNS: [&str; 3] = ["program", "samples", "CPU a sample"];
const UNMEASURED: &str = "not measured";

/// The runs of one setup, one for each round, if they all count.
type Runs<'a> = Result<Vec<&'a Run>, String>;

/// What recording costs each program, and what rivals cost it.
pub(super) fn costs(measured: &[Measured]) -> Section {
    let about = "CPU time by that of the program alone; median [min..max] of the rounds".to_owned();
    let mut section = Section { name: "cost", about, columns: &COST_COLUMNS, ..Section::default() };
    for measured in measured {
        section.notes.push(format!("{}: {}", measured.program.name, measured.program.about));
        for setup in &measured.setups {
            section.rows.push(measured.cost(setup).unwrap_or_else(|why| {
                section.notes.push(measured.why(setup.name, &why));
                // Rivals are there to compare; what has a base and is ours is there to be judged.
                let unmeasured = matches!(setup.way, Way::Plain | Way::Plimsoll { .. });
                let cells = [measured.program.name, setup.name, "", UNMEASURED, "", "", ""];
                blank(&cells, unmeasured, &why)
            }));
        }
    }
    section
}

/// What a sample costs at most.
pub(super) fn captures(measured: &[Measured]) -> Section {
    let about = format!(
        "upper bound of the time to follow a stack: ({EVERY} - base) / samples; it holds the start of the \
         recording and all else that is done for a sampled block, to its end; judged from {CAPTURE_SAMPLES_MIN} \
         samples on"
    );
    let mut section = Section { name: "capture", about, columns: &CAPTURE_COLUMNS, ..Section::default() };
    for measured in measured {
        section.rows.push(measured.capture().unwrap_or_else(|why| {
            section.notes.push(measured.why("capture", &why));
            blank(&[measured.program.name, "", UNMEASURED], true, &why)
        }));
    }
    section
}

fn blank(cells: &[&str], unmeasured: bool, why: &str) -> Row {
    let mut row = Row { unmeasured, ..Row::default() };
    row.cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
    row.figures.insert("not_measured".to_owned(), json!(why));
    row
}

impl Measured {
    fn why(&self, what: &str, why: &str) -> String {
        format!("{UNMEASURED}: {}, {what}: {why}", self.program.name)
    }

    /// The runs of the setup of that name: all of its rounds, each the same in what it did as the base. Ours
    /// must also have written the same; rivals add words of their own.
    fn runs(&self, name: &str) -> Runs<'_> {
        let outcomes = |name: &str| {
            let found = self.setups.iter().position(|setup| setup.name == name);
            found.map(|setup| (self.setups[setup].way, &self.outcomes[setup]))
        };
        let (_, base) = outcomes(BASE).ok_or_else(|| "there is no base".to_owned())?;
        let base = base.first().ok_or_else(|| "there is no round".to_owned())?;
        let base = base.as_ref().map_err(|why| format!("the base: {why}"))?;
        let (way, own) = outcomes(name).ok_or_else(|| format!("`{name}` was left out"))?;
        let is_rival = matches!(way, Way::Heaptrack | Way::Memray { .. });
        let check = |outcome: &'_ Outcome| {
            let run = outcome.as_ref().map_err(String::clone)?;
            if run.checksum != base.checksum {
                return Err(format!("did other work: {} and alone {}", run.checksum, base.checksum));
            }
            if !is_rival && run.talk != base.talk {
                return Err(format!("said something else: {:?} and alone {:?}", run.talk, base.talk));
            }
            Ok(())
        };
        own.iter().try_for_each(check)?;
        Ok(own.iter().flatten().collect())
    }

    /// A figure of the base in each round: the mean of its run at the beginning and at the end of it.
    fn base(&self, figure: fn(&Run) -> f64) -> Result<Vec<f64>, String> {
        let (first, again) = (self.runs(BASE)?, self.runs(BASE_AGAIN)?);
        Ok(first.iter().zip(again).map(|(first, again)| figure(first).midpoint(figure(again))).collect())
    }

    fn cost(&self, setup: &Setup) -> Result<Row, String> {
        let runs = self.runs(setup.name)?;
        let cpu_ns = spread(runs.iter().map(|run| run.cpu_ns))?;
        let mut row = Row::default();
        row.figures.insert("cpu_ns".to_owned(), spread_json(&cpu_ns));
        let mut ratio = String::new();
        if setup.name != BASE {
            // The last base by the first: a ratio that has nothing in it but noise.
            let base = match setup.name {
                BASE_AGAIN => self.runs(BASE)?.iter().map(|run| run.cpu_ns).collect(),
                _ => self.base(|run| run.cpu_ns)?,
            };
            let ratios = spread(runs.iter().zip(base).map(|(run, base)| run.cpu_ns / base))?;
            ratio = spread_text(&ratios);
            row.figures.insert("cpu_ratio".to_owned(), spread_json(&ratios));
            let limit = PRELOAD_RATIO_MAX.iter().find(|(program, _)| *program == self.program.name);
            if let (Some((_, limit_max)), MEAN_512) = (limit, setup.name) {
                row.checks.push(Check::spread(&ratios, *limit_max, format!("≤ {limit_max}")));
            }
        }
        // The first thing to look at when a time is strange.
        let faults = spread(runs.iter().map(|run| run.page_faults))?;
        row.figures.insert("page_faults".to_owned(), spread_json(&faults));
        let samples = spread(runs.iter().filter_map(|run| run.samples)).ok();
        row.figures.extend(samples.iter().map(|samples| ("samples".to_owned(), spread_json(samples))));
        let percent = |run: &&Run| Some(run.recorder_ns? / run.cpu_ns * 100.0);
        let recorder = spread(runs.iter().filter_map(percent)).ok();
        row.figures.extend(recorder.iter().map(|own| ("recorder_cpu_percent".to_owned(), spread_json(own))));
        row.cells = vec![
            self.program.name.to_owned(),
            setup.name.to_owned(),
            ns_text(cpu_ns.median()),
            ratio,
            amount_text(faults.median()),
            samples.map_or_else(String::new, |samples| amount_text(samples.median())),
            recorder.map_or_else(String::new, |own| format!("{:.2} %", own.median())),
        ];
        Ok(row)
    }

    fn capture(&self) -> Result<Row, String> {
        let (runs, base) = (self.runs(EVERY)?, self.base(|run| run.process_cpu_ns)?);
        let samples = spread(runs.iter().filter_map(|run| run.samples))?;
        let us = |run: &Run, base: f64| Some((run.process_cpu_ns - base) / run.samples? / 1e3);
        let us = spread(runs.iter().zip(base).filter_map(|(run, base)| us(run, base)))?;
        let mut row = Row::default();
        row.figures.insert("us_per_sample_upper_bound".to_owned(), spread_json(&us));
        row.figures.insert("samples".to_owned(), spread_json(&samples));
        if samples.median() >= CAPTURE_SAMPLES_MIN {
            row.checks.push(Check::from_above(&us, CAPTURE_US_MAX, format!("≤ {CAPTURE_US_MAX} µs")));
        }
        let us = format!("≤ {} µs", spread_text(&us));
        row.cells = vec![self.program.name.to_owned(), amount_text(samples.median()), us];
        Ok(row)
    }
}

fn spread(figures: impl Iterator<Item = f64>) -> Result<Spread, String> {
    Spread::of(figures).ok_or_else(|| "there is no figure".to_owned())
}

/// Samples and page faults are whole.
fn amount_text(count: f64) -> String {
    if count < 1e4 { format!("{count:.0}") } else { count_text(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preload::programs::{Language, Program};
    use crate::report::{Report, Verdict};

    fn run(cpu_ns: f64, samples: Option<f64>) -> Run {
        let process_cpu_ns = cpu_ns + 100.0;
        Run { cpu_ns, process_cpu_ns, checksum: "7".to_owned(), samples, ..Run::default() }
    }

    /// A program in which ours at 512 KiB gives those outcomes, beside a base of 1000 ns.
    fn measured(outcomes: Vec<Outcome>) -> Measured {
        let command = Err("not run".to_owned());
        let setup = |name, way| Setup { name, way };
        let (rounds, ours) = (outcomes.len(), Way::Plimsoll { sample: "512KiB" });
        let base = || (0..rounds).map(|_| Ok(run(1000.0, None))).collect();
        let every = (0..rounds).map(|_| Ok(run(1000.0 + 2e8, Some(4e5)))).collect();
        let none = (0..rounds).map(|_| Err("is not there".to_owned())).collect();
        Measured {
            program: Program {
                name: "node",
                part: "node",
                about: String::new(),
                command,
                env: None,
                language: Language::Other,
            },
            setups: vec![
                setup(BASE, Way::Plain),
                setup(MEAN_512, ours),
                setup(EVERY, ours),
                setup("heaptrack", Way::Heaptrack),
                setup(BASE_AGAIN, Way::Plain),
            ],
            outcomes: vec![base(), outcomes, every, none, base()],
        }
    }

    fn worst(section: Section) -> Verdict {
        Report { sections: vec![section], ..Report::default() }.worst()
    }

    #[test]
    fn ours_is_judged_and_a_missing_rival_is_not() {
        let within = measured(vec![Ok(run(1040.0, Some(2.0))); 3]);
        assert_eq!(worst(costs(&[within])), Verdict::Within);
        let over = measured(vec![Ok(run(1060.0, Some(2.0))); 3]);
        assert_eq!(worst(costs(&[over])), Verdict::Over);
    }

    #[test]
    fn what_failed_once_or_did_something_else_is_not_measured() {
        let good = || Ok(run(1000.0, Some(2.0)));
        let other_work = Ok(Run { checksum: "8".to_owned(), ..run(1000.0, Some(2.0)) });
        let other_talk = Ok(Run { talk: "help".to_owned(), ..run(1000.0, Some(2.0)) });
        for bad in [Err("nothing was sampled".to_owned()), other_work, other_talk] {
            let section = costs(&[measured(vec![good(), bad, good()])]);
            assert_eq!((section.rows[1].unmeasured, section.rows[3].unmeasured), (true, false));
            assert_eq!(section.notes.iter().filter(|note| note.starts_with(UNMEASURED)).count(), 2);
            assert_eq!(worst(section), Verdict::Unmeasured);
        }
    }

    #[test]
    fn a_capture_costs_at_most_what_a_sample_does() {
        let section = captures(&[measured(vec![Ok(run(1000.0, Some(2.0))); 3])]);
        // 0.2 s more for 400,000 samples.
        assert_eq!(section.rows[0].cells[2], "≤ 0.500 [0.500..0.500] µs");
        assert_eq!(worst(section), Verdict::Within);
    }
}
