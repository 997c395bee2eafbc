//! An event type, a body and a `Last-Event-ID` from strangers: no line of a frame may be theirs to forge.
#![no_main]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use plimsoll_bounds::budget::{Budget, BudgetLimits};
use plimsoll_bounds::hub::{Hub, HubLimits, TopicName};
use plimsoll_core::{Bytes, ManualClock};

fuzz_target!(|input: (&str, &str, &str)| {
    let (event_type, data, last_event_id) = input;
    let clock = Arc::new(ManualClock::new());
    let budget = Budget::new(BudgetLimits::of(Bytes::mib(4)), clock.clone());
    let hub = Hub::new(HubLimits::of(Bytes::mib(2)), budget.open(), clock, 7).expect("the limits are in order");
    let topic = TopicName::parse("fuzz").expect("it is a name");
    let published = hub.publish(&topic, event_type, data);
    let mut reader = hub.subscribe(&topic, Some(last_event_id), None).expect("there is room");
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(batch)) = reader.poll_batch(&mut context, Bytes::mib(1)) else { return };
    for frame in batch.iter() {
        let text = std::str::from_utf8(frame).expect("frames are text");
        assert!(text.ends_with("\n\n"), "a frame ends with its blank line");
        let lines = text.split('\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let field = line.split_once(": ").map_or(line, |(field, _)| field);
            assert!(["id", "event", "data", "data:"].contains(&field), "a line of a stranger: {line:?}");
        }
    }
    let ids = batch.iter().filter(|frame| frame.starts_with(b"id: ")).count();
    assert_eq!(ids, usize::from(published.is_ok()), "one event, one id");
});
