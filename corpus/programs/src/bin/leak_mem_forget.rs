//! A guard whose `Drop` must not run on one path is forgotten there, with all that it holds.

use corpus_programs::{Pace, Setup, fill};

/// Rolls back when it is dropped.
struct Transaction {
    log: Vec<u8>,
    rolled_back: bool,
}

impl Transaction {
    fn begin(log_bytes: usize) -> Transaction {
        let log = Vec::with_capacity(log_bytes); // leaks: Transaction::begin
        Transaction { log, rolled_back: false }
    }

    fn write(&mut self, random: &mut fastrand::Rng) {
        let capacity = self.log.capacity();
        self.log.resize(capacity, 0);
        fill(random, &mut self.log);
    }

    fn commit(self) -> usize {
        let written = self.log.len();
        // There is nothing to roll back any more.
        std::mem::forget(self);
        written
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.rolled_back = true;
        self.log.iter_mut().for_each(|byte| *byte = 0);
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let log_bytes = setup.object_bytes(rate);
    let commits = setup.uniform("commits", 0.02, 0.9);
    setup.announce();
    let mut pace = Pace::per_second((rate / (log_bytes + 8) as f64 / commits).clamp(1.0, 60_000.0));
    let mut written = 0;
    loop {
        pace.wait();
        let mut transaction = Transaction::begin(log_bytes);
        transaction.write(&mut setup.random);
        if setup.random.f64() < commits {
            written += transaction.commit();
            std::hint::black_box(written);
        }
    }
}
