//! Bytes that are the same on every run, a sender and publishers that keep their pace, and readers that keep up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::http::{Client, Request, Response};
use super::server::{Server, published};
use super::stream::{Frame, Id, Order, Stream};

/// Of the bodies that are sent.
const SEED: u64 = 20260;
/// How much of them is made, hashed and sent at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A stream of pseudo-random bytes, the same for the same seed. Random bytes give cuts, lines and digests
/// that no shortcut gets right by luck.
pub(crate) struct Bytes(u64);

impl Bytes {
    pub(crate) fn new(seed: u64) -> Bytes {
        Bytes(seed)
    }

    /// Fills all of `out` with the next bytes (SplitMix64, eight at a time).
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
        }
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

/// A text of exactly this many bytes that begins with `name`.
pub(crate) fn text(name: &str, length: usize) -> String {
    let mut text = format!("{name} ");
    while text.len() < length {
        text.push(char::from(b'a' + (text.len() % 26) as u8));
    }
    text.truncate(length);
    text
}

/// What a publisher did.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// The ids that it was given, in its order, with the names of its events.
    pub(crate) events: Vec<(Id, String)>,
    pub(crate) took: Duration,
}

/// Publishes texts of `length` bytes to `topic`, one each `interval`, until `stop`. Who is late catches up.
pub(crate) fn publisher(
    mut client: Client,
    topic: &str,
    name: &str,
    length: usize,
    interval: Duration,
    stop: &AtomicBool,
) -> Published {
    let path = format!("/publish/{topic}");
    let mut done = Published::default();
    let started = Instant::now();
    let mut due = started;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("{name}-{}", done.events.len());
        let id = published(&client.ask(&Request::new("POST", &path).body(text(&name, length))));
        done.events.push((id, name));
        due += interval;
        // The pace is what is asked for here: there is no event to wait for.
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    done.took = started.elapsed();
    done
}

/// What the sender knows of what it sent.
pub(crate) struct Sent {
    pub(crate) blake3: String,
    pub(crate) lines: u64,
    pub(crate) took: Duration,
    pub(crate) response: Response,
}

/// Sends the body, as fast as it is taken.
pub(crate) fn upload(server: &Server, topic: &str, length: u64) -> Sent {
    let mut client = Client::connect(server.addr());
    let request = Request::new("PUT", &format!("/ingest/{topic}")).header("Content-Length", length);
    client.begin(&request);
    let (mut bytes, mut piece) = (Bytes::new(SEED), vec![0; PIECE_BYTES]);
    let (mut hasher, mut lines, mut left) = (blake3::Hasher::new(), 0, length);
    let started = Instant::now();
    while left > 0 {
        let piece = &mut piece[..left.min(PIECE_BYTES as u64) as usize];
        bytes.fill(piece);
        hasher.update(piece);
        lines += memchr::memchr_iter(b'\n', piece).count() as u64;
        if let Err(error) = client.try_send(piece) {
            panic!("{left} bytes were still to be sent: {error}; {:?}", client.try_response());
        }
        left -= piece.len() as u64;
    }
    let response = client.response();
    Sent { blake3: hasher.finalize().to_string(), lines, took: started.elapsed(), response }
}

/// What a reader got until the event `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// Depends on every byte of every event and on their order.
    pub(crate) digest: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Got {
    fn add(&mut self, frame: Frame<'_>) {
        let text = frame.bytes();
        self.events += 1;
        self.bytes += text.len() as u64;
        for word in text.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            let mixed = self.digest.rotate_left(5) ^ u64::from_le_bytes(padded);
            self.digest = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
}

/// Reads everything, each event behind the one before it, and hands each to `look`.
pub(crate) fn read_to_end(mut stream: Stream, mut look: impl FnMut(u64, Frame<'_>)) -> Result<Got, String> {
    let (mut got, mut order) = (Got::default(), Order::default());
    loop {
        let frame = match stream.frame() {
            Ok(Some(frame)) if frame.is_comment() => continue,
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(format!("the stream ended after {got:?}")),
            Err(error) => return Err(format!("the stream broke off after {got:?}: {error}")),
        };
        let Some(id) = frame.id() else { return Err(format!("{frame:?} after {got:?}")) };
        order.take(id)?;
        if got.events == 0 {
            got.first = id.offset;
        }
        got.last = id.offset;
        got.add(frame);
        look(id.offset, frame);
        if frame.kind() == "end" {
            return Ok(got);
        }
    }
}

/// Publishes the event at which [`read_to_end`] ends.
pub(crate) fn publish_end(client: &mut Client, topic: &str) -> Id {
    let request = Request::new("POST", &format!("/publish/{topic}")).header("X-Event-Type", "end").body("");
    published(&client.ask(&request))
}

/// What a thread gives, or its panic.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
