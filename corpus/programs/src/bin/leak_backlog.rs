//! A consumer that is a little slower than its producer, and an unbounded channel between them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use corpus_programs::{Pace, Setup, fill};
use fastrand::Rng;

struct Job {
    number: u64,
    image: Vec<u8>,
}

fn enqueue(jobs: &Sender<Job>, number: u64, image_bytes: usize, random: &mut Rng) -> bool {
    let mut image = vec![0; image_bytes]; // leaks: enqueue
    fill(random, &mut image);
    jobs.send(Job { number, image }).is_ok() // leaks: enqueue
}

fn shrink_images(jobs: &Receiver<Job>, per_s: f64) {
    let mut pace = Pace::per_second(per_s);
    let mut last = 0;
    for job in jobs {
        pace.wait();
        let thumbnail: Vec<u8> = job.image.iter().step_by(8).copied().collect();
        last = std::hint::black_box(job.number.max(last) + thumbnail.len() as u64);
    }
    std::hint::black_box(last);
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let image_bytes = setup.object_bytes(rate);
    let slower = setup.uniform("consumer_slower_by", 0.1, 0.7);
    setup.announce();
    let produced_per_s = rate / (image_bytes + 40) as f64 / slower;
    let (sender, jobs) = channel();
    thread::spawn(move || shrink_images(&jobs, produced_per_s * (1.0 - slower)));
    let mut pace = Pace::per_second(produced_per_s);
    for number in 0.. {
        pace.wait();
        if !enqueue(&sender, number, image_bytes, &mut setup.random) {
            return;
        }
    }
}
