//! The end of `plimsoll serve`. Whatever is open, a stop takes less than ten seconds and its code is 0: a
//! service manager that has to kill is told of a failure. Who reads is told; who does not is cut.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::http::{Client, Request};
use support::load::{Bytes, join, text};
use support::say;
use support::server::{Server, until_used};
use support::stream::{Order, Stream};
use support::wait::{PATIENCE, Raise, within};

/// A stop with nobody to wait for.
const SOON: Duration = Duration::from_secs(3);

fn small_reader(server: &Server, topic: &str) -> Stream {
    let stream = Stream::on(Client::connect_with(server.addr(), Some(4096)), topic, None);
    stream.unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Graceful: who waits for an event gets what there is, and is told that no more comes.
#[test]
fn readers_are_told_and_nobody_is_waited_for() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start::<&str>(&[]);
        let mut idle: Vec<Stream> = (0..20).map(|n| Stream::open(&server, &format!("t/{}", n % 3))).collect();
        let last = server.publish("t/0", "the last event");
        // Connections that only lie there are no reason to wait.
        let silent = Client::connect(server.addr());
        let mut asked = Client::connect(server.addr());
        assert_eq!(asked.ask(&Request::new("GET", "/readyz")).status, 200);
        let stopped = server.stop_by(signal);
        assert!(stopped.took < SOON, "{:?} with {signal:?}", stopped.took);
        for (nth, stream) in idle.iter_mut().enumerate() {
            if nth % 3 == 0 {
                assert_eq!(stream.next().id, Some(last));
            }
            let farewell = stream.farewell();
            assert_eq!(farewell["reason"], "closing", "{farewell}");
            assert_eq!(farewell["lag_events"], 0, "{farewell}");
        }
        drop((silent, asked));
        assert!(
            stopped.log.lines().last().is_some_and(|line| line.contains("stopped cut=0")),
            "{}",
            stopped.log
        );
    }
}

/// Events that were acknowledged are delivered before the end, and in their order.
#[test]
fn a_busy_stream_ends_in_order_with_its_farewell() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let mut streams: Vec<Stream> = (0..10).map(|_| Stream::open(&server, "t")).collect();
    let addr = server.addr();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Raise(&stop);
        // Publishes until it is refused or cut off; what was taken is what counts.
        let publishing = scope.spawn(|| {
            let mut client = Client::try_connect(addr, None).expect("it serves");
            let request = Request::new("POST", "/publish/t").body(text("x", 1 << 10)).bytes(addr);
            let mut taken = 0;
            while !stop.load(Ordering::Relaxed) {
                if client.try_send(&request).is_err() {
                    break;
                }
                match client.try_response() {
                    Ok(response) if response.status == 202 => taken += 1,
                    Ok(response) => {
                        response.problem(503, "shutting-down", &[]);
                        break;
                    }
                    Err(_) => break,
                }
            }
            taken
        });
        let readers: Vec<_> = streams
            .iter_mut()
            .map(|stream| {
                scope.spawn(move || {
                    let mut order = Order::default();
                    loop {
                        let event = stream.next();
                        match event.id {
                            Some(id) => order.take(id).expect("no gap"),
                            None => {
                                assert_eq!(
                                    (event.kind.as_str(), &event.json()["reason"]),
                                    ("evicted", &"closing".into())
                                );
                                assert_eq!(stream.try_next().expect("it ends as it should"), None);
                                return order.last.map_or(0, |id| id.offset);
                            }
                        }
                    }
                })
            })
            .collect();
        within(PATIENCE, "events to flow", || {
            match server.limits().counter("hub.bytes", "events_published") {
                events if events > 500 => Ok(()),
                events => Err(format!("{events}")),
            }
        });
        let stopped = server.stop();
        assert!(stopped.took < SOON, "{:?}", stopped.took);
        let taken = join(publishing);
        for reader in readers {
            let last = join(reader);
            // An answer may be lost on a connection that ends; an event that was acknowledged is not.
            assert!(last == taken || last == taken + 1, "{last} of {taken} events");
        }
        say(&format!("stopped in {:?} among {taken} events", stopped.took));
    });
}

/// Those who do not read, and bodies that do not end, are given their time and then cut.
#[test]
fn stalled_readers_and_open_bodies_are_cut_in_time() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    // Over their socket and within their limit, so that nobody evicts them: 60 events of 4 KiB.
    let stalled: Vec<Stream> = (0..10).map(|_| small_reader(&server, "t")).collect();
    let body = text("x", 4 << 10);
    (0..60).for_each(|_| assert!(server.publish("t", &body).offset > 0));
    let mut told = Stream::open(&server, "bodies");
    let mut bodies: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = Client::connect(server.addr());
            client.begin(&Request::new("PUT", "/ingest/bodies").header("Content-Length", 10 << 20));
            client.send(&Bytes::new(8).take(1 << 20));
            client
        })
        .collect();
    assert_eq!(told.next().kind, "chunk");
    until_used(&server, PATIENCE, "http.streams", 11);
    let stopped = server.stop();
    say(&format!("stopped in {:?} with 10 stalled readers and 3 open bodies", stopped.took));
    assert_eq!(stopped.log.matches("panicked").count(), 0);
    // The healthy reader among them was told: that no summary will come of each body, and why it ends.
    let mut aborted = 0;
    let farewell = loop {
        match told.next() {
            event if event.kind == "chunk" => {}
            event if event.kind == "aborted" => {
                assert_eq!(event.json()["reason"], "shutting-down");
                aborted += 1;
            }
            event => break event,
        }
    };
    assert_eq!(aborted, 3);
    assert_eq!((farewell.kind.as_str(), &farewell.json()["reason"]), ("evicted", &"closing".into()));
    for client in &mut bodies {
        client.response().problem(503, "shutting-down", &[]);
        client.until_ended();
    }
    stalled.into_iter().for_each(Stream::until_ended);
}

/// A body that was being taken in may end, and its readers get all of it before they are told of the end.
#[test]
fn a_body_on_its_way_may_end() {
    let server = Server::start(&["--memory-limit", "64MiB"]);
    let mut reader = Stream::open(&server, "t");
    let body = Bytes::new(9).take(2 << 20);
    let (first, second) = body.split_at(1 << 20);
    let mut client = Client::connect(server.addr());
    client.begin(&Request::new("PUT", "/ingest/t").header("Content-Length", body.len()));
    client.send(first);
    assert_eq!(reader.next().kind, "chunk");
    server.tell(Signal::TERM);
    server.logged(&["stopping"]);
    client.send(second);
    let answer = client.response();
    assert_eq!((answer.status, &answer.json()["blake3"]), (200, &blake3::hash(&body).to_string().into()));
    let summary = loop {
        match reader.next() {
            event if event.kind == "chunk" => {}
            event => break event,
        }
    };
    assert_eq!((summary.kind.as_str(), &summary.json()["blake3"]), ("summary", &answer.json()["blake3"]));
    assert_eq!(reader.farewell()["reason"], "closing");
    let stopped = server.ending();
    assert!(stopped.took < SOON, "{:?}", stopped.took);
}

/// A terminal and a supervisor often send a signal each: the second changes nothing, and a body that was on
/// its way may still end.
#[test]
fn a_second_signal_changes_nothing() {
    for second in [Signal::INT, Signal::TERM] {
        let server = Server::start::<&str>(&[]);
        let mut client = Client::connect(server.addr());
        client.begin(&Request::new("PUT", "/ingest/t").header("Content-Length", 8));
        client.send(b"half");
        server.logged(&["ingest begins"]);
        server.tell(Signal::TERM);
        server.logged(&["stopping"]);
        server.tell(second);
        client.send(b"half");
        assert_eq!(client.response().status, 200);
        let stopped = server.ending();
        assert!(stopped.took < SOON, "{:?}", stopped.took);
    }
}

/// Also at the very beginning, before anybody came.
#[test]
fn a_stop_at_once_is_a_stop() {
    for nth in 0..10 {
        let server = Server::start::<&str>(&[]);
        let stream = (nth % 2 == 0).then(|| Stream::open(&server, "t"));
        let stopped = server.stop_by(if nth % 3 == 0 { Signal::INT } else { Signal::TERM });
        assert!(stopped.took < SOON, "{:?}", stopped.took);
        if let Some(mut stream) = stream {
            assert_eq!(stream.farewell()["reason"], "closing");
        }
    }
}
