//! A thousand readers on several threads, cut and coming back all the time, while events flow.
#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "the seed is shown when a test fails")]

mod hub_kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use hub_kit::{Frame, name, parse};
use plimsoll_bounds::budget::{Budget, BudgetLimits};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_bounds::hub::{EVENT_OVERHEAD_BYTES, EventId, Hub, HubLimits, Subscription, TopicName};
use plimsoll_core::Bytes;

const READERS: u64 = 1000;
const EVENTS: u64 = 2000;
/// What the ring holds at most.
const RING_EVENTS: u64 = 300;

struct Run {
    hub: Hub,
    topic: TopicName,
    published: AtomicU64,
    resets: AtomicU64,
    evictions: AtomicU64,
    cuts: AtomicU64,
}

/// What a reader knows: the last event that it has, and that everything up to there is accounted for.
#[derive(Default)]
struct Known {
    last: Option<EventId>,
    received: u64,
    // Events before the point where a reset said the history begins.
    excused: u64,
}

impl Known {
    /// Takes a frame in; panics when something is missing without a word, or comes twice.
    fn take(&mut self, frame: &Frame, run: &Run) {
        let last = self.last.map_or(0, |id| id.offset);
        match (frame.id, frame.kind.as_str()) {
            (Some(id), _) => {
                assert_eq!(id.offset, last + 1, "the next event, neither lost nor doubled");
                assert_eq!(frame.data, id.offset.to_string());
                self.last = Some(id);
                self.received += 1;
            }
            (None, "reset") => {
                assert!(frame.data.contains(r#""reason":"history_exceeded""#), "{}", frame.data);
                let (_, rest) = frame.data.split_once(r#""oldest":""#).expect("it names the oldest");
                let oldest: EventId = rest.split('"').next().expect("an id").parse().expect("an id");
                assert!(oldest.offset > last + 1, "a reset only where something is gone: {}", frame.data);
                self.excused += oldest.offset - 1 - last;
                self.last = Some(EventId { offset: oldest.offset - 1, ..oldest });
                run.resets.fetch_add(1, Ordering::Relaxed);
            }
            (None, "evicted") => {
                run.evictions.fetch_add(1, Ordering::Relaxed);
            }
            (None, other) => panic!("{other}: {}", frame.data),
        }
    }
}

async fn read(run: Arc<Run>, mut subscription: Subscription, seed: u64) -> Known {
    let mut random = Rng::with_seed(seed);
    let mut known = Known::default();
    let mut stays_away = random.u32(0..20) == 0;
    loop {
        // Read for a while.
        for _ in 0..random.u32(1..20) {
            if known.last.is_some_and(|id| id.offset == EVENTS) {
                return known;
            }
            let Some(batch) = subscription.next_batch(Bytes::new(random.u64(1..2000))).await else {
                break;
            };
            for frame in batch.iter() {
                known.take(&parse(frame), &run);
            }
        }
        // Then be cut: in the middle of a wait, or between two batches.
        if random.bool() {
            let wait = Duration::from_micros(random.u64(0..500));
            if let Ok(Some(batch)) = tokio::time::timeout(wait, subscription.next_batch(Bytes::kib(1))).await
            {
                for frame in batch.iter() {
                    known.take(&parse(frame), &run);
                }
            }
        }
        drop(subscription);
        if stays_away {
            // Some stay away for so long, once, that the history is exceeded.
            stays_away = false;
            let gone = known.last.map_or(0, |id| id.offset) + 2 * RING_EVENTS;
            while run.published.load(Ordering::Relaxed) < gone.min(EVENTS) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        run.cuts.fetch_add(1, Ordering::Relaxed);
        // Who has seen nothing yet has no id to send, and asks for all from the beginning.
        let last = known.last.unwrap_or(EventId { epoch: SEED, offset: 0 }).to_string();
        subscription = run.hub.subscribe(&run.topic, Some(&last), None).expect("there is room");
    }
}

const SEED: u64 = 0x5eed;

/// Proves S2.
///
/// 1,000 readers cut and reconnecting with `Last-Event-ID` while events flow: no event lost or doubled for
/// any of them, or a reset where history was exceeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_readers_cut_and_reconnecting_lose_and_double_nothing() {
    println!("seed {SEED}");
    let clock = SystemClock::shared();
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(64)), clock.clone());
    // Most come back in time, and some do not.
    let topic_limit = Bytes::new(RING_EVENTS * (40 + EVENT_OVERHEAD_BYTES));
    let limits = HubLimits { topic_limit, ..HubLimits::of(Bytes::mib(2)) };
    let hub = Hub::new(limits, budget.open(), clock, SEED).expect("the limits make sense");
    let driver = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drive().await }
    });
    let run = Arc::new(Run {
        hub: hub.clone(),
        topic: name("t"),
        published: AtomicU64::new(0),
        resets: AtomicU64::new(0),
        evictions: AtomicU64::new(0),
        cuts: AtomicU64::new(0),
    });
    let readers: Vec<_> = (0..READERS)
        .map(|nth| {
            let subscription = hub.subscribe(&run.topic, None, None).expect("there is room");
            tokio::spawn(read(run.clone(), subscription, SEED + nth))
        })
        .collect();
    let publishing = tokio::spawn({
        let run = run.clone();
        async move {
            let mut random = Rng::with_seed(SEED);
            for nth in 1..=EVENTS {
                let id = run.hub.publish(&run.topic, "message", &nth.to_string()).expect("there is room");
                assert_eq!(id, EventId { epoch: SEED, offset: nth });
                run.published.store(nth, Ordering::Relaxed);
                if random.u32(0..4) == 0 {
                    tokio::time::sleep(Duration::from_micros(random.u64(0..2000))).await;
                }
            }
        }
    });
    publishing.await.expect("it publishes everything");
    for reader in readers {
        let reader = tokio::time::timeout(Duration::from_secs(60), reader).await;
        let known = reader.expect("it comes to the end").expect("nothing was lost or doubled");
        assert_eq!(known.received + known.excused, EVENTS);
    }
    let [cuts, resets, evictions] =
        [&run.cuts, &run.resets, &run.evictions].map(|count| count.load(Ordering::Relaxed));
    println!("{cuts} cuts, {resets} resets, {evictions} evictions");
    assert!(cuts > READERS && resets > 0);
    hub.close();
    driver.await.expect("it ends");
    assert_eq!(budget.held(), Bytes::ZERO, "everything is given back");
}
