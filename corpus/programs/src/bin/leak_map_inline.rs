//! Message numbers that were seen, so that none is handled twice: keys and values lie in the table itself, and the
//! table only doubles.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use corpus_programs::{Pace, Setup, beside, payload};

struct Message {
    number: u64,
    body: Vec<u8>,
}

struct Deduplicator {
    /// Number of the message, and how often it came.
    seen: HashMap<u64, u64>,
}

impl Deduplicator {
    fn is_new(&mut self, number: u64) -> bool {
        let times = self.seen.entry(number).or_insert(0); // leaks: Deduplicator::is_new
        *times += 1;
        *times == 1
    }
}

fn handle(messages: &Receiver<Message>) {
    let mut deduplicator = Deduplicator { seen: HashMap::new() };
    let mut handled = 0_u64;
    for message in messages {
        if deduplicator.is_new(message.number) {
            handled += message.body.len() as u64;
        }
    }
    std::hint::black_box(handled);
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let body_bytes = setup.whole("body_bytes", 16, 2048);
    beside::upload_traffic(&mut setup, 20.0, 130.0);
    setup.announce();
    let (sender, messages) = sync_channel(64);
    thread::spawn(move || handle(&messages));
    // An entry takes 17 bytes, and the table is three quarters full in the mean.
    let mut pace = Pace::per_second(rate / 24.0);
    loop {
        pace.wait();
        let number = setup.random.u64(..);
        let body = payload(&mut setup.random, body_bytes);
        if sender.send(Message { number, body }).is_err() {
            return;
        }
    }
}
