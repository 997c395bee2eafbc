//! docs/limits.md is what the program says about its own limits, so that the page and the program cannot
//! tell two stories.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Complaint;
use super::tree::Tree;
use crate::house::House;
use crate::shell;
use crate::trouble::Trouble;

/// The page.
const PAGE: &str = "docs/limits.md";
/// Variables with this beginning are settings; the page shows defaults.
const SETTING: &str = "PLIMSOLL_";

/// What the program prints: the one that was `built`, else one that Cargo builds now.
pub(super) fn printed(house: &House, built: Option<&Path>) -> Result<String, Trouble> {
    let mut command = match built {
        Some(built) => Command::new(built),
        None => {
            let mut cargo = Command::new("cargo");
            cargo.args(["run", "--quiet", "--package", "plimsoll-cli", "--"]);
            cargo
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with(SETTING)) {
            command.env_remove(name);
        }
    }
    let page = shell::printed(command.args(["config", "--markdown"]).current_dir(&house.root))?;
    if page.trim().is_empty() {
        // An empty page would match a missing one, and blessing it would wipe a good one.
        return Err(Trouble::Undone(format!(
            "`{}` printed nothing; it must print {PAGE}",
            shell::typed(&command)
        )));
    }
    Ok(page)
}

/// Makes the page say what the program says.
pub(super) fn bless(house: &House) -> Result<(), Trouble> {
    let page = house.root.join(PAGE);
    fs::write(&page, printed(house, None)?)
        .map_err(|error| Trouble::Undone(format!("{} could not be written: {error}", page.display())))
}

/// Complains when the page is not what the program `printed`.
pub(super) fn check(tree: &Tree, printed: &str) -> Option<Complaint> {
    let page = tree.file(PAGE).map_or("", |file| file.text.as_str());
    if page == printed {
        return None;
    }
    let same = page.lines().zip(printed.lines()).take_while(|(ours, theirs)| ours == theirs).count();
    Some(Complaint {
        file: PAGE.to_owned(),
        line: same + 1,
        what: match printed.lines().nth(same) {
            Some(line) => format!("the program says `{line}` here"),
            None => "the program says nothing more here".to_owned(),
        },
        cure: "run `cargo xtask tidy --bless` and look at what changed".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_program_prints() {
        let tree = Tree::of(&[(PAGE, "# Limits\none\ntwo\n")]);
        assert_eq!(check(&tree, "# Limits\none\ntwo\n"), None);
        let line = |printed| check(&tree, printed).expect("they differ").line;
        assert_eq!(line("# Limits\none\nthree\n"), 3);
        assert_eq!(line("# Limits\none\n"), 3);
        assert_eq!(line("# Limits\none\ntwo\nthree\n"), 4);
    }

    #[test]
    fn a_missing_page_is_complained_about() {
        assert!(check(&Tree::default(), "# Limits\n").is_some());
    }
}
