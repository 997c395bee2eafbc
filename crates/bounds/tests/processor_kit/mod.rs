//! What the tests of the processor share: pools, sources, cutters by content, naive models.
#![allow(dead_code, unreachable_pub, reason = "each test binary takes what it needs")]

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes as Piece;
use futures_util::stream::{self, Stream, StreamExt};
use plimsoll_bounds::budget::{Budget, BudgetLimits};
use plimsoll_bounds::pool::{Pool, PoolLimits};
use plimsoll_bounds::processor::{Chunk, ChunkError, Chunker, Cutter};
use plimsoll_core::{Bytes, Clock, ManualClock};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub const LEAK_TIMEOUT: Duration = Duration::from_secs(300);
pub const SECOND: Duration = Duration::from_secs(1);

pub struct Setup {
    pub clock: Arc<ManualClock>,
    pub pool: Pool,
}

pub fn setup(limit: Bytes) -> Setup {
    let clock = Arc::new(ManualClock::new());
    let shared: Arc<dyn Clock> = clock.clone();
    let budget = Budget::new(BudgetLimits::of(Bytes::gib(1)), shared.clone());
    let account = budget.account("pool", limit).expect("the budget is new");
    let limits =
        PoolLimits { limit, buffer_limit: limit, leak_timeout: LEAK_TIMEOUT, ..PoolLimits::default() };
    let pool = Pool::new(limits, &account, shared).expect("the account is new");
    Setup { clock, pool }
}

pub fn pool() -> Pool {
    setup(Bytes::mib(1)).pool
}

/// The failure that the tests' sources have.
#[derive(Debug, PartialEq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

pub type Given = Result<Piece, Broken>;

pub fn pieces(pieces: &[&str]) -> Vec<Given> {
    pieces.iter().map(|piece| Ok(Piece::copy_from_slice(piece.as_bytes()))).collect()
}

/// A source that has its items ready, but, as its seed will, often says that it has not.
pub struct Bumpy {
    pub items: VecDeque<Given>,
    pub rng: fastrand::Rng,
}

impl Stream for Bumpy {
    type Item = Given;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Given>> {
        if self.rng.u8(..) < 100 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.items.pop_front())
    }
}

/// `input` in pieces of random sizes, some empty, some larger than any window.
pub fn bumpy(input: &[u8], rng: &mut fastrand::Rng) -> Bumpy {
    let mut items = VecDeque::new();
    let mut rest = input;
    while !rest.is_empty() {
        let most = [1, 7, 300][rng.usize(..3)];
        let (piece, after) = rest.split_at(rng.usize(..=most).min(rest.len()));
        items.push_back(Ok(Piece::copy_from_slice(piece)));
        rest = after;
    }
    Bumpy { items, rng: rng.fork() }
}

/// Sends pieces by hand; ends when the sender is dropped.
pub fn by_hand() -> (mpsc::Sender<Given>, impl Stream<Item = Given> + Send + Unpin) {
    let (sender, mut receiver) = mpsc::channel(16);
    (sender, stream::poll_fn(move |cx| receiver.poll_recv(cx)))
}

pub async fn send(sender: &mpsc::Sender<Given>, text: &'static str) {
    sender.send(Ok(Piece::from_static(text.as_bytes()))).await.expect("the stream lives");
}

pub fn bytes_of(chunk: &Chunk) -> Vec<u8> {
    chunk.lease.with(|buffer| buffer.to_vec()).expect("it is not revoked")
}

pub fn text_of(chunk: Chunk) -> String {
    assert_eq!(chunk.length_bytes(), bytes_of(&chunk).len() as u64);
    String::from_utf8(bytes_of(&chunk)).expect("the tests send text")
}

/// The chunks up to the first error, and that the stream ends there; checks their numbers.
pub async fn drain<E>(
    mut chunks: impl Stream<Item = Result<Chunk, ChunkError<E>>> + Unpin,
) -> (Vec<(u64, Vec<u8>)>, Option<ChunkError<E>>) {
    let (mut seen, mut error) = (Vec::new(), None);
    while let Some(item) = chunks.next().await {
        assert!(error.is_none(), "nothing comes after an error");
        match item {
            Ok(chunk) => {
                assert_eq!(chunk.seq, seen.len() as u64);
                seen.push((chunk.offset_bytes, bytes_of(&chunk)));
            }
            Err(failed) => error = Some(failed),
        }
    }
    assert!(chunks.next().await.is_none(), "it stays ended");
    (seen, error)
}

/// The next item, or nothing if none comes in `patience` of the paused clock.
pub async fn within<S: Stream + Unpin>(stream: &mut S, patience: Duration) -> Option<Option<S::Item>> {
    timeout(patience, stream.next()).await.ok()
}

/// The chunks of a whole input that lies in memory: what a cutter means, with no window and no stream.
pub fn naive_cut(cutter: &mut impl Cutter, input: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    while at < input.len() {
        let shown = &input[at..input.len().min(at + cutter.window_bytes())];
        let at_end = shown.len() < cutter.window_bytes();
        let length = cutter.cut(shown, at_end).expect("a full window, or the end");
        chunks.push((at as u64, shown[..length].to_vec()));
        at += length;
    }
    chunks
}

pub fn naive_windows(size: usize, overlap: usize, input: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let (mut windows, mut at) = (Vec::new(), 0);
    while !input.is_empty() {
        let end = input.len().min(at + size);
        windows.push((at as u64, input[at..end].to_vec()));
        if end == input.len() {
            break;
        }
        at += size - overlap;
    }
    windows
}

/// Cuts after a byte that is divisible by 16; answers as soon as it can.
#[derive(Clone)]
pub struct ByContent {
    pub min: usize,
    pub max: usize,
}

impl Cutter for ByContent {
    fn window_bytes(&self) -> usize {
        self.max
    }

    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        let found = (self.min..=window.len()).find(|length| window[length - 1].is_multiple_of(16));
        found.or((at_end || window.len() == self.max).then_some(window.len()))
    }
}

pub fn random_bytes(rng: &mut fastrand::Rng, length_max: usize) -> Vec<u8> {
    let length = rng.usize(..=length_max);
    (0..length).map(|_| if rng.u8(..) < 20 { b'\n' } else { rng.u8(..) }).collect()
}

pub async fn check_cut(
    cutter: impl Cutter + Clone,
    input: &[u8],
    rng: &mut fastrand::Rng,
    pool: &Pool,
    case: &str,
) {
    let chunker = Chunker::new(bumpy(input, rng), cutter.clone(), pool);
    let (chunks, error) = drain(chunker).await;
    assert_eq!(error, None, "{case}");
    assert_eq!(chunks, naive_cut(&mut cutter.clone(), input), "{case}");
    assert_eq!(pool.stats().active, 0, "{case}");
}
