//! What the tests of the hub share: a hub on a clock that is moved by hand, and a reader of frames.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use plimsoll_bounds::budget::{Account, Budget, BudgetLimits};
use plimsoll_bounds::hub::{Batch, EventId, Hub, HubLimits, Subscription, TopicName};
use plimsoll_core::{Bytes, Clock, ManualClock, Observe, Reading};

/// A hub, its clock, and the account that it is charged to.
pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) account: Account,
}

/// A seed for epochs that is easy to tell from an offset.
pub(crate) const EPOCH_SEED: u64 = 0xe000;

impl House {
    pub(crate) fn new(limits: HubLimits) -> House {
        let clock = Arc::new(ManualClock::new());
        let budget = Budget::new(BudgetLimits::of(Bytes::gib(1)), clock.clone());
        let account = budget.account("test", Bytes::mib(512)).expect("there is room");
        let hub = Hub::new(limits, &account, clock.clone(), EPOCH_SEED).expect("the limits make sense");
        House { hub, clock, account }
    }

    pub(crate) fn readings(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        self.hub.observe(&mut readings);
        readings
    }

    pub(crate) fn reading(&self, name: &str) -> Reading {
        self.readings().into_iter().find(|reading| reading.name == name).expect(name)
    }

    /// A counter of a reading.
    pub(crate) fn count(&self, reading: &str, counter: &str) -> u64 {
        let reading = self.reading(reading);
        reading.counters.iter().find(|found| found.name == counter).expect(counter).value
    }

    /// A counter of the subscribers.
    pub(crate) fn subscribers(&self, counter: &str) -> u64 {
        self.count("hub.subscribers", counter)
    }

    /// One sweep at the present time.
    pub(crate) fn sweep(&self) {
        self.hub.sweep(self.clock.now());
    }

    pub(crate) fn publish(&self, topic: &str, data: &str) -> EventId {
        self.hub.publish(&name(topic), "message", data).expect("it is published")
    }

    pub(crate) fn subscribe(&self, topic: &str, last_event_id: Option<&str>) -> Subscription {
        self.hub.subscribe(&name(topic), last_event_id, None).expect("there is room")
    }
}

pub(crate) fn name(text: &str) -> TopicName {
    TopicName::parse(text).expect(text)
}

/// One frame as a reader understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<EventId>,
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// Reads a frame as the standard of event streams says.
pub(crate) fn parse(frame: &[u8]) -> Frame {
    let text = std::str::from_utf8(frame).expect("frames are text");
    let lines = text.strip_suffix("\n\n").expect("a frame ends with an empty line");
    let (mut id, mut kind, mut data) = (None, String::new(), Vec::new());
    for line in lines.split('\n') {
        match line.split_once(": ").expect("a field and its value") {
            ("id", value) => id = Some(value.parse().expect("an id")),
            ("event", value) => kind = value.to_owned(),
            ("data", value) => data.push(value),
            other => panic!("{other:?} in {text:?}"),
        }
    }
    Frame { id, kind, data: data.join("\n") }
}

/// What one poll gives: a batch, `Some(None)` at the end, `None` when there is nothing yet.
pub(crate) fn poll(subscription: &mut Subscription, bytes_max: u64) -> Option<Option<Batch>> {
    let mut context = Context::from_waker(Waker::noop());
    match subscription.poll_batch(&mut context, Bytes::new(bytes_max)) {
        Poll::Ready(batch) => Some(batch),
        Poll::Pending => None,
    }
}

/// Everything that waits for the subscription, up to its end if that has come.
pub(crate) fn drain(subscription: &mut Subscription) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(Some(batch)) = poll(subscription, 4096) {
        frames.extend(batch.iter().map(|frame| parse(frame)));
    }
    frames
}

/// The bodies of the events among `frames`; control frames as `kind data`.
pub(crate) fn told(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| match frame.id {
            Some(_) => frame.data.clone(),
            None => format!("{} {}", frame.kind, frame.data),
        })
        .collect()
}

/// Limits of a hub for small tests: 1 MiB, `events` of lag.
pub(crate) fn limits(events: usize) -> HubLimits {
    HubLimits { queue_events_max: events, ..HubLimits::of(Bytes::mib(1)) }
}
