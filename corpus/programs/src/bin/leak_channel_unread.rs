//! Events are published to a channel whose receiver is kept and never read: the feature behind it was switched off.

use std::sync::mpsc::{Receiver, Sender, channel};

use corpus_programs::{Pace, Setup, beside};

enum Event {
    Created { id: u64, title: String },
    Viewed { id: u64 },
}

struct Publisher {
    sender: Sender<Event>,
    published: u64,
}

impl Publisher {
    fn created(&mut self, id: u64, title_bytes: usize) {
        let title = "t".repeat(title_bytes); // leaks: Publisher::created
        self.publish(Event::Created { id, title });
    }

    fn publish(&mut self, event: Event) {
        self.published += 1;
        // The receiver lives as long as the service.
        let _ = self.sender.send(event); // leaks: Publisher::publish
    }
}

struct Notifier {
    enabled: bool,
    events: Receiver<Event>,
}

impl Notifier {
    fn run_once(&self) -> usize {
        if !self.enabled {
            return 0;
        }
        let length = |event| match event {
            Event::Created { id, title } => title.len() + id as usize % 2,
            Event::Viewed { id } => id as usize % 2,
        };
        self.events.try_iter().map(length).sum()
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.leak_bytes_per_s();
    let title_bytes = setup.object_bytes(rate);
    beside::document_traffic(&mut setup, 50.0, 400.0);
    setup.announce();
    let (sender, events) = channel();
    let notifier = Notifier { enabled: std::env::var_os("NOTIFY").is_some(), events };
    let mut publisher = Publisher { sender, published: 0 };
    let mut pace = Pace::per_second(2.0 * rate / (title_bytes + 64) as f64);
    loop {
        pace.wait();
        let id = setup.random.u64(..);
        if setup.random.bool() {
            publisher.created(id, title_bytes)
        } else {
            publisher.publish(Event::Viewed { id })
        }
        std::hint::black_box((notifier.run_once(), publisher.published));
    }
}
