//! A level of a game allocates from an arena, which is emptied at its end and keeps its blocks for the next.

use corpus_programs::{Pace, Setup, fill};

struct Arena {
    blocks: Vec<Box<[u8]>>,
    block_bytes: usize,
    /// The block that is cut from, and where.
    at: (usize, usize),
}

impl Arena {
    fn alloc(&mut self, bytes: usize) -> &mut [u8] {
        let (mut block, mut offset) = self.at;
        if self.blocks.get(block).is_some_and(|block| block.len() - offset < bytes) {
            (block, offset) = (block + 1, 0);
        }
        if block == self.blocks.len() {
            self.blocks.push(vec![0; self.block_bytes.max(bytes)].into_boxed_slice());
        }
        self.at = (block, offset + bytes);
        &mut self.blocks[block][offset..offset + bytes]
    }

    fn reset(&mut self) {
        self.at = (0, 0);
        // A level that was exceptionally large is no reason to keep all of it.
        self.blocks.truncate(64);
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let period = setup.part_of_length("level_s", 0.08, 0.2);
    let block_bytes = setup.whole("block_bytes", 16_384, 262_144);
    let per_s = setup.log_uniform("objects_per_s", 500.0, 5000.0);
    setup.announce();
    let mut arena = Arena { blocks: Vec::new(), block_bytes, at: (0, 0) };
    let mut pace = Pace::per_second(per_s);
    let mut left = 0_usize;
    loop {
        pace.wait();
        if left == 0 {
            arena.reset();
            left = (per_s * period.as_secs_f64() * (0.5 + setup.random.f64())) as usize;
        }
        left = left.saturating_sub(1);
        let bytes = setup.random.usize(16..1024);
        fill(&mut setup.random, arena.alloc(bytes));
    }
}
