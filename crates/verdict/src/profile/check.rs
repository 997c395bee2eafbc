//! Parts that fit together: an index that leads nowhere is found once, here, and not by every reader.

use std::fmt;

use super::{Parts, Profile, Stack};
use plimsoll_core::heap::Amount;

/// All objects, and all bytes, that were ever allocated: pprof's numbers are signed.
const TOTAL_MAX: u64 = i64::MAX as u64;

/// Why parts are no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadProfile {
    /// An index leads nowhere.
    Index {
        /// What has the index: `stack` or `location`.
        of: &'static str,
        /// Which one, from 0.
        number: usize,
        /// What it refers to: `location`, `mapping` or `function`.
        to: &'static str,
        /// The index.
        index: u64,
        /// How many there are.
        there: usize,
    },
    /// All stacks together allocated more than 2^63 of it: `bytes` or `objects`.
    Total(&'static str),
}

impl fmt::Display for BadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadProfile::Index { of, number, to, index, there } => {
                write!(f, "{of} {number} refers to {to} {index}, there are {there}: the file is damaged")
            }
            BadProfile::Total(what) => {
                write!(f, "its stacks allocated more than 2^63 {what} together: the file is damaged")
            }
        }
    }
}

impl std::error::Error for BadProfile {}

/// Adds up what was allocated, as long as it is less than [`TOTAL_MAX`].
#[derive(Default)]
pub(super) struct Total(Amount);

impl Total {
    /// Adds what fits of `amount`, and returns it.
    pub(super) fn clamp(&mut self, amount: Amount) -> Amount {
        let fits = Amount {
            objects: amount.objects.min(TOTAL_MAX - self.0.objects),
            bytes: amount.bytes.min(TOTAL_MAX - self.0.bytes),
        };
        self.0.objects += fits.objects;
        self.0.bytes += fits.bytes;
        fits
    }
}

impl Profile {
    /// A profile of `parts`, if they fit together. Allocates nothing.
    ///
    /// # Errors
    /// An index that leads nowhere, or sums of more than 2^63.
    pub fn from_parts(parts: Parts) -> Result<Profile, BadProfile> {
        let lookup = |of, number, to, index: u32, there: usize| {
            let found = usize::try_from(index).is_ok_and(|index| index < there);
            let bad = BadProfile::Index { of, number, to, index: u64::from(index), there };
            if found { Ok(()) } else { Err(bad) }
        };
        for (number, location) in parts.locations.iter().enumerate() {
            if let Some(mapping) = location.mapping {
                lookup("location", number, "mapping", mapping, parts.mappings.len())?;
            }
            for line in &location.lines {
                lookup("location", number, "function", line.function, parts.functions.len())?;
            }
        }
        let mut total = Total::default();
        for (number, Stack { locations, allocated, .. }) in parts.stacks.iter().enumerate() {
            for &location in locations {
                lookup("stack", number, "location", location, parts.locations.len())?;
            }
            let fits = total.clamp(*allocated);
            if fits.bytes != allocated.bytes {
                return Err(BadProfile::Total("bytes"));
            }
            if fits.objects != allocated.objects {
                return Err(BadProfile::Total("objects"));
            }
        }
        Ok(Profile { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Line, Location};

    fn stack(locations: &[u32], bytes: u64) -> Stack {
        let allocated = Amount { objects: 1, bytes };
        Stack { locations: locations.to_vec(), allocated, ..Stack::default() }
    }

    #[test]
    fn an_index_that_leads_nowhere_is_named() {
        let parts = Parts { stacks: vec![stack(&[], 1), stack(&[0], 1)], ..Parts::default() };
        let error = Profile::from_parts(parts).expect_err("there is no location");
        assert_eq!(error.to_string(), "stack 1 refers to location 0, there are 0: the file is damaged");
        let lines = vec![Line { function: 3, line: None }];
        let parts =
            Parts { locations: vec![Location { address: 1, mapping: None, lines }], ..Parts::default() };
        let error = Profile::from_parts(parts).expect_err("there is no function");
        assert_eq!(error.to_string(), "location 0 refers to function 3, there are 0: the file is damaged");
    }

    #[test]
    fn sums_stay_under_what_pprof_can_say() {
        let parts = |bytes| Parts { stacks: vec![stack(&[], bytes), stack(&[], 1)], ..Parts::default() };
        assert_eq!(Profile::from_parts(parts(TOTAL_MAX)).map(drop), Err(BadProfile::Total("bytes")));
        assert_eq!(Profile::from_parts(parts(TOTAL_MAX - 1)).map(|it| it.live().bytes), Ok(TOTAL_MAX));
    }
}
