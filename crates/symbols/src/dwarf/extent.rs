//! Which addresses an entry covers. Linkers leave entries of functions that they threw away, at address 0 or
//! 1 or at the top; taken at their word, these would give real addresses the names of dead code.

use std::ops::Range;

use gimli::{AttributeValue, constants};

use super::units::{Unit, Units};
use crate::file::Slice;

/// The attributes that say what an entry covers, as they stand there.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    low: Option<AttributeValue<Slice>>,
    high: Option<AttributeValue<Slice>>,
    ranges: Option<AttributeValue<Slice>>,
}

impl Extent {
    /// Keeps an attribute if it is one of these.
    pub(super) fn take(&mut self, name: constants::DwAt, value: &AttributeValue<Slice>) {
        match name {
            constants::DW_AT_low_pc => self.low = Some(value.clone()),
            constants::DW_AT_high_pc => self.high = Some(value.clone()),
            constants::DW_AT_ranges => self.ranges = Some(value.clone()),
            _ => {}
        }
    }

    pub(super) fn low(&self) -> Option<&AttributeValue<Slice>> {
        self.low.as_ref()
    }

    /// Tells `found` which of the sorted `probes` are covered, range by range. Says whether the entry said at
    /// all what it covers.
    pub(super) fn each_hit(
        &self,
        units: &Units,
        unit: &Unit,
        probes: &[u64],
        mut found: impl FnMut(Range<usize>),
    ) -> gimli::Result<bool> {
        let mut one = |begin: u64, end: u64| {
            if begin > 1 && begin < end {
                let first = probes.partition_point(|&probe| probe < begin);
                let last = probes.partition_point(|&probe| probe < end);
                if first < last {
                    found(first..last);
                }
            }
        };
        if let Some(ranges) = &self.ranges {
            let Some(mut ranges) = units.dwarf.attr_ranges(&unit.inner, ranges.clone())? else {
                return Ok(false);
            };
            while let Some(range) = ranges.next()? {
                one(range.begin, range.end);
            }
            return Ok(true);
        }
        let (Some(low), Some(high)) = (&self.low, &self.high) else { return Ok(false) };
        let Some(low) = units.dwarf.attr_address(&unit.inner, low.clone())? else { return Ok(false) };
        let high = match high {
            AttributeValue::Udata(size) => low.checked_add(*size),
            other => units.dwarf.attr_address(&unit.inner, other.clone())?,
        };
        if let Some(high) = high {
            one(low, high);
        }
        Ok(high.is_some())
    }
}
