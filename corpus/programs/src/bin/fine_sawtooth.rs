//! Measurements are collected and sent off in batches, at even intervals.

use std::time::Instant;

use corpus_programs::{Pace, Setup};

struct Measurement {
    name: String,
    value: f64,
}

#[derive(Default)]
struct Batch {
    waiting: Vec<Measurement>,
}

impl Batch {
    fn add(&mut self, name: String, value: f64) {
        self.waiting.push(Measurement { name, value });
    }

    fn send(&mut self) -> usize {
        let batch = std::mem::take(&mut self.waiting);
        let lines: Vec<String> =
            batch.iter().map(|measurement| format!("{} {}", measurement.name, measurement.value)).collect();
        lines.join("\n").len()
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let period = setup.part_of_length("period_s", 0.08, 0.4);
    let per_s = setup.log_uniform("measurements_per_s", 20.0, 3000.0);
    let name_bytes = setup.whole("name_bytes", 16, 400);
    setup.announce();
    let (mut batch, mut sent, mut pace) = (Batch::default(), Instant::now(), Pace::per_second(per_s));
    loop {
        pace.wait();
        batch.add(format!("{:>name_bytes$}", setup.random.u16(..)), setup.random.f64());
        if sent.elapsed() >= period {
            std::hint::black_box(batch.send());
            sent += period;
        }
    }
}
