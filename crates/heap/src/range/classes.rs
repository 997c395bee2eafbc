//! The sizes of slots: multiples of 16 up to 128 bytes, from there on eight to each doubling. A block wastes at
//! most an eighth of its slot.

use std::alloc::Layout;

/// Blocks of this size and above are not served from the range.
pub(crate) const LARGE_BYTES: usize = 32 * 1024;
/// Blocks aligned to more than this are not either: a slot is only aligned to what its size divides by.
pub(crate) const ALIGN_MAX: usize = 4096;
/// How many sizes there are.
pub(crate) const CLASSES: usize = 8 + 8 * 8;

const FINE_MAX: usize = 128;

/// The class of the smallest slots that a layout fits into. `None` if it is too large or aligned to too much.
pub(crate) fn class_of(layout: Layout) -> Option<usize> {
    let (size, align) = (layout.size(), layout.align());
    if size >= LARGE_BYTES || align > ALIGN_MAX {
        return None;
    }
    // A slot whose size is a power of two is aligned to it.
    Some(class_of_size(if align <= 16 { size } else { size.max(align).next_power_of_two() }))
}

fn class_of_size(size: usize) -> usize {
    if size <= FINE_MAX {
        return size.saturating_sub(1) / 16;
    }
    let doubling = (size - 1).ilog2() as usize;
    // The three bits below the highest say which eighth of the doubling.
    let eighth = (size - 1) >> (doubling - 3) & 7;
    8 + (doubling - 7) * 8 + eighth
}

/// The slot size of a class, in bytes.
pub(crate) const fn slot_bytes(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * 16;
    }
    let (doubling, eighth) = ((class - 8) / 8, (class - 8) % 8);
    (8 + eighth + 1) << (doubling + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_slot_that_holds_it() {
        for class in 1..CLASSES {
            assert!(slot_bytes(class) > slot_bytes(class - 1));
            assert!(slot_bytes(class).is_multiple_of(16));
        }
        assert_eq!(slot_bytes(CLASSES - 1), LARGE_BYTES);
        for size in 1..LARGE_BYTES {
            let class = class_of_size(size);
            assert!(slot_bytes(class) >= size, "{size}");
            assert!(class == 0 || slot_bytes(class - 1) < size, "{size}");
        }
    }

    #[test]
    fn slots_are_aligned_as_their_blocks_must_be() {
        for align in (0..13).map(|power| 1_usize << power) {
            for size in [1, 17, 100, 1000, 5000, 16_384] {
                let layout = Layout::from_size_align(size, align).expect("small");
                let slot = slot_bytes(class_of(layout).expect("fits"));
                assert!(slot.is_multiple_of(align) && slot >= size, "{size} at {align}");
            }
        }
        assert_eq!(class_of(Layout::from_size_align(64, 8192).expect("small")), None);
        assert_eq!(class_of(Layout::from_size_align(LARGE_BYTES, 8).expect("small")), None);
    }
}
