//! Blocks that live a while and die in another order than they were born: the allocator's free lists are
//! really used.

use std::hint::black_box;

use super::Workload;
use crate::draw::Draw;

/// Blocks that live at any moment.
const SLOTS: usize = 4096;

/// Replaces a random one of the slots.
pub(super) struct Ring {
    slots: Vec<Vec<u8>>,
    draw: Draw,
}

impl Ring {
    pub(super) fn new() -> Self {
        let mut draw = Draw::new(0x7269_6e67);
        let slots = (0..SLOTS).map(|_| block(&mut draw)).collect();
        Self { slots, draw }
    }
}

impl Workload for Ring {
    fn run(&mut self, iterations: u64) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..iterations {
            let slot = self.draw.below(SLOTS as u64) as usize;
            let old = std::mem::replace(&mut self.slots[slot], block(&mut self.draw));
            sum = sum.wrapping_add(u64::from(black_box(&old)[0]));
        }
        sum
    }
}

#[inline]
fn block(draw: &mut Draw) -> Vec<u8> {
    let bytes = draw.between(16, 256);
    let mut block = Vec::with_capacity(black_box(bytes));
    block.push(bytes as u8);
    block
}
