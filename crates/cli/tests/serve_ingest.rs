//! Bodies on their way through `plimsoll serve`: what is told of them, when, and under whose name. A live log is
//! told of while it is being written, and a body of any shape is cut the same however it came.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use support::http::{Client, Request, Response};
use support::load::{Bytes, join};
use support::say;
use support::server::{Server, published, until_used};
use support::stream::{Event, Stream};
use support::wait::{PATIENCE, until};

/// The digest of nothing.
const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
/// How late a line may be read that was written to a live source: a second, and what a busy machine adds.
const LIVE_MAX: Duration = Duration::from_secs(3);

fn ingest(target: &str) -> Request {
    Request::new("PUT", &format!("/ingest/{target}"))
}

/// Sends one chunk of a chunked body.
fn send_chunk(client: &mut Client, bytes: &[u8]) {
    client.send(format!("{:x}\r\n", bytes.len()).as_bytes());
    client.send(bytes);
    client.send(b"\r\n");
}

/// Reads the events of one ingest to its summary; checks that the chunks follow one another and add up.
fn chunks(reader: &mut Stream) -> (Vec<Json>, Json) {
    let mut chunks: Vec<Json> = Vec::new();
    let (mut length, mut lines) = (0, 0);
    loop {
        let event = reader.next();
        let facts = event.json();
        let number = |name: &str| facts[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event:?}"));
        if event.kind == "summary" {
            let told = (number("chunks"), number("length_bytes"), number("lines"));
            assert_eq!(told, (chunks.len() as u64, length, lines), "{event:?}");
            return (chunks, facts);
        }
        assert_eq!(event.kind, "chunk", "{event:?}");
        assert_eq!((number("seq"), number("offset_bytes")), (chunks.len() as u64, length), "{event:?}");
        length += number("length_bytes");
        lines += number("lines");
        chunks.push(facts);
    }
}

fn summary(response: &Response) -> Json {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

#[test]
fn a_body_is_cut_the_same_however_it_comes() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let body = Bytes::new(5).take(3 << 20);
    let mut reader = Stream::open(&server, "t");
    let whole = summary(&server.ask(&ingest("t").body(&body)));
    let (first, told) = chunks(&mut reader);
    assert_eq!(whole["blake3"], blake3::hash(&body).to_string());
    assert_eq!((&whole["length_bytes"], &told["blake3"]), (&(3 << 20).into(), &whole["blake3"]));
    // Each chunk is the part of the body that it says it is.
    for chunk in &first {
        let number = |name: &str| chunk[name].as_u64().unwrap_or_default() as usize;
        let (start, length) = (number("offset_bytes"), number("length_bytes"));
        let part = &body[start..start + length];
        assert_eq!(chunk["blake3"], blake3::hash(part).to_string(), "{chunk}");
        assert_eq!(number("lines"), memchr::memchr_iter(b'\n', part).count(), "{chunk}");
        let last = start + length == body.len();
        assert!((16 << 10..=256 << 10).contains(&length) || last, "{chunk}");
    }
    // In odd pieces, by the other method.
    let mut client = Client::connect(server.addr());
    client.begin(&Request::new("POST", "/ingest/t").header("Transfer-Encoding", "chunked"));
    let mut left = &body[..];
    while !left.is_empty() {
        let (piece, rest) = left.split_at(left.len().min(7919));
        send_chunk(&mut client, piece);
        left = rest;
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(summary(&client.response()), whole);
    let (second, _) = chunks(&mut reader);
    let bare = |chunks: &[Json]| -> Vec<Json> {
        let mut chunks = chunks.to_vec();
        for chunk in &mut chunks {
            chunk
                .as_object_mut()
                .and_then(|facts| facts.remove("correlation_id"))
                .expect("each says whose it is");
        }
        chunks
    };
    assert_eq!(bare(&first), bare(&second));
    // Nothing is a body too.
    let nothing = summary(&server.ask(&ingest("t").body("")));
    assert_eq!((&nothing["chunks"], &nothing["blake3"]), (&0.into(), &EMPTY.into()));
    assert_eq!(chunks(&mut reader).0.len(), 0);
}

#[test]
fn a_live_log_is_told_of_while_it_is_written() {
    let server = Server::start::<&str>(&[]);
    let mut reader = Stream::open(&server, "log");
    let mut client = Client::connect(server.addr());
    client.begin(&ingest("log?split=lines").header("Transfer-Encoding", "chunked"));
    let (mut body, mut latest) = (String::new(), Duration::ZERO);
    for nth in 0..3 {
        // A line and the beginning of the next one, which is not told of before it is whole.
        let (rest, begun) = (format!("the {nth}th line\n"), "and ");
        let line = if nth == 0 { rest } else { rest.trim_start().to_owned() };
        let wrote = Instant::now();
        send_chunk(&mut client, format!("{line}{begun}").as_bytes());
        let event = reader.next();
        latest = latest.max(wrote.elapsed());
        assert!(wrote.elapsed() < LIVE_MAX, "{:?}", wrote.elapsed());
        let facts = event.json();
        let length = if nth == 0 { line.len() } else { line.len() + begun.len() };
        assert_eq!(
            (
                event.kind.as_str(),
                &facts["seq"],
                &facts["lines"],
                &facts["length_bytes"],
                &facts["offset_bytes"]
            ),
            (
                "chunk",
                &nth.into(),
                &1.into(),
                &length.into(),
                &(body.len() - if nth == 0 { 0 } else { begun.len() }).into()
            )
        );
        body += &format!("{line}{begun}");
        // The upload is open: there is no answer, and it holds its turn and no more than its window.
        assert_eq!(server.limits().counter("processor.in_flight", "processors"), 1);
    }
    client.send(b"0\r\n\r\n");
    let answer = summary(&client.response());
    assert_eq!((&answer["lines"], &answer["chunks"]), (&3.into(), &4.into()));
    assert_eq!(answer["blake3"], blake3::hash(body.as_bytes()).to_string());
    assert_eq!(reader.next().json()["lines"], 0);
    assert_eq!(reader.next().kind, "summary");
    say(&format!("a line of a live log was read {latest:.1?} after it was written, at the latest"));
}

#[test]
fn two_bodies_on_one_topic_are_told_apart() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let mut reader = Stream::open(&server, "t");
    let names = ["left", "right", "third"];
    let answers: Vec<Json> = thread::scope(|scope| {
        let send = |seed: usize| {
            let server = &server;
            scope.spawn(move || {
                let body = Bytes::new(seed as u64).take((2 + seed) << 20);
                let answer =
                    summary(&server.ask(&ingest("t").header("X-Correlation-Id", names[seed]).body(&body)));
                assert_eq!(answer["blake3"], blake3::hash(&body).to_string());
                answer
            })
        };
        let sending: Vec<_> = (0..names.len()).map(send).collect();
        sending.into_iter().map(join).collect()
    });
    // Each body's own events are in their order, whatever stands between them.
    let mut at = vec![(0, 0); names.len()];
    let mut open = names.len();
    while open > 0 {
        let event = reader.next();
        let facts = event.json();
        let whose = names.iter().position(|name| facts["correlation_id"] == *name);
        let (seq, offset) = &mut at[whose.unwrap_or_else(|| panic!("whose is {event:?}"))];
        if event.kind == "summary" {
            assert_eq!((&facts["chunks"], &facts["length_bytes"]), (&Json::from(*seq), &Json::from(*offset)));
            assert_eq!(facts["blake3"], answers[whose.expect("just found")]["blake3"]);
            open -= 1;
            continue;
        }
        assert_eq!(
            (&facts["seq"], &facts["offset_bytes"]),
            (&Json::from(*seq), &Json::from(*offset)),
            "{event:?}"
        );
        *seq += 1;
        *offset += facts["length_bytes"].as_u64().expect("a number");
    }
}

/// More bodies than fit into the pool wait for their turn, or are told when there is none in time.
#[test]
fn a_body_that_does_not_fit_waits_its_turn() {
    let flags = ["--memory-limit", "64MiB", "--pool-limit", "6MiB", "--ingest-acquire-timeout", "500ms"];
    let server = Server::start(&flags);
    let begin = |topic: &str| {
        let mut client = Client::connect(server.addr());
        client.begin(&ingest(topic).header("Content-Length", 8));
        client.send(b"half");
        client
    };
    let mut both = [begin("a"), begin("b")];
    for topic in ["a", "b"] {
        server.logged(&["ingest begins", &format!("topic={topic}")]);
    }
    let mut third = begin("c");
    let refusal = third.response();
    refusal.problem(503, "no-memory", &["500ms", "--pool-limit"]);
    assert_eq!(refusal.head.header("retry-after"), Some("5"));
    // One ends, and who waits for it is next.
    let mut fourth = begin("d");
    both[0].send(b"full");
    assert_eq!(summary(&both[0].response())["length_bytes"], 8);
    server.logged(&["ingest begins", "topic=d"]);
    fourth.send(b"full");
    assert_eq!(summary(&fourth.response())["length_bytes"], 8);
    both[1].send(b"full");
    assert_eq!(summary(&both[1].response())["length_bytes"], 8);
    until_used(&server, PATIENCE, "processor.in_flight", 0);
}

/// Proves D7.
#[test]
fn one_id_stands_on_answer_events_errors_and_log_lines() {
    let server = Server::start(&["--log-format", "json", "--log-level", "debug"]);
    let mut reader = Stream::open(&server, "t");
    let id_of = |response: &Response| response.head.header("x-correlation-id").unwrap_or_default().to_owned();
    let body = Bytes::new(6).take(1 << 20);

    // An ingest: the answer, each event, each line.
    let answer = server.ask(&ingest("t").header("X-Correlation-Id", "job-17.a_B").body(&body));
    assert_eq!((answer.status, id_of(&answer)), (200, "job-17.a_B".to_owned()));
    let (chunks, told) = chunks(&mut reader);
    assert!(!chunks.is_empty());
    assert!(chunks.iter().chain([&told]).all(|facts| facts["correlation_id"] == "job-17.a_B"), "{chunks:?}");

    // An error: the answer, the problem, each line.
    let refusal = server.ask(&ingest("a//b").header("X-Correlation-Id", "job-18").body("x"));
    assert_eq!(
        (refusal.status, id_of(&refusal), &refusal.json()["correlation_id"]),
        (400, "job-18".into(), &"job-18".into())
    );

    // An event that was published, and a stream.
    let request = Request::new("POST", "/publish/t").header("X-Correlation-Id", "job-19").body("x");
    let answer = server.ask(&request);
    assert_eq!(id_of(&answer), "job-19");
    published(&answer);
    assert_eq!(reader.next().data, "x");

    // One that its sender gave up.
    let mut client = Client::connect(server.addr());
    client.begin(&ingest("t").header("X-Correlation-Id", "job-20").header("Content-Length", 100));
    client.send(b"half");
    server.logged(&["ingest begins", "job-20"]);
    client.reset();
    let aborted = reader.next();
    assert_eq!((aborted.kind.as_str(), &aborted.json()["correlation_id"]), ("aborted", &"job-20".into()));

    // One is made when there is none, or none that can stand in a log.
    let long = "x".repeat(129);
    let mut made = Vec::new();
    for given in [None, Some(""), Some("two words"), Some("{\"a\":1}"), Some("\u{fc}"), Some(&*long)] {
        let request = Request::new("GET", "/healthz");
        let request = match given {
            Some(given) => request.header("X-Correlation-Id", given),
            None => request,
        };
        let id = id_of(&server.ask(&request));
        assert!(id.len() == 36 && Some(&*id) != given && !made.contains(&id), "{id}");
        made.push(id);
    }
    let stream_id = reader.head.header("x-correlation-id").unwrap_or_default().to_owned();
    assert_eq!(stream_id.len(), 36);

    let lines = |log: &str| -> Vec<Json> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        log.lines().map(line).collect()
    };
    until("the last line of the last request", || match server.log() {
        log if log.contains("\"ingest aborted\"") => Ok(()),
        log => Err(log),
    });
    drop(reader);
    let log = lines(&server.stop().log);
    let of = |id: &str| -> Vec<String> {
        let of_it = log.iter().filter(|line| line["correlation_id"] == id);
        of_it.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(of("job-17.a_B"), ["ingest begins", "ingest done"]);
    assert_eq!(of("job-18"), ["refused"]);
    assert_eq!(of("job-19"), ["published"]);
    assert_eq!(of("job-20"), ["ingest begins", "body broke off", "ingest aborted", "refused"]);
    assert_eq!(of(&stream_id), ["stream opened"]);
    // What belongs to no request says nothing of one.
    for line in log.iter().filter(|line| line["correlation_id"].is_null()) {
        let target = line["target"].as_str().unwrap_or_default();
        assert!(
            !target.contains("ingest") && !target.contains("publish") && line["topic"].is_null(),
            "{line}"
        );
    }
    // And every line has its time, its level and its place.
    for line in &log {
        assert!(
            ["timestamp", "level", "target", "message"].iter().all(|name| line[name].is_string()),
            "{line}"
        );
    }
}

/// What is told of a body goes to whoever reads at the time, and to who comes back for it.
#[test]
fn the_story_of_a_body_is_kept_for_who_comes_back() {
    let server = Server::start::<&str>(&[]);
    let body = Bytes::new(7).take(1 << 20);
    let before = server.publish("t", "before");
    let answer = summary(&server.ask(&ingest("t").body(&body)));
    let mut reader = Stream::open_after(&server, "t", Some(&before.to_string()));
    let (chunks, told) = chunks(&mut reader);
    assert_eq!(
        (&told["blake3"], chunks.len()),
        (&answer["blake3"], answer["chunks"].as_u64().unwrap_or(0) as usize)
    );
    // A newcomer sees how it ended.
    let newcomer: Event = Stream::open(&server, "t").next();
    assert_eq!((newcomer.kind.as_str(), &newcomer.json()["blake3"]), ("summary", &answer["blake3"]));
}
