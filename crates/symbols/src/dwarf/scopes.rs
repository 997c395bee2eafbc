//! Which functions are at an address: one pass over a unit's entries, with the wanted addresses in hand. The
//! tree is not built, and the pass does not recurse, so that neither a large unit nor a deep one can hurt.

use gimli::{AttributeValue, UnitOffset, constants};

use super::lines::Row;
use super::units::{Unit, Units};
use super::{Extent, Slice};
use crate::limits::INLINED_MAX;

/// One function at an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Its entry, for its name.
    pub(super) entry: UnitOffset<u64>,
    /// Where it was inlined, in the function around it.
    pub(super) site: Option<Row>,
}

/// An entry that covers wanted addresses, while the pass is inside it.
struct Scope {
    depth: isize,
    hits: Vec<usize>,
}

/// Puts the functions at each of the sorted `wanted` addresses into its chain, the outermost first.
///
/// Of functions that the linker folded into one the first stays, so that the answer is always the same.
pub(super) fn walk(
    units: &Units,
    unit: &Unit,
    wanted: &[u64],
    chains: &mut [Vec<Call>],
) -> gimli::Result<()> {
    let mut entries = unit.inner.header.entries_raw(&unit.inner.abbreviations, None)?;
    let mut scopes: Vec<Scope> = Vec::new();
    while !entries.is_empty() {
        let entry = entries.next_offset();
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        while scopes.last().is_some_and(|scope| scope.depth >= depth) {
            scopes.pop();
        }
        let specs = abbreviation.attributes();
        // Attributes can take no bytes, so reading them is not work enough.
        units.work.spend(specs.len() as u64)?;
        let inlined = match abbreviation.tag() {
            constants::DW_TAG_subprogram => false,
            constants::DW_TAG_inlined_subroutine if !scopes.is_empty() => true,
            _ => {
                entries.skip_attributes(specs)?;
                continue;
            }
        };
        let mut extent = Extent::default();
        let mut site = Site::default();
        for spec in specs {
            let attribute = entries.read_attribute_inline(*spec)?;
            extent.take(attribute.name(), &attribute.value());
            site.take(attribute.name(), attribute.value(), unit.inner.header.version());
        }
        let around = scopes.last().map(|scope| &scope.hits[..]);
        let mut hits = Vec::new();
        extent.each_hit(units, unit, wanted, |range| hits.extend(range))?;
        hits.sort_unstable();
        hits.dedup();
        hits.retain(|&hit| {
            let inside = around.is_some_and(|around| around.binary_search(&hit).is_ok());
            if inlined { inside && chains[hit].len() < INLINED_MAX } else { inside || chains[hit].is_empty() }
        });
        units.work.spend(hits.len() as u64)?;
        if hits.is_empty() {
            continue;
        }
        for &hit in &hits {
            if !inlined {
                // A function inside another one is itself, and not inlined into it.
                chains[hit].clear();
            }
            chains[hit].push(Call { entry, site: if inlined { site.row() } else { None } });
        }
        if abbreviation.has_children() {
            scopes.push(Scope { depth, hits });
        }
    }
    Ok(())
}

/// Where something was inlined.
#[derive(Default)]
struct Site {
    file: Option<u64>,
    line: Option<u32>,
}

impl Site {
    fn take(&mut self, name: constants::DwAt, value: AttributeValue<Slice>, version: u16) {
        match (name, value) {
            // File 0 is none, except that since version 5 it is the first.
            (constants::DW_AT_call_file, AttributeValue::FileIndex(file)) if file > 0 || version >= 5 => {
                self.file = Some(file);
            }
            (constants::DW_AT_call_line, value) => {
                self.line = value.udata_value().and_then(|line| u32::try_from(line).ok());
            }
            _ => {}
        }
    }

    fn row(&self) -> Option<Row> {
        let line = self.line.filter(|&line| line > 0);
        (self.file.is_some() || line.is_some()).then_some(Row { file: self.file, line })
    }
}
