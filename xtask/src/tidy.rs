//! `tidy`: the rules of the tree. A command, and a test below, so that nobody has to remember it.
//!
//! Each rule is a function from the tree to complaints, and has its own file; a complaint names the line,
//! what is wrong with it, and what to do.

mod floors;
mod forbidden;
mod limits;
mod proofs;
mod shape;
mod tree;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use crate::house::House;
use crate::shell::Failure;
use crate::test::Done;
use crate::trouble::Trouble;
use tree::Tree;

/// Something that must not stay as it is.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    /// From the root.
    file: String,
    /// Counted from 1.
    line: usize,
    what: String,
    /// What would make it right.
    cure: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.cure)
    }
}

/// The verb.
pub(crate) fn run(args: &[OsString]) -> Result<u8, Trouble> {
    let house = House::open()?;
    match args {
        [] => {}
        [one] if one == "--bless" => limits::bless(&house)?,
        [other, ..] => {
            let other = other.display();
            return Err(Trouble::Usage(format!("`tidy` takes only --bless, and got `{other}`")));
        }
    }
    Ok(u8::from(complain(&house, None)? > 0))
}

/// The step of `test`, which has just `built` the program.
pub(crate) fn step(house: &House, built: &Path) -> Result<Done, Failure> {
    match complain(house, Some(built))? {
        0 => Ok(Done::Did),
        complaints => Err(Failure {
            command: Some("cargo xtask tidy".to_owned()),
            what: format!("complaints, listed above: {complaints}"),
        }),
    }
}

/// Prints what every rule has to say, and returns how many complaints that were.
fn complain(house: &House, built: Option<&Path>) -> Result<usize, Trouble> {
    let start = Instant::now();
    let tree = Tree::read(&house.root)?;
    let (complaints, unproved) = check(house, &tree);
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    if !unproved.is_empty() {
        eprintln!("not proved yet: {}", unproved.join(" "));
    }
    // Last: it needs the built program, and a program that does not build must not hide the rest.
    let outdated = limits::check(&tree, &limits::printed(house, built)?);
    outdated.iter().for_each(|complaint| eprintln!("{complaint}"));
    let count = complaints.len() + usize::from(outdated.is_some());
    let (files, seconds) = (tree.files.len(), start.elapsed().as_secs_f32());
    eprintln!("tidy: {files} files, {count} complaints, {seconds:.1} s");
    Ok(count)
}

/// Every rule that needs nothing but the tree: complaints, and the requirements that no test proves.
fn check(house: &House, tree: &Tree) -> (Vec<Complaint>, Vec<String>) {
    let mut complaints = floors::check(&house.packages, tree);
    complaints.extend(shape::check(tree));
    complaints.extend(forbidden::check(tree));
    let proofs = proofs::check(tree);
    complaints.extend(proofs.complaints);
    (complaints, proofs.unproved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but docs/limits.md, whose truth needs the built program: that is `cargo xtask tidy`.
    #[test]
    fn the_tree_is_tidy() {
        let house = House::open().expect("cargo describes this workspace");
        let tree = Tree::read(&house.root).expect("the tree can be read");
        let (complaints, _) = check(&house, &tree);
        let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn a_complaint_names_the_line_and_the_cure() {
        let complaint = Complaint {
            file: "a/b.rs".to_owned(),
            line: 7,
            what: "it is crooked".to_owned(),
            cure: "bend it".to_owned(),
        };
        assert_eq!(complaint.to_string(), "a/b.rs:7: it is crooked; bend it");
    }
}
