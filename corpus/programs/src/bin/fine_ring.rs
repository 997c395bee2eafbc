//! The last messages for whoever asks: a ring in which each new one takes the place of the oldest.

use corpus_programs::{Pace, Setup, payload};

struct Ring<T> {
    slots: Vec<Option<T>>,
    next: usize,
}

impl<T> Ring<T> {
    fn new(capacity: usize) -> Ring<T> {
        Ring { slots: std::iter::repeat_with(|| None).take(capacity).collect(), next: 0 }
    }

    fn push(&mut self, value: T) -> Option<T> {
        let place = self.next;
        self.next = (place + 1) % self.slots.len();
        self.slots[place].replace(value)
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let capacity = setup.whole("capacity", 100, 20_000);
    let bytes = setup.whole("message_bytes", 32, 2000);
    let full_after = setup.part_of_length("full_after_s", 0.05, 0.35);
    setup.announce();
    let mut ring = Ring::new(capacity);
    let mut pace = Pace::per_second(capacity as f64 / full_after.as_secs_f64());
    loop {
        pace.wait();
        let message: Box<[u8]> = payload(&mut setup.random, bytes).into();
        std::hint::black_box(ring.push(message).map(|old| old.len()));
    }
}
