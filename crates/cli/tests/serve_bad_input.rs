//! Requests that are wrong. Each is told what is wrong and what to do, none makes the service panic, and
//! nothing of one is kept: no buffer, no topic, no place, no descriptor. (That it never panicked is looked up
//! in its log when it is stopped.)

mod support;

use std::time::{Duration, Instant};

use support::http::{Client, Request, Response, is_timeout};
use support::load::Bytes;
use support::server::{Server, until_open_sockets, until_used};
use support::stream::{Id, Stream};
use support::wait::{PATIENCE, until_equal};

/// A service, and what it had open before anybody came.
struct House {
    server: Server,
    sockets: usize,
}

impl House {
    fn new(arguments: &[&str]) -> House {
        let server = Server::start(arguments);
        let sockets = server.open_sockets();
        House { server, sockets }
    }

    fn ask(&self, request: &Request) -> Response {
        self.server.ask(request)
    }

    /// Checks that nothing of any request is left but `topics` topics.
    fn keeps_nothing_but(&self, topics: u64) {
        until_open_sockets(&self.server, self.sockets);
        let rows = [
            "http.streams",
            "hub.subscribers",
            "processor.in_flight",
            "ingest.at_once",
            "pool.waiters",
            "budget.waiters",
        ];
        for row in rows {
            until_used(&self.server, PATIENCE, row, 0);
        }
        until_equal("buffers in use", 0, || self.server.limits().counter("pool.bytes", "active"));
        until_used(&self.server, PATIENCE, "http.connections", 1);
        assert_eq!(self.server.limits().used("hub.topics"), topics);
    }

    fn keeps_nothing(&self) {
        self.keeps_nothing_but(0);
        assert_eq!(self.server.limits().used("hub.bytes"), 0);
    }
}

fn publish(topic: &str) -> Request {
    Request::new("POST", &format!("/publish/{topic}"))
}

fn ingest(topic: &str) -> Request {
    Request::new("PUT", &format!("/ingest/{topic}"))
}

/// One chunk of a chunked body.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

#[test]
fn what_is_no_topic_is_refused_with_the_rule() {
    let house = House::new(&[]);
    let (long, longer) = ("x".repeat(201), "x/".repeat(150));
    for (topic, word) in [
        ("", "it is empty"),
        (&*long, "201 bytes"),
        (&*longer, "300 bytes"),
        ("/a", "an empty segment"),
        ("a/", "an empty segment"),
        ("a//b", "an empty segment"),
        ("..", "`.` or `..`"),
        ("a/../b", "`.` or `..`"),
        ("%2e%2e/b", "`.` or `..`"),
        ("a%2F..%2Fb", "`.` or `..`"),
        ("a%0d%0ab", "'\\r' at byte 1"),
        ("%00", "'\\0' at byte 0"),
        ("%7f", "at byte 0"),
        ("a%20b", "' ' at byte 1"),
        ("na%C3%AFve", "at byte 2"),
        ("a*", "'*' at byte 1"),
        ("%", "'%' at byte 0"),
        ("%F0%9F", "not UTF-8"),
        ("a%FFb", "not UTF-8"),
    ] {
        let stream = Request::new("GET", &format!("/stream/{topic}"));
        for request in [publish(topic).body("x"), ingest(topic).body("x"), stream] {
            let detail = house.ask(&request).problem(400, "invalid-topic", &[word, "1 to 200 bytes"]);
            assert!(!detail.contains(['\n', '\r', '\0']) && detail.len() < 300, "{detail:?}");
        }
    }
    // No slash at all names no topic either.
    for (method, path) in [("POST", "/publish"), ("PUT", "/ingest"), ("GET", "/stream")] {
        house.ask(&Request::new(method, path)).problem(400, "invalid-topic", &["it is empty"]);
    }
    house.keeps_nothing();
    // A slash is a slash, escaped or not.
    assert_eq!(house.ask(&publish("a%2Fb").body("x")).status, 202);
    assert_eq!(Stream::open(&house.server, "a/b").next().data, "x");
}

#[test]
fn a_body_over_its_limit_is_refused_announced_or_not() {
    let house = House::new(&["--publish-body-limit", "1KiB", "--ingest-body-limit", "1MiB"]);
    let words = ["1KiB is the most", "in parts", "raise the limit"];
    house.ask(&publish("t").body(vec![b'x'; 1025])).problem(413, "body-too-large", &words);
    // An announcement is enough: nothing of the body is waited for.
    for (request, words) in [
        (publish("t").header("Content-Length", 1_u64 << 40), &["1099511627776 bytes", "1KiB is the most"]),
        (ingest("t").header("Content-Length", (1 << 20) + 1), &["1048577 bytes", "1MiB is the most"]),
        (
            ingest("t").header("Content-Length", u64::MAX / 2),
            &["9223372036854775807 bytes", "1MiB is the most"],
        ),
    ] {
        house.ask(&request).problem(413, "body-too-large", words);
    }
    house.keeps_nothing();
    // Unannounced it is found out while it comes.
    let reader = Stream::open(&house.server, "t");
    for (request, limit) in [(publish("t"), 1 << 10), (ingest("t"), 1 << 20)] {
        let mut client = Client::connect(house.server.addr());
        client.begin(&request.header("Transfer-Encoding", "chunked"));
        client.send(&chunk(&Bytes::new(1).take(limit)));
        client.send(&chunk(b"x"));
        client.response().problem(413, "body-too-large", &["is the most"]);
        client.until_ended();
    }
    aborted(reader, "body-too-large");
    // What is just within is taken.
    assert_eq!(house.ask(&publish("t").body(vec![b'x'; 1024])).status, 202);
    let taken = house.ask(&ingest("t").body(Bytes::new(1).take(1 << 20)));
    assert_eq!((taken.status, &taken.json()["length_bytes"]), (200, &(1 << 20).into()));
    house.keeps_nothing_but(1);
}

/// Reads the events of an ingest that came to nothing: chunks in their order, and then why there is no summary.
fn aborted(mut reader: Stream, reason: &str) {
    let (mut chunks, mut length) = (0, 0);
    loop {
        let event = reader.next();
        let facts = event.json();
        match event.kind.as_str() {
            "chunk" => {
                assert_eq!((&facts["seq"], &facts["offset_bytes"]), (&chunks.into(), &length.into()));
                chunks += 1;
                length += facts["length_bytes"].as_u64().expect("a number");
            }
            "aborted" => {
                assert_eq!(facts["reason"], reason, "{event:?}");
                assert_eq!((&facts["chunks"], &facts["length_bytes"]), (&chunks.into(), &length.into()));
                assert!(facts["correlation_id"].is_string(), "{event:?}");
                return;
            }
            _ => panic!("{event:?}"),
        }
    }
}

#[test]
fn a_broken_chunked_body_is_refused() {
    let house = House::new(&[]);
    for (nth, broken) in [
        &b"zz\r\nxx\r\n0\r\n\r\n"[..],
        b"-1\r\nx\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"5\r\nhello 5\r\nworld\r\n0\r\n\r\n",
        b"2\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nx",
        b"5;\0\n\0=\"\r\nhello\r\n0\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        for (kind, request) in [("publish", publish("t")), ("ingest", ingest("t"))] {
            let mut client = Client::connect(house.server.addr());
            client.begin(&request.header("Transfer-Encoding", "chunked"));
            client.send(broken);
            let response = client.try_response().unwrap_or_else(|error| panic!("{nth}, {kind}: {error}"));
            response.problem(400, "broken-body", &["not encoded as its headers say", "send it again"]);
            client.until_ended();
        }
    }
    // It was never the beginning of an event; what the ingests tell is that they came to nothing.
    house.keeps_nothing_but(1);
    assert_eq!(Stream::open(&house.server, "t").next().kind, "aborted");
}

#[test]
fn a_sender_that_vanishes_leaves_nothing_and_readers_are_told() {
    let house = House::new(&[]);
    let body = Bytes::new(2).take(3 << 20);
    for reset in [false, true] {
        for chunked in [false, true] {
            let topic = format!("vanished/{reset}/{chunked}");
            let reader = Stream::open(&house.server, &topic);
            for request in [publish(&topic), ingest(&topic)] {
                let mut client = Client::connect(house.server.addr());
                let part: &[u8] =
                    if request.bytes(house.server.addr()).starts_with(b"PUT") { &body } else { b"half" };
                if chunked {
                    client.begin(&request.header("Transfer-Encoding", "chunked"));
                    client.send(&chunk(part));
                } else {
                    client.begin(&request.header("Content-Length", part.len() + 1000));
                    client.send(part);
                }
                // Taken in as far as it came: the next byte is what it waits for.
                until_used(&house.server, PATIENCE, "http.connections", 3);
                if reset { client.reset() } else { drop(client) }
            }
            aborted(reader, "broken-body");
        }
    }
    house.keeps_nothing_but(4);
    // And room for as many whole bodies as before.
    assert_eq!(house.ask(&ingest("after").body(&body)).status, 200);
}

/// Gone after the last byte and before the answer: the readers are told how it ended all the same.
#[test]
fn a_sender_that_does_not_wait_for_the_answer_leaves_no_ingest_without_an_end() {
    let house = House::new(&[]);
    let body = Bytes::new(4).take(1 << 20);
    for round in 0..20 {
        let topic = format!("hasty/{round}");
        let mut reader = Stream::open(&house.server, &topic);
        let mut client = Client::connect(house.server.addr());
        client.begin(&ingest(&topic).body(&body));
        drop(client);
        let last = loop {
            match reader.next() {
                event if event.kind == "chunk" => {}
                event => break event.kind,
            }
        };
        assert!(["summary", "aborted"].contains(&last.as_str()), "{last}");
    }
    house.keeps_nothing_but(20);
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let house = House::new(&["--ingest-body-idle-timeout", "300ms"]);
    let reader = Stream::open(&house.server, "t");
    for request in [publish("t"), ingest("t")] {
        let mut client = Client::connect(house.server.addr());
        client.begin(&request.header("Content-Length", 10));
        client.send(b"half");
        let started = Instant::now();
        let words = ["no byte of the body for 300ms", "4B read", "without such pauses"];
        client.response().problem(408, "body-timeout", &words);
        assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
        client.until_ended();
    }
    aborted(reader, "body-timeout");
    house.keeps_nothing_but(1);
}

/// One that never pauses and never ends is given up as well: an event is held until it is whole.
#[test]
fn an_event_that_trickles_is_given_up() {
    let house = House::new(&["--publish-body-timeout", "500ms"]);
    let mut client = Client::connect(house.server.addr());
    client.begin(&publish("t").header("Content-Length", 100_000));
    let started = Instant::now();
    // Until the service has had enough: that its answer came is seen by a look that waits for a moment only.
    client.patience(Duration::from_millis(20));
    let refusal = loop {
        assert!(started.elapsed() < PATIENCE, "it is still waited for");
        let _ = client.try_send(b"x");
        match client.try_response() {
            Err(error) if is_timeout(&error) => {}
            ended => break ended,
        }
    };
    let refusal = refusal.unwrap_or_else(|error| panic!("no answer: {error}"));
    refusal.problem(408, "body-timeout", &["not whole within 500ms", "--publish-body-timeout"]);
    house.keeps_nothing();
}

#[test]
fn an_event_that_is_no_text_is_refused() {
    let house = House::new(&[]);
    let words = ["not UTF-8 from byte 2 on", "base64", "/ingest"];
    house.ask(&publish("t").body(b"ab\xff\xfe")).problem(400, "invalid-request", &words);
    let (long, cut) = ("x".repeat(101), "x".repeat(40));
    for (event_type, words) in [
        ("a\tb", &["control character", "1 to 100 characters"][..]),
        (&*long, &["too long", &*cut]),
        ("", &["it is empty"]),
        // By these the service itself tells readers what they lost.
        ("gap", &["gap, reset and evicted", "choose another"]),
        ("reset", &["gap, reset and evicted"]),
        ("evicted", &["gap, reset and evicted"]),
        ("\u{fc}ber", &["X-Event-Type is not plain text"]),
    ] {
        let request = publish("t").header("X-Event-Type", event_type).body("x");
        house.ask(&request).problem(400, "invalid-request", words);
    }
    // What would be a line of its own in the stream cannot come this way: a header ends at its line's end.
    let request = publish("t").header("X-Event-Type", "a\rdata: forged").body("x");
    assert_eq!(house.ask(&request).status, 400);
    house.keeps_nothing();
}

/// Proves S2. A place to go on from that is none is answered with a reset and all that is held.
#[test]
fn a_last_event_id_that_is_none_is_answered_with_a_reset() {
    let house = House::new(&[]);
    let first = house.server.publish("t", "one");
    let last = house.server.publish("t", "two");
    let other = Id { epoch: first.epoch + 1000, ..first };
    let future = Id { offset: 99, ..last };
    let huge = "9".repeat(8 << 10);
    for (id, reason) in [
        ("", "invalid_id"),
        ("junk", "invalid_id"),
        ("-", "invalid_id"),
        ("0-0-0", "invalid_id"),
        ("\u{fc}", "invalid_id"),
        (&*huge, "invalid_id"),
        (&*format!("{:x}-18446744073709551616", first.epoch), "invalid_id"),
        (&*future.to_string(), "invalid_id"),
        (&*other.to_string(), "unknown_epoch"),
        ("0-1", "unknown_epoch"),
    ] {
        let mut reader = Stream::open_after(&house.server, "t", Some(id));
        let reset = reader.next();
        assert_eq!((reset.kind.as_str(), reset.id), ("reset", None), "{id}: {reset:?}");
        let facts = reset.json();
        assert_eq!(facts["reason"], reason, "{id}: {reset:?}");
        assert_eq!(facts["oldest"], first.to_string());
        assert_eq!(facts["latest"], last.to_string());
        assert_eq!((reader.next().id, reader.next().id), (Some(first), Some(last)), "{id}");
    }
    assert_eq!(house.server.limits().counter("hub.subscribers", "resets"), 10);
    house.keeps_nothing_but(1);
}

/// Proves T1. No web page can drive a service on loopback: not by its own name, not by another's.
#[test]
fn a_foreign_host_or_origin_is_refused() {
    let house = House::new(&["--http-allowed-hosts", "plimsoll.internal"]);
    let addr = house.server.addr();
    let port = addr.port();
    for path in ["/healthz", "/api/v1/limits", "/stream/t", "/nowhere"] {
        for host in
            ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "localhost.evil"]
        {
            let request = Request::new("GET", path).header("Host", host);
            house.ask(&request).problem(403, "foreign-host", &[]);
        }
    }
    let foreign = publish("t").header("Host", "evil.example").body("x");
    let words = [&*addr.to_string(), "localhost", "http.allowed_hosts"];
    house.ask(&foreign).problem(403, "foreign-host", &words);
    let none = Request::new("GET", "/healthz").without_host();
    house.ask(&none).problem(400, "invalid-request", &["exactly one valid Host header"]);
    let empty = Request::new("GET", "/healthz").header("Host", "");
    house.ask(&empty).problem(400, "invalid-request", &["exactly one valid Host header"]);
    let two = Request::new("GET", "/healthz").header("Host", addr).header("Host", "evil.example");
    house.ask(&two).problem(400, "invalid-request", &["exactly one valid Host header"]);
    let absolute = Request::new("GET", "http://evil.example/healthz");
    house.ask(&absolute).problem(403, "foreign-host", &[]);

    for origin in
        ["http://evil.example", "null", "https://localhost:1", "http://127.0.0.1:1", "file://", "\u{fc}"]
    {
        for request in [publish("t").body("x"), Request::new("GET", "/stream/t"), ingest("t").body("x")] {
            let response = house.ask(&request.header("Origin", origin));
            response.problem(403, "foreign-origin", &["another origin", "the service's own address"]);
            let allows = response.head.headers.iter().any(|(name, _)| name.starts_with("access-control"));
            assert!(!allows, "{response:?}");
        }
    }
    house.keeps_nothing();

    for host in [&*format!("localhost:{port}"), "LOCALHOST", "127.0.0.1", "[::1]:80", "Plimsoll.Internal:443"]
    {
        let request = Request::new("GET", "/healthz").header("Host", host);
        assert_eq!(house.ask(&request).status, 200, "{host}");
    }
    let own = publish("t").header("Origin", format!("http://{addr}")).body("x");
    assert_eq!(house.ask(&own).status, 202);
}

#[test]
fn what_is_not_there_is_said() {
    let house = House::new(&[]);
    for path in ["/", "/nowhere", "/api/v1/limits/x", "/healthz/", "/publishh/t", "//", "/%00"] {
        house.ask(&Request::new("GET", path)).problem(404, "not-found", &["README.md"]);
    }
    for (method, path) in [
        ("GET", "/publish/t"),
        ("DELETE", "/ingest/t"),
        ("POST", "/stream/t"),
        ("OPTIONS", "/publish/t"),
        ("PUT", "/healthz"),
        ("BREW", "/api/v1/limits"),
    ] {
        let response = house.ask(&Request::new(method, path));
        response.problem(405, "method-not-allowed", &["README.md"]);
        let allows = response.head.headers.iter().any(|(name, _)| name.starts_with("access-control"));
        assert!(!allows, "{response:?}");
    }
    for query in
        ["split=rows", "split=", "split=lines&split=content", "splt=lines", "split=%FF", "split=Lines"]
    {
        let request = Request::new("PUT", &format!("/ingest/t?{query}")).body("x");
        house.ask(&request).problem(
            400,
            "invalid-request",
            &["`split` is `content` (the default) or `lines`"],
        );
    }
    house.keeps_nothing();
}

/// What is no HTTP at all is answered by its status alone, and the connection ends.
#[test]
fn a_head_that_is_no_head_ends_its_connection() {
    let house = House::new(&["--http-header-timeout", "500ms"]);
    let host = format!("Host: {}\r\n", house.server.addr());
    let many: String = (0..200).map(|n| format!("X-{n}: x\r\n")).collect();
    let large = "x".repeat(200 << 10);
    for (name, text, statuses) in [
        ("a space in the target", format!("GET /stream/a b HTTP/1.1\r\n{host}\r\n"), &[400][..]),
        ("a control character", format!("POST /publish/a\u{1}b HTTP/1.1\r\n{host}\r\n"), &[400]),
        ("a line end in the target", format!("GET /a\nb HTTP/1.1\r\n{host}\r\n"), &[400]),
        ("no version", format!("GET /healthz\r\n{host}\r\n"), &[400]),
        ("a large header", format!("GET /healthz HTTP/1.1\r\n{host}X: {large}\r\n\r\n"), &[431]),
        ("many headers", format!("GET /healthz HTTP/1.1\r\n{host}{many}\r\n"), &[431]),
        ("a long target", format!("GET /{large} HTTP/1.1\r\n{host}\r\n"), &[414, 431]),
        (
            "a length that is none",
            format!("POST /publish/t HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"),
            &[400],
        ),
        (
            "two lengths",
            format!("POST /publish/t HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            &[400],
        ),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        ("a binary", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".to_owned(), &[400]),
    ] {
        let mut client = Client::connect(house.server.addr());
        // It may be cut off before it was sent whole, and then its answer may be lost on the way.
        match (client.try_send(text.as_bytes()), client.try_head()) {
            (_, Ok(head)) => assert!(statuses.contains(&head.status), "{name}: {head:?}"),
            (sent, Err(error)) => {
                assert!(statuses.is_empty() || text.len() > 100 << 10, "{name}: {error}, sent: {sent:?}")
            }
        }
        client.until_ended();
    }
    // One that does not end, in its time.
    let mut slow = Client::connect(house.server.addr());
    slow.send(b"GET /healthz HTTP/1.1\r\nHost: ");
    slow.until_ended();
    house.keeps_nothing();
}

/// Whatever comes: a few thousand requests that were right before some of their bytes were changed.
#[test]
fn garbage_leaves_nothing() {
    let house = House::new(&["--ingest-body-idle-timeout", "200ms", "--http-header-timeout", "200ms"]);
    let addr = house.server.addr();
    let right = [
        publish("t/x").header("X-Event-Type", "note").body("line\nline").bytes(addr),
        ingest("t/x?split=lines").header("X-Correlation-Id", "a-1").body("one\ntwo\n").bytes(addr),
        [&*ingest("t/x").header("Transfer-Encoding", "chunked").bytes(addr), b"4\r\nbody\r\n0\r\n\r\n"]
            .concat(),
        Request::new("GET", "/stream/t/x")
            .header("Last-Event-ID", "1-1")
            .header("Connection", "close")
            .bytes(addr),
        Request::new("GET", "/api/v1/limits").bytes(addr),
    ];
    const SEED: u64 = 3;
    let mut random = Bytes::new(SEED);
    let mut number = move |below: usize| {
        let bytes = random.take(8);
        bytes.iter().fold(0, |number, byte| number * 256 + usize::from(*byte)) % below
    };
    for round in 0..2000 {
        let mut text = right[number(right.len())].clone();
        for _ in 0..=number(4) {
            let at = number(text.len());
            match number(4) {
                0 => text[at] = number(256) as u8,
                1 => text.truncate(at + 1),
                2 => text.insert(at, number(256) as u8),
                _ => drop(text.remove(at)),
            }
            if text.is_empty() {
                text.push(b'\n');
            }
        }
        let mut client = Client::connect(addr);
        client.patience(PATIENCE);
        // Cut off in the middle is an answer too.
        let _ = client.try_send(&text);
        match number(3) {
            0 => client.reset(),
            1 => client.shut_writing(),
            _ => drop(client),
        }
        if round % 500 == 0 {
            assert_eq!(house.server.get("/healthz").status, 200, "seed {SEED}, round {round}");
        }
    }
    until_open_sockets(&house.server, house.sockets);
    until_equal("buffers in use", 0, || house.server.limits().counter("pool.bytes", "active"));
    for row in ["http.streams", "hub.subscribers", "processor.in_flight"] {
        until_used(&house.server, PATIENCE, row, 0);
    }
    assert_eq!(house.server.get("/healthz").status, 200);
}
