//! Every few seconds a partner sends a batch. Its orders are booked, and the batch is kept "for support".

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use corpus_programs::{Pace, Setup};
use fastrand::Rng;

struct Order {
    article: u32,
    note: Vec<u8>,
}

#[derive(Default)]
struct Import {
    stock: HashMap<u32, i64>,
    batches: Vec<Vec<Order>>,
}

impl Import {
    fn read_batch(random: &mut Rng, orders: usize, note_bytes: usize) -> Vec<Order> {
        let order = |_| {
            let note = vec![b'n'; note_bytes]; // leaks: Import::read_batch
            Order { article: random.u32(..40), note }
        };
        (0..orders).map(order).collect() // leaks: Import::read_batch
    }

    fn book(&mut self, batch: Vec<Order>) {
        for order in &batch {
            *self.stock.entry(order.article).or_default() -= order.note.len() as i64;
        }
        self.batches.push(batch); // leaks: Import::book
    }
}

fn price_requests(mut random: Rng) {
    let mut pace = Pace::per_second(300.0);
    loop {
        pace.wait();
        let prices: Vec<f64> = (0..random.usize(10..300)).map(|_| random.f64()).collect();
        std::hint::black_box(prices);
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let note_bytes = setup.object_bytes(rate);
    let every = setup.part_of_length("burst_every_s", 0.03, 0.12);
    setup.announce();
    let random = setup.random.fork();
    thread::spawn(move || price_requests(random));
    let orders = (rate * every.as_secs_f64() / (note_bytes + 40) as f64).ceil() as usize;
    let mut import = Import::default();
    loop {
        let jitter = Duration::from_secs_f64(every.as_secs_f64() * setup.random.f64() * 0.2);
        thread::sleep(every - jitter);
        import.book(Import::read_batch(&mut setup.random, orders, note_bytes));
    }
}
