//! The pool's races, each walked in every order that matters: a model a race, named after it.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-bounds --release --test loom_pool`. At most three
//! preemptions are tried unless `LOOM_MAX_PREEMPTIONS` says otherwise; bugs of this kind need one or two.
//!
//! The clock is no part of the models: it stands past the leak timeout from the moment when a model says so.
#![cfg(loom)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use plimsoll_bounds::budget::{Budget, BudgetLimits};
use plimsoll_bounds::pool::{
    AcquireError, ExclusiveLease, LeakOutcome, Lease, Pool, PoolLimits, PoolStats, RevocableLease, Revoked,
    Tracking,
};
use plimsoll_core::{Bytes, Clock, ManualClock};

const LEAK_TIMEOUT: Duration = Duration::from_secs(300);
/// A buffer; also its class, so that sums are easy.
const ONE: Bytes = Bytes::new(64);

fn model(race: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.max_branches = 10_000;
    builder.check(race);
}

#[derive(Clone)]
struct World {
    clock: Arc<ManualClock>,
    budget: Budget,
    pool: Pool,
}

/// A pool with room for `buffers` of them.
fn world(buffers: u64) -> World {
    let clock = Arc::new(ManualClock::new());
    let shared: Arc<dyn Clock> = clock.clone();
    let budget = Budget::new(BudgetLimits::of(Bytes::kib(64)), shared.clone());
    let limit = ONE * buffers;
    let account = budget.account("pool", limit).expect("the budget is new");
    let limits = PoolLimits {
        limit,
        buffer_limit: limit,
        leak_timeout: LEAK_TIMEOUT,
        // Idle buffers stay, so that reuse is part of the models.
        idle_timeout: Duration::MAX,
        tracking: Tracking::Off,
        ..PoolLimits::default()
    };
    let pool = Pool::new(limits, &account, shared).expect("the account is new");
    World { clock, budget, pool }
}

impl World {
    fn take<L: Lease>(&self) -> L {
        self.pool.try_acquire(ONE).expect("there is room")
    }

    /// A revocable lease that holds `bytes` and is past its time.
    fn overdue(&self, bytes: &[u8]) -> RevocableLease {
        let mut lease = self.take::<RevocableLease>();
        lease.with_mut(|buffer| buffer.append(bytes)).expect("it is not revoked");
        self.clock.advance(LEAK_TIMEOUT);
        lease
    }

    /// The equations of the numbers.
    fn check(&self) -> PoolStats {
        let stats = self.pool.stats();
        assert_eq!(stats.acquired, stats.reused + stats.allocated);
        assert_eq!(stats.acquired, stats.released + stats.reclaimed + stats.active);
        assert_eq!(stats.used + stats.idle, self.budget.held());
        assert!(stats.used + stats.idle <= stats.limit);
        stats
    }

    /// That everything is back: nothing is held, nobody waits, and all the room can be had at once.
    fn check_empty(&self) -> PoolStats {
        let stats = self.check();
        assert_eq!((stats.active, stats.used, stats.waiters), (0, Bytes::ZERO, 0));
        assert_eq!((stats.unrecoverable, stats.unrecoverable_bytes), (0, Bytes::ZERO));
        let all: ExclusiveLease = self.pool.try_acquire(stats.limit).expect("all of it is free");
        drop(all);
        stats
    }
}

/// What an access saw, copied out.
fn seen(lease: &RevocableLease) -> Result<Vec<u8>, Revoked> {
    lease.with(|buffer| buffer.to_vec())
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The closer finds somebody inside, or the leaver finds the gate closed; never neither.
#[test]
fn an_access_that_overlaps_the_reclaim_returns_the_buffer() {
    model(|| {
        let world = world(1);
        let mut lease = world.overdue(b"old");
        let access = thread::spawn(move || {
            let written = lease.with_mut(|buffer| buffer.append(b"er"));
            (lease, written)
        });
        let report = world.pool.scan();
        let (lease, written) = access.join().expect("it does not panic");
        assert_eq!(report.leaks.len(), 1);
        assert!(written.is_err() || written == Ok(2));
        assert!(lease.is_revoked() && seen(&lease).is_err());
        let stats = world.check_empty();
        assert_eq!((stats.reclaimed, stats.leaked, stats.free), (1, 1, 1));
    });
}

/// Whoever is the last one out takes the buffer, once.
#[test]
fn two_readers_and_a_scan_return_the_buffer_once() {
    model(|| {
        let world = world(1);
        let lease = Arc::new(world.overdue(b"old"));
        let readers = [0, 1].map(|_| {
            let lease = lease.clone();
            thread::spawn(move || assert!(seen(&lease).is_err() || seen(&lease) != Ok(Vec::new())))
        });
        world.pool.scan();
        for reader in readers {
            reader.join().expect("it does not panic");
        }
        let stats = world.check_empty();
        assert_eq!((stats.reclaimed, stats.leaked, stats.free), (1, 1, 1));
    });
}

#[test]
fn a_stale_reader_never_sees_the_next_holders_bytes() {
    model(|| {
        let world = world(1);
        let stale = world.overdue(b"old");
        let reader = thread::spawn(move || {
            let bytes = seen(&stale);
            assert!(bytes.is_err() || bytes == Ok(b"old".to_vec()), "{bytes:?}");
        });
        world.pool.scan();
        // Refused while the stale one is inside.
        if let Ok(mut next) = world.pool.try_acquire::<RevocableLease>(ONE) {
            next.with_mut(|buffer| buffer.append(b"new")).expect("it is not revoked");
            assert_eq!(seen(&next), Ok(b"new".to_vec()));
        }
        reader.join().expect("it does not panic");
        world.check_empty();
    });
}

#[test]
fn a_stale_writer_never_writes_into_the_next_holders_bytes() {
    model(|| {
        let world = world(1);
        let mut stale = world.overdue(b"old");
        let writer = thread::spawn(move || {
            for _ in 0..2 {
                let _ = stale.with_mut(|buffer| buffer.append(b"!"));
            }
        });
        world.pool.scan();
        if let Ok(mut next) = world.pool.try_acquire::<RevocableLease>(ONE) {
            next.with_mut(|buffer| buffer.append(b"new")).expect("it is not revoked");
            assert_eq!(seen(&next), Ok(b"new".to_vec()));
        }
        writer.join().expect("it does not panic");
        world.check_empty();
    });
}

/// A stale lease knocks at a gate that is its successor's by now, and that one is reclaimed at the moment.
#[test]
fn a_stale_access_does_not_keep_its_successor_from_being_reclaimed() {
    model(|| {
        let world = world(1);
        let mut stale = world.overdue(b"old");
        world.pool.scan();
        std::mem::forget(world.overdue(b"new"));
        let knocking = thread::spawn(move || {
            seen(&stale).expect_err("it was revoked");
            stale.with_mut(|_| ()).expect_err("it was revoked");
        });
        let report = world.pool.scan();
        assert_eq!(report.leaks[0].outcome, LeakOutcome::Reclaimed);
        knocking.join().expect("it does not panic");
        assert_eq!(world.check_empty().reclaimed, 2);
    });
}

#[test]
fn a_stale_drop_does_not_touch_its_successor() {
    model(|| {
        let world = world(1);
        let stale = world.overdue(b"old");
        world.pool.scan();
        let dropping = thread::spawn(move || drop(stale));
        let next = world.overdue(b"new");
        assert_eq!(seen(&next), Ok(b"new".to_vec()));
        assert_eq!(world.pool.scan().leaks[0].outcome, LeakOutcome::Reclaimed);
        dropping.join().expect("it does not panic");
        drop(next);
        let stats = world.check_empty();
        assert_eq!((stats.reclaimed, stats.leaked, stats.returned_late), (2, 2, 2));
    });
}

#[test]
fn a_drop_that_races_the_scan_gives_back_once() {
    model(|| {
        let world = world(2);
        let revocable = world.take::<RevocableLease>();
        let exclusive = world.take::<ExclusiveLease>();
        world.clock.advance(LEAK_TIMEOUT);
        let dropping = thread::spawn(move || drop((revocable, exclusive)));
        let found = world.pool.scan().leaks.len();
        dropping.join().expect("it does not panic");
        let stats = world.check_empty();
        assert!(found <= 2);
        assert_eq!((stats.leaked, stats.returned_late), (2, 2), "each once, whoever was first");
        assert_eq!(stats.released + stats.reclaimed, 2);
    });
}

#[test]
fn two_scans_find_a_leak_once() {
    model(|| {
        let world = world(1);
        std::mem::forget(world.overdue(b"old"));
        let pool = world.pool.clone();
        let other = thread::spawn(move || pool.scan().leaks.len());
        let found = world.pool.scan().leaks.len();
        assert_eq!(found + other.join().expect("it does not panic"), 1);
        assert_eq!(world.check_empty().reclaimed, 1);
    });
}

/// The scan finds a lease whose buffer is still being put in: a slow caller, or a clock that leapt.
#[test]
fn a_scan_between_grant_and_building_loses_nothing() {
    model(|| {
        let world = world(1);
        let other = world.clone();
        let scanning = thread::spawn(move || {
            other.clock.advance(LEAK_TIMEOUT);
            other.pool.scan().leaks.len()
        });
        let lease = world.take::<RevocableLease>();
        let first = seen(&lease);
        let found = scanning.join().expect("it does not panic");
        assert_eq!(lease.is_revoked(), found == 1);
        assert!(first.is_ok() || found == 1);
        std::mem::forget(lease);
        if found == 0 {
            world.clock.advance(LEAK_TIMEOUT);
            assert_eq!(world.pool.scan().leaks.len(), 1);
        }
        assert_eq!(world.check_empty().reclaimed, 1);
    });
}

#[test]
fn a_forgotten_lease_is_reclaimed_for_one_caller_while_another_scans() {
    model(|| {
        let world = world(1);
        std::mem::forget(world.overdue(b"old"));
        let pool = world.pool.clone();
        let scanning = thread::spawn(move || pool.scan());
        // Either the scan or this call makes the room; both see to it before they let go of the books.
        let mut next = world.take::<RevocableLease>();
        assert_eq!(seen(&next), Ok(Vec::new()), "it starts empty");
        next.with_mut(|buffer| buffer.append(b"new")).expect("it is not revoked");
        scanning.join().expect("it does not panic");
        assert_eq!(seen(&next), Ok(b"new".to_vec()));
        drop(next);
        let stats = world.check_empty();
        assert_eq!((stats.reclaimed, stats.released, stats.leaked), (1, 1, 1));
    });
}

#[test]
fn a_scan_that_reclaims_wakes_who_waits() {
    model(|| {
        let world = world(1);
        let held = world.take::<RevocableLease>();
        let pool = world.pool.clone();
        let waiting = thread::spawn(move || {
            drop(block_on(pool.acquire_in_line::<ExclusiveLease>(ONE)).expect("it is served"));
        });
        // Takes the pool's lock, so that the other may stand in the line already when the time passes.
        world.check();
        world.clock.advance(LEAK_TIMEOUT);
        world.pool.scan();
        waiting.join().expect("it does not panic");
        drop(held);
        assert_eq!(world.check_empty().leaked, 1);
    });
}

/// The last access to a revoked lease ends, and its room goes to the one who waits for it.
#[test]
fn the_end_of_an_access_wakes_who_waits_for_its_room() {
    model(|| {
        let world = world(1);
        let lease = world.overdue(b"old");
        let pool = world.pool.clone();
        let waiting = thread::spawn(move || {
            drop(block_on(pool.acquire_in_line::<RevocableLease>(ONE)).expect("it is served"));
        });
        let access = lease.read();
        world.pool.scan();
        drop(access);
        waiting.join().expect("it does not panic");
        drop(lease);
        world.check_empty();
    });
}

#[test]
fn a_release_that_races_with_joining_is_not_missed() {
    model(|| {
        let world = world(1);
        let held = world.take::<ExclusiveLease>();
        let pool = world.pool.clone();
        let joining = thread::spawn(move || {
            drop(block_on(pool.acquire_in_line::<RevocableLease>(ONE)).expect("it is served"));
        });
        drop(held);
        joining.join().expect("it does not panic");
        assert_eq!(world.check_empty().released, 2);
    });
}

/// One who was granted walks away without looking: the next one in line gets it, and is woken.
#[test]
fn a_cancelled_waiter_passes_its_grant_on() {
    model(|| {
        let world = world(1);
        let held = world.take::<ExclusiveLease>();
        let mut first = Box::pin(world.pool.acquire_in_line::<ExclusiveLease>(ONE));
        assert!(poll_once(first.as_mut()).is_pending());
        let pool = world.pool.clone();
        let second = thread::spawn(move || {
            drop(block_on(pool.acquire_in_line::<RevocableLease>(ONE)).expect("it is served"));
        });
        let cancelling = thread::spawn(move || drop(first));
        drop(held);
        cancelling.join().expect("it does not panic");
        second.join().expect("it does not panic");
        let stats = world.check_empty();
        assert_eq!((stats.acquired, stats.released), (2, 2), "what nobody saw was no lease");
    });
}

/// A grant is collected at the moment when it has lain there for too long.
#[test]
fn a_grant_is_collected_or_goes_to_somebody_else_never_both() {
    model(|| {
        let world = world(1);
        let held = world.take::<ExclusiveLease>();
        let mut slow = Box::pin(world.pool.acquire_in_line::<RevocableLease>(ONE));
        assert!(poll_once(slow.as_mut()).is_pending());
        drop(held);
        world.clock.advance(LEAK_TIMEOUT);
        let pool = world.pool.clone();
        let scanning = thread::spawn(move || pool.scan().leaks.len());
        let Poll::Ready(collected) = poll_once(slow.as_mut()) else { panic!("it was granted long ago") };
        let found = scanning.join().expect("it does not panic");
        match &collected {
            Ok(lease) => assert!(found == 0 && !lease.is_revoked()),
            Err(AcquireError::TimedOut(_)) => assert_eq!(found, 1),
            Err(error) => panic!("{error}"),
        }
        drop((collected, slow));
        assert_eq!(world.check_empty().leaked, found as u64);
    });
}

#[test]
fn exclusive_and_revocable_releases_serve_waiters_of_both_kinds() {
    model(|| {
        let world = world(2);
        let held = (world.take::<ExclusiveLease>(), world.take::<RevocableLease>());
        let (pool, other) = (world.pool.clone(), world.pool.clone());
        let large = thread::spawn(move || {
            drop(block_on(pool.acquire_in_line::<ExclusiveLease>(ONE * 2)).expect("it is served"));
        });
        let small = thread::spawn(move || {
            drop(block_on(other.acquire_in_line::<RevocableLease>(ONE)).expect("it is served"));
        });
        drop(held);
        large.join().expect("it does not panic");
        small.join().expect("it does not panic");
        assert_eq!(world.check_empty().released, 4);
    });
}

/// The pool's handle, the last lease and a waiter go at the same time.
#[test]
fn a_pool_outlives_its_handle_for_as_long_as_somebody_holds_or_waits() {
    model(|| {
        let World { budget, pool, .. } = world(1);
        let held: RevocableLease = pool.try_acquire(ONE).expect("it is empty");
        let waiting = pool.acquire_in_line::<ExclusiveLease>(ONE);
        let waiter = thread::spawn(move || {
            let mut waiting = pin!(waiting);
            drop(poll_once(waiting.as_mut()));
        });
        drop(pool);
        drop(held);
        waiter.join().expect("it does not panic");
        assert_eq!(budget.held(), Bytes::ZERO);
    });
}
