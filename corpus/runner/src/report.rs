//! The table, what went wrong one by one, and the figures against their thresholds.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::answer::Site;
use crate::options::Options;
use crate::score::{self, Figures, Outcome, Scored, Share};
use crate::thresholds::{FUNCTION_FIRST_MIN, PRECISION_MIN, RECALL_MIN};
use crate::trouble::Trouble;
use crate::{EXIT_BAD, EXIT_UNDONE};

/// The version of what `--json` writes.
const SCHEMA: &str = "plimsoll.corpus/1";

/// What went wrong in one way: a title, and who belongs under it.
type Section = (&'static str, fn(&Scored) -> bool);

/// A figure as it is printed and judged.
struct Line {
    name: &'static str,
    share: Share,
    /// None if it is only shown.
    min: Option<f64>,
}

impl Line {
    fn is_below(&self) -> bool {
        matches!((self.share.value(), self.min), (Some(value), Some(min)) if value < min)
    }
}

/// Prints all of it, writes it where that was asked for, and returns the exit code.
pub(crate) fn finish(options: &Options, scored: &[Scored]) -> Result<u8, Trouble> {
    let figures = score::figures(scored);
    print!("{}", text(options.seed, scored, &figures));
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", as_json(options, scored, &figures));
        std::fs::write(path, text)
            .map_err(|error| Trouble::Undone(format!("{} could not be written: {error}", path.display())))?;
    }
    Ok(if lines(&figures).iter().any(Line::is_below) {
        EXIT_BAD
    } else if figures.failed.part > 0 {
        EXIT_UNDONE
    } else {
        0
    })
}

fn lines(figures: &Figures) -> Vec<Line> {
    let line = |name, share, min| Line { name, share, min };
    vec![
        line("precision", figures.precision, Some(PRECISION_MIN)),
        line("recall", figures.recall, Some(RECALL_MIN)),
        line("function first", figures.function_first, Some(FUNCTION_FIRST_MIN)),
        line("function among the first three", figures.function_among_first, None),
        line("line", figures.line, None),
        line("undecided", figures.undecided, None),
        line("no answer", figures.failed, None),
    ]
}

fn text(seed: u64, scored: &[Scored], figures: &Figures) -> String {
    let mut text = table(scored);
    let sections: [Section; 6] = [
        ("Missed", |scored| scored.outcome == Outcome::Missed),
        ("Accused falsely", |scored| scored.outcome == Outcome::Accused),
        ("Undecided", |scored| scored.outcome == Outcome::Undecided),
        ("No answer", |scored| scored.outcome == Outcome::Failed),
        ("Another function first", |scored| scored.place.as_ref().is_some_and(|place| place.rank != Some(1))),
        ("Wrong line", |scored| {
            scored.place.as_ref().is_some_and(|place| place.line_is_right == Some(false))
        }),
    ];
    for (title, is_in) in sections {
        let lines: Vec<String> = scored.iter().filter(|scored| is_in(scored)).map(explained).collect();
        if !lines.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{title}:\n  {}\n", lines.join("\n  "));
        }
    }
    let _ = writeln!(text, "\nseed {seed}");
    for line in lines(figures) {
        let _ = writeln!(text, "{}", shown(&line));
    }
    text
}

fn shown(line: &Line) -> String {
    let Share { part, whole } = line.share;
    let value = line.share.value().map_or("-".to_owned(), |value| format!("{value:.3}"));
    let limit = line.min.map_or(String::new(), |min| {
        format!("  at least {min:.2}: {}", if line.is_below() { "BELOW" } else { "ok" })
    });
    format!("{:<30}  {value:>5}  {part} of {whole}{limit}", line.name)
}

/// One line a run, with columns as wide as they must be.
fn table(scored: &[Scored]) -> String {
    const HEAD: [&str; 7] = ["program", "seed", "label", "verdict", "states", "rank", "first"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(scored.iter().map(row));
    crate::columns::aligned(&rows)
}

fn row(scored: &Scored) -> [String; 7] {
    let states: Vec<String> =
        scored.states().into_iter().map(|(state, count)| format!("{state} {count}")).collect();
    let rank = match &scored.place {
        None => String::new(),
        Some(place) => place.rank.map_or("none".to_owned(), |rank| rank.to_string()),
    };
    let verdict = scored.answer.as_ref().map_or("no answer", |answer| answer.verdict.name());
    [
        scored.program.name.clone(),
        scored.seed.to_string(),
        if scored.program.leaks { "leaks" } else { "fine" }.to_owned(),
        verdict.to_owned(),
        states.join(", "),
        rank,
        scored.first().map(place_of).unwrap_or_default(),
    ]
}

/// What somebody needs to look at one of them: how it is run again, what was expected, and what was said.
fn explained(scored: &Scored) -> String {
    let expected: Vec<String> = scored.program.marks.iter().map(ToString::to_string).collect();
    let said = match &scored.answer {
        Err(why) => why.clone(),
        Ok(answer) => answer.blamed().map(place_of).collect::<Vec<_>>().join(", "),
    };
    let mut text = format!("{} --seed {}", scored.program.name, scored.seed);
    if !expected.is_empty() {
        text += &format!("; expected {}", expected.join(", "));
    }
    if !said.is_empty() {
        text += &format!("; said {said}");
    }
    text
}

fn place_of(site: &Site) -> String {
    format!("{}:{}", if site.function.is_empty() { "?" } else { &site.function }, site.line)
}

fn as_json(options: &Options, scored: &[Scored], figures: &Figures) -> Value {
    let figure = |line: &Line| {
        json!({
            "name": line.name, "part": line.share.part, "whole": line.share.whole,
            "value": line.share.value(), "min": line.min, "is_below": line.is_below(),
        })
    };
    json!({
        "schema": SCHEMA,
        "seed": options.seed,
        "length_s": options.length_s,
        "figures": lines(figures).iter().map(figure).collect::<Vec<_>>(),
        "runs": scored.iter().map(run_as_json).collect::<Vec<_>>(),
    })
}

fn run_as_json(scored: &Scored) -> Value {
    let marks =
        scored.program.marks.iter().map(|mark| json!({ "line": mark.line, "functions": mark.functions }));
    let place = scored.place.as_ref().map(|place| {
        json!({ "rank": place.rank, "line_is_right": place.line_is_right, "wrong_sites": place.wrong_sites })
    });
    let answer = scored.answer.as_ref().ok();
    json!({
        "program": scored.program.name,
        "seed": scored.seed,
        "leaks": scored.program.leaks,
        "marks": marks.collect::<Vec<_>>(),
        "outcome": format!("{:?}", scored.outcome).to_lowercase(),
        "place": place,
        "said_by_program": answer.and_then(|answer| answer.program.clone()),
        "answer": answer.map(|answer| answer.whole.clone()),
        "failure": scored.answer.as_ref().err(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_listed() {
        let scored = score::tests::one_of_each();
        let text = text(7, &scored, &score::figures(&scored));
        for wanted in [
            "Missed:\n  leak_x --seed 4; expected Table::keep:9, Table::keep | grow:12\n",
            "Accused falsely:\n  fine_x --seed 7; said leak_x::serve:40\n",
            "Undecided:\n  leak_x --seed 5;",
            "No answer:\n  fine_x --seed 9; said it did not end\n",
            "Another function first:\n  leak_x --seed 2;",
            "Wrong line:\n  leak_x --seed 2;",
            "precision                       0.750  3 of 4  at least 0.97: BELOW\n",
            "recall                          0.600  3 of 5  at least 0.97: BELOW\n",
        ] {
            assert!(text.contains(wanted), "{wanted}\n---\n{text}");
        }
        let row = text
            .lines()
            .find(|line| line.starts_with("leak_x") && line.contains("suspect 2"))
            .expect("a row");
        assert!(row.contains("steady 1") && row.ends_with("leak_x::serve:40"), "{row}");
    }

    #[test]
    fn figures_of_nothing_are_not_below() {
        let figures = score::figures(&[]);
        assert!(!lines(&figures).iter().any(Line::is_below));
        assert!(text(7, &[], &figures).contains("precision                           -  0 of 0"));
    }
}
