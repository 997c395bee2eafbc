//! Nothing but allocating and freeing small blocks: the worst case, which no program is.

use std::hint::black_box;
use std::thread;

use super::Workload;
use crate::draw::Draw;

/// The smallest block.
const BYTES_MIN: usize = 16;
/// The largest block.
const BYTES_MAX: usize = 256;

/// Pairs of one allocation and one free; each thread does all iterations.
pub(super) struct Tight {
    threads: u64,
    seed: u64,
}

impl Tight {
    pub(super) fn new(threads: u64) -> Self {
        Self { threads, seed: 0x7167_6874 }
    }
}

impl Workload for Tight {
    fn run(&mut self, iterations: u64) -> u64 {
        if self.threads == 1 {
            return pairs(self.seed, iterations);
        }
        thread::scope(|scope| {
            let spawned: Vec<_> = (0..self.threads)
                .map(|number| self.seed + number * 2)
                .map(|seed| scope.spawn(move || pairs(seed, iterations)))
                .collect();
            let sums = spawned.into_iter().map(|thread| thread.join().expect("the loop does not panic"));
            sums.fold(0, u64::wrapping_add)
        })
    }

    fn operations(&self, iterations: u64) -> u64 {
        self.threads * iterations
    }
}

#[inline(never)]
fn pairs(seed: u64, iterations: u64) -> u64 {
    // One live block of each size, as any program has: with none, mimalloc gives a whole page of blocks back
    // and takes it out again with each pair, and the first block that anybody keeps makes it another test.
    let kept: Vec<Vec<u8>> =
        (BYTES_MIN..=BYTES_MAX).step_by(8).map(|bytes| black_box(vec![1; bytes])).collect();
    let mut draw = Draw::new(seed);
    let mut sum = kept.len() as u64;
    for _ in 0..iterations {
        let bytes = draw.between(BYTES_MIN, BYTES_MAX);
        let mut block = Vec::<u8>::with_capacity(black_box(bytes));
        block.push(bytes as u8);
        sum = sum.wrapping_add(u64::from(black_box(&block)[0]));
    }
    sum
}
