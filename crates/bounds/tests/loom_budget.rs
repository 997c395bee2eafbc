//! The budget's races, each walked in every order that matters: a model a race, named after it.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-bounds --release --test loom_budget`. At most three
//! preemptions are tried unless `LOOM_MAX_PREEMPTIONS` says otherwise; bugs of this kind need one or two.
#![cfg(loom)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use plimsoll_bounds::budget::{Account, Budget, BudgetLimits, ReserveError};
use plimsoll_core::{Bytes, ManualClock};

const LIMIT: u64 = 10;

fn model(race: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.max_branches = 10_000;
    builder.check(race);
}

/// A budget and an account on it with room for `LIMIT` bytes.
fn account() -> (Budget, Account) {
    let budget = Budget::new(BudgetLimits::of(Bytes::kib(1)), Arc::new(ManualClock::new()));
    let account = budget.account("account", Bytes::new(LIMIT)).expect("the budget is new");
    (budget, account)
}

fn check_empty(budget: &Budget, account: &Account) {
    assert_eq!((budget.held(), budget.waiting()), (Bytes::ZERO, 0));
    drop(account.try_reserve("all", Bytes::new(LIMIT)).expect("all of it is free"));
}

/// One step of a waiter that is then cancelled: it may have been granted before it is dropped.
fn ask_and_walk_away(account: &Account, bytes: u64) {
    let mut asking = pin!(account.reserve("cancelled", Bytes::new(bytes)));
    let mut context = Context::from_waker(Waker::noop());
    let _ = asking.as_mut().poll(&mut context);
}

#[test]
fn two_reservers_never_exceed_the_limit() {
    model(|| {
        let (budget, account) = account();
        let in_use = Arc::new(AtomicU64::new(0));
        let reserver = |account: Account, in_use: Arc<AtomicU64>| {
            move || {
                if let Ok(_reservation) = account.try_reserve("six", Bytes::new(6)) {
                    assert!(in_use.fetch_add(6, Ordering::SeqCst) + 6 <= LIMIT);
                    in_use.fetch_sub(6, Ordering::SeqCst);
                }
            }
        };
        let other = thread::spawn(reserver(account.clone(), in_use.clone()));
        reserver(account.clone(), in_use)();
        other.join().expect("it did not panic");
        check_empty(&budget, &account);
    });
}

#[test]
fn a_grower_and_a_reserver_never_exceed_the_limit() {
    model(|| {
        let (budget, account) = account();
        let mut held = account.try_reserve("first", Bytes::new(4)).expect("it is free");
        let other = thread::spawn({
            let account = account.clone();
            move || account.try_reserve("second", Bytes::new(4))
        });
        let grown = held.try_grow(Bytes::new(4));
        let reserved = other.join().expect("it did not panic");
        assert!(grown.is_ok() != reserved.is_ok(), "there is room for one of them, and one gets it");
        assert_eq!(account.held(), Bytes::new(8));
        drop((held, reserved));
        check_empty(&budget, &account);
    });
}

#[test]
fn a_release_races_with_a_join_and_nobody_sleeps_on() {
    model(|| {
        let (budget, account) = account();
        let held = account.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let releasing = thread::spawn(move || drop(held));
        let reservation = block_on(account.reserve("waiter", Bytes::new(1)));
        drop(reservation.expect("it was released"));
        releasing.join().expect("it did not panic");
        check_empty(&budget, &account);
    });
}

#[test]
fn a_shrink_races_with_two_joins_and_serves_both() {
    model(|| {
        let (budget, account) = account();
        let mut held = account.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let other = thread::spawn({
            let account = account.clone();
            move || drop(block_on(account.reserve("other", Bytes::new(4))).expect("there is room"))
        });
        let shrinking = thread::spawn(move || {
            held.shrink(Bytes::new(4));
            held
        });
        drop(block_on(account.reserve("waiter", Bytes::new(4))).expect("there is room"));
        other.join().expect("it did not panic");
        drop(shrinking.join().expect("it did not panic"));
        check_empty(&budget, &account);
    });
}

#[test]
fn a_cancelled_granted_waiter_passes_the_grant_on() {
    model(|| {
        let (budget, account) = account();
        let held = account.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let walking_away = thread::spawn({
            let account = account.clone();
            move || ask_and_walk_away(&account, LIMIT)
        });
        let releasing = thread::spawn(move || drop(held));
        drop(block_on(account.reserve("next", Bytes::new(LIMIT))).expect("nobody else wants it"));
        walking_away.join().expect("it did not panic");
        releasing.join().expect("it did not panic");
        check_empty(&budget, &account);
    });
}

#[test]
fn a_cancelled_head_of_the_line_lets_those_behind_it_in() {
    model(|| {
        let (budget, account) = account();
        let held = account.try_reserve("holder", Bytes::new(5)).expect("it is free");
        // The head wants more than there is; the one behind it would find room.
        let walking_away = thread::spawn({
            let account = account.clone();
            move || ask_and_walk_away(&account, LIMIT)
        });
        drop(block_on(account.reserve("behind", Bytes::new(5))).expect("there is room for it"));
        walking_away.join().expect("it did not panic");
        drop(held);
        check_empty(&budget, &account);
    });
}

#[test]
fn two_waiters_are_both_served_by_one_release() {
    model(|| {
        let (budget, account) = account();
        let held = account.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let other = thread::spawn({
            let account = account.clone();
            move || drop(block_on(account.reserve("other", Bytes::new(LIMIT))).expect("it was released"))
        });
        let releasing = thread::spawn(move || drop(held));
        drop(block_on(account.reserve("waiter", Bytes::new(LIMIT))).expect("it was released"));
        other.join().expect("it did not panic");
        releasing.join().expect("it did not panic");
        check_empty(&budget, &account);
    });
}

#[test]
fn a_raised_limit_races_with_a_join_and_nobody_sleeps_on() {
    model(|| {
        let (budget, account) = account();
        let _held = account.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let raising = thread::spawn({
            let account = account.clone();
            move || account.set_limit(Bytes::new(LIMIT + 1))
        });
        drop(block_on(account.reserve("waiter", Bytes::new(1))).expect("there is room for one more"));
        raising.join().expect("it did not panic");
        assert_eq!(budget.held(), Bytes::new(LIMIT));
    });
}

#[test]
fn a_lowered_limit_races_with_a_join_and_refuses_who_could_never_be_served() {
    model(|| {
        let (_budget, account) = account();
        let _held = account.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let lowering = thread::spawn({
            let account = account.clone();
            move || account.set_limit(Bytes::new(1))
        });
        let refused = block_on(account.reserve("waiter", Bytes::new(2))).expect_err("it is too large now");
        assert!(matches!(refused, ReserveError::TooLarge { .. }));
        lowering.join().expect("it did not panic");
    });
}

#[test]
fn the_end_of_a_scope_races_with_a_join_and_refuses_it() {
    model(|| {
        let (budget, account) = account();
        let scope = account.scope("upload", Bytes::new(LIMIT)).expect("there is room");
        let ours = scope.account().clone();
        let held = ours.try_reserve("holder", Bytes::new(LIMIT)).expect("it is free");
        let ending = thread::spawn(move || scope.end());
        let refused = block_on(ours.reserve("waiter", Bytes::new(1))).expect_err("the scope has ended");
        assert!(matches!(refused, ReserveError::Ended { .. }));
        assert_eq!(ending.join().expect("it did not panic").held, Bytes::new(LIMIT));
        drop(held);
        check_empty(&budget, &account);
    });
}

#[test]
fn both_halves_of_a_split_come_back() {
    model(|| {
        let (budget, account) = account();
        let mut held = account.try_reserve("whole", Bytes::new(LIMIT)).expect("it is free");
        let half = held.split(Bytes::new(5)).expect("there is room for a record");
        let other = thread::spawn(move || drop(half));
        drop(held);
        other.join().expect("it did not panic");
        check_empty(&budget, &account);
    });
}
