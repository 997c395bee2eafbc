//! Futures polled by hand, one step at a time, so that a test decides at which await each is dropped; and
//! how many such steps a run takes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// How many random operations a model test makes, unless `PLIMSOLL_MODEL_OPS` says otherwise.
const OPS: u64 = 1_000_000;

/// How many model tests share `PLIMSOLL_MODEL_OPS`: the budget's and the queue's.
const TESTS: u64 = 2;

/// How many random operations this test makes.
pub(crate) fn ops() -> u64 {
    match std::env::var("PLIMSOLL_MODEL_OPS") {
        Ok(ops) => ops.parse::<u64>().expect("PLIMSOLL_MODEL_OPS is a number of operations") / TESTS,
        Err(_) => OPS,
    }
}

/// The seed of a run: always the same, unless `PLIMSOLL_MODEL_SEED` says otherwise. Printed, and shown when
/// the test fails.
#[allow(clippy::print_stdout, reason = "the test runner shows it when the test fails")]
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("PLIMSOLL_MODEL_SEED") {
        Ok(seed) => seed.parse().expect("PLIMSOLL_MODEL_SEED is a number"),
        Err(_) => 0x0570_ad11_e5af_e42d,
    };
    println!("PLIMSOLL_MODEL_SEED={seed}");
    seed
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future with a waker that remembers whether it was woken.
pub(crate) struct Hand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    flag: Arc<Flag>,
}

impl<'a, T> Hand<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Hand<'a, T> {
        Hand { future: Box::pin(future), flag: Arc::default() }
    }

    /// One step. Forgets an earlier wake-up.
    pub(crate) fn poll(&mut self) -> Poll<T> {
        self.flag.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(self.flag.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Whether it was woken since the last step.
    pub(crate) fn woken(&self) -> bool {
        self.flag.0.load(Ordering::SeqCst)
    }
}
