//! Threads and tasks that wait in one line of a budget and give up at random: the limit holds at every
//! moment, nobody is forgotten, and nothing is left.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use plimsoll_bounds::budget::{Account, Budget, BudgetLimits, ReserveError};
use plimsoll_bounds::clock::SystemClock;
use plimsoll_core::Bytes;

const LIMIT: u64 = 100;
const ROUNDS: u64 = 3000;
/// Far longer than the test takes: who waits as long has been forgotten.
const FOREVER: Duration = Duration::from_secs(60);

/// What is in use by the account of those who use it, beside what the ledger says.
#[derive(Default)]
struct InUse(AtomicU64);

impl InUse {
    fn with<R>(&self, bytes: u64, work: impl FnOnce() -> R) -> R {
        let before = self.0.fetch_add(bytes, Ordering::SeqCst);
        assert!(before + bytes <= LIMIT, "{bytes} on top of {before}");
        let result = work();
        self.0.fetch_sub(bytes, Ordering::SeqCst);
        result
    }
}

fn on_a_thread(account: &Account, in_use: &InUse, mut rng: Rng) {
    for _ in 0..ROUNDS {
        let bytes = rng.u64(1..60);
        let patience = if rng.bool() { FOREVER } else { Duration::from_micros(rng.u64(..100)) };
        match account.reserve_blocking("thread", Bytes::new(bytes), patience) {
            Ok(mut reservation) => {
                in_use.with(bytes, || ());
                if rng.bool() && reservation.try_grow(Bytes::new(10)).is_ok() {
                    in_use.with(bytes + 10, thread::yield_now);
                }
                let part = reservation.split(Bytes::new(bytes / 2)).expect("there is room for a record");
                drop(reservation);
                in_use.with(part.bytes().as_u64(), || ());
            }
            Err(ReserveError::TimedOut { .. }) if patience < FOREVER => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn in_a_task(account: Account, in_use: Arc<InUse>, mut rng: Rng) {
    for _ in 0..ROUNDS {
        let bytes = rng.u64(1..60);
        let patience = Duration::from_micros(rng.u64(..200));
        let reserved = if rng.bool() {
            tokio::time::timeout(patience, account.reserve("task", Bytes::new(bytes))).await
        } else {
            Ok(account.reserve_within("task", Bytes::new(bytes), FOREVER).await)
        };
        // Cancelled, wherever it stood, is fine; anything else is granted.
        if let Ok(granted) = reserved {
            let reservation = granted.expect("it was granted in time");
            in_use.with(bytes, || ());
            tokio::task::yield_now().await;
            drop(reservation);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_and_tasks_that_give_up_at_random_never_exceed_the_limit() {
    let limits = BudgetLimits { headroom: Bytes::ZERO, ..BudgetLimits::of(Bytes::mib(1)) };
    let budget = Budget::new(limits, SystemClock::shared());
    let account = budget.account("shared", Bytes::new(LIMIT)).expect("there is room for an account");
    let below = account.account("below", Bytes::new(LIMIT - 20)).expect("there is room for an account");
    let in_use = Arc::new(InUse::default());
    let over = Arc::new(AtomicBool::new(false));

    let mut threads = Vec::new();
    let mut tasks = Vec::new();
    for nth in 0..2 {
        for account in [&account, &below] {
            let rng = Rng::with_seed(nth);
            let (ours, used, random) = (account.clone(), in_use.clone(), rng.clone());
            threads.push(thread::spawn(move || on_a_thread(&ours, &used, random)));
            tasks.push(tokio::spawn(in_a_task(account.clone(), in_use.clone(), rng)));
        }
    }
    let watcher = thread::spawn({
        let (account, over) = (account.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                assert!(account.held() <= Bytes::new(LIMIT));
                thread::yield_now();
            }
        }
    });
    for task in tasks {
        task.await.expect("it did not panic");
    }
    for thread in threads {
        thread.join().expect("it did not panic");
    }
    over.store(true, Ordering::Relaxed);
    watcher.join().expect("the limit was never exceeded");
    assert_eq!((account.held(), budget.held(), budget.waiting()), (Bytes::ZERO, Bytes::ZERO, 0));
}
