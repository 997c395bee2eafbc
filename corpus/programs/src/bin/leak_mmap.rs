//! Segments of a file are mapped and never unmapped: memory from the kernel, of which the allocator knows nothing.

use corpus_programs::{Pace, Setup, fill};
use memmap2::MmapMut;

struct Segments {
    segment_bytes: usize,
    written: u64,
}

impl Segments {
    fn write_segment(&mut self, random: &mut fastrand::Rng) -> std::io::Result<()> {
        let mut segment = MmapMut::map_anon(self.segment_bytes)?; // leaks: -
        fill(random, &mut segment);
        self.written += segment.len() as u64;
        // Readers may still hold on to it, it was said.
        std::mem::forget(segment);
        Ok(())
    }
}

fn index_segment(random: &mut fastrand::Rng) -> usize {
    let mut offsets: Vec<u32> = (0..random.usize(100..2000)).map(|_| random.u32(..)).collect();
    offsets.sort_unstable();
    offsets.len()
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.log_uniform("leak_bytes_per_s", 200_000.0, 1e6);
    let segment_bytes = setup.whole("segment_pages", 4, 64) * 4096;
    setup.announce();
    let mut segments = Segments { segment_bytes, written: 0 };
    let mut pace = Pace::per_second(rate / segment_bytes as f64);
    loop {
        pace.wait();
        if segments.write_segment(&mut setup.random).is_err() {
            return;
        }
        std::hint::black_box(index_segment(&mut setup.random));
    }
}
