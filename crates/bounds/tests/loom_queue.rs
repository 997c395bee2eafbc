//! The queue's races, each walked in every order that matters: a model a race, named after it.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-bounds --release --test loom_queue`. At most three
//! preemptions are tried unless `LOOM_MAX_PREEMPTIONS` says otherwise; bugs of this kind need one or two.
#![cfg(loom)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread;
use plimsoll_bounds::budget::{Account, Budget, BudgetLimits};
use plimsoll_bounds::queue::{Policy, Queue, QueueLimits, Receiver, RecvError, Refused, Sender, Sent};
use plimsoll_core::{Bytes, ManualClock};

const ITEM: Bytes = Queue::<u64>::ITEM_OVERHEAD;

fn model(race: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.max_branches = 10_000;
    builder.check(race);
}

struct World {
    account: Account,
    queue: Queue<u64>,
    sender: Sender<u64>,
    receiver: Receiver<u64>,
}

/// A queue for `items`, weightless but for their overhead.
fn world(items_max: usize, policy: Policy<u64>) -> World {
    let clock = Arc::new(ManualClock::new());
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(1)), clock.clone());
    let account = budget.account("queues", Bytes::kib(512)).expect("the budget is new");
    let limits = QueueLimits { items_max, bytes_max: ITEM * items_max as u64, waiters_max: 4 };
    let weigh = |_: &u64| Bytes::ZERO;
    let (sender, receiver) =
        Queue::bounded("model", limits, policy, weigh, &account, clock).expect("the account is new");
    let queue = sender.queue().clone();
    World { account, queue, sender, receiver }
}

fn check_empty(account: &Account, queue: &Queue<u64>) {
    assert_eq!((queue.items(), queue.bytes(), account.held()), (0, Bytes::ZERO, Bytes::ZERO));
}

fn step<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn received(receiver: &Receiver<u64>) -> Option<u64> {
    block_on(receiver.recv()).expect("the queue was not stopped").map(|item| item.into_inner())
}

#[test]
fn a_send_races_with_a_recv_and_the_item_arrives() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let sending = thread::spawn(move || block_on(sender.send(7)));
        assert_eq!(received(&receiver), Some(7));
        assert_eq!(sending.join().expect("it did not panic"), Ok(Sent::Queued));
        assert_eq!(received(&receiver), None, "the sender has gone");
        check_empty(&account, &queue);
    });
}

#[test]
fn two_senders_race_for_one_place_and_both_get_it_in_turn() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let other = sender.clone();
        let sending =
            [thread::spawn(move || block_on(sender.send(1))), thread::spawn(move || block_on(other.send(2)))];
        let mut sum = 0;
        while let Some(item) = received(&receiver) {
            assert!(queue.items() <= 1 && queue.bytes() <= ITEM);
            sum += item;
        }
        assert_eq!(sum, 3);
        for thread in sending {
            assert_eq!(thread.join().expect("it did not panic"), Ok(Sent::Queued));
        }
        check_empty(&account, &queue);
    });
}

#[test]
fn two_receivers_race_for_one_item_and_one_gets_it() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let other = receiver.clone();
        let receiving = thread::spawn(move || received(&other));
        sender.try_send(7).expect("there is room");
        let closing = thread::spawn(move || drop(sender));
        let ours = received(&receiver);
        let theirs = receiving.join().expect("it did not panic");
        assert!(matches!((ours, theirs), (Some(7), None) | (None, Some(7))));
        closing.join().expect("it did not panic");
        check_empty(&account, &queue);
    });
}

#[test]
fn a_close_races_with_a_send_and_what_was_accepted_arrives() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let closing = thread::spawn({
            let queue = queue.clone();
            move || queue.close()
        });
        let sending = thread::spawn(move || block_on(sender.send(7)).map_err(|error| error.reason));
        let arrived = received(&receiver);
        match sending.join().expect("it did not panic") {
            Ok(Sent::Queued) => assert_eq!(arrived, Some(7)),
            Err(Refused::Closed) => assert_eq!(arrived, None),
            other => panic!("{other:?}"),
        }
        closing.join().expect("it did not panic");
        check_empty(&account, &queue);
    });
}

#[test]
fn a_close_races_with_a_sender_that_waits_and_wakes_it() {
    model(|| {
        let World { queue, sender, receiver, .. } = world(1, Policy::Wait);
        sender.try_send(1).expect("there is room");
        let closing = thread::spawn({
            let queue = queue.clone();
            move || queue.close()
        });
        let refused = block_on(sender.send(2)).expect_err("nobody receives");
        assert_eq!((refused.item, refused.reason), (2, Refused::Closed));
        closing.join().expect("it did not panic");
        assert_eq!(received(&receiver), Some(1));
        assert_eq!(received(&receiver), None);
    });
}

#[test]
fn an_emergency_stop_races_with_a_send_and_a_recv_and_accounts_for_the_item() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let sending = thread::spawn(move || block_on(sender.send(7)).map_err(|error| error.reason));
        let receiving =
            thread::spawn(move || block_on(receiver.recv()).map(|item| item.map(|item| item.into_inner())));
        let report = queue.emergency_stop();
        let sent = sending.join().expect("it did not panic");
        let arrived = receiving.join().expect("it did not panic");
        match sent {
            // Received before the stop, dropped by it, or dropped because the receiver had gone.
            Ok(Sent::Queued) => {
                assert!((arrived == Ok(Some(7))) != (report.dropped_items == 1), "{arrived:?}, {report:?}");
            }
            Err(Refused::Stopped | Refused::NoReceiver) => {
                assert_eq!((arrived, report.dropped_items), (Err(RecvError::Stopped), 0));
            }
            other => panic!("{other:?}"),
        }
        check_empty(&account, &queue);
    });
}

#[test]
fn an_emergency_stop_races_with_a_permit_and_its_room_comes_back() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
        let sending = thread::spawn(move || permit.send(7).map_err(|error| error.reason));
        let report = queue.emergency_stop();
        match sending.join().expect("it did not panic") {
            Ok(Sent::Queued) => assert_eq!((report.dropped_items, report.permits), (1, 0)),
            Err(Refused::Stopped) => assert_eq!((report.dropped_items, report.permits), (0, 1)),
            other => panic!("{other:?}"),
        }
        check_empty(&account, &queue);
        drop(receiver);
    });
}

#[test]
fn a_dropped_permit_races_with_a_join_and_lets_the_sender_in() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
        let dropping = thread::spawn(move || drop(permit));
        assert_eq!(block_on(sender.send(7)), Ok(Sent::Queued));
        dropping.join().expect("it did not panic");
        assert_eq!(received(&receiver), Some(7));
        check_empty(&account, &queue);
    });
}

#[test]
fn a_dropped_permit_races_with_a_recv_on_a_closed_queue_and_ends_it() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let permit = sender.try_reserve(Bytes::ZERO).expect("there is room");
        drop(sender);
        let dropping = thread::spawn(move || drop(permit));
        assert_eq!(received(&receiver), None);
        dropping.join().expect("it did not panic");
        check_empty(&account, &queue);
    });
}

#[test]
fn a_cancelled_sender_that_was_let_in_passes_its_room_on() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        sender.try_send(1).expect("there is room");
        let walking_away = thread::spawn({
            let sender = sender.clone();
            move || step(sender.reserve(Bytes::ZERO)).is_some()
        });
        let receiving = thread::spawn(move || {
            assert_eq!(received(&receiver), Some(1));
            receiver
        });
        assert_eq!(block_on(sender.send(2)), Ok(Sent::Queued));
        walking_away.join().expect("it did not panic");
        let receiver = receiving.join().expect("it did not panic");
        assert_eq!(received(&receiver), Some(2));
        check_empty(&account, &queue);
    });
}

#[test]
fn a_cancelled_receiver_that_was_called_passes_the_item_on() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let walking_away = thread::spawn({
            let receiver = receiver.clone();
            // What it gets in its one step it keeps; after that it has not taken anything.
            move || step(receiver.recv()).is_some()
        });
        let receiving = thread::spawn(move || received(&receiver));
        sender.try_send(7).expect("there is room");
        if walking_away.join().expect("it did not panic") {
            drop(sender);
            assert_eq!(receiving.join().expect("it did not panic"), None);
        } else {
            // Before the sender goes: its going would call everybody again.
            assert_eq!(receiving.join().expect("it did not panic"), Some(7));
            drop(sender);
        }
        check_empty(&account, &queue);
    });
}

#[test]
fn a_drop_of_the_oldest_races_with_a_called_receiver_and_it_gets_the_newest() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::DropOldest);
        let sending = thread::spawn(move || {
            sender.try_send(1).expect("there is room");
            sender.try_send(2)
        });
        let first = received(&receiver);
        let second = received(&receiver);
        match sending.join().expect("it did not panic") {
            Ok(Sent::Queued) => assert_eq!((first, second), (Some(1), Some(2))),
            Ok(Sent::Displaced(1)) => assert_eq!((first, second), (Some(2), None)),
            // The first was in work, and weighed all that may be.
            Err(error) if matches!(error.reason, Refused::Full(_)) => {
                assert_eq!((first, second), (Some(1), None));
            }
            other => panic!("{other:?}"),
        }
        check_empty(&account, &queue);
    });
}

#[test]
fn letting_go_races_with_a_join_and_lets_the_sender_in() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        sender.try_send(1).expect("there is room");
        let item = receiver.try_recv().expect("it waits");
        let letting_go = thread::spawn(move || drop(item));
        assert_eq!(block_on(sender.send(2)), Ok(Sent::Queued));
        letting_go.join().expect("it did not panic");
        assert_eq!(received(&receiver), Some(2));
        check_empty(&account, &queue);
    });
}

#[test]
fn the_last_receiver_races_with_a_send_and_the_item_is_not_kept() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let going = thread::spawn(move || drop(receiver));
        let sent = block_on(sender.send(7));
        match &sent {
            Ok(Sent::Queued) => {}
            Err(error) => assert_eq!((error.item, &error.reason), (7, &Refused::NoReceiver)),
            other => panic!("{other:?}"),
        }
        going.join().expect("it did not panic");
        check_empty(&account, &queue);
    });
}

#[test]
fn a_drain_races_with_the_last_item_and_ends_when_it_is_let_go() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        sender.try_send(7).expect("there is room");
        let receiving = thread::spawn(move || received(&receiver));
        assert!(block_on(queue.drained()).is_complete());
        assert_eq!(receiving.join().expect("it did not panic"), Some(7));
        check_empty(&account, &queue);
    });
}

#[test]
fn a_release_on_the_account_races_with_a_sender_that_comes_to_wait_there() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let stranger = account.try_reserve("stranger", account.limit()).expect("it is free");
        let releasing = thread::spawn(move || drop(stranger));
        assert_eq!(block_on(sender.send(7)), Ok(Sent::Queued));
        releasing.join().expect("it did not panic");
        assert_eq!(received(&receiver), Some(7));
        check_empty(&account, &queue);
    });
}

#[test]
fn an_emergency_stop_races_with_a_sender_that_comes_to_wait_at_the_account() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let stranger = account.try_reserve("stranger", account.limit()).expect("it is free");
        let stopping = thread::spawn({
            let queue = queue.clone();
            move || queue.emergency_stop()
        });
        let refused = block_on(sender.send(7)).expect_err("nobody lets go");
        assert_eq!(refused.reason, Refused::Stopped);
        stopping.join().expect("it did not panic");
        drop((stranger, receiver));
        check_empty(&account, &queue);
    });
}

#[test]
fn a_release_on_the_account_races_with_an_emergency_stop_and_nothing_is_kept() {
    model(|| {
        let World { account, queue, sender, receiver } = world(1, Policy::Wait);
        let stranger = account.try_reserve("stranger", account.limit()).expect("it is free");
        let releasing = thread::spawn(move || drop(stranger));
        let stopping = thread::spawn({
            let queue = queue.clone();
            move || queue.emergency_stop()
        });
        let sent = block_on(sender.send(7)).map_err(|error| error.reason);
        releasing.join().expect("it did not panic");
        let report = stopping.join().expect("it did not panic");
        match sent {
            Ok(Sent::Queued) => assert_eq!(report.dropped_items, 1),
            Err(Refused::Stopped) => assert_eq!(report.dropped_items, 0),
            other => panic!("{other:?}"),
        }
        check_empty(&account, &queue);
        drop(receiver);
    });
}
