//! How a queue ends: close, drain, emergency stop, and the last handle of either end.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use plimsoll_bounds::budget::{Account, Budget, BudgetLimits};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_bounds::queue::{
    DrainReport, Policy, Queue, QueueLimits, Receiver, RecvError, Refused, Sender, Sent,
};
use plimsoll_core::Bytes;

const ITEM: Bytes = Queue::<u64>::ITEM_OVERHEAD;
const LONG: Duration = Duration::from_secs(60);

fn queue(items_max: usize) -> (Account, Sender<u64>, Receiver<u64>) {
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(64)), SystemClock::shared());
    let account = budget.account("queues", Bytes::mib(32)).expect("there is room for an account");
    let limits = QueueLimits { items_max, ..QueueLimits::of(Bytes::mib(1)) };
    let weigh = |_: &u64| Bytes::ZERO;
    let (sender, receiver) =
        Queue::bounded("numbers", limits, Policy::Wait, weigh, &account, SystemClock::shared())
            .expect("the account is open");
    (account, sender, receiver)
}

#[test]
fn close_lets_through_what_waits_and_what_was_promised() {
    let (_account, sender, receiver) = queue(10);
    sender.try_send(1).expect("there is room");
    let permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
    sender.queue().close();
    assert_eq!(sender.try_send(3).expect_err("it is closed").reason, Refused::Closed);
    assert_eq!(receiver.try_recv().expect("it waits").map(|item| *item), Some(1));
    assert_eq!(receiver.try_recv().expect_err("a permit is out"), RecvError::Empty);
    assert_eq!(permit.send(2), Ok(Sent::Queued));
    assert_eq!(receiver.try_recv().expect("it waits").map(|item| *item), Some(2));
    assert!(receiver.try_recv().expect("this is the end").is_none());
}

#[test]
fn the_last_sender_closes_and_the_last_receiver_drops_what_waits() {
    let (account, sender, receiver) = queue(10);
    let other = sender.clone();
    drop(sender);
    other.try_send(1).expect("a sender is left");
    drop(other);
    assert!(receiver.try_recv().expect("it waits").is_some());
    assert!(receiver.try_recv().expect("this is the end").is_none());

    let (other_account, sender, receiver) = queue(10);
    let permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
    sender.try_send(1).expect("there is room");
    drop(receiver);
    assert_eq!(other_account.held(), ITEM, "only the permit's");
    assert_eq!(permit.send(2).expect_err("nobody would take it").reason, Refused::NoReceiver);
    assert_eq!(sender.try_send(3).expect_err("nobody would take it").reason, Refused::NoReceiver);
    assert_eq!((account.held(), other_account.held()), (Bytes::ZERO, Bytes::ZERO));
}

#[tokio::test(start_paused = true)]
async fn close_wakes_all_who_wait() {
    let (_account, sender, receiver) = queue(1);
    sender.try_send(1).expect("there is room");
    let sending = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(2).await.map_err(|error| error.reason) }
    });
    tokio::task::yield_now().await;
    sender.queue().close();
    assert_eq!(sending.await.expect("it did not panic"), Err(Refused::Closed));
    assert!(receiver.recv().await.expect("it waits").is_some());

    let (_account, sender, receiver) = queue(1);
    let receiving = tokio::spawn(async move { receiver.recv().await.map(|item| item.is_none()) });
    tokio::task::yield_now().await;
    drop(sender);
    assert_eq!(receiving.await.expect("it did not panic"), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn drain_waits_until_the_last_item_is_let_go() {
    let (_account, sender, receiver) = queue(10);
    sender.try_send(1).expect("there is room");
    let queue = sender.queue().clone();
    let draining = tokio::spawn(async move { queue.drain(LONG).await });
    let item = receiver.recv().await.expect("it waits").expect("it waits");
    tokio::time::sleep(LONG / 2).await;
    assert!(!draining.is_finished(), "an item is in work");
    drop(item);
    assert!(draining.await.expect("it did not panic").is_complete());
}

#[tokio::test(start_paused = true)]
async fn drain_ends_at_its_time_and_says_what_is_left() {
    let (_account, sender, receiver) = queue(10);
    for item in 0..3 {
        sender.try_send(item).expect("there is room");
    }
    let in_work = receiver.try_recv().expect("it waits");
    let _permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
    let start = tokio::time::Instant::now();
    let report = sender.queue().drain(LONG).await;
    assert_eq!(start.elapsed(), LONG);
    let left = DrainReport {
        waiting_items: 2,
        waiting_bytes: ITEM * 2,
        permits: 1,
        in_flight_items: 1,
        in_flight_bytes: ITEM,
    };
    assert_eq!(report, left);
    let (two, one) = (ITEM * 2, ITEM);
    assert_eq!(
        report.to_string(),
        format!("not drained: 2 items ({two}) wait, 1 ({one}) are in work, 1 permits are out")
    );
    // Nothing of it was touched.
    assert!(receiver.try_recv().expect("it waits").is_some());
    drop(in_work);
    assert_eq!(sender.queue().drain_blocking(Duration::ZERO).waiting_items, 1);
}

#[tokio::test(start_paused = true)]
async fn emergency_stop_drops_counts_frees_and_wakes() {
    let (account, sender, receiver) = queue(3);
    for item in 0..3 {
        sender.try_send(item).expect("there is room");
    }
    let in_work = receiver.try_recv().expect("it waits");
    let permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
    let sending = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(9).await.map_err(|error| (error.item, error.reason)) }
    });
    tokio::task::yield_now().await;

    let report = sender.queue().emergency_stop();
    assert!(report.first_time);
    assert_eq!((report.dropped_items, report.dropped_bytes), (2, ITEM * 2));
    assert_eq!((report.producers_woken, report.permits, report.in_flight_items), (1, 1, 1));
    assert_eq!(account.held(), ITEM * 2, "the permit's and the one in work");
    assert_eq!(sending.await.expect("it did not panic"), Err((9, Refused::Stopped)), "handed back");
    assert_eq!(receiver.recv().await.expect_err("it is over"), RecvError::Stopped);
    assert_eq!(permit.send(8).expect_err("it is over").reason, Refused::Stopped);
    drop(in_work);
    assert_eq!(account.held(), Bytes::ZERO);
    let again = sender.queue().emergency_stop();
    assert!(!again.first_time && again.dropped_items == 0);
}

#[tokio::test]
async fn emergency_stop_wakes_consumers() {
    let (_account, sender, receiver) = queue(3);
    let receiving = tokio::spawn(async move { receiver.recv().await.map(|_| ()) });
    while sender.queue().emergency_stop().consumers_woken == 0 && !receiving.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(receiving.await.expect("it did not panic"), Err(RecvError::Stopped));
}

/// A producer that makes batches of a hundred and stops when the queue says so.
fn produce(sender: &Sender<u64>, offered: &AtomicU64) -> Refused {
    loop {
        for item in 0..100 {
            offered.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = sender.send_blocking(item) {
                return error.reason;
            }
        }
    }
}

/// Proves Q2. Both stops, each while the producer waits and while it runs.
#[test]
fn a_producer_stops_within_one_batch_when_stop_is_asked_for() {
    for round in 0..20 {
        for (emergency, consumer_runs) in [(false, false), (false, true), (true, false), (true, true)] {
            let (account, sender, receiver) = queue(5);
            let queue = sender.queue().clone();
            let offered = Arc::new(AtomicU64::new(0));
            let producer = thread::spawn({
                let offered = offered.clone();
                move || produce(&sender, &offered)
            });
            // Let it get somewhere: a full queue, or some hundred items through.
            let somewhere = if consumer_runs { 200 + round } else { 6 };
            while offered.load(Ordering::SeqCst) < somewhere {
                if consumer_runs {
                    drop(receiver.recv_blocking(LONG));
                } else {
                    thread::yield_now();
                }
            }
            let before = offered.load(Ordering::SeqCst);
            if emergency {
                queue.emergency_stop();
            } else {
                queue.close();
            }
            let reason = producer.join().expect("it did not panic");
            assert_eq!(reason, if emergency { Refused::Stopped } else { Refused::Closed });
            // A few may have been offered between reading the number and the stop; a batch is a hundred.
            let more = offered.load(Ordering::SeqCst) - before;
            assert!(more <= 100, "{more} more after the stop");
            drop(receiver);
            assert_eq!(account.held(), Bytes::ZERO);
        }
    }
}

#[test]
fn an_item_that_panics_when_it_is_dropped_leaves_nobody_asleep_and_nothing_held() {
    #[derive(Debug)]
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("as this one always does");
            }
        }
    }
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(64)), SystemClock::shared());
    let account = budget.account("queues", Bytes::mib(32)).expect("there is room for an account");
    let limits = QueueLimits::of(Bytes::mib(1));
    let weigh = |_: &Bad| Bytes::ZERO;
    let (sender, receiver) =
        Queue::bounded("bad", limits, Policy::Wait, weigh, &account, SystemClock::shared())
            .expect("the account is open");
    for _ in 0..3 {
        sender.try_send(Bad).expect("there is room");
    }
    let consumer = thread::spawn({
        let item = receiver.try_recv().expect("it waits");
        move || drop(item)
    });
    consumer.join().expect_err("its item panics");
    assert_eq!(account.held(), sender.queue().bytes());
    assert_eq!(sender.queue().items(), 2);
    let queue = sender.queue().clone();
    thread::spawn(move || queue.emergency_stop()).join().expect_err("the items panic");
    assert_eq!((account.held(), sender.queue().items()), (Bytes::ZERO, 0));
    assert_eq!(receiver.try_recv().expect_err("it was stopped"), RecvError::Stopped);
}
