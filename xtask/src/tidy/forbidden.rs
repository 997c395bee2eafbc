//! Lines that must not be in the tree: somebody's own machine, work that was put off, tests switched off
//! for no said reason.
//!
//! The needles are cut in two below, so that this file does not find itself.

use super::Complaint;
use super::tree::{File, Tree};

/// Folders in which people live: the next part of the path is a name.
const PEOPLE: [&str; 2] = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
/// The folder of a machine's owner.
const OWNER: &str = concat!("/ro", "ot/");
/// Work that was put off until somebody runs into it.
const PUT_OFF: [&str; 2] = [concat!("to", "do!("), concat!("unimpl", "emented!(")];
/// A test that is switched off.
const IGNORED: &str = "#[ignore";

/// Complains about forbidden lines.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        let mut complain = |what: String, cure: &str| {
            let (file, cure) = (file.path.clone(), cure.to_owned());
            complaints.push(Complaint { file, line: number, what, cure });
        };
        if let Some(path) = machine_path(line) {
            complain(format!("`{path}` is on one machine only"), "say it relative to the tree");
        }
        if !file.is_rust() {
            continue;
        }
        if let Some(word) = PUT_OFF.iter().find(|word| line.contains(**word)) {
            complain(format!("`{word}` panics when it is reached"), "write it, or return a typed error");
        }
        if line.trim_start().strip_prefix(IGNORED).is_some_and(|rest| !rest.starts_with(" = \"")) {
            complain("a test is switched off".to_owned(), "say why: `#[ignore = \"reason\"]`");
        }
    }
    complaints
}

/// The folder of a person or an owner, if `line` holds the path of one.
fn machine_path(line: &str) -> Option<String> {
    let named = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    // `a/root/b` is a folder of ours; only a path that begins there is a machine's.
    let begins = |at: usize| !line[..at].ends_with(named);
    for prefix in PEOPLE {
        for (at, _) in line.match_indices(prefix).filter(|&(at, _)| begins(at)) {
            let rest = &line[at + prefix.len()..];
            let name = &rest[..rest.find(|c| !named(c)).unwrap_or(rest.len())];
            if !name.is_empty() && rest[name.len()..].starts_with('/') {
                return Some(format!("{prefix}{name}/"));
            }
        }
    }
    let owner = line.match_indices(OWNER).any(|(at, _)| begins(at));
    owner.then(|| OWNER.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, line: &str) -> bool {
        !check(&Tree::of(&[(path, line)])).is_empty()
    }

    #[test]
    fn a_path_on_somebodys_machine_is_found_in_any_file() {
        for path in ["README.md", "crates/a/src/lib.rs", ".ci/run"] {
            assert!(found(path, &format!("see {}ada/x.log", PEOPLE[0])));
            assert!(found(path, &format!("\"{}ada/x.log\"", PEOPLE[1])));
            assert!(found(path, &format!("({OWNER}x)")));
        }
        assert!(!found("README.md", &format!("{}<name>/x", PEOPLE[0])), "a placeholder");
        assert!(!found("README.md", &format!("crates{OWNER}lib.rs")), "a folder of ours");
    }

    #[test]
    fn work_that_was_put_off_is_found_in_sources() {
        for word in PUT_OFF {
            assert!(found("crates/a/src/lib.rs", &format!("fn f() {{ {word}) }}")));
            assert!(!found("docs/a.md", &format!("never `{word})`")));
        }
    }

    #[test]
    fn a_switched_off_test_says_why() {
        assert!(found("crates/a/tests/b.rs", "#[ignore]\nfn f() {}"));
        assert!(!found("crates/a/tests/b.rs", "#[ignore = \"takes a day; `xtask soak` runs it\"]"));
    }

    #[test]
    fn a_complaint_shows_the_line() {
        let complaints = check(&Tree::of(&[("a.rs", "//! A.\n\n    #[ignore]\n")]));
        assert_eq!(complaints.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [3]);
    }
}
