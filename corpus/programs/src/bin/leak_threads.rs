//! A thread for each upload waits for a confirmation; the sender of those that fail is kept, and so they wait for
//! ever, each with its stack and its buffer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use corpus_programs::{Pace, Setup};

const STACK_BYTES: usize = 32 * 1024;

#[derive(Default)]
struct Uploads {
    /// Of those that were not confirmed.
    unconfirmed: Vec<Sender<u64>>,
}

impl Uploads {
    fn begin(&mut self, number: u64, buffer_bytes: usize, fails: bool) {
        let buffer = vec![7_u8; buffer_bytes]; // leaks: Uploads::begin
        let (confirm, confirmed) = channel(); // leaks: Uploads::begin
        let name = format!("upload-{}", number % 1000); // leaks: Uploads::begin
        let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        let started = thread.spawn(move || wait_for(&confirmed, &buffer)); // leaks: Uploads::begin
        if started.is_err() {
            return;
        }
        if fails {
            self.unconfirmed.push(confirm); // leaks: Uploads::begin
        } else {
            // The other side may have gone already.
            let _ = confirm.send(number);
        }
    }
}

fn wait_for(confirmed: &Receiver<u64>, buffer: &[u8]) -> u64 {
    confirmed.recv().map_or(0, |number| number + buffer.len() as u64) // leaks: wait_for
}

fn main() {
    let mut setup = Setup::leaking();
    let threads_per_s = setup.log_uniform("leaked_threads_per_s", 0.5, 6.0);
    let buffer_bytes = setup.whole("buffer_bytes", 64, 65536);
    let fails = setup.uniform("fails", 0.1, 0.8);
    setup.announce();
    let (mut uploads, mut pace) = (Uploads::default(), Pace::per_second(threads_per_s / fails));
    for number in 0.. {
        pace.wait();
        uploads.begin(number, buffer_bytes, setup.random.f64() < fails);
    }
}
