//! Log lines are collected in memory and written when there are enough, or when it was long enough, whatever comes
//! first; the traffic is uneven.

use std::time::{Duration, Instant};

use corpus_programs::{Pace, Setup, beside};

struct LineBuffer {
    lines: Vec<String>,
    lines_max: usize,
    patience: Duration,
    written: Instant,
}

impl LineBuffer {
    fn log(&mut self, line: String) {
        self.lines.push(line);
        if self.lines.len() >= self.lines_max || self.written.elapsed() > self.patience {
            self.write();
        }
    }

    fn write(&mut self) {
        let bytes: usize = self.lines.drain(..).map(|line| line.len() + 1).sum();
        std::hint::black_box(bytes);
        self.written = Instant::now();
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let patience = setup.part_of_length("patience_s", 0.1, 0.35);
    let per_s = setup.log_uniform("lines_per_s", 50.0, 2000.0);
    let fullness = setup.uniform("full_at_part_of_patience", 0.5, 1.0);
    beside::document_traffic(&mut setup, 20.0, 300.0);
    setup.announce();
    let lines_max = (per_s * patience.as_secs_f64() * fullness) as usize;
    let mut buffer = LineBuffer { lines: Vec::new(), lines_max, patience, written: Instant::now() };
    let mut pace = Pace::per_second(per_s);
    loop {
        pace.wait();
        if setup.random.usize(..lines_max.max(8) / 4) == 0 {
            pace.change(per_s * (0.2 + setup.random.f64() * 1.6));
        }
        let (id, detail) = (setup.random.u64(..), setup.random.usize(..120));
        buffer.log(format!("level=info id={id:016x} detail={:.<detail$}", ""));
    }
}
