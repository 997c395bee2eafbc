//! Who is sent away and who is not: every branch of the judgement, on a clock that is moved by hand; then
//! the driver and the pacer on a runtime.
#![cfg(not(loom))]

mod hub_kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hub_kit::{House, drain, limits, name, parse, poll};
use plimsoll_bounds::budget::{Budget, BudgetLimits};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_bounds::hub::{
    EvictReason, Hub, HubLimits, Meter, PACE_WAIT_MAX, PACE_WINDOW, Policy, Subscription,
};
use plimsoll_core::{Bytes, Clock, Observe, Tick};

const EVENTS: usize = 10;

/// A hub with one reader, which is over its limit.
struct Case {
    house: House,
    meter: Meter,
    reader: Subscription,
}

impl Case {
    fn over_its_limit(limits: HubLimits, meter: Meter) -> Case {
        let house = House::new(limits);
        let reader = house.hub.subscribe(&name("t"), None, Some(meter.clone())).expect("there is room");
        for _ in 0..=EVENTS {
            house.publish("t", "x");
        }
        Case { house, meter, reader }
    }

    fn blocked() -> Case {
        let case = Case::over_its_limit(limits(EVENTS), Meter::new());
        case.meter.blocked(case.house.clock.now());
        case
    }

    fn is_evicted(&self) -> bool {
        self.meter.is_evicted()
    }
}

/// Lets `ms` pass, sweeping whenever the hub wants it.
fn pass(house: &House, ms: u64) {
    let end = house.clock.now() + Duration::from_millis(ms);
    loop {
        let now = house.clock.now();
        let next = house.hub.sweep(now).unwrap_or(end).min(end);
        house.clock.advance(next.since(now));
        if next == end {
            house.hub.sweep(end);
            return;
        }
    }
}

/// Proves S1.
#[test]
fn a_reader_that_is_blocked_over_its_limit_is_evicted_after_100_ms() {
    let mut case = Case::blocked();
    pass(&case.house, 99);
    assert!(!case.is_evicted());
    assert_eq!(case.house.reading("hub.subscribers").used, 1);
    pass(&case.house, 1);
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(case.meter.poll_evicted(&mut context), Poll::Ready(EvictReason::Stalled));
    // Its place is back although nobody has polled it.
    assert_eq!(case.house.reading("hub.subscribers").used, 0);
    assert_eq!(case.house.subscribers("evicted_stalled"), 1);
    let batch = poll(&mut case.reader, 1).flatten().expect("it is told");
    let farewell = parse(&batch[0]);
    assert_eq!((farewell.kind.as_str(), farewell.id), ("evicted", None));
    assert!(
        farewell.data.starts_with(r#"{"reason":"stalled","lag_events":11,"lag_bytes":"#),
        "{}",
        farewell.data
    );
    assert!(farewell.data.contains(r#""limit_events":10,"#), "{}", farewell.data);
    assert!(farewell.data.ends_with(r#""resume_after":"e000-0"}"#), "{}", farewell.data);
    assert_eq!(poll(&mut case.reader, 1), Some(None));
    // And nobody is looked at any more.
    let next = case.house.hub.sweep(case.house.clock.now()).expect("a topic may expire");
    assert!(next.since(case.house.clock.now()) > Duration::from_secs(1));
}

/// Proves S1.
#[test]
fn a_reader_whose_bytes_move_is_never_evicted() {
    let case = Case::blocked();
    for _ in 0..100 {
        pass(&case.house, 99);
        case.meter.progressed(1);
        case.meter.blocked(case.house.clock.now());
    }
    assert!(!case.is_evicted());
    pass(&case.house, 125);
    assert!(case.is_evicted());
}

/// Proves S1.
#[test]
fn a_reader_whose_kernel_acknowledges_is_never_evicted() {
    // The transport sees one long block; the peer's kernel takes a segment now and then.
    let acknowledged = Arc::new(AtomicU64::new(0));
    let asked = acknowledged.clone();
    let meter = Meter::with_acknowledged(move || asked.load(Ordering::Relaxed));
    let case = Case::over_its_limit(limits(EVENTS), meter);
    case.meter.blocked(case.house.clock.now());
    for _ in 0..100 {
        pass(&case.house, 99);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    assert!(!case.is_evicted());
    pass(&case.house, 125);
    assert!(case.is_evicted());
}

/// Proves S1.
#[test]
fn a_reader_whose_transport_is_not_blocked_waits_for_us() {
    let case = Case::over_its_limit(limits(EVENTS), Meter::new());
    pass(&case.house, 10_000);
    assert!(!case.is_evicted());
    // Blocked for less than the time, again and again, with writes between.
    for _ in 0..100 {
        case.meter.blocked(case.house.clock.now());
        pass(&case.house, 80);
        case.meter.unblocked();
        pass(&case.house, 1);
    }
    assert!(!case.is_evicted());
}

/// Proves S1.
#[test]
fn a_reader_within_its_limit_may_be_blocked_for_ever() {
    let mut case = Case::blocked();
    poll(&mut case.reader, 0);
    pass(&case.house, 10_000);
    assert!(!case.is_evicted(), "it is at its limit, not over");
    case.house.publish("t", "x");
    pass(&case.house, 125);
    assert!(case.is_evicted());
}

/// Proves S1.
#[test]
fn a_reader_that_takes_events_is_not_evicted_however_far_behind() {
    let case = Case::over_its_limit(limits(EVENTS), Meter::new());
    let Case { house, mut reader, .. } = case;
    for _ in 0..200 {
        house.publish("t", "x");
        // One in, one out: it never comes nearer to the head.
        pass(&house, 99);
        assert!(poll(&mut reader, 0).flatten().is_some());
    }
    assert_eq!(house.subscribers("evicted_stalled"), 0);
}

/// Proves S1.
#[test]
fn a_reader_without_a_meter_is_judged_by_its_cursor() {
    let house = House::new(limits(EVENTS));
    let (mut moves, mut stands) = (house.subscribe("t", None), house.subscribe("t", None));
    for _ in 0..=EVENTS {
        house.publish("t", "x");
    }
    for _ in 0..5 {
        pass(&house, 99);
        house.publish("t", "x");
        assert!(poll(&mut moves, 0).flatten().is_some());
    }
    assert_eq!(house.subscribers("evicted_stalled"), 1);
    assert_eq!(parse(&poll(&mut stands, 1).flatten().expect("it is told")[0]).kind, "evicted");
}

/// Proves S1.
#[test]
fn a_suspended_machine_or_a_starved_process_evicts_nobody() {
    let case = Case::blocked();
    for _ in 0..20 {
        case.house.clock.advance(Duration::from_secs(3600));
        case.house.sweep();
    }
    assert!(!case.is_evicted());
    // What the looks saw before and after is added up, and the night between them is not.
    pass(&case.house, 50);
    case.house.clock.advance(Duration::from_secs(3600));
    case.house.sweep();
    pass(&case.house, 49);
    assert!(!case.is_evicted());
    pass(&case.house, 1);
    assert!(case.is_evicted());
}

/// Proves S1.
#[test]
fn a_reader_that_replays_is_judged_like_any_other() {
    let house = House::new(limits(EVENTS));
    for _ in 0..50 {
        house.publish("t", "x");
    }
    let (stuck, moving) = (Meter::new(), Meter::new());
    let subscribe = |meter: &Meter| {
        house.hub.subscribe(&name("t"), Some("e000-0"), Some(meter.clone())).expect("there is room")
    };
    let _stuck = subscribe(&stuck);
    let mut moves = subscribe(&moving);
    stuck.blocked(house.clock.now());
    moving.blocked(house.clock.now());
    for _ in 0..20 {
        pass(&house, 99);
        assert!(poll(&mut moves, 0).flatten().is_some());
    }
    assert!(stuck.is_evicted() && !moving.is_evicted());
}

#[test]
fn other_policies_lose_events_and_not_readers() {
    for policy in [Policy::DropOldest, Policy::DropNewest, Policy::KeepLatest] {
        let case = Case::over_its_limit(HubLimits { policy, ..limits(EVENTS) }, Meter::new());
        case.meter.blocked(case.house.clock.now());
        pass(&case.house, 10_000);
        assert!(!case.is_evicted(), "{policy}");
    }
}

#[test]
fn the_transports_callback_finds_no_lock_held() {
    let house = House::new(limits(EVENTS));
    let hub = house.hub.clone();
    let meter = Meter::with_acknowledged(move || {
        hub.publish(&name("t"), "message", "from the callback").expect("there is room");
        0
    });
    let mut reader = house.hub.subscribe(&name("t"), None, Some(meter.clone())).expect("there is room");
    for _ in 0..=EVENTS {
        house.publish("t", "x");
    }
    meter.blocked(house.clock.now());
    pass(&house, 125);
    assert!(meter.is_evicted());
    assert_eq!(drain(&mut reader).len(), 1);
}

#[test]
fn who_is_evicted_while_it_waits_is_woken() {
    let house = House::new(HubLimits { topic_limit: Bytes::kib(1), ..limits(EVENTS) });
    let mut reader = house.subscribe("t", None);
    drain(&mut reader);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        // It sleeps with nothing to take; two events that are trimmed at once overrun it.
        let waiting = tokio::spawn(async move { reader.next_batch(Bytes::kib(1)).await });
        tokio::task::yield_now().await;
        for _ in 0..3 {
            house.publish("t", &"x".repeat(600));
        }
        let batch = waiting.await.expect("it ends").expect("it is told");
        assert_eq!(parse(&batch[0]).kind, "evicted");
    });
}

fn driven(limits: HubLimits, clock: Arc<dyn Clock>) -> Hub {
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(64)), clock.clone());
    Hub::new(limits, budget.open(), clock, 1).expect("the limits make sense")
}

/// Proves S1.
#[tokio::test]
async fn the_driver_evicts_in_real_time_and_ends_with_the_hub() {
    let clock = SystemClock::shared();
    let hub = driven(limits(EVENTS), clock.clone());
    let driver = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drive().await }
    });
    let (stuck, healthy) = (Meter::new(), Meter::new());
    let topic = name("t");
    let subscribe = |meter: &Meter| hub.subscribe(&topic, None, Some(meter.clone())).expect("there is room");
    let _stuck = subscribe(&stuck);
    let mut reads = subscribe(&healthy);
    // The driver sleeps: nothing was pending. The event that puts the reader over wakes it.
    tokio::time::sleep(Duration::from_millis(30)).await;
    stuck.blocked(clock.now());
    healthy.blocked(clock.now());
    let from = Instant::now();
    for _ in 0..=EVENTS {
        hub.publish(&topic, "message", "x").expect("there is room");
    }
    let reason = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            tokio::select! {
                reason = stuck.evicted() => return reason,
                batch = reads.next_batch(Bytes::new(1)) => assert!(batch.is_some()),
            }
        }
    });
    assert_eq!(reason.await, Ok(EvictReason::Stalled));
    assert!(from.elapsed() >= Duration::from_millis(99), "{:?}", from.elapsed());
    assert!(!healthy.is_evicted());
    hub.close();
    tokio::time::timeout(Duration::from_secs(20), driver).await.expect("it ends").expect("in peace");
}

/// The runtime's own time, which stands still in a test and jumps to the next timer.
struct RuntimeClock(tokio::time::Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Tick {
        Tick::from_start(self.0.elapsed())
    }
}

fn paced() -> Hub {
    driven(limits(2), Arc::new(RuntimeClock(tokio::time::Instant::now())))
}

fn waits(hub: &Hub) -> u64 {
    let mut readings = Vec::new();
    hub.observe(&mut readings);
    let counters = readings.iter().flat_map(|reading| &reading.counters);
    counters.into_iter().find(|counter| counter.name == "paced_waits").expect("it is counted").value
}

/// Proves S1.
#[tokio::test(start_paused = true)]
async fn an_ingest_waits_for_a_reader_that_catches_up_and_publish_does_not() {
    let (hub, topic) = (paced(), name("t"));
    let mut reader = hub.subscribe(&topic, None, None).expect("there is room");
    let start = tokio::time::Instant::now();
    let mut pacer = hub.pacer();
    for _ in 0..3 {
        pacer.publish(&topic, "message", "x").await.expect("there is room");
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody was over before the third");
    // A task of its own, so that nothing but the hub wakes the ingest.
    let catching_up = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        drain(&mut reader);
        reader
    });
    pacer.publish(&topic, "message", "x").await.expect("there is room");
    assert_eq!(start.elapsed(), Duration::from_millis(30));
    let _reader = catching_up.await.expect("it reads");
    for _ in 0..100 {
        hub.publish(&topic, "message", "x").expect("there is room");
    }
    assert_eq!((start.elapsed(), waits(&hub)), (Duration::from_millis(30), 1));
}

/// Proves S1.
#[tokio::test(start_paused = true)]
async fn an_ingest_waits_at_most_100_ms_in_any_second() {
    let (hub, topic) = (paced(), name("t"));
    let mut pacer = hub.pacer();
    let start = tokio::time::Instant::now();
    let mut spans = Vec::new();
    let mut readers = Vec::new();
    while start.elapsed() < Duration::from_secs(10) {
        // Another reader that never reads, with a grace of its own.
        readers.push(hub.subscribe(&topic, None, None).expect("there is room"));
        for _ in 0..3 {
            hub.publish(&topic, "message", "x").expect("there is room");
        }
        let from = start.elapsed();
        pacer.publish(&topic, "message", "x").await.expect("there is room");
        spans.push((from, start.elapsed()));
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    let waited: Duration = spans.iter().map(|(from, to)| *to - *from).sum();
    assert!(waited > Duration::from_millis(800), "it waits when it may: {waited:?}");
    for (_, end) in &spans {
        let begin = end.saturating_sub(PACE_WINDOW);
        let before = spans.iter().filter(|(_, to)| to <= end);
        let within: Duration = before.map(|(from, to)| to.saturating_sub((*from).max(begin))).sum();
        assert!(within <= PACE_WAIT_MAX, "{within:?} in the second before {end:?}");
    }
}

/// Proves S1.
#[tokio::test(start_paused = true)]
async fn an_ingest_does_not_wait_for_one_who_had_its_time() {
    let (hub, topic) = (paced(), name("t"));
    let _stuck = hub.subscribe(&topic, None, None).expect("there is room");
    for _ in 0..3 {
        hub.publish(&topic, "message", "x").expect("there is room");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = tokio::time::Instant::now();
    hub.pacer().publish(&topic, "message", "x").await.expect("there is room");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_ingest_that_is_cancelled_in_its_wait_published_nothing() {
    let (hub, topic) = (paced(), name("t"));
    let mut reader = hub.subscribe(&topic, None, None).expect("there is room");
    for _ in 0..3 {
        hub.publish(&topic, "message", "x").expect("there is room");
    }
    let mut pacer = hub.pacer();
    let cut = tokio::time::timeout(Duration::from_millis(10), pacer.publish(&topic, "message", "y"));
    assert!(cut.await.is_err());
    assert_eq!(drain(&mut reader).len(), 3);
    // Closing ends a wait, with the hub's answer.
    for _ in 0..3 {
        hub.publish(&topic, "message", "x").expect("there is room");
    }
    let mut pacer = hub.pacer();
    tokio::spawn({
        let hub = hub.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            hub.close();
        }
    });
    let start = tokio::time::Instant::now();
    assert!(pacer.publish(&topic, "message", "y").await.is_err());
    assert_eq!(start.elapsed(), Duration::from_millis(5));
}

/// Proves S1.
#[tokio::test(start_paused = true)]
async fn an_ingest_stops_waiting_for_a_reader_that_left() {
    let (hub, topic) = (paced(), name("t"));
    let reader = hub.subscribe(&topic, None, None).expect("there is room");
    for _ in 0..3 {
        hub.publish(&topic, "message", "x").expect("there is room");
    }
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(reader);
    });
    let start = tokio::time::Instant::now();
    hub.pacer().publish(&topic, "message", "y").await.expect("there is room");
    assert_eq!(start.elapsed(), Duration::from_millis(20));
}

/// Proves S7.
#[tokio::test(start_paused = true)]
async fn the_driver_wakes_for_the_first_topic_and_forgets_it_in_time() {
    let hub = driven(limits(2), Arc::new(RuntimeClock(tokio::time::Instant::now())));
    let driver = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drive().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    hub.publish(&name("t"), "message", "x").expect("there is room");
    let topics = || {
        let mut readings = Vec::new();
        hub.observe(&mut readings);
        readings.into_iter().find(|reading| reading.name == "hub.topics").expect("it is there").used
    };
    tokio::time::sleep(Duration::from_secs(3599)).await;
    assert_eq!(topics(), 1);
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!(topics(), 0);
    hub.close();
    driver.await.expect("it ends");
}
