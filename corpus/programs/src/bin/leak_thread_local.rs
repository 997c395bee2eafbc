//! Workers keep names of what they did in a variable of their own thread, for a report at its end; they never end.

use std::cell::RefCell;
use std::thread;

use corpus_programs::{Pace, Setup, beside};
use fastrand::Rng;

thread_local! {
    static DONE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs a step and remembers its name.
fn traced<R>(name: &str, detail: usize, step: impl FnOnce() -> R) -> R {
    let result = step();
    DONE.with_borrow_mut(|done| {
        let entry = format!("{name}:{}", "-".repeat(detail)); // leaks: traced
        done.push(entry); // leaks: traced
    });
    result
}

fn work(mut random: Rng, detail: usize, steps_per_s: f64) {
    let mut pace = Pace::per_second(steps_per_s);
    loop {
        pace.wait();
        let numbers: Vec<u32> = (0..random.usize(10..200)).map(|_| random.u32(..)).collect();
        let largest = traced("largest", detail, || numbers.iter().max().copied());
        std::hint::black_box(largest);
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let detail = setup.object_bytes(rate);
    let workers = setup.whole("workers", 2, 8);
    beside::page_cache(&mut setup, 0.3, 0.5);
    setup.announce();
    let steps_per_s = rate / (detail + 40) as f64 / workers as f64;
    let handles: Vec<_> = (0..workers)
        .map(|_| {
            let random = setup.random.fork();
            thread::spawn(move || work(random, detail, steps_per_s))
        })
        .collect();
    for handle in handles {
        handle.join().expect("workers run for ever");
    }
}
