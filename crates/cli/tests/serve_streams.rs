//! What a reader of `plimsoll serve` gets: where it begins, what it missed, what it did not get, and why its
//! stream ended. Across all of it one thing holds: every event comes once and in its order, or the reader is
//! told that it does not.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use support::http::{Client, Request};
use support::load::{join, publish_end, publisher, text};
use support::server::{Limits, Server, file, published, until_used};
use support::stream::{Event, Id, Order, Stream};
use support::wait::{PATIENCE, Raise, within};
use support::{make_room, say};

/// A reader whose socket is full after a few events, and which reads nothing until it is told to.
fn small_reader(server: &Server, topic: &str) -> Stream {
    let stream = Stream::on(Client::connect_with(server.addr(), Some(4096)), topic, None);
    stream.unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Proves S2.
#[test]
fn a_newcomer_gets_the_latest_event_first() {
    let server = Server::start::<&str>(&[]);
    let mut early = Stream::open(&server, "t");
    let ids: Vec<Id> = ["one", "two", "three"].map(|text| server.publish("t", text)).into();
    let mut late = Stream::open(&server, "t");
    assert_eq!((late.next().id, early.next().id), (Some(ids[2]), Some(ids[0])));
    let fourth = server.publish("t", "four");
    assert_eq!(late.next(), Event { id: Some(fourth), kind: "message".into(), data: "four".into() });
    assert_eq!(
        [early.next(), early.next(), early.next()].map(|event| event.id),
        [Some(ids[1]), Some(ids[2]), Some(fourth)]
    );
    // Another topic is another story.
    let elsewhere = server.publish("u", "one");
    assert!(elsewhere.epoch != fourth.epoch && elsewhere.offset == 1, "{elsewhere} and {fourth}");
    assert_eq!(Stream::open(&server, "u").next().id, Some(elsewhere));
}

/// Proves S2.
#[test]
fn a_reader_that_comes_back_gets_what_it_missed() {
    let server = Server::start::<&str>(&[]);
    let ids: Vec<Id> = (1..=10).map(|n| server.publish("t", &n.to_string())).collect();
    for seen in 0..=10 {
        let last = Id { epoch: ids[0].epoch, offset: seen };
        let mut reader = Stream::open_after(&server, "t", Some(&last.to_string()));
        for id in &ids[seen as usize..] {
            assert_eq!(reader.next().id, Some(*id), "after {last}");
        }
    }
    let limits = server.limits();
    assert_eq!(
        (limits.counter("hub.subscribers", "resets"), limits.counter("hub.subscribers", "gaps")),
        (0, 0)
    );
}

/// Proves S2.
#[test]
fn a_reader_that_missed_more_than_is_held_is_told() {
    let server = Server::start(&["--publish-body-limit", "1KiB", "--hub-topic-limit", "16KiB"]);
    let first = server.publish("t", &text("1", 500));
    let mut last = first;
    for n in 2..=200 {
        last = server.publish("t", &text(&n.to_string(), 500));
    }
    let mut reader = Stream::open_after(&server, "t", Some(&first.to_string()));
    let reset = reader.next();
    let facts = reset.json();
    assert_eq!((reset.kind.as_str(), reset.id), ("reset", None));
    assert_eq!((&facts["reason"], &facts["asked"]), (&"history_exceeded".into(), &first.to_string().into()));
    let oldest = facts["oldest"].as_str().and_then(Id::parse).expect("something is held");
    assert!(oldest.offset > 150 && oldest.offset < 200, "16KiB of events of 500 bytes: {facts}");
    // All that is held, in its order, from the oldest to the latest.
    let mut order = Order { last: Some(Id { offset: oldest.offset - 1, ..oldest }) };
    while order.last != Some(last) {
        let event = reader.next();
        order.take(event.id.expect("an event")).expect("no gap");
    }
    assert_eq!(facts["latest"], last.to_string());
}

/// What one reader of the storm went through.
#[derive(Default)]
struct Storm {
    order: Order,
    cuts: u64,
    refused: u64,
}

/// Reads to the end of the story over as many connections as it takes: each is cut, in one way or another,
/// after some events.
fn weather(server: &Server, nth: u64, connected: &AtomicU64) -> Result<Storm, String> {
    let mut storm = Storm::default();
    loop {
        let last = storm.order.last.map(|id| id.to_string());
        let mut stream = within(PATIENCE, "a place", || {
            let client = Client::try_connect(server.addr(), None).map_err(|error| error.to_string())?;
            // The places that were just given up may not be free yet; of those who come too soon the first
            // are told so, and further ones are closed without a word.
            let opened = match Stream::try_on(client, "storm", last.as_deref()) {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(refusal)) if refusal.status == 503 => Err(format!("{refusal:?}")),
                Ok(Err(refusal)) => panic!("{refusal:?}"),
                Err(error) => Err(error.to_string()),
            };
            storm.refused += u64::from(opened.is_err());
            opened
        });
        if storm.cuts == 0 {
            connected.fetch_add(1, Ordering::Relaxed);
        }
        let enough = 1 + (nth * 7 + storm.cuts * 13) % 40;
        for _ in 0..enough {
            let event = match stream.try_next() {
                Ok(Some(event)) => event,
                other => return Err(format!("{other:?} after {:?}", storm.order)),
            };
            let Some(id) = event.id else { return Err(format!("{event:?} after {:?}", storm.order)) };
            if storm.order.last.is_none() && id.offset != 1 {
                return Err(format!("{id} is not the first"));
            }
            storm.order.take(id)?;
            if event.kind == "end" {
                return Ok(storm);
            }
        }
        storm.cuts += 1;
        if storm.cuts % 2 == 0 { stream.reset() } else { drop(stream) }
    }
}

/// Proves S2: a thousand readers at the limit of connections, cut again and again while events flow.
#[test]
fn a_storm_of_reconnects_loses_and_doubles_nothing() {
    const READERS: u64 = 1000;
    const EVENTS: u64 = 250;
    make_room(4096);
    let server = Server::start(&["--memory-limit", "64MiB"]);
    // Connected before the storm: in it there may be no place for another.
    let [client, mut api] = [(); 2].map(|()| Client::connect(server.addr()));
    let (connected, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    let (end, storms) = thread::scope(|scope| {
        let (server, connected) = (&server, &connected);
        let reader = |nth| {
            let thread = thread::Builder::new().stack_size(256 << 10);
            thread.spawn_scoped(scope, move || weather(server, nth, connected)).expect("there is room for it")
        };
        let readers: Vec<_> = (0..READERS).map(reader).collect();
        // The first event has to find all of them, or it would not be everybody's first.
        within(PATIENCE, "all readers", || match connected.load(Ordering::Relaxed) {
            READERS => Ok(()),
            connected => Err(format!("{connected} of them")),
        });
        let publishing =
            scope.spawn(|| publisher(client, "storm", "x", 100, Duration::from_millis(20), &stop));
        let enough = Raise(&stop);
        within(PATIENCE, "the events", || {
            match Limits::ask(&mut api).counter("hub.bytes", "events_published") {
                events if events >= EVENTS => Ok(()),
                events => Err(format!("{events}")),
            }
        });
        drop(enough);
        join(publishing);
        let end = publish_end(&mut api, "storm");
        (end, readers.into_iter().map(join).collect::<Vec<_>>())
    });
    let (mut cuts, mut refused) = (0, 0);
    for (nth, storm) in storms.iter().enumerate() {
        let storm = storm.as_ref().unwrap_or_else(|error| panic!("reader {nth}: {error}"));
        assert_eq!(storm.order.last, Some(end), "reader {nth}");
        cuts += storm.cuts;
        refused += storm.refused;
    }
    let took = started.elapsed();
    say(&format!(
        "{READERS} readers, {} events, {cuts} cuts in {took:.1?}; {refused} tries found no place yet",
        end.offset
    ));
    assert!(cuts > READERS, "{cuts}");
    let limits = server.limits();
    for counter in ["resets", "gaps", "evicted_stalled", "evicted_overrun"] {
        assert_eq!(limits.counter("hub.subscribers", counter), 0, "{counter}");
    }
    assert_eq!(limits.peak("http.streams"), READERS);
    until_used(&server, PATIENCE, "http.streams", 0);
}

/// Reads until the story is told up to `last`; checks that events and gaps together are all of it, each part
/// once. Gives the reasons of the gaps, and how many events came.
fn told(mut reader: Stream, last: u64) -> (Vec<String>, u64) {
    let (mut told, mut reasons, mut events) = (0, Vec::new(), 0);
    while told < last {
        let event = reader.next();
        if let Some(id) = event.id {
            assert_eq!(id.offset, told + 1, "{event:?}");
            told += 1;
            events += 1;
            continue;
        }
        assert_eq!(event.kind, "gap", "{event:?}");
        let facts = event.json();
        let id = |name: &str| facts[name].as_str().and_then(Id::parse).unwrap_or_else(|| panic!("{event:?}"));
        let (from, to) = (id("from").offset, id("to").offset);
        assert_eq!((from, &facts["missed_events"]), (told + 1, &Json::from(to + 1 - from)), "{event:?}");
        told = to;
        reasons.push(facts["reason"].as_str().unwrap_or_default().to_owned());
    }
    (reasons, events)
}

/// Proves S1. The policy of a topic decides what a slow reader misses, and what it misses it is told.
#[test]
fn each_topic_has_its_policy_and_no_loss_is_silent() {
    const EVENTS: u64 = 400;
    let rules = "[hub]\npolicy = \"evict\"\n\
                 [[hub.topic]]\nmatch = \"old/*\"\npolicy = \"drop_oldest\"\nqueue_events_max = 10\n\
                 [[hub.topic]]\nmatch = \"new/*\"\npolicy = \"drop_newest\"\nqueue_events_max = 10\n\
                 [[hub.topic]]\nmatch = \"last\"\npolicy = \"keep_latest\"\nqueue_events_max = 10\n";
    let path = file("policies.toml", rules);
    let server = Server::start(&["--config".as_ref(), path.as_os_str()]);
    let body = text("x", 4 << 10);
    for (topic, reason, counter) in [
        ("old/a", "drop_oldest", "dropped_oldest"),
        ("new/b/c", "drop_newest", "dropped_newest"),
        ("last", "keep_latest", "conflated"),
    ] {
        let reader = small_reader(&server, topic);
        (1..=EVENTS).for_each(|nth| assert_eq!(server.publish(topic, &body).offset, nth));
        let (reasons, events) = told(reader, EVENTS);
        assert!(!reasons.is_empty() && reasons.iter().all(|told| told == reason), "{topic}: {reasons:?}");
        let dropped = server.limits().counter("hub.subscribers", counter);
        assert_eq!(dropped + events, EVENTS, "{topic}");
    }
    let limits = server.limits();
    assert_eq!(limits.counter("hub.subscribers", "evicted_stalled"), 0);
    // Where no rule matches it is the section's.
    let reader = small_reader(&server, "last/but/not/least");
    (1..=EVENTS).for_each(|nth| assert_eq!(server.publish("last/but/not/least", &body).offset, nth));
    within(PATIENCE, "the eviction", || {
        match server.limits().counter("hub.subscribers", "evicted_stalled") {
            1 => Ok(()),
            count => Err(format!("{count}")),
        }
    });
    reader.until_ended();
}

/// Proves S1. A reader that is sent away and reads on is told why and where to go on.
#[test]
fn an_evicted_reader_is_told_why() {
    let server = Server::start(&[
        "--publish-body-limit",
        "8KiB",
        "--hub-topic-limit",
        "128KiB",
        "--http-send-buffer",
        "16KiB",
    ]);
    let body = text("x", 4 << 10);
    // It has a moment to read its farewell; a machine that is busy may let it pass, so there are some tries.
    const TRIES: usize = 50;
    for nth in 0..TRIES {
        let topic = format!("t/{nth}");
        let mut reader = small_reader(&server, &topic);
        // More than its socket and the ring hold together.
        let ids: Vec<Id> = (0..100).map(|_| server.publish(&topic, &body)).collect();
        let mut order = Order::default();
        let farewell = loop {
            match reader.try_next() {
                Ok(Some(event)) if event.id.is_some() => {
                    order.take(event.id.expect("just seen")).expect("no gap")
                }
                other => break other,
            }
        };
        let Ok(Some(farewell)) = farewell else { continue };
        assert_eq!(farewell.kind, "evicted");
        let facts = farewell.json();
        assert_eq!((&facts["reason"], &facts["limit_events"]), (&"overrun".into(), &100.into()), "{facts}");
        assert_eq!(facts["resume_after"], order.last.expect("it got some").to_string());
        assert!(facts["lag_events"].as_u64().is_some_and(|lag| lag > 0), "{facts}");
        assert_eq!(reader.try_next().expect("it ends as it should"), None);
        // Where to go on is an id to come back with.
        let mut back = Stream::open_after(&server, &topic, facts["resume_after"].as_str());
        let reset = back.next();
        assert_eq!((reset.kind.as_str(), &reset.json()["reason"]), ("reset", &"history_exceeded".into()));
        assert_eq!(reset.json()["latest"], ids[99].to_string());
        say(&format!("told at try {}", nth + 1));
        return;
    }
    panic!("none of {TRIES} evicted readers was told why");
}

#[test]
fn a_quiet_stream_shows_that_it_is_alive() {
    let server = Server::start(&["--hub-heartbeat", "100ms"]);
    let mut reader = Stream::open(&server, "t");
    let started = Instant::now();
    (0..5).for_each(|_| reader.comment());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400), "5 comments in {took:?}");
    let id = server.publish("t", "an event");
    assert_eq!(reader.next().id, Some(id));
    reader.comment();
}

#[test]
fn an_event_is_what_was_published() {
    let server = Server::start::<&str>(&[]);
    let mut reader = Stream::open(&server, "a/b:c.d_e-f");
    for (event_type, body, data) in [
        (None, "plain", "plain"),
        (Some("note"), "", ""),
        (Some("two words"), "one\ntwo\n", "one\ntwo\n"),
        (Some("x"), "crlf\r\ncr\rlf\n\n", "crlf\ncr\nlf\n\n"),
        (
            Some("x"),
            "id: forged\nevent: forged\n: no comment\ndata: x",
            "id: forged\nevent: forged\n: no comment\ndata: x",
        ),
        (Some("x"), " leading and trailing ", " leading and trailing "),
        (Some("x"), "\u{1f600} \u{2028} \u{0}", "\u{1f600} \u{2028} \u{0}"),
    ] {
        let request = Request::new("POST", "/publish/a/b:c.d_e-f").body(body);
        let request = match event_type {
            Some(event_type) => request.header("X-Event-Type", event_type),
            None => request,
        };
        let id = published(&server.ask(&request));
        let kind = event_type.unwrap_or("message").to_owned();
        assert_eq!(reader.next(), Event { id: Some(id), kind, data: data.to_owned() });
    }
    // The largest, all of it line ends: seven bytes of event for each of body.
    let body = "\n".repeat(256 << 10);
    let request = Request::new("POST", "/publish/a/b:c.d_e-f").body(&body);
    published(&server.ask(&request));
    assert_eq!(reader.next().data, body);
}
