//! The settings file: read to a limit, parsed with the place of every value, matched with the table.
//!
//! The file is the one input here that somebody else may have written or that may be the wrong file
//! altogether (`--config /var/log/messages`), so it is read up to a limit and never echoed.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use plimsoll_core::Bytes;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::error::{FileProblem, Origin, SettingsError, nearest};
use crate::settings::table::{SECTIONS, TABLE};
use crate::settings::value::Raw;

/// The longest settings file that is read, in bytes. Raised, a start with the wrong file takes that much
/// more memory before it fails.
pub const FILE_BYTES_MAX: Bytes = Bytes::mib(1);

/// Lists in the file that are no settings: what is known beforehand of what leaks is read by whoever judges.
const READ_ELSEWHERE: [&str; 2] = ["verdict.bounds", "verdict.suppressions"];

/// Reads the whole file, or says why it cannot be a settings file.
pub(crate) fn read(path: &Path) -> Result<String, FileProblem> {
    let file = std::fs::File::open(path).map_err(FileProblem::Unreadable)?;
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX.as_u64();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FileProblem::Unreadable)?;
    if Bytes::of_len(bytes.len()) > FILE_BYTES_MAX {
        return Err(FileProblem::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        FileProblem::NotText { line: line_at(error.as_bytes(), good) }
    })
}

/// A settings file that was read: its text, and what errors call it.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a Arc<Path>,
    pub(crate) text: &'a str,
}

/// A value of the file that belongs to a setting.
pub(crate) struct Found<'a> {
    /// Which setting, as a place in the table.
    pub(crate) index: usize,
    pub(crate) value: &'a Spanned<DeValue<'a>>,
    pub(crate) origin: Origin,
}

impl Source<'_> {
    /// The place of the byte `offset`.
    pub(crate) fn origin(&self, offset: usize) -> Origin {
        Origin::File { path: self.path.clone(), line: line_at(self.text.as_bytes(), offset) }
    }

    /// Parses the text.
    pub(crate) fn parse(&self) -> Result<Spanned<DeTable<'_>>, SettingsError> {
        DeTable::parse(self.text).map_err(|error| SettingsError::Syntax {
            origin: self.origin(error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        })
    }

    /// The values of `document` that are settings, in the order of the file; or the first that is none.
    pub(crate) fn settings<'t>(&self, document: &'t DeTable<'t>) -> Result<Vec<Found<'t>>, SettingsError> {
        let mut found = Vec::new();
        for (key, value) in document {
            let is_section = SECTIONS.iter().any(|(section, _)| *section == key.get_ref());
            match value.get_ref() {
                DeValue::Table(inside) if is_section => {
                    for (name, value) in inside {
                        found.push((
                            name.span().start,
                            format!("{}.{}", key.get_ref(), name.get_ref()),
                            value,
                        ));
                    }
                }
                _ => found.push((key.span().start, key.get_ref().to_string(), value)),
            }
        }
        found.retain(|(_, key, _)| !READ_ELSEWHERE.contains(&key.as_str()));
        // The table is sorted by name; people read their file from the top.
        found.sort_by_key(|(offset, ..)| *offset);
        found.into_iter().map(|(offset, key, value)| self.setting(key, value, offset)).collect()
    }

    fn setting<'t>(
        &self,
        key: String,
        value: &'t Spanned<DeValue<'t>>,
        offset: usize,
    ) -> Result<Found<'t>, SettingsError> {
        let origin = self.origin(offset);
        if let Some(index) = TABLE.iter().position(|entry| entry.key() == key) {
            return Ok(Found { index, value, origin });
        }
        if SECTIONS.iter().any(|(section, _)| *section == key) {
            let expected = format!("a table, such as [{key}]");
            return Err(SettingsError::Wrong { key, origin, found: Raw::Toml(value).found(), expected });
        }
        let nearest = if value.get_ref().is_table() {
            nearest(&key, '.', SECTIONS.iter().map(|(section, _)| section.to_string()))
        } else {
            nearest(&key, '.', TABLE.iter().map(|entry| entry.key().to_string()))
        };
        Err(SettingsError::Unknown { name: key, origin, nearest })
    }
}

/// The line in which the byte `offset` stands, from 1.
fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}
