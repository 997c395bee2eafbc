//! Slots are disjoint, aligned, reused, found again from their block, and end when the range does.

use std::alloc::Layout;
use std::collections::BTreeMap;

use super::*;

fn small() -> Range {
    Range::reserve(SMALLEST_BYTES).expect("16 MiB of address space")
}

fn sample(nth: u64) -> Sample {
    Sample { stack: 1, born: 2, weight: 3.0, label: 4, grown: 5, size: nth }
}

#[test]
fn slots_are_disjoint_aligned_and_found_again() {
    let range = small();
    let mut random = fastrand::Rng::with_seed(7);
    let mut held: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
    let rounds = if cfg!(miri) { 100 } else { 50_000 };
    for nth in 0..rounds {
        if random.u32(0..5) < 3 || held.is_empty() {
            let align = 1 << random.usize(0..10);
            let layout = Layout::from_size_align(random.usize(1..2000), align).expect("small");
            let Some(slot) = range.take(class_of(layout).expect("small"), random.usize(0..64)) else {
                continue;
            };
            let (start, end) = (slot.block.addr().get(), slot.block.addr().get() + layout.size());
            assert!(start.is_multiple_of(align) && range.holds(slot.block.as_ptr()));
            assert!(held.range(..end).next_back().is_none_or(|(at, (size, _))| at + size <= start));
            slot.sample.put(&sample(nth));
            // SAFETY: the slot is ours and at least this large.
            unsafe { slot.block.write_bytes(0xff, layout.size()) };
            held.insert(start, (layout.size(), nth));
        } else {
            let nth = random.usize(0..held.len());
            let (&start, &(_, nth)) = held.iter().nth(nth).expect("there are as many");
            held.remove(&start);
            let offset = start - range.start();
            // SAFETY: the block lies in the range.
            let slot = range.slot(unsafe { range.start.byte_add(offset) });
            assert_eq!(slot.sample.get(), Some(sample(nth)));
            slot.sample.clear();
            range.give_back(&slot);
        }
    }
    let mut seen = BTreeMap::new();
    range.visit(|start, sample| assert_eq!(seen.insert(start, sample.size), None));
    assert_eq!(seen, held.iter().map(|(&start, &(_, nth))| (start, nth)).collect());
}

#[test]
fn a_full_range_says_so_and_goes_on_when_something_comes_back() {
    let range = small();
    let class = class_of(Layout::from_size_align(32_000, 8).expect("small")).expect("small");
    let mut slots = Vec::new();
    while let Some(slot) = range.take(class, 0) {
        slots.push(slot);
    }
    // Seven of 32 KiB in each of the 64 chunks.
    assert_eq!(slots.len(), 7 * SMALLEST_BYTES / CHUNK_BYTES);
    let slot = slots.pop().expect("many");
    range.give_back(&slot);
    assert_eq!(range.take(class, 5).map(|again| again.block), Some(slot.block));
    assert!(range.take(0, 0).is_none(), "no chunk is left for another size");
}

#[test]
fn threads_get_slots_of_their_own() {
    let range = small();
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let range = &range;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut held = Vec::new();
                for nth in 0..rounds {
                    if let Some(slot) = range.take(random.usize(0..4), random.usize(0..4)) {
                        slot.sample.put(&sample(thread << 24 | nth));
                        held.push((slot.block, thread << 24 | nth));
                    }
                    if held.len() > 20 {
                        let (block, nth) = held.swap_remove(random.usize(0..held.len()));
                        let slot = range.slot(block);
                        assert_eq!(slot.sample.get(), Some(sample(nth)));
                        slot.sample.clear();
                        range.give_back(&slot);
                    }
                }
            });
        }
    });
}
