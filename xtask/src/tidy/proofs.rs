//! A requirement is met when a test says that it proves it and would fail without the code.
//!
//! A test says so in its doc comment, `/// Proves P8.` or `/// Proves P1, P2.`; a test file that proves
//! one as a whole says it with `//!` at its head. Ids that no test proves are listed; those of finished
//! issues must be proved.

use std::collections::BTreeSet;

use super::Complaint;
use super::tree::{File, Tree};

/// Where the ids are.
const REQUIREMENTS: &str = "docs/requirements.md";
/// The ids that must be proved by now.
const FINISHED: &str = "xtask/finished-requirements.txt";
/// Where tests are.
const TESTED: [&str; 4] = ["crates/", "xtask/", "sim/", "examples/"];

/// What the rule found.
pub(super) struct Proofs {
    pub(super) complaints: Vec<Complaint>,
    /// Ids that no test proves and that need not be proved yet, as docs/requirements.md orders them.
    pub(super) unproved: Vec<String>,
}

/// Complains about proofs that prove nothing and about finished requirements without a proof.
pub(super) fn check(tree: &Tree) -> Proofs {
    let mut complaints = Vec::new();
    let known: Vec<&str> = lines_of(tree, REQUIREMENTS).filter_map(|(_, line)| required(line)).collect();
    if known.is_empty() {
        complaints.push(Complaint {
            file: REQUIREMENTS.to_owned(),
            line: 1,
            what: "there are no requirements".to_owned(),
            cure: "write them as table rows `| ID | requirement |`".to_owned(),
        });
    }
    let mut proved = BTreeSet::new();
    let tested = |file: &&File| file.is_rust() && TESTED.iter().any(|folder| file.path.starts_with(folder));
    for file in tree.files.iter().filter(tested) {
        for claim in claims(file) {
            let mut complain = |what: String, cure: &str| {
                let (file, cure) = (file.path.clone(), cure.to_owned());
                complaints.push(Complaint { file, line: claim.line, what, cure });
            };
            if !claim.tested {
                complain(
                    format!("`Proves {}` stands on no test that runs", claim.ids.join(", ")),
                    "put it on a `#[test]` that is not ignored, or with `//!` at the head of a test file",
                );
                continue;
            }
            for id in claim.ids {
                if known.contains(&id) {
                    proved.insert(id);
                } else {
                    complain(format!("there is no requirement {id}"), "see docs/requirements.md");
                }
            }
        }
    }
    let mut unproved: Vec<&str> = known.iter().copied().filter(|id| !proved.contains(id)).collect();
    for (line, id) in lines_of(tree, FINISHED).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let what = if !known.contains(&id) {
            format!("there is no requirement `{id}`")
        } else if unproved.contains(&id) {
            unproved.retain(|other| *other != id);
            format!("{id} belongs to a finished issue, and no test proves it")
        } else {
            continue;
        };
        let cure = format!("write `/// Proves {id}.` on the test that fails without it");
        complaints.push(Complaint { file: FINISHED.to_owned(), line, what, cure });
    }
    Proofs { complaints, unproved: unproved.into_iter().map(str::to_owned).collect() }
}

/// One `Proves` line.
struct Claim<'a> {
    line: usize,
    ids: Vec<&'a str>,
    /// Whether a test that runs stands behind it.
    tested: bool,
}

fn claims(file: &File) -> Vec<Claim<'_>> {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let mut claims = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let (doc, whole_file) = match (line.strip_prefix("///"), line.strip_prefix("//!")) {
            (Some(doc), _) => (doc, false),
            (None, Some(doc)) => (doc, true),
            (None, None) => continue,
        };
        let Some(ids) = claimed(doc) else { continue };
        let tested =
            if whole_file { lines.iter().any(|line| is_test(line)) } else { stands_on_a_test(&lines, at) };
        claims.push(Claim { line: at + 1, ids, tested });
    }
    claims
}

/// The ids that a line of a doc comment says are proved.
fn claimed(doc: &str) -> Option<Vec<&str>> {
    let words = doc.trim_start().strip_prefix("Proves ")?.split([' ', ',', '.', ':', ';']);
    let words = words.filter(|word| !word.is_empty() && *word != "and");
    let ids: Vec<&str> = words.take_while(|word| is_id(word)).collect();
    (!ids.is_empty()).then_some(ids)
}

/// Whether the doc comment with line `at` belongs to a function or module of tests that is not ignored.
fn stands_on_a_test(lines: &[&str], at: usize) -> bool {
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    let is_item = |line: &str| line.split_whitespace().any(|word| word == "fn" || word == "mod");
    let below = lines[at..].iter().take_while(|line| line.starts_with("//") || !is_item(line));
    let item: Vec<&&str> = above.chain(below).collect();
    item.iter().any(|line| is_test(line)) && !item.iter().any(|line| line.starts_with("#[ignore"))
}

/// `#[test]`, `#[tokio::test(...)]`, `#[cfg(test)]`.
fn is_test(line: &str) -> bool {
    let attribute = line.strip_prefix("#[");
    attribute.is_some_and(|rest| rest.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test"))
}

/// The id of a row of the requirements' table.
fn required(line: &str) -> Option<&str> {
    let id = line.strip_prefix("| ")?.split(" |").next()?;
    is_id(id).then_some(id)
}

/// A capital and a number: `P8`.
fn is_id(word: &str) -> bool {
    let number = word.strip_prefix(|c: char| c.is_ascii_uppercase());
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn lines_of<'a>(tree: &'a Tree, path: &str) -> impl Iterator<Item = (usize, &'a str)> {
    tree.file(path).into_iter().flat_map(File::lines).map(|(number, line)| (number, line.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str =
        "# Must\n| id | requirement |\n| --- | --- |\n| P1 | One. |\n| P2 | Two. |\n| S1 | Three. |\n";

    fn checked(finished: &str, test: &str) -> (Vec<String>, Vec<String>) {
        let files = [(REQUIREMENTS, ROWS), (FINISHED, finished), ("crates/a/tests/b.rs", test)];
        let proofs = check(&Tree::of(&files));
        (proofs.complaints.iter().map(Complaint::to_string).collect(), proofs.unproved)
    }

    #[test]
    fn what_no_test_proves_is_listed() {
        let (complaints, unproved) = checked("# S1\n", "/// Proves P1 and P2: both.\n#[test]\nfn f() {}\n");
        assert_eq!((complaints, unproved), (vec![], vec!["S1".to_owned()]));
    }

    #[test]
    fn a_finished_requirement_must_be_proved() {
        let (complaints, unproved) = checked("# issue 2\nP1\nP2\n", "/// Proves P1.\n#[test]\nfn f() {}\n");
        assert_eq!(unproved, ["S1"]);
        let [complaint] = &complaints[..] else { panic!("one complaint: {complaints:?}") };
        assert!(complaint.starts_with("xtask/finished-requirements.txt:3: P2 belongs"), "{complaint}");
    }

    #[test]
    fn a_file_of_tests_can_prove_as_a_whole() {
        let (complaints, unproved) = checked("", "//! Races.\n//! Proves P1, P2, S1.\n#[test]\nfn f() {}\n");
        assert_eq!((complaints.len(), unproved.len()), (0, 0));
    }

    #[test]
    fn only_a_test_that_runs_proves_anything() {
        for (proves, test) in [
            (
                true,
                "    #[tokio::test(flavor = \"current_thread\")]\n    /// Proves P1.\n    async fn f() {}\n",
            ),
            (
                true,
                "/// Proves P1.\n///\n/// At length.\n#[tokio::test(\n    start_paused = true\n)]\nasync fn f() {}\n",
            ),
            (true, "/// Proves P1.\n#[cfg(test)]\nmod tests {}\n"),
            (false, "/// Proves P1.\nfn f() {}\n#[test]\nfn g() {}\n"),
            (false, "#[test]\nfn g() {}\n\n/// Proves P1.\nfn f() {}\n"),
            (false, "/// Proves P1.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"),
            (false, "//! Proves P1.\nfn f() {}\n"),
        ] {
            let (complaints, unproved) = checked("", test);
            assert_eq!(complaints.is_empty(), proves, "{test}: {complaints:?}");
            assert_eq!(!unproved.contains(&"P1".to_owned()), proves, "{test}");
        }
    }

    #[test]
    fn ids_that_nobody_asked_for_are_complained_about() {
        let (complaints, _) = checked("X1\n", "/// Proves P9.\n#[test]\nfn f() {}\n");
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }

    #[test]
    fn prose_that_proves_is_no_claim() {
        let (complaints, unproved) = checked("", "/// Proves that one can.\nfn f() {}\n");
        assert_eq!((complaints.len(), unproved.len()), (0, 3));
    }
}
