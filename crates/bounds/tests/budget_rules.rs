//! What a budget promises, rule by rule, and what its errors say.
#![cfg(not(loom))]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use plimsoll_bounds::budget::{
    Account, Budget, BudgetLimits, DEPTH_MAX, OpenError, ReserveError, TOP_HOLDERS,
};
use plimsoll_core::{Bytes, ManualClock, Observe, Reading};

fn budget(limits: BudgetLimits) -> (Arc<ManualClock>, Budget) {
    let clock = Arc::new(ManualClock::new());
    (clock.clone(), Budget::new(limits, clock))
}

/// A budget of 1 KiB, of which 64 bytes are headroom, and an account of 100 bytes.
fn account() -> (Arc<ManualClock>, Budget, Account) {
    let (clock, budget) = budget(BudgetLimits::of(Bytes::kib(1)));
    let account = budget.account("pool", Bytes::new(100)).expect("there is room");
    (clock, budget, account)
}

type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

fn is_pending<T>(waiting: &mut Waiting<'_, T>) -> bool {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn reading(budget: &Budget, name: &str) -> Reading {
    let mut readings = Vec::new();
    budget.observe(&mut readings);
    let known: Vec<String> = readings.iter().map(|reading| reading.name.clone()).collect();
    let found = readings.into_iter().find(|reading| reading.name == name);
    found.unwrap_or_else(|| panic!("{name} is not among {known:?}"))
}

#[test]
fn a_request_larger_than_any_ancestor_may_hold_fails_at_once() {
    let (_clock, budget, account) = account();
    let child = account.account("child", Bytes::gib(1)).expect("there is room");
    // Also when it would wait: waiting would not help.
    let mut waiting: Waiting<_> = Box::pin(child.reserve("large", Bytes::new(101)));
    assert!(!is_pending(&mut waiting));
    let refused = child.try_reserve("large", Bytes::new(101)).expect_err("the parent is smaller");
    assert_eq!(
        refused.to_string(),
        "101B asked of budget/open/pool, which may never hold more than 100B: \
         ask for less at a time, or raise that limit"
    );
    assert_eq!(reading(&budget, "budget.open.pool").rejected, 2);
}

#[test]
fn a_shortage_says_asked_held_left_and_who_holds_most_since_when_and_where() {
    let (clock, _budget, account) = account();
    let mut held = Vec::new();
    for bytes in 1..=9 {
        held.push(account.try_reserve("lease", Bytes::new(bytes)).expect("there is room"));
    }
    let line = line!() + 1;
    held.push(account.try_reserve("upload", Bytes::new(50)).expect("there is room"));
    clock.advance(Duration::from_millis(2500));
    let refused = account.try_reserve("next", Bytes::new(6)).expect_err("there is no room");
    let said = refused.to_string();
    assert!(
        said.starts_with("no room: 6B asked of budget/open/pool: 95B of 100B held, 5B left, 0 waiting; ")
    );
    let holder = format!("held most by 50B by upload (budget/open/pool) for 2.5s at {}:{line}", file!());
    assert!(said.contains(&holder), "{said}");
    let ReserveError::Full(shortage) = refused else { panic!("{refused}") };
    let sizes: Vec<u64> = shortage.top_holders.iter().map(|holder| holder.bytes.as_u64()).collect();
    assert_eq!(sizes, [50, 9, 8, 7, 6]);
    assert_eq!(sizes.len(), TOP_HOLDERS);
}

#[test]
fn growing_never_passes_the_limit_also_when_no_more_reservations_may_live() {
    let limits = BudgetLimits { reservations_max: 1, ..BudgetLimits::of(Bytes::kib(1)) };
    let (_clock, budget) = budget(limits);
    let account = budget.account("pool", Bytes::new(10)).expect("there is room");
    let mut held = account.try_reserve("one", Bytes::new(8)).expect("there is room");
    let refused = account.try_reserve("two", Bytes::new(1)).expect_err("one may live");
    assert_eq!(refused, ReserveError::TooManyReservations { reservations_max: 1 });
    assert!(matches!(held.try_grow(Bytes::new(3)), Err(ReserveError::Full(_))));
    held.try_grow(Bytes::new(2)).expect("growing needs no record");
    assert_eq!(account.held(), account.limit());
}

#[test]
fn sums_beyond_what_a_number_can_say_let_nothing_through() {
    let limits = BudgetLimits { headroom: Bytes::ZERO, ..BudgetLimits::of(Bytes::MAX) };
    let (_clock, budget) = budget(limits);
    let account = budget.account("all", Bytes::MAX).expect("there is room");
    let all = account.try_reserve("all", Bytes::MAX).expect("that much may be held");
    let refused = account.try_reserve("more", Bytes::MAX).expect_err("it is all taken");
    assert!(matches!(refused, ReserveError::Full(_)));
    drop(all);
    assert_eq!(budget.held(), Bytes::ZERO);
}

#[test]
fn a_full_account_does_not_stop_its_siblings() {
    let (_clock, budget, full) = account();
    let _held = full.try_reserve("all", Bytes::new(100)).expect("there is room");
    let mut waiting: Waiting<_> = Box::pin(full.reserve("waits", Bytes::new(100)));
    assert!(is_pending(&mut waiting));
    let sibling = budget.account("hub", Bytes::new(100)).expect("there is room");
    drop(sibling.try_reserve("ring", Bytes::new(100)).expect("nobody waits for this room"));
}

#[test]
fn nobody_passes_who_waits_for_the_same_room() {
    let (_clock, _budget, account) = account();
    let held = account.try_reserve("most", Bytes::new(90)).expect("there is room");
    let mut large: Waiting<_> = Box::pin(account.reserve("large", Bytes::new(50)));
    assert!(is_pending(&mut large));
    let mut small: Waiting<_> = Box::pin(account.reserve("small", Bytes::new(1)));
    assert!(is_pending(&mut small), "there is room for it, but not its turn");
    account.try_reserve("smaller", Bytes::new(1)).expect_err("nor is it the turn of this one");
    drop(held);
    assert!(!is_pending(&mut large) && !is_pending(&mut small));
}

#[test]
fn waiters_are_bounded() {
    let limits = BudgetLimits { waiters_max: 1, ..BudgetLimits::of(Bytes::kib(1)) };
    let (_clock, budget) = budget(limits);
    let account = budget.account("pool", Bytes::new(1)).expect("there is room");
    let _held = account.try_reserve("all", Bytes::new(1)).expect("there is room");
    let mut first: Waiting<_> = Box::pin(account.reserve("first", Bytes::new(1)));
    assert!(is_pending(&mut first));
    let refused = account.reserve_blocking("second", Bytes::new(1), Duration::from_secs(60));
    assert_eq!(refused.expect_err("one may wait"), ReserveError::TooManyWaiters { waiters_max: 1 });
    let waiters = reading(&budget, "budget.waiters");
    assert_eq!((waiters.used, waiters.limit, waiters.rejected), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_time_and_says_how_long_it_was() {
    let (_clock, budget, account) = account();
    let held = account.try_reserve("all", Bytes::new(100)).expect("there is room");
    let start = tokio::time::Instant::now();
    let patience = Duration::from_millis(1500);
    let refused = account.reserve_within("late", Bytes::new(1), patience).await.expect_err("nobody lets go");
    assert_eq!(start.elapsed(), patience);
    assert!(
        refused.to_string().starts_with("no room for 1.500s: 1B asked of budget/open/pool: "),
        "{refused}"
    );
    let zero = account.reserve_within("try", Bytes::new(1), Duration::ZERO).await;
    assert!(matches!(zero, Err(ReserveError::TimedOut { .. })), "no patience is a try");
    assert_eq!(budget.waiting(), 0);
    drop(held);
    drop(account.reserve_within("try", Bytes::new(1), Duration::ZERO).await.expect("there is room"));
}

#[test]
fn a_thread_waits_in_the_same_line() {
    let (_clock, budget, account) = account();
    let held = account.try_reserve("all", Bytes::new(100)).expect("there is room");
    let waiting = std::thread::spawn({
        let account = account.clone();
        move || {
            account.reserve_blocking("late", Bytes::new(100), Duration::MAX).map(|granted| granted.bytes())
        }
    });
    while budget.waiting() == 0 {
        std::thread::yield_now();
    }
    drop(held);
    assert_eq!(waiting.join().expect("it did not panic"), Ok(Bytes::new(100)));
    assert_eq!(account.held(), Bytes::ZERO);
}

#[test]
fn a_scope_says_at_its_end_what_is_still_open() {
    let (_clock, _budget, account) = account();
    let scope = account.scope("upload 17", Bytes::new(50)).expect("there is room");
    let ours = scope.account().clone();
    let forgotten = ours.try_reserve("chunk", Bytes::new(20)).expect("there is room");
    let mut waiting: Waiting<_> = Box::pin(ours.reserve("waits", Bytes::new(40)));
    assert!(is_pending(&mut waiting));
    let report = scope.end();
    assert_eq!((report.account.as_str(), report.held), ("budget/open/pool/upload 17", Bytes::new(20)));
    assert_eq!(report.open[0].name, "chunk");
    assert!(!is_pending(&mut waiting), "it is refused");
    let refused = ours.try_reserve("late", Bytes::ZERO).expect_err("it has ended");
    assert!(matches!(refused, ReserveError::Ended { .. }));
    assert!(matches!(ours.account("late", Bytes::ZERO), Err(OpenError::Ended { .. })));
    assert_eq!(account.held(), Bytes::new(20), "it stays charged while it lives");
    drop(forgotten);
    assert_eq!(account.held(), Bytes::ZERO);
}

#[test]
fn limits_change_while_it_runs() {
    let (_clock, budget, account) = account();
    let held = account.try_reserve("all", Bytes::new(100)).expect("there is room");
    let mut fits: Waiting<_> = Box::pin(account.reserve("fits", Bytes::new(20)));
    let mut too_large: Waiting<_> = Box::pin(account.reserve("too large", Bytes::new(90)));
    assert!(is_pending(&mut fits) && is_pending(&mut too_large));
    account.set_limit(Bytes::new(50));
    assert!(is_pending(&mut fits));
    assert!(!is_pending(&mut too_large), "it could never be served now");
    assert_eq!(account.held(), Bytes::new(100), "nothing is taken away");
    account.set_limit(Bytes::new(120));
    assert!(!is_pending(&mut fits));
    drop(held);
    // The whole can be changed too; the headroom stays as it is.
    budget.set_limit(Bytes::new(80));
    assert_eq!((budget.limit(), budget.open().limit()), (Bytes::new(80), Bytes::new(16)));
    account.try_reserve("large", Bytes::new(17)).expect_err("the budget is smaller than the account now");
}

#[test]
fn the_headroom_is_there_when_all_else_is_taken() {
    let (_clock, budget, _account) = account();
    let open = budget.open();
    let _all = open.try_reserve("all", open.limit()).expect("it is free");
    drop(budget.headroom().try_reserve("report", Bytes::new(64)).expect("it is set aside"));
    assert_eq!(budget.limit(), Bytes::kib(1));
}

#[test]
fn accounts_are_bounded_in_number_and_depth() {
    let limits = BudgetLimits { accounts_max: DEPTH_MAX, ..BudgetLimits::of(Bytes::kib(1)) };
    let (_clock, budget) = budget(limits);
    let mut chain = vec![budget.open().clone()];
    let refused = loop {
        match chain[chain.len() - 1].account("a", Bytes::new(1)) {
            Ok(account) => chain.push(account),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, OpenError::TooDeep { .. }), "{refused}");
    assert_eq!(chain.len(), DEPTH_MAX - 1, "the root stands above them");
    let mut flat = Vec::new();
    let refused = loop {
        match budget.account("a", Bytes::new(1)) {
            Ok(account) => flat.push(account),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, OpenError::TooManyAccounts { accounts_max: DEPTH_MAX });
    drop(chain);
    budget.account("a", Bytes::new(1)).expect("closed ones make room");
}

#[test]
fn one_reservation_takes_over_another_and_nothing_is_free_between() {
    let (_clock, budget, account) = account();
    let mut into = account.try_reserve("into", Bytes::new(60)).expect("there is room");
    let mut from = account.try_reserve("from", Bytes::new(40)).expect("there is room");
    let mut waiting: Waiting<_> = Box::pin(account.reserve("waits", Bytes::new(1)));
    assert!(is_pending(&mut waiting));
    assert_eq!(into.absorb(&mut from), Bytes::new(40));
    assert_eq!((into.bytes(), from.bytes()), (Bytes::new(100), Bytes::ZERO));
    drop(from);
    assert!(is_pending(&mut waiting));
    // Only on the same account.
    let sibling = budget.account("hub", Bytes::new(10)).expect("there is room");
    let mut other = sibling.try_reserve("ring", Bytes::new(10)).expect("there is room");
    assert_eq!(into.absorb(&mut other), Bytes::ZERO);
    assert_eq!(other.bytes(), Bytes::new(10));
    drop(into);
    assert!(!is_pending(&mut waiting));
}
