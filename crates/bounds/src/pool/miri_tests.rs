//! The pool under an interpreter that sees undefined behaviour and memory that nobody can reach any more.
//!
//! There is no `unsafe` here; what is watched is that nothing the pool does with locks, drops and forgotten
//! guards rests on more than the language promises, and that it keeps no memory for what was reclaimed.
//!
//! A leak on purpose would make the interpreter fail for the right reason at the wrong place. So whatever is
//! leaked stays reachable: a forgotten lease belongs to a pool that stands in a static, a cycle is cut open at
//! the end, and a stuck task goes on. That a *late* drop is harmless is then tested on the way.

use std::mem;
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use plimsoll_core::{Bytes, Clock, ManualClock};

use super::{
    ExclusiveLease, LeakOutcome, LeaseRequest, Owner, Pool, PoolLimits, PoolStats, RevocableLease, Tracking,
};
use crate::budget::{Budget, BudgetLimits};

const LEAK_TIMEOUT: Duration = Duration::from_secs(300);
const ONE: Bytes = Bytes::new(64);
const EACH: usize = 5;

struct World {
    clock: Arc<ManualClock>,
    budget: Budget,
    pool: Pool,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::new());
    let shared: Arc<dyn Clock> = clock.clone();
    let budget = Budget::new(BudgetLimits::of(Bytes::kib(64)), shared.clone());
    let account = budget.account("pool", Bytes::kib(1)).expect("the budget is new");
    let limits = PoolLimits {
        limit: Bytes::kib(1),
        buffer_limit: Bytes::kib(1),
        tracking: Tracking::Off,
        ..PoolLimits::default()
    };
    let pool = Pool::new(limits, &account, shared).expect("the account is new");
    World { clock, budget, pool }
}

impl World {
    fn take(&self) -> RevocableLease {
        let mut lease: RevocableLease = self.pool.try_acquire(ONE).expect("there is room");
        lease.with_mut(|buffer| buffer.append(b"mine")).expect("it is not revoked");
        lease
    }

    /// The numbers without asking the system for the process's memory, which an interpreter has no answer to.
    fn check(&self) -> PoolStats {
        let stats = self.pool.0.ledger.lock().stats(self.clock.now());
        assert_eq!(stats.acquired, stats.released + stats.reclaimed + stats.active);
        assert_eq!(stats.used + stats.idle, self.budget.held());
        stats
    }
}

#[test]
fn forgotten_leases_are_reclaimed() {
    // A forgotten lease has a share in its pool for ever.
    static WORLD: LazyLock<World> = LazyLock::new(world);
    for _ in 0..EACH {
        mem::forget(WORLD.take());
    }
    WORLD.clock.advance(LEAK_TIMEOUT);
    let report = WORLD.pool.scan();
    assert_eq!(report.leaks.len(), EACH);
    assert!(report.leaks.iter().all(|leak| leak.outcome == LeakOutcome::Reclaimed));
    let next = WORLD.take();
    assert_eq!(next.with(|buffer| buffer.to_vec()), Ok(b"mine".to_vec()));
    drop(next);
    assert_eq!(WORLD.check().active, 0);
    WORLD.pool.give_back_idle();
}

#[test]
fn a_forgotten_exclusive_lease_is_written_off() {
    static WORLD: LazyLock<World> = LazyLock::new(world);
    static FORGOTTEN: Mutex<Option<ExclusiveLease>> = Mutex::new(None);
    let lease: ExclusiveLease = WORLD.pool.try_acquire(ONE).expect("there is room");
    *FORGOTTEN.lock().expect("nobody panicked") = Some(lease);
    WORLD.clock.advance(LEAK_TIMEOUT);
    assert_eq!(WORLD.pool.scan().unrecoverable_bytes, ONE);
    let mut forgotten = FORGOTTEN.lock().expect("nobody panicked");
    let lease = forgotten.as_mut().expect("it was put there");
    assert_eq!(lease.append(b"still mine"), 10);
    assert_eq!(WORLD.check().used, ONE);
}

struct Node {
    lease: RevocableLease,
    myself: Mutex<Option<Arc<Node>>>,
}

#[test]
fn leases_in_a_cycle_are_reclaimed_and_dropped_late() {
    let world = world();
    let nodes: Vec<Arc<Node>> = (0..EACH)
        .map(|_| {
            let node = Arc::new(Node { lease: world.take(), myself: Mutex::new(None) });
            *node.myself.lock().expect("nobody panicked") = Some(node.clone());
            node
        })
        .collect();
    world.clock.advance(LEAK_TIMEOUT);
    assert_eq!(world.pool.scan().leaks.len(), EACH);
    for node in &nodes {
        node.lease.with(|_| ()).expect_err("it was revoked");
        *node.myself.lock().expect("nobody panicked") = None;
    }
    drop(nodes);
    assert_eq!(world.check().returned_late, EACH as u64);
}

#[test]
fn a_lease_is_reclaimed_during_an_access_in_another_thread() {
    let world = world();
    let mut lease = world.take();
    let ((inside, is_inside), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
    let access = thread::spawn(move || {
        let written = lease.with_mut(|buffer| {
            inside.send(()).expect("somebody listens");
            may_go_on.recv().expect("somebody says so");
            buffer.append(b"!");
            buffer.to_vec()
        });
        (written, lease)
    });
    is_inside.recv().expect("the thread says so");
    world.clock.advance(LEAK_TIMEOUT);
    assert_eq!(world.pool.scan().leaks[0].outcome, LeakOutcome::Pinned);
    assert_eq!(world.check().used, ONE);
    go_on.send(()).expect("the thread waits for it");
    let (written, lease) = access.join().expect("it does not panic");
    assert_eq!(written, Ok(b"mine!".to_vec()));
    lease.with(|_| ()).expect_err("it was revoked");
    assert_eq!(world.check().used, Bytes::ZERO);
}

#[test]
fn readers_writers_and_scans_race() {
    let world = world();
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    for _ in 0..rounds {
        let mut lease = world.take();
        world.clock.advance(LEAK_TIMEOUT);
        let mut next = None;
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = lease.with_mut(|buffer| buffer.append(b"!"));
                let seen = lease.with(|buffer| buffer.to_vec());
                assert!(seen.is_err() || seen.is_ok_and(|bytes| bytes.starts_with(b"mine")));
            });
            world.pool.scan();
            next = world.pool.try_acquire::<RevocableLease>(ONE).ok();
            let next = next.as_mut().expect("there is room for more than one");
            next.with_mut(|buffer| assert_eq!(buffer.append(b"new"), 3)).expect("it is not revoked");
        });
        assert_eq!(next.map(|next| next.with(|buffer| buffer.to_vec())), Some(Ok(b"new".to_vec())));
    }
    assert_eq!(world.check().active, 0);
}

#[test]
fn a_late_drop_on_another_thread_is_counted() {
    let world = world();
    let scope = Arc::new(());
    let request = LeaseRequest::new(ONE).owner(Owner::alive_while("scope", &scope));
    let outlived: ExclusiveLease = world.pool.try_acquire(request).expect("there is room");
    let late = world.take();
    drop(scope);
    world.clock.advance(LEAK_TIMEOUT);
    thread::spawn(move || drop((outlived, late))).join().expect("it does not panic");
    let stats = world.check();
    assert_eq!((stats.leaked, stats.returned_late, stats.active), (2, 2, 0));
}

#[test]
fn forgotten_accesses_leave_nothing_behind_once_their_lease_is_gone() {
    let world = world();
    let (reading, mut writing) = (world.take(), world.take());
    mem::forget(reading.read().expect("it is not revoked"));
    mem::forget(writing.write().expect("it is not revoked"));
    reading.with(|_| ()).expect("readers share");
    writing.with(|_| ()).expect_err("a writer is alone");
    drop((reading, writing));
    world.clock.advance(LEAK_TIMEOUT);
    world.pool.scan();
    assert_eq!(world.check().used, Bytes::ZERO);
}

#[test]
fn waiters_on_threads_and_cancelled_ones_share_a_line() {
    let world = world();
    let held: ExclusiveLease = world.pool.try_acquire(Bytes::kib(1)).expect("it is empty");
    let mut cancelled = Box::pin(world.pool.acquire_in_line::<RevocableLease>(Bytes::kib(1)));
    let polled = Future::poll(cancelled.as_mut(), &mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
    let pool = world.pool.clone();
    let waiting = thread::spawn(move || {
        pool.acquire_blocking::<RevocableLease>(Bytes::kib(1), Duration::from_secs(3600)).map(drop)
    });
    drop(held);
    drop(cancelled);
    waiting.join().expect("it does not panic").expect("it is served");
    assert_eq!(world.check().active, 0);
}
