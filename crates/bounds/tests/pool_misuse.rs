//! The pool in the hands of callers who forget, swap, nest, stall or panic: its books stay right, nothing
//! hangs, and no room is lost.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use plimsoll_bounds::budget::{Budget, BudgetLimits, ReserveError};
use plimsoll_bounds::pool::{
    AcquireError, ExclusiveLease, LeakOutcome, LeaseRequest, Owner, Pool, PoolLimits, PoolMode, PoolStats,
    RevocableLease, Tracking,
};
use plimsoll_core::{Bytes, Clock, ManualClock};

const LEAK_TIMEOUT: Duration = Duration::from_secs(300);
const KIB: Bytes = Bytes::kib(1);

struct Setup {
    clock: Arc<ManualClock>,
    budget: Budget,
    pool: Pool,
}

fn setup(limits: PoolLimits) -> Setup {
    let clock = Arc::new(ManualClock::new());
    let shared: Arc<dyn Clock> = clock.clone();
    let all = BudgetLimits { headroom: Bytes::ZERO, ..BudgetLimits::of(Bytes::MAX) };
    let budget = Budget::new(all, shared.clone());
    let account = budget.account("pool", limits.limit).expect("the budget is new");
    let pool = Pool::new(limits, &account, shared).expect("the account is new");
    Setup { clock, budget, pool }
}

fn small(limit: Bytes) -> PoolLimits {
    PoolLimits { limit, buffer_limit: limit, tracking: Tracking::Off, ..PoolLimits::default() }
}

#[track_caller]
fn check_adds_up(setup: &Setup) -> PoolStats {
    let stats = setup.pool.stats();
    assert_eq!(stats.acquired, stats.reused + stats.allocated);
    assert_eq!(stats.acquired, stats.released + stats.reclaimed + stats.active);
    assert_eq!(stats.used + stats.idle, setup.budget.held());
    stats
}

/// Runs `work` on a thread of its own; fails when it takes longer than any honest run.
#[track_caller]
fn does_not_hang(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match is_done.recv_timeout(Duration::from_secs(10)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => worker.join().expect("it does not panic"),
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A revoked lease and its successor in the same slot.
fn revoked_and_successor(setup: &Setup) -> (RevocableLease, RevocableLease) {
    let old: RevocableLease = setup.pool.try_acquire(KIB).expect("it is empty");
    setup.clock.advance(LEAK_TIMEOUT);
    assert_eq!(setup.pool.scan().leaks.len(), 1);
    let new = setup.pool.try_acquire(KIB).expect("its room is free");
    (old, new)
}

#[test]
fn a_stale_lease_is_refused_and_dropped_while_its_successor_is_in_use() {
    does_not_hang(|| {
        let setup = setup(small(KIB));
        let (mut old, mut new) = revoked_and_successor(&setup);
        let mut access = new.write().expect("it is not revoked");
        access.append(b"mine");
        old.read().map(drop).expect_err("it was revoked");
        old.write().map(drop).expect_err("it was revoked");
        drop(old);
        assert_eq!(&**access, b"mine");
        drop(access);
        drop(new);
        assert_eq!(check_adds_up(&setup).active, 0);
    });
}

/// On real threads, because a loom model sees a lock that is taken and let go as one step.
#[test]
fn a_stale_lease_that_keeps_knocking_does_not_hold_up_a_reclaim() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 20_000 };
    let setup = setup(small(KIB));
    let (stale, first) = revoked_and_successor(&setup);
    drop(first);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                stale.with(|_| ()).expect_err("it was revoked");
            }
        });
        let pinned = (0..ROUNDS).find(|_| {
            mem::forget(setup.pool.try_acquire::<RevocableLease>(KIB).expect("it was reclaimed"));
            setup.clock.advance(LEAK_TIMEOUT);
            setup.pool.scan().leaks[0].outcome != LeakOutcome::Reclaimed
        });
        enough.store(true, Ordering::Relaxed);
        assert_eq!(pinned, None, "nobody is inside");
    });
    drop(stale);
    assert_eq!(check_adds_up(&setup).active, 0);
}

#[test]
fn an_access_inside_an_access_of_the_same_lease_is_allowed() {
    does_not_hang(|| {
        let setup = setup(small(KIB));
        let lease: RevocableLease = setup.pool.try_acquire(KIB).expect("it is empty");
        let inner = lease.with(|_| {
            setup.clock.advance(LEAK_TIMEOUT);
            assert_eq!(setup.pool.scan().leaks[0].outcome, LeakOutcome::Pinned);
            lease.with(|_| ())
        });
        inner.expect("the outer one was granted").expect_err("revoked meanwhile");
        assert_eq!(check_adds_up(&setup).used, Bytes::ZERO);
    });
}

#[test]
fn the_pool_may_be_used_inside_an_access() {
    does_not_hang(|| {
        let setup = setup(small(KIB));
        let mut lease: RevocableLease = setup.pool.try_acquire(Bytes::new(512)).expect("it is empty");
        lease
            .with_mut(|_| {
                let other: RevocableLease = setup.pool.try_acquire(Bytes::new(512)).expect("there is room");
                setup.pool.try_acquire::<RevocableLease>(Bytes::new(512)).expect_err("now it is full");
                other.with(|_| setup.pool.scan()).expect("it is not revoked");
                drop(other);
            })
            .expect("it is not revoked");
        drop(lease);
        assert_eq!(check_adds_up(&setup).active, 0);
    });
}

#[test]
fn a_forgotten_access_makes_nothing_hang_and_its_room_comes_back_with_the_lease() {
    does_not_hang(|| {
        let setup = setup(small(Bytes::kib(2)));
        let mut reading: RevocableLease = setup.pool.try_acquire(KIB).expect("it is empty");
        mem::forget(reading.read().expect("it is not revoked"));
        reading.with(|_| ()).expect("others may read beside it");
        reading.write().map(drop).expect_err("nobody can write beside a reader that never leaves");
        let mut writing: RevocableLease = setup.pool.try_acquire(KIB).expect("there is room");
        mem::forget(writing.write().expect("it is not revoked"));
        writing.read().map(drop).expect_err("nobody can read beside a writer that never leaves");
        writing.write().map(drop).expect_err("nor write");

        drop((reading, writing));
        let stats = check_adds_up(&setup);
        assert_eq!((stats.active, stats.leaked), (2, 2), "the books cannot know yet that it is over");
        setup.clock.advance(LEAK_TIMEOUT);
        setup.pool.scan();
        let stats = check_adds_up(&setup);
        assert_eq!((stats.active, stats.used, stats.leaked), (0, Bytes::ZERO, 2));
        setup.pool.try_acquire::<RevocableLease>(Bytes::kib(2)).expect("all of it is free");
    });
}

#[test]
fn buffers_swapped_between_leases_do_not_upset_the_books() {
    let setup = setup(small(Bytes::kib(64)));
    for _ in 0..3 {
        let mut large: ExclusiveLease = setup.pool.try_acquire(Bytes::kib(8)).expect("there is room");
        let mut tiny: ExclusiveLease = setup.pool.try_acquire(Bytes::kib(1)).expect("there is room");
        mem::swap(&mut *large, &mut *tiny);
        assert_eq!(((*large).capacity(), (*tiny).capacity()), (1 << 10, 8 << 10));
        drop(large);
        check_adds_up(&setup);
        let mut held: ExclusiveLease = setup.pool.try_acquire(Bytes::kib(8)).expect("there is room");
        assert_eq!(held.append(&[7; 8 << 10]), 8 << 10, "as large as was asked for");
    }
    setup.pool.give_back_idle();
    assert_eq!(check_adds_up(&setup).used + setup.budget.held(), Bytes::ZERO);
}

#[test]
fn tiny_buffers_are_reused_and_idle_ones_are_bounded_in_number() {
    let tiny = setup(small(Bytes::mib(1)));
    for asked in (0..1000).map(|nth| nth % 64) {
        drop(tiny.pool.try_acquire::<ExclusiveLease>(Bytes::new(asked)).expect("there is room"));
    }
    assert_eq!(check_adds_up(&tiny).free, 1, "one was enough for all");

    let few = setup(PoolLimits { leases_max: 4, ..small(Bytes::mib(1)) });
    for asked in 0..100 {
        drop(few.pool.try_acquire::<ExclusiveLease>(Bytes::new(1 << (asked % 16))).expect("there is room"));
    }
    assert!(check_adds_up(&few).free <= 4, "each costs an entry as well");
}

#[test]
fn idle_buffers_that_a_quiet_load_does_not_need_are_given_back() {
    let setup = setup(small(Bytes::kib(64)));
    let peak: Vec<ExclusiveLease> =
        (0..64).map(|_| setup.pool.try_acquire(KIB).expect("there is room")).collect();
    drop(peak);
    for _ in 0..70 {
        setup.clock.advance(Duration::from_secs(1));
        drop(setup.pool.try_acquire::<ExclusiveLease>(KIB).expect("there is room"));
    }
    setup.pool.scan();
    assert_eq!(check_adds_up(&setup).free, 1, "the one that is used");
}

/// Many wait, and the budget above the pool is short: all are told, each with its own number.
#[test]
fn a_short_budget_is_told_to_everybody_in_the_line() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let limits = BudgetLimits { headroom: Bytes::ZERO, ..BudgetLimits::of(Bytes::kib(64)) };
    let budget = Budget::new(limits, clock.clone());
    let account = budget.account("pool", Bytes::kib(64)).expect("the budget is new");
    let other = budget.account("other", Bytes::kib(64)).expect("the budget is new");
    let direct = PoolLimits { mode: PoolMode::Direct, ..small(Bytes::kib(8)) };
    let pool = Pool::new(direct, &account, clock).expect("the account is new");
    let held: ExclusiveLease = pool.try_acquire(Bytes::kib(8)).expect("it is empty");
    let mut others = other.try_reserve("others", Bytes::kib(56)).expect("there is room");
    let mut waiters: Vec<_> =
        (1..=4).map(|size| Box::pin(pool.acquire_in_line::<ExclusiveLease>(KIB * size))).collect();
    for waiter in &mut waiters {
        assert!(poll_once(waiter.as_mut()).is_pending());
    }
    budget.set_limit(Bytes::kib(56));
    drop(held);
    for (nth, waiter) in waiters.iter_mut().enumerate() {
        let Poll::Ready(Err(AcquireError::Budget(ReserveError::Full(shortage)))) = poll_once(waiter.as_mut())
        else {
            panic!("there is no room above")
        };
        assert_eq!(shortage.asked, KIB * (nth as u64 + 1));
    }
    others.shrink(Bytes::kib(8));
    pool.try_acquire::<ExclusiveLease>(Bytes::kib(8)).expect("there is room again");
}

#[test]
fn a_size_that_no_machine_has_is_refused_and_not_a_panic() {
    let setup = setup(small(Bytes::MAX));
    for asked in [Bytes::MAX, Bytes::new((1 << 63) + 1), Bytes::new(1 << 63)] {
        let error = setup.pool.try_acquire::<ExclusiveLease>(asked).expect_err("nobody has that");
        assert_eq!(error, AcquireError::OutOfMemory { asked });
    }
    assert_eq!(check_adds_up(&setup).acquired, 0);
}

#[test]
fn zero_patience_is_a_try_also_when_the_line_is_full() {
    let setup = setup(PoolLimits { waiters_max: 0, ..small(KIB) });
    let held: ExclusiveLease = setup.pool.try_acquire(KIB).expect("it is empty");
    let error = setup.pool.acquire_blocking::<ExclusiveLease>(KIB, Duration::ZERO);
    assert!(matches!(error, Err(AcquireError::Exhausted(_))), "{error:?}");
    let within = pin!(setup.pool.acquire_within::<ExclusiveLease>(KIB, Duration::ZERO));
    let Poll::Ready(error) = poll_once(within) else { panic!("a try does not wait") };
    assert!(matches!(error, Err(AcquireError::Exhausted(_))), "{error:?}");
    assert_eq!(setup.pool.stats().rejected, 2);
    drop(held);
    setup.pool.acquire_blocking::<ExclusiveLease>(KIB, Duration::ZERO).expect("there is room now");
}

/// Proves P4, P7.
#[test]
fn a_grant_that_nobody_collects_is_found_and_goes_to_somebody_else() {
    let setup = setup(small(KIB));
    let held: ExclusiveLease = setup.pool.try_acquire(KIB).expect("it is empty");
    let line = line!() + 1;
    let mut stuck = Box::pin(setup.pool.acquire_in_line::<ExclusiveLease>(KIB));
    assert!(poll_once(stuck.as_mut()).is_pending());
    drop(held);
    setup.clock.advance(LEAK_TIMEOUT);
    let report = setup.pool.scan();
    let [leak] = &report.leaks[..] else { panic!("{report:?}") };
    assert_eq!((leak.site.line(), leak.outcome), (line, LeakOutcome::Reclaimed));
    assert_eq!((report.unrecoverable, check_adds_up(&setup).used), (0, Bytes::ZERO));
    let next: ExclusiveLease = setup.pool.try_acquire(KIB).expect("the room is free");
    let Poll::Ready(Err(AcquireError::TimedOut(late))) = poll_once(stuck.as_mut()) else {
        panic!("it came too late")
    };
    assert_eq!((late.asked, late.waited), (KIB, LEAK_TIMEOUT));
    drop((stuck, next));
    assert_eq!(check_adds_up(&setup).active, 0);
}

#[test]
fn a_lease_is_as_old_as_its_collection() {
    let setup = setup(small(KIB));
    let held: ExclusiveLease = setup.pool.try_acquire(KIB).expect("it is empty");
    let mut slow = Box::pin(setup.pool.acquire_in_line::<RevocableLease>(KIB));
    assert!(poll_once(slow.as_mut()).is_pending());
    drop(held);
    setup.clock.advance(LEAK_TIMEOUT - Duration::from_secs(1));
    let Poll::Ready(Ok(lease)) = poll_once(slow.as_mut()) else { panic!("it was granted") };
    setup.clock.advance(Duration::from_secs(1));
    assert!(setup.pool.scan().leaks.is_empty(), "it has been held for a second");
    assert_eq!(setup.pool.stats().oldest, Duration::from_secs(1));
    drop(lease);
    assert_eq!(check_adds_up(&setup).leaked, 0);
}

/// Proves P7.
#[test]
fn leaks_that_a_full_pool_reclaimed_stand_in_the_next_report() {
    let setup = setup(small(KIB));
    let line = line!() + 1;
    mem::forget(setup.pool.try_acquire::<RevocableLease>(KIB).expect("it is empty"));
    setup.clock.advance(LEAK_TIMEOUT);
    drop(setup.pool.try_acquire::<RevocableLease>(KIB).expect("the leak made room"));
    let report = setup.pool.scan();
    let [leak] = &report.leaks[..] else { panic!("{report:?}") };
    assert_eq!((leak.site.line(), leak.outcome), (line, LeakOutcome::Reclaimed));
    assert!(setup.pool.scan().leaks.is_empty(), "once");
}

/// Proves P5.
#[test]
fn a_lease_that_leaks_just_after_a_look_still_makes_room_for_the_next_caller() {
    let setup = setup(small(KIB));
    let owner = LeaseRequest::new(KIB).owner(Owner::new("job"));
    mem::forget(setup.pool.try_acquire::<RevocableLease>(owner).expect("it is empty"));
    setup.clock.advance(LEAK_TIMEOUT - Duration::from_millis(1));
    setup.pool.try_acquire::<RevocableLease>(KIB).expect_err("not yet");
    setup.clock.advance(Duration::from_millis(1));
    setup.pool.try_acquire::<RevocableLease>(KIB).expect("the leak made room");
}

#[test]
fn when_the_class_is_too_much_for_the_budget_the_exact_size_is_tried() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let limits = BudgetLimits { headroom: Bytes::ZERO, ..BudgetLimits::of(Bytes::new(1100)) };
    let budget = Budget::new(limits, clock.clone());
    let account = budget.account("pool", Bytes::mib(1)).expect("the budget is new");
    let pool = Pool::new(small(Bytes::mib(1)), &account, clock).expect("the account is new");
    // Its class is 1,280.
    let lease: ExclusiveLease = pool.try_acquire(Bytes::new(1100)).expect("it fits exactly");
    assert_eq!(pool.stats().used, Bytes::new(1100));
    drop(lease);
}

/// A waker that counts, and one that panics.
struct Counting(AtomicUsize);
struct Panicking;

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("somebody else's waker");
    }
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_asleep() {
    let setup = setup(small(Bytes::kib(2)));
    let held: ExclusiveLease = setup.pool.try_acquire(Bytes::kib(2)).expect("it is empty");
    let mut first = Box::pin(setup.pool.acquire_in_line::<ExclusiveLease>(KIB));
    let mut second = Box::pin(setup.pool.acquire_in_line::<ExclusiveLease>(KIB));
    let panicking = Waker::from(Arc::new(Panicking));
    assert!(first.as_mut().poll(&mut Context::from_waker(&panicking)).is_pending());
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let counted = Waker::from(counting.clone());
    assert!(second.as_mut().poll(&mut Context::from_waker(&counted)).is_pending());
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(held)))
        .expect_err("the panic is passed on");
    assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    assert!(poll_once(first.as_mut()).is_ready() && poll_once(second.as_mut()).is_ready());
    drop((first, second));
    assert_eq!(check_adds_up(&setup).active, 0);
}

/// The numbers of a refusal against a plain count over what is held, in random order. Proves P10.
#[test]
fn a_refusal_names_exactly_who_holds_most_and_since_when() {
    let setup = setup(small(Bytes::mib(1)));
    let mut random = fastrand::Rng::with_seed(31);
    let mut held: Vec<(u32, Duration, RevocableLease)> = Vec::new();
    let mut now = Duration::ZERO;
    for _ in 0..if cfg!(miri) { 100 } else { 3000 } {
        let bytes = Bytes::new(random.u64(1..40_000));
        match random.u8(0..8) {
            0..2 => held.extend(setup.pool.try_acquire(bytes).map(|lease| (line!(), now, lease))),
            2..4 => held.extend(setup.pool.try_acquire(bytes).map(|lease| (line!(), now, lease))),
            4 => held.extend(setup.pool.try_acquire(bytes).map(|lease| (line!(), now, lease))),
            5 if !held.is_empty() => drop(held.swap_remove(random.usize(..held.len()))),
            6 => {
                let pause = Duration::from_secs(random.u64(0..20));
                now += pause;
                setup.clock.advance(pause);
            }
            _ => {
                setup.pool.scan();
                held.retain(|(_, _, lease)| !lease.is_revoked());
            }
        }
        let error = setup.pool.try_acquire::<ExclusiveLease>(Bytes::mib(1));
        held.retain(|(_, _, lease)| !lease.is_revoked());
        let Err(AcquireError::Exhausted(exhausted)) = error else {
            assert!(held.is_empty());
            continue;
        };
        assert_eq!(exhausted.stats.active, held.len() as u64);
        let oldest = held.iter().map(|(_, taken, _)| now - *taken).max();
        assert_eq!(exhausted.stats.oldest, oldest.expect("somebody holds it"));
        assert_eq!(exhausted.top_sites.iter().map(|site| site.leases).sum::<u64>(), held.len() as u64);
        assert_eq!(exhausted.top_sites.iter().map(|site| site.bytes).sum::<Bytes>(), exhausted.stats.used);
        assert!(exhausted.top_sites.is_sorted_by(|a, b| a.bytes >= b.bytes), "largest first");
        for site in &exhausted.top_sites {
            let its = || held.iter().filter(|(line, _, _)| *line == site.site.line());
            assert_eq!(site.leases, its().count() as u64);
            assert_eq!(Some(site.oldest), its().map(|(_, taken, _)| now - *taken).max());
        }
    }
}
