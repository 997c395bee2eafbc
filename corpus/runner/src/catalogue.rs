//! The programs: found as files, with their labels. A program is `leak_NAME` or `fine_NAME`, whatever it is written in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::marks::{self, Mark};
use crate::trouble::Trouble;

/// Begins the name of a program that leaks.
const LEAKING: &str = "leak_";
/// Begins the name of a program that does not.
const HEALTHY: &str = "fine_";

/// What a program is written in, which says how it is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    Rust,
    C,
    Cpp,
    Python,
}

/// Where sources lie, and how they end.
const SOURCES: [(&str, &str, Language); 4] = [
    ("src/bin", "rs", Language::Rust),
    ("c", "c", Language::C),
    ("c", "cpp", Language::Cpp),
    ("python", "py", Language::Python),
];

/// A program of the corpus and the truth about it.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) language: Language,
    pub(crate) source: PathBuf,
    pub(crate) leaks: bool,
    /// The lines that leak.
    pub(crate) marks: Vec<Mark>,
}

impl Program {
    /// The functions of which each is a right answer; none if it leaks outside of the allocator.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().flat_map(|mark| &mark.functions).map(String::as_str)
    }

    /// The file's name, as it ends the path in debug information.
    pub(crate) fn file_name(&self) -> &str {
        self.source.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// The package that holds the programs.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs")
}

/// The programs whose names have one of `only` in them, or all, sorted by name.
pub(crate) fn read(only: &[String]) -> Result<Vec<Program>, Trouble> {
    let mut programs = Vec::new();
    for (place, ending, language) in SOURCES {
        let folder = folder().join(place);
        let unreadable = |error| Trouble::Undone(format!("{} could not be read: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let source = entry.map_err(unreadable)?.path();
            if source.extension().is_some_and(|found| found == ending) {
                programs.extend(read_program(source, language)?);
            }
        }
    }
    programs.sort_by(|a, b| (!a.leaks, &a.name).cmp(&(!b.leaks, &b.name)));
    if let Some(unknown) =
        only.iter().find(|only| !programs.iter().any(|program| program.name.contains(*only)))
    {
        return Err(Trouble::Usage(format!(
            "no program has `{unknown}` in its name; `corpus list` names them"
        )));
    }
    programs.retain(|program| only.is_empty() || only.iter().any(|only| program.name.contains(only)));
    Ok(programs)
}

/// Nothing for what is no program: headers and modules.
fn read_program(source: PathBuf, language: Language) -> Result<Option<Program>, Trouble> {
    let name = source.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let leaks = name.starts_with(LEAKING);
    if !leaks && !name.starts_with(HEALTHY) {
        return Ok(None);
    }
    let text = fs::read_to_string(&source)
        .map_err(|error| Trouble::Undone(format!("{} could not be read: {error}", source.display())))?;
    let marks = marks::read(&text);
    Ok(Some(Program { name, language, source, leaks, marks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many are promised of each kind.
    const LEAKING_MIN: usize = 20;
    const HEALTHY_MIN: usize = 30;

    #[test]
    fn every_leak_has_its_mark_and_nothing_else_has() {
        let programs = read(&[]).expect("the programs are in the tree");
        for program in &programs {
            assert_eq!(program.leaks, !program.marks.is_empty(), "{}", program.name);
        }
        let leaking = programs.iter().filter(|program| program.leaks).count();
        assert!(
            leaking >= LEAKING_MIN && programs.len() - leaking >= HEALTHY_MIN,
            "{leaking} of {}",
            programs.len()
        );
    }

    /// A program says itself whether it leaks; the name must not say anything else.
    #[test]
    fn names_and_programs_say_the_same() {
        for program in read(&[]).expect("the programs are in the tree") {
            let text = fs::read_to_string(&program.source).expect("it was read before");
            let says = match program.language {
                Language::Rust => (text.contains("Setup::leaking()"), text.contains("Setup::healthy()")),
                Language::C | Language::Cpp => (text.contains("(argv[0], 1)"), text.contains("(argv[0], 0)")),
                Language::Python => (text.contains("(leaks=True)"), text.contains("(leaks=False)")),
            };
            assert_eq!(says, (program.leaks, !program.leaks), "{}", program.name);
        }
    }

    /// A mark that names a function which is not in the file has been left behind by a change.
    #[test]
    fn the_functions_of_marks_are_in_the_file() {
        for program in read(&[]).expect("the programs are in the tree") {
            let text = fs::read_to_string(&program.source).expect("it was read before");
            for function in program.functions() {
                let last = function.rsplit("::").next().unwrap_or_default();
                let made = [format!("fn {last}"), format!("{last}("), format!("def {last}(")];
                assert!(made.iter().any(|made| text.contains(made)), "{}: {function}", program.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told() {
        assert!(matches!(read(&["no such".to_owned()]), Err(Trouble::Usage(_))));
        assert_eq!(read(&["leak_vec_inline".to_owned()]).expect("there is one").len(), 1);
    }
}
