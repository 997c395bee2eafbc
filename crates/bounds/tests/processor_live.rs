//! The stream processor on live input: what waits, what is flushed, who keeps a window alive, and what a
//! cutter or a pool can do to it.
#![cfg(not(loom))]

mod processor_kit;

use std::future::{self};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use plimsoll_bounds::pool::RevocableLease;
use plimsoll_bounds::processor::{
    Chunk, ChunkError, Chunker, Cutter, CutterFault, ErrorReason, Fixed, Lines, ProcessCause, ProcessError,
    Processor, Window, WorkError,
};
use plimsoll_core::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use processor_kit::*;

/// Proves P12.
#[tokio::test(start_paused = true)]
async fn live_lines_are_cut_when_they_waited_for_long() {
    let pool = pool();
    let (sender, source) = by_hand();
    let mut chunker = Chunker::new(source, Lines { bytes_max: 1024 }, &pool).flush_after(SECOND);
    send(&sender, "one\ntwo\nthr").await;
    let began = Instant::now();
    let chunk = chunker.next().await.expect("not the end").expect("nothing fails");
    assert!(began.elapsed() >= SECOND && began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    assert_eq!((chunk.offset_bytes, text_of(chunk).as_str()), (0, "one\ntwo\n"));

    assert!(within(&mut chunker, 60 * SECOND).await.is_none(), "half a line waits");
    send(&sender, "ee\n").await;
    let chunk =
        within(&mut chunker, 2 * SECOND).await.flatten().expect("it is whole").expect("nothing fails");
    assert_eq!((chunk.seq, text_of(chunk).as_str()), (1, "three\n"));

    assert!(within(&mut chunker, 60 * SECOND).await.is_none());
    assert_eq!(pool.stats().active, 0, "an idle input holds no buffer");
    send(&sender, "end").await;
    drop(sender);
    let chunk = chunker.next().await.expect("not the end").expect("nothing fails");
    assert_eq!(text_of(chunk), "end");
    assert!(chunker.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_flush_live_lines_wait_for_a_full_window() {
    let pool = pool();
    let (sender, source) = by_hand();
    let mut chunker = Chunker::new(source, Lines { bytes_max: 8 }, &pool);
    send(&sender, "a\nb\n").await;
    assert!(within(&mut chunker, 3600 * SECOND).await.is_none());
    send(&sender, "long").await;
    let chunk = chunker.next().await.expect("not the end").expect("nothing fails");
    assert_eq!(text_of(chunk), "a\nb\n");
}

/// Zero flushes at each pause of the source, and does not spin when there is nothing to flush.
#[tokio::test(start_paused = true)]
async fn a_flush_after_no_time_at_all_does_not_spin() {
    let pool = pool();
    let (sender, mut source) = by_hand();
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let counted = stream::poll_fn(move |cx| {
        count.fetch_add(1, Ordering::SeqCst);
        source.poll_next_unpin(cx)
    });
    let mut chunker = Chunker::new(counted, Lines { bytes_max: 8 }, &pool).flush_after(Duration::ZERO);
    send(&sender, "a\nb").await;
    let chunk = within(&mut chunker, Duration::from_millis(5)).await.flatten();
    assert_eq!(text_of(chunk.expect("at once").expect("nothing fails")), "a\n");
    polls.store(0, Ordering::SeqCst);
    assert!(within(&mut chunker, SECOND).await.is_none());
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 20, "{polls} in a second");
    send(&sender, "\n").await;
    let chunk = within(&mut chunker, Duration::from_millis(5)).await.flatten();
    assert_eq!(text_of(chunk.expect("at once").expect("nothing fails")), "b\n");
}

/// A cutter that can answer early is asked while the source pauses, also again right after a cut.
#[tokio::test(start_paused = true)]
async fn chunks_come_as_soon_as_the_cutter_can_tell() {
    let pool = pool();
    let (sender, source) = by_hand();
    let mut chunker = Chunker::new(source, ByContent { min: 1, max: 100 }, &pool);
    send(&sender, "abc").await;
    assert!(within(&mut chunker, SECOND).await.is_none());
    send(&sender, "d e ").await; // a space is 32
    for expected in ["abcd ", "e "] {
        let next = within(&mut chunker, SECOND).await.flatten();
        assert_eq!(text_of(next.expect("it can tell").expect("nothing fails")), expected);
    }
}

/// Lines, counting how often it is asked to flush.
struct Counted(Lines, Arc<AtomicUsize>);

impl Cutter for Counted {
    fn window_bytes(&self) -> usize {
        self.0.window_bytes()
    }

    fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        self.0.cut(window, at_end)
    }

    fn flush(&mut self, window: &[u8]) -> Option<usize> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.flush(window)
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_cut_nothing_is_asked_again_when_more_came_and_waited() {
    let pool = pool();
    let (sender, source) = by_hand();
    let flushes = Arc::new(AtomicUsize::new(0));
    let cutter = Counted(Lines { bytes_max: 64 }, flushes.clone());
    let mut chunker = Chunker::new(source, cutter, &pool).flush_after(SECOND);
    let asked = || flushes.load(Ordering::SeqCst);

    send(&sender, "half a line").await;
    assert!(within(&mut chunker, SECOND + SECOND / 10).await.is_none());
    assert_eq!(asked(), 1);
    send(&sender, "...").await;
    assert!(within(&mut chunker, SECOND / 2).await.is_none());
    assert_eq!(asked(), 1, "it has not waited yet");
    assert!(within(&mut chunker, SECOND / 2).await.is_none());
    assert_eq!(asked(), 2);
    assert!(within(&mut chunker, 3600 * SECOND).await.is_none());
    assert_eq!(asked(), 2, "nothing more came");
    send(&sender, "\n").await;
    assert!(within(&mut chunker, SECOND).await.is_some());
    send(&sender, "a\n").await;
    assert!(within(&mut chunker, SECOND + SECOND / 10).await.is_some(), "short, but new");
    assert_eq!(asked(), 4);
}

/// A cutter that answers what it is told to.
struct Told {
    window_bytes: usize,
    cut: Option<usize>,
    flush: Option<usize>,
}

impl Cutter for Told {
    fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    fn cut(&mut self, _window: &[u8], _at_end: bool) -> Option<usize> {
        self.cut
    }

    fn flush(&mut self, _window: &[u8]) -> Option<usize> {
        self.flush
    }
}

#[tokio::test(start_paused = true)]
async fn a_cutter_that_misbehaves_is_an_error_and_never_a_hang() {
    let bad = |answered| CutterFault::BadLength { answered, shown: 4 };
    let silent = |shown| CutterFault::NoAnswer { shown, window_bytes: 4 };
    for (window_bytes, cut, input, expected) in [
        (0, Some(1), "abcd", CutterFault::NoWindow),
        (4, Some(0), "abcdef", bad(0)),
        (4, Some(5), "abcdef", bad(5)),
        (4, Some(usize::MAX), "abcdef", bad(usize::MAX)),
        (4, None, "abcdef", silent(4)),
        (4, None, "abc", silent(3)),
    ] {
        let pool = pool();
        let told = Told { window_bytes, cut, flush: None };
        let chunker = Chunker::new(stream::iter(pieces(&[input])), told, &pool);
        let error = ChunkError::Cutter { offset_bytes: 0, fault: expected };
        assert_eq!(drain(chunker).await, (Vec::new(), Some(error)));
        assert_eq!(pool.stats().active, 0);
    }
    for answered in [0, 3] {
        let pool = pool();
        let (sender, source) = by_hand();
        send(&sender, "ab").await;
        let told = Told { window_bytes: 4, cut: None, flush: Some(answered) };
        let chunker = Chunker::new(source, told, &pool).flush_after(SECOND);
        let fault = CutterFault::BadLength { answered, shown: 2 };
        let error = ChunkError::Cutter { offset_bytes: 0, fault };
        assert_eq!(drain(chunker).await, (Vec::new(), Some(error)));
    }
}

/// Proves P8.
#[tokio::test(start_paused = true)]
async fn a_window_that_the_pool_took_back_is_an_error() {
    let Setup { clock, pool } = setup(Bytes::mib(1));
    let (sender, source) = by_hand();
    let chunker = Chunker::new(source, Fixed { size_bytes: 4 }, &pool);
    let mut processor = Processor::new(chunker, "stuck", |chunk: Chunk| future::ready(Ok(text_of(chunk))));
    send(&sender, "abcdef").await;
    assert_eq!(processor.next().await.expect("not the end").expect("nothing fails"), "abcd");

    // Nobody polls for longer than the leak timeout: to the pool this task is stuck.
    clock.advance(LEAK_TIMEOUT + SECOND);
    let report = pool.scan();
    assert_eq!(report.leaks.iter().map(|leak| leak.owner).collect::<Vec<_>>(), [Some("processor")]);
    send(&sender, "gh").await;
    let error = processor.next().await.expect("not the end").expect_err("its window is gone");
    assert!(
        matches!(error.cause, ProcessCause::Chunk(ChunkError::Revoked { offset_bytes: 4, .. })),
        "{error}"
    );
    assert_eq!(error.reason(), ErrorReason::Revoked);
    assert!(processor.next().await.is_none());
    assert_eq!(pool.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_taken_back_empty_is_taken_again() {
    let Setup { clock, pool } = setup(Bytes::mib(1));
    let (sender, source) = by_hand();
    let mut chunker = Chunker::new(source, Fixed { size_bytes: 4 }, &pool);
    send(&sender, "abcd").await;
    assert_eq!(text_of(chunker.next().await.expect("not the end").expect("nothing fails")), "abcd");
    clock.advance(LEAK_TIMEOUT + SECOND);
    pool.scan();
    send(&sender, "efgh").await;
    assert_eq!(text_of(chunker.next().await.expect("not the end").expect("nothing fails")), "efgh");
}

/// A live input that pauses is no leak, also while all room in flight is taken; a chunk that its work sits
/// on in silence is one.
#[tokio::test(start_paused = true)]
async fn a_window_that_waits_in_a_living_task_is_not_taken_back() {
    let Setup { clock, pool } = setup(Bytes::mib(1));
    let (sender, source) = by_hand();
    let chunker = Chunker::new(source, Fixed { size_bytes: 4 }, &pool);
    let (release, released) = oneshot::channel::<()>();
    let mut released = Some(released);
    let mut processor = Processor::new(chunker, "live", |chunk: Chunk| {
        let released = released.take();
        async move {
            if let Some(released) = released {
                released.await.expect("it is sent");
                assert!(chunk.lease.is_revoked(), "it was silent for too long");
            }
            Ok(chunk.seq)
        }
    })
    .in_flight_max(1);
    send(&sender, "abcdef").await;
    let step = LEAK_TIMEOUT / 3;
    let mut owners = Vec::new();
    for _ in 0..10 {
        assert!(within(&mut processor, step).await.is_none());
        clock.advance(step);
        let _ = within(&mut processor, Duration::from_millis(1)).await;
        owners.extend(pool.scan().leaks.iter().map(|leak| leak.asked));
    }
    assert_eq!(owners, [Bytes::new(4)], "the chunk, and not the window");
    release.send(()).expect("the work waits for it");
    assert_eq!(processor.next().await.expect("not the end").expect("nothing fails"), 0);
    for _ in 0..10 {
        assert!(within(&mut processor, step).await.is_none());
        clock.advance(step);
        assert!(pool.scan().leaks.is_empty(), "half a chunk waits, and its task lives");
    }
    send(&sender, "gh").await;
    assert_eq!(processor.next().await.expect("not the end").expect("nothing fails"), 1);
}

/// A chunk that was revoked while it was worked on is a typed error of that chunk.
///
/// Proves P8.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_the_pool_took_back_is_an_error_of_its_work() {
    let Setup { clock, pool } = setup(Bytes::mib(1));
    let chunker = Chunker::new(stream::iter(pieces(&["abcd"])), Fixed { size_bytes: 4 }, &pool);
    let mut processor = Processor::new(chunker, "late", |chunk: Chunk| {
        let (clock, pool) = (clock.clone(), pool.clone());
        async move {
            clock.advance(LEAK_TIMEOUT + SECOND);
            pool.scan();
            Ok(chunk.lease.with(|buffer| buffer.len())?)
        }
    });
    let error = processor.next().await.expect("not the end").expect_err("its buffer is gone");
    assert_eq!(error.reason(), ErrorReason::Revoked);
    assert!(matches!(error.cause, ProcessCause::Work { seq: 0, error: WorkError::Revoked(_), .. }));
    let _ = pool.try_acquire::<RevocableLease>(Bytes::new(4)).expect("its room is free");
}

#[test]
fn streams_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let pool = pool();
    let source = || stream::iter(pieces(&[]));
    is_send(&Window::new(source(), 8, 4, &pool).expect("it moves on"));
    let chunker = Chunker::new(source(), Lines { bytes_max: 8 }, &pool);
    is_send(&chunker);
    is_send(&Processor::new(chunker, "sent", |chunk: Chunk| async move { Ok(chunk.seq) }));
    fn is_error<E: std::error::Error + Send + 'static>() {}
    is_error::<ProcessError<std::io::Error>>();
}
