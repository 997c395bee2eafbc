//! Figures, judged and printed: sections of rows, each with what was measured, the limit and the verdict.

use serde_json::{Map, Value, json};

use crate::options::Options;
use crate::statistics::Spread;

/// The version of what `--json` writes.
const SCHEMA: u32 = 1;

/// How a row stands to its limits, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Shown to compare, not judged.
    NoLimit,
    /// Within, and not by chance.
    Within,
    /// The median is within, and the limit lies inside of what the median may really be.
    PerhapsWithin,
    /// The median is over, and the limit lies inside of what the median may really be.
    PerhapsOver,
    /// It should have been judged and could not be measured: never as good as within.
    Unmeasured,
    /// Over, and not by chance.
    Over,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::NoLimit => "",
            Self::Within => "ok",
            Self::PerhapsWithin => "ok, unsure",
            Self::PerhapsOver => "OVER, unsure",
            Self::Unmeasured => "NOT MEASURED",
            Self::Over => "OVER",
        }
    }
}

/// One figure against one limit.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    measured: f64,
    /// Between which figures the true one is; both are `measured` if it was counted.
    around: (f64, f64),
    limit_max: f64,
    /// The limit in words.
    text: String,
    bounds: Bounds,
}

/// How what was measured stands to what has the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    /// It is that.
    Itself,
    /// It is that and more: within is within, but over need not be over.
    FromAbove,
}

impl Check {
    /// A figure that has noise.
    pub(crate) fn spread(measured: &Spread, limit_max: f64, text: String) -> Check {
        Check {
            measured: measured.median(),
            around: measured.around_median(),
            limit_max,
            text,
            bounds: Bounds::Itself,
        }
    }

    /// A figure that has noise and is larger than what the limit is about.
    pub(crate) fn from_above(measured: &Spread, limit_max: f64, text: String) -> Check {
        Check { bounds: Bounds::FromAbove, ..Check::spread(measured, limit_max, text) }
    }

    /// A figure that has none.
    pub(crate) fn exact(measured: f64, limit_max: f64, text: String) -> Check {
        Check { measured, around: (measured, measured), limit_max, text, bounds: Bounds::Itself }
    }

    fn verdict(&self) -> Verdict {
        let surely_over = self.around.0 > self.limit_max && self.bounds == Bounds::Itself;
        let sure = surely_over || self.around.1 <= self.limit_max;
        match (self.measured <= self.limit_max, sure) {
            (true, true) => Verdict::Within,
            (true, false) => Verdict::PerhapsWithin,
            (false, false) => Verdict::PerhapsOver,
            (false, true) => Verdict::Over,
        }
    }
}

/// One line.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// As many as the section has columns; limit and verdict are added.
    pub(crate) cells: Vec<String>,
    pub(crate) checks: Vec<Check>,
    /// It ought to have been judged, or stands for what we ship, and there is no figure.
    pub(crate) unmeasured: bool,
    /// The figures, for programs.
    pub(crate) figures: Map<String, Value>,
}

impl Row {
    fn verdict(&self) -> Verdict {
        if self.unmeasured {
            return Verdict::Unmeasured;
        }
        self.checks.iter().map(Check::verdict).max().unwrap_or(Verdict::NoLimit)
    }

    fn limits(&self) -> String {
        self.checks.iter().map(|check| &*check.text).collect::<Vec<_>>().join(", ")
    }
}

/// Rows with the same columns.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// What is measured against what, in one line.
    pub(crate) about: String,
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Row>,
    /// Said under the table, a line each.
    pub(crate) notes: Vec<String>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// On what machine, and when.
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) sections: Vec<Section>,
}

impl Report {
    /// The worst verdict of all rows.
    pub(crate) fn worst(&self) -> Verdict {
        self.rows().map(Row::verdict).max().unwrap_or(Verdict::NoLimit)
    }

    /// The table.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.machine {
            text += &format!("{name}: {value}\n");
        }
        self.sections.iter().for_each(|section| section.write(&mut text));
        let with = |wanted: fn(Verdict) -> bool| self.rows().filter(|row| wanted(row.verdict())).count();
        let judged = with(|verdict| verdict != Verdict::NoLimit);
        let unsure = with(|verdict| matches!(verdict, Verdict::PerhapsWithin | Verdict::PerhapsOver));
        let over = with(|verdict| matches!(verdict, Verdict::PerhapsOver | Verdict::Over));
        let unmeasured = with(|verdict| verdict == Verdict::Unmeasured);
        let ok = judged - over - unmeasured;
        text += &format!("\n{judged} rows judged: {ok} ok, {over} over; {unsure} of them unsure");
        if unmeasured > 0 {
            text += &format!("; {unmeasured} not measured");
        }
        text.push('\n');
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self, options: &Options) -> Value {
        let machine: Map<String, Value> =
            self.machine.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let sections: Vec<Value> = self.sections.iter().map(Section::json).collect();
        json!({
            "schema": SCHEMA,
            "subject": options.subject,
            "quick": options.quick,
            "rounds": options.rounds,
            "machine": machine,
            "sections": sections,
        })
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|section| &section.rows)
    }
}

impl Section {
    fn write(&self, text: &mut String) {
        let tail = ["limit", "verdict"];
        let head = self.columns.iter().chain(&tail).map(|name| (*name).to_owned()).collect();
        let body = self.rows.iter().map(|row| {
            let tail = [row.limits(), row.verdict().name().to_owned()];
            row.cells.iter().cloned().chain(tail).collect()
        });
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len() + tail.len()).map(width).collect();
        let mut write = |line: String| {
            text.push_str(line.trim_end());
            text.push('\n');
        };
        write(String::new());
        write(format!("{}: {}", self.name, self.about));
        for (number, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            write(cells.collect::<Vec<_>>().join("  "));
            if number == 0 {
                write(widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  "));
            }
        }
        self.notes.iter().for_each(|note| write(note.clone()));
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        json!({"name": self.name, "about": self.about, "rows": rows, "notes": self.notes})
    }

    fn row_json(&self, row: &Row) -> Value {
        let cells: Map<String, Value> = self
            .columns
            .iter()
            .zip(&row.cells)
            .map(|(name, cell)| ((*name).to_owned(), json!(cell)))
            .collect();
        let checks: Vec<Value> = row
            .checks
            .iter()
            .map(|check| {
                json!({
                    "limit": check.text,
                    "limit_max": check.limit_max,
                    "measured": check.measured,
                    "low": check.around.0,
                    "high": check.around.1,
                    "verdict": check.verdict().name(),
                })
            })
            .collect();
        json!({"cells": cells, "figures": row.figures, "checks": checks, "verdict": row.verdict().name()})
    }
}

/// A spread as programs want it.
pub(crate) fn spread_json(spread: &Spread) -> Value {
    json!({
        "median": spread.median(),
        "min": spread.min(),
        "max": spread.max(),
        "figures": spread.figures(),
    })
}

/// `1.01 [0.98..1.05]`.
pub(crate) fn spread_text(spread: &Spread) -> String {
    let median = spread.median();
    // Where the second digit behind the point says nothing any more, it is only in the way.
    let digits = if median < 10.0 { 3 } else { 1 };
    format!("{median:.digits$} [{:.digits$}..{:.digits$}]", spread.min(), spread.max())
}

/// Nanoseconds in the unit in which they are short.
pub(crate) fn ns_text(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.1} ns"),
        1e3..1e6 => format!("{:.1} µs", ns / 1e3),
        _ => format!("{:.1} ms", ns / 1e6),
    }
}

/// A count, in thousands or millions where single ones are noise.
pub(crate) fn count_text(count: f64) -> String {
    match count {
        ..1e4 => format!("{count:.1}"),
        1e4..1e6 => format!("{:.1} k", count / 1e3),
        _ => format!("{:.2} M", count / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(figures: &[f64]) -> Spread {
        Spread::of(figures.iter().copied()).expect("there is one")
    }

    #[test]
    fn a_verdict_says_whether_noise_could_have_made_it() {
        let figures = spread(&[0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04, 1.05]);
        let verdict = |limit| Check::spread(&figures, limit, String::new()).verdict();
        assert_eq!(verdict(1.20), Verdict::Within);
        assert_eq!(verdict(1.02), Verdict::PerhapsWithin);
        assert_eq!(verdict(1.00), Verdict::PerhapsOver);
        assert_eq!(verdict(0.90), Verdict::Over);
        let from_above = |limit| Check::from_above(&figures, limit, String::new()).verdict();
        assert_eq!((from_above(1.20), from_above(0.90)), (Verdict::Within, Verdict::PerhapsOver));
        assert_eq!(Check::exact(1.0, 1.0, String::new()).verdict(), Verdict::Within);
        assert_eq!(Check::exact(1.1, 1.0, String::new()).verdict(), Verdict::Over);
    }

    #[test]
    fn a_row_is_as_bad_as_its_worst_check() {
        let checks =
            vec![Check::exact(1.0, 2.0, "≤ 2".to_owned()), Check::exact(3.0, 2.0, "≤ 2 %".to_owned())];
        let row = Row { checks, ..Row::default() };
        assert_eq!((row.verdict(), row.limits()), (Verdict::Over, "≤ 2, ≤ 2 %".to_owned()));
        assert_eq!(Row::default().verdict(), Verdict::NoLimit);
        assert_eq!(Row { unmeasured: true, ..row }.verdict(), Verdict::Unmeasured);
    }

    #[test]
    fn columns_stand_under_one_another() {
        let row = Row {
            cells: vec!["json".to_owned(), spread_text(&spread(&[1.0, 1.5, 2.0]))],
            checks: vec![Check::exact(1.0, 2.0, "≤ 2".to_owned())],
            ..Row::default()
        };
        let section = Section {
            name: "cost",
            about: "of it".to_owned(),
            columns: &["work", "ratio"],
            rows: vec![row],
            notes: vec!["a note".to_owned()],
        };
        let mut text = String::new();
        section.write(&mut text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1..],
            [
                "cost: of it",
                "work  ratio                 limit  verdict",
                "----  --------------------  -----  -------",
                "json  1.500 [1.000..2.000]  ≤ 2    ok",
                "a note",
            ]
        );
    }
}
