//! The truth about a program, read from its source: a comment on each line whose allocations stay. It is written where
//! it is true, so that a change of the code cannot leave it behind.

use std::fmt;

/// Begins a mark, after what begins a comment.
const MARK: &str = "leaks: ";
/// What begins a comment in the languages of the corpus.
const COMMENTS: [&str; 2] = ["// ", "# "];
/// In place of functions: it leaks, and no function is expected, since the memory is not the allocator's.
const NO_FUNCTION: &str = "-";
/// Between functions of which each is a right answer.
const OR: &str = " | ";

/// A line that leaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Counted from 1.
    pub(crate) line: u64,
    /// Each of them is a right answer; none if none is expected.
    pub(crate) functions: Vec<String>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.functions.is_empty() { NO_FUNCTION.to_owned() } else { self.functions.join(OR) };
        write!(f, "{names}:{}", self.line)
    }
}

/// The marks in a source text.
pub(crate) fn read(source: &str) -> Vec<Mark> {
    (1..).zip(source.lines()).filter_map(|(line, text)| read_line(line, text)).collect()
}

fn read_line(line: u64, text: &str) -> Option<Mark> {
    let at = COMMENTS
        .iter()
        .find_map(|comment| text.rfind(&format!("{comment}{MARK}")).map(|at| at + comment.len()));
    let names = text[at?..].strip_prefix(MARK)?.trim();
    let functions = match names {
        NO_FUNCTION => Vec::new(),
        _ => names.split(OR).map(|name| name.trim().to_owned()).collect(),
    };
    Some(Mark { line, functions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_in_every_language() {
        let source = "fn f() {\n  g(); // leaks: A::f | B::g\n  // it leaks: no mark\n}\nx = []  # leaks: note\ny // leaks: -";
        let mark = |line, functions: &[&str]| Mark {
            line,
            functions: functions.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(read(source), [mark(2, &["A::f", "B::g"]), mark(5, &["note"]), mark(6, &[])]);
    }
}
