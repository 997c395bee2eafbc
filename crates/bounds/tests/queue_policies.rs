//! What a queue does when it is full, policy by policy, and what its errors say.
#![cfg(not(loom))]

use std::sync::Arc;
use std::time::Duration;

use plimsoll_bounds::budget::{Account, Budget, BudgetLimits, ReserveError};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_bounds::queue::{
    Key, PATIENCE, Policy, Queue, QueueLimits, Receiver, RecvError, Refused, Sender, Sent,
};
use plimsoll_core::{Bytes, Counter, ManualClock, Reading, Registry};

const ITEM: Bytes = Queue::<String>::ITEM_OVERHEAD;

fn account(limit: Bytes) -> Account {
    let budget = Budget::new(BudgetLimits::of(Bytes::gib(1)), SystemClock::shared());
    budget.account("queues", limit).expect("there is room for an account")
}

/// A queue of texts, each weighing its length, with room for `items` empty ones in bytes.
fn queue(items_max: usize, items: u64, policy: Policy<String>) -> (Sender<String>, Receiver<String>) {
    queue_on(&account(Bytes::gib(1)), items_max, items, policy)
}

fn queue_on(
    account: &Account,
    items_max: usize,
    items: u64,
    policy: Policy<String>,
) -> (Sender<String>, Receiver<String>) {
    let limits = QueueLimits { items_max, bytes_max: ITEM * items, waiters_max: 8 };
    let weigh = |text: &String| Bytes::of_len(text.len());
    Queue::bounded("texts", limits, policy, weigh, account, Arc::new(ManualClock::new()))
        .expect("the account is open")
}

fn readings<T: Send + 'static>(queue: &Queue<T>) -> Vec<Reading> {
    let registry = Registry::new(1);
    registry.register(queue.observer()).expect("there is room");
    registry.readings()
}

fn count<T: Send + 'static>(queue: &Queue<T>, name: &str) -> u64 {
    let readings = readings(queue);
    let items = readings.iter().find(|reading| reading.name == "texts.items").expect("it is shown");
    let known = |counter: &&Counter| counter.name == name;
    items.counters.iter().find(known).unwrap_or_else(|| panic!("{name} is counted")).value
}

fn text(letter: &str) -> String {
    letter.to_owned()
}

fn taken(receiver: &Receiver<String>) -> Option<String> {
    match receiver.try_recv() {
        Ok(item) => item.map(|item| item.into_inner()),
        Err(RecvError::Empty) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Proves Q1.
#[test]
fn is_bounded_in_items_and_in_bytes_at_once() {
    let (sender, _receiver) = queue(2, 1000, Policy::Reject);
    for _ in 0..2 {
        sender.try_send(text("small")).expect("two may wait");
    }
    assert!(matches!(sender.try_send(text("small")).expect_err("three may not").reason, Refused::Full(_)));

    let (sender, _receiver) = queue(1000, 2, Policy::Reject);
    let kib = "x".repeat(ITEM.as_usize());
    sender.try_send(kib.clone()).expect("it is all that fits");
    let refused = sender.try_send(text("")).expect_err("not even an empty one more");
    assert!(matches!(refused.reason, Refused::Full(_)));
    // What was refused, and at which limit.
    let [bytes, items, waiters] = readings(sender.queue()).try_into().expect("three limits");
    assert_eq!(
        (bytes.name.as_str(), bytes.used, bytes.limit),
        ("texts.bytes", ITEM.as_u64() * 2, bytes.used)
    );
    assert_eq!((items.used, items.limit, items.rejected, bytes.rejected), (1, 1000, 0, 1));
    assert_eq!((waiters.name.as_str(), waiters.limit), ("texts.waiters", 8));
}

#[test]
fn bytes_count_until_the_consumer_lets_go() {
    let account = account(Bytes::gib(1));
    let (sender, receiver) = queue_on(&account, 10, 2, Policy::Reject);
    sender.try_send(text("")).expect("there is room");
    sender.try_send(text("")).expect("there is room");
    let first = receiver.try_recv().expect("it waits").expect("it waits");
    assert_eq!((sender.queue().items(), sender.queue().bytes()), (1, ITEM * 2));
    assert_eq!(account.held(), ITEM * 2);
    sender.try_send(text("")).expect_err("what is in work is in memory");
    drop(first);
    assert_eq!((sender.queue().bytes(), account.held()), (ITEM, ITEM));
    let second = receiver.try_recv().expect("it waits").expect("it waits");
    let kept: String = second.into_inner();
    assert_eq!((sender.queue().bytes(), account.held()), (Bytes::ZERO, Bytes::ZERO), "{kept}");
}

#[test]
fn what_could_never_fit_is_refused_at_once_under_every_policy() {
    let policies: [Policy<String>; 6] = [
        Policy::Wait,
        Policy::patient(),
        Policy::Reject,
        Policy::DropNewest,
        Policy::DropOldest,
        Policy::LatestByKey(|text| Key::from(text.as_str())),
    ];
    for policy in policies {
        let (sender, receiver) = queue(2, 3, policy);
        sender.try_send(text("waits")).expect("there is room");
        let large = "x".repeat(ITEM.as_usize() * 3);
        let refused = sender.send_blocking(large.clone()).expect_err("it is larger than the queue");
        assert!(matches!(refused.reason, Refused::TooLarge { .. }), "{policy:?}: {refused}");
        assert_eq!(refused.item, large, "it is handed back");
        assert_eq!(taken(&receiver), Some(text("waits")), "nothing was dropped for it");

        let (sender, _receiver) = queue(0, 3, policy);
        let refused = sender.send_blocking(text("")).expect_err("a queue of no items takes none");
        assert!(matches!(refused.reason, Refused::TooLarge { .. }), "{policy:?}: {refused}");
    }
}

#[test]
fn reject_hands_the_item_back_with_the_numbers() {
    let (sender, _receiver) = queue(1, 4, Policy::Reject);
    sender.try_send(text("first")).expect("there is room");
    let refused = sender.try_send(text("second")).expect_err("it is full");
    assert_eq!(refused.item, "second");
    let (first, second) = (ITEM + Bytes::new(5), ITEM + Bytes::new(6));
    assert_eq!(
        refused.to_string(),
        format!(
            "no room: {second} asked of queue texts: 1 of 1 items, {first} of {}, 0 items in work, \
             0 producers waiting, oldest item 0.0s",
            ITEM * 4
        )
    );
    assert_eq!(count(sender.queue(), "refused_full"), 1);
}

#[test]
fn drop_newest_drops_what_comes() {
    let (sender, receiver) = queue(1, 4, Policy::DropNewest);
    assert_eq!(sender.try_send(text("first")), Ok(Sent::Queued));
    assert_eq!(sender.try_send(text("second")), Ok(Sent::Dropped));
    assert_eq!(count(sender.queue(), "dropped_newest"), 1);
    assert_eq!(taken(&receiver), Some(text("first")));
    assert_eq!(taken(&receiver), None);
}

#[test]
fn drop_oldest_drops_no_more_than_it_must() {
    let (sender, receiver) = queue(10, 4, Policy::DropOldest);
    for letter in ["a", "b", "c"] {
        assert_eq!(sender.try_send(text(letter)), Ok(Sent::Queued));
    }
    // One that weighs as much as two, where there is room for a bit less than one.
    let heavy = "x".repeat(ITEM.as_usize() + 2);
    assert_eq!(sender.try_send(heavy.clone()), Ok(Sent::Displaced(2)));
    assert_eq!(sender.try_send(text("d")), Ok(Sent::Displaced(1)));
    assert_eq!(count(sender.queue(), "dropped_oldest"), 3);
    assert_eq!(taken(&receiver), Some(heavy));
    assert_eq!(taken(&receiver), Some(text("d")));
}

#[test]
fn drop_oldest_does_not_drop_what_is_in_work() {
    let (sender, receiver) = queue(10, 2, Policy::DropOldest);
    sender.try_send(text("")).expect("there is room");
    sender.try_send(text("")).expect("there is room");
    let in_work = [receiver.try_recv().expect("it waits"), receiver.try_recv().expect("it waits")];
    let refused = sender.try_send(text("")).expect_err("there is nothing to drop");
    assert!(matches!(refused.reason, Refused::Full(_)));
    drop(in_work);
    assert_eq!(sender.try_send(text("")), Ok(Sent::Queued));
}

#[test]
fn latest_by_key_replaces_in_place() {
    let by_name: Policy<String> = Policy::LatestByKey(|text| Key::from(&text[..1]));
    let (sender, receiver) = queue(2, 100, by_name);
    for (item, sent) in
        [("a1", Sent::Queued), ("b1", Sent::Queued), ("a2", Sent::Replaced), ("b2", Sent::Replaced)]
    {
        assert_eq!(sender.try_send(text(item)), Ok(sent));
    }
    let refused = sender.try_send(text("c1")).expect_err("a new key finds no room");
    assert_eq!((refused.item.as_str(), count(sender.queue(), "replaced")), ("c1", 2));
    assert_eq!(taken(&receiver), Some(text("a2")), "where a1 stood");
    assert_eq!(sender.try_send(text("a3")), Ok(Sent::Queued), "the one that went out is not replaced");
    assert_eq!(taken(&receiver), Some(text("b2")));
    assert_eq!(taken(&receiver), Some(text("a3")));
}

#[test]
fn a_permit_sends_without_waiting_and_gives_its_room_back() {
    let (sender, receiver) = queue(1, 4, Policy::Reject);
    let permit = sender.try_reserve(Bytes::new(5)).expect("there is room");
    assert_eq!(sender.queue().items(), 1, "a permit is as good as an item");
    sender.try_send(text("")).expect_err("it is full");
    assert_eq!(permit.send(text("first")), Ok(Sent::Queued));
    assert_eq!(taken(&receiver), Some(text("first")));

    let permit = sender.try_reserve(Bytes::new(5)).expect("there is room again");
    let refused = permit.send(text("second")).expect_err("it weighs six");
    assert!(matches!(refused.reason, Refused::HeavierThanPermit { .. }), "{refused}");
    drop(sender.try_reserve(Bytes::ZERO).expect("the room of the heavy one came back"));
    assert_eq!((sender.queue().items(), sender.queue().bytes()), (0, Bytes::ZERO));
}

/// Proves Q2.
#[tokio::test(start_paused = true)]
async fn a_producer_waits_ten_seconds_when_full_and_then_says_so() {
    let (sender, receiver) = queue(1, 4, Policy::patient());
    sender.send(text("first")).await.expect("there is room");
    let start = tokio::time::Instant::now();
    let refused = sender.send(text("second")).await.expect_err("nobody receives");
    assert_eq!(start.elapsed(), PATIENCE);
    assert_eq!(PATIENCE, Duration::from_secs(10));
    assert_eq!(refused.item, "second");
    assert!(refused.to_string().starts_with("no room for 10.000s: "), "{refused}");
    assert_eq!(count(sender.queue(), "timed_out"), 1);

    // Room that comes in time is taken.
    let sending = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(text("third")).await }
    });
    tokio::time::sleep(PATIENCE / 2).await;
    assert_eq!(taken(&receiver), Some(text("first")));
    assert_eq!(sending.await.expect("it did not panic"), Ok(Sent::Queued));
}

#[test]
fn a_producer_on_a_thread_waits_and_then_says_so() {
    let (sender, _receiver) = queue(1, 4, Policy::WaitUntil(Duration::from_millis(5)));
    sender.send_blocking(text("first")).expect("there is room");
    let refused = sender.send_blocking(text("second")).expect_err("nobody receives");
    assert!(matches!(refused.reason, Refused::TimedOut { .. }), "{refused}");
    let refused = sender.reserve_blocking(Bytes::ZERO).expect_err("nobody receives");
    assert!(matches!(refused, Refused::TimedOut { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_is_cancelled_has_sent_nothing_and_its_item_is_counted() {
    let (sender, receiver) = queue(1, 4, Policy::Wait);
    sender.send(text("first")).await.expect("there is room");
    let cancelled = tokio::time::timeout(PATIENCE, sender.send(text("second"))).await;
    assert!(cancelled.is_err());
    assert_eq!(count(sender.queue(), "cancelled"), 1);
    assert_eq!((taken(&receiver), taken(&receiver)), (Some(text("first")), None));
}

#[test]
fn waiters_are_bounded() {
    let (sender, receiver) = queue_on(&account(Bytes::gib(1)), 1, 4, Policy::Wait);
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(receiver.recv())).collect();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    let refused = receiver.recv_blocking(Duration::ZERO).expect_err("eight wait already");
    assert_eq!(refused, RecvError::TooManyWaiters { waiters_max: 8 });
    drop(waiting);
    let refused = receiver.recv_blocking(Duration::ZERO).expect_err("nothing comes");
    assert!(matches!(refused, RecvError::TimedOut { .. }));
    drop(sender);
}

/// The queue has room, the account has not.
mod on_a_short_account {
    use super::*;

    /// An account for three items of which one stranger holds two.
    fn short(
        policy: Policy<String>,
    ) -> (Account, plimsoll_bounds::budget::Reservation, Sender<String>, Receiver<String>) {
        let account = account(ITEM * 3);
        let stranger = account.try_reserve("stranger", ITEM * 2).expect("there is room");
        let (sender, receiver) = queue_on(&account, 10, 10, policy);
        sender.try_send(text("")).expect("there is room for one");
        (account, stranger, sender, receiver)
    }

    #[test]
    fn reject_says_who_holds_it() {
        let (_account, _stranger, sender, _receiver) = short(Policy::Reject);
        let refused = sender.try_send(text("")).expect_err("the account is full");
        let Refused::Budget(error) = &refused.reason else { panic!("{refused}") };
        assert!(matches!(**error, ReserveError::Full(_)));
        assert!(refused.to_string().contains("by stranger (budget/open/queues)"), "{refused}");
        assert_eq!(count(sender.queue(), "refused_budget"), 1);
    }

    #[test]
    fn drop_newest_drops_and_drop_oldest_uses_its_own_again() {
        let (_account, _stranger, sender, _receiver) = short(Policy::DropNewest);
        assert_eq!(sender.try_send(text("")), Ok(Sent::Dropped));

        let (account, _stranger, sender, receiver) = short(Policy::DropOldest);
        assert_eq!(sender.try_send(text("")), Ok(Sent::Displaced(1)));
        assert_eq!(account.held(), account.limit());
        let heavy = "x".repeat(ITEM.as_usize());
        let refused = sender.try_send(heavy).expect_err("its own are not enough");
        assert!(matches!(refused.reason, Refused::Budget(_)));
        assert_eq!(taken(&receiver), Some(text("")), "and nothing was dropped for nothing");
    }

    #[test]
    fn latest_by_key_always_replaces_what_weighs_the_same() {
        let account = account(Bytes::mib(1));
        let keyed = Policy::LatestByKey(|text: &String| Key::from(&text[..1]));
        let (sender, receiver) = queue_on(&account, 10, 10, keyed);
        sender.try_send(text("a1")).expect("there is room");
        account.set_limit(account.held());
        assert_eq!(sender.try_send(text("a2")), Ok(Sent::Replaced));
        sender.try_send(text("a23")).expect_err("there is no byte more");
        assert_eq!(sender.try_send(text("a")), Ok(Sent::Replaced));
        assert_eq!(taken(&receiver), Some(text("a")));
        assert_eq!(account.held(), Bytes::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_producer_waits_for_it_within_the_same_patience() {
        let (account, stranger, sender, receiver) = short(Policy::patient());
        let sending = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(text("late")).await }
        });
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(!sending.is_finished());
        drop(stranger);
        assert_eq!(sending.await.expect("it did not panic"), Ok(Sent::Queued));
        assert_eq!(account.held(), ITEM * 2 + Bytes::new(4));

        let _stranger = account.try_reserve("stranger", account.limit() - account.held());
        let start = tokio::time::Instant::now();
        let refused = sender.send(text("never")).await.expect_err("nobody lets go");
        assert_eq!(start.elapsed(), PATIENCE);
        let Refused::Budget(error) = &refused.reason else { panic!("{refused}") };
        assert!(matches!(**error, ReserveError::TimedOut { .. }), "{refused}");
        drop(receiver);
    }

    /// Proves Q2.
    #[tokio::test(start_paused = true)]
    async fn a_stop_reaches_a_producer_that_waits_at_the_account() {
        let (account, _stranger, sender, _receiver) = short(Policy::Wait);
        let sending = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(text("late")).await }
        });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!sending.is_finished());
        assert_eq!(sender.queue().emergency_stop().producers_woken, 1);
        let refused = sending.await.expect("it did not panic").expect_err("the queue was stopped");
        assert_eq!(refused.reason, Refused::Stopped);
        assert_eq!(account.held(), ITEM * 2, "only the stranger's");
    }
}
