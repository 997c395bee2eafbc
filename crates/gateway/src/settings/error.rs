//! Where a value came from, and what can be wrong with it.
//!
//! "Invalid configuration" sends an operator through three places with twelve names each. Every error
//! here names the setting, the flag, variable or line, what was there, and what would have been right.
//! What stands under an unknown name is never shown: it may be a secret that missed its name.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use plimsoll_core::Bytes;

use crate::settings::file::FILE_BYTES_MAX;
use crate::settings::value::quoted;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// Nowhere: it is a share of the setting named here.
    Share(&'static str),
    /// In the settings file.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
    },
    /// In the environment variable of this name.
    Environment(String),
    /// By the flag of this name, without its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::Share(of) => write!(f, "share of {of}"),
            Origin::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Why settings were refused. Each prints as one line.
#[derive(Debug)]
pub enum SettingsError {
    /// A name that is no setting.
    Unknown {
        /// The name as it was found.
        name: String,
        /// Where.
        origin: Origin,
        /// The known name that is most like it, if any is.
        nearest: Option<String>,
    },
    /// A value of the wrong type or outside its range.
    Wrong {
        /// The setting.
        key: String,
        /// Where.
        origin: Origin,
        /// What was there.
        found: String,
        /// What would have been right, with an example.
        expected: String,
    },
    /// Two values that are each right and do not go together.
    Together {
        /// The first, with its value and where it was set.
        one: String,
        /// The second, in the same way.
        other: String,
        /// How they should be to one another.
        rule: &'static str,
    },
    /// The settings file is not well formed.
    Syntax {
        /// The file and the line.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// The settings file cannot be used at all.
    File {
        /// The file.
        path: Arc<Path>,
        /// What named it: `--config` or `PLIMSOLL_CONFIG`.
        named_by: &'static str,
        /// Why.
        why: FileProblem,
    },
}

/// Why a settings file cannot be used.
#[derive(Debug)]
pub enum FileProblem {
    /// It cannot be opened or read.
    Unreadable(std::io::Error),
    /// It is longer than [`FILE_BYTES_MAX`].
    TooLarge,
    /// It is not UTF-8 text from this line on.
    NotText {
        /// The line, from 1.
        line: usize,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Unknown { name, origin, nearest } => {
                write!(f, "unknown setting {} ({origin})", quoted(name))?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean `{nearest}`?")?;
                } else {
                    write!(f, ";")?;
                }
                write!(f, " `plimsoll config --markdown` lists every setting")
            }
            SettingsError::Wrong { key, origin, found, expected } => {
                write!(f, "wrong value for `{key}` ({origin}): found {found}, expected {expected}")
            }
            SettingsError::Together { one, other, rule } => write!(f, "{one} and {other}: {rule}"),
            SettingsError::Syntax { origin, message } => {
                write!(
                    f,
                    "not well-formed TOML ({origin}): {message}; write settings like `policy = \"evict\"` \
                     under their [section], and sizes and times in quotes: \"64MiB\", \"90s\""
                )
            }
            SettingsError::File { path, named_by, why } => {
                write!(f, "cannot use the settings file `{}` that {named_by} names: ", path.display())?;
                match why {
                    FileProblem::Unreadable(error) => {
                        write!(f, "{error}; name a file that can be read, or none")
                    }
                    FileProblem::TooLarge => {
                        write!(
                            f,
                            "it is longer than {FILE_BYTES_MAX}, and settings take a few KiB; name another"
                        )
                    }
                    FileProblem::NotText { line } => {
                        write!(f, "line {line} is not UTF-8; save it as UTF-8 text")
                    }
                }
            }
        }
    }
}

impl std::error::Error for SettingsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SettingsError::File { why: FileProblem::Unreadable(error), .. } => Some(error),
            _ => None,
        }
    }
}

/// What a reader of one type knows about a wrong value; name and place are added further up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The value is not of the type, or not in the range.
    Whole,
    /// A part of a table in the file is wrong.
    Part {
        key: String,
        /// Where the part begins, in bytes from the file's start.
        offset: usize,
        found: String,
        expected: String,
    },
    /// A part of a table in the file has a name that is not known.
    UnknownPart { key: String, offset: usize, nearest: Option<String> },
}

/// From which likeness on (0 to 1) a known name is worth asking about.
const LIKENESS_MIN: f64 = 0.75;

/// The name among `known` that is most like `name`, if any is like it. `separator` parts a section from
/// its settings: the right name in the wrong section is a likely mistake too, and the right section alone
/// makes two names no more alike.
pub(crate) fn nearest(name: &str, separator: char, known: impl Iterator<Item = String>) -> Option<String> {
    // The comparison takes the product of both lengths in time, and no name is this long.
    const NAME_CHARS_MAX: usize = 100;
    const SAME_SECTION: f64 = 0.05;
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    let (section, own) = split(&name, separator);
    let likeness = |known: &str| {
        let (known_section, known_own) = split(known, separator);
        let bonus = if section == known_section { SAME_SECTION } else { 0.0 };
        strsim::jaro(&name, known).max(strsim::jaro_winkler(own, known_own) + bonus)
    };
    let best = known.map(|known| (likeness(&known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, known)| known)
}

/// The section, empty for a name at the top, and the name inside it.
fn split(name: &str, separator: char) -> (&str, &str) {
    name.split_once(separator).unwrap_or(("", name))
}

const _: () = assert!(FILE_BYTES_MAX.as_u64() >= Bytes::kib(64).as_u64(), "100 topic rules must fit");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_in_its_own_section_first() {
        let known =
            || ["hub.policy", "hub.limit", "pool.limit", "memory_limit"].map(String::from).into_iter();
        assert_eq!(nearest("hub.polcy", '.', known()).as_deref(), Some("hub.policy"));
        assert_eq!(nearest("pool.limt", '.', known()).as_deref(), Some("pool.limit"));
        assert_eq!(nearest("policy", '.', known()).as_deref(), Some("hub.policy"));
        assert_eq!(nearest("zzz", '.', known()), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), '.', known()), None);
    }
}
