//! An audit trail that is kept in one string until somebody asks for it, which nobody does.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use corpus_programs::{Pace, Setup};

#[derive(Default)]
struct AuditTrail {
    text: Mutex<String>,
}

impl AuditTrail {
    fn note(&self, actor: u32, action: &str, amount: u64) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        let _ = writeln!(text, "actor={actor:010} action={action} amount={amount:020}"); // leaks: AuditTrail::note
    }
}

fn work(trail: &AuditTrail, mut random: fastrand::Rng, entries_per_s: f64) {
    let mut pace = Pace::per_second(entries_per_s);
    let mut balance: Vec<u64> = vec![0; 1024];
    loop {
        pace.wait();
        let (actor, amount) = (random.u32(..), random.u64(..1_000_000));
        let account = &mut balance[actor as usize % 1024];
        *account = account.wrapping_add(amount);
        let action = if amount.is_multiple_of(3) { "deposit " } else { "transfer" };
        trail.note(actor, action, amount);
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let workers = setup.whole("workers", 1, 6);
    setup.announce();
    let trail = Arc::new(AuditTrail::default());
    let entries_per_s = rate / 67.0 / workers as f64;
    let handles: Vec<_> = (0..workers)
        .map(|_| {
            let (trail, random) = (Arc::clone(&trail), setup.random.fork());
            thread::spawn(move || work(&trail, random, entries_per_s))
        })
        .collect();
    for handle in handles {
        handle.join().expect("workers run for ever");
    }
}
