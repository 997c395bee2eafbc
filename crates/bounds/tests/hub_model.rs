//! The hub against a naive model: a list of all events, and for each reader a queue of its own.
//!
//! The model is what the hub avoids being: it copies every event into every reader's queue and applies the
//! policies to that queue. Whatever is published, subscribed, read and cut, both must hand out the same
//! bytes in the same batches.
#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "the seed is shown when a test fails")]

mod hub_kit;

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use hub_kit::{House, name, poll};
use plimsoll_bounds::hub::{
    EVENT_OVERHEAD_BYTES, EventId, HubLimits, Policy, PublishError, Subscription, TopicRule,
};
use plimsoll_core::Bytes;

/// Room is made for the longest id before the id is known.
const ID_LINE_BYTES_MAX: usize = "id: ffffffffffffffff-18446744073709551615\n".len();

struct Limits {
    topic: usize,
    events: usize,
    bytes: usize,
}

/// A topic as the model sees it.
struct Topic {
    policy: Policy,
    epoch: Option<u64>,
    // Every event ever published, its offset being its place, counted from 1.
    events: Vec<String>,
    trimmed: usize,
    readers: Vec<Reader>,
}

struct Reader {
    queue: VecDeque<Queued>,
    // The last offset it took or was made to skip.
    cursor: usize,
    reset: Option<String>,
    gap: Option<(usize, usize, &'static str)>,
    refused_from: Option<usize>,
    farewell: Option<String>,
    real: Subscription,
    last_seen: Option<String>,
}

#[derive(Clone, Copy)]
struct Queued {
    offset: usize,
    bytes: usize,
    // It was there before the reader came.
    replayed: bool,
}

impl Topic {
    fn id(&self, offset: usize) -> String {
        EventId { epoch: self.epoch.expect("something was published"), offset: offset as u64 }.to_string()
    }

    fn held_cost(&self) -> usize {
        self.events[self.trimmed..].iter().map(|event| event.len() + EVENT_OVERHEAD_BYTES as usize).sum()
    }

    fn publish(&mut self, body: &str, limits: &Limits, house: &House, topic: &str) {
        let rest = format!("event: message\ndata: {}\n\n", body.replace('\n', "\ndata: "));
        let ask = ID_LINE_BYTES_MAX + rest.len() + EVENT_OVERHEAD_BYTES as usize;
        let published = house.hub.publish(&name(topic), "message", body);
        if ask > limits.topic {
            let refused = matches!(published, Err(PublishError::TooLarge { .. }));
            assert!(refused, "{ask} of {}: {published:?}", limits.topic);
            return;
        }
        let id = published.expect("it fits");
        assert_eq!(*self.epoch.get_or_insert(id.epoch), id.epoch, "an epoch lasts as long as its topic");
        while self.held_cost() + ask > limits.topic {
            self.trimmed += 1;
        }
        let (trimmed, head) = (self.trimmed, self.events.len());
        let cut: Vec<String> = (0..=head).map(|offset| self.id(offset)).collect();
        for reader in self.readers.iter_mut().filter(|reader| reader.farewell.is_none()) {
            reader.trim(trimmed, head, self.policy, limits, &cut, &self.events);
        }
        self.events.push(format!("id: {id}\n{rest}"));
        let event = Queued {
            offset: self.events.len(),
            bytes: self.events[self.events.len() - 1].len(),
            replayed: false,
        };
        assert_eq!(id.offset as usize, event.offset);
        for reader in self.readers.iter_mut().filter(|reader| reader.farewell.is_none()) {
            reader.publish(event, self.policy, limits);
        }
    }

    fn subscribe(&mut self, last_event_id: Option<&str>, house: &House, topic: &str) {
        let head = self.events.len();
        let oldest = (head > self.trimmed).then(|| self.id(self.trimmed + 1));
        let latest = (head > self.trimmed).then(|| self.id(head));
        let quote = |id: Option<String>| id.map_or("null".to_owned(), |id| format!("\"{id}\""));
        let reset = |reason: &str, asked: Option<String>| {
            let (asked, oldest, latest) = (quote(asked), quote(oldest.clone()), quote(latest.clone()));
            Some(format!(
                "event: reset\ndata: {{\"reason\":\"{reason}\",\"asked\":{asked},\"oldest\":{oldest},\
                 \"latest\":{latest}}}\n\n"
            ))
        };
        let asked: Option<Option<EventId>> = last_event_id.map(|text| text.parse().ok());
        let (cursor, reset) = match asked {
            None => (head.saturating_sub(1).max(self.trimmed), None),
            Some(None) => (self.trimmed, reset("invalid_id", None)),
            Some(Some(id)) if Some(id.epoch) != self.epoch => {
                (self.trimmed, reset("unknown_epoch", Some(id.to_string())))
            }
            Some(Some(id)) if id.offset as usize > head => {
                (self.trimmed, reset("invalid_id", Some(id.to_string())))
            }
            Some(Some(id)) if (id.offset as usize) < self.trimmed => {
                (self.trimmed, reset("history_exceeded", Some(id.to_string())))
            }
            Some(Some(id)) => (id.offset as usize, None),
        };
        let queue = (cursor..head)
            .map(|nth| Queued { offset: nth + 1, bytes: self.events[nth].len(), replayed: true })
            .collect();
        let real = house.hub.subscribe(&name(topic), last_event_id, None).expect("there is room");
        self.readers.push(Reader {
            queue,
            cursor,
            reset,
            gap: None,
            refused_from: None,
            farewell: None,
            real,
            last_seen: last_event_id.map(str::to_owned),
        });
    }
}

impl Reader {
    /// Its own queue's part of what the ring lets go.
    fn trim(
        &mut self,
        trimmed: usize,
        head: usize,
        policy: Policy,
        limits: &Limits,
        ids: &[String],
        events: &[String],
    ) {
        if self.queue.front().is_none_or(|event| event.offset > trimmed) {
            return;
        }
        if policy == Policy::Evict {
            let lag_bytes: usize = events[self.cursor..head].iter().map(String::len).sum();
            self.farewell = Some(format!(
                "event: evicted\ndata: {{\"reason\":\"overrun\",\"lag_events\":{},\"lag_bytes\":{lag_bytes},\
                 \"limit_events\":{},\"limit_bytes\":{},\"resume_after\":\"{}\"}}\n\n",
                head - self.cursor,
                limits.events,
                limits.bytes,
                ids[self.cursor]
            ));
            return;
        }
        while self.queue.front().is_some_and(|event| event.offset <= trimmed) {
            self.lose_front("history");
        }
    }

    fn lose_front(&mut self, reason: &'static str) {
        let lost = self.queue.pop_front().expect("there is one");
        let first = self.gap.map_or(lost.offset, |(first, ..)| first);
        self.gap = Some((first, lost.offset, reason));
        self.cursor = lost.offset;
    }

    fn is_over(events: &[Queued], limits: &Limits) -> bool {
        let bytes: usize = events.iter().map(|event| event.bytes).sum();
        events.len() > limits.events || (bytes > limits.bytes && events.len() > 1)
    }

    fn publish(&mut self, event: Queued, policy: Policy, limits: &Limits) {
        if self.refused_from.is_some() {
            return;
        }
        self.queue.push_back(event);
        let new: Vec<Queued> = self.queue.iter().copied().filter(|event| !event.replayed).collect();
        if !Reader::is_over(&new, limits) {
            return;
        }
        match policy {
            // Judged by time, and no time passes here.
            Policy::Evict => {}
            Policy::DropOldest => {
                while Reader::is_over(self.queue.make_contiguous(), limits) {
                    self.lose_front("drop_oldest");
                }
            }
            Policy::DropNewest => {
                self.queue.pop_back();
                self.refused_from = Some(event.offset);
            }
            Policy::KeepLatest => {
                while self.queue.len() > 1 {
                    self.lose_front("keep_latest");
                }
            }
        }
    }

    /// What one poll should give; empty when there is nothing yet.
    fn take(&mut self, bytes_max: usize, events: &[String], epoch: Option<u64>) -> Vec<String> {
        let mut frames = Vec::new();
        if let Some(farewell) = &self.farewell {
            return vec![farewell.clone()];
        }
        frames.extend(self.reset.take());
        let gap = |(first, last, reason): (usize, usize, &str)| {
            let id = |offset: usize| EventId { epoch: epoch.expect("published"), offset: offset as u64 };
            format!(
                "event: gap\ndata: {{\"missed_events\":{},\"from\":\"{}\",\"to\":\"{}\",\"reason\":\"{reason}\"}}\n\n",
                last + 1 - first,
                id(first),
                id(last)
            )
        };
        frames.extend(self.gap.take().map(gap));
        if self.queue.is_empty()
            && let Some(first) = self.refused_from.take()
        {
            frames.push(gap((first, events.len(), "drop_newest")));
            self.cursor = events.len();
        }
        let mut bytes: usize = frames.iter().map(String::len).sum();
        let mut taken = 0;
        while let Some(event) = self.queue.front() {
            if taken > 0 && bytes + event.bytes > bytes_max {
                break;
            }
            bytes += event.bytes;
            taken += 1;
            frames.push(events[event.offset - 1].clone());
            self.cursor = event.offset;
            self.queue.pop_front();
        }
        frames
    }
}

const TOPICS: [(&str, Policy); 4] = [
    ("evict", Policy::Evict),
    ("drop/oldest", Policy::DropOldest),
    ("drop/newest", Policy::DropNewest),
    ("latest", Policy::KeepLatest),
];

fn run(seed: u64) {
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let one_event = ID_LINE_BYTES_MAX + 250 + EVENT_OVERHEAD_BYTES as usize;
    let limits = Limits {
        // Nothing, one event or two, some, many.
        topic: *random.choice(&[0, one_event, 2 * one_event, 4000, 60_000]).expect("there are some"),
        events: random.usize(1..=8),
        bytes: *random.choice(&[1, 100, 500, 5000]).expect("there are some"),
    };
    let rules = TOPICS.map(|(topic, policy)| TopicRule {
        matching: topic.parse().expect(topic),
        queue_events_max: None,
        queue_bytes_max: None,
        policy: Some(policy),
    });
    let house = House::new(HubLimits {
        topic_limit: Bytes::of_len(limits.topic),
        queue_events_max: limits.events,
        queue_bytes_max: Bytes::of_len(limits.bytes),
        rules: rules.into(),
        ..HubLimits::of(Bytes::mib(8))
    });
    let mut topics = TOPICS.map(|(_, policy)| Topic {
        policy,
        epoch: None,
        events: Vec::new(),
        trimmed: 0,
        readers: Vec::new(),
    });
    for _ in 0..400 {
        let nth = random.usize(0..TOPICS.len());
        let (topic_name, topic) = (TOPICS[nth].0, &mut topics[nth]);
        let reader = (!topic.readers.is_empty()).then(|| random.usize(0..topic.readers.len()));
        match random.u32(0..100) {
            0..45 => {
                let body: String = (0..random.usize(0..200))
                    .map(|_| *random.choice(b"abc\n").expect("some") as char)
                    .collect();
                topic.publish(&body, &limits, &house, topic_name);
            }
            45..53 if topic.readers.len() < 6 => {
                let last_event_id = match random.u32(0..6) {
                    0 => None,
                    1 => Some("not an id".to_owned()),
                    2 => Some("1-1".to_owned()),
                    _ => topic.epoch.map(|epoch| {
                        let offset = random.u64(0..topic.events.len() as u64 + 2);
                        EventId { epoch, offset }.to_string()
                    }),
                };
                topic.subscribe(last_event_id.as_deref(), &house, topic_name);
            }
            53..60 => {
                // Cut, and back with the last id that it saw.
                if let Some(reader) = reader {
                    let cut = topic.readers.swap_remove(reader);
                    let last_seen = cut.last_seen.clone();
                    drop(cut);
                    topic.subscribe(last_seen.as_deref(), &house, topic_name);
                }
            }
            60..63 => {
                if let Some(reader) = reader {
                    topic.readers.swap_remove(reader);
                    if topic.readers.is_empty() && topic.events.is_empty() {
                        // A topic that never held anything goes with its last reader.
                        topic.epoch = None;
                    }
                }
            }
            _ => {
                let Some(at) = reader else { continue };
                let bytes_max = random.usize(0..1000);
                let (events, epoch) = (&topic.events, topic.epoch);
                let reader = &mut topic.readers[at];
                let expected = reader.take(bytes_max, events, epoch);
                let real = poll(&mut reader.real, bytes_max as u64);
                let evicted = reader.farewell.is_some();
                let frames: Vec<String> = match real {
                    None => Vec::new(),
                    Some(batch) => {
                        let batch = batch.expect("the model still reads it");
                        assert_eq!(batch.bytes().as_usize(), batch.iter().map(|frame| frame.len()).sum());
                        let text = |frame: &bytes::Bytes| String::from_utf8(frame.to_vec()).expect("text");
                        batch.iter().map(text).collect()
                    }
                };
                assert_eq!(frames, expected, "seed {seed}, {topic_name}");
                let mut ids =
                    frames.iter().filter_map(|frame| frame.strip_prefix("id: ")?.split('\n').next());
                if let Some(last) = ids.next_back() {
                    reader.last_seen = Some(last.to_owned());
                }
                if evicted {
                    assert_eq!(poll(&mut reader.real, 1), Some(None), "the end lasts");
                    let last_seen = reader.last_seen.clone();
                    topic.readers.swap_remove(at);
                    topic.subscribe(last_seen.as_deref(), &house, topic_name);
                }
            }
        }
        let living: usize = topics
            .iter()
            .map(|topic| topic.readers.iter().filter(|reader| reader.farewell.is_none()).count())
            .sum();
        assert_eq!(house.reading("hub.subscribers").used, living as u64, "seed {seed}");
    }
    drop(topics);
    house.clock.advance(Duration::from_secs(3600));
    house.sweep();
    assert_eq!(house.account.held(), Bytes::ZERO, "seed {seed}: everything is given back");
    for gauge in
        ["hub.bytes", "hub.topics", "hub.subscribers", "hub.subscribers.warning", "hub.subscribers.critical"]
    {
        assert_eq!(house.reading(gauge).used, 0, "seed {seed}: {gauge}");
    }
}

/// Proves S1 and S2.
#[test]
fn hands_out_what_a_naive_model_hands_out() {
    for seed in 0..2000 {
        run(seed);
    }
}
