//! The stream processor as its users meet it: what is cut, in which order, how much at once, and that
//! every buffer is back however it ends.
#![cfg(not(loom))]

mod processor_kit;

use std::convert::Infallible;
use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes as Piece;
use futures_util::stream::{self, StreamExt};
use plimsoll_bounds::pool::{AcquireError, ExclusiveLease};
use plimsoll_bounds::processor::{
    BufferUse, Chunk, ChunkError, Chunker, ErrorReason, Fixed, Lines, ProcessCause, Processor,
    ProcessorCounts, Window, WindowError, WorkError,
};
use plimsoll_core::{Bytes, Observe};
use tokio::time::Instant;

use processor_kit::*;

/// Proves P12.
#[tokio::test]
async fn chunks_do_not_depend_on_how_the_bytes_arrived() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pool = pool();
        let input = random_bytes(&mut rng, 1000);
        let most = rng.usize(1..=64);
        let case = format!("seed {seed}, {} bytes, at most {most}", input.len());
        check_cut(Fixed { size_bytes: most }, &input, &mut rng, &pool, &case).await;
        check_cut(Lines { bytes_max: most }, &input, &mut rng, &pool, &case).await;
        let by_content = ByContent { min: rng.usize(1..=most), max: most };
        check_cut(by_content, &input, &mut rng, &pool, &case).await;
    }
}

/// Proves P12.
#[tokio::test]
async fn windows_overlap_as_a_naive_model_says() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pool = pool();
        let input = random_bytes(&mut rng, 300);
        let size = rng.usize(1..=40);
        let overlap = rng.usize(..size);
        let case = format!("seed {seed}, {} bytes, {size} by {overlap}", input.len());
        let window = Window::new(bumpy(&input, &mut rng), size, overlap, &pool).expect("it moves on");
        let (windows, error) = drain(window).await;
        assert_eq!(error, None, "{case}");
        assert_eq!(windows, naive_windows(size, overlap, &input), "{case}");
        assert_eq!(pool.stats().active, 0, "{case}");
    }
}

#[test]
fn a_window_that_would_not_move_on_is_refused() {
    for (size_bytes, overlap_bytes) in [(0, 0), (1, 1), (4, 4), (4, 5)] {
        let source = stream::empty::<Given>();
        let error = Window::new(source, size_bytes, overlap_bytes, &pool()).err();
        assert_eq!(error, Some(WindowError { size_bytes, overlap_bytes }));
    }
    let text = WindowError { size_bytes: 4, overlap_bytes: 5 }.to_string();
    assert!(text.contains("4 bytes cannot overlap the next by 5"), "{text}");
}

#[tokio::test]
async fn an_empty_input_is_an_end_and_takes_no_buffer() {
    let pool = pool();
    let nothing = Chunker::new(stream::iter(pieces(&[])), Lines { bytes_max: 8 }, &pool);
    assert_eq!(drain(nothing).await, (Vec::new(), None));
    let hollow = Chunker::new(stream::iter(pieces(&[""; 1000])), Fixed { size_bytes: 8 }, &pool);
    assert_eq!(drain(hollow).await, (Vec::new(), None));
    let window = Window::new(stream::iter(pieces(&[])), 8, 4, &pool).expect("it moves on");
    assert_eq!(drain(window).await, (Vec::new(), None));
    assert_eq!(pool.stats().acquired, 0);
}

/// A source without end that always has a piece, and an empty one, must let others run.
#[tokio::test]
async fn a_source_that_is_always_ready_does_not_keep_the_thread() {
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Piece::new()));
    let mut chunker = Chunker::new(endless, Fixed { size_bytes: 8 }, &pool());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(chunker.poll_next_unpin(&mut cx).is_pending());
}

/// Proves P12.
#[tokio::test(start_paused = true)]
async fn results_are_in_order_and_at_most_ten_in_flight() {
    const CHUNKS: u64 = 500;
    let pool = pool();
    let mut rng = fastrand::Rng::with_seed(7);
    let input = vec![7_u8; CHUNKS as usize * 16];
    let chunker = Chunker::new(bumpy(&input, &mut rng), Fixed { size_bytes: 16 }, &pool);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = Arc::new(ProcessorCounts::new());
    let mut processor = Processor::new(chunker, "jitter", |chunk: Chunk| {
        let (running, most) = (running.clone(), most.clone());
        let work = Duration::from_millis(rng.u64(..50));
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(work).await;
            running.fetch_sub(1, Ordering::SeqCst);
            chunk.lease.with(|buffer| assert_eq!(buffer.len(), 16))?;
            Ok(chunk.seq)
        }
    })
    .counts(counts.clone());

    for seq in 0..CHUNKS {
        let result = processor.next().await.expect("there is one for each chunk").expect("nothing fails");
        assert_eq!(result, seq);
        let stats = processor.stats();
        assert_eq!(stats, counts.stats());
        assert_eq!(stats.chunks, stats.delivered + stats.lost + stats.in_flight);
        assert!(pool.stats().active <= 10 + 1, "one for each chunk in flight, one for the window");
    }
    assert!(processor.next().await.is_none());
    assert_eq!(most.load(Ordering::SeqCst), 10);
    let stats = processor.stats();
    assert_eq!((stats.chunks, stats.bytes, stats.delivered), (CHUNKS, CHUNKS * 16, CHUNKS));
    assert_eq!((stats.in_flight, stats.in_flight_peak, stats.errors.total()), (0, 10, 0));
    assert_eq!(pool.stats().active, 0);

    let mut readings = Vec::new();
    counts.observe(&mut readings);
    assert_eq!(readings[0].name, "processor.in_flight");
    assert_eq!((readings[0].limit, readings[0].used, readings[0].peak), (10, 0, 10));
}

#[tokio::test]
async fn work_that_is_done_at_once_is_a_plain_function() {
    let pool = pool();
    let input = stream::iter(pieces(&["abc", "defgh", "ij"]));
    let chunker = Chunker::new(input, Fixed { size_bytes: 4 }, &pool);
    let processor = Processor::new(chunker, "plain", |chunk: Chunk| {
        future::ready(chunk.lease.with(|buffer| buffer.to_vec()).map_err(WorkError::from))
    })
    .in_flight_max(0);
    let results: Vec<_> = processor.map(|result| result.expect("nothing fails")).collect().await;
    assert_eq!(results, [&b"abcd"[..], b"efgh", b"ij"]);
    assert_eq!(pool.stats().active_peak, 2, "the window and one chunk");
}

/// Proves P12.
#[tokio::test]
async fn input_is_not_pulled_when_there_is_no_room_in_flight() {
    let pool = pool();
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let endless = stream::repeat_with(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Piece::from_static(b"12345678"))
    });
    let chunker = Chunker::new(endless, Fixed { size_bytes: 8 }, &pool);
    let stuck = |chunk: Chunk| async move {
        let _held = chunk;
        future::pending::<Result<(), WorkError>>().await
    };
    let mut processor = Processor::new(chunker, "stuck", stuck).in_flight_max(3);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        assert!(processor.poll_next_unpin(&mut cx).is_pending());
    }
    assert_eq!(pulled.load(Ordering::SeqCst), 3);
    assert_eq!(pool.stats().active, 4, "three chunks and the window");
    drop(processor);
    assert_eq!(pool.stats().active, 0, "dropped in flight, given back");
}

/// Proves P3. Proves P12.
#[tokio::test(start_paused = true)]
async fn an_exhausted_pool_is_an_error_with_its_numbers_after_the_timeout() {
    let setup = setup(Bytes::kib(64));
    let pool = &setup.pool;
    let hog = pool.try_acquire::<ExclusiveLease>(Bytes::kib(54)).expect("the pool is empty");
    let chunker = || Chunker::new(stream::iter([Ok::<_, Broken>(Piece::from(vec![1; 9000]))]), lines(), pool);
    fn lines() -> Lines {
        Lines { bytes_max: 4096 }
    }

    let began = Instant::now();
    let counts = Arc::new(ProcessorCounts::new());
    let mut processor = Processor::new(chunker(), "id-17", |chunk: Chunk| future::ready(Ok(chunk.seq)))
        .counts(counts.clone());
    let error = processor.next().await.expect("not the end").expect_err("there is no room for a chunk");
    let waited = began.elapsed();
    assert!(waited >= 10 * SECOND && waited < 11 * SECOND, "{waited:?}");
    assert_eq!(error.reason(), ErrorReason::NoBuffer);
    let text = error.to_string();
    assert!(text.starts_with("id-17: at byte 0, for a chunk: no buffer of 4KiB after 10.000s: "), "{text}");
    assert!(text.contains(" of 64KiB leased in 2 buffers"), "{text}");
    let ProcessCause::Chunk(ChunkError::NoBuffer { wanted_for, error, .. }) = error.cause else {
        panic!("{text}");
    };
    assert_eq!(wanted_for, BufferUse::Chunk);
    let AcquireError::TimedOut(exhausted) = *error else { panic!("{error}") };
    assert_eq!((exhausted.asked, exhausted.waited), (Bytes::kib(4), 10 * SECOND));
    assert!(processor.next().await.is_none());
    assert_eq!(pool.stats().active, 1, "the hog's only");
    assert_eq!(counts.stats().errors.no_buffer, 1);

    let mut hasty = chunker().acquire_timeout(Duration::ZERO);
    let error = hasty.next().await.expect("not the end").expect_err("there is no room for a chunk");
    assert!(
        matches!(&error, ChunkError::NoBuffer { error, .. } if matches!(**error, AcquireError::Exhausted(_)))
    );

    // Whoever waits is served by a release.
    let mut patient = chunker();
    assert!(within(&mut patient, 9 * SECOND).await.is_none());
    drop(hog);
    assert!(within(&mut patient, SECOND).await.is_some());

    let huge = Chunker::new(stream::iter(pieces(&["x"])), Fixed { size_bytes: usize::MAX }, pool);
    let (chunks, error) = drain(huge).await;
    assert!(chunks.is_empty());
    assert!(matches!(error, Some(ChunkError::NoBuffer { wanted_for: BufferUse::Window, .. })), "{error:?}");
}

/// Proves P12.
#[tokio::test(start_paused = true)]
async fn a_source_error_comes_after_all_that_was_cut_before_it() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pool = pool();
        let input = random_bytes(&mut rng, 300);
        let mut source = bumpy(&input, &mut rng);
        source.items.push_back(Err(Broken));
        source.items.push_back(Ok(Piece::from_static(b"never seen")));
        let chunker = Chunker::new(source, Fixed { size_bytes: 16 }, &pool);
        let mut processor = Processor::new(chunker, "broken", |chunk: Chunk| {
            let work = Duration::from_millis(rng.u64(..20));
            async move {
                tokio::time::sleep(work).await;
                Ok((chunk.offset_bytes, bytes_of(&chunk)))
            }
        });
        let mut whole = naive_cut(&mut Fixed { size_bytes: 16 }, &input);
        whole.retain(|(_, chunk)| chunk.len() == 16);
        for expected in whole {
            assert_eq!(
                processor.next().await.expect("not the end").expect("not yet"),
                expected,
                "seed {seed}"
            );
        }
        let error = processor.next().await.expect("not the end").expect_err("the source is broken");
        let is_source = matches!(error.cause, ProcessCause::Chunk(ChunkError::Source(Broken)));
        assert!(is_source, "seed {seed}");
        assert_eq!((&*error.correlation, error.reason()), ("broken", ErrorReason::Source));
        assert!(processor.next().await.is_none());
        assert_eq!(processor.stats().errors.source, 1);
        assert_eq!(pool.stats().active, 0);
    }
}

/// Proves P12.
#[tokio::test(start_paused = true)]
async fn failed_work_ends_the_stream_behind_the_results_before_it() {
    let pool = pool();
    let source = stream::iter(pieces(&["0123456789abcdef"; 4]));
    let chunker = Chunker::new(source, Fixed { size_bytes: 4 }, &pool);
    let mut processor = Processor::new(chunker, "id-18", |chunk: Chunk| async move {
        // The later, the sooner done.
        tokio::time::sleep(Duration::from_millis(100 - chunk.seq)).await;
        if chunk.seq == 5 { Err(WorkError::failed("no luck")) } else { Ok(chunk.seq) }
    });
    for seq in 0..5 {
        assert_eq!(processor.next().await.expect("not the end").expect("not yet"), seq);
    }
    let error = processor.next().await.expect("not the end").expect_err("this one fails");
    assert_eq!(error.to_string(), "id-18: the work on chunk 5 at byte 20 failed: no luck");
    assert_eq!(error.reason(), ErrorReason::Work);
    assert!(processor.next().await.is_none());
    assert_eq!(pool.stats().active, 0);
    let stats = processor.stats();
    assert_eq!((stats.delivered, stats.in_flight, stats.errors.work), (5, 0, 1));
    assert_eq!(stats.chunks, stats.delivered + stats.lost);
}

/// Proves P1. Proves P12.
#[tokio::test]
async fn a_panic_in_the_work_gives_all_buffers_back() {
    async fn check<F>(work: impl FnMut(Chunk) -> F)
    where
        F: Future<Output = Result<u64, WorkError>>,
    {
        let pool = pool();
        let source = stream::iter(pieces(&["0123456789abcdef"; 4]));
        let chunker = Chunker::new(source, Fixed { size_bytes: 4 }, &pool);
        let mut processor = Processor::new(chunker, "panic", work);
        let mut cx = Context::from_waker(Waker::noop());
        let panicked =
            catch_unwind(AssertUnwindSafe(|| while processor.poll_next_unpin(&mut cx).is_ready() {}));
        panicked.expect_err("the panic is the poller's to see");
        assert_eq!(pool.stats().active, 0, "although the processor lives on");
        let error = processor.next().await.expect("not the end").expect_err("it says so");
        assert!(matches!(error.cause, ProcessCause::Panicked));
        assert!(processor.next().await.is_none());
        let stats = processor.stats();
        assert_eq!((stats.in_flight, stats.errors.work), (0, 1));
        assert_eq!(stats.chunks, stats.delivered + stats.lost);
    }
    // In the function itself, and in its future while others are in flight.
    check(|chunk: Chunk| {
        assert!(chunk.seq < 3, "in the function");
        future::ready(Ok(chunk.seq))
    })
    .await;
    check(|chunk: Chunk| async move {
        assert!(chunk.seq < 3, "in the future");
        if chunk.seq == 0 {
            future::pending::<()>().await;
        }
        Ok(chunk.seq)
    })
    .await;
}

/// Work that is done after a random number of polls, so that there are await points everywhere.
async fn dawdle(mut polls: u8) {
    future::poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Two processors share a pool that is too small for both, and are dropped after a random number of polls.
///
/// Proves P12.
#[test]
fn dropped_at_any_await_point_everything_is_given_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    let first_seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut waited = 0;
    for seed in first_seed..first_seed + 2000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pool = setup(Bytes::new(1024)).pool;
        let counts = Arc::new(ProcessorCounts::new());
        let kept = Mutex::new(Vec::new());
        let make = |rng: &mut fastrand::Rng| {
            let source = bumpy(&vec![b'x'; 4000], rng);
            let mut rng = rng.fork();
            let chunker = Chunker::new(source, Fixed { size_bytes: 128 }, &pool);
            let work = move |chunk: Chunk| {
                let polls = rng.u8(..8);
                async move {
                    dawdle(polls).await;
                    Ok::<Chunk, WorkError>(chunk)
                }
            };
            Processor::new(chunker, "dropped", work).counts(counts.clone())
        };
        let (mut one, mut other) = (make(&mut rng), make(&mut rng));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..rng.usize(..200) {
            let polled = if rng.bool() { &mut one } else { &mut other }.poll_next_unpin(&mut cx);
            let mut kept = kept.lock().expect("nobody panics");
            match polled {
                Poll::Ready(Some(Ok(chunk))) if rng.bool() => kept.push(chunk),
                Poll::Ready(Some(Err(error))) => panic!("seed {seed}: {error}"),
                _ => {}
            }
            if kept.len() > 2 {
                kept.clear();
            }
        }
        drop(kept);
        waited += pool.stats().waiters_peak;
        drop(one);
        let stats = counts.stats();
        assert_eq!(stats.chunks, stats.delivered + stats.lost + stats.in_flight, "seed {seed}");
        drop(other);
        let (stats, pooled) = (counts.stats(), pool.stats());
        assert_eq!((pooled.active, pooled.waiters, pooled.used), (0, 0, Bytes::ZERO), "seed {seed}");
        assert_eq!((stats.processors, stats.in_flight, stats.in_flight_limit), (0, 0, 0), "seed {seed}");
        assert_eq!(stats.chunks, stats.delivered + stats.lost, "seed {seed}");
    }
    assert!(waited > 100, "the pool was too small for both: {waited}");
}
