//! One line a program, then who was accused and why, and what is open. Everything else is in `--json FILE`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::Fate;
use crate::answer::{self, Answer, Verdict};
use crate::options::Options;
use crate::process::shown;
use crate::trouble::Trouble;
use crate::{EXIT_BAD, EXIT_UNDONE};

/// The version of what `--json` writes.
const SCHEMA: &str = "plimsoll.corpus-real/1";
/// So many frames of a stack are shown, from the innermost.
const FRAMES_MAX: usize = 12;

/// What became of one program, under its name.
type Fated = (&'static str, Fate);

/// Prints all of it, writes it where that was asked for, and returns the exit code.
pub(super) fn finish(options: &Options, all: &[Fated]) -> Result<u8, Trouble> {
    print!("{}", text(all));
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", as_json(options, all));
        std::fs::write(path, text)
            .map_err(|error| Trouble::Undone(format!("{} could not be written: {error}", path.display())))?;
    }
    Ok(code(all))
}

fn code(all: &[Fated]) -> u8 {
    let is_accused = |fate: &Fate| matches!(fate, Fate::Judged(answer, _) if answer.verdict == Verdict::Leak || is_blamed(answer));
    if all.iter().any(|(_, fate)| is_accused(fate)) {
        EXIT_BAD
    } else if all.iter().any(|(_, fate)| matches!(fate, Fate::Failed(_))) {
        EXIT_UNDONE
    } else {
        0
    }
}

fn is_blamed(answer: &Answer) -> bool {
    answer.blamed().next().is_some()
}

/// How it ended, for whoever waits.
pub(super) fn in_a_word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Skipped(_) => "skipped",
        Fate::Failed(_) => "no answer",
        Fate::Judged(answer, _) => answer.verdict.name(),
    }
}

fn text(all: &[Fated]) -> String {
    let mut text = table(all);
    // Writing to a string does not fail.
    for (name, fate) in all {
        let _ = match fate {
            Fate::Skipped(missing) => {
                writeln!(text, "\n{name} was skipped: there is no {}", missing.join(", no "))
            }
            Fate::Failed(why) => writeln!(text, "\n{name} has no answer: {}", shown(why)),
            Fate::Judged(answer, _) => write!(text, "{}", explained(name, answer)),
        };
    }
    text
}

/// One line a program, with columns as wide as they must be.
fn table(all: &[Fated]) -> String {
    const HEAD: [&str; 8] =
        ["program", "verdict", "confidence", "not steady", "resident", "grew", "growth/s", "rounds"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(all.iter().map(|(name, fate)| row(name, fate)));
    crate::columns::aligned(&rows)
}

fn row(name: &str, fate: &Fate) -> [String; 8] {
    let mut row: [String; 8] = Default::default();
    row[0] = name.to_owned();
    row[1] = in_a_word(fate).to_owned();
    if let Fate::Judged(answer, rounds) = fate {
        let process = &answer.whole["process"];
        let bytes = |field: &str| process[field].as_i64().unwrap_or_default();
        let [low, high] = [0, 1].map(|end: usize| process["growth_ci"][end].as_f64().unwrap_or_default());
        row[2] = format!("{:.2}", answer.whole["confidence"].as_f64().unwrap_or_default());
        row[3] = unsteady(answer);
        row[4] = kib(bytes("resident_bytes"));
        row[5] = kib(bytes("resident_bytes") - bytes("resident_first_bytes"));
        row[6] = format!("{low:.0} to {high:.0} B");
        row[7] = rounds.to_string();
    }
    row
}

fn kib(bytes: i64) -> String {
    format!("{} KiB", bytes / 1024)
}

/// How many sites are in which state, of those that are in another than steady.
fn unsteady(answer: &Answer) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for site in answer.sites.iter().filter(|site| site.state != "steady") {
        *states.entry(&*site.state).or_default() += 1;
    }
    let states: Vec<String> = states.into_iter().map(|(state, count)| format!("{state} {count}")).collect();
    states.join(", ")
}

/// What somebody needs to look at who was accused, or at what is open.
fn explained(name: &str, answer: &Answer) -> String {
    let mut text = String::new();
    let gaps = answer.whole["gaps"].as_array().map(Vec::as_slice).unwrap_or_default();
    if answer.verdict == Verdict::Undecided {
        let gaps: Vec<&str> = gaps.iter().filter_map(Value::as_str).collect();
        let _ = writeln!(text, "\n{name} is undecided: {}", gaps.join("; "));
    }
    if answer.verdict == Verdict::Leak || is_blamed(answer) {
        let _ = writeln!(text, "\n{name} was accused:");
    }
    let process = &answer.whole["process"];
    if process["state"].as_str().is_some_and(answer::is_blamed) {
        let parts = process["parts"].as_array().into_iter().flatten();
        let parts = parts.filter(|part| part["state"].as_str().is_some_and(answer::is_blamed));
        let parts: Vec<String> =
            parts.map(|part| format!("{} at {} B/s", part["name"], part["growth_bytes_per_s"])).collect();
        let _ = writeln!(text, "  outside of the heap: {}", parts.join(", "));
        gates(&mut text, &process["gates"]);
    }
    let sites = answer.whole["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (site, whole) in answer.sites.iter().zip(sites).filter(|(site, _)| site.is_blamed()) {
        let field = |field: &str| whole[field].to_string();
        let _ = writeln!(
            text,
            "  {} {}:{} ({}, program {}), {} live bytes, {} B/s",
            site.state,
            if site.function.is_empty() { "?" } else { &site.function },
            site.line,
            field("kind"),
            field("program"),
            field("live_bytes"),
            field("growth_bytes_per_s"),
        );
        gates(&mut text, &whole["gates"]);
        let frames = whole["stack"].as_array().map(Vec::as_slice).unwrap_or_default();
        let frames: Vec<&str> =
            frames.iter().take(FRAMES_MAX).filter_map(|frame| frame["function"].as_str()).collect();
        let _ = writeln!(text, "    called {}", frames.join(" < "));
    }
    text
}

fn gates(text: &mut String, gates: &Value) {
    for gate in gates.as_array().into_iter().flatten() {
        let _ = writeln!(text, "    {}: {}", gate["name"], gate["found"]);
    }
}

fn as_json(options: &Options, all: &[Fated]) -> Value {
    let one = |(name, fate): &Fated| match fate {
        Fate::Skipped(missing) => json!({ "program": name, "missing": missing }),
        Fate::Failed(why) => json!({ "program": name, "failure": why }),
        Fate::Judged(answer, rounds) => json!({ "program": name, "rounds": rounds, "answer": answer.whole }),
    };
    json!({
        "schema": SCHEMA,
        "length_s": options.length_s,
        "programs": all.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Ended;

    fn judged(verdict: &str, code: i32, rest: &str) -> Fate {
        let output = format!("{{\"schema\":\"plimsoll.watch/1\",\"verdict\":\"{verdict}\",{rest}}}");
        let ended = Ended { code: Some(code), output, errors: String::new() };
        Fate::Judged(Box::new(Answer::read(&ended).expect("it is well formed")), 7)
    }

    const GROWING: &str = "\"confidence\":0.9,\"sites\":[{\"state\":\"growing\"},{\"state\":\"steady\"}],\
        \"process\":{\"resident_first_bytes\":4096,\"resident_bytes\":2048,\"growth_ci\":[1,2.6]}";
    const SUSPECT: &str = "\"sites\":[{\"state\":\"suspect\",\"function\":\"keep\",\"line\":9,\"kind\":\"objects\",\
        \"gates\":[{\"name\":\"spread\",\"found\":\"in 5 of 6\"}],\"stack\":[{\"function\":\"keep\"},\
        {\"function\":\"main\"}]}],\"process\":{\"state\":\"suspect\",\"parts\":[{\"name\":\"slack\",\
        \"state\":\"suspect\",\"growth_bytes_per_s\":5}]}";

    #[test]
    fn who_was_accused_is_shown_with_the_reasons() {
        let all = [
            ("good", judged("clean", 0, GROWING)),
            ("open", judged("undecided", 3, "\"sites\":[],\"gaps\":[\"too short\",\"too few\"]")),
            ("bad", judged("leak", 1, SUSPECT)),
            ("absent", Fate::Skipped(vec!["x (package y)".to_owned()])),
            ("broken", Fate::Failed("it fell over".to_owned())),
        ];
        let text = text(&all);
        for wanted in [
            "good     clean      0.90        growing 1   2 KiB     -2 KiB  1 to 3 B  7\n",
            "open is undecided: too short; too few\n",
            "bad was accused:\n  outside of the heap: \"slack\" at 5 B/s\n  suspect keep:9",
            "    \"spread\": \"in 5 of 6\"\n    called keep < main\n",
            "absent was skipped: there is no x (package y)\n",
            "broken has no answer: it fell over\n",
        ] {
            assert!(text.contains(wanted), "{wanted}\n---\n{text}");
        }
        assert_eq!(code(&all), EXIT_BAD);
        assert_eq!((code(&all[3..]), code(&all[..2])), (EXIT_UNDONE, 0));
    }
}
