//! Each view adds a listener to the bus when it is shown, and none removes it when it is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corpus_programs::{Pace, Setup, beside};

type Listener = Box<dyn Fn(u64) -> u64 + Send>;

#[derive(Default)]
struct Bus {
    listeners: Vec<(u64, Listener)>,
    next: u64,
}

impl Bus {
    fn listen(&mut self, listener: impl Fn(u64) -> u64 + Send + 'static) -> u64 {
        self.next += 1;
        self.listeners.push((self.next, Box::new(listener))); // leaks: Bus::listen | View::show
        self.next
    }

    fn emit_to_last(&self, event: u64) -> u64 {
        self.listeners
            .iter()
            .rev()
            .take(50)
            .map(|(id, listener)| listener(event) + id)
            .fold(0, u64::wrapping_add)
    }
}

struct View {
    subscription: u64,
    total: Arc<AtomicU64>,
}

impl View {
    fn show(bus: &mut Bus, rows: usize) -> View {
        let total = Arc::new(AtomicU64::new(0)); // leaks: View::show
        let (seen, cells) = (Arc::clone(&total), vec![3_u64; rows]); // leaks: View::show
        let subscription = bus.listen(move |event| {
            let cell = cells[event as usize % cells.len()];
            seen.fetch_add(cell, Ordering::Relaxed) + event
        });
        View { subscription, total }
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let rows = setup.object_bytes(rate).div_ceil(8);
    beside::document_traffic(&mut setup, 20.0, 200.0);
    setup.announce();
    let mut bus = Bus::default();
    let mut pace = Pace::per_second(rate / (rows * 8 + 112) as f64);
    loop {
        pace.wait();
        let view = View::show(&mut bus, rows);
        std::hint::black_box(bus.emit_to_last(setup.random.u64(..1000)));
        std::hint::black_box(view.subscription + view.total.load(Ordering::Relaxed));
    }
}
