//! The hub's rules one by one: what a newcomer gets, what a lag leads to, how topics come and go.
#![cfg(not(loom))]

mod hub_kit;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hub_kit::{EPOCH_SEED, House, drain, limits, name, parse, poll, told};
use plimsoll_bounds::hub::{
    EVENT_OVERHEAD_BYTES, EvictReason, HubLimits, LagLevel, Meter, Policy, PublishError, SUBSCRIBER_BYTES,
    SubscribeError, TOPIC_BYTES, TopicRule,
};
use plimsoll_core::{Bytes, Clock};

fn with_policy(policy: Policy, events: usize) -> House {
    House::new(HubLimits { policy, ..limits(events) })
}

/// Proves S2.
#[test]
fn a_newcomer_gets_the_latest_event_and_then_what_comes() {
    let house = House::new(limits(100));
    let mut early = house.subscribe("t", None);
    assert_eq!(told(&drain(&mut early)), [""; 0]);
    house.publish("t", "one");
    house.publish("t", "two");
    let mut late = house.subscribe("t", None);
    assert_eq!(told(&drain(&mut late)), ["two"]);
    house.publish("t", "three");
    assert_eq!(told(&drain(&mut late)), ["three"]);
    assert_eq!(told(&drain(&mut early)), ["one", "two", "three"]);
}

/// Proves S2.
#[test]
fn a_reader_that_comes_back_gets_what_it_missed() {
    let house = House::new(limits(100));
    let ids = ["one", "two", "three"].map(|data| house.publish("t", data).to_string());
    assert_eq!(ids[0], format!("{EPOCH_SEED:x}-1"));
    for (seen, missed) in [(&ids[0], &["two", "three"][..]), (&ids[1], &["three"]), (&ids[2], &[])] {
        let mut reader = house.subscribe("t", Some(seen));
        assert_eq!(told(&drain(&mut reader)), missed);
    }
    // The one before the oldest that is held: it has seen nothing, and nothing is gone.
    let mut reader = house.subscribe("t", Some(&format!("{EPOCH_SEED:x}-0")));
    assert_eq!(told(&drain(&mut reader)), ["one", "two", "three"]);
    assert_eq!(house.subscribers("resets"), 0);
}

/// Proves S2.
#[test]
fn a_reader_whose_history_does_not_connect_is_told() {
    let event = 60 + EVENT_OVERHEAD_BYTES;
    let house = House::new(HubLimits { topic_limit: Bytes::new(3 * event), ..limits(100) });
    for nth in 1..=9 {
        house.publish("t", &nth.to_string());
    }
    let e = format!("{EPOCH_SEED:x}");
    let reset = |reason: &str, asked: &str| {
        format!(r#"reset {{"reason":"{reason}","asked":{asked},"oldest":"{e}-7","latest":"{e}-9"}}"#)
    };
    for (asked, reset) in [
        (format!("{e}-5"), reset("history_exceeded", &format!("\"{e}-5\""))),
        (format!("{e}-10"), reset("invalid_id", &format!("\"{e}-10\""))),
        ("beef-8".to_owned(), reset("unknown_epoch", "\"beef-8\"")),
        ("\u{1F600}<script>".to_owned(), reset("invalid_id", "null")),
        (String::new(), reset("invalid_id", "null")),
        ("9".repeat(10_000), reset("invalid_id", "null")),
    ] {
        let mut reader = house.subscribe("t", Some(&asked));
        let frames = drain(&mut reader);
        assert_eq!(told(&frames), [&reset, "7", "8", "9"], "{asked}");
        assert_eq!(frames[0].id, None, "a control frame never becomes the last id");
    }
    // The last one that was let go is exactly the one before the oldest that is held.
    let mut reader = house.subscribe("t", Some(&format!("{e}-6")));
    assert_eq!(told(&drain(&mut reader)), ["7", "8", "9"]);
    assert_eq!(house.subscribers("resets"), 6);
}

/// Proves S2 and S7.
#[test]
fn a_topic_that_expired_and_came_again_never_speaks_for_its_former_life() {
    let house = House::new(limits(100));
    let first = house.publish("t", "one");
    house.clock.advance(Duration::from_secs(3600));
    house.sweep();
    let second = house.publish("t", "another");
    assert_ne!(first.epoch, second.epoch);
    let mut reader = house.subscribe("t", Some(&first.to_string()));
    let frames = told(&drain(&mut reader));
    assert_eq!(
        frames,
        [
            &format!(
                r#"reset {{"reason":"unknown_epoch","asked":"{first}","oldest":"{second}","latest":"{second}"}}"#
            ),
            "another"
        ]
    );
    let mut nowhere = house.subscribe("elsewhere", Some(&first.to_string()));
    let reset =
        format!(r#"reset {{"reason":"unknown_epoch","asked":"{first}","oldest":null,"latest":null}}"#);
    assert_eq!(told(&drain(&mut nowhere)), [reset]);
}

#[test]
fn a_batch_is_bounded_and_shares_its_frames() {
    let house = House::new(limits(100));
    let (mut one, mut other) = (house.subscribe("t", None), house.subscribe("t", None));
    for _ in 0..10 {
        house.publish("t", &"x".repeat(100));
    }
    let frame = poll(&mut one, 0).flatten().expect("there is one").into_frames();
    assert_eq!(frame.len(), 1, "one event, however little is asked for");
    let length = frame[0].len() as u64;
    let batch = poll(&mut one, 3 * length).flatten().expect("there are more");
    assert_eq!((batch.len(), batch.bytes()), (3, Bytes::new(3 * length)));
    let batch = poll(&mut one, 4 * length - 1).flatten().expect("there are more");
    assert_eq!(batch.len(), 3);
    let same = poll(&mut other, 0).flatten().expect("there is one");
    assert_eq!(same[0].as_ptr(), frame[0].as_ptr(), "one memory for all");
    // Taken frames stay whole when the ring has let them go.
    house.clock.advance(Duration::from_secs(3600));
    drop((one, other));
    house.sweep();
    assert_eq!(parse(&frame[0]).data.len(), 100);
}

/// Proves S1.
#[test]
fn drop_oldest_keeps_a_reader_current_and_tells_what_it_missed() {
    let house = with_policy(Policy::DropOldest, 3);
    let mut reader = house.subscribe("t", None);
    for nth in 1..=8 {
        house.publish("t", &nth.to_string());
    }
    let e = format!("{EPOCH_SEED:x}");
    let gap = format!(r#"gap {{"missed_events":5,"from":"{e}-1","to":"{e}-5","reason":"drop_oldest"}}"#);
    assert_eq!(told(&drain(&mut reader)), [&gap, "6", "7", "8"]);
    assert_eq!((house.subscribers("dropped_oldest"), house.subscribers("gaps")), (5, 1));
}

/// Proves S1.
#[test]
fn drop_newest_gives_an_unbroken_run_and_goes_on_when_it_was_drained() {
    let house = with_policy(Policy::DropNewest, 3);
    let mut reader = house.subscribe("t", None);
    for nth in 1..=5 {
        house.publish("t", &nth.to_string());
    }
    // Over the limit once, it is given no newer event until it has drained, though there is room again.
    let first = poll(&mut reader, 0).flatten().expect("there is one");
    assert_eq!(parse(&first[0]).data, "1");
    house.publish("t", "6");
    let e = format!("{EPOCH_SEED:x}");
    let gap = format!(r#"gap {{"missed_events":3,"from":"{e}-4","to":"{e}-6","reason":"drop_newest"}}"#);
    assert_eq!(told(&drain(&mut reader)), ["2", "3", &gap]);
    house.publish("t", "7");
    assert_eq!(told(&drain(&mut reader)), ["7"]);
    assert_eq!(house.subscribers("dropped_newest"), 3);
}

/// Proves S1.
#[test]
fn keep_latest_jumps_to_the_newest() {
    let house = with_policy(Policy::KeepLatest, 2);
    let mut reader = house.subscribe("t", None);
    for nth in 1..=4 {
        house.publish("t", &nth.to_string());
    }
    let e = format!("{EPOCH_SEED:x}");
    let gap = format!(r#"gap {{"missed_events":2,"from":"{e}-1","to":"{e}-2","reason":"keep_latest"}}"#);
    assert_eq!(told(&drain(&mut reader)), [&gap, "3", "4"]);
    assert_eq!(house.subscribers("conflated"), 2);
}

#[test]
fn a_replay_is_not_held_against_a_reader_by_policies_that_drop() {
    for policy in [Policy::DropOldest, Policy::DropNewest, Policy::KeepLatest] {
        let house = with_policy(policy, 3);
        let ids: Vec<String> = (1..=9).map(|nth| house.publish("t", &nth.to_string()).to_string()).collect();
        let mut reader = house.subscribe("t", Some(&ids[0]));
        house.publish("t", "10");
        let expected: Vec<String> = (2..=10).map(|nth: u32| nth.to_string()).collect();
        assert_eq!(told(&drain(&mut reader)), expected, "{policy}");
    }
}

/// Proves S1.
#[test]
fn one_topic_can_have_limits_of_its_own() {
    let rule = TopicRule {
        matching: "small/*".parse().expect("a pattern"),
        queue_events_max: Some(1),
        queue_bytes_max: None,
        policy: Some(Policy::KeepLatest),
    };
    let house = House::new(HubLimits { rules: vec![rule], ..limits(100) });
    let (mut small, mut usual) = (house.subscribe("small/a", None), house.subscribe("usual", None));
    for nth in 0..50 {
        house.publish("small/a", &nth.to_string());
        house.publish("usual", &nth.to_string());
    }
    assert_eq!(drain(&mut small).len(), 2, "a gap and the latest");
    assert_eq!(drain(&mut usual).len(), 50);
}

/// Proves S1.
#[test]
fn a_byte_limit_binds_like_a_limit_of_events() {
    let house = House::new(HubLimits {
        policy: Policy::DropOldest,
        queue_bytes_max: Bytes::new(1000),
        ..limits(100)
    });
    let mut reader = house.subscribe("t", None);
    for _ in 0..20 {
        house.publish("t", &"x".repeat(200));
    }
    let frames = drain(&mut reader);
    assert_eq!(frames.len(), 1 + 4, "a gap, and as many as a thousand bytes hold");
    house.publish("t", &"x".repeat(5000));
    assert_eq!(drain(&mut reader).len(), 1, "one event alone is within any limit of bytes");
}

/// Proves S4.
#[test]
fn levels_of_lag_are_counted_and_reported_worst_first() {
    let house = House::new(limits(10));
    let mut readers = [(); 3].map(|()| house.subscribe("t", None));
    let gauges =
        || ["hub.subscribers.warning", "hub.subscribers.critical"].map(|name| house.reading(name).used);
    for nth in 1..=10 {
        house.publish("t", "x");
        if nth <= 6 {
            drain(&mut readers[1]);
        }
        drain(&mut readers[2]);
        let expected = match nth {
            0..5 => [0, 0],
            5..9 => [1, 0],
            _ => [0, 1],
        };
        assert_eq!(gauges(), expected, "after {nth} events");
    }
    house.publish("t", "x");
    assert_eq!(gauges(), [1, 1]);
    assert_eq!((house.subscribers("lag_warning"), house.subscribers("lag_critical")), (2, 1));

    let report = house.hub.lag_report(10);
    let brief: Vec<_> =
        report.iter().map(|entry| (entry.subscriber, entry.level, entry.lag_events)).collect();
    assert_eq!(
        brief,
        [
            (readers[0].id(), LagLevel::Critical, 11),
            (readers[1].id(), LagLevel::Warning, 5),
            (readers[2].id(), LagLevel::Ok, 1)
        ]
    );
    assert_eq!(house.hub.lag_report(1), report[..1]);
    assert_eq!(report[0].over_for, Some(Duration::ZERO));
    assert_eq!(report[1].over_for, None);
    drain(&mut readers[0]);
    assert_eq!(gauges(), [1, 0]);
    drop(readers);
    assert_eq!(gauges(), [0, 0]);
}

/// Proves S7.
#[test]
fn topics_are_bounded_and_expire_when_nobody_reads_them() {
    let house = House::new(HubLimits { topics_max: 2, ..limits(100) });
    house.publish("a", "x");
    house.publish("b", "x");
    let reader = house.subscribe("b", None);
    let error = house.hub.publish(&name("c"), "message", "x").expect_err("two are the most");
    assert_eq!(error, PublishError::TooManyTopics { topics_max: 2 });
    assert!(error.to_string().starts_with("2 topics exist, which is the most that may"), "{error}");
    let error = house.hub.subscribe(&name("c"), None, None).expect_err("two are the most");
    assert_eq!(error, SubscribeError::TooManyTopics { topics_max: 2 });
    assert_eq!(house.reading("hub.subscribers").used, 1, "a refused one takes no place");

    house.clock.advance(Duration::from_secs(3599));
    house.sweep();
    assert_eq!(house.reading("hub.topics").used, 2);
    // Idle for an hour: given up at most an eighth of it, and a minute at the most, later.
    house.clock.advance(Duration::from_secs(61));
    house.sweep();
    assert_eq!(house.reading("hub.topics").used, 1, "b is read, and stays");
    house.publish("c", "x");
    assert_eq!(house.count("hub.topics", "expired"), 1);

    // Without its reader b is idle from then on.
    drop(reader);
    house.clock.advance(Duration::from_secs(1800));
    house.sweep();
    house.publish("c", "x");
    house.clock.advance(Duration::from_secs(1861));
    house.sweep();
    assert_eq!(house.reading("hub.topics").used, 1);
    assert!(house.hub.publish(&name("c"), "message", "x").is_ok());
}

/// Proves S7.
#[test]
fn a_topic_that_never_held_anything_goes_with_its_last_reader() {
    let house = House::new(HubLimits { topics_max: 1, ..limits(100) });
    let (one, other) = (house.subscribe("a", None), house.subscribe("a", None));
    drop(one);
    assert!(house.hub.subscribe(&name("b"), None, None).is_err());
    drop(other);
    assert_eq!((house.reading("hub.topics").used, house.account.held()), (0, Bytes::ZERO));
    drop(house.subscribe("b", None));
}

#[test]
fn a_sweep_does_bounded_work_and_says_when_it_goes_on() {
    let house = House::new(HubLimits { limit: Bytes::mib(16), ..limits(100) });
    assert_eq!(house.hub.sweep(house.clock.now()), None);
    for nth in 0..1000 {
        house.publish(&format!("t/{nth}"), "x");
    }
    house.clock.advance(Duration::from_secs(7200));
    let mut sweeps = 0;
    while let Some(next) = house.hub.sweep(house.clock.now()) {
        house.clock.advance(next.since(house.clock.now()));
        sweeps += 1;
        assert!(sweeps < 10);
    }
    assert_eq!((sweeps, house.reading("hub.topics").used), (3, 0));
    assert_eq!(house.account.held(), Bytes::ZERO);
}

/// Proves S1.
#[test]
fn memory_follows_what_is_held_and_comes_back() {
    let house = House::new(limits(100));
    let subscriptions: Vec<_> = (0..20).map(|_| house.subscribe("t", None)).collect();
    let body = "x".repeat(1000);
    for _ in 0..1000 {
        house.publish("t", &body);
        let held = house.account.held();
        assert!(held <= Bytes::kib(256 + 64 + 64), "{held}");
        assert_eq!(house.reading("hub.bytes").used, held.as_u64());
    }
    // The readers, who never read, went with the first event that was trimmed past them.
    assert_eq!(house.subscribers("evicted_overrun"), 20);
    assert_eq!(house.reading("hub.subscribers").used, 0);
    drop(subscriptions);
    house.clock.advance(Duration::from_secs(3600));
    house.sweep();
    assert_eq!(house.account.held(), Bytes::ZERO);
    assert!(house.reading("hub.bytes").peak <= Bytes::kib(384).as_u64());
}

#[test]
fn a_full_hub_takes_from_the_topic_that_holds_most() {
    let house = House::new(HubLimits { topic_limit: Bytes::mib(1), ..HubLimits::of(Bytes::kib(256)) });
    let body = "x".repeat(1000);
    for _ in 0..500 {
        house.publish("large", &body);
    }
    assert!(house.account.held() > Bytes::kib(240), "{}", house.account.held());
    let mut large = house.subscribe("large", Some("0-0"));
    let oldest = drain(&mut large)[1].id.expect("an event").offset;
    // A small topic may grow up to an equal share, at the cost of the large one and not of itself.
    for _ in 0..50 {
        house.publish("small", &body);
        assert!(house.account.held() <= Bytes::kib(256));
    }
    let mut small = house.subscribe("small", Some("0-0"));
    assert_eq!(drain(&mut small).len(), 1 + 50);
    let mut large = house.subscribe("large", Some("0-0"));
    assert!(drain(&mut large)[1].id.expect("an event").offset > oldest);
    // Beyond its share it trims itself.
    for _ in 0..500 {
        house.publish("small", &body);
        assert!(house.account.held() <= Bytes::kib(256));
    }
    drop((large, small));
    let count = |topic: &str| drain(&mut house.subscribe(topic, Some("0-0"))).len();
    let (large, small) = (count("large"), count("small"));
    assert!(large > 80 && small > 80, "large {large}, small {small}");
}

#[test]
fn an_event_that_can_never_fit_is_refused_before_it_is_copied() {
    let house = House::new(HubLimits { topic_limit: Bytes::kib(4), ..limits(100) });
    let allowed = Bytes::new(4096 - EVENT_OVERHEAD_BYTES);
    let error = house.hub.publish(&name("t"), "x", &"y".repeat(5000)).expect_err("it is larger");
    let PublishError::TooLarge { asked, allowed: said } = &error else { panic!("{error}") };
    assert!(*asked > Bytes::new(5000) && *said == allowed, "{error}");
    assert_eq!(house.reading("hub.topics").used, 0, "nothing was made for it");
    // The largest that is allowed.
    let framing = asked.as_u64() - 5000;
    let largest = "y".repeat((allowed.as_u64() - framing) as usize);
    assert!(house.hub.publish(&name("t"), "x", &largest).is_ok());
    assert!(house.hub.publish(&name("t"), "x", &(largest + "y")).is_err());
    assert_eq!(house.count("hub.bytes", "events_too_large"), 2);
}

#[test]
fn a_hub_of_nothing_refuses_everything_and_keeps_nothing() {
    let house = House::new(HubLimits { limit: Bytes::ZERO, ..limits(100) });
    assert!(matches!(house.hub.publish(&name("t"), "x", "y"), Err(PublishError::TooLarge { .. })));
    let Err(SubscribeError::NoRoom(no_room)) = house.hub.subscribe(&name("t"), None, None) else {
        panic!("there is no room");
    };
    assert!(no_room.to_string().contains("raise its limit"), "{no_room}");
    assert_eq!((house.reading("hub.topics").used, house.account.held()), (0, Bytes::ZERO));
    assert_eq!(house.reading("hub.subscribers").used, 0);
}

#[test]
fn no_room_above_the_hub_is_said_and_history_is_given_up_for_it() {
    let house = House::new(limits(100));
    // Somebody else takes all but a few blocks.
    let other = house.account.try_reserve("other", Bytes::mib(512) - Bytes::kib(16)).expect("there is room");
    for _ in 0..100 {
        house.publish("a", &"x".repeat(1000));
    }
    house.publish("b", &"x".repeat(1000));
    assert!(house.account.held() <= Bytes::mib(512));
    let mut reader = house.subscribe("a", Some("0-0"));
    assert!(drain(&mut reader).len() > 2, "the newest are still there");
    drop(reader);
    for nth in 0..3 {
        // Topics without history: nothing left to give up.
        drop(house.hub.publish(&name(&format!("c/{nth}")), "x", &"x".repeat(1000)));
    }
    let error = house.hub.publish(&name("d"), "x", &"x".repeat(12_000)).expect_err("there is no room");
    assert!(matches!(error, PublishError::NoRoom(_)), "{error}");
    assert!(error.to_string().contains("the account above it is full"), "{error}");
    drop(other);
    assert!(house.hub.publish(&name("d"), "x", &"x".repeat(12_000)).is_ok());
}

#[test]
fn subscribers_are_bounded_and_leave_at_once() {
    let house = House::new(HubLimits { subscribers_max: 2, ..limits(100) });
    let (one, _other) = (house.subscribe("t", None), house.subscribe("u", None));
    let error = house.hub.subscribe(&name("t"), None, None).expect_err("two are the most");
    assert_eq!(error, SubscribeError::TooManySubscribers { subscribers_max: 2 });
    drop(one);
    drop(house.subscribe("t", None));
    assert_eq!(house.subscribers("refused"), 1);
    assert_eq!(house.reading("hub.subscribers").peak, 2);
}

#[test]
fn places_are_charged() {
    let house = House::new(HubLimits { limit: Bytes::kib(64), ..limits(100) });
    let mut subscriptions = Vec::new();
    while let Ok(subscription) = house.hub.subscribe(&name("t"), None, None) {
        subscriptions.push(subscription);
    }
    let places = (Bytes::kib(64).as_u64() - TOPIC_BYTES) / SUBSCRIBER_BYTES;
    assert_eq!(subscriptions.len() as u64, places);
    drop(subscriptions);
    assert_eq!(house.account.held(), Bytes::ZERO);
}

#[test]
fn closing_hands_out_what_is_held_and_says_goodbye() {
    let house = House::new(limits(100));
    let meter = Meter::new();
    let mut idle = house.subscribe("t", None);
    let mut behind = house.hub.subscribe(&name("t"), None, Some(meter.clone())).expect("there is room");
    house.publish("t", "one");
    house.publish("unread", "one");
    drain(&mut idle);
    house.hub.close();
    house.hub.close();
    assert_eq!(house.hub.publish(&name("t"), "x", "y"), Err(PublishError::Closed));
    assert_eq!(house.hub.publish(&name("new"), "x", "y"), Err(PublishError::Closed));
    assert!(matches!(house.hub.subscribe(&name("t"), None, None), Err(SubscribeError::Closed)));
    assert_eq!(house.reading("hub.topics").used, 1, "what nobody reads is gone");
    assert!(!meter.is_evicted(), "there is something to deliver first");

    let e = format!("{EPOCH_SEED:x}");
    let goodbye = format!(
        r#"evicted {{"reason":"closing","lag_events":0,"lag_bytes":0,"limit_events":100,"limit_bytes":1048576,"resume_after":"{e}-1"}}"#
    );
    assert_eq!(told(&drain(&mut behind)), ["one", &goodbye]);
    assert!(meter.is_evicted());
    assert_eq!(told(&drain(&mut idle)), [goodbye]);
    assert_eq!(poll(&mut idle, 1), Some(None));
    assert_eq!((house.reading("hub.topics").used, house.account.held()), (0, Bytes::ZERO));
    assert_eq!(house.hub.sweep(house.clock.now()), None);
}

#[test]
fn subscriptions_outlive_the_last_handle_of_the_hub() {
    let house = House::new(limits(100));
    let mut reader = house.subscribe("t", None);
    house.publish("t", "one");
    let House { hub, account, .. } = house;
    drop(hub);
    assert_eq!(told(&drain(&mut reader)), ["one"]);
    drop(reader);
    assert_eq!(account.held(), Bytes::ZERO);
}

/// Proves S1.
#[test]
fn trimming_past_a_reader_evicts_it_and_its_place_is_back_before_it_knows() {
    let event = 60 + EVENT_OVERHEAD_BYTES;
    let house = House::new(HubLimits { topic_limit: Bytes::new(3 * event), ..limits(100) });
    let meter = Meter::new();
    let mut reader = house.hub.subscribe(&name("t"), None, Some(meter.clone())).expect("there is room");
    for nth in 1..=4 {
        house.publish("t", &nth.to_string());
    }
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(meter.poll_evicted(&mut context), Poll::Ready(EvictReason::Overrun));
    assert_eq!(house.reading("hub.subscribers").used, 0, "the hub forgot it though it was not polled");
    let e = format!("{EPOCH_SEED:x}");
    let lag: usize = (1..=3).map(|nth| format!("id: {e}-{nth}\nevent: message\ndata: {nth}\n\n").len()).sum();
    let farewell = format!(
        r#"evicted {{"reason":"overrun","lag_events":3,"lag_bytes":{lag},"limit_events":100,"limit_bytes":1048576,"resume_after":"{e}-0"}}"#
    );
    assert_eq!(told(&drain(&mut reader)), [farewell]);
    assert_eq!(poll(&mut reader, 1), Some(None));
}

/// A waker that publishes: other people's code, which must find no lock held.
struct Publishing(plimsoll_bounds::hub::Hub);

impl Wake for Publishing {
    fn wake(self: Arc<Self>) {
        self.0.publish(&name("t"), "message", "from a waker").expect("there is room");
    }
}

#[test]
fn wakers_run_outside_the_locks() {
    let house = House::new(limits(100));
    let mut reader = house.subscribe("t", None);
    let waker = Waker::from(Arc::new(Publishing(house.hub.clone())));
    let mut context = Context::from_waker(&waker);
    assert!(reader.poll_batch(&mut context, Bytes::kib(1)).is_pending());
    house.publish("t", "one");
    assert_eq!(told(&drain(&mut reader)), ["one", "from a waker"]);
    // And a waker that is dropped with its subscription, or replaced.
    assert!(reader.poll_batch(&mut context, Bytes::kib(1)).is_pending());
    assert!(reader.poll_batch(&mut Context::from_waker(Waker::noop()), Bytes::kib(1)).is_pending());
    drop(reader);
}
