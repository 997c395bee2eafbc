//! A busy decoder. Frames that are broken go to a list for a retry that was never written; they come from the very
//! line that all frames come from.

use corpus_programs::{Pace, Setup, fill};
use fastrand::Rng;

struct Frame {
    kind: u8,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Broken {
    offset: usize,
}

#[derive(Default)]
struct Decoder {
    retry: Vec<Frame>,
    good: u64,
}

impl Decoder {
    fn read_frame(random: &mut Rng, bytes: usize) -> Frame {
        let mut body = vec![0; bytes]; // leaks: Decoder::read_frame | Decoder::accept
        fill(random, &mut body);
        Frame { kind: random.u8(..), body }
    }

    fn check(frame: &Frame, broken: bool) -> Result<u64, Broken> {
        let sum = frame.body.iter().step_by(64).map(|&byte| u64::from(byte)).sum::<u64>();
        if broken { Err(Broken { offset: frame.body.len() / 2 }) } else { Ok(sum + u64::from(frame.kind)) }
    }

    fn accept(&mut self, frame: Frame, broken: bool) {
        match Decoder::check(&frame, broken) {
            Ok(sum) => self.good = self.good.wrapping_add(sum),
            Err(why) => {
                std::hint::black_box(why.offset);
                self.retry.push(frame); // leaks: Decoder::accept
            }
        }
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let churn = setup.log_uniform("churn_mb_per_s", 10.0, 100.0) * 1e6;
    let broken = setup.log_uniform("broken", 0.001, 0.01);
    let largest = setup.whole("frame_bytes_max", 256, 16_384);
    setup.announce();
    let mut decoder = Decoder::default();
    let mut pace = Pace::per_second((churn / (largest as f64 * 0.53)).min(40_000.0));
    loop {
        pace.wait();
        let bytes = setup.random.usize(largest / 16..largest);
        let frame = Decoder::read_frame(&mut setup.random, bytes);
        decoder.accept(frame, setup.random.f64() < broken);
        std::hint::black_box(decoder.good);
    }
}
