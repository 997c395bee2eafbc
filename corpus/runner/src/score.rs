//! Holds answers against the truth. Takes no clock and runs nothing, so that recorded answers score like live ones.

use std::collections::BTreeMap;

use crate::answer::{Answer, Site, Verdict};
use crate::catalogue::Program;
use crate::names;

/// The right function counts as found if it is among so many that are named first.
const RANK_MAX: usize = 3;

/// How an answer stands to the truth about the whole program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It leaks, and that was said.
    Found,
    /// It leaks, and was said to be clean.
    Missed,
    /// It does not leak, and was said to.
    Accused,
    /// It does not leak, and was said to be clean.
    Cleared,
    /// Neither was said. Of a program that leaks this is a miss too.
    Undecided,
    /// There is no answer. Of a program that leaks this is a miss too.
    Failed,
}

/// Where the right function stands among those that are blamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1; none if it is not blamed. Where no function is expected: 1 if none is blamed.
    pub(crate) rank: Option<usize>,
    /// Whether a marked line was named with it; none if no line is expected or the function is not blamed.
    pub(crate) line_is_right: Option<bool>,
    /// Blamed sites that are not right: what somebody would look at in vain.
    pub(crate) wrong_sites: usize,
}

/// An answer that was held against the truth.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    pub(crate) program: Program,
    pub(crate) seed: u64,
    pub(crate) answer: Result<Answer, String>,
    pub(crate) outcome: Outcome,
    /// Of leaks that were found only.
    pub(crate) place: Option<Place>,
}

impl Scored {
    /// Holds the answer about this program against its marks.
    pub(crate) fn of(program: &Program, seed: u64, answer: Result<Answer, String>) -> Scored {
        let outcome = match (&answer, program.leaks) {
            (Err(_), _) => Outcome::Failed,
            (Ok(answer), leaks) => match (answer.verdict, leaks) {
                (Verdict::Leak, true) => Outcome::Found,
                (Verdict::Leak, false) => Outcome::Accused,
                (Verdict::Clean, true) => Outcome::Missed,
                (Verdict::Clean, false) => Outcome::Cleared,
                (Verdict::Undecided, _) => Outcome::Undecided,
            },
        };
        let found = answer.as_ref().ok().filter(|_| outcome == Outcome::Found);
        let place = found.map(|answer| place(program, answer));
        Scored { program: program.clone(), seed, answer, outcome, place }
    }

    /// The site that is blamed first.
    pub(crate) fn first(&self) -> Option<&Site> {
        self.answer.as_ref().ok()?.blamed().next()
    }

    /// How many sites are in which state.
    pub(crate) fn states(&self) -> BTreeMap<&str, usize> {
        let mut states = BTreeMap::new();
        for site in self.answer.iter().flat_map(|answer| &answer.sites) {
            *states.entry(&*site.state).or_default() += 1;
        }
        states
    }
}

fn place(program: &Program, answer: &Answer) -> Place {
    let expected = || program.functions();
    if expected().next().is_none() {
        let wrong_sites = answer.blamed().count();
        return Place { rank: (wrong_sites == 0).then_some(1), line_is_right: None, wrong_sites };
    }
    let line_is_right = |site: &Site| {
        site.file == program.file_name() && program.marks.iter().any(|mark| mark.line == site.line)
    };
    let is_right = |site: &Site| match names::is_nameless(&site.function) {
        true => line_is_right(site),
        false => expected().any(|expected| names::agree(&site.function, expected)),
    };
    let right = answer.blamed().position(is_right);
    let line_is_right = answer.blamed().find(|site| is_right(site)).map(line_is_right);
    let wrong_sites = answer.blamed().filter(|site| !is_right(site)).count();
    Place { rank: right.map(|at| at + 1), line_is_right, wrong_sites }
}

/// A share: how many of how many. None of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) whole: usize,
}

impl Share {
    /// From 0 to 1; none of nothing.
    pub(crate) fn value(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

/// What all answers come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Of those that were said to leak: those that do.
    pub(crate) precision: Share,
    /// Of those that leak: those that were said to.
    pub(crate) recall: Share,
    /// Of the leaks that were found: those whose function was blamed first.
    pub(crate) function_first: Share,
    /// The same, among the first three.
    pub(crate) function_among_first: Share,
    /// Of those whose function was blamed: those where a marked line was named with it.
    pub(crate) line: Share,
    /// Of all: those about which nothing was said.
    pub(crate) undecided: Share,
    /// Of all: those of which there is no answer.
    pub(crate) failed: Share,
}

/// Counts.
pub(crate) fn figures(all: &[Scored]) -> Figures {
    let count = |wanted: &dyn Fn(&Scored) -> bool| all.iter().filter(|scored| wanted(scored)).count();
    let found = count(&|scored| scored.outcome == Outcome::Found);
    let accused = count(&|scored| scored.outcome == Outcome::Accused);
    let ranked = |most: usize| {
        count(&|scored| scored.place.as_ref().and_then(|place| place.rank).is_some_and(|rank| rank <= most))
    };
    let lines = |right: bool| {
        count(&|scored| scored.place.as_ref().is_some_and(|place| place.line_is_right == Some(right)))
    };
    Figures {
        precision: Share { part: found, whole: found + accused },
        recall: Share { part: found, whole: count(&|scored| scored.program.leaks) },
        function_first: Share { part: ranked(1), whole: found },
        function_among_first: Share { part: ranked(RANK_MAX), whole: found },
        line: Share { part: lines(true), whole: lines(true) + lines(false) },
        undecided: Share { part: count(&|scored| scored.outcome == Outcome::Undecided), whole: all.len() },
        failed: Share { part: count(&|scored| scored.outcome == Outcome::Failed), whole: all.len() },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::catalogue::Language;
    use crate::marks::Mark;
    use crate::process::Ended;

    fn program(leaks: bool, marks: &[(u64, &[&str])]) -> Program {
        let mark = |&(line, functions): &(u64, &[&str])| Mark {
            line,
            functions: functions.iter().map(|&name| name.to_owned()).collect(),
        };
        let name = if leaks { "leak_x" } else { "fine_x" };
        Program {
            name: name.to_owned(),
            language: Language::Rust,
            source: format!("src/bin/{name}.rs").into(),
            leaks,
            marks: marks.iter().map(mark).collect(),
        }
    }

    fn answer(verdict: &str, sites: &[(&str, &str, u64, &str)]) -> Result<Answer, String> {
        let sites: Vec<String> = sites
            .iter()
            .map(|(function, file, line, state)| {
                format!(
                    "{{\"function\":\"{function}\",\"file\":\"{file}\",\"line\":{line},\"state\":\"{state}\",\
                     \"live_bytes\":1,\"stack\":[]}}"
                )
            })
            .collect();
        let output = format!(
            "{{\"schema\":\"plimsoll.watch/1\",\"verdict\":\"{verdict}\",\"sites\":[{}],\"gaps\":[]}}",
            sites.join(",")
        );
        let code = match verdict {
            "clean" => 0,
            "leak" => 1,
            _ => 3,
        };
        Answer::read(&Ended { code: Some(code), output, errors: String::new() })
    }

    /// One of each kind; the report is tested with them too.
    pub(crate) fn one_of_each() -> Vec<Scored> {
        let leaking = program(true, &[(9, &["Table::keep"]), (12, &["Table::keep", "grow"])]);
        let healthy = program(false, &[]);
        let right = ("leak_x::Table<K>::keep::{closure#0}", "/a/src/bin/leak_x.rs", 12, "confirmed");
        let other = ("leak_x::serve", "/a/src/bin/leak_x.rs", 40, "suspect");
        let wrong_line = ("grow", "/a/src/bin/leak_x.rs", 13, "suspect");
        let steady = ("leak_x::Table::keep", "/a/src/bin/leak_x.rs", 9, "steady");
        vec![
            Scored::of(&leaking, 1, answer("leak", &[right, other])),
            Scored::of(&leaking, 2, answer("leak", &[other, wrong_line, steady])),
            Scored::of(&leaking, 3, answer("leak", &[other, steady])),
            Scored::of(&leaking, 4, answer("clean", &[steady])),
            Scored::of(&leaking, 5, answer("undecided", &[])),
            Scored::of(&healthy, 6, answer("clean", &[])),
            Scored::of(&healthy, 7, answer("leak", &[other])),
            Scored::of(&healthy, 8, answer("undecided", &[])),
            Scored::of(&healthy, 9, Err("it did not end".to_owned())),
        ]
    }

    #[test]
    fn each_answer_is_held_against_the_truth() {
        let all = one_of_each();
        let outcomes: Vec<Outcome> = all.iter().map(|scored| scored.outcome).collect();
        use Outcome::{Accused, Cleared, Failed, Found, Missed, Undecided};
        assert_eq!(outcomes, [Found, Found, Found, Missed, Undecided, Cleared, Accused, Undecided, Failed]);
        let place = |rank, line_is_right, wrong_sites| Some(Place { rank, line_is_right, wrong_sites });
        assert_eq!(all[0].place, place(Some(1), Some(true), 1));
        assert_eq!(all[1].place, place(Some(2), Some(false), 1));
        assert_eq!(all[2].place, place(None, None, 1), "a site that is steady is not blamed");
        assert!(all[3..].iter().all(|scored| scored.place.is_none()));
        assert_eq!(all[1].states(), BTreeMap::from([("steady", 1), ("suspect", 2)]));
    }

    #[test]
    fn undecided_is_neither_true_nor_false_but_a_miss() {
        let share = |part, whole| Share { part, whole };
        let figures = figures(&one_of_each());
        assert_eq!(figures.precision, share(3, 4));
        assert_eq!(figures.recall, share(3, 5));
        assert_eq!(figures.function_first, share(1, 3));
        assert_eq!(figures.function_among_first, share(2, 3));
        assert_eq!(figures.line, share(1, 2));
        assert_eq!((figures.undecided, figures.failed), (share(2, 9), share(1, 9)));
        assert_eq!(share(0, 0).value(), None);
    }

    #[test]
    fn a_closure_without_a_name_is_known_by_its_line() {
        let leaking = program(true, &[(9, &["Table::keep"])]);
        for (line, rank) in [(9, Some(1)), (10, None)] {
            let site = ("{closure#0}<u8>", "leak_x.rs", line, "confirmed");
            let scored = Scored::of(&leaking, 1, answer("leak", &[site]));
            assert_eq!(scored.place.expect("it was found").rank, rank);
        }
    }

    #[test]
    fn where_no_function_is_expected_none_must_be_blamed() {
        let outside = program(true, &[(5, &[])]);
        let scored = Scored::of(&outside, 1, answer("leak", &[]));
        assert_eq!(scored.place, Some(Place { rank: Some(1), line_is_right: None, wrong_sites: 0 }));
        let scored = Scored::of(&outside, 1, answer("leak", &[("f", "leak_x.rs", 5, "confirmed")]));
        assert_eq!(scored.place, Some(Place { rank: None, line_is_right: None, wrong_sites: 1 }));
    }
}
