//! Files and lines: a unit's line program is run once, and of its rows only those at wanted addresses are
//! kept. Other readers store all rows, which is where most of their memory goes.

use std::collections::HashMap;
use std::sync::Arc;

use gimli::{DebugLineOffset, IncompleteLineProgram, LineProgramHeader, LineRows, Reader, Section};

use super::units::{Unit, Units};
use super::{Slice, Text};
use crate::limits::FILE_NAME_MAX;

/// How much a line program's header may have up to DWARF 4, where the names of files stand in it. Its tables take
/// up to 20 times this in memory.
const HEADER_MAX: u64 = 256 << 10;
/// The same since DWARF 5, where the names stand elsewhere and a file can take a single byte: up to 270 times.
const HEADER_5_MAX: u64 = 96 << 10;
/// How far a line program may run between two rows; dead code is passed over in one go.
const STRETCH_MAX: u64 = 2 << 20;
/// How many files a unit may name.
const FILES_MAX: usize = 1 << 16;

/// A file, by its number in the unit, and a line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) file: Option<u64>,
    pub(super) line: Option<u32>,
}

/// A line program that was run to its end.
pub(super) type Program = LineRows<Slice, IncompleteLineProgram<Slice>, u64>;

/// Runs the unit's line program and puts the row of each of the sorted `wanted` addresses into `rows`. Hands
/// out the program, whose header has the names of its files; nothing if the unit has no lines.
pub(super) fn find(
    units: &Units,
    unit: &Unit,
    wanted: &[u64],
    rows: &mut [Option<Row>],
) -> gimli::Result<Option<Program>> {
    let Some(offset) = unit.lines else { return Ok(None) };
    let (address_size, directory) = (unit.inner.header.address_size(), unit.inner.comp_dir.clone());
    let program = units.work.within(header_max(units, offset)?, || {
        units.dwarf.debug_line.program(offset, address_size, directory, None)
    })?;
    let mut program = program.rows();
    // The row before this one: it holds up to where this one begins.
    let mut before: Option<(u64, Row)> = None;
    let mut dead = false;
    loop {
        let next = units.work.within(STRETCH_MAX, || {
            program.next_row().map(|row| row.map(|(header, row)| (*row, header.file_names().len())))
        });
        let Some((row, files)) = next? else { break };
        units.work.spend(1)?;
        if files > FILES_MAX {
            return Err(gimli::Error::TooManyIterations);
        }
        let address = row.address();
        match before {
            // A sequence of code that was thrown away begins at 0 or 1.
            None => dead = address <= 1,
            Some((begin, at)) if !dead && begin < address => {
                let first = wanted.partition_point(|&one| one < begin);
                let last = first + wanted[first..].partition_point(|&one| one < address);
                for row in rows.iter_mut().take(last).skip(first) {
                    row.get_or_insert(at);
                }
            }
            Some(_) => {}
        }
        before = (!row.end_sequence()).then(|| {
            let line = row.line().and_then(|line| u32::try_from(line.get()).ok());
            (address, Row { file: Some(row.file_index()), line })
        });
    }
    Ok(Some(program))
}

/// How much the header at an offset may have, by its version.
fn header_max(units: &Units, offset: DebugLineOffset<u64>) -> gimli::Result<u64> {
    let mut start = units.dwarf.debug_line.reader().part(offset.0, 14);
    start.read_initial_length()?;
    Ok(if start.read_u16()? >= 5 { HEADER_5_MAX } else { HEADER_MAX })
}

/// The names of a unit's files, made when they are first asked for.
pub(super) struct Files<'a> {
    units: &'a Units,
    unit: &'a Unit,
    header: Option<&'a LineProgramHeader<Slice>>,
    names: HashMap<u64, Option<Arc<str>>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        units: &'a Units,
        unit: &'a Unit,
        header: Option<&'a LineProgramHeader<Slice>>,
    ) -> Self {
        Self { units, unit, header, names: HashMap::new() }
    }

    /// The path of file `number`, as absolute as the compiler knew it.
    pub(super) fn name(&mut self, number: Option<u64>, text: &mut Text<'_>) -> Option<Arc<str>> {
        let number = number?;
        if let Some(name) = self.names.get(&number) {
            return name.clone();
        }
        let name = self.render(number).ok().flatten().and_then(|path| text.file(&path));
        self.names.insert(number, name.clone());
        name
    }

    fn render(&self, number: u64) -> gimli::Result<Option<String>> {
        let Some(header) = self.header else { return Ok(None) };
        let Some(file) = header.file(number) else { return Ok(None) };
        let text = |value| self.units.dwarf.attr_string(&self.unit.inner, value)?.text(FILE_NAME_MAX);
        let mut path = match &self.unit.inner.comp_dir {
            Some(directory) => directory.text(FILE_NAME_MAX)?,
            None => String::new(),
        };
        // Directory 0 is that of the compilation.
        if file.directory_index() != 0
            && let Some(directory) = file.directory(header)
        {
            push(&mut path, &text(directory)?);
        }
        push(&mut path, &text(file.path_name())?);
        Ok(Some(path))
    }
}

fn push(path: &mut String, more: &str) {
    if more.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(more);
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_joined_as_a_compiler_means_them() {
        for (path, more, whole) in
            [("/a", "b.c", "/a/b.c"), ("/a/", "b.c", "/a/b.c"), ("/a", "/b.c", "/b.c"), ("", "b.c", "b.c")]
        {
            let mut joined = path.to_owned();
            super::push(&mut joined, more);
            assert_eq!(joined, whole);
        }
    }
}
