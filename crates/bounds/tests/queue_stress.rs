//! Threads and tasks on both ends of one queue, on an account that is too small for it, with producers and
//! consumers that give up at random: everything that was sent is received once, and nothing is left.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use plimsoll_bounds::budget::{Budget, BudgetLimits};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_bounds::queue::{Delivered, Policy, Queue, QueueLimits, Receiver, RecvError, Sender};
use plimsoll_core::Bytes;

const ITEMS_MAX: usize = 8;
const ITEM: Bytes = Queue::<u64>::ITEM_OVERHEAD;
const SENT_BY_EACH: u64 = 3000;
/// Far longer than the test takes: who waits as long has been forgotten.
const FOREVER: Duration = Duration::from_secs(60);

/// What went in and what came out, as numbers and as a sum that does not depend on the order.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    sent_sum: AtomicU64,
    received: AtomicU64,
    received_sum: AtomicU64,
}

impl Tally {
    fn sent(&self, item: u64) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.sent_sum.fetch_add(item, Ordering::Relaxed);
    }

    fn received(&self, item: Delivered<u64>) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.received_sum.fetch_add(*item, Ordering::Relaxed);
    }
}

fn produce_on_a_thread(sender: &Sender<u64>, tally: &Tally, mut rng: Rng) {
    for item in 0..SENT_BY_EACH {
        if rng.u8(..4) == 0 {
            let permit = sender.reserve_blocking(Bytes::new(60)).expect("somebody receives");
            if rng.bool() {
                permit.send(item).expect("somebody receives");
                tally.sent(item);
            }
        } else {
            sender.send_blocking(item).expect("somebody receives");
            tally.sent(item);
        }
    }
}

async fn produce_in_a_task(sender: Sender<u64>, tally: Arc<Tally>, mut rng: Rng) {
    for item in 0..SENT_BY_EACH {
        let patience = Duration::from_micros(rng.u64(..200));
        match tokio::time::timeout(patience, sender.send(item)).await {
            Ok(sent) => {
                sent.expect("somebody receives");
                tally.sent(item);
            }
            // Cancelled, wherever it stood: then it was not sent.
            Err(_elapsed) => tokio::task::yield_now().await,
        }
    }
}

fn consume_on_a_thread(receiver: &Receiver<u64>, tally: &Tally, mut rng: Rng) {
    loop {
        let patience = if rng.u8(..4) == 0 { Duration::from_micros(50) } else { FOREVER };
        match receiver.recv_blocking(patience) {
            Ok(Some(item)) => tally.received(item),
            Ok(None) => return,
            Err(RecvError::TimedOut { .. }) if patience < FOREVER => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn consume_in_a_task(receiver: Receiver<u64>, tally: Arc<Tally>, mut rng: Rng) {
    loop {
        let patience = Duration::from_micros(rng.u64(..400));
        match tokio::time::timeout(patience, receiver.recv()).await {
            Ok(Ok(Some(item))) => {
                if rng.u8(..4) == 0 {
                    tokio::task::yield_now().await;
                }
                tally.received(item);
            }
            Ok(Ok(None)) => return,
            Ok(Err(error)) => panic!("{error}"),
            Err(_elapsed) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_and_tasks_that_give_up_at_random_lose_nothing() {
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(64)), SystemClock::shared());
    // Room for five of the eight that the queue would take.
    let limit = (ITEM + Bytes::new(60)) * 5;
    let account = budget.account("queues", limit).expect("there is room for an account");
    let limits = QueueLimits { items_max: ITEMS_MAX, ..QueueLimits::of(ITEM * 12) };
    let weigh = |item: &u64| Bytes::new(item % 60);
    let (sender, receiver) =
        Queue::bounded("stress", limits, Policy::Wait, weigh, &account, SystemClock::shared())
            .expect("the account is open");
    let queue = sender.queue().clone();
    let tally = Arc::new(Tally::default());
    let over = Arc::new(AtomicBool::new(false));

    let mut threads = Vec::new();
    let mut tasks = Vec::new();
    for nth in 0..2 {
        let rng = Rng::with_seed(nth);
        let (ours, tallied, random) = (sender.clone(), tally.clone(), rng.clone());
        threads.push(thread::spawn(move || produce_on_a_thread(&ours, &tallied, random)));
        let (ours, tallied, random) = (receiver.clone(), tally.clone(), rng.clone());
        threads.push(thread::spawn(move || consume_on_a_thread(&ours, &tallied, random)));
        tasks.push(tokio::spawn(produce_in_a_task(sender.clone(), tally.clone(), rng.clone())));
        tasks.push(tokio::spawn(consume_in_a_task(receiver.clone(), tally.clone(), rng)));
    }
    drop((sender, receiver));
    let watcher = thread::spawn({
        let (queue, account, over) = (queue.clone(), account.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                assert!(
                    queue.items() <= ITEMS_MAX
                        && queue.bytes() <= limits.bytes_max
                        && account.held() <= limit
                );
                thread::yield_now();
            }
        }
    });
    for task in tasks {
        task.await.expect("it did not panic");
    }
    for thread in threads {
        thread.join().expect("it did not panic");
    }
    over.store(true, Ordering::Relaxed);
    watcher.join().expect("no limit was exceeded");

    let all = |number: &AtomicU64| number.load(Ordering::Relaxed);
    assert_eq!((all(&tally.received), all(&tally.received_sum)), (all(&tally.sent), all(&tally.sent_sum)));
    assert!(all(&tally.sent) > SENT_BY_EACH, "the threads sent at least three quarters of theirs");
    assert_eq!((queue.items(), queue.bytes(), account.held()), (0, Bytes::ZERO, Bytes::ZERO));
    assert_eq!(budget.waiting(), 0);
}
