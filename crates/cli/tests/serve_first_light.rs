//! The promise of the ground floor, as one run of the program as it is shipped: a body of 4 GiB goes through
//! 64 MiB of memory while fifty readers get every event of it and fifty others never read. Resident memory is
//! judged by the kernel, not by the service's own ledger.
//!
//! The body comes from a generator and is hashed while it is sent, so nothing is written to disk.
//! `PLIMSOLL_FIRST_LIGHT_BYTES` sets its length; a program that was built for debugging gets a shorter one.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use support::http::Client;
use support::kernel::{self, ESTABLISHED};
use support::load::{Published, join, publish_end, publisher, read_to_end, upload};
use support::server::{Server, is_shipped, until_open_sockets, until_used};
use support::stream::{Frame, Stream};
use support::wait::{PATIENCE, Raise, until};
use support::{make_room, say};

const TOPIC: &str = "first/light";
/// The length of the body when nothing else is asked for.
const SHIPPED_BYTES: u64 = 4 << 30;
/// The same for a program without optimisation.
const DEBUG_BYTES: u64 = 256 << 20;

const READERS: usize = 50;
const STALLED: usize = 50;
/// Publishers together come to 500 events in a second.
const PUBLISHERS: usize = 4;
const PUBLISH_BYTES: usize = 1 << 10;
const PUBLISH_INTERVAL: Duration = Duration::from_millis(8);
/// A test machine that is busy with other things may be a little behind the pace.
const PUBLISHES_PER_S_MIN: f64 = 400.0;

/// 64 MiB and the fixed cost.
const RESIDENT_BYTES_MAX: u64 = (64 + 40) << 20;
/// Time between two looks at memory and sockets.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The events of the ingest and of the publishers, as one reader saw them.
#[derive(Default)]
struct Story {
    chunks: u64,
    length_bytes: u64,
    lines: u64,
    summary: Option<Json>,
    messages: HashMap<u64, String>,
    wrong: Vec<String>,
}

impl Story {
    fn add(&mut self, offset: u64, frame: Frame<'_>) {
        match frame.kind() {
            "chunk" => {
                let chunk: Json = serde_json::from_str(&frame.data()).unwrap_or_default();
                let number = |name: &str| chunk[name].as_u64().unwrap_or(u64::MAX);
                let joins = number("seq") == self.chunks && number("offset_bytes") == self.length_bytes;
                let sized = (1..=256 << 10).contains(&number("length_bytes"));
                let hashed = chunk["blake3"].as_str().is_some_and(|digest| digest.len() == 64);
                if !(joins && sized && hashed && self.summary.is_none()) {
                    self.wrong.push(format!("{frame:?} after {} chunks", self.chunks));
                }
                self.chunks += 1;
                self.length_bytes = self.length_bytes.saturating_add(number("length_bytes"));
                self.lines = self.lines.saturating_add(number("lines"));
            }
            "summary" => self.summary = serde_json::from_str(&frame.data()).ok(),
            "message" => {
                let data = frame.data();
                let name = data.split(' ').next().unwrap_or_default();
                self.messages.insert(offset, name.to_owned());
            }
            "end" => {}
            _ => self.wrong.push(format!("{frame:?}")),
        }
    }
}

/// What was seen of memory and sockets while all that went on.
#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    longest_between: Duration,
    resident_max: u64,
    tcp_memory_max: u64,
    /// The most unsent bytes on each stalled reader's socket, and when they were first seen.
    unsent: BTreeMap<u16, (u64, Duration)>,
    /// When the last of those sockets was found closed.
    gone: Option<Duration>,
}

/// Looks until `stop`.
fn watch(server: &Server, stalled: &[u16], stop: &AtomicBool) -> Seen {
    let started = Instant::now();
    let (mut seen, mut looked) = (Seen::default(), started);
    while !stop.load(Ordering::Relaxed) {
        seen.looks += 1;
        seen.longest_between = seen.longest_between.max(looked.elapsed());
        looked = Instant::now();
        seen.resident_max = seen.resident_max.max(server.resident().now);
        if seen.gone.is_none() {
            let open = open_ends(server, stalled);
            for (port, unsent) in &open {
                let most = seen.unsent.entry(*port).or_insert((0, started.elapsed()));
                most.0 = most.0.max(*unsent);
            }
            // Memory while they hold it; once they are gone, the number is only the upload's.
            seen.tcp_memory_max = seen.tcp_memory_max.max(kernel::tcp_memory());
            if open.is_empty() {
                seen.gone = Some(started.elapsed());
            }
        }
        thread::sleep(LOOK_INTERVAL);
    }
    seen
}

/// The service's ends of these clients' connections that are open, with what is unsent on each.
fn open_ends(server: &Server, ports: &[u16]) -> Vec<(u16, u64)> {
    let ends = kernel::sockets_at(server.addr().port());
    let of_these = ends.iter().filter(|end| end.state == ESTABLISHED && ports.contains(&end.peer_port));
    of_these.map(|end| (end.peer_port, end.unsent_bytes)).collect()
}

fn length() -> u64 {
    match std::env::var("PLIMSOLL_FIRST_LIGHT_BYTES") {
        Ok(length) => length.parse().expect("PLIMSOLL_FIRST_LIGHT_BYTES is a whole number of bytes"),
        Err(_) if is_shipped() => SHIPPED_BYTES,
        Err(_) => DEBUG_BYTES,
    }
}

/// Proves S1, P5 and P12: slow readers go, others miss nothing, buffers are used again, and chunks come in order.
#[test]
fn four_gibibytes_through_sixty_four_mebibytes() {
    make_room(1024);
    let length = length();
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let sockets = server.open_sockets();
    let readers: Vec<Stream> = (0..READERS).map(|_| Stream::open(&server, TOPIC)).collect();
    let stalled: Vec<Stream> = (0..STALLED)
        .map(|_| Stream::on(Client::connect_with(server.addr(), Some(4096)), TOPIC, None))
        .map(|stream| stream.unwrap_or_else(|refusal| panic!("{refusal:?}")))
        .collect();
    let ports: Vec<u16> = stalled.iter().map(Stream::port).collect();
    until_used(&server, PATIENCE, "http.streams", (READERS + STALLED) as u64);
    until_open_sockets(&server, sockets + READERS + STALLED);
    let tcp_memory = kernel::tcp_memory();

    let (published_enough, looked_enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut story = Story::default();
    let (sent, publishers, all_got, seen) = thread::scope(|scope| {
        let enough = (Raise(&published_enough), Raise(&looked_enough));
        let watch = scope.spawn(|| watch(&server, &ports, &looked_enough));
        let mut readers = readers.into_iter();
        let teller = readers.next().expect("there are fifty");
        let teller = scope.spawn(|| read_to_end(teller, |offset, frame| story.add(offset, frame)));
        let readers: Vec<_> =
            readers.map(|stream| scope.spawn(move || read_to_end(stream, |_, _| {}))).collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|nth| {
                let client = Client::connect(server.addr());
                let stop = &published_enough;
                let name = format!("p{nth}");
                scope.spawn(move || publisher(client, TOPIC, &name, PUBLISH_BYTES, PUBLISH_INTERVAL, stop))
            })
            .collect();
        let sent = upload(&server, TOPIC, length);
        drop(enough.0);
        let publishers: Vec<Published> = publishers.into_iter().map(join).collect();
        let end = publish_end(&mut Client::connect(server.addr()), TOPIC);
        let all_got: Vec<_> = [teller].into_iter().chain(readers).map(join).collect();
        drop(enough.1);
        let seen = join(watch);
        for (nth, got) in all_got.iter().enumerate() {
            let got = got.as_ref().unwrap_or_else(|error| panic!("reader {nth}: {error}"));
            assert_eq!((got.first, got.last), (1, end.offset), "reader {nth}: {got:?}");
        }
        (sent, publishers, all_got, seen)
    });
    let got = all_got[0].clone().expect("it was looked at above");
    let resident = server.resident();
    let limits = server.limits();

    // The figures first: they help most when something below is not as it should be.
    let seconds = sent.took.as_secs_f64();
    let publishes: usize = publishers.iter().map(|publisher| publisher.events.len()).sum();
    let publish_s = publishers.iter().map(|publisher| publisher.took).max().unwrap_or_default().as_secs_f64();
    let publishes_per_s = publishes as f64 / publish_s;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let held: u64 = seen.unsent.values().map(|(most, _)| most).sum();
    let reuse = limits.counter("pool.bytes", "reuse_percent");
    say(&format!("{:.0} MiB in {seconds:.1} s: {:.0} MiB/s", mib(length), mib(length) / seconds));
    say(&format!("resident at most {:.1} MiB of {:.0}", mib(resident.peak), mib(RESIDENT_BYTES_MAX)));
    say(&format!(
        "{} looks, at most {:?} apart: {:.1} MiB",
        seen.looks,
        seen.longest_between,
        mib(seen.resident_max)
    ));
    say(&format!("{publishes} events published: {publishes_per_s:.0}/s of {PUBLISH_BYTES} B"));
    let delivered = got.events * READERS as u64;
    say(&format!(
        "{} events to each of {READERS}: {:.0} deliveries/s",
        got.events,
        delivered as f64 / seconds
    ));
    say(&format!("stalled: {:.1} MiB unsent on {STALLED} sockets, closed after {:?}", mib(held), seen.gone));
    say(&format!(
        "the ingest waited {} times for readers, {} ms in all",
        limits.counter("hub.bytes", "paced_waits"),
        limits.counter("hub.bytes", "paced_us") / 1000
    ));
    say(&format!("{reuse} % of buffers were used again"));

    // The memory.
    assert!(resident.peak <= RESIDENT_BYTES_MAX, "{} bytes", resident.peak);
    assert!(seen.resident_max <= RESIDENT_BYTES_MAX, "{} bytes", seen.resident_max);
    assert!(reuse > 50, "{reuse} %");

    // The body.
    assert_eq!(sent.response.status, 200, "{:?}", sent.response);
    let summary = sent.response.json();
    assert_eq!(summary["blake3"], sent.blake3, "{summary}");
    assert_eq!((&summary["length_bytes"], &summary["lines"]), (&length.into(), &sent.lines.into()));
    assert!(story.wrong.is_empty(), "{:#?}", &story.wrong[..story.wrong.len().min(5)]);
    assert_eq!((story.length_bytes, story.lines), (length, sent.lines));
    assert_eq!(summary["chunks"], story.chunks);
    let mut told = story.summary.take().expect("the last event of an ingest is its summary");
    assert!(told.as_object_mut().and_then(|fields| fields.remove("correlation_id")).is_some());
    assert_eq!(told, summary);

    // The readers: all the same, and all that was published.
    for (nth, other) in all_got.iter().enumerate() {
        assert_eq!(other.as_ref(), Ok(&got), "reader {nth}");
    }
    assert_eq!(got.events, story.chunks + 2 + publishes as u64, "chunks, summary, end and messages");
    for (id, name) in publishers.iter().flat_map(|publisher| &publisher.events) {
        assert_eq!(story.messages.get(&id.offset), Some(name), "{id}");
    }
    assert!(publishes_per_s >= PUBLISHES_PER_S_MIN || !is_shipped(), "{publishes_per_s:.0} events/s");

    // Those who never read: first there was something unsent for each, then their sockets were closed, and
    // the kernel has its memory back although they hold their own ends open.
    assert_eq!(seen.unsent.len(), STALLED);
    assert!(seen.unsent.values().all(|(most, _)| *most > 0), "{:?}", seen.unsent);
    assert!(seen.gone.is_some(), "{:?}", open_ends(&server, &ports));
    assert_eq!(
        limits.counter("hub.subscribers", "evicted_stalled")
            + limits.counter("hub.subscribers", "evicted_overrun"),
        STALLED as u64
    );
    let slack = kernel::tcp_memory_slack();
    until("the kernel's memory for TCP to be back", || match kernel::tcp_memory() {
        now if now <= tcp_memory + slack.max(held / 2) => Ok(()),
        now => Err(format!("{now} bytes; {tcp_memory} before, {held} were unsent")),
    });
    say(&format!(
        "kernel memory of TCP: {:.1} MiB before, {:.1} at most with them, {:.1} after",
        mib(tcp_memory),
        mib(seen.tcp_memory_max),
        mib(kernel::tcp_memory())
    ));
    // The readers have gone too by now.
    until_open_sockets(&server, sockets);
    stalled.into_iter().for_each(Stream::until_ended);
    let limits = server.limits();
    assert_eq!((limits.used("http.streams"), limits.used("hub.subscribers")), (0, 0));
    assert_eq!(limits.counter("pool.bytes", "active"), 0);
}
