//! For each subscription a task waits for an end that never comes: the notification goes to another object.

use std::sync::Arc;

use corpus_programs::{Pace, Setup};
use tokio::sync::Notify;

struct Subscription {
    topic: u64,
    closed: Arc<Notify>,
}

async fn follow(subscription: Subscription, window: Vec<u8>) -> u64 {
    subscription.closed.notified().await;
    subscription.topic + window.len() as u64
}

/// Starts following; the caller closes what it is given back.
fn subscribe(topic: u64, window_bytes: usize) -> Arc<Notify> {
    let closed = Arc::new(Notify::new()); // leaks: subscribe
    let window = vec![1; window_bytes]; // leaks: subscribe
    tokio::spawn(follow(Subscription { topic, closed: Arc::clone(&closed) }, window)); // leaks: subscribe
    // Meant was `closed`.
    Arc::new(Notify::new())
}

async fn serve(mut setup: Setup, rate: f64, window_bytes: usize) {
    let mut pace = Pace::per_second(rate / (window_bytes + 400) as f64);
    let mut open = std::collections::VecDeque::new();
    loop {
        pace.wait_async().await;
        open.push_back(subscribe(setup.random.u64(..), window_bytes));
        if open.len() > 10
            && let Some(closed) = open.pop_front()
        {
            closed.notify_waiters();
        }
    }
}

fn main() {
    let mut setup = Setup::leaking();
    let rate = setup.log_uniform("leak_bytes_per_s", 2000.0, 1e6);
    let window_bytes = setup.object_bytes(rate);
    setup.announce();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("two threads can be started").block_on(async move {
        tokio::spawn(serve(setup, rate, window_bytes)).await.expect("it runs for ever");
    });
}
