//! Buffers are taken from a pool and given back; it grows to the largest number that was ever in use.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use corpus_programs::{Pace, Setup, fill};
use fastrand::Rng;

#[derive(Clone)]
struct Pool {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    buffer_bytes: usize,
}

impl Pool {
    fn take(&self) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| vec![0; self.buffer_bytes])
    }

    fn give_back(&self, buffer: Vec<u8>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

fn serve(pool: &Pool, mut random: Rng, most: usize, per_s: f64) {
    let (mut pace, mut in_use) = (Pace::per_second(per_s), Vec::new());
    loop {
        pace.wait();
        // Quiet, busy or very busy; all workers are very busy at once often enough to be seen early.
        let wanted = most * random.usize(1..=3) / 3;
        while in_use.len() > wanted {
            if let Some(buffer) = in_use.pop() {
                pool.give_back(buffer);
            }
        }
        while in_use.len() < wanted {
            let mut buffer = pool.take();
            fill(&mut random, &mut buffer[..64]);
            in_use.push(buffer);
        }
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let workers = setup.whole("workers", 2, 4);
    let most = setup.whole("most_in_use_each", 4, 40);
    let buffer_bytes = setup.whole("buffer_bytes", 1024, 65_536);
    let per_s = setup.log_uniform("changes_per_s", 20.0, 200.0);
    setup.announce();
    let pool = Pool { spare: Arc::default(), buffer_bytes };
    let handles: Vec<_> = (0..workers)
        .map(|_| {
            let (pool, random) = (pool.clone(), setup.random.fork());
            thread::spawn(move || serve(&pool, random, most, per_s))
        })
        .collect();
    for handle in handles {
        handle.join().expect("workers run for ever");
    }
}
