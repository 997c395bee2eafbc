//! A history of readings: one growing vector of plain values, which somebody meant to cut one day.

use std::time::Instant;

use corpus_programs::{Pace, Setup, beside};

#[derive(Clone, Copy)]
struct Reading {
    at_ms: u64,
    sensor: u32,
    celsius: f32,
}

struct History<T> {
    begun: Instant,
    readings: Vec<T>,
}

trait Recorder {
    fn record(&mut self, sensor: u32, celsius: f32);
    fn mean_of_last(&self, count: usize) -> f32;
}

impl Recorder for History<Reading> {
    fn record(&mut self, sensor: u32, celsius: f32) {
        let at_ms = self.begun.elapsed().as_millis() as u64;
        self.readings.push(Reading { at_ms, sensor, celsius }); // leaks: History::record
    }

    fn mean_of_last(&self, count: usize) -> f32 {
        let last = self.readings.iter().rev().take(count);
        last.map(|reading| reading.celsius + (reading.at_ms + u64::from(reading.sensor)) as f32 * 1e-9)
            .sum::<f32>()
            / count as f32
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    beside::document_traffic(&mut setup, 100.0, 800.0);
    setup.announce();
    let mut history = History { begun: Instant::now(), readings: Vec::new() };
    let mut pace = Pace::per_second(rate / size_of::<Reading>() as f64);
    loop {
        pace.wait();
        history.record(setup.random.u32(..64), setup.random.f32() * 40.0);
        if setup.random.u8(..) == 0 {
            std::hint::black_box(history.mean_of_last(60));
        }
    }
}
