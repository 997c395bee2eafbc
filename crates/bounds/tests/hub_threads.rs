//! Everything at once on plain threads: topics made, filled, emptied for one another and expiring, readers
//! coming and going, sweeps. Ends, in order, and gives everything back.
#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "the seed is shown when a test fails")]

mod hub_kit;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use hub_kit::{House, drain, name};
use plimsoll_bounds::hub::{HubLimits, Policy, PublishError, Subscription, TopicRule};
use plimsoll_core::Bytes;

const THREADS: u64 = 4;
const TOPICS: u64 = 12;
const SEED: u64 = 99;

fn rule(matching: &str, policy: Policy) -> TopicRule {
    TopicRule {
        matching: matching.parse().expect(matching),
        queue_events_max: None,
        queue_bytes_max: None,
        policy: Some(policy),
    }
}

/// What a reader has seen so far.
struct Seen {
    /// Epoch and offset of its last event.
    last: Option<(u64, u64)>,
    /// A control frame came since. It may end one read and its event begin the next, so it is kept here.
    announced: bool,
}

/// Within a topic's life offsets rise by one, and what is missing was announced by a control frame.
fn check(subscription: &mut Subscription, seen: &mut Seen) {
    for frame in drain(subscription) {
        let Some(id) = frame.id else {
            seen.announced = true;
            continue;
        };
        match seen.last {
            Some((epoch, offset)) if !seen.announced => {
                assert_eq!((id.epoch, id.offset), (epoch, offset + 1), "seed {SEED}")
            }
            Some((epoch, offset)) if epoch == id.epoch => {
                assert!(id.offset > offset, "seed {SEED}: never back")
            }
            _ => {}
        }
        *seen = Seen { last: Some((id.epoch, id.offset)), announced: false };
    }
}

fn work(house: &House, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut readers: HashMap<u64, (Subscription, Seen)> = HashMap::new();
    for _ in 0..20_000 {
        let nth = random.u64(0..TOPICS);
        let topic = name(&format!("{}/{nth}", ["evict", "oldest", "newest"][nth as usize % 3]));
        match random.u32(0..10) {
            0..6 => {
                let body = "x".repeat(random.usize(0..2000));
                match house.hub.publish(&topic, "message", &body) {
                    Ok(_) | Err(PublishError::TooManyTopics { .. } | PublishError::NoRoom(_)) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            6 => {
                if let Ok(subscription) = house.hub.subscribe(&topic, None, None) {
                    readers.insert(nth, (subscription, Seen { last: None, announced: true }));
                }
            }
            7 => drop(readers.remove(&nth)),
            _ => {
                if let Some((subscription, seen)) = readers.get_mut(&nth) {
                    check(subscription, seen);
                }
            }
        }
    }
}

/// Proves S1 and S7.
#[test]
fn threads_publish_read_expire_and_make_room_for_one_another() {
    println!("seed {SEED}");
    let house = House::new(HubLimits {
        // Ten topics of at most 32 KiB in 128 KiB: they take room from one another all the time.
        topic_limit: Bytes::kib(32),
        topics_max: 10,
        topic_idle: Duration::from_millis(1),
        evict_after: Duration::from_millis(4),
        queue_events_max: 20,
        rules: vec![rule("oldest/*", Policy::DropOldest), rule("newest/*", Policy::DropNewest)],
        ..HubLimits::of(Bytes::kib(128))
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                house.clock.advance(Duration::from_millis(1));
                house.sweep();
                assert!(house.account.held() <= Bytes::kib(128));
                house.hub.lag_report(3);
                house.readings();
                thread::sleep(Duration::from_micros(100));
            }
        });
        let house = &house;
        let workers: Vec<_> = (0..THREADS).map(|nth| scope.spawn(move || work(house, SEED + nth))).collect();
        let ends: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        sweeper.join().expect("it sweeps");
        assert!(ends.iter().all(Result::is_ok));
    });
    assert!(house.count("hub.topics", "expired") > 0);
    house.hub.close();
    assert_eq!((house.account.held(), house.reading("hub.subscribers").used), (Bytes::ZERO, 0));
    assert_eq!((house.reading("hub.bytes").used, house.reading("hub.topics").used), (0, 0));
}
