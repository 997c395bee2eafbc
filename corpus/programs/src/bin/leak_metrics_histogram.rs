//! A histogram whose values are kept one by one until somebody scrapes them, and nobody does. This is the known leak
//! of an old version of the exporter: issues 245 and 339 of metrics-rs/metrics, which later versions answer with
//! an upkeep task.

use std::time::Instant;

use corpus_programs::{Pace, Setup};
use metrics_exporter_prometheus::PrometheusBuilder;

fn look_up(random: &mut fastrand::Rng, words: &[String]) -> usize {
    let begun = Instant::now();
    let wanted = random.usize(..words.len());
    let found = words.iter().position(|word| word == &words[wanted]).unwrap_or_default();
    metrics::histogram!("look_up_seconds", begun.elapsed().as_secs_f64()); // leaks: look_up
    found
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.log_uniform("leak_bytes_per_s", 20_000.0, 200_000.0);
    let words = setup.whole("words", 100, 2000);
    setup.announce();
    if let Err(error) = PrometheusBuilder::new().install_recorder() {
        eprintln!("the recorder could not be installed: {error}");
        return;
    }
    let words: Vec<String> = (0..words).map(|word| format!("word-{word:06}")).collect();
    // Values are kept in blocks, 8 bytes each.
    let mut pace = Pace::per_second(rate / 8.0);
    loop {
        pace.wait();
        std::hint::black_box(look_up(&mut setup.random, &words));
    }
}
