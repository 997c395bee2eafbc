//! A producer that is faster than its consumer at times, and a queue with a limit: when it is full, work is refused.

use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::thread;

use corpus_programs::{Pace, Setup};

struct Mail {
    to: String,
    body: String,
}

fn deliver(mails: &Receiver<Mail>, per_s: f64) {
    let mut pace = Pace::per_second(per_s);
    for mail in mails {
        pace.wait();
        let sent = format!("To: {}\r\n\r\n{}", mail.to, mail.body);
        std::hint::black_box(sent);
    }
}

fn main() {
    let mut setup = Setup::healthy();
    let limit = setup.whole("limit", 50, 2000);
    let full_after = setup.part_of_length("full_after_s", 0.1, 0.4);
    let body_bytes = setup.whole("body_bytes", 50, 4000);
    let delivered_per_s = limit as f64 / full_after.as_secs_f64() * setup.uniform("delivered", 1.5, 6.0);
    setup.announce();
    let (sender, mails) = sync_channel(limit);
    thread::spawn(move || deliver(&mails, delivered_per_s));
    // What is over goes into the queue, until it is full.
    let mut pace = Pace::per_second(delivered_per_s + limit as f64 / full_after.as_secs_f64());
    let mut refused = 0_u64;
    loop {
        pace.wait();
        let to = format!("user{}@example.test", setup.random.u32(..));
        let mail = Mail { to, body: "b".repeat(setup.random.usize(body_bytes / 2..body_bytes)) };
        match sender.try_send(mail) {
            Ok(()) => {}
            Err(TrySendError::Full(mail)) => refused += mail.body.len() as u64,
            Err(TrySendError::Disconnected(_)) => return,
        }
        std::hint::black_box(refused);
    }
}
