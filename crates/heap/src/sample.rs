//! What is known of one sampled allocation, and what it stands for.
//!
//! An allocation is sampled if one of its bytes is a hit, and every byte is a hit with the probability that the
//! interval gives. So a block of `s` bytes is sampled with the probability `1 - exp(-s / interval)`, and stands
//! for one over that many of its kind: summed over all blocks, the expectation is the true count.
//!
//! `realloc` adds bytes, each with a chance of its own. A block that was no sample becomes one if they are hit, and
//! stands for what *they* stand for; from then on, what it gains counts as it is, once. So each byte counts once on
//! average whenever it was added, and nothing need be known of what a block was before: neither the interval
//! of that time, nor whether it had been larger. (To treat all its bytes as drawn at once, at the present interval,
//! is exact for blocks that only grow, and was tried: buffers that are shrunk and grown again were counted up to
//! eight times.)

use crate::sync::{AtomicU32, Relaxed};

/// One sampled allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The stack that allocated it: stays when it grows.
    pub(crate) stack: u32,
    /// The epoch in which it was allocated: stays when it grows.
    pub(crate) born: u32,
    /// How many objects it stands for. Less than 1 if it became a sample by growing.
    pub(crate) weight: f32,
    /// What the thread was labelled with: see [`crate::label`].
    pub(crate) label: u32,
    /// How often `realloc` made it larger.
    pub(crate) grown: u32,
    /// How many bytes the program asked for.
    pub(crate) size: u64,
}

/// Objects and bytes as they are summed up: the same sample always gives the same, so what was added can be
/// taken away again to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// In parts of [`OBJECT`].
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// One object in a [`Share`].
pub(crate) const OBJECT: u64 = 256;

impl Sample {
    pub(crate) fn share(&self) -> Share {
        if self.weight == 1.0 {
            return Share { objects: OBJECT, bytes: self.size };
        }
        let weight = f64::from(self.weight);
        let whole = |number: f64| number.round() as u64;
        Share { objects: whole(weight * OBJECT as f64), bytes: whole(weight * self.size as f64) }
    }

    /// The sample after `realloc` gave it another size. What it gained counts once.
    pub(crate) fn resized(self, size: u64) -> Self {
        let added = size.saturating_sub(self.size);
        if added == 0 {
            return Self { size, ..self };
        }
        let before = f64::from(self.weight) * self.size as f64;
        let weight = ((before + added as f64) / size as f64) as f32;
        Self { size, weight, grown: self.grown.saturating_add(1), ..self }
    }
}

/// How many objects a sampled block of `size` bytes stands for.
pub(crate) fn weight(size: u64, interval: f64) -> f32 {
    if interval <= 1.0 { 1.0 } else { inverse(size, interval) as f32 }
}

/// How many objects a block of `size` bytes stands for that became a sample by the last `added` of them.
pub(crate) fn weight_grown(added: u64, size: u64, interval: f64) -> f32 {
    let each = if interval <= 1.0 { 1.0 } else { inverse(added, interval) };
    (each * added as f64 / size as f64) as f32
}

/// One over the probability that one of so many bytes is a hit.
fn inverse(bytes: u64, interval: f64) -> f64 {
    // `exp_m1` keeps the digits of small exponents: 16 bytes in 512 KiB is 0.00003.
    (-1.0 / (-(bytes as f64) / interval).exp_m1()).max(1.0)
}

/// A sample as it lies in a table. Its owner is whoever owns the block; others may look at any moment, and see
/// each field whole but not all of the same moment.
#[derive(Debug, Default)]
pub(crate) struct SampleCell {
    /// The stack's number plus one; zero while there is no sample.
    stack: AtomicU32,
    born: AtomicU32,
    weight: AtomicU32,
    /// The link to the next one while the slot is free.
    label: AtomicU32,
    grown: AtomicU32,
    /// Of a small block. Large ones keep theirs beside it.
    size: AtomicU32,
}

impl SampleCell {
    pub(crate) fn put(&self, sample: &Sample) {
        self.born.store(sample.born, Relaxed);
        self.weight.store(sample.weight.to_bits(), Relaxed);
        self.label.store(sample.label, Relaxed);
        self.grown.store(sample.grown, Relaxed);
        self.size.store(u32::try_from(sample.size).unwrap_or(u32::MAX), Relaxed);
        self.stack.store(sample.stack + 1, crate::sync::Release);
    }

    pub(crate) fn get(&self) -> Option<Sample> {
        let stack = self.stack.load(crate::sync::Acquire).checked_sub(1)?;
        Some(Sample {
            stack,
            born: self.born.load(Relaxed),
            weight: f32::from_bits(self.weight.load(Relaxed)),
            label: self.label.load(Relaxed),
            grown: self.grown.load(Relaxed),
            size: u64::from(self.size.load(Relaxed)),
        })
    }

    pub(crate) fn clear(&self) {
        self.stack.store(0, Relaxed);
    }

    /// Where a free slot keeps the number of the next one.
    pub(crate) fn link(&self) -> &AtomicU32 {
        &self.label
    }
}

#[cfg(all(test, not(loom)))]
mod miri_tests {
    use super::*;

    fn sample(size: u64, weight: f32) -> Sample {
        Sample { stack: 7, born: 1, weight, label: 2, grown: 0, size }
    }

    #[test]
    fn a_weight_is_one_over_the_probability() {
        assert_eq!(weight(1, 1.0), 1.0);
        assert_eq!(weight(u64::MAX, 1.0), 1.0);
        for interval in [1024.0, 65_536.0, 524_288.0] {
            for size in [1, 16, 100, 5000, 1 << 20, 1 << 40] {
                let probability = -(-(size as f64) / interval).exp_m1();
                let weight = f64::from(weight(size, interval));
                assert!((weight * probability - 1.0).abs() < 1e-6, "{size} at {interval}: {weight}");
            }
        }
    }

    #[test]
    fn what_a_sample_gains_counts_once_and_what_it_loses_is_gone() {
        let small = sample(1000, 50.0);
        let large = small.resized(3000);
        assert_eq!((large.size, large.grown, large.born, large.stack), (3000, 1, 1, 7));
        assert!((f64::from(large.weight) * 3000.0 - 52_000.0).abs() < 0.1);
        let shrunk = large.resized(30);
        assert_eq!((shrunk.weight, shrunk.grown, shrunk.size), (large.weight, 1, 30));
        assert_eq!(small.resized(1000), small);
        // With every allocation sampled a block stays one.
        assert_eq!(
            sample(8, 1.0).resized(u64::from(u32::MAX)).resized(1).resized(77).share().objects,
            OBJECT
        );
    }

    /// The expectation, by arithmetic: of a block that is allocated, shrunk and grown at different intervals.
    #[test]
    fn a_blocks_history_adds_up_to_one_block() {
        let (first, second) = (65_536.0, 4096.0);
        let (born, shrunk, grown) = (5000_u64, 1000_u64, 9000_u64);
        let probability = |bytes: u64, interval: f64| -(-(bytes as f64) / interval).exp_m1();
        let at_birth = sample(born, weight(born, first)).resized(shrunk).resized(grown);
        let by_growth = sample(grown, weight_grown(grown - shrunk, grown, second));
        let hit = probability(born, first);
        let hit_later = (1.0 - hit) * probability(grown - shrunk, second);
        // The growth of a sample is not drawn: it counts as it is in the first term, and by its chance in the second.
        let without_draw = f64::from(at_birth.weight) * hit;
        let expected = without_draw + f64::from(by_growth.weight) * hit_later;
        assert!((expected - 1.0).abs() < 1e-6, "{expected}");
    }

    #[test]
    fn what_is_put_is_what_is_there_until_it_is_cleared() {
        let cell = SampleCell::default();
        assert_eq!(cell.get(), None);
        for size in [0, 1, 32_767] {
            cell.put(&sample(size, 3.25));
            assert_eq!(cell.get(), Some(sample(size, 3.25)));
        }
        cell.clear();
        assert_eq!(cell.get(), None);
    }
}
