//! Functions, inlined ones and lines from DWARF, for many addresses of one file at once.
//!
//! A debug file can be a hundred times as large as the memory that its reader may take. So nothing of it is
//! kept: the units are passed once, in order; one that has wanted addresses is read, its functions first and
//! then its lines, and forgotten. What stays is one draft for each frame of each wanted address.
//!
//! What is not read: split debug information (`.dwo`, `.dwp`), type units, and DWARF 1.

mod extent;
mod lines;
mod names;
mod scopes;
mod units;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::file::{Elf, Refused, Room, Slice, Trouble, Work};
use crate::text::Text;
use extent::Extent;
use lines::Row;
use names::Name;
use scopes::Call;
use units::{Unit, Units};

/// A frame as far as the debug information knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The function's name; the outermost one's may still come from a symbol table.
    pub(crate) function: Option<Arc<str>>,
    /// The function's name has no path, which a symbol table may add.
    pub(crate) plain: bool,
    pub(crate) file: Option<Arc<str>>,
    pub(crate) line: Option<u32>,
}

/// What one file's debug information says.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The frames of each probe, innermost first; empty where nothing is known.
    pub(crate) places: Vec<Vec<Draft>>,
    /// Some unit's functions stand in another file.
    pub(crate) split: bool,
    /// The first thing that was wrong, and how many were.
    pub(crate) wrong: Option<(String, u64)>,
    /// What the system said when it would not read on.
    pub(crate) io: Option<String>,
}

impl Findings {
    /// Notes what went wrong; says whether going on makes sense.
    fn note(&mut self, work: &Work, error: gimli::Error) -> bool {
        match work.trouble(error) {
            Trouble::Exhausted => return false,
            Trouble::Io(said) => {
                self.io = Some(said);
                return false;
            }
            Trouble::Malformed(said) => self.wrong.get_or_insert((said, 0)).1 += 1,
        }
        true
    }
}

/// Looks for `probes`, sorted addresses of the file, in its debug information. `supplementary` is the file of
/// names that it shares with others, if it has one.
///
/// # Errors
/// When sections cannot be unpacked. What goes wrong later is in the findings, with what was found.
pub(crate) fn look_up(
    elf: &Elf,
    supplementary: Option<&Elf>,
    probes: &[u64],
    room: &mut Room,
    work: &Rc<Work>,
    text: &mut Text<'_>,
) -> Result<Findings, Refused> {
    let mut findings = Findings { places: vec![Vec::new(); probes.len()], ..Findings::default() };
    let mut units = Units::open(elf, work, room)?;
    if let Some(elf) = supplementary {
        let mut names = Units::open(elf, work, room)?;
        if let Err(error) = names.pass_headers() {
            findings.note(work, error);
        }
        units.set_supplementary(names);
    }
    if room.refused {
        return Ok(findings);
    }
    if let Err(error) = units.pass_headers()
        && !findings.note(work, error)
    {
        return Ok(findings);
    }
    if units.count() == 0 {
        findings.wrong = Some(("debug information without a unit".to_owned(), 1));
    }
    for index in 0..units.count() {
        if let Err(error) = look_in_unit(&units, index, probes, &mut findings, text)
            && !findings.note(work, error)
        {
            break;
        }
    }
    Ok(findings)
}

fn look_in_unit(
    units: &Units,
    index: usize,
    probes: &[u64],
    findings: &mut Findings,
    text: &mut Text<'_>,
) -> gimli::Result<()> {
    let unit = units.load(index)?;
    if !unit.has_code() {
        return Ok(());
    }
    // Which probes are here and not known yet; in order, as the probes are.
    let mut here: Vec<usize> = Vec::new();
    let extent = unit.extent.clone();
    let known = extent.each_hit(units, &unit, probes, |hits| here.extend(hits))?;
    if !known {
        // A unit that does not say what it covers, as some compilers write: it may have any of them.
        here = (0..probes.len()).collect();
    }
    here.sort_unstable();
    here.dedup();
    here.retain(|&probe| !findings.places[probe].iter().any(|draft| draft.function.is_some()));
    if here.is_empty() {
        return Ok(());
    }
    let wanted: Vec<u64> = here.iter().map(|&probe| probes[probe]).collect();

    // Lines without functions are worth having, and the other way round: the first error waits.
    let mut chains = vec![Vec::new(); wanted.len()];
    let functions = scopes::walk(units, &unit, &wanted, &mut chains);
    let mut rows = vec![None; wanted.len()];
    let lines = lines::find(units, &unit, &wanted, &mut rows);
    let mut files = match &lines {
        Ok(program) => lines::Files::new(units, &unit, program.as_ref().map(|program| program.header())),
        Err(_) => lines::Files::new(units, &unit, None),
    };
    let mut names = HashMap::new();
    for ((probe, chain), row) in here.into_iter().zip(chains).zip(rows) {
        findings.split |= chain.is_empty() && unit.split;
        let place = compose(units, &unit, &chain, row, &mut files, &mut names, text);
        if !place.is_empty() {
            findings.places[probe] = place;
        }
    }
    functions?;
    lines?;
    Ok(())
}

/// The frames of one address, innermost first: each has its own function, and the line at which the next
/// inner one was inlined into it.
fn compose(
    units: &Units,
    unit: &Rc<Unit>,
    chain: &[Call],
    row: Option<Row>,
    files: &mut lines::Files<'_>,
    names: &mut HashMap<u64, (Option<Arc<str>>, bool)>,
    text: &mut Text<'_>,
) -> Vec<Draft> {
    let mut at = row;
    if chain.is_empty() {
        return at
            .map(|row| Draft {
                function: None,
                plain: false,
                file: files.name(row.file, text),
                line: row.line,
            })
            .into_iter()
            .collect();
    }
    let frames = chain.iter().rev().map(|call| {
        let (function, plain) = names
            .entry(call.entry.0)
            .or_insert_with(|| match names::of_entry(units, unit, call.entry) {
                Some(Name::Symbol(name)) => (text.function(&name), false),
                Some(Name::Plain(name)) => (text.function(&name), true),
                None => (None, false),
            })
            .clone();
        let here = std::mem::replace(&mut at, call.site);
        let file = here.and_then(|row| files.name(row.file, text));
        Draft { function, plain, file, line: here.and_then(|row| row.line) }
    });
    frames.collect()
}
