//! The units of a debug file: where each begins, and the few that are being read. Parsed units are what other
//! readers keep for ever; here four are kept, for names that stand in another unit.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAddrBase, DebugInfoOffset, DebugLineOffset, DebugLocListsBase,
    DebugRngListsBase, DebugStrOffsetsBase, Dwarf, DwarfFileType, Error, SectionId, UnitType, constants,
};

use super::Extent;
use crate::file::{Elf, Refused, Room, Slice, Work};

/// How many units a file may have: what their offsets take is eight times this in bytes.
const UNITS_MAX: usize = 1 << 18;
/// How many units are kept parsed.
const RECENT_MAX: usize = 4;
/// How much of `.debug_abbrev` one unit may use; compilers write some kilobytes. What is built of it takes up to
/// 26 times this in memory.
const ABBREVIATIONS_MAX: u64 = 128 << 10;

/// One unit, as far as it is the same for all addresses.
pub(super) struct Unit {
    /// Without its line table, which is read when it is needed, under a bound.
    pub(super) inner: gimli::Unit<Slice>,
    pub(super) lines: Option<DebugLineOffset<u64>>,
    pub(super) extent: Extent,
    /// Its functions stand in another file.
    pub(super) split: bool,
    partial: bool,
}

impl Unit {
    /// Whether anything here can be at an address: units of types and of shared names cannot.
    pub(super) fn has_code(&self) -> bool {
        !self.partial
    }
}

/// All units of one file.
pub(super) struct Units {
    pub(super) dwarf: Dwarf<Slice>,
    pub(super) work: Rc<Work>,
    offsets: Vec<u64>,
    recent: RefCell<Vec<(usize, Rc<Unit>)>>,
    // The table that was parsed last: files that went through `dwz` use one for many units.
    abbreviations: RefCell<Option<(u64, Arc<Abbreviations>)>>,
    pub(super) supplementary: Option<Box<Units>>,
    sections: Vec<(SectionId, Slice)>,
}

const SECTIONS: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
];

impl Units {
    /// Opens the sections. Allocates those that are packed.
    pub(super) fn open(elf: &Elf, work: &Rc<Work>, room: &mut Room) -> Result<Self, Refused> {
        let mut sections = Vec::with_capacity(SECTIONS.len());
        for id in SECTIONS {
            sections.push((id, elf.load(id.name(), room)?));
        }
        let nothing = elf.whole().part(u64::MAX, 0);
        Ok(Self {
            dwarf: dwarf(&sections, &nothing),
            work: Rc::clone(work),
            offsets: Vec::new(),
            recent: RefCell::new(Vec::with_capacity(RECENT_MAX)),
            abbreviations: RefCell::new(None),
            supplementary: None,
            sections,
        })
    }

    pub(super) fn set_supplementary(&mut self, other: Units) {
        let nothing = other.sections[0].1.part(u64::MAX, 0);
        self.dwarf.set_sup(dwarf(&other.sections, &nothing));
        self.supplementary = Some(Box::new(other));
    }

    /// Finds where the units begin. Allocates eight bytes for each.
    ///
    /// # Errors
    /// At the first header that makes no sense; those before it are known.
    pub(super) fn pass_headers(&mut self) -> gimli::Result<()> {
        let mut headers = self.dwarf.units();
        while let Some(header) = headers.next()? {
            if self.offsets.len() == UNITS_MAX {
                return Err(Error::TooManyIterations);
            }
            if let Some(offset) = header.debug_info_offset() {
                self.offsets.push(offset.0);
            }
        }
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.offsets.len()
    }

    /// The unit with the entry at `offset` of `.debug_info`, and where that is in it.
    pub(super) fn at(
        &self,
        offset: DebugInfoOffset<u64>,
    ) -> gimli::Result<(Rc<Unit>, gimli::UnitOffset<u64>)> {
        let nowhere = Error::NoEntryAtGivenOffset(offset.0);
        let index = self.offsets.partition_point(|&begin| begin <= offset.0).checked_sub(1).ok_or(nowhere)?;
        let unit = self.load(index)?;
        let inside = offset.to_unit_offset(&unit.inner.header).ok_or(nowhere)?;
        Ok((unit, inside))
    }

    /// Parses a unit's first entry and its abbreviations, or takes it from those that were parsed lately.
    pub(super) fn load(&self, index: usize) -> gimli::Result<Rc<Unit>> {
        if let Some((_, unit)) = self.recent.borrow().iter().find(|(known, _)| *known == index) {
            return Ok(Rc::clone(unit));
        }
        let offset = self.offsets.get(index).ok_or(Error::MissingUnitDie)?;
        let unit = Rc::new(self.parse(DebugInfoOffset(*offset))?);
        let mut recent = self.recent.borrow_mut();
        if recent.len() == RECENT_MAX {
            recent.remove(0);
        }
        recent.push((index, Rc::clone(&unit)));
        Ok(unit)
    }

    fn abbreviations(&self, header: &gimli::UnitHeader<Slice>) -> gimli::Result<Arc<Abbreviations>> {
        let offset = header.debug_abbrev_offset();
        if let Some((known, table)) = &*self.abbreviations.borrow()
            && *known == offset.0
        {
            return Ok(Arc::clone(table));
        }
        let table = self.work.within(ABBREVIATIONS_MAX, || header.abbreviations(&self.dwarf.debug_abbrev))?;
        let table = Arc::new(table);
        *self.abbreviations.borrow_mut() = Some((offset.0, Arc::clone(&table)));
        Ok(table)
    }

    fn parse(&self, offset: DebugInfoOffset<u64>) -> gimli::Result<Unit> {
        let header = self.dwarf.unit_header(offset)?;
        let abbreviations = self.abbreviations(&header)?;
        let (encoding, file) = (header.encoding(), DwarfFileType::Main);
        let skeleton = matches!(header.type_(), UnitType::Skeleton(_));
        let mut inner = gimli::Unit {
            abbreviations,
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, file),
            addr_base: DebugAddrBase(0),
            loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, file),
            rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, file),
            line_program: None,
            dwo_id: None,
            header,
        };
        let (mut extent, mut directory, mut lines, mut split) = (Extent::default(), None, None, skeleton);
        let abbreviations = Arc::clone(&inner.abbreviations);
        let mut entries = inner.header.entries_raw(&abbreviations, None)?;
        let root = entries.read_abbreviation()?.ok_or(Error::MissingUnitDie)?;
        self.work.spend(root.attributes().len() as u64)?;
        for spec in root.attributes() {
            let attribute = entries.read_attribute(*spec)?;
            let value = attribute.value();
            extent.take(attribute.name(), &value);
            match (attribute.name(), value) {
                (constants::DW_AT_comp_dir, value) => directory = Some(value),
                (constants::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => lines = Some(offset),
                (_, AttributeValue::DebugStrOffsetsBase(base)) => inner.str_offsets_base = base,
                (_, AttributeValue::DebugAddrBase(base)) => inner.addr_base = base,
                (_, AttributeValue::DebugRngListsBase(base)) => inner.rnglists_base = base,
                (constants::DW_AT_GNU_dwo_name, _) => split = true,
                _ => {}
            }
        }
        let partial = !matches!(root.tag(), constants::DW_TAG_compile_unit | constants::DW_TAG_skeleton_unit);
        // The bases may stand after what needs them, so these come last.
        inner.comp_dir = directory.and_then(|value| self.dwarf.attr_string(&inner, value).ok());
        if let Some(low) = extent.low() {
            inner.low_pc = self.dwarf.attr_address(&inner, low.clone())?.unwrap_or(0);
        }
        Ok(Unit { inner, lines, extent, split, partial })
    }
}

fn dwarf(sections: &[(SectionId, Slice)], nothing: &Slice) -> Dwarf<Slice> {
    let section = |id| {
        let found = sections.iter().find(|(known, _)| *known == id);
        Ok::<_, std::convert::Infallible>(found.map_or_else(|| nothing.clone(), |(_, slice)| slice.clone()))
    };
    match Dwarf::load(section) {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}
