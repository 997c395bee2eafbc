//! What a function's entry is called. The name often stands at another entry (what was inlined, what was
//! declared), in another unit or another file, and in a damaged file these point in a circle.

use std::rc::Rc;

use gimli::{AttributeValue, Reader, UnitOffset, constants};

use super::Slice;
use super::units::{Unit, Units};

/// How many entries are followed for one name.
const STEPS_MAX: usize = 16;
/// The longest symbol that is read, in bytes; its readable form is shorter still.
const SYMBOL_MAX: usize = 64 << 10;

/// What an entry is called.
pub(super) enum Name {
    /// By the linker's symbol, which has the whole path.
    Symbol(String),
    /// By its own name only, without the modules around it: all that there is in bare line tables.
    Plain(String),
}

/// The name of an entry as the compiler wrote it. Nothing if it has none, or it cannot be read.
pub(super) fn of_entry(units: &Units, unit: &Rc<Unit>, entry: UnitOffset<u64>) -> Option<Name> {
    let mut units = units;
    let mut unit = Rc::clone(unit);
    let mut entry = entry;
    let mut plain: Option<Slice> = None;
    for _ in 0..STEPS_MAX {
        let step = look(units, &unit, entry).ok()?;
        if let Some(symbol) = step.symbol {
            return symbol.text(SYMBOL_MAX).ok().map(Name::Symbol);
        }
        plain = plain.or(step.plain);
        let Some(next) = step.next else { break };
        match next {
            AttributeValue::UnitRef(offset) => entry = offset,
            AttributeValue::DebugInfoRef(offset) => (unit, entry) = units.at(offset).ok()?,
            AttributeValue::DebugInfoRefSup(offset) => {
                let Some(other) = units.supplementary.as_deref() else { break };
                units = other;
                (unit, entry) = units.at(offset).ok()?;
            }
            _ => break,
        }
    }
    plain.filter(|name| name.len() > 0).and_then(|name| name.text(SYMBOL_MAX).ok()).map(Name::Plain)
}

#[derive(Default)]
struct Step {
    symbol: Option<Slice>,
    plain: Option<Slice>,
    next: Option<AttributeValue<Slice>>,
}

fn look(units: &Units, unit: &Unit, entry: UnitOffset<u64>) -> gimli::Result<Step> {
    let mut entries = unit.inner.header.entries_raw(&unit.inner.abbreviations, Some(entry))?;
    let mut step = Step::default();
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(step) };
    let specs = abbreviation.attributes();
    units.work.spend(specs.len() as u64)?;
    for spec in specs {
        let attribute = entries.read_attribute(*spec)?;
        match attribute.name() {
            constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => {
                step.symbol = units.dwarf.attr_string(&unit.inner, attribute.value()).ok();
            }
            constants::DW_AT_name => {
                step.plain = units.dwarf.attr_string(&unit.inner, attribute.value()).ok();
            }
            constants::DW_AT_abstract_origin | constants::DW_AT_specification => {
                step.next = Some(attribute.value());
            }
            _ => {}
        }
    }
    Ok(step)
}
