//! The number of open orders swings below what the table has room for; late, once, it swings a little higher, and the
//! table doubles. It never has to again.

use std::collections::{HashMap, VecDeque};

use corpus_programs::{Pace, Setup, beside};

struct OpenOrders {
    by_number: HashMap<u64, [u64; 4]>,
    oldest_first: VecDeque<u64>,
}

impl OpenOrders {
    fn swing_to(&mut self, count: usize, random: &mut fastrand::Rng) {
        while self.by_number.len() > count {
            let Some(number) = self.oldest_first.pop_front() else { return };
            self.by_number.remove(&number);
        }
        while self.by_number.len() < count {
            let number = random.u64(..);
            self.by_number.insert(number, [number; 4]);
            self.oldest_first.push_back(number);
        }
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let room = setup.whole("room", 500, 20_000);
    let swing = setup.part_of_length("swing_s", 0.04, 0.15);
    let late = setup.uniform("higher_at_part_of_length", 0.4, 0.8);
    beside::document_traffic(&mut setup, 20.0, 200.0);
    setup.announce();
    let mut orders = OpenOrders {
        by_number: HashMap::with_capacity(room),
        oldest_first: VecDeque::with_capacity(room * 4),
    };
    let room = orders.by_number.capacity() as f64;
    let mut pace = Pace::per_second(100.0);
    loop {
        pace.wait();
        let progress = setup.progress();
        let phase = (progress * setup.length_s() / swing.as_secs_f64() * std::f64::consts::TAU).sin();
        // Removed entries leave marks which take room too. While less than half of it is used the table is cleaned,
        // else it doubles; after that these are less than half again.
        let mean = if progress < late { 0.36 } else { 0.8 };
        let width = if progress < late { 0.1 } else { 0.16 };
        orders.swing_to((room * (mean + width * phase)) as usize, &mut setup.random);
    }
}
