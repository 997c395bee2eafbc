//! `plimsoll serve` at its limits: the one more that is refused, told what to do, and let in as soon as there
//! is room. A limit that lets one more in breaks the ceiling; one that does not let go of a place that is free
//! again locks everybody out, an hour later.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::http::{Client, Request, Response};
use support::kernel::{self, ESTABLISHED};
use support::load::{join, publish_end, read_to_end, text};
use support::server::{Server, until_open_sockets, until_used};
use support::stream::Stream;
use support::wait::{PATIENCE, until, within};
use support::{make_room, say};

/// How soon a place that came free must be had. "At once", as far as a busy machine can say that.
const AT_ONCE: Duration = Duration::from_secs(2);

fn try_open(server: &Server, topic: &str) -> Result<Stream, Response> {
    Stream::on(Client::connect(server.addr()), topic, None)
}

/// Checks a refusal at a limit: what it says, and when to come again.
fn full(response: &Response, status: u16, kind: &str, words: &[&str]) {
    response.problem(status, kind, words);
    assert_eq!(response.head.header("retry-after"), Some("60"), "{response:?}");
}

/// Opens a stream as soon as there is room; says how long that took.
fn let_in(server: &Server, topic: &str) -> (Stream, Duration) {
    let started = Instant::now();
    let stream = within(AT_ONCE, "a free place", || try_open(server, topic).map_err(|no| format!("{no:?}")));
    (stream, started.elapsed())
}

/// Proves S3.
#[test]
fn stream_1001_is_refused_and_let_in_when_any_other_goes() {
    const STREAMS: usize = 1000;
    make_room(4096);
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let before = server.open_sockets();
    let mut streams: Vec<Stream> =
        (0..STREAMS).map(|n| Stream::open(&server, &format!("t/{}", n % 7))).collect();
    let words = ["1000 streams are open", "close one", "--max-connections"];
    for _ in 0..3 {
        let refusal = try_open(&server, "t/0").err().expect("1000 are open");
        full(&refusal, 503, "too-many-streams", &words);
    }

    // Everything else answers as before, and a reader gets what is published.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let limits = server.limits();
    assert_eq!((limits.used("http.streams"), limits.limit("http.streams")), (1000, 1000));
    assert_eq!((limits.rejected("http.streams"), limits.used("hub.subscribers")), (3, 1000));
    let id = server.publish("t/3", "to a full house");
    for stream in streams.iter_mut().skip(3).step_by(7).take(3) {
        assert_eq!(stream.next().id, Some(id));
    }

    // Whoever goes, wherever it stood and however it goes, makes room for one and not for two.
    type Way = (&'static str, fn(Stream));
    let ways: [Way; 3] = [
        ("closed", |stream| drop(stream)),
        ("reset", Stream::reset),
        ("shut for writing", |stream| {
            // Kept open for reading until the service ends it.
            stream.shut_writing();
            stream.until_ended();
        }),
    ];
    for (nth, (name, go)) in ways.into_iter().cycle().take(12).enumerate() {
        go(streams.swap_remove(nth * 83));
        let (stream, took) = let_in(&server, "t/0");
        streams.push(stream);
        full(&try_open(&server, "t/0").err().expect("full again"), 503, "too-many-streams", &words);
        if nth < 3 {
            say(&format!("stream 1001 was let in {took:?} after another was {name}"));
        }
    }

    // All of them together, and nothing of them is kept.
    let resident = server.resident();
    drop(streams);
    until_used(&server, PATIENCE, "http.streams", 0);
    until_open_sockets(&server, before);
    let limits = server.limits();
    assert_eq!((limits.used("hub.subscribers"), limits.peak("http.streams")), (0, 1000));
    say(&format!("1000 streams: {} KiB resident", resident.now >> 10));
}

/// Proves S3.
#[test]
fn connection_1065_is_told_to_come_again() {
    make_room(4096);
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let before = server.open_sockets();
    let streams: Vec<Stream> = (0..1000).map(|_| Stream::open(&server, "t")).collect();
    // The 64 that are kept for the API: each has been answered, and stays open.
    let mut api: Vec<Client> = (0..64)
        .map(|_| {
            let mut client = Client::connect(server.addr());
            assert_eq!(client.ask(&Request::new("GET", "/healthz")).status, 200);
            client
        })
        .collect();
    for path in ["/api/v1/limits", "/stream/t", "/nowhere"] {
        let mut surplus = Client::connect(server.addr());
        let refusal = surplus.ask(&Request::new("GET", path));
        full(&refusal, 503, "too-many-connections", &["1064 connections are open", "close one"]);
        assert_eq!(refusal.head.header("connection"), Some("close"));
        surplus.until_ended();
    }
    // A health check that failed because the service is busy would get it killed.
    for path in ["/healthz", "/readyz"] {
        let mut surplus = Client::connect(server.addr());
        assert_eq!(surplus.ask(&Request::new("GET", path)).status, 200, "{path}");
        surplus.until_ended();
    }
    // Those that are in go on being answered.
    for client in &mut api {
        assert_eq!(client.ask(&Request::new("GET", "/readyz")).status, 200);
    }
    drop(api.pop());
    within(AT_ONCE, "the place of a connection that was closed", || {
        match Client::connect(server.addr()).ask(&Request::new("GET", "/api/v1/limits")).status {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    drop((streams, api));
    until_open_sockets(&server, before);
    let limits = server.limits();
    assert_eq!(limits.peak("http.connections"), 1064);
    assert!(limits.rejected("http.connections") >= 3);
}

/// Proves S3. A flood of connections: what is over the limit is answered or closed, and the service is as it
/// was when the flood is over.
#[test]
fn a_flood_of_connections_leaves_nothing() {
    make_room(4096);
    let flags = ["--max-connections", "20", "--http-api-connections", "4", "--http-header-timeout", "500ms"];
    let server = Server::start(&flags);
    let before = server.open_sockets();
    let resident = server.resident().now;
    let mut most = 0;
    for round in 0..4 {
        // Some say nothing, some half a head; none is answered in time, so the places are taken.
        let mut flood: Vec<Client> = (0..500).map(|_| Client::connect(server.addr())).collect();
        for client in flood.iter_mut().step_by(3) {
            // Those over the limit are closed already.
            let _ = client.try_send(b"GET /healthz HTTP/1.1\r\nHost: loc");
        }
        most = most.max(server.open_sockets());
        if round % 2 == 0 {
            // They go by themselves; else the service ends them, each in its time.
            flood.into_iter().for_each(Client::reset);
        } else {
            flood.iter_mut().for_each(Client::until_ended);
        }
    }
    until_open_sockets(&server, before);
    assert_eq!(server.get("/healthz").status, 200);
    // 24 connections and 64 refusals, and what was accepted and not yet looked at.
    assert!(most <= before + 24 + 64 + 2, "{most} sockets at the most, {before} before");
    let grown = server.resident().now.saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes are left of 2000 connections");
}

/// Proves S3.
#[test]
fn places_are_counted_exactly_however_readers_go() {
    let server = Server::start(&["--max-connections", "20"]);
    let before = server.open_sockets();
    for round in 0..10 {
        let mut streams: Vec<Stream> = (0..20).map(|_| let_in(&server, "t").0).collect();
        full(&try_open(&server, "t").err().expect("20 are open"), 503, "too-many-streams", &["20 streams"]);
        server.publish("t", "one for all");
        assert!(streams.iter_mut().all(|stream| stream.next().data == "one for all"), "round {round}");
        for (nth, stream) in streams.into_iter().enumerate() {
            if nth % 2 == 0 { drop(stream) } else { stream.reset() }
        }
    }
    until_used(&server, PATIENCE, "http.streams", 0);
    until_open_sockets(&server, before);
    assert_eq!(server.limits().used("hub.subscribers"), 0);
}

/// Proves S3. Whatever a reader sent behind its request, its place is free when it goes, and its stream goes on
/// while it stays.
#[test]
fn a_reader_that_sent_more_than_its_request_frees_its_place_too() {
    let server = Server::start(&["--max-connections", "5"]);
    let more = ["\r\n", "x", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"];
    for (nth, more) in more.into_iter().cycle().take(12).enumerate() {
        let mut client = Client::connect(server.addr());
        let request = Request::new("GET", "/stream/t").bytes(server.addr());
        client.send(&[&request, more.as_bytes()].concat());
        assert_eq!(client.head().status, 200);
        client.send(b"and more, later");
        let mut reader = Stream::open(&server, "t");
        server.publish("t", "for both");
        assert_eq!(reader.next().data, "for both");
        assert_eq!(server.limits().used("http.streams"), 2);
        drop(reader);
        if nth % 2 == 0 {
            drop(client)
        } else {
            client.reset()
        }
        until_used(&server, AT_ONCE, "http.streams", 0);
    }
    // What it sends is thrown away, however much it is.
    let mut client = Client::connect(server.addr());
    client.begin(&Request::new("GET", "/stream/t"));
    (0..100).for_each(|_| client.send(&[b'x'; 64 << 10]));
    assert_eq!(client.head().status, 200);
    assert!(server.resident().peak < 40 << 20, "{:?}", server.resident());
    drop(client);
    until_used(&server, AT_ONCE, "http.streams", 0);
    // `HEAD` asks for no stream.
    (0..10).for_each(|_| assert_eq!(server.ask(&Request::new("HEAD", "/stream/t")).status, 200));
    until_used(&server, AT_ONCE, "http.streams", 0);
}

/// A client that takes no answers is cut, whether they are one stream or many small ones; one to whom there is
/// nothing to say is not.
///
/// Proves S3.
#[test]
fn who_takes_nothing_for_too_long_is_cut() {
    let server = Server::start(&["--http-user-timeout", "500ms"]);
    let before = server.open_sockets();
    let idle = Stream::open(&server, "nothing/to/say");
    let connect = || Client::connect_with(server.addr(), Some(4096));
    let mut many = connect();
    let request = Request::new("GET", "/api/v1/limits").bytes(server.addr());
    // More answers than the sockets hold; it may be cut before it has asked for all.
    let _ = many.try_send(&request.repeat(2000));
    // Over its socket and within its limit of lag: it is not the hub that ends it.
    let stalled = Stream::on(connect(), "t", None).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let body = text("x", 4 << 10);
    (1..=90).for_each(|nth| assert_eq!(server.publish("t", &body).offset, nth));
    until_used(&server, PATIENCE, "http.streams", 1);
    until_open_sockets(&server, before + 1);
    let limits = server.limits();
    assert_eq!((limits.used("http.streams"), limits.counter("hub.subscribers", "evicted_stalled")), (1, 0));
    many.until_ended();
    stalled.until_ended();
    let mut idle = idle;
    server.publish("nothing/to/say", "still here");
    assert_eq!(idle.next().data, "still here");
}

/// Proves S7.
#[test]
fn topic_1001_is_refused_until_another_is_forgotten() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let mut client = Client::connect(server.addr());
    let mut publish = |topic: &str| client.ask(&Request::new("POST", &format!("/publish/{topic}")).body("x"));
    for n in 0..1000 {
        assert_eq!(publish(&format!("topic/{n}")).status, 202, "{n}");
    }
    let words = ["1000"];
    full(&publish("topic/1000"), 429, "too-many-topics", &words);
    full(&try_open(&server, "topic/1000").err().expect("it would be made"), 429, "too-many-topics", &words);
    // Those that exist are as before.
    assert_eq!(publish("topic/999").status, 202);
    assert_eq!(Stream::open(&server, "topic/0").next().data, "x");
    let limits = server.limits();
    assert_eq!((limits.used("hub.topics"), limits.rejected("hub.topics")), (1000, 2));
    // The stream that was refused holds no place.
    until_used(&server, PATIENCE, "http.streams", 0);
}

/// Proves S7.
#[test]
fn a_topic_that_nobody_uses_makes_room_for_another() {
    let flags = ["--hub-topics-max", "5", "--hub-topic-idle", "1s", "--log-level", "warn"];
    let server = Server::start(&flags);
    // One that was only read goes with its reader.
    let readers: Vec<Stream> = (0..5).map(|n| Stream::open(&server, &format!("read/{n}"))).collect();
    full(&try_open(&server, "read/5").err().expect("5 exist"), 429, "too-many-topics", &["5"]);
    drop(readers);
    until_used(&server, AT_ONCE, "hub.topics", 0);

    // One that was written to stays for as long as is set, longer while it is read.
    let kept = Stream::open(&server, "kept");
    for n in 0..4 {
        server.publish(&format!("written/{n}"), "x");
    }
    let refusal = server.ask(&Request::new("POST", "/publish/one-more").body("x"));
    full(&refusal, 429, "too-many-topics", &["5"]);
    until_used(&server, PATIENCE, "hub.topics", 1);
    assert_eq!(server.limits().counter("hub.topics", "expired"), 4);
    server.publish("one-more", "x");
    drop(kept);
    until_used(&server, PATIENCE, "hub.topics", 0);
    let limits = server.limits();
    assert_eq!((limits.used("hub.bytes"), limits.peak("hub.topics")), (0, 5));
}

/// A reader that takes nothing is sent away for the good of the others, and its socket with it; one that takes
/// everything late is not.
///
/// Proves S1.
#[test]
fn only_the_reader_that_stands_still_is_evicted() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let mut reader = Stream::open(&server, "t");
    let stalled = Stream::on(Client::connect_with(server.addr(), Some(4096)), "t", None);
    let stalled = stalled.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let end =
        |port: u16| kernel::sockets_at(server.addr().port()).into_iter().find(|end| end.peer_port == port);
    let body = text("x", 8 << 10);
    let mut published = 0;
    // As fast as one publisher can, until the hub has judged; the reader keeps up.
    let mut unsent = 0;
    within(PATIENCE, "the eviction", || {
        for _ in 0..10 {
            server.publish("t", &body);
            published += 1;
            assert_eq!(reader.next().offset(), published);
        }
        unsent = end(stalled.port()).map_or(0, |end| end.unsent_bytes).max(unsent);
        match server.limits().counter("hub.subscribers", "evicted_stalled") {
            1 => Ok(()),
            count => Err(format!("{count} evicted after {published} events, {unsent} bytes unsent")),
        }
    });
    assert!(unsent > 32 << 10, "{unsent} bytes stood in its socket");
    until("its socket to be closed", || match end(stalled.port()) {
        Some(end) if end.state == ESTABLISHED => Err(format!("{end:?}")),
        _ => Ok(()),
    });
    until_used(&server, AT_ONCE, "http.streams", 1);
    server.publish("t", "still here");
    assert_eq!(reader.next().data, "still here");
}

/// A reader that keeps reading is never evicted for the kernel's sake. With a small send buffer a healthy
/// reader's socket is full for tens of milliseconds at a time, whenever its acknowledgement is delayed; bursts
/// of more events than a reader may lag put all of them over their limit at that moment.
///
/// Proves S1.
#[test]
fn healthy_readers_with_small_send_buffers_stay() {
    const READERS: usize = 20;
    const BURSTS: usize = 50;
    const BURST: usize = 40;
    const PUBLISHERS: usize = 4;
    let flags = ["--memory-limit", "64MiB", "--http-send-buffer", "32KiB", "--hub-queue-events-max", "20"];
    let server = Server::start(&flags);
    let request = Request::new("POST", "/publish/t").body(text("burst", 4 << 10)).bytes(server.addr());
    let burst = request.repeat(BURST);
    let (end, all_got) = thread::scope(|scope| {
        // Half of them with a small receive buffer too, which is full after a few events.
        let reader = |nth: usize| {
            let client = Client::connect_with(server.addr(), nth.is_multiple_of(2).then_some(16 << 10));
            Stream::on(client, "t", None).unwrap_or_else(|refusal| panic!("{refusal:?}"))
        };
        let streams: Vec<Stream> = (0..READERS).map(reader).collect();
        let readers: Vec<_> =
            streams.into_iter().map(|stream| scope.spawn(move || read_to_end(stream, |_, _| {}))).collect();
        let mut clients: Vec<Client> = (0..PUBLISHERS).map(|_| Client::connect(server.addr())).collect();
        let started = Instant::now();
        for nth in 0..BURSTS {
            // The pace is what is asked for here: there is no event to wait for.
            let due = started + Duration::from_millis(100) * nth as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            clients.iter_mut().for_each(|client| client.send(&burst));
            for client in &mut clients {
                (0..BURST).for_each(|_| assert_eq!(client.response().status, 202));
            }
        }
        let end = publish_end(&mut clients[0], "t");
        (end, readers.into_iter().map(join).collect::<Vec<_>>())
    });
    let limits = server.limits();
    for reason in ["evicted_stalled", "evicted_overrun", "gaps"] {
        assert_eq!(limits.counter("hub.subscribers", reason), 0, "{reason}: {all_got:?}");
    }
    assert_eq!(end.offset, (BURSTS * PUBLISHERS * BURST) as u64 + 1);
    for (nth, got) in all_got.iter().enumerate() {
        let got = got.as_ref().unwrap_or_else(|error| panic!("reader {nth}: {error}"));
        assert_eq!((got.first, got.last), (1, end.offset), "reader {nth}");
        assert_eq!(Ok(got), all_got[0].as_ref(), "reader {nth}");
    }
    let critical = limits.counter("hub.subscribers", "lag_critical");
    say(&format!("{READERS} healthy readers were near their limit {critical} times, and none was evicted"));
    assert!(critical > 0, "the bursts put nobody over the limit");
}
