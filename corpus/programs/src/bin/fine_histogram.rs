//! Latencies go into histograms of fixed size, one for each of a few routes, made when the route is first used.

use std::collections::BTreeMap;
use std::time::Instant;

use corpus_programs::{Pace, Setup};
use fastrand::Rng;

struct Histogram {
    buckets: Vec<u64>,
    total: u64,
}

impl Histogram {
    fn record(&mut self, us: u64) {
        let bucket = (64 - us.leading_zeros()) as usize * self.buckets.len() / 65;
        self.buckets[bucket] += 1;
        self.total += 1;
    }

    fn summary(&self) -> String {
        let filled: Vec<String> =
            self.buckets.iter().filter(|&&count| count > 0).map(u64::to_string).collect();
        format!("{} of {}", filled.join(" "), self.total)
    }
}

fn handle(random: &mut Rng) -> usize {
    let mut ids: Vec<u32> = (0..random.usize(10..500)).map(|_| random.u32(..)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

fn main() {
    let mut setup = Setup::healthy();
    let routes = setup.whole("routes", 3, 60);
    let buckets = setup.whole("buckets", 64, 4096);
    let per_s = setup.log_uniform("requests_per_s", 50.0, 2000.0);
    setup.announce();
    let mut histograms: BTreeMap<usize, Histogram> = BTreeMap::new();
    let mut pace = Pace::per_second(per_s);
    for request in 0_u64.. {
        pace.wait();
        let begun = Instant::now();
        std::hint::black_box(handle(&mut setup.random));
        let histogram = histograms
            .entry(setup.random.usize(..routes))
            .or_insert_with(|| Histogram { buckets: vec![0; buckets], total: 0 });
        histogram.record(begun.elapsed().as_micros() as u64);
        if request.is_multiple_of(200) {
            std::hint::black_box(histogram.summary());
        }
    }
}
