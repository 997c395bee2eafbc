//! A large buffer is reserved at the start and filled over nearly half of the time, then from its beginning again.
//! What is allocated does not change, and what is resident does.

use corpus_programs::{Pace, Setup};

struct Recording {
    samples: Vec<i16>,
    capacity: usize,
    next: usize,
}

impl Recording {
    fn write(&mut self, block: &[i16]) {
        for &sample in block {
            if self.samples.len() < self.capacity {
                self.samples.push(sample);
            } else {
                self.samples[self.next] = sample;
            }
            self.next = (self.next + 1) % self.capacity;
        }
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let capacity = setup.whole("samples", 4_000_000, 30_000_000);
    let full_after = setup.part_of_length("full_after_s", 0.2, 0.48);
    setup.announce();
    let mut recording = Recording { samples: Vec::with_capacity(capacity), capacity, next: 0 };
    let block = 4000;
    let mut pace = Pace::per_second(capacity as f64 / block as f64 / full_after.as_secs_f64());
    loop {
        pace.wait();
        let block: Vec<i16> = (0..block).map(|_| setup.random.i16(..)).collect();
        recording.write(&block);
    }
}
